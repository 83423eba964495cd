"""Kubernetes objects out of manifest bytes: documents, List items, and the index of an object's fields and containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Any

import yaml

from kguard.inputs.documents import Document, documents
from kguard.inputs.nodes import NodeReader, Unreadable, compose
from kguard.model import Container, FieldPath, InputProblem, KubeObject, ObjectIndex, ObjectRef, Origin, Span

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_DOCUMENTS = 100_000

_TYPE = ("apiVersion", "kind")
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_POD_PATHS: Mapping[str, FieldPath] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_TEMPLATE_POD: FieldPath = ("spec", "template", "spec")


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
    problems: list[InputProblem] = []
    for document in found:
        place = _Place(document=document, path=path, bundle=bundle, problems=problems)
        try:
            objects.extend(_objects(place, notes))
        except Unreadable as error:
            if document.looks_like_manifest:
                broken.append((document, error))
            else:
                notes.append(f"document {document.number} is not YAML: {error}")
    others = len(found) - len(broken)
    problems += [_problem(path, document, error, others) for document, error in broken]
    problems.sort(key=lambda problem: problem.document or 0)
    return FileContent(objects=tuple(objects), problems=tuple(problems), notes=tuple(notes))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the objects of a document stand."""

    document: Document
    path: str
    bundle: str
    problems: list[InputProblem]
    """Of items, which cost the others of their List nothing."""
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    """Of the items of its List, and of the Lists in it."""


def _objects(place: _Place, notes: list[str]) -> Iterator[KubeObject]:
    document = place.document
    node = compose(document)
    if not isinstance(node, yaml.MappingNode):
        return
    reader = NodeReader(document.text, notes)
    value = reader.value(node)
    if not _is_object(value):
        if "apiVersion" in value and "kind" in value:
            raise _unnamed(value, reader.span(node).line + document.line - 1)
        return
    offset = document.line - 1
    if _is_list(value):
        yield from _items(node, value, place)
        return
    span = reader.span(node)
    yield KubeObject(
        bundle=place.bundle,
        staged=f"--{document.number}",
        ref=_ref(value),
        origin=Origin(
            path=place.path, document=document.number, item=None, span=Span(span.line + offset, span.end_line + offset)
        ),
        text=document.text.encode(),
        text_line=document.line,
    )


def _items(node: yaml.MappingNode, value: Mapping[str, Any], place: _Place) -> Iterator[KubeObject]:
    """The items of a List, each written anew from its nodes with the styles of its scalars, since dumping `y` or `"1"` again
    would change what a tool reads."""
    items = NodeReader(place.document.text, []).field(node, "items")
    if not isinstance(items, yaml.SequenceNode):
        return
    kind = str(value["kind"])
    inherited = {} if kind == "List" else {"apiVersion": str(value["apiVersion"]), "kind": kind.removesuffix("List")}
    for child in items.value:
        if isinstance(child, yaml.MappingNode):
            _inherit(child, inherited)
            yield from _item(child, place)
        else:
            next(place.numbers)


def _item(node: yaml.MappingNode, place: _Place) -> Iterator[KubeObject]:
    """The object that an item is, or those of the List that it is."""
    reader, offset = NodeReader(place.document.text, []), place.document.line - 1
    value = reader.value(node)
    if _is_object(value) and _is_list(value):
        yield from _items(node, value, place)
        return
    number = next(place.numbers)
    if not _is_object(value):
        error = _unnamed(value, reader.span(node).line + offset)
        place.problems.append(_item_problem(place, error))
        return
    spans = _moved(reader.spans(node), offset)
    yield KubeObject(
        bundle=place.bundle,
        staged=f"--{place.document.number}-{number}",
        ref=_ref(value),
        origin=Origin(path=place.path, document=place.document.number, item=number, span=spans[()]),
        text=yaml.serialize(node, Dumper=yaml.CSafeDumper, width=2**30, allow_unicode=True).encode(),
        text_line=None,
        item_spans=spans,
    )


def _item_problem(place: _Place, error: Unreadable) -> InputProblem:
    message = f"{error}. This item is skipped; the others of its list are scanned."
    return InputProblem(path=place.path, document=place.document.number, line=error.line, message=message)


def _unnamed(value: Mapping[str, Any], line: int) -> Unreadable:
    """Why a mapping is no object."""
    missing = [key for key in _TYPE if value.get(key) in (None, "")]
    if missing:
        return Unreadable(f"no value for {' and '.join(missing)}", line)
    return Unreadable("apiVersion and kind are not both text", line)


def _inherit(node: yaml.MappingNode, fields: Mapping[str, str]) -> None:
    """Items of typed lists (`PodList`) need not name their type: the list does."""
    present = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    for name, value in fields.items():
        if name not in present:
            pair = [
                yaml.ScalarNode("tag:yaml.org,2002:str", text, node.start_mark, node.start_mark)
                for text in (name, value)
            ]
            node.value.append((pair[0], pair[1]))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) and value[key] for key in _TYPE)


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


# -- the index ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def index(obj: KubeObject) -> ObjectIndex:
    """Values, lines and containers of an object, from its staged bytes. Kept for a bounded number: an index is ten times the size of
    its object, and making it again costs under a millisecond."""
    text = obj.text.decode()
    reader = NodeReader(text, [])
    node = yaml.compose(text, Loader=yaml.CSafeLoader)
    assert node is not None, "an object's text was composed before"  # noqa: S101
    value = reader.value(node)
    staged = reader.spans(node)
    spans = obj.item_spans or _moved(staged, (obj.text_line or 1) - 1)
    pod = _pod_path(value)
    return ObjectIndex(
        value=value,
        spans=spans,
        staged_spans=staged,
        pod=pod,
        containers=_containers(value, pod),
        locations=obj.trace.locations(value, staged) if obj.trace is not None else None,
    )


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
    lists = [(name, lookup(value, (*pod, name))) for name in _CONTAINER_LISTS]
    found = [
        (name, number, item)
        for name, items in lists
        for number, item in enumerate(items if isinstance(items, list) else ())
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
