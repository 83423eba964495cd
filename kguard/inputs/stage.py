"""The stage: a private tree in which every object is a file of its own, for the tools to read."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from kguard.errors import UsageError
from kguard.model import KubeObject


@contextmanager
def workspace() -> Iterator[Path]:
    """A private folder for everything that a run writes, removed however the run ends. Honours TMPDIR. Raises UsageError where no
    temporary folder can be written to."""
    # it is named before it is made, so that no interruption finds it made and not yet known
    folder = _temporary() / f"kguard-{secrets.token_hex(8)}"
    try:
        folder.mkdir(mode=0o700)  # so nobody else can read what is below
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # again, in case that the first was interrupted


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir()).resolve()
    except FileNotFoundError as error:
        raise UsageError(f"{error.strerror}. Name a folder that can be written to: TMPDIR.") from error


def write_part(root: Path, objects: Sequence[KubeObject], written: dict[KubeObject, Path] | None = None) -> None:
    """Write each object's bytes to its own file below `root`, readable by nobody else. `written`: where objects stand already, and
    where to note those that are written now; a second name for a file costs a tenth of a second file."""
    for folder in {PurePosixPath(obj.staged).parent for obj in objects}:
        if folder.is_absolute() or ".." in folder.parts:
            raise ValueError(f"{str(folder)!r} leaves the stage")
        (root / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    for obj in objects:
        path, known = root / obj.staged, (written or {}).get(obj)
        if known is None or not _linked(known, path):
            _write(path, obj.text)
        if written is not None:
            written.setdefault(obj, path)


def _linked(known: Path, path: Path) -> bool:
    """Give a file a second name; False where the file system does not."""
    try:
        os.link(known, path)
    except OSError:
        return False
    return True


def _write(path: Path, data: bytes) -> None:
    # O_EXCL: two objects never share a file, and no link is followed
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
