"""labelcheck: one process over a tree, a line for every file that it read."""

from __future__ import annotations

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import Command, Evidence, ObjectHint, Outcome, Parsed, RuleSet, Splitting, StagePart
from kguard.settings import Settings

name = "labelcheck"
versions = SpecifierSet(">=1,<2")
on_by_default = True
splitting = Splitting.OBJECT
context_kinds: frozenset[str] = frozenset()
part_limit: int | None = None
unique_identities = False

_RULE = "no-labels"


def version_command() -> Command:
    return Command(argv=(name, "version"))


def read_version(outcome: Outcome) -> Version | None:
    label, _, number = outcome.stdout.decode().strip().partition(" ")
    if label != name:
        raise ParseError(f"its version command printed {label!r}")
    return Version(number)


def rules(settings: Settings, version: Version | None) -> RuleSet:
    return RuleSet(source=f"built into {name} {version}", ids=frozenset((_RULE,)))


def plan(part: StagePart, settings: Settings, rules: RuleSet) -> Command:
    return Command(argv=(name, str(part.root)), part=part)


def parse(outcome: Outcome) -> Parsed:
    if outcome.exit_code != 0:
        raise ToolFailure(f"it ended with {outcome.exit_code}")
    root = f"{outcome.command.part.root}/" if outcome.command.part else ""
    lines = [line.partition(f" {root}") for line in outcome.stdout.decode().splitlines()]
    return Parsed(
        evidence=tuple(_evidence(path) for word, _, path in lines if word == "unlabelled"),
        seen=frozenset(ObjectHint(staged=path) for _, _, path in lines),
    )


def _evidence(path: str) -> Evidence:
    return Evidence(
        tool=name,
        rule=_RULE,
        title="No labels",
        native_severity="low",
        message="the object has no labels",
        url=None,
        object=ObjectHint(staged=path),
    )
