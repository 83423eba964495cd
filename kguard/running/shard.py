"""How the objects of a bundle are split over processes without changing what a tool finds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kguard.model import KubeObject, ObjectRef, Splitting
from kguard.running.contract import Adapter

_WORTH_A_PROCESS = 50
"""Objects from which on a process of its own pays: trivy takes a second to start and about 30 ms an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The objects that one process reads, in the bundle's order."""

    objects: tuple[KubeObject, ...]
    context: frozenset[str] = frozenset()
    """Staged names of the objects that are here only for the others' sake; another part judges them."""
    canary: KubeObject | None = None
    """Among the objects, and context: nobody is told what is said of it."""

    @property
    def judged(self) -> tuple[KubeObject, ...]:
        return tuple(obj for obj in self.objects if obj.staged not in self.context)

    def watched(self, canary: KubeObject) -> Part:
        """The part with the canary in it."""
        return replace(self, objects=(*self.objects, canary), context=self.context | {canary.staged}, canary=canary)


def parts(adapter: Adapter, objects: Sequence[KubeObject], jobs: int) -> tuple[Part, ...]:
    """Split one bundle for a tool that may run as `jobs` processes side by side; each object is judged in exactly one part."""
    if not objects:
        return ()
    if adapter.unique_identities:
        return _by_identity(adapter, objects)
    if adapter.splitting is Splitting.OBJECT:
        return _by_number(adapter, objects, jobs)
    return (Part(objects=tuple(objects)),)


def _by_number(adapter: Adapter, objects: Sequence[KubeObject], jobs: int) -> tuple[Part, ...]:
    """Even shares. Where objects are judged alone, a context kind matters by being there, whatever it says: trivy looks for a
    LimitRange and then judges all objects by a further check. So one object of each context kind goes into every part."""
    context: dict[tuple[str, str, str], KubeObject] = {}
    for obj in objects:
        if obj.ref.kind in adapter.context_kinds:
            context.setdefault((obj.ref.group, obj.ref.version, obj.ref.kind), obj)
    every_part = {obj.staged for obj in context.values()}
    others = [obj for obj in objects if obj.staged not in every_part]
    limit = max(1, adapter.part_limit - len(every_part)) if adapter.part_limit else len(others) or 1
    count = _process_count(len(others), limit, jobs)
    return tuple(_share(objects, others[number::count], every_part, first=number == 0) for number in range(count))


def _process_count(objects: int, limit: int, jobs: int) -> int:
    """As few processes as the limit allows, then more while that keeps all jobs busy and each has enough to do."""
    fewest = max(1, math.ceil(objects / limit))
    full_rounds = math.ceil(fewest / jobs) * jobs
    return max(fewest, min(full_rounds, objects // _WORTH_A_PROCESS))


def _share(objects: Sequence[KubeObject], own: Sequence[KubeObject], every_part: set[str], *, first: bool) -> Part:
    names = every_part.union(obj.staged for obj in own)
    return Part(
        objects=tuple(obj for obj in objects if obj.staged in names),
        context=frozenset() if first else frozenset(every_part),
    )


def _by_identity(adapter: Adapter, objects: Sequence[KubeObject]) -> tuple[Part, ...]:
    """The n-th objects of each name in the n-th part, each part with the partners that a run over all would have seen."""
    rounds: list[list[KubeObject]] = []
    copies: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for obj in objects:
        number = copies[_identity(obj.ref)]
        copies[_identity(obj.ref)] += 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(obj)
    # the first round holds every name there is, so that it needs no partners, and the other rounds find all of theirs in it
    first, *others = rounds
    return (Part(objects=tuple(first)), *(_with_partners(adapter, own, first) for own in others))


def _with_partners(adapter: Adapter, own: Sequence[KubeObject], first: Sequence[KubeObject]) -> Part:
    taken = {_identity(obj.ref) for obj in own}
    partners = [obj for obj in first if obj.ref.kind in adapter.context_kinds and _identity(obj.ref) not in taken]
    return Part(objects=(*own, *partners), context=frozenset(obj.staged for obj in partners))


def _identity(ref: ObjectRef) -> tuple[str, str, str]:
    """All that a tool with `unique_identities` tells objects apart by."""
    return (ref.kind, ref.namespace or "", ref.name)
