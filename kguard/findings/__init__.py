"""From evidence to findings: catalogue, locate, places, merge, gate."""
