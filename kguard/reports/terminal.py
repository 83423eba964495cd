"""The report for a terminal: can this run be trusted, what is wrong worst first, and the verdict."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from tabulate import tabulate

from kguard.model import Finding, Report, RunState, ToolRun
from kguard.reports.summary import (
    in_order,
    marks,
    objects_read,
    remark,
    rules_on,
    summary_of,
    verdict,
    where,
)
from kguard.text import one_line

_ROWS = 12
_CODES = {
    "critical": "1;35",
    "high": "1;31",
    "medium": "33",
    "low": "36",
    "info": "2",
    "unknown": "33",
    "PASS": "1;32",
    "FAIL": "1;31",
    "INCOMPLETE": "1;33",
    "faint": "2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What the report is shown on."""

    width: int | None = None
    """Columns; None: nothing is cut (a pipe, a file)."""
    colour: bool = False
    every_row: bool = False
    verbose: bool = False
    """Also each file and what became of it, and what the tools warned of."""

    def paint(self, text: str, style: str) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.colour and style in _CODES else text

    def cut(self, text: str, width: int) -> str:
        """`text` in at most `width` columns, cut in the middle, where names differ least."""
        if self.width is None or len(text) <= width or width < 4:
            return text
        head = (width - 1) // 2
        return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def render(report: Report, terminal: Terminal) -> str:
    """The whole report; ends with a newline."""
    blocks = [
        _tools(report, terminal),
        _inputs(report, terminal),
        _details(report) if terminal.verbose else "",
        _findings(report, terminal),
        "\n".join(_wrapped(line, terminal) for line in _sums(report).splitlines()),
    ]
    words = verdict(report)
    last = f"{terminal.paint(words, words)}  {report.gate.reason} Exit {report.gate.exit_code}."
    return "\n\n".join([block for block in blocks if block] + [_wrapped(last, terminal)]) + "\n"


def notices(report: Report) -> str:
    """Only what must not be missed: the tools that are not ok, the inputs that were not read, and the verdict."""
    plain = Terminal()
    lines = [_tool_line(tool, plain) for tool in in_order(report) if not tool.state.complete]
    lines += [
        one_line(f"inputs      {bundle.path}: {bundle.reason}") for bundle in report.inputs.bundles if bundle.reason
    ]
    lines += [one_line(f"inputs      {problem}") for problem in report.inputs.problems]
    lines.append(f"{verdict(report)}  {report.gate.reason} Exit {report.gate.exit_code}.")
    return "\n".join(lines) + "\n"


def _tools(report: Report, terminal: Terminal) -> str:
    return "\n".join(_tool_line(tool, terminal) for tool in in_order(report))


def _tool_line(tool: ToolRun, terminal: Terminal) -> str:
    name = f"{tool.name} {tool.version or ''}".strip()
    seconds = f"{tool.seconds:.1f} s" if tool.seconds is not None else ""
    records = f"{tool.records:,} records" if tool.processes else ""
    style = "PASS" if tool.state is RunState.OK else "faint" if tool.state is RunState.SKIPPED else "FAIL"
    state = terminal.paint(f"{tool.state.value:13}", style)
    notes = one_line("; ".join(filter(None, (remark(tool), rules_on(tool) if tool.processes else ""))))
    line = f"{name:20} {state} {objects_read(tool):>18} {seconds:>8} {records:>15}  {notes}".rstrip()
    if terminal.width is None:
        return line
    return textwrap.fill(
        line, max(terminal.width, 60), subsequent_indent=" " * 22, break_long_words=False, drop_whitespace=True
    )


def _inputs(report: Report, terminal: Terminal) -> str:
    """Only what was not read: the rest is told by the JSON and the HTML report."""
    lines = [one_line(f"{bundle.path}: {bundle.reason}") for bundle in report.inputs.bundles if bundle.reason]
    lines += [one_line(str(problem)) for problem in report.inputs.problems]
    shown = lines if terminal.every_row else lines[:_ROWS]
    if len(lines) > len(shown):
        shown.append(f"... and {len(lines) - len(shown)} more (--all)")
    return "\n".join(_wrapped(terminal.paint("inputs", "FAIL") + f"  {line}", terminal) for line in shown)


def _details(report: Report) -> str:
    """Every file, every unread object, every warning."""
    lines = [
        f"{file.state.value:15} {file.path}  {file.reason or f'{file.objects} objects'}" for file in report.inputs.files
    ]
    for tool in in_order(report):
        lines += [
            f"{tool.name:15} {one.path}, document {one.document}: {one.object} unread: {one.reason}"
            for one in tool.unread
        ]
        lines += [f"{tool.name:15} warns: {line}" for line in tool.complaints]
    return "\n".join(one_line(line) for line in lines)


def _findings(report: Report, terminal: Terminal) -> str:
    if not report.findings:
        return ""
    shown = report.findings if terminal.every_row else report.findings[:_ROWS]
    widths = _widths(terminal)
    rows = [
        [
            terminal.paint(finding.severity.value, finding.severity.value),
            terminal.cut(_control(finding), widths[0]),
            terminal.cut(_object(finding), widths[1]),
            terminal.cut(where(finding), widths[2]),
            marks(finding),
        ]
        for finding in shown
    ]
    table = tabulate(
        rows, headers=["severity", "control", "object", "where", "tools"], tablefmt="plain", disable_numparse=True
    )
    rest = len(report.findings) - len(shown)
    if rest:
        table += terminal.paint(f"\n... {rest:,} more of {len(report.findings):,} (--all, or -o report.html)", "faint")
    return table + terminal.paint("\nkguard explain CONTROL tells what can go wrong, and what to do.", "faint")


def _widths(terminal: Terminal) -> tuple[int, int, int]:
    """Columns for control, object and where: what severity, tools and the gaps leave over."""
    free = max((terminal.width or 0) - 8 - 11 - 8, 36)
    return free * 30 // 100, free * 32 // 100, free * 38 // 100


def _control(finding: Finding) -> str:
    text = finding.control if finding.discriminator is None else f"{finding.control} ({finding.discriminator})"
    return one_line(text)


def _object(finding: Finding) -> str:
    """Kind and name, with the container behind a slash."""
    container = f"/{finding.container}" if finding.container else ""
    return one_line(f"{finding.object}{container}")


def _sums(report: Report) -> str:
    summary = summary_of(report)
    tools = sum(1 for tool in report.tools if tool.processes)
    severities = ", ".join(f"{count:,} {severity}" for severity, count in summary.by_severity.items() if count)
    ungated = sum(1 for finding in report.findings if not finding.gated)
    text = (
        f"{_faults(summary.findings)} from {summary.records:,} records of {tools} {'tool' if tools == 1 else 'tools'}"
    )
    text += f": {severities}." if severities else "."
    if ungated:
        text += f" {ungated:,} of them are outside the gate (unproven, or part of another)."
    if report.ignores:
        text += f" {len(report.ignores):,} annotations tell a tool to be silent."
    alone = ", ".join(f"{name} {count:,}" for name, count in summary.alone.items() if count)
    if alone and tools > 1:
        text += f"\nFound by one tool alone: {alone}."
    return text


def _faults(count: int) -> str:
    return "1 fault" if count == 1 else f"{count:,} faults"


def _wrapped(text: str, terminal: Terminal) -> str:
    if terminal.width is None:
        return text
    return textwrap.fill(text, max(terminal.width, 40), subsequent_indent="      ", break_long_words=False)
