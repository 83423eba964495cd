"""From a comparison of tools to text, one module per format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kguard.coverage_model import Coverage
from kguard.model import Report
from kguard.reports import coverage_csv, coverage_text, coverage_v1, html
from kguard.reports.terminal import Terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of comparisons."""

    suffixes: tuple[str, ...]
    """File names that ask for it."""
    pieces: Callable[[Report, Coverage, Terminal], Iterable[str]]


FORMATS: Mapping[str, Format] = {
    "csv": Format(suffixes=(".csv",), pieces=lambda report, coverage, _: coverage_csv.pieces(coverage)),
    "html": Format(
        suffixes=(".html", ".htm"), pieces=lambda report, coverage, _: html.pieces(report, coverage, view="coverage")
    ),
    "json": Format(suffixes=(".json",), pieces=lambda report, coverage, _: coverage_v1.pieces(report, coverage)),
    "md": Format(suffixes=(".md", ".markdown"), pieces=lambda report, coverage, _: (coverage_text.markdown(coverage),)),
    "table": Format(
        suffixes=(".txt",), pieces=lambda report, coverage, shown_on: (coverage_text.render(coverage, shown_on),)
    ),
}
"""Every format by the name that `--format` takes."""
