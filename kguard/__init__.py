"""kguard: one command in place of four Kubernetes linters."""

__version__ = "0.1.0"
