"""Paths as reports show them, and as fingerprints know them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from kguard.inputs.ignore import repository

_STDIN = "-"


def display(path: Path) -> str:
    """Relative to the working directory where it is below it, with forward slashes; absolute elsewhere."""
    absolute = Path(os.path.abspath(path))
    here = Path.cwd()
    shown = absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
    return os.fsencode(shown.as_posix()).decode("utf-8", "backslashreplace")


def anchored(sources: Sequence[str]) -> Callable[[str], str]:
    """How fingerprints know a file that reports call so: by its path from the repository's root, else from the source that it was
    found below (files given singly: from the folder that holds them all), so that the working directory does not matter."""
    real = [os.path.realpath(source) for source in sources if source != _STDIN]
    singly = [os.path.dirname(path) for path in real if not os.path.isdir(path)]
    tops = sorted(
        [*filter(os.path.isdir, real), *([os.path.commonpath(singly)] if singly else [])], key=len, reverse=True
    )

    @lru_cache(maxsize=4096)
    def known(path: str) -> str:
        if path == _STDIN:
            return path
        absolute = os.path.realpath(path)
        repo = repository(Path(absolute).parent)
        top = (
            os.path.realpath(repo)
            if repo
            else next((t for t in tops if absolute.startswith(t.rstrip(os.sep) + os.sep)), None)
        )
        return os.path.relpath(absolute, top).replace(os.sep, "/") if top else os.path.basename(absolute)

    return known
