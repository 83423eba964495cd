"""The comparison of tools as the page shows it: what each cell, bar and link says. The markup is templates/coverage.html.j2."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kguard.coverage_model import NONE, By, Coverage, CoverageCell, CoverageRow, Drop, LabelScores, Loss, Overlap
from kguard.model import Finding, Look, Severity
from kguard.reports.coverage_text import (
    ALL_TOOLS,
    SEVERAL,
    SILENCES,
    cell_words,
    label_note,
    missed_cells,
    percent,
    sets,
    unsure,
)
from kguard.reports.summary import where
from kguard.text import one_line
from kguard.tooldata import initials

SIGNS: Mapping[Look, str] = {
    Look.MISSED: "✕",
    Look.PARTIAL: "~",
    Look.SILENCED: "s",
    Look.OUT_OF_SCOPE: "/",
    Look.DID_NOT_LOOK: "!",
    Look.NOT_KNOWN: "?",
    Look.OFF: "o",
    Look.NO_RULE: "–",
    Look.ON: "✓",
}
"""What stands for a state where there is no room for its words; the legend tells them."""
MEANINGS: Mapping[Look, str] = {
    Look.FOUND: "how many of the faults it found; darker is more",
    Look.MISSED: "the check was on and read the object, and said nothing; click for an example",
    Look.PARTIAL: "its check covers only a part of this",
    Look.SILENCED: "an annotation tells it to be silent",
    Look.OUT_OF_SCOPE: "no rule that was on is about this kind of object",
    Look.DID_NOT_LOOK: "it did not run, or did not read the object",
    Look.NOT_KNOWN: "the run does not tell",
    Look.OFF: "it has a check, which was not on",
    Look.NO_RULE: "it has no check for this",
    Look.ON: "it had a check on",
}

_BARS = 24
"""Sets of tools shown in the overlap."""
_LOSSES = 6
"""Controls named of those that are lost without a tool."""
_WIDTH = 1000
"""Of a bar, in the units of its picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    look: str
    """The class that gives it its colour: a state, or how much was found (`share-1` to `share-4`)."""
    words: str
    sign: str
    title: str
    href: str | None
    """Opens an example in the table of findings."""


def view(coverage: Coverage, held: Sequence[Finding]) -> dict[str, Any]:
    """What the template needs. `held`: the findings that the page holds, to which links can lead."""
    ids = {finding.fingerprint for finding in held}
    with_faults = [row for row in coverage.rows if row.faults]
    clean = [row for row in coverage.rows if not row.faults]
    looks = dict.fromkeys(look for row in coverage.rows for look in _looks(row))
    return {
        "of": coverage,
        "initials": {tool.name: initials(tool.name) for tool in coverage.tools},
        "silences": [look for look in SILENCES if any(look in tool.counts for tool in coverage.tools)],
        "heat": [_heat(row, ids, coverage.by) for row in with_faults],
        "clean": [_heat(row, ids, coverage.by) for row in clean],
        "note": SEVERAL if coverage.by is By.FRAMEWORK else "",
        "missed": [
            (row, tool, cell, _open(example, ids), example.fingerprint, where(example))
            for row, tool, cell, example in missed_cells(coverage)
        ],
        "legend": [(SIGNS.get(look, "3/5"), look, _key(look), MEANINGS[look]) for look in MEANINGS if look in looks],
        "bars": list(_bars(coverage)),
        "more_bars": max(0, sum(1 for item in coverage.overlaps if item.exactly) - _BARS),
        "severities": [one for one in Severity if any(drop.by_severity[one] for drop in coverage.drops)],
        "drops": [_drop(drop, coverage, ids) for drop in coverage.drops],
        "kept": [(one, sets(one.sets)) for one in coverage.kept],
        "words": [
            tool.name for tool in coverage.tools if any(tool.name in dict(it.words) for it in coverage.disagreements)
        ],
        "disagreements": [(item, dict(item.words), _open(item.example, ids)) for item in coverage.disagreements],
        "labels": _labels(coverage.labels) if coverage.labels else None,
        "by_control": coverage.by is By.CONTROL,
        "percent": percent,
    }


def _looks(row: CoverageRow) -> Iterator[Look]:
    for cell in row.cells.values():
        yield cell.state
        yield from cell.counts


def _key(look: Look) -> str:
    return "share-3" if look is Look.FOUND else look.replace(" ", "-")


# -- the heat map -------------------------------------------------------------------------------------------------------


def _heat(row: CoverageRow, ids: Collection[str], by: By) -> dict[str, Any]:
    filtered = ids and row.faults and row.name != NONE and by in (By.CONTROL, By.NAMESPACE)
    return {
        "name": row.name,
        "title": row.title,
        "severity": row.severity,
        "faults": row.faults,
        "href": _filter({by.value: one_line(row.name), "status": "gate"}) if filtered else None,
        "cells": [_cell(row, tool, cell, ids) for tool, cell in row.cells.items()],
    }


def _cell(row: CoverageRow, tool: str, cell: CoverageCell, ids: Collection[str]) -> HeatCell:
    words = cell_words(row, tool)
    if cell.found:
        look = "share-4" if cell.found == row.faults else f"share-{1 + 3 * cell.found // row.faults}"
        sign = _short(cell.found) if cell.found == row.faults else f"{_short(cell.found)}/{_short(row.faults)}"
    else:
        look, sign = cell.state.replace(" ", "-"), SIGNS[cell.state]
    counted = ", ".join(f"{state} {count:,}" for state, count in cell.counts.items() if state is not Look.FOUND)
    more = "; ".join(filter(None, (counted, " ".join(cell.rules), cell.why)))
    return HeatCell(
        look=look,
        words=words,
        sign=sign,
        title=one_line(f"{tool}: {words}" + (f" ({more})" if more else "")),
        href=_open(cell.example, ids) if cell.example else None,
    )


def _short(count: int) -> str:
    """In four characters: `950`, `1.2k`, `12k`."""
    return f"{count}" if count < 1_000 else f"{count // 100 / 10}k" if count < 10_000 else f"{count // 1_000}k"


def _open(finding: Finding, ids: Collection[str]) -> str | None:
    return _filter({"open": finding.fingerprint}) if finding.fingerprint in ids else None


def _filter(asked: Mapping[str, str]) -> str:
    """The table of findings with these filters, and no other."""
    return f"#{urlencode(asked)}"


# -- the overlap --------------------------------------------------------------------------------------------------------


def _bars(coverage: Coverage) -> Iterator[dict[str, Any]]:
    """Sets of tools with the faults that exactly these found: a dot for each tool, and a bar."""
    shown: list[Overlap] = [item for item in coverage.overlaps if item.exactly][:_BARS]
    longest = max((item.exactly for item in shown), default=1)
    tools = [tool.name for tool in coverage.tools if tool.asked]
    for item in shown:
        alone = item.tools[0] if len(item.tools) == 1 else None
        yield {
            "dots": [(tool, tool in item.tools) for tool in tools],
            "tools": " + ".join(item.tools),
            "count": item.exactly,
            "together": item.together,
            "width": max(4, round(_WIDTH * item.exactly / longest)),
            "alone": alone is not None,
            "href": _only(alone) if alone else None,
        }


def _only(tool: str, loss: Loss | None = None) -> str:
    """The table of findings, with those that this tool alone found."""
    asked = {"tool": tool, "status": "one tool"}
    return _filter(asked | {"severity": loss.severity, "control": one_line(loss.control)} if loss else asked)


# -- what is lost -------------------------------------------------------------------------------------------------------


def _drop(drop: Drop, coverage: Coverage, ids: Collection[str]) -> dict[str, Any]:
    (totals,) = (tool for tool in coverage.tools if tool.name == drop.tool)
    return {
        "drop": drop,
        "only": totals.only,
        "unsure": unsure(totals),
        "href": _only(drop.tool) if drop.faults and ids else None,
        "controls": [(loss, _only(drop.tool, loss)) for loss in drop.controls[:_LOSSES]],
        "more": max(0, len(drop.controls) - _LOSSES),
    }


def _labels(labels: LabelScores) -> dict[str, Any]:
    return {
        "of": labels,
        "silences": [look for look in SILENCES if any(look in score.faults for score in labels.scores)],
        "note": f"{label_note(labels)[:1].upper()}{label_note(labels)[1:]}",
        "all": ALL_TOOLS,
    }
