"""`kguard explain`: a finding, a control or a rule in words, or as JSON."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from kguard.cli import options
from kguard.cli.report import read_report
from kguard.errors import ExitCode
from kguard.explain import Explanation, Item, Section, catalogue_for, explain
from kguard.text import one_line

_INDENT = "      "
_WIDEST_NAME = 24
"""Of a name in a column; longer ones have a line of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The flags as given; the words are explained in the help of `kguard explain`."""

    word: str
    run: str | None
    config: str | None
    as_json: bool


def command(request: Request) -> ExitCode:
    """Print the explanation."""
    report = read_report(request.run) if request.run else None
    found = explain(request.word, report, catalogue_for(options.configured(request.config).merge))
    if request.as_json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
    else:
        width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else None
        sys.stdout.writelines(f"{line}\n" for line in text(found, width))
    return ExitCode.PASS


def text(found: Explanation, width: int | None) -> Iterator[str]:
    """Its lines, wrapped to `width` columns; None: not wrapped (a pipe)."""
    yield from _wrapped(f"{found.kind} {found.name}{f': {found.title}' if found.title else ''}", "", "", width)
    for section in found.sections:
        yield ""
        if section.head:
            yield section.head
        yield from _lines(section, width)


def _lines(section: Section, width: int | None) -> Iterator[str]:
    names = max(len(one_line(item.name)) for item in section.items)
    words = max(len(item.word) for item in section.items)
    for item in section.items:
        label = _label(item, names, words)
        if names <= _WIDEST_NAME:
            yield from _wrapped(item.text, label, " " * len(label), width)
        else:
            yield label.rstrip()
            yield from _wrapped(item.text, _INDENT, _INDENT, width) if item.text else ()
        for line in item.more:
            yield from _wrapped(line, _INDENT, f"{_INDENT}  ", width)


def _label(item: Item, names: int, words: int) -> str:
    name = f"{one_line(item.name):{names}}  " if names or item.name else ""
    return f"  {name}{f'{item.word:{words}}  ' if words else ''}"


def _wrapped(line: str, first: str, others: str, width: int | None) -> Iterator[str]:
    safe = one_line(line)
    if width is None:
        yield f"{first}{safe}".rstrip()
        return
    yield from textwrap.wrap(
        safe,
        max(width, 40),
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
