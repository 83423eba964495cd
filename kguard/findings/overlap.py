"""What sets of tools find together: their overlap, what is lost without one, and the fewest tools that find everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

from kguard.coverage_model import Drop, Kept, Loss, Overlap
from kguard.findings.gate import at_bar
from kguard.model import Finding, Severity

Tools = frozenset[str]

BARS = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.INFO)


def overlaps(found: Mapping[Tools, int]) -> tuple[Overlap, ...]:
    """Every set of tools that share a fault. `found`: how many faults were found by exactly which tools."""
    shared = {
        subset for tools in found for size in range(1, len(tools) + 1) for subset in combinations(sorted(tools), size)
    }
    made = (
        Overlap(
            tools=subset,
            exactly=found.get(frozenset(subset), 0),
            together=sum(count for tools, count in found.items() if tools.issuperset(subset)),
        )
        for subset in shared
    )
    return tuple(sorted(made, key=lambda item: (-item.exactly, -item.together, len(item.tools), item.tools)))


def drops(faults: Iterable[Finding], tools: Sequence[str]) -> tuple[Drop, ...]:
    """For each tool, the faults that nobody else found."""
    lost: dict[str, Counter[tuple[Severity, str]]] = {tool: Counter() for tool in tools}
    for fault in faults:
        if len(fault.tools) == 1 and fault.tools[0] in lost:
            lost[fault.tools[0]][fault.severity, fault.control] += 1
    return tuple(_drop(tool, lost[tool]) for tool in tools)


def _drop(tool: str, lost: Mapping[tuple[Severity, str], int]) -> Drop:
    losses = (Loss(control=control, severity=severity, faults=count) for (severity, control), count in lost.items())
    return Drop(
        tool=tool,
        by_severity={one: sum(count for (severity, _), count in lost.items() if severity is one) for one in Severity},
        controls=tuple(
            sorted(losses, key=lambda loss: (loss.severity.rank, -loss.faults, loss.control, loss.severity))
        ),
    )


def kept(faults: Iterable[Finding]) -> tuple[Kept, ...]:
    """For each severity, the fewest tools that find every fault from there up."""
    found = Counter((fault.severity, frozenset(fault.tools)) for fault in faults)
    return tuple(_kept(bar, {key: count for key, count in found.items() if at_bar(key[0], bar)}) for bar in BARS)


def _kept(bar: Severity, found: Mapping[tuple[Severity, Tools], int]) -> Kept:
    return Kept(severity=bar, faults=sum(found.values()), sets=smallest({tools for _, tools in found}))


def smallest(wanted: Collection[Tools]) -> tuple[tuple[str, ...], ...]:
    """Every smallest set that has a member of each of these: exact, by trying all in the order of their size, which is quick for the
    handful of tools that there are."""
    # what a narrower set asks for, its supersets have as well
    narrow = [tools for tools in wanted if not any(other < tools for other in wanted)]
    every = sorted(frozenset().union(*narrow))
    for size in range(len(every) + 1):
        enough = [
            chosen for chosen in combinations(every, size) if not any(tools.isdisjoint(chosen) for tools in narrow)
        ]
        if enough:
            return tuple(enough)
    return ()
