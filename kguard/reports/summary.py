"""The sums over a report that every format shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from kguard.model import Report, RunState, Severity, ToolRun

INITIALS: Mapping[str, str] = {"kube-linter": "KL", "trivy": "TR", "kubescape": "KS", "polaris": "PO"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts over a whole report."""

    findings: int
    by_severity: Mapping[Severity, int]
    """Every severity, worst first."""
    alone: Mapping[str, int]
    """By tool: the findings that no other tool supports."""
    records: int
    evidence: int
    objects: int
    bundles: int
    files: int


def summary_of(report: Report) -> Summary:
    severities = Counter(finding.severity for finding in report.findings)
    alone = Counter(finding.tools[0] for finding in report.findings if len(finding.tools) == 1)
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
    """The runs in the order of the reports: kguard's own adapters first."""
    order = list(INITIALS)
    return sorted(
        report.tools, key=lambda tool: (order.index(tool.name) if tool.name in order else len(order), tool.name)
    )


def verdict(report: Report) -> str:
    """PASS, FAIL or INCOMPLETE."""
    return {0: "PASS", 1: "FAIL"}.get(report.gate.exit_code, "INCOMPLETE")


def initials(tool: str) -> str:
    """Two letters for a table cell."""
    return INITIALS.get(tool, tool[:2].upper())


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
