"""The matrix of a comparison: for each control, or group of faults, what each tool has to do with it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from kguard.coverage_model import NONE, By, CoverageCell, CoverageRow
from kguard.findings.catalogue import Catalogue
from kguard.findings.looked import Cell, Look, Witnesses, check
from kguard.model import Finding, Report, ToolRun

FIRST = (
    Look.FOUND,
    Look.ON,
    Look.MISSED,
    Look.PARTIAL,
    Look.SILENCED,
    Look.DID_NOT_LOOK,
    Look.OUT_OF_SCOPE,
    Look.NOT_KNOWN,
    Look.OFF,
    Look.NO_RULE,
)
"""Of several things that there are to say of a tool, the one that is said first."""


def first(looks: Iterable[Look]) -> Look:
    """What is said first of several; there is at least one."""
    return min(looks, key=FIRST.index)


class Tally:
    """What one tool has to do with the faults of a row, fault by fault."""

    def __init__(self) -> None:
        self._counts: Counter[Look] = Counter()
        self._firsts: dict[Look, tuple[Cell, Finding]] = {}

    def add(self, cell: Cell, fault: Finding) -> None:
        self._counts[cell.state] += 1
        self._firsts.setdefault(cell.state, (cell, fault))

    def cell(self, *, of_one_control: bool) -> CoverageCell:
        state = first(self._counts)
        missed = self._firsts.get(Look.MISSED)
        said, _ = missed or self._firsts[state]
        return CoverageCell(
            state=state,
            counts={look: self._counts[look] for look in FIRST if self._counts[look]},
            rules=self._firsts[state][0].rules if of_one_control else (),
            why=said.why if of_one_control else "",
            example=missed[1] if missed else None,
        )


def rows(
    faults: Sequence[Finding], report: Report, catalogue: Catalogue, by: By
) -> tuple[tuple[CoverageRow, ...], Mapping[str, Mapping[Look, int]]]:
    """The rows, worst first, and for each tool the faults by what it has to do with them. `faults` come in the order of the report."""
    witnesses = Witnesses(report, catalogue)
    groups: defaultdict[str, dict[str, Tally]] = defaultdict(lambda: {tool.name: Tally() for tool in report.tools})
    members: defaultdict[str, list[Finding]] = defaultdict(list)
    totals: dict[str, Counter[Look]] = {tool.name: Counter() for tool in report.tools}
    group_of = _GROUPS[by]
    for fault in faults:
        names = group_of(fault)
        for name in names:
            members[name].append(fault)
        for cell in witnesses.of(fault):
            totals[cell.tool][cell.state] += 1
            for name in names:
                groups[name][cell.tool].add(cell, fault)
    made = [_row(name, members[name], tallies, by) for name, tallies in groups.items()]
    if by is By.CONTROL:
        made += _clean(report.tools, catalogue, groups.keys())
    return tuple(sorted(made, key=_order)), totals


def _row(name: str, faults: Sequence[Finding], tallies: Mapping[str, Tally], by: By) -> CoverageRow:
    of_one_control = by is By.CONTROL
    return CoverageRow(
        name=name,
        title=faults[0].title if of_one_control else "",
        severity=min((fault.severity for fault in faults), key=lambda severity: severity.rank),
        category=faults[0].category if of_one_control else "",
        faults=len(faults),
        cells={tool: tally.cell(of_one_control=of_one_control) for tool, tally in tallies.items()},
    )


def _order(row: CoverageRow) -> tuple[object, ...]:
    return (not row.faults, row.severity.rank, -row.faults, row.name)


def _clean(tools: Sequence[ToolRun], catalogue: Catalogue, found: Collection[str]) -> Iterator[CoverageRow]:
    """The controls that a tool checked, and of which none found a fault."""
    for control in catalogue.controls.values():
        if control.id in found:
            continue
        cells = {tool.name: check(tool, control.id, catalogue) for tool in tools}
        if any(cell.state in (Look.ON, Look.PARTIAL) for cell in cells.values()):
            yield CoverageRow(
                name=control.id,
                title=control.title,
                severity=control.severity,
                category=control.category,
                faults=0,
                cells={
                    tool: CoverageCell(state=cell.state, counts={}, rules=cell.rules, why=cell.why)
                    for tool, cell in cells.items()
                },
            )


def checked(tools: Sequence[ToolRun], catalogue: Catalogue) -> Mapping[str, frozenset[str]]:
    """For each tool, the controls of which it had a check on, at least for a part."""
    return {
        tool.name: frozenset(
            control
            for control in catalogue.controls
            if check(tool, control, catalogue).state in (Look.ON, Look.PARTIAL)
        )
        for tool in tools
    }


def _frameworks(fault: Finding) -> Iterable[str]:
    """`CIS`, `NSA`, `PSS baseline`: the names of its references as far as their numbers."""
    names = (re.split(r"[ -](?=[A-Z]*\d)", reference.name)[0] for reference in fault.references)
    return dict.fromkeys(names) or (NONE,)


_GROUPS: Mapping[By, Callable[[Finding], Iterable[str]]] = {
    By.CONTROL: lambda fault: (fault.control,),
    By.CATEGORY: lambda fault: (fault.category or NONE,),
    By.NAMESPACE: lambda fault: (fault.object.namespace or NONE,),
    By.FRAMEWORK: _frameworks,
}
