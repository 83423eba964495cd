"""What stands in `kguard.yaml` held against its shape: each mistake with its place and what would be right."""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
import yaml

from kguard.config.shape import FILE_NAME
from kguard.inputs.documents import Document
from kguard.inputs.helm.chart import CHART_FILE
from kguard.inputs.helm.files import ARCHIVE
from kguard.inputs.ignore import broken, repository
from kguard.inputs.kustomize.kustomization import NAMES
from kguard.inputs.nodes import NodeReader
from kguard.text import one_line

_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    types.NoneType: "nothing",
}
_UNIONS = (types.UnionType, typing.Union)
_PROGRAMS = frozenset(
    ("tools", "tool", "tool-path", "tool-paths", "program", "programs", "command", "commands", "exec", "binary")
)


def absolute(folder: Path, path: str) -> Path:
    return Path(os.path.abspath(folder / path))


Names = Callable[[str], Collection[str]]
"""The names that are known, of a kind: `tool`, `rule`, `controls`; none at all where they cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a value is held against besides its type."""

    folder: Path
    """Absolute: what paths are relative to."""
    top: Path
    """What no path may leave: the repository, or the folder."""
    first_line: int
    reader: NodeReader
    names: Names

    @classmethod
    def of(cls, path: Path, document: Document, names: Names) -> Place:
        folder = Path(os.path.abspath(path.parent))
        reader = NodeReader(document.text, [])
        return cls(
            folder=folder,
            top=repository(folder) or Path(os.path.realpath(folder)),
            first_line=document.line,
            reader=reader,
            names=names,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mistake:
    at: tuple[int, int]
    """Line and column, 1-based."""
    key: str
    message: str

    def line(self, path: str) -> str:
        return f"{path}:{self.at[0]}:{self.at[1]} {self.key + ': ' if self.key else ''}{self.message}"


def _mistake(node: yaml.Node, key: str, message: str, place: Place) -> _Mistake:
    at = (node.start_mark.line + place.first_line, node.start_mark.column + 1)
    return _Mistake(at=at, key=key, message=message)


def check(node: yaml.Node, kind: Any, key: str, place: Place) -> Iterator[_Mistake]:
    """Hold a node against the type of a field: a struct, a tuple, a dict, any of these or None, or a single value."""
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from _check_struct(node, kind, key, place)
    elif origin is tuple:
        yield from _check_list(node, members[0], key, place)
    elif origin is dict:
        yield from _check_dict(node, members[1], key, place)
    elif origin in _UNIONS and len(members) == 2 and types.NoneType in members:
        if not is_null(node):
            (only,) = [member for member in members if member is not types.NoneType]
            yield from check(node, only, key, place)
    else:
        yield from _check_value(node, kind, key, place)


def _check_struct(node: yaml.Node, struct: type[msgspec.Struct], key: str, place: Place) -> Iterator[_Mistake]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    if not isinstance(node, yaml.MappingNode):
        yield _mistake(
            node, key, f"expected keys with values ({', '.join(fields)}), found {_found(node, place)}", place
        )
        return
    entries, mistakes = _entries(node, key, place)
    yield from mistakes
    for name, (name_node, child) in entries.items():
        inner = f"{key}.{name}" if key else name
        if name in fields:
            yield from check(child, fields[name].type, inner, place)
        else:
            yield _mistake(name_node, one_line(inner), _unknown(name, fields), place)
    for name, field in fields.items():
        if field.required and name not in entries:
            yield _mistake(node, key, f"{name!r} is missing", place)


def _check_list(node: yaml.Node, kind: Any, key: str, place: Place) -> Iterator[_Mistake]:
    if not isinstance(node, yaml.SequenceNode):
        yield _mistake(node, key, f"expected a list, found {_found(node, place)}", place)
        return
    first: dict[Any, int] = {}
    for number, child in enumerate(node.value):
        mistakes = list(check(child, kind, f"{key}[{number}]", place))
        yield from mistakes
        if hasattr(kind, "identity") and not mistakes:
            identity = msgspec.convert(place.reader.value(child), kind).identity
            earlier = first.setdefault(identity, number)
            if earlier != number:
                same = "path and name" if len(identity) > 1 else "path"
                what = f"the same {same} as {key}[{earlier}]"
                yield _mistake(child, f"{key}[{number}]", what, place)


def _check_dict(node: yaml.Node, kind: Any, key: str, place: Place) -> Iterator[_Mistake]:
    if not isinstance(node, yaml.MappingNode):
        yield _mistake(node, key, f"expected keys with values, found {_found(node, place)}", place)
        return
    entries, mistakes = _entries(node, key, place)
    yield from mistakes
    for name, (name_node, child) in entries.items():
        if not name:
            yield _mistake(name_node, key, "an empty key", place)
            continue
        mistakes = list(check(child, kind, f"{key}.{one_line(name)}", place))
        yield from mistakes
        if hasattr(kind, "problem") and not mistakes:
            problem = kind.problem(name, msgspec.convert(place.reader.value(child), kind), place.names(key))
            if problem is not None:
                yield _mistake(name_node, f"{key}.{one_line(name)}", problem, place)


def _entries(
    node: yaml.MappingNode, key: str, place: Place
) -> tuple[dict[str, tuple[yaml.Node, yaml.Node]], list[_Mistake]]:
    """The key and value nodes of a mapping, and the keys that are none or stand there twice."""
    entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    mistakes = []
    for name, child in node.value:
        if not isinstance(name, yaml.ScalarNode):
            mistakes.append(_mistake(name, key, f"expected a key, found {_found(name, place)}", place))
        elif name.value in entries:
            line = entries[name.value][0].start_mark.line + place.first_line
            mistakes.append(_mistake(name, key, f"'{_clipped(name.value)}' stands in line {line} already", place))
        else:
            entries[name.value] = (name, child)
    return entries, mistakes


def _unknown(name: str, valid: Collection[str]) -> str:
    if name in _PROGRAMS:
        return f"unknown key; {FILE_NAME} never names programs to run: use --tool-path NAME=FILE"
    near = get_close_matches(name, sorted(valid), n=1)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; valid: {', '.join(valid)}"


def _check_value(node: yaml.Node, kind: Any, key: str, place: Place) -> Iterator[_Mistake]:
    extra = _extra(kind)
    expected = str(extra.get("words") or " or ".join(_WORDS[word] for word in typing.get_args(kind) or (kind,)))
    if not isinstance(node, yaml.ScalarNode):
        yield _mistake(node, key, f"expected {expected}, found {_found(node, place)}", place)
        return
    value = place.reader.value(node)
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        hint = (
            "; put it in quotes"
            if not isinstance(value, str) and expected != _WORDS[bool] and value is not None
            else ""
        )
        yield _mistake(node, key, f"expected {expected}, found {_found(node, place)}{hint}", place)
        return
    problem = _CHECKS[extra["check"]](value, place) if "check" in extra else None
    if problem is not None:
        yield _mistake(node, key, f"'{_clipped(value)}': {problem}", place)


def _extra(kind: Any) -> Mapping[str, str]:
    """What a type says besides its Python type: see kguard.config."""
    metadata = getattr(kind, "__metadata__", ())
    return next((meta.extra for meta in metadata if isinstance(meta, msgspec.Meta) and meta.extra), {})


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _found(node: yaml.Node, place: Place) -> str:
    """What stands there, in words."""
    if not isinstance(node, yaml.ScalarNode):
        return "a list" if isinstance(node, yaml.SequenceNode) else "keys with values"
    match place.reader.value(node):
        case None:
            return "nothing"
        case bool():
            return f"the truth value {_clipped(node.value)}"
        case int() | float():
            return f"the number {_clipped(node.value)}"
        case _:
            return f"'{_clipped(node.value)}'"


def _clipped(text: str) -> str:
    return one_line(text if len(text) <= 60 else f"{text[:60]}...")


# -- patterns and paths ---------------------------------------------------------------------------------------------------


def _pattern_problem(text: str, _: Place) -> str | None:
    return broken(text)


def _file_problem(text: str, place: Place) -> str | None:
    return _outside(text, place) or _missing(absolute(place.folder, text), Path.is_file, "not a file")


def _chart_problem(text: str, place: Place) -> str | None:
    return _outside(text, place) or _missing(
        place.folder / text, _is_chart, "no chart: neither a folder with Chart.yaml nor a .tgz"
    )


def _kustomization_problem(text: str, place: Place) -> str | None:
    return _outside(text, place) or _missing(
        place.folder / text, _is_kustomization, "no folder with a kustomization.yaml"
    )


def _name_problem(kind: str) -> Callable[[str, Place], str | None]:
    def problem(text: str, place: Place) -> str | None:
        known = place.names(kind)
        return None if not known or text in known else f"not known{nearest(text, known)}"

    return problem


def nearest(word: str, known: Collection[str]) -> str:
    """`; did you mean 'trivy'?`, or the words that would do where they are few."""
    near = get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; valid: {', '.join(sorted(known))}" if len(known) < 12 else ""


_CHECKS: Mapping[str, Callable[[str, Place], str | None]] = {
    "tool": _name_problem("tool"),
    "rule": _name_problem("rule"),
    "glob": _pattern_problem,
    "file": _file_problem,
    "chart": _chart_problem,
    "kustomization": _kustomization_problem,
}


def _outside(text: str, place: Place) -> str | None:
    """Why a path is not one of the repository's; links count with where they lead."""
    if one_line(text) != text:
        return "holds control characters"
    if os.path.isabs(text):
        return f"an absolute path; write it relative to the folder of {FILE_NAME}"
    if not Path(os.path.realpath(absolute(place.folder, text))).is_relative_to(place.top):
        return f"leaves {'the repository' if repository(place.top) == place.top else f'the folder of {FILE_NAME}'}"
    return None


def _missing(path: Path, is_right: Callable[[Path], bool], otherwise: str) -> str | None:
    if is_right(path):
        return None
    return otherwise if path.exists() else "there is no such path"


def _is_chart(path: Path) -> bool:
    return (path / CHART_FILE).is_file() or (path.is_file() and path.name.endswith(ARCHIVE))


def _is_kustomization(path: Path) -> bool:
    return any((path / name).is_file() for name in NAMES)
