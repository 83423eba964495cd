"""The stage: a private tree in which every object is a file of its own, for the tools to read."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kguard.model import KubeObject


@contextmanager
def workspace() -> Iterator[Path]:
    """A private folder for everything that a run writes, removed however the run ends. Honours TMPDIR."""
    # mkdtemp makes it 0700, so nobody else can read what is below
    folder = Path(tempfile.mkdtemp(prefix="kguard-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_part(root: Path, objects: Sequence[KubeObject]) -> None:
    """Write each object's bytes to its own file below `root`, readable by nobody else."""
    for obj in objects:
        target = root / obj.staged
        if not target.resolve().is_relative_to(root.resolve()):
            raise ValueError(f"{obj.staged!r} leaves the stage")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.touch(mode=0o600, exist_ok=False)
        target.write_bytes(obj.text)
