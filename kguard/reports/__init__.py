"""From a report object to text, one module per format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kguard.model import Report
from kguard.reports import html, json_v1, markdown, terminal
from kguard.reports.terminal import Terminal, notices

__all__ = ["FORMATS", "Format", "Terminal", "notices", "render"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of reports."""

    suffixes: tuple[str, ...]
    """File names that ask for it."""
    render: Callable[[Report, Terminal], str]


FORMATS: Mapping[str, Format] = {
    "html": Format(suffixes=(".html", ".htm"), render=lambda report, _: html.render(report)),
    "json": Format(suffixes=(".json",), render=lambda report, _: json_v1.render(report)),
    "markdown": Format(suffixes=(".md", ".markdown"), render=lambda report, _: markdown.render(report)),
    "terminal": Format(suffixes=(".txt",), render=terminal.render),
}
"""Every format by the name that `--format` takes."""


def render(report: Report, name: str, shown_on: Terminal) -> str:
    """A report in a format of FORMATS; `shown_on` matters to the terminal's alone."""
    return FORMATS[name].render(report, shown_on)
