"""The installed `kguard` command, in an environment made for the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kguard(tmp_path: Path) -> Kguard:
    """Run the command in tmp_path. `path` replaces PATH ("" for no tools at all)."""

    def run(
        *argv: str, stdin: str = "", path: str | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("KGUARD_") or name == "KGUARD_RULES"
        }
        own.update(env or {})
        if path is not None:
            own["PATH"] = path
        command = [str(Path(sys.executable).parent / "kguard"), *argv]
        return subprocess.run(
            command, cwd=tmp_path, input=stdin, env=own, capture_output=True, text=True, check=False, timeout=120
        )

    return run


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    """A privileged pod in `pod.yaml`."""
    file = tmp_path / "pod.yaml"
    file.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n}\n"
        "spec:\n  containers:\n    - name: c\n      image: x:1\n      securityContext: {privileged: true}\n"
    )
    return file
