"""The way back from a document that helm rendered to the lines of the templates that it was made of.

A template describes a set of texts: its own characters in order, any text where an action prints, each branch taken or not, each loop
any number of times. A line of a rendered document is taken for a template's line only where every way to read the document as one of these
texts says so; likeness and line numbers prove nothing. What an action can print is narrowed where that is safe (`nindent 8` begins
each line with eight spaces, a value that has no line break prints none), and helpers are read in place, so their lines are found too.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kguard.inputs.helm.language import Language
from kguard.inputs.helm.templates import Templates
from kguard.inputs.objects import lookup
from kguard.model import FieldPath, Location, Precision, Span

OTHER_BREAKS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
"""What YAML counts as the end of a line and editors and templates do not."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rendered:
    """A document that a template printed."""

    text: str
    line: int
    """Of the text that lines are counted in, the one on which `text` starts."""
    alone: bool
    """Whether the template printed no other one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """What any rendered object of a chart has."""

    source: Hashable
    """What it was made of, equal in all releases of the chart."""
    spans: Mapping[FieldPath, Span] | None
    """The lines of an item of a List, which was written anew, so that the lines of its own text say nothing."""

    def lines(self, spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Span | None]:
        """By field path, the lines in what helm printed."""
        return spans if self.spans is None else {path: self.spans.get(path) for path in spans}


class _OfChart:
    """What the traces of all objects of a chart have."""

    def __init__(self, made: Made) -> None:
        self._made = made

    @property
    def source(self) -> Hashable:
        return self._made.source

    @property
    def own_ref(self) -> None:
        """A template has no names: its values and its release make them."""
        return None

    def removed_by(self, path: FieldPath, seen: Mapping[str, Any]) -> Location | None:
        """A chart has no patches."""
        return None


class TemplateTrace(_OfChart):
    """Of an object that a template printed (satisfies kguard.model.Trace)."""

    def __init__(self, made: Made, templates: Templates, name: str, rendered: Rendered) -> None:
        """`name`: of the template, as helm knows it."""
        super().__init__(made)
        self._templates = templates
        self._name = name
        self._rendered = rendered

    def locations(self, value: Mapping[str, Any], spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Location]:
        spots = _Spots(self._templates, self._name, self._rendered)
        lines = self._made.lines(spans)
        found = {path: _of_field(path, lookup(value, path), span, spots) for path, span in lines.items() if path}
        found[()] = _of_object(found, spots)
        return found


class FileTrace(_OfChart):
    """Of an object that helm took from a file as it is: a chart's CRD (satisfies kguard.model.Trace)."""

    def __init__(self, made: Made, path: str, offset: int | None) -> None:
        """`offset`: what to add to a line of what helm printed for its line in the file; None where that is not known."""
        super().__init__(made)
        self._path = path
        self._offset = offset

    def locations(self, value: Mapping[str, Any], spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Location]:
        return {path: self._location(path, span) for path, span in self._made.lines(spans).items()}

    def _location(self, path: FieldPath, span: Span | None) -> Location:
        if self._offset is None or span is None:
            return Location(path=self._path, line=None, end_line=None, precision=Precision.TEMPLATE)
        return Location(
            path=self._path,
            line=span.line + self._offset,
            end_line=span.end_line + self._offset,
            precision=Precision.EXACT if path else Precision.OBJECT,
        )


# -- the origin of a line -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Spot:
    """What is known of the origin of one line."""

    path: str
    line: int | None
    """None where it is not proven which line printed it."""
    plain: bool
    """No action stands on that line of the template."""
    keys: frozenset[str]
    """The values that are read there."""


class _Spots:
    """The lines of one document and where they come from."""

    def __init__(self, templates: Templates, name: str, rendered: Rendered) -> None:
        self.path = templates.path(name)
        self._templates = templates
        self._lines = rendered.text.split("\n")
        self._line = rendered.line
        self._known: dict[int, _Spot] = {}
        self._grammar = templates.grammar(name) if not OTHER_BREAKS.search(rendered.text) else None
        self._rows = self._grammar.read(rendered.text, alone=rendered.alone) if self._grammar else None

    def text(self, line: int) -> str:
        number = line - self._line
        return self._lines[number] if 0 <= number < len(self._lines) else ""

    def of(self, line: int, *, head: bool = False) -> _Spot | None:
        """Of a line, or of the dashes that it begins with; None for a blank one."""
        number = line - self._line
        if self._grammar is None or self._rows is None or not 0 <= number < len(self._rows):
            return _Spot(self.path, None, False, frozenset())
        row = self._rows[number]
        positions = row.head if head else row.whole
        if positions and positions not in self._known:
            self._known[positions] = self._spot(positions, self._grammar.language)
        return self._known.get(positions)

    def _spot(self, positions: int, language: Language) -> _Spot:
        owners = tuple(language.owners(positions))
        origins = [language.origin(owner) for owner in owners]
        only = owners[0] if len(owners) == 1 else None
        proven = only if isinstance(only, tuple) else None
        path = _only({path for path, _ in origins}, self.path)
        keys = frozenset[str]().union(*(read for _, read in origins))
        line = proven[1] if proven is not None and self._templates.lined(path) else None
        return _Spot(path, line, proven is not None and proven not in language.reads, keys)


# -- the place of a field -------------------------------------------------------------------------------------------------


def _of_field(path: FieldPath, value: Any, span: Span | None, spots: _Spots) -> Location:
    if span is None or not _names(spots.text(span.line), path[-1]):
        return _template((), (), spots)
    held = isinstance(value, (dict, list)) and bool(value)  # what it holds has places of its own
    if held and isinstance(path[-1], int) and _begins_with_dash(spots.text(span.line), value):
        dash = spots.of(span.line, head=True)
        if dash is not None and dash.line is not None:
            return _exact(dash, spots.of(span.end_line))
    lines = range(span.line, span.line + 1 if held else span.end_line + 1)
    own = [spot for line in lines if (spot := spots.of(line)) is not None]
    paths = {spot.path for spot in own}
    if own and len(paths) == 1 and all(spot.plain and spot.line is not None for spot in own):
        return _exact(own[0], spots.of(span.end_line))
    return _template(paths, [spot.keys for spot in own], spots)


def _names(text: str, key: str | int) -> bool:
    """Whether a key stands in a line: one that an item takes from its typed list does not."""
    return isinstance(key, int) or re.search(rf"(?:^|[\s{{\[,\"'-]){re.escape(key)}[\"']?\s*:", text) is not None


def _begins_with_dash(text: str, item: Any) -> bool:
    """Whether a line is `- key: ...` with the first key of an item, so that its dash is the item's."""
    key = re.escape(next(iter(item))) if isinstance(item, dict) else None
    return key is not None and re.match(rf"\s*(?:-[ ]+)+[\"']?{key}[\"']?[ ]*:", text) is not None


def _of_object(found: Mapping[FieldPath, Location], spots: _Spots) -> Location:
    """The line of its `apiVersion` or `kind`, whichever comes first."""
    heads = [place for key in ("apiVersion", "kind") if (place := found.get((key,))) is not None]
    exact = [place for place in heads if place.line is not None]
    if exact and len({place.path for place in exact}) == 1:
        first = min(exact, key=lambda place: place.line or 0)
        return replace(first, end_line=first.line, precision=Precision.OBJECT)
    return _template({place.path for place in heads}, [place.values for place in heads], spots)


def _exact(first: _Spot, last: _Spot | None) -> Location:
    end = last.line if last is not None and last.path == first.path else None
    line = first.line or 0
    return Location(path=first.path, line=line, end_line=max(line, end or 0), precision=Precision.EXACT)


def _template(paths: Iterable[str], keys: Iterable[Iterable[str]], spots: _Spots) -> Location:
    return Location(
        path=_only(paths, spots.path),
        line=None,
        end_line=None,
        precision=Precision.TEMPLATE,
        values=tuple(sorted(set[str]().union(*keys))),
    )


def _only(paths: Iterable[str], otherwise: str) -> str:
    """The only one of some paths."""
    found = set(paths)
    return found.pop() if len(found) == 1 else otherwise
