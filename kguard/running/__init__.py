"""From staged objects to what the tools said: contract, plan, process, account."""
