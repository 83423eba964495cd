"""What must never be shown: values of Secrets and of environment variables, out of messages and out of manifest lines.

Lines are masked by position, whatever style a value is written in; messages, and copies of a value elsewhere in the manifest (the
annotation that `kubectl apply` leaves), by what the value reads like.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from kguard.model import KubeObject, ObjectIndex
from kguard.text import printable

MASK = "***"
_SECRET_FIELDS = ("data", "stringData")
_MERGE_TAG = "tag:yaml.org,2002:merge"
_PLAIN_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "none"))
_NAMING_FIELDS = frozenset(("kind", "apiVersion", "name", "namespace", "image"))
_REST_OF_LINE = re.compile("\\S[^\r\n\x85\u2028\u2029]*")
_WORDS = re.compile(r"[a-z]+([-. /][a-z]+)*")
_SHORT = 3
"""A value of so few characters is part of too many words: it is hidden only where it stands alone."""
_TELLING = 8
"""So many characters of one line of a longer value are hidden without the other lines."""

Index = Callable[[KubeObject], ObjectIndex]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hidden:
    """A scalar whose value must not be shown."""

    node: yaml.ScalarNode
    field: str
    """What holds it: `data` and `stringData` of a Secret, `value` of a variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What to look for in a text about an object."""

    hidden: tuple[str, ...]
    names: frozenset[str]
    """What reports show of the object anyway; such a word stays whole, also where a hidden one is part of it."""


def masked(text: str, obj: KubeObject, index: Index) -> str:
    """`text`, fit to print, without any value of the object's Secret data or environment variables.

    Words that stand in the open as the object's names, images or keys stay, and so do plain words and small numbers of variables:
    they are part of what every tool says ("set it to true").
    """
    text = printable(text)
    words = _words(obj, index)
    hidden = [word for word in words.hidden if word in text]
    if not hidden:
        return text
    names = {name for name in words.names if name in text and any(word in name for word in hidden)}
    patterns = [_pattern(word, name=word in names) for word in sorted({*hidden, *names}, key=lambda w: (-len(w), w))]
    return re.sub("|".join(patterns), lambda match: match[0] if match[0] in names else MASK, text)


def secrets_of(objects: Iterable[KubeObject]) -> Mapping[str, tuple[str, ...]]:
    """By bundle, the values of its Secrets that must not be shown in other objects either (a password in a ConfigMap, an image, a
    command): those that are long enough and no plain words."""
    found: dict[str, set[str]] = {}
    for obj in objects:
        if obj.ref.kind == "Secret":
            spellings = {spelling for item in _hidden(obj) for spelling in _spellings(item)}
            telling = {word for word in spellings if len(word) >= _TELLING and not _WORDS.fullmatch(word)}
            found.setdefault(obj.bundle, set()).update(telling)
    return {bundle: tuple(sorted(words, key=lambda word: (-len(word), word))) for bundle, words in found.items()}


def without(words: Iterable[str], text: str) -> str:
    """`text` with each of the words masked."""
    for word in words:
        text = text.replace(word, MASK)
    return text


def masked_lines(obj: KubeObject) -> tuple[str, ...]:
    """The object's staged lines, each hidden value replaced where it stands; copies of it elsewhere are left to `masked`."""
    text = obj.text.decode()
    pieces, at = [], 0
    unmarked = len(text) - len(text.removeprefix("\ufeff"))  # marks do not count a byte order mark
    for hidden in sorted(_hidden(obj), key=lambda item: item.node.start_mark.index):
        start, end = hidden.node.start_mark.index + unmarked, hidden.node.end_mark.index + unmarked
        pieces += [text[at:start], _REST_OF_LINE.sub(MASK, text[start:end])]
        at = end
    return tuple("".join((*pieces, text[at:])).splitlines())


def _pattern(word: str, *, name: bool) -> str:
    if name:
        return rf"(?<![\w.-]){re.escape(word)}(?![\w-])"
    return re.escape(word) if len(word) > _SHORT else rf"(?<!\w){re.escape(word)}(?!\w)"


# -- which values ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _hidden(obj: KubeObject) -> tuple[_Hidden, ...]:
    """Every scalar of the staged text that must not be shown, those under duplicate keys included: a reader sees them too."""
    if not any(word in obj.text for word in (b"env", b"Secret", b"\\")):
        return ()  # an escape could spell either word
    found: dict[int, _Hidden] = {}
    for node in _nodes(yaml.compose(obj.text.decode(), Loader=yaml.CSafeLoader)):
        if isinstance(node, yaml.MappingNode):
            for field, value in _sensitive(node):
                for leaf in _nodes(value):
                    if isinstance(leaf, yaml.ScalarNode):
                        found.setdefault(id(leaf), _Hidden(node=leaf, field=field))
    return tuple(found.values())


def _sensitive(mapping: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
    """Fields of this mapping whose values must not be shown, wherever in an object it stands (a Secret in a template)."""
    fields = list(_fields(mapping))
    if any(key == "kind" and value.value == "Secret" for key, value in fields):
        yield from ((key, value) for key, value in fields if key in _SECRET_FIELDS)
    for key, value in fields:
        if key == "env" and isinstance(value, yaml.SequenceNode):
            for variable in value.value:
                if isinstance(variable, yaml.MappingNode):
                    yield from ((name, child) for name, child in _fields(variable) if name == "value")


def _fields(mapping: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
    """Keys and values, those that `<<` brings included."""
    for key, value in mapping.value:
        if key.tag == _MERGE_TAG:
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(source, yaml.MappingNode):
                    yield from _fields(source)
        elif isinstance(key, yaml.ScalarNode):
            yield key.value, value


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """A node and all values below it, each once, however often it is aliased; keys are left out."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


# -- what they read like --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _words(obj: KubeObject, index: Index) -> _Words:
    hidden = {spelling for item in _hidden(obj) for spelling in _spellings(item)}
    if not hidden:
        return _Words(hidden=(), names=frozenset())
    names = frozenset(_names(index(obj).value))
    return _Words(hidden=tuple(sorted(hidden - names)), names=names)


def _spellings(hidden: _Hidden) -> Iterator[str]:
    """The ways in which a message may print a value: as it is, trimmed, a line of it, escaped by a JSON printer."""
    for value in _readings(hidden):
        if hidden.field == "value" and _says_nothing(value):
            continue
        lines = value.splitlines()
        telling = [line.strip() for line in lines if len(line.strip()) >= _TELLING] if len(lines) > 1 else []
        for plain in (value, value.strip(), *telling):
            escaped = [json.dumps(plain, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True)]
            for spelling in (plain, *escaped, *map(_as_go_escapes, escaped)):
                if spelling.strip():
                    yield printable(spelling)


def _readings(hidden: _Hidden) -> Iterator[str]:
    """The value as it stands and, for `data` of a Secret, as it reads once decoded."""
    value = hidden.node.value
    yield value
    if hidden.field == "data":
        try:
            yield base64.b64decode("".join(value.split()), validate=True).decode()
        except (binascii.Error, ValueError):
            return  # not text: it cannot stand in a message


def _as_go_escapes(text: str) -> str:
    """Go's JSON printer escapes what HTML would read."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _says_nothing(value: str) -> bool:
    return value.lower() in _PLAIN_WORDS or (value.isdigit() and len(value) < 6)


def _names(root: Any) -> Iterator[str]:
    """Keys of the object, and the values that are names; an aliased value is looked at once."""
    waiting, seen = [root], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            yield from value
            yield from (str(child) for key, child in value.items() if key in _NAMING_FIELDS and not _nested(child))
            # a `name` that is a key of a Secret's data is no name
            waiting += [child for key, child in value.items() if key not in _SECRET_FIELDS and _nested(child)]
        else:
            waiting += [child for child in value if _nested(child)]


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)
