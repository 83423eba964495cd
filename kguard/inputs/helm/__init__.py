"""Helm charts: what they are made of, their releases, and the way from what helm printed back to their templates."""
