"""YAML text to nodes, and nodes to plain values and lines, within bounds that hostile input cannot pass.

PyYAML's C composer dies on deep nesting, so each document's events are walked first, and only what passed is composed. Nodes become plain
values: no YAML tag ever constructs a Python object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from kguard.inputs.documents import Document
from kguard.model import FieldPath, Span

MAX_DEPTH = 200
MAX_NODES = 1_000_000
"""Nodes of one document after aliases are expanded: where an alias bomb stops."""

_TYPED_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
_MERGE_TAG = "tag:yaml.org,2002:merge"


class Unreadable(Exception):
    """A document that cannot be read: why, and the line in its file where that is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


# -- text to nodes --------------------------------------------------------------------------------------------------------


def compose(document: Document) -> yaml.Node | None:
    try:
        _walk(document)
        node: yaml.Node | None = yaml.compose(document.text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise _plain_words(error, document) from error
    except ValueError as error:  # an escape such as "\ud800" that no text can hold
        raise Unreadable(str(error)) from error
    return node


def _walk(document: Document) -> None:
    """Bound the depth and the size after alias expansion, over events: they cost no stack."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(document.text, Loader=yaml.CSafeLoader):
        match event:
            case yaml.AliasEvent():
                if any(anchor == event.anchor for anchor, _ in open_nodes):
                    raise Unreadable(f"the alias *{event.anchor} holds itself", _line(event, document))
                total += sizes.get(event.anchor or "", 1)
            case yaml.CollectionStartEvent():
                open_nodes.append((event.anchor, total))
                total += 1
                if len(open_nodes) > MAX_DEPTH:
                    raise Unreadable(f"nested deeper than {MAX_DEPTH} levels, the limit", _line(event, document))
            case yaml.CollectionEndEvent():
                anchor, before = open_nodes.pop()
                if anchor:
                    sizes[anchor] = total - before
            case yaml.ScalarEvent():
                total += 1
                if event.anchor:
                    sizes[event.anchor] = 1
        if total > MAX_NODES:
            raise Unreadable(
                f"more than {MAX_NODES:,} values once its aliases are expanded, the limit", _line(event, document)
            )


def _line(event: yaml.Event, document: Document) -> int:
    return (event.start_mark.line if event.start_mark else 0) + document.line


def _plain_words(error: yaml.YAMLError, document: Document) -> Unreadable:
    mark = getattr(error, "problem_mark", None)
    line = document.line + mark.line if mark else None
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).splitlines()[0]
    lines = document.text.split("\n")
    at = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in at[: len(at) - len(at.lstrip())]:
        return Unreadable("tab used for indentation", line)
    if "{{" in document.text:
        return Unreadable("not YAML: it has template braces {{ }}; render it first", line)
    return Unreadable(f"not YAML: {problem}", line)


# -- nodes to values and lines --------------------------------------------------------------------------------------------


class NodeReader:
    """Plain values and lines of the nodes of one document; lines are 1-based in the document's text."""

    def __init__(self, text: str, notes: list[str]) -> None:
        self._text = text
        self._lines: list[str] | None = None
        self._notes = notes
        self._constructor = SafeConstructor()
        self._values: dict[int, Any] = {}
        self._spans: dict[int, Span] = {}

    def value(self, node: yaml.Node) -> Any:
        """Dicts, lists and scalars; every key is the text that stands there, the last of duplicate keys wins."""
        if id(node) not in self._values:
            self._values[id(node)] = self._value(node)
        return self._values[id(node)]

    def _value(self, node: yaml.Node) -> Any:
        match node:
            case yaml.MappingNode():
                pairs: dict[str, Any] = {}
                for key, child in self._pairs(node):
                    pairs[key.value] = self.value(child)
                return pairs
            case yaml.SequenceNode():
                return [self.value(child) for child in node.value]
            case _ if node.tag in _TYPED_TAGS:
                try:
                    return self._constructor.construct_object(node)
                except (ValueError, yaml.YAMLError):
                    return node.value
            case _:
                return node.value

    def _pairs(self, node: yaml.MappingNode) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """Keys and values in order of growing precedence: what `<<` brings, then what stands there."""
        merged: list[tuple[yaml.ScalarNode, yaml.Node]] = []
        own: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.tag == _MERGE_TAG:
                sources = child.value if isinstance(child, yaml.SequenceNode) else [child]
                # an earlier mapping of a list wins over a later one
                for source in reversed([item for item in sources if isinstance(item, yaml.MappingNode)]):
                    merged.extend(self._pairs(source))
                continue
            if key.value in own:
                self._notes.append(f"duplicate key {key.value!r}: the last one counts")
                del own[key.value]
            own[key.value] = (key, child)
        return merged + list(own.values())

    def field(self, node: yaml.MappingNode, name: str) -> yaml.Node | None:
        """The node of a field that counts: its `value` is what `value(node)` has there."""
        return {key.value: child for key, child in self._pairs(node)}.get(name)

    def spans(self, root: yaml.Node) -> dict[FieldPath, Span]:
        """Lines by field path: of a mapping's field from its key to the end of its value, of an item from its start."""
        found: dict[FieldPath, Span] = {(): self.span(root)}
        self._collect(root, (), found, set())
        return found

    def _collect(self, node: yaml.Node, path: FieldPath, found: dict[FieldPath, Span], seen: set[int]) -> None:
        seen.add(id(node))
        match node:
            case yaml.MappingNode():
                for key, child in self._pairs(node):
                    line = key.start_mark.line + 1
                    # an aliased value stands where its anchor is: the field itself is just its key
                    end = line if id(child) in seen else max(line, self.span(child).end_line)
                    found[(*path, key.value)] = Span(line, end)
                    self._collect(child, (*path, key.value), found, seen)
            case yaml.SequenceNode():
                for number, child in enumerate(node.value):
                    found[(*path, number)] = self.span(child)
                    self._collect(child, (*path, number), found, seen)

    def span(self, node: yaml.Node) -> Span:
        """First and last line of a node. End marks of block nodes lie on the next token, so the ends of their leaves count."""
        if id(node) not in self._spans:
            self._spans[id(node)] = self._span(node)
        return self._spans[id(node)]

    def _span(self, node: yaml.Node) -> Span:
        line = node.start_mark.line + 1
        match node:
            case yaml.ScalarNode(style=("|" | ">")):
                last = node.end_mark.line + (1 if node.end_mark.column else 0)
                return Span(line, max(line, self._not_blank(last)))
            case yaml.ScalarNode(style=None, value=""):
                return Span(line, line)
            case yaml.CollectionNode(flow_style=False):
                ends = [
                    self.span(child).end_line
                    for child in _children(node)
                    if child.start_mark.index >= node.start_mark.index
                ]
                return Span(line, max([line, *ends]))
            case _:
                return Span(line, node.end_mark.line + 1)

    def _not_blank(self, line: int) -> int:
        if self._lines is None:
            self._lines = self._text.split("\n")
        while line > 0 and (line > len(self._lines) or not self._lines[line - 1].strip()):
            line -= 1
        return line


def _children(node: yaml.CollectionNode) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            yield key
            yield child
    else:
        yield from node.value
