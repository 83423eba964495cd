"""The report as Markdown: for a pull request, a job summary, a chat; it keeps to a size and says what it left out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from kguard.model import BundleState, ControlText, Finding, Report
from kguard.reports.summary import in_order, marks, names_of, objects_read, remark, seats, summary_of, verdict, where
from kguard.text import one_line

PULL_REQUEST_LIMIT = 65_536
"""Characters that a pull-request comment may have."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@:/-])")
_DETAILED = 12
_REST = 300
"""Characters kept free for the closing line."""


def render(report: Report, limit: int = PULL_REQUEST_LIMIT) -> str:
    """Head, table, details of the worst: as many findings as fit in `limit` characters."""
    head = _head(report)
    rows, shown = _rows(report, limit - len(head) - _REST)
    used = len(head) + sum(map(len, rows))
    details = _details(report, shown, limit - used - _REST)
    return "".join([head, *rows, "\n", *details, _closing(report, shown)])


def _head(report: Report) -> str:
    environment = Environment(
        loader=PackageLoader("kguard.templates", "."),
        autoescape=False,  # noqa: S701 - Markdown: the filters `text` and `code` escape what came from manifests and tools
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(text=text, code=code, objects_read=objects_read, remark=remark)
    return environment.get_template("report.md.j2").render(
        report=report,
        tools=in_order(report),
        verdict=verdict(report),
        incomplete=[tool for tool in in_order(report) if not tool.state.complete],
        unrendered=[bundle for bundle in report.inputs.bundles if bundle.state is BundleState.FAILED],
        sums=_sums(report),
    )


def _sums(report: Report) -> str:
    summary = summary_of(report)
    severities = ", ".join(f"{count:,} {severity}" for severity, count in summary.by_severity.items() if count)
    silenced = f" {len(report.ignores):,} annotations tell a tool to be silent." if report.ignores else ""
    return f"**{summary.findings:,} faults** from {summary.records:,} records: {severities or 'none'}.{silenced}"


def _rows(report: Report, room: int) -> tuple[list[str], int]:
    """The table and the number of findings in it."""
    if not report.findings:
        return [], 0
    lines = ["| severity | control | object | where | tools |\n", "|---|---|---|---|---|\n"]
    room -= sum(map(len, lines))
    for shown, finding in enumerate(report.findings):
        line = _row(finding)
        # half of the room is for the details of the worst
        if len(line) > room or (shown >= _DETAILED and len(line) > room // 2):
            return lines, shown
        lines.append(line)
        room -= len(line)
    return lines, len(report.findings)


def _row(finding: Finding) -> str:
    name = finding.control if finding.discriminator is None else f"{finding.control} ({finding.discriminator})"
    container = f" / {finding.container}" if finding.container else ""
    cells = (
        str(finding.severity),
        text(name),
        text(f"{finding.object}{container}"),
        code(where(finding)),
        marks(finding),
    )
    return f"| {' | '.join(cells)} |\n"


def _details(report: Report, shown: int, room: int) -> list[str]:
    names, texts = names_of(report), {text.id: text for text in report.controls}
    blocks: list[str] = []
    for finding in report.findings[: min(shown, _DETAILED)]:
        block = _detail(finding, names, texts.get(finding.control))
        if len(block) > room:
            break
        blocks.append(block)
        room -= len(block)
    return blocks


def _detail(finding: Finding, names: Mapping[str, str], control: ControlText | None) -> str:
    container = f", container {finding.container}" if finding.container else ""
    lines = [
        "<details>",
        f"<summary>{html(finding.control)} on {html(str(finding.object))}{html(container)}: fix and evidence</summary>",
        "",
        *(f"- **{text(item.tool)}** {code(item.rule)}: {text(item.message)}" for item in finding.evidence),
    ]
    if seats(finding, names) or finding.location.values:
        values = [f"the template reads {', '.join(f'.Values.{value}' for value in finding.location.values)}"]
        lines += ["", text("; ".join([*seats(finding, names), *(values if finding.location.values else [])]))]
    if control is not None and control.harm:
        lines += ["", text(control.harm)]
    if finding.remediation:
        lines += ["", f"**Fix:** {text(finding.remediation)}"]
    if control is not None and control.example:
        lines += ["", *_block([one_line(line) for line in control.example.rstrip().splitlines()], "yaml")]
    if finding.excerpt is not None:
        lines += ["", *_block([one_line(line) for line in finding.excerpt.lines])]
    return "\n".join([*lines, "", "</details>", "", ""])


def _block(lines: list[str], language: str = "") -> list[str]:
    """A fenced block, its fence longer than any run of backticks in it: indented code would be a list's next line."""
    fence = "`" * max(3, *(len(run) + 1 for line in lines for run in re.findall(r"`+", line)), 3)
    return [f"{fence}{language}", *lines, fence]


def _closing(report: Report, shown: int) -> str:
    total = len(report.findings)
    if shown < total:
        return f"\n{shown:,} of {total:,} findings shown, worst first; the others did not fit. The HTML or JSON report has all.\n"
    return f"\nAll {total:,} findings shown.\n" if total else "\nNo findings.\n"


def text(value: str) -> str:
    """Plain text: no markup, no HTML, no mention, no link, one line."""
    return _SPECIAL.sub(_escaped, one_line(value))


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    # a backslash does not stop GitHub's mentions and bare links; a zero-width space after @ and an entity for : do
    return {"@": "@\u200b", "<": "&lt;", ">": "&gt;", "&": "&amp;", ":": "&#58;", "/": "/", "-": "-"}.get(
        character, f"\\{character}"
    )


def code(value: str) -> str:
    """A code span: a fence longer than any run of backticks in it; pipes would end a table cell."""
    plain = one_line(value).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall(r"`+", plain)), default=0) + 1)
    space = " " if "`" in plain else ""
    return f"{fence}{space}{plain}{space}{fence}"


def html(value: str) -> str:
    """Text inside an HTML element; no character of Markdown's either, because renderers differ in what they read there."""
    return "".join(
        f"&#{ord(character)};" if character in "&<>[]`*_|" else character for character in one_line(value)
    ).replace("@", "@\u200b")
