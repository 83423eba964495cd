"""`kguard coverage`: the tools of a run compared, from a report and the catalogue to who finds what and what is lost without whom."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from kguard.coverage_model import By, Coverage, Disagreement, Gap, ToolTotals
from kguard.findings.catalogue import Catalogue
from kguard.findings.labels import Labels, read_labels
from kguard.findings.matrix import checked, rows
from kguard.findings.overlap import drops, kept, overlaps
from kguard.findings.scoring import score
from kguard.findings.severity import severity_of
from kguard.model import BundleState, Finding, Look, Report, RunState, Severity
from kguard.tooldata import place

__all__ = ["compare", "read_labels"]


def compare(
    report: Report,
    catalogue: Catalogue,
    *,
    by: By = By.CONTROL,
    labels: Labels | None = None,
    find: Callable[[str], str | None] = str,
) -> Coverage:
    """What each tool of a run found of all that any of them found. The catalogue is the user's (`customised`); `find`: what the run
    calls the file of a label, None for one that it does not have."""
    asked = (tool for tool in report.tools if not tool.off_by_default)
    report = replace(report, tools=tuple(sorted(asked, key=lambda tool: place(tool.name))))
    faults = [finding for finding in report.findings if finding.gated]
    made, counts = rows(faults, report, catalogue, by)
    return Coverage(
        profile=report.profile,
        frameworks=report.frameworks,
        by=by,
        objects=sum(bundle.objects for bundle in report.inputs.bundles),
        faults=len(faults),
        outside=len(report.findings) - len(faults),
        gaps=tuple(_gaps(report)),
        tools=tuple(_totals(report, faults, counts, catalogue)),
        rows=made,
        overlaps=overlaps(Counter(frozenset(fault.tools) for fault in faults)),
        drops=drops(faults, [tool.name for tool in report.tools if tool.state is not RunState.SKIPPED]),
        kept=kept(faults),
        disagreements=tuple(_disagreements(faults)),
        labels=score(labels, report, catalogue, find) if labels else None,
    )


def _gaps(report: Report) -> Iterator[Gap]:
    allowed = {name for name, _ in report.allow_incomplete}
    for tool in report.tools:
        if not tool.state.complete:
            reason = f"{tool.state}: {tool.reason}" if tool.reason else str(tool.state)
            yield Gap(name=tool.name, reason=reason, allowed=tool.name in allowed)
    lost = [bundle for bundle in report.inputs.bundles if bundle.state is BundleState.FAILED]
    words = [f"{problem}" for problem in report.inputs.problems] + [f"{it.path}: {it.reason}" for it in lost]
    if words:
        more = f"; and {len(words) - 1} more" if len(words) > 1 else ""
        yield Gap(name="inputs", reason=f"not read by any tool: {words[0]}{more}", allowed="inputs" in allowed)


def _totals(
    report: Report, faults: Sequence[Finding], counts: Mapping[str, Mapping[Look, int]], catalogue: Catalogue
) -> Iterator[ToolTotals]:
    alone = Counter(fault.tools[0] for fault in faults if len(fault.tools) == 1)
    checks = checked(report.tools, catalogue)
    for tool in report.tools:
        others = frozenset[str]().union(*(own for name, own in checks.items() if name != tool.name))
        yield ToolTotals(
            run=tool,
            faults=len(faults),
            counts=counts[tool.name],
            alone=alone[tool.name],
            checks=len(checks[tool.name]),
            only=len(checks[tool.name] - others),
        )


def _disagreements(faults: Sequence[Finding]) -> Iterator[Disagreement]:
    """Worst first; of tools without severities there is nothing to say."""
    groups: defaultdict[tuple[str, Severity, tuple[tuple[str, Severity], ...]], list[Finding]] = defaultdict(list)
    for fault in faults:
        words = _words(fault)
        if len({severity for _, severity in words}) > 1:
            groups[fault.control, fault.severity, words].append(fault)
    for (control, severity, words), found in sorted(
        groups.items(), key=lambda item: (item[0][1].rank, -len(item[1]), item[0])
    ):
        yield Disagreement(control=control, severity=severity, words=words, faults=len(found), example=found[0])


def _words(fault: Finding) -> tuple[tuple[str, Severity], ...]:
    """The worst word of each tool, by name."""
    worst: dict[str, Severity] = {}
    for said in fault.evidence:
        severity = severity_of(said.native_severity)
        if severity is not Severity.UNKNOWN and (said.tool not in worst or severity.rank < worst[said.tool].rank):
            worst[said.tool] = severity
    return tuple(sorted(worst.items()))
