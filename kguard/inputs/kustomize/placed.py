"""Values that know their places: a document whose every field carries where it stands, and which of two versions' fields are the same."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from kguard.model import FieldPath, Location

ANY: Any = object()
"""A value that is made of a file and not looked at."""

_NAMING = (
    *("name", "key", "containerPort", "port", "mountPath", "devicePath"),
    *("ip", "topologyKey", "host", "path", "type"),
)
"""Fields that name the items of a list, the first one that an item has."""
_FURTHER = ("protocol", "kind", "effect")
"""Fields that tell items of the same name apart."""

Keyed = tuple[Any, ...]
"""A field path with the names of list items in place of their positions, which differ from overlay to overlay."""


@dataclass(slots=True)
class Placed:
    """A mapping, list or scalar, and where it stands; the children of mappings and lists are `Placed`, too."""

    value: Any
    place: Location

    @classmethod
    def of(cls, value: Any, place: Callable[[FieldPath], Location], path: FieldPath = ()) -> Placed:
        """A plain value; `place` says where each of its fields stands."""
        content = value
        if isinstance(value, dict):
            content = {key: cls.of(child, place, (*path, key)) for key, child in value.items() if key != "$patch"}
        elif isinstance(value, list):
            content = [cls.of(child, place, (*path, number)) for number, child in enumerate(value)]
        return cls(content, place(path))

    def child(self, key: str | int) -> Placed | None:
        found: Placed | None = None
        if isinstance(self.value, dict) and isinstance(key, str):
            found = self.value.get(key)
        elif isinstance(self.value, list) and isinstance(key, int) and 0 <= key < len(self.value):
            found = self.value[key]
        return found

    def at(self, path: FieldPath) -> Placed | None:
        found: Placed | None = self
        for key in path:
            found = found.child(key) if found is not None else None
        return found

    def plain(self) -> Any:
        """The value without places."""
        match self.value:
            case dict():
                return {key: child.plain() for key, child in self.value.items()}
            case list():
                return [child.plain() for child in self.value]
            case value:
                return value

    def name(self, keys: Sequence[str] = _NAMING) -> tuple[Any, ...] | None:
        """What tells it from its siblings in a list, as `name_of`; only its own scalars can."""
        if not isinstance(self.value, dict):
            return name_of(self.value)
        scalars = {key: child.value for key, child in self.value.items() if not isinstance(child.value, (dict, list))}
        return name_of(scalars, keys)


def name_of(item: Any, keys: Sequence[str] = _NAMING) -> tuple[Any, ...] | None:
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


def keyed(path: FieldPath, value: Any) -> Keyed:
    """A path through `value` with list items by name."""
    found: list[Any] = []
    for key in path:
        if isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
            found.append(name_of(value) or key)
        else:
            value = value.get(key) if isinstance(value, dict) else None
            found.append(key)
    return tuple(found)


# -- which item became which ----------------------------------------------------------------------------------------------


def pairs(values: Sequence[Any], items: Sequence[Placed]) -> list[Placed | None]:
    """For every item of a rendered list the item that it was made of: by name, else by equal content, else the one left over on both
    sides. Never by position alone."""
    paired: list[Placed | None] = [None] * len(values)
    left = dict(enumerate(items))
    _pair(values, paired, left, name_of, Placed.name)
    if left and None in paired:
        _pair(values, paired, left, _content, lambda item: _content(item.plain()))
    unpaired = [number for number, item in enumerate(paired) if item is None]
    if len(unpaired) == len(left) == 1:
        paired[unpaired[0]] = left.popitem()[1]
    return paired


def _pair(
    values: Sequence[Any],
    paired: list[Placed | None],
    left: dict[int, Placed],
    of_value: Callable[[Any], Hashable],
    of_item: Callable[[Placed], Hashable],
) -> None:
    """Pair what has the same word on both sides, in order where several have; None is no word."""
    waiting: defaultdict[Hashable, deque[int]] = defaultdict(deque)
    for number, item in left.items():
        waiting[of_item(item)].append(number)
    for number, value in enumerate(values):
        word = of_value(value) if paired[number] is None else None
        if word is not None and waiting[word]:
            paired[number] = left.pop(waiting[word].popleft())


def _content(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
