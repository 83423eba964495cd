"""What renderers say, without the values that they quote from the files that they read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kguard.inputs.nodes import Unreadable
from kguard.inputs.reading import parse, read_text

MASK = "***"
_SHORTEST = 6
_WORD = re.compile(r"[^\s\"'`,\[\]{}<>()]+")
_TELLS_NOTHING = re.compile(
    r"[./]*[a-z]+([./-]+[a-z]+)*|[\d.]+|.*\.(ya?ml|json|tpl|txt|env|tgz)|[a-z0-9.]+/v\d\w*|\{\{-?|-?\}\}|https?://.*"
)
"""Plain words and numbers, file names, API versions, web addresses: what an error is about."""
_NAMING = frozenset(("apiVersion", "kind", "name", "namespace"))
"""Fields whose values are what an error has to name."""


def hushed(message: str, files: Iterable[Path], more: Iterable[str] = ()) -> str:
    """`message` with every word masked that is a value in one of the files, or one of `more`, unless it is a plain word, a number or a
    file name: a value that is not understood is not shown."""
    values = {word for text in (*_values(files), *more) for word in _words(text)}
    for word in sorted(values, key=lambda word: (-len(word), word)):
        message = message.replace(word, MASK)
    return message


def _words(text: str) -> Iterator[str]:
    for word in (text, *_WORD.findall(text)):
        for piece in (word, word.partition("=")[2]):
            if len(piece) >= _SHORTEST and not _TELLS_NOTHING.fullmatch(piece):
                yield piece


def _values(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        try:
            text = read_text(file)
            found = [leaf for document in parse(text) for leaf in _leaves(document.value)]
        except Unreadable:
            found = []  # it cannot be told what is a value in it, and renderers quote only what they could read
        yield from found


def _leaves(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [child for key, child in item.items() if key not in _NAMING]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str):
            yield item
