"""Objects, fake tools and a look at what is left of them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kguard.model import KubeObject, ObjectRef, Origin, Span

MARK = "KGUARD_TEST_MARK"


@pytest.fixture(scope="session")
def new_object() -> Callable[..., KubeObject]:
    """An object of a bundle; what is not said does not matter."""

    def make(
        staged: str,
        kind: str = "Pod",
        name: str | None = None,
        *,
        namespace: str | None = None,
        group: str = "",
        version: str = "v1",
        bundle: str = "plain",
    ) -> KubeObject:
        ref = ObjectRef(group=group, version=version, kind=kind, namespace=namespace, name=name or staged)
        origin = Origin(path=f"deploy/{staged}", document=1, item=None, span=Span(1, 3))
        text = f"kind: {kind}\n".encode()
        return KubeObject(bundle=bundle, staged=staged, ref=ref, origin=origin, text=text, text_line=1)

    return make


@pytest.fixture
def write_script(tmp_path: Path) -> Callable[..., Path]:
    """A program made of a few lines of sh, or of Python."""

    def write(name: str, body: str, *, python: bool = False) -> Path:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable if python else '/bin/sh'}\n{body}\n")
        program.chmod(0o755)
        return program

    return write


@pytest.fixture(scope="session")
def left_behind() -> Callable[[str], list[int]]:
    """Ids of the processes that still run with this mark in their environment; those that were just killed may take a moment."""

    def running(mark: str) -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                environment = entry.read_bytes()
            except OSError:
                continue  # gone meanwhile, or another user's
            if f"{MARK}={mark}".encode() in environment.split(b"\0") and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
        return found

    def look(mark: str) -> list[int]:
        until = time.monotonic() + 5
        while (found := running(mark)) and time.monotonic() < until:
            time.sleep(0.02)
        return found

    return look
