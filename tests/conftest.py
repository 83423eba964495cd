"""What all tests share: where the real tools and the real-world manifests are, and a plain word on what ran."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import native
import pytest

from kguard.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
# a shell that runs the tests in the background has them ignore Ctrl-C, which some of them send
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def fixtures() -> Path:
    return native.FIXTURES


@pytest.fixture
def rules_settings() -> Settings:
    """Settings with kubescape's rule library, which `make tools` puts where KGUARD_RULES says."""
    pairs = dict(pair.split("=", 1) for pair in os.environ.get("KGUARD_RULES", "").split())
    assert "kubescape" in pairs, (
        "run the tests with `make test`, which installs kubescape's rules and sets KGUARD_RULES"
    )
    return Settings(rules={name: Path(path) for name, path in pairs.items()})


@pytest.fixture
def corpus() -> Callable[[str], Path]:
    """A folder of real-world manifests, which are not part of this repository."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("KGUARD_CORPORA", ROOT.parent / "shared" / "corpora")) / name
        if not folder.is_dir():
            pytest.skip(f"the real-world manifests {name!r} are not here (KGUARD_CORPORA names their folder)")
        return folder

    return find


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist tells what ran in it."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output.update(ran_live=sorted(native.ran_live), replayed=native.replayed)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    output = getattr(node, "workeroutput", {})
    native.ran_live.update(output.get("ran_live", ()))
    for tool, times in output.get("replayed", {}).items():
        native.replayed[tool] = native.replayed.get(tool, 0) + times


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for tool, version in native.RECORDED.items():
        if tool in native.ran_live:
            terminalreporter.write_line(f"kguard: {tool} {version} ran for real")
        elif tool in native.replayed:
            terminalreporter.write_line(
                f"kguard: {tool} {version} is not on PATH: its recorded output was replayed {native.replayed[tool]} times"
            )
