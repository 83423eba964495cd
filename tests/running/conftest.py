"""Objects, fake tools and a look at what is left of them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import (
    Command,
    Evidence,
    KubeObject,
    ObjectHint,
    ObjectRef,
    Origin,
    Outcome,
    Parsed,
    RuleSet,
    Span,
    Splitting,
    StagePart,
    Unread,
)
from kguard.running.contract import Adapter
from kguard.settings import Settings


@dataclass(frozen=True, kw_only=True)
class FakeAdapter:
    """An adapter of a tool that prints the paths that it read, and those of them in which it found a fault:
    `{"fake": {"read": [...], "found": [...], "unread": [...], "rules": [...], "complaints": [...]}}`."""

    name: str = "fake"
    versions: SpecifierSet = SpecifierSet(">=1,<2")  # noqa: RUF009 - never changed
    on_by_default: bool = True
    splitting: Splitting = Splitting.OBJECT
    context_kinds: frozenset[str] = frozenset()
    part_limit: int | None = None
    unique_identities: bool = False
    rule_problem: str | None = None

    def version_command(self) -> Command:
        return Command(argv=(self.name, "version"))

    def read_version(self, outcome: Outcome) -> Version | None:
        label, _, number = outcome.stdout.decode().strip().partition(" ")
        if label != "fake":
            raise ParseError(f"its version command printed {label!r}")
        return None if number == "development" else Version(number)

    def rules(self, settings: Settings, version: Version | None) -> RuleSet:
        return RuleSet(source="built into fake", problem=self.rule_problem)

    def plan(self, part: StagePart, settings: Settings, rules: RuleSet) -> Command:
        return Command(argv=(self.name, "scan", str(part.root)), part=part)

    def parse(self, outcome: Outcome) -> Parsed:
        if outcome.exit_code != 0 and not outcome.stdout:
            raise ToolFailure(f"it ended with {outcome.exit_code}")
        try:
            said = json.loads(outcome.stdout)["fake"]
        except (ValueError, KeyError) as error:
            raise ParseError(repr(error)) from error
        return Parsed(
            evidence=tuple(self._evidence(path) for path in said["found"]),
            seen=frozenset(ObjectHint(staged=path) for path in said["read"]),
            unread=tuple(Unread(object=ObjectHint(staged=path), reason="why") for path in said.get("unread", ())),
            rules=frozenset(said.get("rules", ["fault"])),
            complaints=tuple(said.get("complaints", ())),
        )

    def _evidence(self, path: str) -> Evidence:
        hint = ObjectHint(staged=path)
        return Evidence(
            tool=self.name, rule="fault", title="A fault", native_severity=None, message=path, url=None, object=hint
        )


@pytest.fixture(scope="session")
def new_adapter() -> Callable[..., Adapter]:
    """The adapter of a fake tool."""
    return FakeAdapter


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


@pytest.fixture
def left_behind(tmp_path: Path) -> Iterator[Callable[[], list[int]]]:
    """Ids of the processes of this test that still run, told by their HOME; those that were just killed may take a moment.
    Whatever a failing test left is killed."""

    def running() -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                environment = entry.read_bytes()
            except OSError:
                continue  # gone meanwhile, or another user's
            if f"HOME={tmp_path}/".encode() in environment:
                found.append(int(entry.parent.name))
        return found

    def look() -> list[int]:
        until = time.monotonic() + 5
        while (found := running()) and time.monotonic() < until:
            time.sleep(0.02)
        return found

    yield look
    for process in running():
        os.kill(process, signal.SIGKILL)
