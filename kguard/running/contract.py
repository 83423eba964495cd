"""The contract between kguard and a tool's adapter, and the list of adapters."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol, cast

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from kguard.model import Command, Outcome, Parsed, RuleSet, Splitting, StagePart
from kguard.settings import Settings


class Adapter(Protocol):
    """What kguard needs to know about a tool; a module satisfies it. An adapter decides nothing about merging, severity or
    files, and it is pure but for `rules`, which reads rule files."""

    @property
    def name(self) -> str:
        """The tool's name, as users write it."""

    @property
    def versions(self) -> SpecifierSet:
        """Versions whose output this parser knows."""

    @property
    def on_by_default(self) -> bool:
        """False for a tool that runs only when --tools asks for it: `+name`."""

    @property
    def splitting(self) -> Splitting: ...

    @property
    def context_kinds(self) -> frozenset[str]:
        """Kinds that every part of a split input must see."""

    @property
    def part_limit(self) -> int | None:
        """Most objects in a process (OBJECT splitting); None: no limit."""

    @property
    def unique_identities(self) -> bool:
        """True for a tool that names objects by kind, namespace and name only: no part may hold two of one identity."""

    def version_command(self) -> Command: ...

    def read_version(self, outcome: Outcome) -> Version | None:
        """The version that `version_command` printed; None: a build that says none, which is run with a complaint.

        Raises ParseError when the output is not this tool's.
        """

    def rules(self, settings: Settings, version: Version | None) -> RuleSet:
        """The rules that a run with these settings has on."""

    def plan(self, part: StagePart, settings: Settings, rules: RuleSet) -> Command:
        """The process that reads this part."""

    def parse(self, outcome: Outcome) -> Parsed:
        """The records that the process printed; bytes in, records out.

        Raises ToolFailure when the tool says that it failed, ParseError for output that the adapter does not know.
        """


def load_adapters() -> tuple[Adapter, ...]:
    """kguard's own adapters in the order of the reports, then those of installed packages (entry points `kguard.adapters`)."""
    own = cast(tuple[Adapter, ...], import_module("kguard.adapters").ADAPTERS)
    others = sorted(entry_points(group="kguard.adapters"), key=lambda point: point.name)
    return own + tuple(cast(Adapter, point.load()) for point in others)
