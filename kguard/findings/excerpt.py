"""The manifest lines around a finding, with what must not be shown taken out."""

from __future__ import annotations

import re
from collections.abc import Callable

from kguard.findings.mask import MASK, masked, sensitive_paths
from kguard.model import Excerpt, KubeObject, Location, ObjectIndex, Span
from kguard.text import one_line

_BEFORE, _MOST = 2, 10
_WIDEST = 160

Index = Callable[[KubeObject], ObjectIndex]


def excerpt_of(obj: KubeObject, location: Location, index: Index) -> Excerpt | None:
    """Up to ten lines around a location; None for a List item, whose staged lines are not its source's, and for a location that
    is not in the object's own text."""
    if obj.text_line is None or location.line is None or location.path != obj.origin.path:
        return None
    lines = obj.text.decode().splitlines()
    at = location.line - obj.text_line
    if not 0 <= at < len(lines):
        return None
    first = max(0, at - _BEFORE)
    hidden = _hidden_lines(index(obj))
    shown = [
        _shown(line, number + 1, hidden, obj, index)
        for number, line in enumerate(lines[first : first + _MOST], start=first)
    ]
    return Excerpt(line=obj.text_line + first, lines=tuple(shown))


def _hidden_lines(index: ObjectIndex) -> list[tuple[Span, str]]:
    """Staged lines that hold a value that must not be shown, and the key that it stands behind."""
    found = []
    for path in sensitive_paths(index):
        span = index.staged_spans.get(path)
        if span is not None:
            found.append((span, str(path[-1])))
    return found


def _shown(line: str, number: int, hidden: list[tuple[Span, str]], obj: KubeObject, index: Index) -> str:
    for span, key in hidden:
        if span.line < number <= span.end_line:
            return re.sub(r"\S.*", MASK, line)
        if number == span.line:
            line = re.sub(rf"(['\"]?{re.escape(key)}['\"]?\s*:).*", rf"\1 {MASK}", line)
    # the same value may stand on other lines (an anchor, a comment)
    text = one_line(masked(line, obj, index).expandtabs(2))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
