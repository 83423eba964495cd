"""The canary changes nothing: what every tool says of the user's objects is the same with and without kguard's own bad object beside them.

`python tests/canaries.py FOLDER...` scans each folder twice and prints, by tool, what is said only with the canary and what only without;
both must be 0, and the accounts must be equal; otherwise the exit code is 1. Helm makes some names at random (podinfo's test pods), others in
each render: the names of objects that differ between the two scans are taken out of what is compared.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from parity import AT_RANDOM

from kguard.model import ObjectCounts, RunState
from kguard.scan import Gathered, gather
from kguard.settings import InputSettings, Settings

Said = tuple[str, ...]
"""A piece of evidence, with all that it says of its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A line of the table: one tool over one folder."""

    folder: str
    tool: str
    said: int
    only_with: Counter[Said]
    only_without: Counter[Said]
    accounts: tuple[ObjectCounts, ObjectCounts]
    """With and without."""
    seen: bool
    """The canary was reported."""
    random_names: int
    """Objects whose names helm made up."""

    @property
    def right(self) -> bool:
        return self.seen and not self.only_with and not self.only_without and self.accounts[0] == self.accounts[1]

    def __str__(self) -> str:
        names = f"   ({self.random_names} names made at random)" if self.random_names else ""
        accounts = "" if self.accounts[0] == self.accounts[1] else f"   accounts {self.accounts}"
        seen = "" if self.seen else "   canary not reported"
        only = f"only with {self.only_with.total()}   only without {self.only_without.total()}"
        return f"{self.folder:30} {self.tool:12} {self.said:6} said   {only}{accounts}{seen}{names}"


def compare(folder: Path, settings: Settings) -> Iterator[Verdict]:
    """Scan a folder with the canary and without, and hold what each tool said against the other."""
    settings = replace(settings, inputs=InputSettings(hidden=True))
    scans = [gather((str(folder),), replace(settings, canary=canary)) for canary in (True, False)]
    names = _made_at_random(*scans)
    with_it, without = (_said(scan, names) for scan in scans)
    for run, other in zip(scans[0].tools, scans[1].tools, strict=True):
        if run.state not in (RunState.MISSING, RunState.SKIPPED):
            mine, yours = (said.get(run.name, Counter()) for said in (with_it, without))
            yield Verdict(
                folder=str(folder),
                tool=run.name,
                said=yours.total(),
                only_with=mine - yours,
                only_without=yours - mine,
                accounts=(run.objects, other.objects),
                seen=run.canary is True,
                random_names=len(names),
            )


def _made_at_random(one: Gathered, other: Gathered) -> Mapping[tuple[str, str], tuple[str, str]]:
    """The two names of the objects that are called otherwise in the other scan, by bundle and staged file."""
    names = {obj.key: obj.ref.name for obj in other.inventory.objects}
    return {
        obj.key: (obj.ref.name, names[obj.key])
        for obj in one.inventory.objects
        if obj.key in names and names[obj.key] != obj.ref.name
    }


def _said(scan: Gathered, names: Mapping[tuple[str, str], tuple[str, str]]) -> Mapping[str, Counter[Said]]:
    """What each tool said."""
    said: dict[str, Counter[Said]] = {}
    for item in chain.from_iterable(scan.evidence):
        evidence = item.evidence
        if evidence.rule in AT_RANDOM:
            continue
        message = evidence.message
        for name in names.get(item.object.key, ()):
            message = message.replace(name, "(name)")
        place = (evidence.container, evidence.path, evidence.lines, evidence.value, evidence.inner_rule)
        others = (item.path_object.key, *(obj.key for obj in item.related))
        key = (evidence.rule, *item.object.key, message, evidence.native_severity or "", repr(place), repr(others))
        said.setdefault(evidence.tool, Counter())[key] += 1
    return said


def main(folders: Iterable[str]) -> int:
    rules = dict(pair.split("=", 1) for pair in os.environ.get("KGUARD_RULES", "").split())
    settings = Settings(rules={name: Path(path) for name, path in rules.items()})
    right = True
    for verdict in chain.from_iterable(compare(Path(folder), settings) for folder in folders):
        right &= verdict.right
        print(verdict, flush=True)
        for sign, said in (("+", verdict.only_with), ("-", verdict.only_without)):
            for key in sorted(said)[:10]:
                print(f"    {sign} {' '.join(key)}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
