"""Paths as reports show them, and as fingerprints know them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from kguard.inputs.ignore import repository


def display(path: Path) -> str:
    """Relative to the working directory where it is below it, with forward slashes; absolute elsewhere."""
    absolute = Path(os.path.abspath(path))
    here = Path.cwd()
    shown = absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
    return os.fsencode(shown.as_posix()).decode("utf-8", "backslashreplace")


def anchored(sources: Sequence[str]) -> Callable[[str], str]:
    """How fingerprints know a file that reports call so: by its path from the repository's root, else from the source that it was
    found below, so that the working directory does not matter."""
    folders = [os.path.abspath(source) for source in sources if os.path.isdir(source)]

    @lru_cache(maxsize=4096)
    def known(path: str) -> str:
        absolute = os.path.abspath(path)
        top = repository(Path(absolute).parent)
        tops = [str(top)] if top else [folder for folder in folders if absolute.startswith(folder + os.sep)]
        return os.path.relpath(absolute, tops[0]).replace(os.sep, "/") if tops else os.path.basename(absolute)

    return known
