"""The values that a release can see: all that they are merged from, each at its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Keys = tuple[str, ...]
"""A place in the data of a template: ("Values", "image", "tag"); `[]` for the elements of a list or mapping."""


class Values:
    """All files and settings that values are merged from; which of them wins is not asked, so what is said holds for any."""

    def __init__(self, sources: Sequence[tuple[Keys, Any]], *, known: bool = True) -> None:
        """`known` is False where something may be among them that the sources do not show."""
        self._sources = tuple(sources)
        self._known = known
        self._globals = [found for _, source in sources for found in _found_globals(source)]
        self._answers: dict[tuple[Keys, Keys], bool] = {}

    def one_line(self, prefix: Keys, path: Keys) -> bool:
        """Whether no text at a chart's value, wherever it is set, holds a line break."""
        if (prefix, path) not in self._answers:
            self._answers[prefix, path] = self._known and not any(
                "\n" in text for found in self._at(prefix, path) for text in _texts(found)
            )
        return self._answers[prefix, path]

    def empty(self, prefix: Keys, path: Keys) -> bool:
        """Whether a chart's value is not set, or set to nothing, wherever it is set: `if` and `with` do not go in there."""
        if not path or not self._known:
            return False
        return not any(self._at(prefix, path))

    def templates(self, prefix: Keys, path: Keys) -> frozenset[str]:
        """The texts at a chart's value that are templates themselves."""
        return frozenset(text for found in self._at(prefix, path) for text in _texts(found) if "{{" in text)

    def texts(self) -> Iterator[str]:
        """All texts among them, keys too."""
        for _, source in self._sources:
            yield from _texts(source)

    def _at(self, prefix: Keys, path: Keys) -> Iterator[Any]:
        full = (*prefix, *path)
        for mount, source in self._sources:
            if full[: len(mount)] == mount:
                yield from _lookup_all(source, full[len(mount) :])
            elif mount[: len(full)] == full:
                yield source
            if mount[: len(full)] == full:
                yield from self._globals  # helm hands global values down to each chart
        if "global" in path:
            for found in self._globals:
                yield from _lookup_all(found, path[path.index("global") + 1 :])


def written_key(prefix: Keys, path: Keys) -> frozenset[str]:
    """A key of the values as people write it: `db.image.tag` for the chart `db` in another; `global` is the same for all. The
    values as a whole have none."""
    if not path:
        return frozenset()
    full = path if path[0] == "global" else (*prefix, *path)
    return frozenset((".".join(full).replace(".[]", "[]").removesuffix("[]"),))


def _found_globals(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "global":
                yield child
            yield from _found_globals(child)


def _lookup_all(value: Any, path: Keys) -> Iterator[Any]:
    if not path:
        yield value
    elif path[0] == "[]":
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for child in children:
            yield from _lookup_all(child, path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _lookup_all(value[path[0]], path[1:])


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, keys too."""
    match value:
        case dict():
            for key, child in value.items():
                yield key
                yield from _texts(child)
        case list():
            for child in value:
                yield from _texts(child)
        case str():
            yield value
