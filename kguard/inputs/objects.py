"""Kubernetes objects out of manifest bytes: documents, List items, and the lines of every field.

PyYAML's C composer dies on deep nesting, so each document's events are walked first, within bounds, and only what passed is
composed. Nodes become plain values: no YAML tag ever constructs a Python object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from kguard.inputs.documents import Document, documents
from kguard.model import Container, FieldPath, InputProblem, KubeObject, ObjectIndex, ObjectRef, Origin, Span

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 200
MAX_DOCUMENTS = 100_000
MAX_NODES = 1_000_000
"""Nodes of one document after aliases are expanded: where an alias bomb stops."""

_TYPED_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
_MERGE_TAG = "tag:yaml.org,2002:merge"
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_POD_PATHS: Mapping[str, FieldPath] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_TEMPLATE_POD: FieldPath = ("spec", "template", "spec")


class Unreadable(Exception):
    """A document that cannot be read: why, and the line in its file where that is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """What a file holds."""

    objects: tuple[KubeObject, ...]
    """Their `staged` is the name without its folder: `--<document>` or `--<document>-<item>`, put behind the file's stem by
    discovery."""
    problems: tuple[InputProblem, ...]
    notes: tuple[str, ...]
    """What is odd but read all the same (duplicate keys), and why the file holds no objects."""


def read_manifest(path: str, data: bytes, bundle: str) -> FileContent:
    """Split a file into documents and those into objects; one that is broken never costs the others."""
    try:
        found = documents(_text(data))
        if len(found) > MAX_DOCUMENTS:
            raise Unreadable(f"more than {MAX_DOCUMENTS:,} documents, the limit for one file")
    except Unreadable as error:
        return FileContent(objects=(), problems=(_problem(path, None, error),), notes=())
    objects: list[KubeObject] = []
    broken: list[tuple[Document, Unreadable]] = []
    notes: list[str] = []
    for document in found:
        try:
            objects.extend(_objects(document, path, bundle, notes))
        except Unreadable as error:
            if document.looks_like_manifest:
                broken.append((document, error))
            else:
                notes.append(f"document {document.number} is not YAML: {error}")
    others = len(found) - len(broken)
    problems = tuple(_problem(path, document, error, others) for document, error in broken)
    return FileContent(objects=tuple(objects), problems=problems, notes=tuple(notes))


def _text(data: bytes) -> str:
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable(f"larger than {MAX_FILE_BYTES // 2**20} MiB, the limit for one file")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Unreadable("UTF-16, not UTF-8; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8", line) from error


def _problem(path: str, document: Document | None, error: Unreadable, others: int = 0) -> InputProblem:
    if document is None:
        return InputProblem(path=path, document=None, line=error.line, message=f"{error}. The file is skipped.")
    rest = {0: "", 1: "; the other one in the file is scanned"}.get(
        others, f"; the other {others} in the file are scanned"
    )
    message = f"{error}. This document is skipped{rest}."
    return InputProblem(path=path, document=document.number, line=error.line or document.line, message=message)


# -- documents to objects -------------------------------------------------------------------------------------------------


def _objects(document: Document, path: str, bundle: str, notes: list[str]) -> Iterator[KubeObject]:
    node = _compose(document)
    if not isinstance(node, yaml.MappingNode):
        return
    reader = _Reader(document.text, notes)
    value = reader.value(node)
    if not _is_object(value):
        return
    offset = document.line - 1
    if _is_list(value):
        yield from _items(node, value, _Place(document=document, path=path, bundle=bundle, number=str(document.number)))
        return
    span = reader.span(node)
    yield KubeObject(
        bundle=bundle,
        staged=f"--{document.number}",
        ref=_ref(value),
        origin=Origin(
            path=path, document=document.number, item=None, span=Span(span.line + offset, span.end_line + offset)
        ),
        text=document.text.encode(),
        text_line=document.line,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the items of a List stand."""

    document: Document
    path: str
    bundle: str
    number: str
    """The numbers in the staged names: document, and items of Lists around."""


def _items(node: yaml.MappingNode, value: Mapping[str, Any], place: _Place) -> Iterator[KubeObject]:
    """The items of a List, each written anew from its nodes with the styles of its scalars, since dumping `y` or `"1"` again
    would change what a tool reads."""
    items = next((child for key, child in node.value if key.value == "items"), None)
    if not isinstance(items, yaml.SequenceNode):
        return
    kind = str(value["kind"])
    inherited = {} if kind == "List" else {"apiVersion": str(value["apiVersion"]), "kind": kind.removesuffix("List")}
    for number, child in enumerate(items.value, start=1):
        if not isinstance(child, yaml.MappingNode):
            continue
        _inherit(child, inherited)
        reader = _Reader(place.document.text, [])
        item = reader.value(child)
        if not _is_object(item):
            continue
        numbered = f"{place.number}-{number}"
        if _is_list(item):
            yield from _items(
                child, item, _Place(document=place.document, path=place.path, bundle=place.bundle, number=numbered)
            )
            continue
        spans = _moved(reader.spans(child), place.document.line - 1)
        yield KubeObject(
            bundle=place.bundle,
            staged=f"--{numbered}",
            ref=_ref(item),
            origin=Origin(path=place.path, document=place.document.number, item=number, span=spans[()]),
            text=yaml.serialize(child, Dumper=yaml.CSafeDumper, width=2**30, allow_unicode=True).encode(),
            text_line=None,
            item_spans=spans,
        )


def _inherit(node: yaml.MappingNode, fields: Mapping[str, str]) -> None:
    """Items of typed lists (`PodList`) need not name their type: the list does."""
    present = {key.value for key, _ in node.value}
    for name, value in fields.items():
        if name not in present:
            pair = [
                yaml.ScalarNode("tag:yaml.org,2002:str", text, node.start_mark, node.start_mark)
                for text in (name, value)
            ]
            node.value.append((pair[0], pair[1]))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(key), str) and value[key] for key in ("apiVersion", "kind")
    )


def _is_list(value: Mapping[str, Any]) -> bool:
    return str(value["kind"]).endswith("List") and isinstance(value.get("items"), list)


def _ref(value: Mapping[str, Any]) -> ObjectRef:
    group, _, version = str(value["apiVersion"]).rpartition("/")
    metadata = value.get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    namespace = names.get("namespace")
    return ObjectRef(
        group=group,
        version=version,
        kind=str(value["kind"]),
        namespace=str(namespace) if namespace not in (None, "") else None,
        name="" if names.get("name") is None else str(names["name"]),
    )


# -- text to nodes --------------------------------------------------------------------------------------------------------


def _compose(document: Document) -> yaml.Node | None:
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


class _Reader:
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


# -- the index ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def index(obj: KubeObject) -> ObjectIndex:
    """Values, lines and containers of an object, from its staged bytes. Kept for a bounded number: an index is ten times the size of
    its object, and making it again costs under a millisecond."""
    text = obj.text.decode()
    reader = _Reader(text, [])
    node = yaml.compose(text, Loader=yaml.CSafeLoader)
    assert node is not None, "an object's text was composed before"  # noqa: S101
    value = reader.value(node)
    staged = reader.spans(node)
    spans = obj.item_spans or _moved(staged, (obj.text_line or 1) - 1)
    pod = _pod_path(value)
    return ObjectIndex(value=value, spans=spans, staged_spans=staged, pod=pod, containers=_containers(value, pod))


def lookup(value: Any, path: FieldPath) -> Any:
    """The value at a path, None where there is none."""
    for key in path:
        if isinstance(value, dict) and isinstance(key, str):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def _moved(spans: Mapping[FieldPath, Span], lines: int) -> dict[FieldPath, Span]:
    return {path: Span(span.line + lines, span.end_line + lines) for path, span in spans.items()}


def _pod_path(value: Mapping[str, Any]) -> FieldPath | None:
    path = _POD_PATHS.get(str(value["kind"]), _TEMPLATE_POD)
    pod = lookup(value, path)
    return path if isinstance(pod, dict) and any(isinstance(pod.get(name), list) for name in _CONTAINER_LISTS) else None


def _containers(value: Mapping[str, Any], pod: FieldPath | None) -> tuple[Container, ...]:
    if pod is None:
        return ()
    found = [
        (name, number, item)
        for name in _CONTAINER_LISTS
        for number, item in enumerate(lookup(value, (*pod, name)) or ())
        if isinstance(item, dict)
    ]
    names = [str(item.get("name") or "") for _, _, item in found]
    return tuple(
        Container(
            name=name if name and names.count(name) == 1 else f"{kind}[{number}]",
            given=name,
            path=(*pod, kind, number),
            init=kind == "initContainers",
        )
        for (kind, number, _), name in zip(found, names, strict=True)
    )
