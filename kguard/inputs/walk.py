"""The walk below a folder: every file once, and every folder that is left out, each with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kguard.inputs.ignore import Ignore
from kguard.model import FileState


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the walk, or a folder that it does not go into."""

    path: Path
    reason: str | None = None
    """Why it is not looked at; None for a file that is."""
    state: FileState = FileState.IGNORED
    """What it is when there is a reason: ignored or unreadable."""


def walk(folder: Path, ignore: Ignore) -> Iterator[Entry]:
    """Everything below a folder, in sorted order. Links to folders are not followed, so there are no loops; a link to a file counts
    when it stays below the folder."""
    root = Path(os.path.realpath(folder))
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            yield Entry(here, f"{error.strerror}: the folder was not looked into", FileState.UNREADABLE)
            continue
        folders = []
        for entry in entries:
            path = here / entry.name
            if not entry.is_dir(follow_symlinks=False):
                yield _file(path, root, ignore)
            elif (reason := ignore.why_ignored(path, is_folder=True)) is not None:
                yield Entry(path, reason)
            else:
                folders.append(path)
        waiting.extend(reversed(folders))


def _file(path: Path, root: Path, ignore: Ignore) -> Entry:
    reason = ignore.why_ignored(path, is_folder=False)
    if reason is not None:
        return Entry(path, reason)
    if path.is_symlink():
        target = Path(os.path.realpath(path))
        if not target.exists():
            return Entry(path, "a link to nothing", FileState.UNREADABLE)
        if target.is_dir():
            return Entry(path, "a link to a folder; links are not followed")
        if not target.is_relative_to(root):
            return Entry(path, "a link that leaves the scanned folder")
    return Entry(path) if path.is_file() else Entry(path, "not a regular file")
