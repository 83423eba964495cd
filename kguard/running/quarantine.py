"""Which objects kill a tool: found by halving what it reads, so that they cost nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from kguard.model import KubeObject, ObjectRef, Origin, Outcome, RunState, Span
from kguard.running.results import Ended
from kguard.running.shard import Part

T = TypeVar("T")

MOST_RUNS = 200
"""Processes that a search may start: one killer among 500 objects takes 18, each further one about as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killers(Generic[T]):
    """What has to be left out so that a tool lives."""

    found: tuple[tuple[T, str], ...]
    """Each with what the tool says when it dies of it alone."""
    unsure: tuple[T, ...]
    """Members of groups that kill, of which none was found to kill alone: the search was over, or they kill only together."""


def find_killers(
    items: Sequence[T], dies: Callable[[Sequence[T]], str | None], may_go_on: Callable[[], bool] = lambda: True
) -> Killers[T]:
    """Halve what kills until single items are left. `items` together kill; `dies` runs the tool over some and tells its last words,
    None when it lives. Ends after MOST_RUNS runs, or when `may_go_on` says no."""
    waiting: list[tuple[Sequence[T], str]] = [(items, "")]
    found: list[tuple[T, str]] = []
    unsure: list[T] = []
    runs = 0
    while waiting:
        group, words = waiting.pop()
        if len(group) == 1:
            found.append((group[0], words or dies(group) or "it dies"))
            continue
        if runs + 2 > MOST_RUNS or not may_go_on():
            unsure += group
            continue
        halves = [group[: len(group) // 2], group[len(group) // 2 :]]
        runs += len(halves)
        deadly = [(half, said) for half in halves if (said := dies(half)) is not None]
        waiting += reversed(deadly)
        if not deadly:
            unsure += group
    return Killers(found=tuple(found), unsure=tuple(unsure))


_HARMLESS = """apiVersion: v1
kind: ConfigMap
metadata:
  name: kguard-harmless
  namespace: kguard
"""


class Quarantine:
    """Runs a tool that died again, without what kills it."""

    def __init__(self, run: Callable[[Sequence[KubeObject]], Ended], seconds: float) -> None:
        """`run`: the tool over some objects of the part. No search is begun or gone on with after `seconds`."""
        self._run, self._until = run, time.monotonic() + seconds
        self._tries: list[Outcome] = []

    def healed(self, died: Ended, part: Part) -> Ended:
        """What the tool says of all objects but its killers, which are unread, each with the tool's own words. What it was when it
        died where nothing can be done: a tool that dies of a harmless object is broken itself."""
        self._tries.append(died.outcome)
        objects = [obj for obj in part.objects if obj is not part.canary]
        if self._dies([_harmless(objects[0].bundle)]) is not None:
            return self._spent(died, died.started)
        killers = find_killers(objects, self._dies, lambda: time.monotonic() < self._until)
        reasons = {obj.staged: f"it kills the tool: {words}" for obj, words in killers.found}
        reasons |= dict.fromkeys((obj.staged for obj in killers.unsure), "in a group that kills the tool")
        rest = [obj for obj in objects if obj.staged not in reasons]
        alive = self._run(rest) if rest else died
        if alive is not died:
            self._tries.append(alive.outcome)
        if alive.parsed is None:
            return self._spent(died, died.started)
        return self._spent(_without(alive, died, reasons), died.started)

    def _spent(self, ended: Ended, started: float) -> Ended:
        """With the cost of the whole search."""
        tries = tuple(outcome for outcome in self._tries if outcome is not ended.outcome)
        return replace(ended, tries=tries, started=started, searched_until=time.monotonic())

    def _dies(self, objects: Sequence[KubeObject]) -> str | None:
        ended = self._run(objects)
        self._tries.append(ended.outcome)
        return (ended.reason or ended.state) if ended.parsed is None else None


def _without(alive: Ended, died: Ended, reasons: dict[str, str]) -> Ended:
    left_out = [(file, reasons[file.path]) for file in died.part.files if file.path in reasons and not file.context]
    counts = alive.account.counts
    counts = replace(counts, staged=counts.staged + len(left_out), unread=counts.unread + len(left_out))
    account = replace(alive.account, counts=counts, unread=(*alive.account.unread, *left_out))
    state = RunState.DEGRADED if left_out else alive.state
    return replace(alive, state=state, account=account)


def _harmless(bundle: str) -> KubeObject:
    """An object that no tool can have anything against."""
    ref = ObjectRef(group="", version="v1", kind="ConfigMap", namespace="kguard", name="kguard-harmless")
    origin = Origin(path="-", document=1, item=None, span=Span(1, 5))
    return KubeObject(
        bundle=bundle, staged="tree/kguard-harmless.yaml", ref=ref, origin=origin, text=_HARMLESS.encode(), text_line=1
    )
