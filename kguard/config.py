"""`kguard.yaml`: its shape, where it is found, and how it is read: every mistake with its line, its key and what would be right.

It never names programs to run: the file comes with the repository, and a repository must not choose what is executed. A key is a field
of a struct here; the docstring below it is its description in the JSON Schema.
"""

from __future__ import annotations

import ast
import inspect
import os
import posixpath
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from kguard.errors import UsageError
from kguard.inputs.documents import Document, documents
from kguard.inputs.helm.chart import CHART_FILE
from kguard.inputs.helm.files import ARCHIVE
from kguard.inputs.ignore import broken, repository
from kguard.inputs.kustomize.kustomization import NAMES
from kguard.inputs.nodes import NodeReader, Unreadable, compose
from kguard.settings import ChartSettings, Exclude, InputSettings, KustomizationSettings
from kguard.text import one_line

FILE_NAME = "kguard.yaml"
MAX_BYTES = 1024 * 1024
MAX_MISTAKES = 100

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


# -- the shape -----------------------------------------------------------------------------------------------------------

# `extra` is what a check needs besides the type: the words for what is expected, and what else is looked at (_CHECKS)
_NAME = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$(?!\n)"

Text = Annotated[str, Meta(min_length=1, extra={"words": "text"})]
Glob = Annotated[str, Meta(min_length=1, extra={"words": "a pattern", "check": "glob"})]
KustomizationPath = Annotated[str, Meta(min_length=1, extra={"words": "a folder's path", "check": "kustomization"})]
File = Annotated[str, Meta(min_length=1, extra={"words": "a file's path", "check": "file"})]
ChartPath = Annotated[str, Meta(min_length=1, extra={"words": "a chart's path", "check": "chart"})]
DnsName = Annotated[
    str, Meta(pattern=_NAME, max_length=63, extra={"words": "a name of at most 63 a-z, 0-9 and dashes"})
]
ReleaseName = Annotated[
    str, Meta(pattern=_NAME, max_length=53, extra={"words": "a name of at most 53 a-z, 0-9 and dashes"})
]
KubeVersion = Annotated[
    str,
    Meta(
        pattern="^v?[0-9]+[.][0-9]+([.][0-9]+)?([-+][0-9A-Za-z.+-]+)?$(?!\n)",
        extra={"words": 'a version such as "1.30"'},
    ),
]


class _Keys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """A mapping of the file."""


class Chart(_Keys, frozen=True):
    """A release of a Helm chart. A chart that stands here several times is rendered several times, each with its own values."""

    path: ChartPath
    """The chart's folder or .tgz, relative to the folder of kguard.yaml."""
    name: Text | None = None
    """What this set of values is called; by default the file name of the last values file, else the chart's name."""
    release: ReleaseName | None = None
    """The release name that the chart is rendered with."""
    namespace: DnsName | None = None
    """The namespace that the chart is rendered for."""
    values: tuple[File, ...] = ()
    """Values files, relative to the folder of kguard.yaml; the last one wins."""
    set: dict[Text, str | int | float | bool | None] = msgspec.field(default_factory=dict)
    """Single values, by key (image.tag); they win over values files. Text stays text: "1.20" is not 1.2."""
    api_versions: tuple[Text, ...] = ()
    """API versions that the chart shall find in the cluster (monitoring.coreos.com/v1)."""
    kube_version: KubeVersion | None = None
    """The Kubernetes version that the chart is rendered for, in quotes."""

    @property
    def set_name(self) -> str | None:
        """What this set of values is called; None: as the chart."""
        return self.name or (posixpath.basename(self.values[-1]) if self.values else None)

    @property
    def identity(self) -> tuple[str, ...]:
        return (posixpath.normpath(self.path), self.set_name or "")


class Kustomization(_Keys, frozen=True):
    """A kustomization to render."""

    path: KustomizationPath
    """Its folder, relative to the folder of kguard.yaml."""
    namespace: DnsName | None = None
    """Given to all of its objects, as the `namespace:` of one more overlay would."""
    allow_remote: tuple[Text, ...] = ()
    """Remote bases that may be fetched (github.com/org/repo); all others are refused."""

    @property
    def identity(self) -> tuple[str, ...]:
        return (posixpath.normpath(self.path),)


class Inputs(_Keys, frozen=True):
    """What is scanned, and as what."""

    exclude: tuple[Glob, ...] = ()
    """Paths to leave out: gitignore patterns, relative to the folder of kguard.yaml; --exclude adds to them."""
    hidden: bool = False
    """Whether to look into hidden and git-ignored files and folders too."""
    namespace: DnsName | None = None
    """The namespace for every chart that names none."""
    charts: tuple[Chart, ...] = ()
    """Charts with their values; a chart that does not stand here is rendered with its own values."""
    kustomizations: tuple[Kustomization, ...] = ()
    """Kustomizations with settings of their own."""


class Config(_Keys, frozen=True):
    """kguard.yaml."""

    inputs: Inputs = Inputs()
    """What is scanned, and as what."""


# -- finding and reading -------------------------------------------------------------------------------------------------


def find() -> Path | None:
    """The nearest kguard.yaml, from the working directory up to the repository's root; without a repository only in the working
    directory. Raises UsageError for a link that leaves the repository."""
    here = Path.cwd()
    top = repository(here) or here
    for folder in (here, *here.parents):
        path = folder / FILE_NAME
        if os.path.lexists(path):
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(top)):
                raise UsageError(
                    f"{_shown(path)}: a link that leaves the repository. Name a file with --config to use it."
                )
            return Path(os.path.relpath(path))
        if folder == top:
            break
    return None


def load(path: Path) -> Config:
    """Read a configuration; an empty file is the default one.

    Raises UsageError with every mistake on a line of its own, in the order of the file: `kguard.yaml:9:5 inputs.charts[2].vaules:
    unknown key; did you mean 'values'?`.
    """
    text = _text(path)
    document = _only_document(path, text)
    try:
        node = compose(document)
    except Unreadable as error:
        raise UsageError(f"{_shown(path)}:{error.line or document.line}: {one_line(str(error))}.") from error
    if node is None or _is_null(node):
        return Config()
    place = _Place.of(path, document)
    mistakes = sorted(islice(_check(node, Config, "", place), MAX_MISTAKES + 1), key=lambda mistake: mistake.at)
    if mistakes:
        lines = [mistake.line(_shown(path)) for mistake in mistakes[:MAX_MISTAKES]]
        raise UsageError("\n".join([*lines, *(["and more"] if len(mistakes) > MAX_MISTAKES else [])]))
    return msgspec.convert(place.reader.value(node), Config)


def input_settings(config: Config, path: Path) -> InputSettings:
    """The settings that a configuration, read from `path`, asks for; its paths are made absolute."""
    folder = Path(os.path.abspath(path.parent))
    inputs = config.inputs
    return InputSettings(
        exclude=tuple(Exclude(pattern=pattern, folder=folder, source=FILE_NAME) for pattern in inputs.exclude),
        hidden=inputs.hidden,
        namespace=inputs.namespace,
        charts=tuple(_chart_settings(chart, folder) for chart in inputs.charts),
        kustomizations=tuple(
            KustomizationSettings(
                path=_absolute(folder, item.path),
                namespace=item.namespace,
                allow_remote=frozenset(item.allow_remote),
            )
            for item in inputs.kustomizations
        ),
    )


def _chart_settings(chart: Chart, folder: Path) -> ChartSettings:
    return ChartSettings(
        path=_absolute(folder, chart.path),
        name=chart.name,
        release=chart.release,
        namespace=chart.namespace,
        values=tuple(_absolute(folder, file) for file in chart.values),
        set_values=tuple((key, _plain(value)) for key, value in chart.set.items() if not isinstance(value, str)),
        set_strings=tuple((key, _escaped(value)) for key, value in chart.set.items() if isinstance(value, str)),
        api_versions=chart.api_versions,
        kube_version=chart.kube_version,
    )


def _plain(value: float | bool | None) -> str:
    """A number, a truth value or nothing as helm's --set reads it."""
    return msgspec.json.encode(value).decode()


def _escaped(text: str) -> str:
    """Text as helm's --set-string reads it: there a comma starts the next value, and a brace a list."""
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("{", "\\{")


def _absolute(folder: Path, path: str) -> Path:
    return Path(os.path.abspath(folder / path))


# -- the file -------------------------------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    shown = _shown(path)
    if not path.is_file():
        raise UsageError(f"{shown}: {'not a regular file' if os.path.lexists(path) else 'there is no such file'}.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{shown}: larger than {MAX_BYTES // 1024} KiB, the limit for a configuration.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{shown}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8.") from error


def _only_document(path: Path, text: str) -> Document:
    found = documents(text)
    if len(found) > 1:
        raise UsageError(f"{_shown(path)}:{found[1].line}: a second document; a configuration is one.")
    return found[0] if found else Document(number=1, line=1, text="")


def _shown(path: Path) -> str:
    return one_line(os.fsencode(os.path.relpath(path)).decode("utf-8", "backslashreplace"))


# -- what stands in it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What a value is held against besides its type."""

    folder: Path
    """Absolute: what paths are relative to."""
    top: Path
    """What no path may leave: the repository, or the folder."""
    first_line: int
    reader: NodeReader

    @classmethod
    def of(cls, path: Path, document: Document) -> _Place:
        folder = Path(os.path.abspath(path.parent))
        reader = NodeReader(document.text, [])
        return cls(
            folder=folder,
            top=repository(folder) or Path(os.path.realpath(folder)),
            first_line=document.line,
            reader=reader,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mistake:
    at: tuple[int, int]
    """Line and column, 1-based."""
    key: str
    message: str

    def line(self, path: str) -> str:
        return f"{path}:{self.at[0]}:{self.at[1]} {self.key + ': ' if self.key else ''}{self.message}"


def _mistake(node: yaml.Node, key: str, message: str, place: _Place) -> _Mistake:
    at = (node.start_mark.line + place.first_line, node.start_mark.column + 1)
    return _Mistake(at=at, key=key, message=message)


def _check(node: yaml.Node, kind: Any, key: str, place: _Place) -> Iterator[_Mistake]:
    """Hold a node against the type of a field: a struct, a tuple, a dict, any of these or None, or a single value."""
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from _check_struct(node, kind, key, place)
    elif origin is tuple:
        yield from _check_list(node, members[0], key, place)
    elif origin is dict:
        yield from _check_dict(node, members[1], key, place)
    elif origin in _UNIONS and len(members) == 2 and types.NoneType in members:
        if not _is_null(node):
            (only,) = [member for member in members if member is not types.NoneType]
            yield from _check(node, only, key, place)
    else:
        yield from _check_value(node, kind, key, place)


def _check_struct(node: yaml.Node, struct: type[msgspec.Struct], key: str, place: _Place) -> Iterator[_Mistake]:
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
            yield from _check(child, fields[name].type, inner, place)
        else:
            yield _mistake(name_node, one_line(inner), _unknown(name, fields), place)
    for name, field in fields.items():
        if field.required and name not in entries:
            yield _mistake(node, key, f"{name!r} is missing", place)


def _check_list(node: yaml.Node, kind: Any, key: str, place: _Place) -> Iterator[_Mistake]:
    if not isinstance(node, yaml.SequenceNode):
        yield _mistake(node, key, f"expected a list, found {_found(node, place)}", place)
        return
    first: dict[Any, int] = {}
    for number, child in enumerate(node.value):
        mistakes = list(_check(child, kind, f"{key}[{number}]", place))
        yield from mistakes
        if hasattr(kind, "identity") and not mistakes:
            identity = msgspec.convert(place.reader.value(child), kind).identity
            earlier = first.setdefault(identity, number)
            if earlier != number:
                same = "path and name" if len(identity) > 1 else "path"
                what = f"the same {same} as {key}[{earlier}]"
                yield _mistake(child, f"{key}[{number}]", what, place)


def _check_dict(node: yaml.Node, kind: Any, key: str, place: _Place) -> Iterator[_Mistake]:
    if not isinstance(node, yaml.MappingNode):
        yield _mistake(node, key, f"expected keys with values, found {_found(node, place)}", place)
        return
    entries, mistakes = _entries(node, key, place)
    yield from mistakes
    for name, (name_node, child) in entries.items():
        if name:
            yield from _check(child, kind, f"{key}.{one_line(name)}", place)
        else:
            yield _mistake(name_node, key, "an empty key", place)


def _entries(
    node: yaml.MappingNode, key: str, place: _Place
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


def _check_value(node: yaml.Node, kind: Any, key: str, place: _Place) -> Iterator[_Mistake]:
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


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _found(node: yaml.Node, place: _Place) -> str:
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


def _pattern_problem(text: str, _: _Place) -> str | None:
    return broken(text)


def _file_problem(text: str, place: _Place) -> str | None:
    return _outside(text, place) or _missing(_absolute(place.folder, text), Path.is_file, "not a file")


def _chart_problem(text: str, place: _Place) -> str | None:
    return _outside(text, place) or _missing(
        place.folder / text, _is_chart, "no chart: neither a folder with Chart.yaml nor a .tgz"
    )


def _kustomization_problem(text: str, place: _Place) -> str | None:
    return _outside(text, place) or _missing(
        place.folder / text, _is_kustomization, "no folder with a kustomization.yaml"
    )


_CHECKS: Mapping[str, Callable[[str, _Place], str | None]] = {
    "glob": _pattern_problem,
    "file": _file_problem,
    "chart": _chart_problem,
    "kustomization": _kustomization_problem,
}


def _outside(text: str, place: _Place) -> str | None:
    """Why a path is not one of the repository's; links count with where they lead."""
    if one_line(text) != text:
        return "holds control characters"
    if os.path.isabs(text):
        return f"an absolute path; write it relative to the folder of {FILE_NAME}"
    if not Path(os.path.realpath(_absolute(place.folder, text))).is_relative_to(place.top):
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


# -- the schema for editors -----------------------------------------------------------------------------------------------


def schema() -> str:
    """The JSON Schema of kguard.yaml, for editors; `kguard/data/schema/config.json` is this text."""
    found = msgspec.json.schema(Config)
    for struct in (Chart, Kustomization, Inputs, Config):
        properties = found["$defs"][struct.__name__]["properties"]
        for key, words in _descriptions(struct).items():
            properties[key] = {"description": words, **properties[key]}
    top: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "kguard.yaml", **found}
    return msgspec.json.format(msgspec.json.encode(top, order="deterministic"), indent=2).decode() + "\n"


def _descriptions(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The docstrings of a struct's fields, by key; only the source has them."""
    keys = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    found: dict[str, str] = {}
    body = ast.parse(inspect.getsource(struct)).body[0]
    field = None
    for statement in ast.iter_child_nodes(body):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)):
                field = name
            case ast.Expr(value=ast.Constant(value=str(words))) if field is not None:
                found[keys[field]] = words
            case _:
                field = None
    return found
