"""The account of every tool held against a count of our own: staged = read + out of scope + unread, of all objects that there are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import counting

from kguard.model import BundleKind, Inventory, RunState, ToolRun
from kguard.scan import Gathered

NEVER_RAN = (RunState.MISSING, RunState.SKIPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the table: one tool over one folder."""

    folder: str
    counted: int
    """Objects in the folder, as `counting.py` has it."""
    run: ToolRun
    wrong: tuple[str, ...]
    """What does not add up."""

    def __str__(self) -> str:
        held = self.run.objects
        sums = (
            f"{held.staged:6} = {held.read or 0:4} read + {held.out_of_scope:4} out of scope + {held.unread:3} unread"
        )
        return "\n    ! ".join((f"{self.folder:30} {self.run.name:12} {sums}   {self.counted:4} counted", *self.wrong))


def held(gathered: Gathered, folder: Path) -> Iterator[Line]:
    """The account of every tool that ran over a folder."""
    counted, found = counting.count(folder), _by_source(gathered.inventory, folder)
    elsewhere = tuple(
        f"{source}: kguard has {found[source]} objects, and there are {counted[source]}"
        for source in sorted(counted.keys() | found.keys())
        if counted[source] != found[source]
    )
    for run in gathered.tools:
        if run.state not in NEVER_RAN:
            wrong = (*_wrong(run, counted.total()), *elsewhere)
            yield Line(folder=str(folder), counted=counted.total(), run=run, wrong=wrong)


def _wrong(run: ToolRun, counted: int) -> Iterator[str]:
    counts = run.objects
    if counts.read is None:
        yield "it cannot tell what it read"
    elif counts.staged != counts.read + counts.out_of_scope + counts.unread:
        yield "the sum is wrong"
    if counts.staged != counted:
        yield f"{counts.staged} staged, and there are {counted}"
    if counts.unread != len(run.unread):
        yield f"{counts.unread} unread, and {len(run.unread)} of them named"
    if bool(counts.out_of_scope) != bool(run.out_of_scope):
        yield f"{counts.out_of_scope} out of scope, and the kinds of that are {run.out_of_scope}"


def _by_source(inventory: Inventory, folder: Path) -> Counter[str]:
    """kguard's objects in the words of `counting.count`."""
    found: Counter[str] = Counter()
    for file in inventory.files:
        found[f"plain {os.path.relpath(file.path, folder)}"] += file.objects
    for bundle in inventory.bundles:
        if bundle.kind is not BundleKind.PLAIN:
            found[f"{bundle.kind} {os.path.relpath(bundle.path, folder)}"] += len(bundle.objects)
    return +found
