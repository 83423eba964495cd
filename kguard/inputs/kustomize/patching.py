"""One patch applied to a document as kustomize does it, by strategic merge or JSON 6902, with each new value's place and a log of changes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kguard.inputs.kustomize.patches import Patch
from kguard.inputs.kustomize.placed import Keyed, Placed, name_of
from kguard.model import FieldPath, Location, Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one patch did to one field."""

    at: Keyed
    place: Location
    whole: bool
    """Whether it took away, or replaced, all that was below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchedTree:
    """A document, and what patches did to it."""

    root: Placed
    group: str
    """The API group of the document's kind."""
    changes: list[Change] = field(default_factory=list)

    def apply(self, patch: Patch) -> None:
        if _is_operations(patch.value):
            for number, operation in enumerate(patch.value):
                _Operation(self, patch, number).apply(operation)
        elif isinstance(patch.value, dict):
            _StrategicMerge(self, patch).merge(self.root, patch.value, (), ())

    def log(self, at: Keyed, place: Location, *, whole: bool = False) -> None:
        self.changes.append(Change(at=at, place=place, whole=whole))

    def log_tree(self, at: Keyed, node: Placed) -> None:
        """A new value: it stands for all below it, then each field for itself."""
        self.log(at, node.place, whole=True)
        match node.value:
            case dict():
                for key, child in node.value.items():
                    self.log_tree((*at, key), child)
            case list():
                for number, child in enumerate(node.value):
                    # an item without a name is no earlier one's successor, whatever its position
                    self.log_tree((*at, child.name() or ("unnamed", number)), child)


# -- strategic merge ------------------------------------------------------------------------------------------------------

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
_BUILTIN_GROUP = re.compile(
    r"(|apps|batch|autoscaling|policy|extensions"
    r"|(admissionregistration|apiextensions|apiregistration|certificates|coordination|discovery|events"
    r"|flowcontrol\.apiserver|networking|node|rbac\.authorization|scheduling|storage)(\.k8s\.io))"
)
_IDENTITY = frozenset((((), "apiVersion"), ((), "kind"), (("metadata",), "name"), (("metadata",), "namespace")))
"""Fields of a strategic-merge patch that say which object it is for."""


class _StrategicMerge:
    """A patch that looks like the object. `path` is where it says something, `at` which field of the object that is."""

    def __init__(self, tree: PatchedTree, patch: Patch) -> None:
        self._tree, self._place = tree, patch.place
        self._joins_lists = _BUILTIN_GROUP.fullmatch(tree.group) is not None

    def merge(self, node: Placed, value: Mapping[str, Any], path: FieldPath, at: Keyed) -> None:
        for key, child in value.items():
            if key != "$patch" and (at, key) not in _IDENTITY:
                self._field(node, key, child, (*path, key), (*at, key))

    def _field(self, node: Placed, key: str, value: Any, path: FieldPath, at: Keyed) -> None:
        existing = node.child(key)
        directive = value.get("$patch") if isinstance(value, dict) else None
        if value is None or directive == "delete":
            node.value.pop(key, None)
            self._tree.log(at, self._place(path), whole=True)
        elif isinstance(value, dict) and existing is not None and isinstance(existing.value, dict) and not directive:
            self.merge(existing, value, path, at)
        elif isinstance(value, list) and existing is not None and self._joins(key, existing, value):
            self._list(existing, key, value, path, at)
        else:
            node.value[key] = new = Placed.of(value, self._place, path)
            self._tree.log_tree(at, new)

    def _joins(self, name: str, existing: Placed, items: Sequence[Any]) -> bool:
        keys = _MERGED_LISTS.get(name)
        if keys is None or not self._joins_lists or not isinstance(existing.value, list):
            return False
        return all(isinstance(item, dict) and any(key in item for key in keys) for item in items)

    def _list(self, node: Placed, name: str, items: Sequence[Any], path: FieldPath, at: Keyed) -> None:
        """Items of the patch come first, in its order, then the rest of the list; as kustomize has it."""
        keys = _MERGED_LISTS[name]
        first: list[Placed] = []
        rest: list[Placed] = node.value
        for number, item in enumerate(items):
            where, below = (*path, number), (*at, name_of(item) or number)
            own = name_of(item, keys)
            twin = next((child for child in rest if child.name(keys) == own), None)
            rest = [child for child in rest if child is not twin]
            if item.get("$patch") == "delete":
                self._tree.log(below, self._place(where), whole=True)
            elif twin is not None and isinstance(twin.value, dict) and item.get("$patch") is None:
                # the field that names the item is there to find it, not to set it
                fields = {key: value for key, value in item.items() if own is None or key != own[0]}
                self.merge(twin, fields, where, below)
                first.append(twin)
            else:
                first.append(Placed.of(item, self._place, where))
                self._tree.log_tree(below, first[-1])
        node.value = [*first, *rest]


# -- JSON 6902 ------------------------------------------------------------------------------------------------------------

_OPERATIONS = frozenset(("add", "replace", "remove", "move", "copy", "test"))


def _is_operations(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(op, dict) and op.get("op") in _OPERATIONS for op in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """Where a JSON pointer leads: a key or a position in a mapping or list, there already or not."""

    parent: Placed
    key: str | int
    above: Keyed

    def keyed(self, node: Placed) -> Keyed:
        """The way to what stands here."""
        name = node.name() if isinstance(self.key, int) else None
        return (*self.above, name or self.key)


class _Operation:
    """One operation of a patch."""

    def __init__(self, tree: PatchedTree, patch: Patch, number: int) -> None:
        self._tree, self._patch, self._number = tree, patch, number
        self._place = patch.place((number,))

    def apply(self, operation: Mapping[str, Any]) -> None:
        target, source = self._spot(operation.get("path")), self._spot(operation.get("from"))
        match operation["op"]:
            case "remove":
                self._take(target)
            case "add" | "replace" as op:
                new = Placed.of(operation.get("value"), self._patch.place, (self._number, "value"))
                self._put(target, replace(new, place=self._place), replacing=op == "replace")
            case "move":
                moved = self._take(source)
                if moved is not None:
                    # the removal may have moved the place that it goes to
                    self._put(self._spot(operation.get("path")), replace(moved, place=self._place))
            case "copy":
                original = source.parent.child(source.key) if source is not None else None
                if original is not None:
                    self._put(target, self._copied(original))

    def _take(self, spot: _Spot | None) -> Placed | None:
        node = spot.parent.child(spot.key) if spot is not None else None
        if spot is None or node is None:
            return None
        del spot.parent.value[spot.key]
        self._tree.log(spot.keyed(node), self._place, whole=True)
        return node

    def _put(self, spot: _Spot | None, node: Placed, *, replacing: bool = False) -> None:
        if spot is None:
            return
        siblings, key = spot.parent.value, spot.key
        if isinstance(siblings, dict):
            siblings[key] = node
        elif isinstance(siblings, list) and isinstance(key, int):
            siblings[key : key + 1 if replacing else key] = [node]
        self._tree.log_tree(spot.keyed(node), node)

    def _copied(self, original: Placed) -> Placed:
        # the fields below stand where they were copied from, which may change after
        below = replace(self._place, precision=Precision.FILE)
        return Placed.of(original.plain(), lambda path: below if path else self._place)

    def _spot(self, pointer: Any) -> _Spot | None:
        """Where a pointer leads in the tree as it is now; None for what is no pointer, and where there is nothing to lead into."""
        steps = _steps(pointer)
        if not steps:
            return None
        spot = _Spot(parent=self._tree.root, key=_key(self._tree.root, steps[0]), above=())
        for step in steps[1:]:
            node = spot.parent.child(spot.key)
            if node is None:
                return None
            spot = _Spot(parent=node, key=_key(node, step), above=spot.keyed(node))
        return spot


def _steps(pointer: Any) -> tuple[str, ...]:
    """The steps of a JSON pointer; none for what is not one."""
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        return ()
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/"))


def _key(node: Placed, step: str) -> str | int:
    """A step of a pointer as a key of a mapping or a position in a list; -1 for no position."""
    if not isinstance(node.value, list):
        return step
    if step == "-":
        return len(node.value)
    return int(step) if step.isdecimal() else -1
