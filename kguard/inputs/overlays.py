"""The way back through overlays: which base, patch or kustomization each field of an object that kustomize rendered comes from.

The object's base document is taken through the patches of every kustomization around it, as kustomize does, with each value carrying the
place that it stands at. What then equals the rendered object has its place; what differs was changed by a kustomization's own fields.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from kguard.inputs.documents import documents
from kguard.inputs.nodes import NodeReader, Unreadable, compose
from kguard.inputs.objects import MAX_FILE_BYTES, index, lookup, read_manifest
from kguard.inputs.paths import display
from kguard.model import FieldPath, KubeObject, Location, ObjectRef, Origin, Precision, Span

Chain = tuple["Layer", ...]
"""The kustomizations and components that an object passes through, innermost first."""


# -- files ----------------------------------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """A file's text; raises Unreadable for what is no regular file of UTF-8 within the limit for manifests."""
    try:
        # a pipe that nobody writes into must not hold a scan up
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable("not a regular file")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable(f"larger than {MAX_FILE_BYTES // 2**20} MiB, the limit for one file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable("not UTF-8; save it as UTF-8", data.count(b"\n", 0, error.start) + 1) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """One YAML document: plain values, and lines of its text's file by field path."""

    value: Any
    spans: Mapping[FieldPath, Span]


def parsed(text: str, lines: int = 0) -> tuple[Parsed, ...]:
    """The documents of a text that starts `lines` lines below the top of its file. Raises Unreadable."""
    found = []
    for document in documents(text):
        node = compose(document)
        if node is not None:
            reader = NodeReader(document.text, [])
            spans = moved(reader.spans(node), document.line - 1 + lines)
            found.append(Parsed(value=reader.value(node), spans=spans))
    return tuple(found)


def moved(spans: Mapping[FieldPath, Span], lines: int) -> dict[FieldPath, Span]:
    return {path: Span(span.line + lines, span.end_line + lines) for path, span in spans.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One kustomization or component, as it is written."""

    path: str
    """Its file, as reports show it."""
    folder: Path
    """Absolute, links resolved."""
    value: Mapping[str, Any]
    spans: Mapping[FieldPath, Span]
    text: str

    def entry(self, *path: str | int, precision: Precision = Precision.FILE) -> Location:
        """The place of one of its own fields."""
        return _location(self.path, self.spans.get(path), precision)

    def items(self, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The mappings of one of its lists, with their positions."""
        content = self.value.get(name)
        for number, item in enumerate(content if isinstance(content, list) else ()):
            if isinstance(item, dict):
                yield number, item


def _location(path: str, span: Span | None, precision: Precision) -> Location:
    if span is None:
        return Location(path=path, line=None, end_line=None, precision=Precision.FILE)
    return Location(path=path, line=span.line, end_line=span.end_line, precision=precision)


# What a transformer with a configuration of its own does, as the fields of a kustomization that do the same.
_TRANSFORMERS: Mapping[str, tuple[tuple[FieldPath, FieldPath], ...]] = {
    "AnnotationsTransformer": ((("annotations",), ("commonAnnotations",)),),
    "ImageTagTransformer": ((("imageTag",), ("images", 0)),),
    "LabelTransformer": ((("labels",), ("commonLabels",)),),
    "NamespaceTransformer": ((("metadata", "namespace"), ("namespace",)),),
    "PatchTransformer": (((), ("patches", 0)),),
    "PrefixTransformer": ((("prefix",), ("namePrefix",)),),
    "ReplicaCountTransformer": ((("replica",), ("replicas", 0)),),
    "SuffixTransformer": ((("suffix",), ("nameSuffix",)),),
}


def transformer_layers(layer: Layer, entries: Sequence[Any], shown: Callable[[Path], str]) -> Iterator[Layer]:
    """The transformers of a kustomization, each as a layer behind it."""
    for number, entry in enumerate(entries):
        if not isinstance(entry, str):
            continue
        file = Path(os.path.realpath(layer.folder / entry)) if "\n" not in entry else None
        lines = _lines_before(entry, layer, ("transformers", number)) if file is None else 0
        try:
            text = entry if file is None else read_text(file)
            found = parsed(text, lines or 0)
        except Unreadable:
            continue  # a folder of transformers, whose effects are not foreseen
        for document in found:
            spans = document.spans if lines is not None else {}
            yield _transformer(replace(layer, path=shown(file) if file else layer.path, text=text), document, spans)


def _transformer(layer: Layer, document: Parsed, spans: Mapping[FieldPath, Span]) -> Layer:
    config = document.value if isinstance(document.value, dict) else {}
    fields: dict[str, Any] = {}
    places: dict[FieldPath, Span] = {}
    for own, alike in _TRANSFORMERS.get(str(config.get("kind")), ()):
        value = lookup(config, own)
        fields[str(alike[0])] = value if len(alike) == 1 else [value]
        places |= {(*alike, *path[len(own) :]): span for path, span in spans.items() if path[: len(own)] == own}
    return replace(layer, value=fields or {"transformers": True}, spans=places)


class Sources:
    """The files around one root, each read once."""

    def __init__(self, folder: Path, bundle: str) -> None:
        self._given, self._real = Path(os.path.abspath(folder)), Path(os.path.realpath(folder))
        self._bundle = bundle
        self._objects: dict[Path, tuple[KubeObject, ...]] = {}
        self._patches: dict[Layer, tuple[Patch, ...]] = {}
        self._named: dict[Path, defaultdict[tuple[str, str, str | None], list[KubeObject]]] = {}
        self._holding: defaultdict[tuple[str, str], list[Path]] | None = None

    def shown(self, path: Path) -> str:
        """A path as the user would write it: relative to the working directory where it is below it, links as given."""
        given, real = self._given, self._real
        while given.name == real.name and given != given.parent:
            given, real = given.parent, real.parent
        return display(given / path.relative_to(real) if path.is_relative_to(real) else path)

    def objects(self, path: Path) -> tuple[KubeObject, ...]:
        """The objects of a resource file; none where it cannot be read."""
        if path not in self._objects:
            try:
                data = read_text(path).encode()
            except Unreadable:
                data = b""  # kustomize has read it since; it is on its way out
            self._objects[path] = read_manifest(self.shown(path), data, self._bundle).objects
        return self._objects[path]

    def named(self, path: Path, ref: ObjectRef, name: str | None) -> Sequence[KubeObject]:
        """The objects of a resource file that are of `ref`'s kind and have this name; with any name for None."""
        if path not in self._named:
            self._named[path] = defaultdict(list)
            for obj in self.objects(path):
                self._named[path][obj.ref.group, obj.ref.kind, obj.ref.name].append(obj)
                self._named[path][obj.ref.group, obj.ref.kind, None].append(obj)
        return self._named[path].get((ref.group, ref.kind, name), ())

    def holding(self, ref: ObjectRef, chains: Mapping[Path, Sequence[Chain]]) -> Sequence[Path]:
        """Those of the root's files that hold or generate an object of this kind."""
        if self._holding is None:
            self._holding = defaultdict(list)
            for path, ways in chains.items():
                kinds = {(obj.ref.group, obj.ref.kind) for obj in self.objects(Path(os.path.realpath(path)))}
                own = self.shown(Path(os.path.realpath(path)))
                for layer in ways[0]:
                    kinds |= {
                        ("", kind) for kind in _GENERATORS if layer.path == own and layer.value.get(_GENERATORS[kind])
                    }
                for kind in kinds:
                    self._holding[kind].append(path)
        return self._holding.get((ref.group, ref.kind), ())

    def patches(self, layer: Layer) -> tuple[Patch, ...]:
        if layer not in self._patches:
            self._patches[layer] = tuple(_patches(layer, self))
        return self._patches[layer]


# -- patches --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """One strategic-merge document, or one list of JSON 6902 operations."""

    path: str
    """The file that it stands in, as reports show it; the kustomization for an inline patch."""
    value: Any
    spans: Mapping[FieldPath, Span] | None
    """None where its lines are not those of the file (an inline patch in a folded or escaped scalar)."""
    entry: Location
    """Where the kustomization names it."""
    target: Mapping[str, Any] | None
    late: bool
    """Whether it comes after names are prefixed, as `patchesJson6902` do."""

    def place(self, path: FieldPath) -> Location:
        if self.spans is None or path not in self.spans:
            return self.entry
        return _location(self.path, self.spans[path], Precision.EXACT)


def _patches(layer: Layer, sources: Sources) -> Iterator[Patch]:
    """The patches of a kustomization in the order in which kustomize applies them."""
    merges = layer.value.get("patchesStrategicMerge")
    for number, text in enumerate(merges if isinstance(merges, list) else ()):
        if isinstance(text, str):
            at = ("patchesStrategicMerge", number)
            inline = "\n" in text.strip() or text.lstrip().startswith("{")
            yield from _patch(layer, sources, at, {"patch" if inline else "path": text}, at)
    for name in ("patches", "patchesJson6902"):
        for number, item in layer.items(name):
            yield from _patch(layer, sources, (name, number), item, (name, number, "patch"))


def _patch(
    layer: Layer, sources: Sources, at: FieldPath, item: Mapping[str, Any], inline: FieldPath
) -> Iterator[Patch]:
    target = item.get("target")
    path, text = item.get("path"), item.get("patch")
    lines: int | None = 0
    shown = layer.path
    try:
        if isinstance(path, str):
            file = Path(os.path.realpath(layer.folder / path))
            shown, text = sources.shown(file), read_text(file)
        elif isinstance(text, str):
            lines = _lines_before(text, layer, inline)
        found = parsed(text, lines or 0) if isinstance(text, str) else ()
    except Unreadable:
        return  # kustomize has read it; nothing is known of it here
    for document in found:
        yield Patch(
            path=shown,
            value=document.value,
            spans=document.spans if lines is not None else None,
            entry=layer.entry(*at),
            target=target if isinstance(target, dict) else None,
            late=at[0] == "patchesJson6902",
        )


def _lines_before(text: str, layer: Layer, path: FieldPath) -> int | None:
    """Lines of the file above an inline text; None where its lines are not the file's own."""
    span = layer.spans.get(path)
    if span is None:
        return None
    if span.line == span.end_line:
        return span.line - 1 if "\n" not in text.strip("\n") else None
    lines = layer.text.split("\n")
    own = text.rstrip("\n").split("\n")
    there = lines[span.line : span.line + len(own)]
    same = [one.strip() for one in own] == [other.strip() for other in there]
    return span.line if same else None


_OPERATIONS = frozenset(("add", "replace", "remove", "move", "copy", "test"))


def _is_operations(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(op, dict) and op.get("op") in _OPERATIONS for op in value)


# -- which objects a patch is for -----------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Identity:
    """What an object may be called at some step."""

    group: str
    version: str
    kind: str
    names: set[str]
    namespaces: set[str]
    labels: Mapping[str, Any]
    annotations: Mapping[str, Any]

    def meant_by(self, patch: Patch) -> bool:
        if patch.target is not None:
            return self._selected(patch.target)
        if not isinstance(patch.value, dict):
            return False
        group, _, version = str(patch.value.get("apiVersion", "")).rpartition("/")
        name, namespace = lookup(patch.value, ("metadata", "name")), lookup(patch.value, ("metadata", "namespace"))
        return (
            (group, version, patch.value.get("kind")) == (self.group, self.version, self.kind)
            and str(name) in self.names
            and str(namespace or "default") in self.namespaces
        )

    def _selected(self, target: Mapping[str, Any]) -> bool:
        kinds = {"group": self.group, "version": self.version, "kind": self.kind}
        return (
            all(_matches(target.get(key), {own}) for key, own in kinds.items())
            and _matches(target.get("name"), self.names)
            and _matches(target.get("namespace"), self.namespaces)
            and labelled(target.get("labelSelector"), self.labels)
            and labelled(target.get("annotationSelector"), self.annotations)
        )


_LONGEST_NAME = 253
_QUANTIFIERS = re.compile(r"(?<!\\)[*+?{]")
_REPEATED_GROUP = re.compile(r"\)[*+?{]")


def _matches(pattern: Any, names: set[str]) -> bool:
    """Whether a selector's regular expression, which must match a whole name, matches one. What could take long to try is not."""
    if pattern in (None, ""):
        return True
    text = str(pattern)
    if text in names:
        return True
    if len(text) > _LONGEST_NAME or len(_QUANTIFIERS.findall(text)) > 3 or _REPEATED_GROUP.search(text):
        return False
    try:
        compiled = re.compile(text)
    except re.error:
        return False
    return any(len(name) <= _LONGEST_NAME and compiled.fullmatch(name) for name in names)


_LONGEST_SELECTOR = 4096
_REQUIREMENT = re.compile(
    r"\s*(?P<not>!)?\s*(?P<key>[^\s!=(),]+)\s*(?:(?P<op>==?|!=|\bin\b|\bnotin\b)\s*(?:\((?P<set>[^()]*)\)|(?P<value>[^\s,()]*)))?\s*(?:,|$)"
)


def labelled(selector: Any, labels: Mapping[str, Any]) -> bool:
    """Whether labels satisfy a selector such as `app=web,tier in (a, b),!legacy`; one that cannot be read is not satisfied."""
    text = str(selector or "")
    if len(text) > _LONGEST_SELECTOR:
        return False
    at = 0
    while at < len(text):
        match = _REQUIREMENT.match(text, at)
        if match is None or match.end() == at:
            return False
        at = match.end()
        if not _satisfied(match, labels):
            return False
    return True


def _satisfied(match: re.Match[str], labels: Mapping[str, Any]) -> bool:
    key, op = match["key"], match["op"]
    if op is None:
        return (key in labels) != bool(match["not"])
    values = {match["value"]} if match["set"] is None else {value.strip() for value in match["set"].split(",")}
    return (str(labels[key]) in values if key in labels else False) == (op in ("=", "==", "in"))


# -- values that know their places ----------------------------------------------------------------------------------------

_ANY: Any = object()
"""A value that is made of a file and not looked at."""


@dataclass(slots=True)
class _Node:
    """A mapping, list or scalar, and where it stands; the children of mappings and lists are nodes."""

    value: Any
    place: Location

    def child(self, key: str | int) -> _Node | None:
        if isinstance(self.value, dict) and isinstance(key, str):
            return self.value.get(key)
        if isinstance(self.value, list) and isinstance(key, int) and 0 <= key < len(self.value):
            item: _Node = self.value[key]
            return item
        return None

    def at(self, path: FieldPath) -> _Node | None:
        node: _Node | None = self
        for key in path:
            node = node.child(key) if node is not None else None
        return node


def _grown(value: Any, place: Callable[[FieldPath], Location], path: FieldPath = ()) -> _Node:
    match value:
        case dict():
            content: Any = {key: _grown(child, place, (*path, key)) for key, child in value.items() if key != "$patch"}
        case list():
            content = [_grown(child, place, (*path, number)) for number, child in enumerate(value)]
        case _:
            content = value
    return _Node(content, place(path))


def _shallow(node: _Node) -> Any:
    """Enough of a value to name it: its scalars."""
    if isinstance(node.value, dict):
        return {key: child.value for key, child in node.value.items() if not isinstance(child.value, (dict, list))}
    return node.value


def _plain(node: _Node) -> Any:
    match node.value:
        case dict():
            return {key: _plain(child) for key, child in node.value.items()}
        case list():
            return [_plain(child) for child in node.value]
        case value:
            return value


# The lists that strategic merge joins by a key, in the kinds that Kubernetes brings; all others are replaced as a whole.
_MERGED_LISTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("containers", "initContainers", "ephemeralContainers", "volumes", "env"), ("name",)),
    **dict.fromkeys(("imagePullSecrets", "secrets", "webhooks"), ("name",)),
    "ports": ("containerPort", "port"),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
}
_BUILTIN = re.compile(
    r"(|apps|batch|autoscaling|policy|extensions"
    r"|(admissionregistration|apiextensions|apiregistration|certificates|coordination|discovery|events"
    r"|flowcontrol\.apiserver|networking|node|rbac\.authorization|scheduling|storage)(\.k8s\.io))"
)
_NAMING = (
    "name",
    "key",
    "containerPort",
    "port",
    "mountPath",
    "devicePath",
    "ip",
    "topologyKey",
    "host",
    "path",
    "type",
)
_FURTHER = ("protocol", "kind", "effect")


def _name_of(item: Any, keys: Sequence[str] = _NAMING) -> tuple[Any, ...] | None:
    """What tells a list item from its siblings: itself, or the field that names it; None for a mapping without one."""
    if not isinstance(item, dict):
        return None if isinstance(item, list) else ("=", type(item).__name__, item)
    for key in keys:
        value = item.get(key)
        if isinstance(value, (str, int)):
            further = {name: item[name] for name in _FURTHER if isinstance(item.get(name), str) and name != key}
            if key in ("containerPort", "port"):
                further.setdefault("protocol", "TCP")
            return (key, value, *sorted(further.items()))
    return None


Keyed = tuple[Any, ...]
"""A field path with the names of list items in place of their positions, which differ from overlay to overlay."""


def keyed(path: FieldPath, value: Any) -> Keyed:
    """A path through `value` with list items by name."""
    found: list[Any] = []
    for key in path:
        if isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
            found.append(_name_of(value) or key)
        else:
            value = value.get(key) if isinstance(value, dict) else None
            found.append(key)
    return tuple(found)


def _pairs(values: Sequence[Any], nodes: Sequence[_Node]) -> list[_Node | None]:
    """For every item of a rendered list the item that it was made of: by name, else by equal content, else the one left over on both
    sides. Never by position alone."""
    paired: list[_Node | None] = [None] * len(values)
    left = dict(enumerate(nodes))
    _pair(values, paired, left, _name_of, lambda node: _name_of(_shallow(node)))
    if left and None in paired:
        _pair(values, paired, left, _content, lambda node: _content(_plain(node)))
    rest = [number for number, node in enumerate(paired) if node is None]
    if len(rest) == len(left) == 1:
        paired[rest[0]] = left.popitem()[1]
    return paired


def _pair(
    values: Sequence[Any],
    paired: list[_Node | None],
    left: dict[int, _Node],
    of_value: Callable[[Any], Any],
    of_node: Callable[[_Node], Any],
) -> None:
    """Pair what has the same word on both sides, in order where several have; None is no word."""
    waiting: dict[Any, deque[int]] = defaultdict(deque)
    for number, node in left.items():
        waiting[of_node(node)].append(number)
    for number, value in enumerate(values):
        word = of_value(value) if paired[number] is None else None
        if word is not None and waiting[word]:
            paired[number] = left.pop(waiting[word].popleft())


def _content(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


# -- the walk through the overlays ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What one patch did to one field."""

    at: Keyed
    place: Location
    whole: bool
    """Whether it took away, or replaced, all that was below."""


class _Replay:
    """An object's base document, taken through the patches of its chain."""

    def __init__(self, tree: _Node, ref: ObjectRef, chain: Chain, sources: Sources) -> None:
        self.tree = tree
        self.changes: list[_Change] = []
        self._ref = ref
        self._identity = _Identity(
            group=ref.group,
            version=ref.version,
            kind=ref.kind,
            names={ref.name},
            namespaces={ref.namespace or "default"},
            labels={},
            annotations={},
        )
        self._brought: dict[str, dict[str, Any]] = {"labels": {}, "annotations": {}}
        self._merges_lists = _BUILTIN.fullmatch(ref.group) is not None
        name = ref.name
        for layer in chain:
            self._generated(layer, sources, name)
            self._patched(sources.patches(layer), late=False)
            name = self._renamed(layer, name)
            self._patched(sources.patches(layer), late=True)

    @property
    def names(self) -> set[str]:
        return self._identity.names

    def _renamed(self, layer: Layer, name: str) -> str:
        new = full_name(name, (layer,))
        self._identity.names.add(new)
        if layer.value.get("namespace"):
            self._identity.namespaces.add(str(layer.value["namespace"]))
        for kind, brought in self._brought.items():
            for _, key, value in _brought(layer, kind):
                brought[key] = value
        return new

    def _generated(self, layer: Layer, sources: Sources, name: str) -> None:
        """What a later generator of the same name merges into a generated object."""
        found = generator_of(layer, self._ref.kind, {name})
        if found is None or layer.value[found[0]][found[1]].get("behavior") not in ("merge", "replace"):
            return
        tree = generated_tree(layer, found, sources)
        for section in ("data", "binaryData"):
            target, brought = self.tree.child(section), tree.child(section)
            if target is None or brought is None:
                continue
            if layer.value[found[0]][found[1]]["behavior"] == "replace":
                self._log((section,), brought.place, whole=True)
                target.value.clear()
            for key, node in brought.value.items():
                target.value[key] = node
                self._log((section, key), node.place)

    def _patched(self, patches: Sequence[Patch], *, late: bool) -> None:
        for patch in patches:
            if patch.late is not late:
                continue
            for kind, brought in self._brought.items():
                own = self.tree.at(("metadata", kind))
                values = _plain(own) if own is not None and isinstance(own.value, dict) else {}
                setattr(self._identity, kind, {**values, **brought})
            if not self._identity.meant_by(patch):
                continue
            if _is_operations(patch.value):
                for number, operation in enumerate(patch.value):
                    self._operate(operation, patch, number)
            elif isinstance(patch.value, dict):
                self._merge(self.tree, patch, patch.value, (), ())

    def _log(self, at: Keyed, place: Location, *, whole: bool = False) -> None:
        self.changes.append(_Change(at=at, place=place, whole=whole))

    def _log_tree(self, at: Keyed, node: _Node) -> None:
        """A new value: it stands for all below it, then each field for itself."""
        self._log(at, node.place, whole=True)
        match node.value:
            case dict():
                for key, child in node.value.items():
                    self._log_tree((*at, key), child)
            case list():
                for number, child in enumerate(node.value):
                    # an item without a name is no earlier one's successor, whatever its position
                    self._log_tree((*at, _name_of(_shallow(child)) or ("unnamed", number)), child)

    # strategic merge

    def _merge(self, node: _Node, patch: Patch, value: Mapping[str, Any], path: FieldPath, at: Keyed) -> None:
        for key, child in value.items():
            if key == "$patch" or (at, key) in _IDENTITY:
                continue
            self._merge_field(node, key, patch, child, (*path, key), (*at, key))

    def _merge_field(self, node: _Node, key: str, patch: Patch, child: Any, path: FieldPath, at: Keyed) -> None:
        existing = node.child(key)
        directive = child.get("$patch") if isinstance(child, dict) else None
        if child is None or directive == "delete":
            node.value.pop(key, None)
            self._log(at, patch.place(path), whole=True)
        elif isinstance(child, dict) and existing is not None and isinstance(existing.value, dict) and not directive:
            self._merge(existing, patch, child, path, at)
        elif isinstance(child, list) and existing is not None and self._joins(key, existing, child):
            self._merge_list(existing, key, patch, child, path, at)
        else:
            self._put(node, key, _grown(child, patch.place, path), at)

    def _put(self, node: _Node, key: str, new: _Node, at: Keyed) -> None:
        node.value[key] = new
        self._log_tree(at, new)

    def _joins(self, name: str, existing: _Node, items: Sequence[Any]) -> bool:
        keys = _MERGED_LISTS.get(name, ())
        named = all(isinstance(item, dict) and any(key in item for key in keys) for item in items)
        return self._merges_lists and isinstance(existing.value, list) and named

    def _merge_list(
        self, node: _Node, name: str, patch: Patch, items: Sequence[Any], path: FieldPath, at: Keyed
    ) -> None:
        """Items of the patch come first, in its order, then the rest of the list; as kustomize has it."""
        keys = _MERGED_LISTS[name]
        first: list[_Node] = []
        rest: list[_Node] = node.value
        for number, item in enumerate(items):
            where = (*path, number)
            own = _name_of(item, keys)
            below = (*at, _name_of(item) or number)
            twin = next((child for child in rest if _name_of(_shallow(child), keys) == own), None)
            rest = [child for child in rest if child is not twin]
            if item.get("$patch") == "delete":
                self._log(below, patch.place(where), whole=True)
            elif twin is not None and isinstance(twin.value, dict) and item.get("$patch") is None:
                # the field that names the item is there to find it, not to set it
                fields = {key: value for key, value in item.items() if own is None or key != own[0]}
                self._merge(twin, patch, fields, where, below)
                first.append(twin)
            else:
                first.append(_grown(item, patch.place, where))
                self._log_tree(below, first[-1])
        node.value = [*first, *rest]

    # JSON 6902

    def _operate(self, operation: Mapping[str, Any], patch: Patch, number: int) -> None:
        place = patch.place((number,))
        op = operation["op"]
        if op in ("move", "remove"):
            moved = self._take(_pointer(operation.get("from" if op == "move" else "path")), place)
        if op in ("add", "replace"):
            new = _grown(operation.get("value"), patch.place, (number, "value"))
            self._set(_pointer(operation.get("path")), replace(new, place=place), replacing=op == "replace")
        elif op == "move" and moved is not None:
            self._set(_pointer(operation.get("path")), replace(moved, place=place), replacing=False)
        elif op == "copy":
            source = self._found(_pointer(operation.get("from")))
            if source is not None:
                # the fields below stand where they were copied from, which may change after
                below = replace(place, precision=Precision.FILE)
                copied = _grown(_plain(source), lambda path: below if path else place)
                self._set(_pointer(operation.get("path")), copied, replacing=False)

    def _take(self, pointer: Sequence[str], place: Location) -> _Node | None:
        parent, key, at = self._parent(pointer)
        node = parent.child(key) if parent is not None else None
        if parent is None or node is None:
            return None
        name = _name_of(_shallow(node)) if isinstance(key, int) else None
        del parent.value[key]
        self._log((*at, name or key), place, whole=True)
        return node

    def _set(self, pointer: Sequence[str], node: _Node, *, replacing: bool) -> None:
        parent, key, at = self._parent(pointer)
        if parent is None:
            return
        if isinstance(parent.value, dict):
            parent.value[key] = node
        elif isinstance(parent.value, list) and isinstance(key, int):
            parent.value[key : key + 1 if replacing else key] = [node]
        name = _name_of(_shallow(node)) if isinstance(key, int) else None
        self._log_tree((*at, name or key), node)

    def _found(self, pointer: Sequence[str]) -> _Node | None:
        parent, key, _ = self._parent(pointer)
        return parent.child(key) if parent is not None else None

    def _parent(self, pointer: Sequence[str]) -> tuple[_Node | None, str | int, Keyed]:
        """The mapping or list that a pointer leads into, its last step there, and the way to it."""
        node: _Node | None = self.tree
        at: list[Any] = []
        step: str | int = ""
        for position, token in enumerate(pointer):
            step = token
            if node is not None and isinstance(node.value, list):
                step = len(node.value) if token == "-" else int(token) if token.isdecimal() else -1  # noqa: S105
            if position == len(pointer) - 1 or node is None:
                break
            node = node.child(step)
            name = _name_of(_shallow(node)) if node is not None and isinstance(step, int) else None
            at.append(name or step)
        return (node if pointer else None), step, tuple(at)


_IDENTITY = frozenset((((), "apiVersion"), ((), "kind"), (("metadata",), "name"), (("metadata",), "namespace")))
"""Fields of a strategic-merge patch that say which object it is for."""


def _pointer(text: Any) -> tuple[str, ...]:
    """The steps of a JSON pointer; none for what is not one."""
    if not isinstance(text, str) or not text.startswith("/"):
        return ()
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


# -- what a kustomization's own fields do ---------------------------------------------------------------------------------

_GENERATORS = {"ConfigMap": "configMapGenerator", "Secret": "secretGenerator"}
_HASH = re.compile(r"-[0-9a-z]{10}")


def generator_of(layer: Layer, kind: str, names: Iterable[str]) -> tuple[str, int] | None:
    """The generator of a kustomization that makes, or adds to, an object of one of these names."""
    entries = _generators(layer)
    return next((entries[kind, name] for name in names if (kind, name) in entries), None)


@lru_cache(maxsize=256)
def _generators(layer: Layer) -> Mapping[tuple[str, str], tuple[str, int]]:
    return {
        (kind, str(item.get("name"))): (name, number)
        for kind, name in _GENERATORS.items()
        for number, item in layer.items(name)
    }


def generated_tree(layer: Layer, at: tuple[str, int], sources: Sources) -> _Node:
    """The object that a generator makes, as far as its entry tells: the fields' places, not the contents of files."""
    entry, place = layer.value[at[0]][at[1]], layer.entry(*at)
    data: dict[str, _Node] = {}
    for text in _texts(entry.get("files")):
        key, _, path = text.rpartition("=")
        file = sources.shown(Path(os.path.realpath(layer.folder / path)))
        data[key or path.rpartition("/")[2]] = _Node(_ANY, _location(file, None, Precision.FILE))
    for text in (*_texts(entry.get("envs")), *_texts([entry.get("env")])):
        data.update(_variables(Path(os.path.realpath(layer.folder / text)), sources))
    for number, text in enumerate(_texts(entry.get("literals"))):
        literal = layer.entry(*at, "literals", number, precision=Precision.EXACT)
        data[text.partition("=")[0]] = _Node(_ANY, literal)
    metadata = {"name": _Node(entry.get("name"), place), **_options(layer, at)}
    sections = {name: _Node(dict(data), place) for name in ("data", "binaryData")}
    fields = {name: _Node(_ANY, place) for name in ("apiVersion", "kind", "type")}
    return _Node({**fields, **sections, "metadata": _Node(metadata, place)}, replace(place, precision=Precision.OBJECT))


def _variables(path: Path, sources: Sources) -> Iterator[tuple[str, _Node]]:
    """The keys of an environment file, with their lines."""
    try:
        lines = read_text(path).split("\n")
    except Unreadable:
        return
    for number, line in enumerate(lines, start=1):
        key = line.strip().partition("=")[0]
        if key and not key.startswith("#"):
            yield key, _Node(_ANY, _location(sources.shown(path), Span(number, number), Precision.EXACT))


def _options(layer: Layer, at: tuple[str, int]) -> dict[str, _Node]:
    """The labels and annotations that a generator's options give."""
    found: dict[str, dict[str, _Node]] = {}
    for path in (("generatorOptions",), (*at, "options")):
        for kind in ("labels", "annotations"):
            values = lookup(layer.value, (*path, kind))
            for key, value in values.items() if isinstance(values, dict) else ():
                place = layer.entry(*path, kind, key, precision=Precision.EXACT)
                found.setdefault(kind, {})[key] = _Node(value, place)
    return {kind: _Node(values, layer.entry(*at)) for kind, values in found.items()}


def _texts(value: Any) -> Iterator[str]:
    yield from (text for text in (value if isinstance(value, list) else ()) if isinstance(text, str))


def _brought(layer: Layer, kind: str) -> Iterator[tuple[Location, str, Any]]:
    """The labels, or annotations, that a kustomization gives to all its objects, each with its place."""
    common = layer.value.get("commonLabels" if kind == "labels" else "commonAnnotations")
    for key, value in common.items() if isinstance(common, dict) else ():
        yield layer.entry("commonLabels" if kind == "labels" else "commonAnnotations", key), key, value
    for number, item in layer.items("labels") if kind == "labels" else ():
        pairs = item.get("pairs")
        for key, value in pairs.items() if isinstance(pairs, dict) else ():
            yield layer.entry("labels", number, "pairs", key), key, value


_IMAGE = re.compile(r"(?P<name>[^@]*?)(?::(?P<tag>[^:/@]*))?(?:@(?P<digest>.*))?", re.DOTALL)


def _image_entry(layer: Layer, image: str) -> tuple[Location, str] | None:
    """The entry of `images` that is for an image, and what it makes of it."""
    parts = _IMAGE.fullmatch(image)
    if parts is None:
        return None
    for number, item in layer.items("images"):
        if item.get("name") == parts["name"]:
            return layer.entry("images", number), _renamed_image(parts, item)
    return None


def _renamed_image(parts: re.Match[str], item: Mapping[str, Any]) -> str:
    tag, digest = parts["tag"], parts["digest"]
    if item.get("newTag") or item.get("digest"):
        tag, digest = item.get("newTag"), item.get("digest")
    elif item.get("tagSuffix"):
        tag, digest = f"{tag or ''}{item['tagSuffix']}", None
    end = f"@{digest}" if digest else ""
    return f"{item.get('newName') or parts['name']}{f':{tag}' if tag else ''}{end}"


def affixes(chain: Chain) -> tuple[str, str]:
    """The prefix and the suffix that a chain puts around a name."""
    prefix, suffix = "", ""
    for layer in chain:
        prefix = f"{layer.value.get('namePrefix') or ''}{prefix}"
        suffix = f"{suffix}{layer.value.get('nameSuffix') or ''}"
    return prefix, suffix


def full_name(name: str, chain: Chain) -> str:
    """A name with what a chain puts around it."""
    prefix, suffix = affixes(chain)
    return f"{prefix}{name}{suffix}"


class _Changed:
    """Which entry of which kustomization changed a field that no patch explains, outermost first."""

    def __init__(self, chain: Chain, names: set[str], fallback: Location) -> None:
        self._chain, self._names, self._fallback = chain, names, fallback

    def by(self, path: FieldPath, value: Any, before: Any) -> Location:
        """The place of the entry where it is certain, else just the kustomization."""
        return self._certain(path, value, before) or self._likely()

    def cured(self, path: FieldPath, before: Any) -> Location | None:
        """The entry of `images` or `replicas` that is for a field, whatever it makes of it."""
        return self._images(before, _ANY) if path[-1:] == ("image",) else self._replicas(path, _ANY)

    def _certain(self, path: FieldPath, value: Any, before: Any) -> Location | None:
        last = path[-1] if path else ""
        if last == "image" and isinstance(value, str):
            return self._images(before, value)
        if path == ("spec", "replicas"):
            return self._replicas(path, value)
        if isinstance(value, dict) and value:
            return self._common(str(last), value)
        for kind, sections in _LABELLED.items():
            if len(path) > 1 and path[-2] in sections:
                return self._entry(partial(_brought, kind=kind), str(last), value)
        if last == "namespace" and isinstance(value, str):
            # one that no kustomization gives was given to kguard
            return self._entry(_namespace, "namespace", value) or self._fallback
        if isinstance(value, str):
            return self._name(value, before)
        return None

    def _entry(
        self, entries: Callable[[Layer], Iterator[tuple[Location, str, Any]]], key: str, value: Any
    ) -> Location | None:
        for layer in reversed(self._chain):
            for place, name, given in entries(layer):
                if name == key and str(given) == str(value):
                    return place
        return None

    def _common(self, name: str, value: Mapping[str, Any]) -> Location | None:
        """A mapping of labels that no file has: the kustomization of its first label."""
        for kind, sections in _LABELLED.items():
            if name in sections:
                key, label = next(iter(value.items()))
                found = self._entry(partial(_brought, kind=kind), key, label)
                return replace(found, line=None, end_line=None) if found else None
        return None

    def _images(self, before: Any, value: Any) -> Location | None:
        """The last entry that renames an image; none unless all entries together make the value."""
        place, image = None, before
        for layer in self._chain:
            found = _image_entry(layer, image) if isinstance(image, str) else None
            if found is not None:
                place, image = found
        return place if value is _ANY or value == image else None

    def _replicas(self, path: FieldPath, value: Any) -> Location | None:
        if path != ("spec", "replicas"):
            return None
        for layer in reversed(self._chain):
            for number, item in layer.items("replicas"):
                if item.get("name") in self._names and (value is _ANY or str(item.get("count")) == str(value)):
                    return layer.entry("replicas", number)
        return None

    def _name(self, value: str, before: Any) -> Location | None:
        """A name, or a reference to one, that got a prefix, a suffix or a generator's hash."""
        if not isinstance(before, str) or not before:
            return None
        # what is referred to may have been made further out, where fewer prefixes follow
        names = {full_name(before, self._chain[start:]) for start in range(len(self._chain))}
        if value in names:
            affixed = [layer for layer in self._chain if full_name("", (layer,))]
            last = affixed[-1]
            return last.entry("namePrefix" if last.value.get("namePrefix") else "nameSuffix")
        if not any(_HASH.fullmatch(value.removeprefix(name)) for name in names):
            return None
        makers = [
            layer.entry(*found)
            for layer in self._chain
            for kind in _GENERATORS
            if (found := generator_of(layer, kind, self._names_until(layer, before))) is not None
        ]
        return makers[-1] if makers else None

    def _names_until(self, until: Layer, name: str) -> set[str]:
        names = {name}
        for layer in self._chain[: self._chain.index(until)]:
            name = full_name(name, (layer,))
            names.add(name)
        return names

    def _likely(self) -> Location:
        """The outermost kustomization whose fields can change anything at all, those first whose effect is not foreseen here."""
        for fields in (_UNFORESEEN, _CHANGING):
            for layer in reversed(self._chain):
                if any(layer.value.get(name) for name in fields):
                    return _location(layer.path, None, Precision.FILE)
        return self._fallback


_LABELLED: Mapping[str, frozenset[str]] = {
    "labels": frozenset(("labels", "matchLabels", "selector")),
    "annotations": frozenset(("annotations",)),
}
_UNFORESEEN = ("replacements", "vars", "transformers", "configurations")
_CHANGING = (
    *("namespace", "namePrefix", "nameSuffix", "commonLabels", "labels", "commonAnnotations", "images", "replicas"),
    *("patches", "patchesStrategicMerge", "patchesJson6902", "configMapGenerator", "secretGenerator"),
)


def _namespace(layer: Layer) -> Iterator[tuple[Location, str, Any]]:
    if layer.value.get("namespace"):
        yield layer.entry("namespace"), "namespace", layer.value["namespace"]


# -- the way back ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KustomizeTrace:
    """The way back from one rendered object. Satisfies `kguard.model.Trace`."""

    origin: Origin
    ref: ObjectRef
    """What the object is called where it stands."""
    base: KubeObject | None = None
    """The document that it was made of."""
    generator: tuple[str, int] | None = None
    """Or the generator's entry in `maker`."""
    maker: Layer | None = None
    chain: Chain = ()
    fallback: Location
    """Where nothing better is known."""
    sources: Sources

    @property
    def source(self) -> Hashable:
        if self.base is not None:
            return (self.origin.path, self.origin.document, self.base.staged)
        return (self.origin.path, self.generator or self.fallback, self.ref)

    def locations(self, value: Mapping[str, Any], spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Location]:
        replay = self._replay()
        if replay is None:
            return dict.fromkeys(spans, self.fallback)
        changed = _Changed(self.chain, replay.names, self.fallback)
        found: dict[FieldPath, Location] = {}
        _place(value, replay.tree, (), changed, found)
        return {path: found.get(path, self.fallback) for path in spans}

    def removed_by(self, path: FieldPath, seen: Mapping[str, Any]) -> Location | None:
        """What took a field away on the way to this object, set it otherwise, or added it: the patch, or the kustomization's entry.

        `seen`: the object that `path` runs through, as another bundle has it: its list items are found again by name, and may stand
        elsewhere here. None where nothing here touches the field.
        """
        replay = self._replay()
        if replay is None:
            return None
        at = keyed(path, seen)
        for change in reversed(replay.changes):
            if change.at == at or (change.whole and change.at == at[: len(change.at)]):
                return change.place
        return _Changed(self.chain, replay.names, self.fallback).cured(path, lookup(seen, path))

    def _replay(self) -> _Replay | None:
        if self.generator is not None and self.maker is not None:
            tree = generated_tree(self.maker, self.generator, self.sources)
        elif self.base is not None:
            base = index(self.base)
            file = self.base.origin.path
            spans = base.spans
            tree = _grown(base.value, lambda path: _location(file, spans.get(path), Precision.EXACT))
            tree.place = replace(tree.place, precision=Precision.OBJECT)
        else:
            return None
        return _Replay(tree, self.ref, self.chain, self.sources)


def _place(
    value: Any, node: _Node | None, path: FieldPath, changed: _Changed, found: dict[FieldPath, Location]
) -> None:
    """Give a rendered value, and all below it, the place of the node that it equals."""
    found[path] = (
        node.place if node is not None and _same(value, node.value) else changed.by(path, value, _before(node))
    )
    match value:
        case dict():
            for key, child in value.items():
                _place(child, node.child(key) if node is not None else None, (*path, key), changed, found)
        case list():
            nodes = node.value if node is not None and isinstance(node.value, list) else []
            for number, (child, twin) in enumerate(zip(value, _pairs(value, nodes), strict=True)):
                _place(child, twin, (*path, number), changed, found)


def _same(value: Any, own: Any) -> bool:
    """Whether a rendered value is what stands in a node: a scalar is equal, a mapping or list need only be one."""
    if own is _ANY:
        return not isinstance(value, (dict, list))
    return type(value) is type(own) and (isinstance(value, (dict, list)) or bool(value == own))


def _before(node: _Node | None) -> Any:
    return None if node is None or node.value is _ANY else _plain(node)


def trace_of(
    rendered: KubeObject,
    file: Path | None,
    chains: Mapping[Path, Sequence[Chain]],
    sources: Sources,
    fallback: Location,
) -> KustomizeTrace:
    """The way back from a rendered object to the document or generator that its origin names.

    `file`: the resource file, or the kustomization of a generator, absolute; None where kustomize does not tell. `chains`: every way
    from each file to the root. `fallback`: the place of all that cannot be found, the root's own kustomization.
    """
    named = _made_in(rendered, file, chains.get(file, ()), sources, fallback, _UNLIKE) if file is not None else None
    if named is not None:
        return named
    # a patch that replaces all annotations takes the origin away, so what has the object's very name is looked for
    alike = [
        found
        for other in sources.holding(rendered.ref, chains)
        if (found := _made_in(rendered, other, chains[other], sources, fallback, _HASHED)) is not None
    ]
    if len(alike) == 1:
        return alike[0]
    unknown = fallback if file is None else _location(sources.shown(file), None, Precision.FILE)
    return _unknown(rendered, unknown, sources)


def _made_in(
    rendered: KubeObject,
    file: Path,
    chains: Sequence[Chain],
    sources: Sources,
    fallback: Location,
    least: int,
) -> KustomizeTrace | None:
    """`least`: how unlike the names may be, as `_names_before` says."""
    real = Path(os.path.realpath(file))
    shown = sources.shown(real)
    for chain in chains:
        for layer in chain:
            if layer.path == shown and (trace := _generated(rendered, layer, chain, sources, fallback)):
                return trace
    return _standing(rendered, real, chains, sources, fallback, least)


def _unknown(rendered: KubeObject, place: Location, sources: Sources) -> KustomizeTrace:
    span = Span(place.line or 1, place.end_line or 1)
    origin = Origin(path=place.path, document=1, item=None, span=span)
    return KustomizeTrace(origin=origin, ref=rendered.ref, fallback=place, sources=sources)


def _generated(
    rendered: KubeObject, maker: Layer, chain: Chain, sources: Sources, fallback: Location
) -> KustomizeTrace | None:
    for _, name in _names_before(rendered.ref.name, chain):
        entry = generator_of(maker, rendered.ref.kind, (name,))
        if entry is not None:
            item, span = maker.value[entry[0]][entry[1]], maker.spans[entry]
            return KustomizeTrace(
                origin=Origin(path=maker.path, document=1, item=None, span=span),
                ref=replace(
                    rendered.ref, name=name, namespace=str(item["namespace"]) if item.get("namespace") else None
                ),
                generator=entry,
                maker=maker,
                chain=chain,
                fallback=fallback,
                sources=sources,
            )
    return None


def _standing(
    rendered: KubeObject, file: Path, chains: Sequence[Chain], sources: Sources, fallback: Location, least: int
) -> KustomizeTrace | None:
    """The document of the same kind whose name, with what the chain adds, is the rendered one; else the only one of the kind."""
    ref = rendered.ref
    ranked = [
        (likeness, obj.ref.namespace != ref.namespace, number, obj, chain)
        for chain in chains
        for likeness, name in _names_before(ref.name, chain)
        if likeness <= least
        for number, obj in enumerate(sources.named(file, ref, name))
    ]
    if ranked:
        _, _, _, base, chain = min(ranked, key=lambda found: found[:3])
    else:
        alike = sources.named(file, ref, None) if least == _UNLIKE and chains else ()
        if len(alike) != 1:
            return None
        base, chain = alike[0], chains[0]
    return KustomizeTrace(origin=base.origin, ref=base.ref, base=base, chain=chain, fallback=fallback, sources=sources)


def _names_before(rendered: str, chain: Chain) -> Iterator[tuple[int, str]]:
    """The names that an object may have had before a chain gave it this one, each with how unlike that is."""
    prefix, suffix = affixes(chain)
    hashed = _HASH.fullmatch(rendered[-11:]) is not None
    for unlike, name in ((_CERTAIN, rendered), (_HASHED, rendered[:-11] if hashed else "")):
        if len(name) > len(prefix) + len(suffix) and name.startswith(prefix) and name.endswith(suffix):
            yield unlike, name[len(prefix) : len(name) - len(suffix)]
    yield _BARE, rendered  # namespaces and CRDs get no prefix


_CERTAIN, _HASHED, _BARE, _UNLIKE = 0, 1, 2, 3
