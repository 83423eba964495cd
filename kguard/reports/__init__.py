"""From a report object to text, one module per format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kguard.coverage_model import Coverage
from kguard.model import Report
from kguard.reports import html, json_v1, markdown, terminal
from kguard.reports.terminal import Terminal, notices

__all__ = ["FORMATS", "Format", "Terminal", "notices", "pieces", "render"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of reports."""

    suffixes: tuple[str, ...]
    """File names that ask for it."""
    pieces: Callable[[Report, Terminal, Coverage | None], Iterable[str]]
    """The text in pieces, so that a large report need never be in memory as a whole."""
    compares: bool = False
    """Whether it shows the comparison of the tools, where it is given one."""


FORMATS: Mapping[str, Format] = {
    "html": Format(
        suffixes=(".html", ".htm"), pieces=lambda report, _, coverage: html.pieces(report, coverage), compares=True
    ),
    "json": Format(suffixes=(".json",), pieces=lambda report, *_: json_v1.pieces(report)),
    "markdown": Format(suffixes=(".md", ".markdown"), pieces=lambda report, *_: (markdown.render(report),)),
    "terminal": Format(suffixes=(".txt",), pieces=lambda report, shown_on, _: (terminal.render(report, shown_on),)),
}
"""Every format by the name that `--format` takes."""


def render(report: Report, name: str, shown_on: Terminal, coverage: Coverage | None = None) -> str:
    """A report in a format of FORMATS; `shown_on` matters to the terminal's alone."""
    return "".join(pieces(report, name, shown_on, coverage))


def pieces(report: Report, name: str, shown_on: Terminal, coverage: Coverage | None = None) -> Iterable[str]:
    """The same in pieces."""
    return FORMATS[name].pieces(report, shown_on, coverage)
