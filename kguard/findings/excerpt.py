"""The manifest lines around a finding, with what must not be shown taken out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from kguard.findings.mask import masked, masked_lines
from kguard.model import Excerpt, FieldPath, KubeObject, Location, ObjectIndex, Span
from kguard.text import one_line

_BEFORE, _AFTER, _MOST = 3, 6, 12
"""Lines before and after a location's first, and most lines where its field is longer than that."""
_WIDEST = 200

Index = Callable[[KubeObject], ObjectIndex]


def excerpt_of(obj: KubeObject, location: Location, path: FieldPath, index: Index) -> Excerpt | None:
    """The lines of the object around a location, the whole field where it is short; those of the rendered object around `path`
    where it was rendered. None for a List item, whose staged lines are not its source's, and for a location that is not in the
    object."""
    if obj.trace is not None:
        return _around(obj, _nearest(path, index(obj).staged_spans), index(obj).staged_spans[()], 1, index)
    own = obj.origin.span
    if obj.text_line is None or location.line is None or location.path != obj.origin.path:
        return None
    if not own.line <= location.line <= own.end_line:
        return None
    return _around(obj, Span(location.line, location.end_line or location.line), own, obj.text_line, index)


def _nearest(path: FieldPath, spans: Mapping[FieldPath, Span]) -> Span:
    """The lines of a field, or of the nearest thing around it that stands there."""
    while path not in spans:
        path = path[:-1]
    return spans[path]


@lru_cache(maxsize=64)
def _around(obj: KubeObject, field: Span, own: Span, text_line: int, index: Index) -> Excerpt:
    """The lines around a field within the object's own; `text_line` is the number of the staged text's first line. Findings at the same
    lines share theirs."""
    first = max(own.line, field.line - _BEFORE)
    last = field.line + _AFTER
    if field.end_line < first + _MOST:
        last = max(last, field.end_line)
    numbers = range(first, min(last, own.end_line) + 1)
    lines = tuple(_shown(obj, number - text_line, index) for number in numbers)
    return Excerpt(line=first, lines=lines, at=field.line, rendered=obj.trace is not None)


@lru_cache(maxsize=1024)
def _shown(obj: KubeObject, at: int, index: Index) -> str:
    """A line of the staged text, as a report may show it; kept because the findings of an object share their lines."""
    # the same value may stand on other lines too (an annotation, a comment)
    text = one_line(masked(_lines(obj)[at], obj, index).expandtabs(2))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


@lru_cache(maxsize=16)
def _lines(obj: KubeObject) -> tuple[str, ...]:
    return masked_lines(obj)
