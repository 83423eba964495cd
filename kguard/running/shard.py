"""How the objects of a bundle are split over processes without changing what a tool finds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kguard.model import KubeObject, Splitting
from kguard.running.contract import Adapter

_WORTH_A_PROCESS = 50
"""Objects from which on a process of its own pays: trivy takes a second to start and about 30 ms an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The objects that one process reads."""

    objects: tuple[KubeObject, ...]
    context: frozenset[str] = frozenset()
    """Staged names of the objects that are here only for the others' sake; another part judges them."""

    @property
    def judged(self) -> tuple[KubeObject, ...]:
        return tuple(obj for obj in self.objects if obj.staged not in self.context)


def parts(adapter: Adapter, objects: Sequence[KubeObject], jobs: int) -> tuple[Part, ...]:
    """Split one bundle; every object is judged in exactly one part."""
    if not objects:
        return ()
    if adapter.unique_identities:
        return _by_identity(adapter, objects)
    if adapter.splitting is Splitting.OBJECT:
        return _by_number(adapter, objects, jobs)
    return (Part(objects=tuple(objects)),)


def _by_number(adapter: Adapter, objects: Sequence[KubeObject], jobs: int) -> tuple[Part, ...]:
    """Even shares, each with the objects that every part must see; the first part judges those too."""
    shared = [obj for obj in objects if obj.ref.kind in adapter.context_kinds]
    others = [obj for obj in objects if obj.ref.kind not in adapter.context_kinds]
    limit = max(1, (adapter.part_limit or len(objects)) - len(shared))
    count = max(math.ceil(len(others) / limit), min(jobs, len(others) // _WORTH_A_PROCESS), 1)
    size = math.ceil(len(others) / count)
    names = frozenset(obj.staged for obj in shared)
    return tuple(
        Part(
            objects=(*shared, *others[number * size : (number + 1) * size]),
            context=names if number else frozenset(),
        )
        for number in range(count)
        if number == 0 or others[number * size : (number + 1) * size]
    )


def _by_identity(adapter: Adapter, objects: Sequence[KubeObject]) -> tuple[Part, ...]:
    """The n-th objects of one name in the n-th part, each part with the partners that a run over all would have seen."""
    seen: Counter[tuple[str, str, str]] = Counter()
    rounds: list[list[KubeObject]] = []
    for obj in objects:
        number = seen[_identity(obj)]
        seen[_identity(obj)] += 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(obj)
    return tuple(_with_partners(adapter, own, rounds[0] if number else []) for number, own in enumerate(rounds))


def _with_partners(adapter: Adapter, own: Sequence[KubeObject], first: Sequence[KubeObject]) -> Part:
    taken = {_identity(obj) for obj in own}
    partners = [obj for obj in first if obj.ref.kind in adapter.context_kinds and _identity(obj) not in taken]
    return Part(objects=(*own, *partners), context=frozenset(obj.staged for obj in partners))


def _identity(obj: KubeObject) -> tuple[str, str, str]:
    return (obj.ref.kind, obj.ref.namespace or "", obj.ref.name)
