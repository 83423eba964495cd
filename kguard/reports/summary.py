"""The sums over a report that every format shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from kguard.model import Finding, Location, Precision, Report, RunState, Severity, ToolRun
from kguard.text import one_line
from kguard.tooldata import initials, place


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts over a whole report."""

    findings: int
    by_severity: Mapping[Severity, int]
    """Every severity, worst first."""
    alone: Mapping[str, int]
    """By tool: the findings inside the gate that no other tool supports."""
    records: int
    evidence: int
    objects: int
    bundles: int
    files: int


def summary_of(report: Report) -> Summary:
    severities = Counter(finding.severity for finding in report.findings)
    alone = Counter(finding.tools[0] for finding in report.findings if finding.gated and len(finding.tools) == 1)
    return Summary(
        findings=len(report.findings),
        by_severity={severity: severities[severity] for severity in Severity},
        alone={tool.name: alone[tool.name] for tool in in_order(report) if tool.state is not RunState.SKIPPED},
        records=sum(tool.records for tool in report.tools),
        evidence=sum(tool.evidence for tool in report.tools),
        objects=sum(bundle.objects for bundle in report.inputs.bundles),
        bundles=len(report.inputs.bundles),
        files=len(report.inputs.files),
    )


def in_order(report: Report) -> list[ToolRun]:
    """The runs that people are shown, in the order of the reports; a tool that is off by default and was not asked for is none."""
    return sorted((tool for tool in report.tools if not tool.off_by_default), key=lambda tool: place(tool.name))


def verdict(report: Report) -> str:
    """PASS, FAIL or INCOMPLETE."""
    return {0: "PASS", 1: "FAIL"}.get(report.gate.exit_code, "INCOMPLETE")


def marks(finding: Finding) -> str:
    """The initials of the tools that found it, in the order of the reports."""
    return " ".join(map(initials, sorted(finding.tools, key=place)))


def where(finding: Finding) -> str:
    """`path:line`, how precise the line is where it is not the field's own, and in how many places more."""
    more = len(finding.places)
    return at(finding.location) + (f" +{more} {'place' if more == 1 else 'places'}" if more else "")


def at(place: Location) -> str:
    line = f":{place.line}" if place.line is not None else ""
    precision = "" if place.precision is Precision.EXACT else f" ~{place.precision}"
    return one_line(f"{place.path}{line}{precision}")


def names_of(report: Report) -> Mapping[str, str]:
    """What people call each bundle, by its id; its path where two share a name."""
    named = Counter(bundle.name for bundle in report.inputs.bundles)
    return {
        bundle.id: bundle.name if bundle.name and named[bundle.name] == 1 else bundle.id
        for bundle in report.inputs.bundles
    }


def seats(finding: Finding, names: Mapping[str, str]) -> tuple[str, ...]:
    """Where a fault stands and where it does not, for one that several bundles could have."""
    if not (finding.places or finding.absent):
        return ()
    found = [names[finding.bundle], *(names[place.bundle] for place in finding.places)]
    silenced = [names[item.bundle] for item in finding.absent if item.silenced]
    only = "only in" if finding.absent and not silenced else "in"
    lines = [f"{only} {', '.join(dict.fromkeys(found))}"]
    lines += [
        f"cured in {names[item.bundle]} by {at(item.by)}" for item in finding.absent if item.by and not item.silenced
    ]
    lines += [f"silenced by an annotation in {name}" for name in silenced]
    return tuple(lines)


def objects_read(tool: ToolRun) -> str:
    """`144 objects`, `96 of 144 objects`: what a tool read of what was staged for it; nothing where it never ran."""
    counts = tool.objects
    if not tool.processes:
        return ""
    if counts.read is None:
        known = counts.staged - counts.unread
        return f"{counts.staged:,} objects" if not counts.unread else f"{known:,} of {counts.staged:,} objects"
    return (
        f"{counts.read:,} objects" if counts.read == counts.staged else f"{counts.read:,} of {counts.staged:,} objects"
    )


def rules_on(tool: ToolRun) -> str:
    """`52 rules (nsa 19, mitre 17, cis-v1.23-t1.0.1 23)`; nothing where it did not run or does not tell."""
    if tool.rules is None or tool.rules.active is None:
        return ""
    groups = ", ".join(f"{group.name} {group.rules:,}" for group in tool.rules.groups)
    return f"{tool.rules.active:,} rules" + (f" ({groups})" if groups else "")


def remark(tool: ToolRun) -> str:
    """What must be known about a run: why it is not ok, where its unread objects stand, what it did not look at."""
    parts = [tool.reason] if tool.reason else []
    if tool.unread and tool.state is RunState.DEGRADED:
        first = tool.unread[0]
        more = f" and {len(tool.unread) - 1} more" if len(tool.unread) > 1 else ""
        parts.append(f"{first.path}, document {first.document}{more}")
    if tool.objects.out_of_scope:
        parts.append(f"{tool.objects.out_of_scope:,} are of kinds that it has no rule for")
    return "; ".join(parts)
