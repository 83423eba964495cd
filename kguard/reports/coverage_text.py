"""The comparison of tools as tables of words: on a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tabulate import tabulate

from kguard.coverage_model import By, Coverage, CoverageCell, CoverageRow, Drop, Gap, LabelScores, ToolTotals
from kguard.model import Finding, Look, Severity
from kguard.reports.markdown import PULL_REQUEST_LIMIT
from kguard.reports.markdown import text as escaped
from kguard.reports.summary import where
from kguard.reports.terminal import Terminal
from kguard.text import one_line

SILENCES = (
    Look.MISSED,
    Look.PARTIAL,
    Look.SILENCED,
    Look.OUT_OF_SCOPE,
    Look.DID_NOT_LOOK,
    Look.NOT_KNOWN,
    Look.OFF,
    Look.NO_RULE,
)
"""What a tool that did not find a fault can have to do with it, in the order of the columns."""
ALL_TOOLS = "all together"
SEVERAL = "A fault may stand in several frameworks, so these rows do not add up to all faults."

_MOST = 3
"""Controls named of those that a tool's faults are of."""
_ROWS = 100
"""Rows of a table in Markdown."""
_LEAST = 26
"""Columns of a terminal that a cell keeps, so that no fingerprint is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table with what stands around it."""

    head: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    right: frozenset[int] = frozenset()
    """Columns of numbers."""


def render(coverage: Coverage, terminal: Terminal) -> str:
    """For a terminal; ends with a newline."""
    blocks = [headline(coverage), *(_table(section, terminal) for section in sections(coverage, terminal.every_row))]
    return "\n\n".join(blocks) + "\n"


def markdown(coverage: Coverage) -> str:
    """For a pull request or a job summary."""
    first, *others = headline(coverage).splitlines()
    blocks = [f"### {escaped(first)}", *(f"**{escaped(line)}**" for line in others)]
    room = PULL_REQUEST_LIMIT - sum(map(len, blocks)) - 1_000
    for section in sections(coverage, every_row=False):
        block = _pipes(section, room)
        room -= len(block) + 2
        blocks.append(block)
    return "\n\n".join(blocks) + "\n"


def headline(coverage: Coverage) -> str:
    """What was compared, and first of all who did not look."""
    asked = sum(tool.asked for tool in coverage.tools)
    outside = f"; {_count(coverage.outside, 'finding')} outside the gate not counted" if coverage.outside else ""
    what = f"{_count(asked, 'tool')}, profile {coverage.profile}"
    found = f"{_count(coverage.faults, 'fault')} in {_count(coverage.objects, 'object')}"
    lines = [f"kguard coverage: {what}: {found}{outside}"]
    lines += [f"{'incomplete, as allowed' if gap.allowed else 'INCOMPLETE'}  {gap_words(gap)}" for gap in coverage.gaps]
    return one_line_each(lines)


def gap_words(gap: Gap) -> str:
    return (
        f"{gap.name}: {gap.reason}" if gap.name == "inputs" else f"{gap.name} did not look at everything: {gap.reason}"
    )


def one_line_each(lines: Iterable[str]) -> str:
    return "\n".join(map(one_line, lines))


def sections(coverage: Coverage, every_row: bool) -> Iterator[Section]:
    """Those that have something to say."""
    made = [
        _totals(coverage),
        _drops(coverage),
        _kept(coverage),
        _overlaps(coverage),
        _disagreements(coverage),
        *([_labels(coverage.labels)] if coverage.labels else []),
        _matrix(coverage, every_row),
        _missed(coverage),
    ]
    yield from (section for section in made if section.rows)


# -- the tables ---------------------------------------------------------------------------------------------------------


def _totals(coverage: Coverage) -> Section:
    shown = [look for look in SILENCES if any(look in tool.counts for tool in coverage.tools)]
    rows = [
        [
            f"{tool.name} {tool.run.version or ''}".strip(),
            tool.run.state.value,
            _number(tool.found),
            percent(tool.share),
            _number(tool.alone),
            *(_number(tool.counts.get(look, 0)) for look in shown),
            _number(tool.run.records),
            _decimal(tool.noise),
            _decimal(tool.run.seconds),
            _decimal(tool.run.cpu_seconds),
        ]
        for tool in coverage.tools
    ]
    columns = ["tool", "state", "found", "share", "alone", *shown, "records", "per fault", "seconds", "CPU s"]
    return Section(
        head="What each tool found",
        columns=columns,
        rows=rows,
        note="alone: found by no other tool. missed: it had the check on, read the object and said nothing. partial: its check covers a"
        " part only. per fault: records that it printed for each fault that it found.",
        right=frozenset(range(2, len(columns))),
    )


def _drops(coverage: Coverage) -> Section:
    only = {tool.name: tool for tool in coverage.tools}
    severities = [one for one in Severity if any(drop.by_severity[one] for drop in coverage.drops)]
    rows = [
        [
            drop.tool,
            _number(drop.faults),
            *(_number(drop.by_severity[severity]) for severity in severities),
            _number(only[drop.tool].only),
            one_line("; ".join(filter(None, (_worst(drop), unsure(only[drop.tool]))))),
        ]
        for drop in coverage.drops
    ]
    return Section(
        head="What you lose without a tool: faults that no other tool found",
        columns=["without", "faults", *severities, "checks", "the worst of them"],
        rows=rows,
        note="checks: controls that no other tool had a check on for, found here or not.",
        right=frozenset(range(1, 3 + len(severities))),
    )


def _worst(drop: Drop) -> str:
    return most(tuple((loss.control, loss.faults) for loss in drop.controls))


def unsure(tool: ToolTotals) -> str:
    """Why what is lost without a tool may be more than that."""
    return "" if tool.run.state.complete else "it did not look at everything: perhaps more"


def most(controls: Sequence[tuple[str, int]]) -> str:
    """`host-pid 3, host-ipc 1 and 4 more`."""
    shown = ", ".join(f"{name} {count:,}" for name, count in controls[:_MOST])
    return f"{shown} and {len(controls) - _MOST} more" if len(controls) > _MOST else shown


def _kept(coverage: Coverage) -> Section:
    rows = [[one.severity.value, _number(one.faults), sets(one.sets)] for one in coverage.kept]
    return Section(
        head="The fewest tools that find every fault",
        columns=["at or above", "faults", "tools"],
        rows=rows,
        note="A fault of unknown severity counts as high, as at the gate.",
        right=frozenset((1,)),
    )


def sets(found: Sequence[Sequence[str]]) -> str:
    """`trivy + polaris, or trivy + kubescape`."""
    if found == ((),):
        return "none needed"
    words = [" + ".join(tools) for tools in found[:_MOST]]
    return ", or ".join(words) + (f", or {len(found) - _MOST} other sets" if len(found) > _MOST else "")


def _overlaps(coverage: Coverage) -> Section:
    rows = [
        [_number(item.exactly), _number(item.together), " + ".join(item.tools)]
        for item in coverage.overlaps
        if item.exactly
    ]
    return Section(
        head="Who finds the same",
        columns=["by exactly these", "by these and others", "tools"],
        rows=rows,
        right=frozenset((0, 1)),
    )


def _disagreements(coverage: Coverage) -> Section:
    tools = [tool.name for tool in coverage.tools if any(tool.name in dict(it.words) for it in coverage.disagreements)]
    rows = [
        [
            one_line(item.control),
            _number(item.faults),
            item.severity.value,
            *(dict(item.words)[tool].value if tool in dict(item.words) else "" for tool in tools),
        ]
        for item in coverage.disagreements
    ]
    return Section(
        head="How bad it is: what tools disagree about",
        columns=["control", "faults", "kguard", *tools],
        rows=rows,
        note="Tools without severities of their own are left out.",
        right=frozenset((1,)),
    )


def _labels(labels: LabelScores) -> Section:
    shown = [look for look in SILENCES if any(look in score.faults for score in labels.scores)]
    rows = [
        [
            score.tool or ALL_TOOLS,
            _number(score.found),
            *(_number(score.faults.get(look, 0)) for look in shown),
            _number(score.wrong),
            percent(score.precision),
            percent(score.recall),
            percent(score.recall_of_checks),
        ]
        for score in labels.scores
    ]
    columns = ["tool", "found", *shown, "wrong", "precision", "recall", "of its checks"]
    return Section(
        head=f"Against {one_line(labels.file)}: {_count(labels.faults, 'fault')}, {_count(labels.passes, 'place')} without one",
        columns=columns,
        rows=rows,
        note=label_note(labels),
        right=frozenset(range(1, len(columns))),
    )


def label_note(labels: LabelScores) -> str:
    """What does not count, and why."""
    words = ["complete: what is not labelled is wrong" if labels.complete else "findings without a label do not count"]
    if labels.unknown:
        total = sum(labels.unknown.values())
        named = most(tuple(sorted(labels.unknown.items(), key=lambda item: (-item[1], item[0]))))
        words.append(f"{_count(total, 'label')} of rules or controls that the catalogue does not know: {named}")
    if labels.absent:
        words.append(f"{_count(labels.absent, 'label')} of files that are not in the run")
    return one_line("; ".join(words)) + "."


def _matrix(coverage: Coverage, every_row: bool) -> Section:
    tools = [tool.name for tool in coverage.tools]
    shown = [row for row in coverage.rows if row.faults or every_row]
    rest = len(coverage.rows) - len(shown)
    rows = [
        [row.severity.value, one_line(row.name), _number(row.faults), *(cell_words(row, tool) for tool in tools)]
        for row in shown
    ]
    hidden = f"{_count(rest, 'control')} without a fault here that a tool checked (--all)." if rest else ""
    return Section(
        head=f"Who finds what, by {coverage.by}",
        columns=["severity", str(coverage.by), "faults", *tools],
        rows=rows,
        note=SEVERAL if coverage.by is By.FRAMEWORK else hidden,
        right=frozenset((2,)),
    )


def cell_words(row: CoverageRow, tool: str) -> str:
    """`4`, `3 of 4`, `3 of 4, 1 missed`, `missed`; of several silences the first."""
    cell = row.cells[tool]
    if not cell.found:
        more = f" {cell.missed}" if 0 < cell.missed < row.faults else ""
        return f"{cell.state}{more}"
    if cell.found == row.faults:
        return _number(cell.found)
    return f"{cell.found:,} of {row.faults:,}" + (f", {cell.missed:,} missed" if cell.missed else "")


def missed_cells(coverage: Coverage) -> Iterator[tuple[CoverageRow, str, CoverageCell, Finding]]:
    """Each missed cell with its row, its tool and its example."""
    for row in coverage.rows:
        for tool, cell in row.cells.items():
            if cell.example is not None:
                yield row, tool, cell, cell.example


def _missed(coverage: Coverage) -> Section:
    rows = [
        [one_line(row.name), tool, _number(cell.missed), example.fingerprint, where(example), one_line(cell.why)]
        for row, tool, cell, example in missed_cells(coverage)
    ]
    with_reason = coverage.by is By.CONTROL
    columns = [str(coverage.by), "tool", "missed", "example", "where", "what is known of it"]
    return Section(
        head="Missed: the worst example of each",
        columns=columns if with_reason else columns[:-1],
        rows=rows if with_reason else [row[:-1] for row in rows],
        note="kguard explain EXAMPLE --run run.json tells all of it.",
        right=frozenset((2,)),
    )


# -- as text ------------------------------------------------------------------------------------------------------------


def _table(section: Section, terminal: Terminal) -> str:
    align = ["right" if number in section.right else "left" for number in range(len(section.columns))]
    table = tabulate(
        _fitting(section, terminal), headers=section.columns, tablefmt="plain", disable_numparse=True, colalign=align
    )
    note = f"\n{terminal.paint(section.note, 'faint')}" if section.note else ""
    return f"{section.head}\n{_indented(table)}{note}"


def _fitting(section: Section, terminal: Terminal) -> Iterator[Sequence[str]]:
    """The rows, with the widest columns cut as far as the terminal asks for it."""
    # a heading is two wider than its words, and two spaces part one column from the next, and the first from the edge
    widths = [max(len(head) + 2, *map(len, cells)) for head, *cells in zip(section.columns, *section.rows, strict=True)]
    while terminal.width is not None and max(widths) > _LEAST:
        over = sum(widths) + 2 * len(widths) - terminal.width
        if over <= 0:
            break
        widest = widths.index(max(widths))
        widths[widest] = max(_LEAST, widths[widest] - over)
    return ([terminal.cut(cell, width) for cell, width in zip(row, widths, strict=True)] for row in section.rows)


def _indented(table: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in table.splitlines())


def _pipes(section: Section, room: int) -> str:
    """As many rows as there is room for; the others are said."""
    rules = ["--:" if number in section.right else "---" for number in range(len(section.columns))]
    lines = [f"**{escaped(section.head)}**", "", _pipe(section.columns), f"|{'|'.join(rules)}|"]
    room -= sum(map(len, lines))
    for line in islice(map(_pipe, section.rows), _ROWS):
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    rest = len(section.rows) - (len(lines) - 4)
    notes = [f"... and {rest:,} more: JSON and CSV have all."] if rest else []
    notes += [section.note] if section.note else []
    return "\n".join([*lines, "", *map(escaped, notes)]).rstrip()


def _pipe(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _number(count: int) -> str:
    return f"{count:,}" if count else "-"


def _decimal(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _count(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else f'{one}s'}"
