"""Paths as reports show them."""

from __future__ import annotations

import os
from pathlib import Path


def display(path: Path) -> str:
    """Relative to the working directory where it is below it, with forward slashes; absolute elsewhere."""
    absolute = Path(os.path.abspath(path))
    here = Path.cwd()
    shown = absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
    return os.fsencode(shown.as_posix()).decode("utf-8", "backslashreplace")
