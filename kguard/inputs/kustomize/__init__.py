"""Kustomizations: what they refer to, how a root is rendered, and the way back from its objects."""
