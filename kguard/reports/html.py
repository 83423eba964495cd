"""The report as one HTML file: no network, no framework, a strict content security policy, the findings as data in the page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kguard.coverage_model import Coverage
from kguard.model import BundleState, Finding, Report, RunState, Severity
from kguard.reports import coverage_html
from kguard.reports.summary import at, in_order, names_of, objects_read, rules_on, summary_of, verdict, where
from kguard.text import one_line, printable
from kguard.tooldata import initials

View = Literal["findings", "coverage"]

_START_HERE = 8
_WITHOUT_SCRIPT = 50
_UNSAFE = re.compile("[<>&\u2028\u2029]")
_HELD = 20_000
"""Findings that the page holds: twice what it must be pleasant with, and about 35 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """A control by what it costs."""

    control: str
    title: str
    severity: Severity
    findings: int
    objects: int
    harm: str
    remediation: str


def render(report: Report, coverage: Coverage | None = None, view: View = "findings") -> str:
    """The whole page."""
    return "".join(pieces(report, coverage, view))


def pieces(report: Report, coverage: Coverage | None = None, view: View = "findings") -> Iterator[str]:
    """The page in pieces. Everything from manifests and tools is escaped, by the template or as JSON in a data block. `coverage`: the
    comparison of its tools, for a view of its own; `view`: the one that is shown first."""
    style, script = _asset("report.css"), _asset("report.js")
    environment = Environment(
        loader=PackageLoader("kguard.templates", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(plain=one_line)
    return environment.get_template(
        "report.html.j2"
    ).generate(
        report=report,
        verdict=verdict(report),
        summary=summary_of(report),
        bars=_bars(report),
        tools=[
            {
                "run": tool,
                "read": objects_read(tool),
                "rules": one_line(rules_on(tool)),
            }
            for tool in in_order(report)
        ],
        unrendered=[bundle for bundle in report.inputs.bundles if bundle.state is BundleState.FAILED],
        start_here=_start_here(report),
        ungated=sum(1 for finding in report.findings if not finding.gated),
        held=min(_HELD, len(report.findings)),
        first=[(finding, where(finding)) for finding in report.findings[:_WITHOUT_SCRIPT]],
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        data=_data(report),
        initials=_json({tool: initials(tool) for finding in report.findings for tool in finding.tools}),
        controls=_controls(report),
        policy=_policy(style, script),
        incomplete=[tool for tool in in_order(report) if not tool.state.complete],
        skipped=RunState.SKIPPED,
        first_view=view,
        view=coverage_html.view(coverage, report.findings[:_HELD]) if coverage else None,
    )


def _asset(name: str) -> str:
    return (files("kguard.templates") / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing but our own style and script, by their digests: an injected one does not run."""
    return f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _bars(report: Report) -> list[dict[str, Any]]:
    """The severity bar as parts of 1,000, each at least wide enough to be seen."""
    counts = {severity: count for severity, count in summary_of(report).by_severity.items() if count}
    total = sum(counts.values())
    widths = {severity: max(8, round(984 * count / total)) for severity, count in counts.items()}
    scale = 1000 / sum(widths.values()) if widths else 1
    bars, left = [], 0.0
    for severity, count in counts.items():
        bars.append(
            {"severity": severity, "count": count, "x": round(left, 1), "width": round(widths[severity] * scale, 1)}
        )
        left += widths[severity] * scale
    return bars


def _start_here(report: Report) -> list[Harm]:
    """The controls with the most harm: severity first, then how many objects."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    texts = {text.id: text for text in report.controls}
    for finding in report.findings:
        if finding.gated:
            groups[finding.control].append(finding)
    harms = [
        Harm(
            control=control,
            title=found[0].title,
            severity=found[0].severity,
            findings=len(found),
            objects=len({(finding.bundle, finding.location.path, finding.object) for finding in found}),
            harm=texts[control].harm if control in texts else "",
            remediation=found[0].remediation,
        )
        for control, found in groups.items()
    ]
    return sorted(harms, key=lambda harm: (harm.severity.rank, -harm.objects, harm.control))[:_START_HERE]


def _data(report: Report) -> Iterator[Markup]:
    """The worst findings for the script, each as JSON."""
    names = names_of(report)
    for finding in report.findings[:_HELD]:
        yield _json(_row(finding, names))


def _controls(report: Report) -> Markup:
    """What is said of the controls of these findings, by id."""
    held = report.findings[:_HELD]
    # an unmapped rule and an older report have no more than the finding's own words
    said = {finding.control: {"remediation": printable(finding.remediation)} for finding in held}
    for text in report.controls:
        if text.id in said:
            said[text.id] = {
                "because": printable(text.because) if report.severity_rule == "catalogue" else "",
                "harm": printable(text.harm),
                "remediation": printable(text.remediation),
                "example": printable(text.example),
            }
    return _json(said)


def _json(value: object) -> Markup:
    """JSON in which no character can end the element that holds it."""
    text = msgspec.json.encode(value).decode()
    return Markup(_UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text))  # noqa: S704 - it is safe now


def _row(finding: Finding, names: Mapping[str, str]) -> dict[str, Any]:
    excerpt = finding.excerpt
    return {
        "id": finding.fingerprint,
        "control": one_line(finding.control),
        "title": one_line(finding.title),
        "severity": finding.severity,
        "category": finding.category,
        "gated": finding.gated,
        "bundles": [one_line(bundle) for bundle in (finding.bundle, *(place.bundle for place in finding.places))],
        "also": [
            {
                "bundle": one_line(names[place.bundle]),
                "object": one_line(str(place.object)),
                "where": at(place.location),
            }
            for place in finding.places
        ],
        "absent": [
            {
                "bundle": one_line(names[item.bundle]),
                "by": at(item.by) if item.by else None,
                "silenced": item.silenced,
            }
            for item in finding.absent
        ],
        "values": [one_line(value) for value in finding.location.values],
        "kind": one_line(finding.object.kind),
        "namespace": one_line(finding.object.namespace or ""),
        "name": one_line(finding.object.name),
        "container": one_line(finding.container or ""),
        "what": one_line(finding.discriminator or ""),
        "path": one_line(finding.location.path),
        "line": finding.location.line,
        "end": finding.location.end_line,
        "precision": finding.location.precision,
        "tools": finding.tools,
        "said": [
            {
                "tool": item.tool,
                "rule": item.rule,
                "title": printable(item.title),
                "severity": item.native_severity,
                "message": printable(item.message),
                "url": item.url if item.url and item.url.startswith("https://") else None,
                "object": one_line(str(item.object)) if item.object else None,
                "why": printable(item.why_merged),
                "located": item.located,
            }
            for item in finding.evidence
        ],
        "related": finding.related,
        "fix": one_line(finding.fix.path) if finding.fix else None,
        "references": [{"name": item.name, "url": item.url} for item in finding.references],
        "excerpt": {"line": excerpt.line, "lines": excerpt.lines, "at": excerpt.at, "rendered": excerpt.rendered}
        if excerpt
        else None,
    }
