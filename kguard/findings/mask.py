"""What must never be shown: values of Secrets and of environment variables, out of messages and out of manifest lines."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kguard.model import FieldPath, KubeObject, ObjectIndex
from kguard.text import printable

MASK = "***"
_PLAIN_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "none"))

Index = Callable[[KubeObject], ObjectIndex]


def masked(text: str, obj: KubeObject, index: Index) -> str:
    """`text`, fit to print, without any value of the object's Secret data or environment variables."""
    values = sorted(_spellings(index(obj)), key=lambda value: (-len(value), value))
    for value in values:
        # a short value ("y", "80") is hidden only where it stands as a word: it is part of too many others
        pattern = re.escape(value) if len(value) > 3 else rf"(?<!\w){re.escape(value)}(?!\w)"
        text = re.sub(pattern, MASK, text)
    return printable(text)


def sensitive_paths(index: ObjectIndex) -> Iterator[FieldPath]:
    """Fields whose values must not be shown."""
    if index.value.get("kind") == "Secret":
        for name in ("data", "stringData"):
            if isinstance(fields := index.value.get(name), dict):
                yield from ((name, key) for key in fields)
    for container in index.containers:
        for number, variable in enumerate(_list(_at(index.value, container.path), "env")):
            if isinstance(variable, dict) and variable.get("value") is not None:
                yield (*container.path, "env", number, "value")


def _spellings(index: ObjectIndex) -> Iterator[str]:
    """The values as they stand, and Secret data as it reads once decoded; without words that give nothing away and values that
    the object also has in the open (a namespace, an image)."""
    paths = set(sensitive_paths(index))
    if not paths:
        return
    values = {spelling for path in paths for spelling in _readings(path, _at(index.value, path))}
    in_the_open = [str(value) for path, value in _scalars(index.value, ()) if path not in paths]
    for value in values:
        if not _says_nothing(value) and not any(value in other for other in in_the_open):
            yield value


def _readings(path: FieldPath, value: Any) -> Iterator[str]:
    if value in (None, ""):
        return
    yield str(value)
    if path[0] == "data":
        try:
            yield base64.b64decode(str(value), validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError):
            return  # not text: it cannot stand in a message


def _says_nothing(value: str) -> bool:
    return not value or value.lower() in _PLAIN_WORDS or (value.isdigit() and len(value) < 6)


def _scalars(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, Any]]:
    match value:
        case dict():
            for key, child in value.items():
                yield from _scalars(child, (*path, key))
        case list():
            for number, child in enumerate(value):
                yield from _scalars(child, (*path, number))
        case _:
            yield path, value


def _at(value: Any, path: FieldPath) -> Any:
    for step in path:
        value = value[step]
    return value


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []
