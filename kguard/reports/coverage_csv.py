"""The comparison of tools as CSV: one row for each control, or group, and tool."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from kguard.coverage_model import Coverage, CoverageCell, CoverageRow
from kguard.model import Look
from kguard.reports.summary import where
from kguard.text import one_line

_COUNTS = tuple(look for look in Look if look is not Look.ON)
_COLUMNS = (
    *("name", "title", "severity", "category", "tool", "state", "faults"),
    *(look.replace(" ", "_") for look in _COUNTS),
    *("rules", "reason", "example", "example_where"),
)


def pieces(coverage: Coverage) -> Iterator[str]:
    """A line after the other, the names of the columns first; RFC 4180 but for line ends, which are `\\n`."""
    yield _line(_COLUMNS)
    for row in coverage.rows:
        for tool, cell in row.cells.items():
            yield _line(_cells(row, tool, cell))


def _cells(row: CoverageRow, tool: str, cell: CoverageCell) -> tuple[object, ...]:
    return (
        *(row.name, row.title, row.severity.value, row.category, tool, cell.state.value, row.faults),
        *(cell.counts.get(look, 0) for look in _COUNTS),
        *(" ".join(cell.rules), cell.why),
        *((cell.example.fingerprint, where(cell.example)) if cell.example else ("", "")),
    )


def _line(cells: tuple[object, ...]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(
        [_harmless(cell) if isinstance(cell, str) else cell for cell in cells]
    )
    return out.getvalue()


def _harmless(text: str) -> str:
    """No spreadsheet takes it for a formula."""
    plain = one_line(text)
    return f"'{plain}" if plain.startswith(("=", "+", "-", "@")) else plain
