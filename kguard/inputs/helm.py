"""Helm charts: what a chart is made of, and its releases, rendered by the real helm."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import yaml

from kguard.inputs.documents import Document
from kguard.inputs.nodes import NodeReader, Unreadable, compose
from kguard.inputs.objects import MAX_DOCUMENTS, MAX_FILE_BYTES, read_manifest
from kguard.inputs.paths import display
from kguard.inputs.render import NotRendered
from kguard.inputs.templates import (
    OTHER_BREAKS,
    FileTrace,
    Keys,
    Made,
    Rendered,
    TemplateFile,
    Templates,
    TemplateTrace,
    Values,
)
from kguard.model import BundleKind, Command, KubeObject, Outcome, Span, Trace
from kguard.text import printable

MAX_ARCHIVE_BYTES = 256 * 1024 * 1024
"""Of an archive once it is unpacked."""
MAX_FILES = 100_000
"""Of a chart's folder, or an archive."""
MAX_SUBCHARTS = 8
"""Charts inside charts, one in the other."""
MAX_INSTANCES = 1_000
"""Charts of one release, each under each of its aliases."""

_CHART = "Chart.yaml"
_ARCHIVE = ".tgz"
_METADATA = frozenset((_CHART, "Chart.lock", "requirements.yaml", "requirements.lock", ".helmignore"))
_ERROR_LENGTH = 500


# -- charts ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A chart that another names as part of it."""

    name: str
    alias: str | None
    version: str
    repository: str
    imports: bool
    """Its values are copied into its parent's (`import-values`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a chart says of itself, and the charts inside it."""

    path: Path
    """Its folder; of a chart in an archive, the archive."""
    inside: str
    """Its folder in the archive, "" where `path` is a folder."""
    name: str
    version: str
    library: bool
    """It only helps other charts and is never rendered itself."""
    dependencies: tuple[Dependency, ...]
    subcharts: tuple[Chart, ...]
    """Those in its `charts/`, folders and archives."""

    @property
    def missing(self) -> tuple[Dependency, ...]:
        """Dependencies that its `charts/` lacks."""
        there = {chart.name for chart in self.subcharts}
        return tuple(item for item in self.dependencies if item.name not in there)


def read_chart(path: Path) -> Chart | None:
    """The chart in a folder or an archive; None where there is no Chart.yaml.

    Raises nodes.Unreadable for a chart that cannot be read, or one that is too large.
    """
    if not path.is_file():
        return _folder(path, 0)
    files = _unpack(path)
    tops = [name.partition("/")[0] for name in files if name.count("/") == 1 and name.endswith(f"/{_CHART}")]
    return _archived(path, tops[0], files, 0) if tops else None


def role(chart: Chart, path: Path) -> str:
    """What a file below a chart's folder is to the chart, in a few words."""
    relative = PurePosixPath(os.path.relpath(path, chart.path).replace(os.sep, "/"))
    name = relative.name.lower()
    match relative.parts:
        case ("charts", _, *_):
            return "subchart, rendered with its parent"
        case ("templates", _, *_):
            return "template of the chart"
        case ("crds", _, *_):
            return "CRD of the chart"
        case (str(only),) if only in _METADATA:
            return "metadata of the chart"
        case _ if "values" in name and name.endswith((".yaml", ".yml", ".json")):
            return "values of the chart"
        case _:
            return "file of the chart"


def _folder(path: Path, depth: int) -> Chart | None:
    if not (path / _CHART).is_file():
        return None
    charts = path / "charts"
    subcharts = [_subchart(charts / name, depth + 1) for name in _entries(charts)]
    return _chart(path, "", _Folder(path), subcharts, depth)


def _entries(folder: Path) -> list[str]:
    """What helm looks at in `charts/`."""
    try:
        return sorted(name for name in os.listdir(folder) if name[0] not in "._")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise Unreadable(f"{folder.name}/ cannot be read: {error.strerror}") from error


def _subchart(path: Path, depth: int) -> Chart | None:
    if depth > MAX_SUBCHARTS:  # a link to a folder around it, for one
        raise Unreadable(f"charts inside charts deeper than {MAX_SUBCHARTS}, the limit")
    try:
        if path.is_dir():
            return _folder(path, depth)
        return read_chart(path) if path.suffix == _ARCHIVE and path.is_file() else None
    except Unreadable as error:
        raise Unreadable(f"charts/{path.name}: {error}") from error


def _archived(path: Path, inside: str, files: Mapping[str, bytes], depth: int) -> Chart | None:
    """A chart of an archive, in which archives inside are unpacked already."""
    if f"{inside}/{_CHART}" not in files:
        return None
    if depth > MAX_SUBCHARTS:
        raise Unreadable(f"charts inside charts deeper than {MAX_SUBCHARTS}, the limit")
    charts = f"{inside}/charts/"
    found = [_chart_folder(name.removeprefix(charts)) for name in files if name.startswith(charts)]
    subcharts = [_archived(path, charts + name, files, depth + 1) for name in dict.fromkeys(found) if name is not None]
    return _chart(path, inside, _Archive(files, inside), subcharts, depth)


def _chart_folder(name: str) -> str | None:
    """`db` of db/Chart.yaml, `db-1.0.0.tgz/db` of db-1.0.0.tgz/db/Chart.yaml."""
    parts = name.split("/")
    size = 2 if parts[0].endswith(_ARCHIVE) else 1
    return "/".join(parts[:size]) if len(parts) > size and parts[0][:1] not in ("", ".", "_") else None


def _chart(path: Path, inside: str, files: _Files, subcharts: Sequence[Chart | None], depth: int) -> Chart:
    value = _mapping(files, _CHART)
    requirements = _mapping(files, "requirements.yaml")
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise Unreadable(f"{_CHART} gives no name")
    return Chart(
        path=path,
        inside=inside,
        name=name,
        version=str(value.get("version") or ""),
        library=value.get("type") == "library",
        dependencies=tuple(_dependencies(requirements.get("dependencies") or value.get("dependencies"))),
        subcharts=tuple(chart for chart in subcharts if chart is not None),
    )


def _dependencies(value: Any) -> Iterator[Dependency]:
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            alias = item.get("alias")
            yield Dependency(
                name=item["name"],
                alias=alias if isinstance(alias, str) and alias else None,
                version=str(item.get("version") or ""),
                repository=str(item.get("repository") or ""),
                imports=bool(item.get("import-values")),
            )


def _mapping(files: _Files, name: str) -> dict[str, Any]:
    """Empty where there is no such file, or nothing in it."""
    value = _yaml(files.read(name) or b"", name)
    if value is not None and not isinstance(value, dict):
        raise Unreadable(f"{name} is not a mapping")
    return value or {}


def _yaml(data: bytes, name: str) -> Any:
    node = _node(data, name)
    return None if node is None else NodeReader("", []).value(node)


def _node(data: bytes, name: str) -> yaml.Node | None:
    try:
        return compose(Document(number=1, line=1, text=data.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise Unreadable(f"{name} is not UTF-8") from error
    except Unreadable as error:
        raise Unreadable(f"{name}: {error}", error.line) from error


# -- the files of a chart -------------------------------------------------------------------------------------------------


class _Files(Protocol):
    """The files of one chart, by their path in it."""

    def read(self, name: str) -> bytes | None:
        """None for a file that is not there. Raises Unreadable."""

    def below(self, folder: str) -> Iterator[str]:
        """The files below a folder."""


class _Folder:
    """Files on disk. Links are followed, as helm does; `Release` looks where they lead before helm runs."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        path = self._root / name
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise Unreadable(f"{name} cannot be read: {error.strerror}") from error
        if len(data) > MAX_FILE_BYTES:
            raise Unreadable(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB, the limit for one file")
        return data

    def below(self, folder: str) -> Iterator[str]:
        for path in _walk(self._root / folder):
            yield path.relative_to(self._root).as_posix()


class _Archive:
    """Files in memory."""

    def __init__(self, files: Mapping[str, bytes], inside: str) -> None:
        self._files = files
        self._top = f"{inside}/"

    def read(self, name: str) -> bytes | None:
        return self._files.get(self._top + name)

    def below(self, folder: str) -> Iterator[str]:
        start = f"{self._top}{folder}/"
        return (name.removeprefix(self._top) for name in sorted(self._files) if name.startswith(start))


def _walk(root: Path) -> Iterator[Path]:
    """Everything below a folder, links included; a folder that was seen before is not walked again."""
    seen = {os.path.realpath(root)}
    count = 0
    for here, folders, files in os.walk(root, followlinks=True):
        count += len(folders) + len(files)
        if count > MAX_FILES:
            raise Unreadable(f"more than {MAX_FILES:,} files, the limit for a chart")
        yield from (Path(here, entry) for entry in sorted([*folders, *files]))
        real = {folder: os.path.realpath(os.path.join(here, folder)) for folder in sorted(folders)}
        folders[:] = [folder for folder, target in real.items() if target not in seen]
        seen.update(real.values())


class _Bounded:
    """A stream that gives no more than so many bytes, whatever an archive claims."""

    def __init__(self, source: gzip.GzipFile, left: int) -> None:
        self._source = source
        self.left = left

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise Unreadable(
                f"larger than {MAX_ARCHIVE_BYTES // 2**20} MiB once it is unpacked, the limit for an archive"
            )
        return data


def _unpack(path: Path) -> dict[str, bytes]:
    """The files of an archive, in memory; archives in its charts/ are unpacked in their places."""
    try:
        with path.open("rb") as file:
            return _members(file, path.name, MAX_ARCHIVE_BYTES)[0]
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror or error}") from error


def _members(file: IO[bytes], name: str, left: int, depth: int = 0) -> tuple[dict[str, bytes], int]:
    found: dict[str, bytes] = {}
    try:
        with gzip.open(file) as stream:
            bounded = _Bounded(stream, left)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:  # type: ignore[call-overload]
                for member in archive:
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is not None:
                        found[str(PurePosixPath(member.name))] = content.read()
                    if len(found) > MAX_FILES:
                        raise Unreadable(f"more than {MAX_FILES:,} files, the limit for a chart")
    except (EOFError, zlib.error, tarfile.TarError, gzip.BadGzipFile, UnicodeError, ValueError) as error:
        raise Unreadable(f"{name} is not a chart archive: {error}") from error
    left = bounded.left
    for inner in [inner for inner in found if inner.endswith(_ARCHIVE) and "/charts/" in inner]:
        if depth >= MAX_SUBCHARTS:
            raise Unreadable(f"archives inside archives deeper than {MAX_SUBCHARTS}, the limit")
        members, left = _members(io.BytesIO(found.pop(inner)), inner, left, depth + 1)
        found.update({f"{inner}/{member}": data for member, data in members.items()})
    return found, left


# -- releases -------------------------------------------------------------------------------------------------------------

_PLAIN_VERSION = re.compile(r"\d+\.\d+\.\d+[-+.\w]*")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_RELEASE_LENGTH = 53
_SIMPLE_KEY = re.compile(r"[\w-]+(\.[\w-]+)*")
_SEVERAL = re.compile(r"[,{\\\n]")
"""What helm does not take as it is in a value that is set: it may set something else as well."""
_ODD_VALUE = re.compile(r"y|n|yes|no|on|off|(?!0$)[-+.0xob_:e]*0[-+.0xob_:e]*", re.IGNORECASE)
_ODD_KEY = re.compile(r"true|false|null|~||[-+.].*|\d.*\D.*", re.IGNORECASE)
_HEADER = re.compile(rb"^---\n# Source: ([^\n]+)\n", re.MULTILINE)
_SKIPPED = re.compile(r"\. (?:This document|The file) is skipped.*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A chart with one set of values, to be rendered by `helm template` (satisfies kguard.inputs.render.Render)."""

    chart: Path
    """A folder or an archive."""
    path: str
    """The same, as reports show it."""
    bundle: str
    name: str
    """What people call it: that of the set of values, or the chart's."""
    release: str = ""
    """Name of the release; "" for one like the chart's name."""
    namespace: str | None = None
    values: tuple[Path, ...] = ()
    set_values: tuple[tuple[str, str], ...] = ()
    """Keys and values as `--set` takes them, commas and braces included."""
    set_strings: tuple[tuple[str, str], ...] = ()
    """The same for `--set-string`."""
    api_versions: tuple[str, ...] = ()
    kube_version: str | None = None
    root: Path | None = None
    """Links in the chart may not lead out of this folder; None for the chart's own."""

    @property
    def kind(self) -> BundleKind:
        return BundleKind.HELM

    @property
    def programs(self) -> tuple[str, ...]:
        return ("helm",)

    def command(self, program: str, work: Path) -> Command:
        """Dependencies come from the chart's `charts/` alone; nothing is fetched, and nothing in `work` is read."""
        chart = self._read()
        self._check(chart)
        options = [
            *(["--namespace", self.namespace] if self.namespace else []),
            *(option for file in self.values for option in ("--values", os.path.abspath(file))),
            *(option for key, value in self.set_values for option in ("--set", f"{key}={value}")),
            *(option for key, value in self.set_strings for option in ("--set-string", f"{key}={value}")),
            *(option for version in self.api_versions for option in ("--api-versions", version)),
            *(["--kube-version", self.kube_version] if self.kube_version else []),
        ]
        name = self.release_name(chart)
        return Command(argv=(program, "template", name, os.path.abspath(self.chart), "--include-crds", *options))

    def objects(self, outcome: Outcome) -> tuple[KubeObject, ...]:
        """Hooks, tests and CRDs too; what is printed for people (NOTES.txt) and empty documents are no objects."""
        if outcome.failure is not None:
            raise NotRendered(outcome.reason or "helm did not finish")
        if outcome.exit_code != 0:
            raise NotRendered(self._complaint(outcome))
        try:
            rendering = _Rendering(self, self._read())
            blocks = tuple(_blocks(outcome.stdout, rendering.crds))
            if len(blocks) > MAX_DOCUMENTS:
                raise Unreadable(f"more than {MAX_DOCUMENTS:,} documents, the limit for one bundle")
            found = list(rendering.objects(blocks))
        except Unreadable as error:
            raise NotRendered(str(error)) from error
        return tuple(replace(obj, staged=f"tree/rendered--{number}.yaml") for number, obj in enumerate(found, start=1))

    def release_name(self, chart: Chart) -> str:
        return self.release or _release_name(chart.name)

    def _read(self) -> Chart:
        try:
            chart = read_chart(self.chart)
        except Unreadable as error:
            raise NotRendered(str(error)) from error
        if chart is None:
            raise NotRendered(f"{self.path} has no {_CHART}")
        return chart

    def _check(self, chart: Chart) -> None:
        """What helm would say less clearly, or not at all."""
        if chart.library:
            raise NotRendered("a library chart: it only helps other charts, and is rendered with them")
        if chart.missing:
            names = ", ".join(f"{item.name} {item.version}".strip() for item in chart.missing)
            raise NotRendered(
                f"charts/ lacks what {_CHART} names as a dependency: {printable(names)}. "
                f"`helm dependency update {self.path}` gets it; kguard fetches nothing"
            )
        for file in self.values:
            if not file.is_file():
                raise NotRendered(f"the values file {display(file)} does not exist")
        if self.namespace is not None and not _NAMESPACE.fullmatch(self.namespace):
            raise NotRendered(f"{self.namespace!r} is no name for a namespace")
        if self.chart.is_dir():
            self._check_links()

    def _check_links(self) -> None:
        """Helm follows links, and would copy what it finds there into what it renders."""
        root = os.path.realpath(self.root or self.chart)
        try:
            for path in _walk(self.chart):
                target = os.path.realpath(path)
                if path.is_symlink() and target != root and not target.startswith(root + os.sep):
                    raise NotRendered(f"{display(path)} is a link that leaves the folder; helm would follow it")
        except Unreadable as error:
            raise NotRendered(str(error)) from error

    def _complaint(self, outcome: Outcome) -> str:
        """Helm's own words, without paths of this machine."""
        text = outcome.stderr.decode("utf-8", "replace")
        text = text[max(text.rfind("\nError: ") + 1, 0) :].removeprefix("Error: ")
        for path, shown in ((self.chart, self.path), *((file, display(file)) for file in self.values)):
            text = text.replace(os.path.abspath(path), shown)
        text = text.replace(f"{Path.cwd()}{os.sep}", "")
        lines = [line.strip() for line in text.splitlines() if not line.startswith("Use --debug flag")]
        said = printable(" ".join(" ".join(line for line in lines if line).split()))
        if len(said) > _ERROR_LENGTH:
            said = said[: _ERROR_LENGTH - 1] + "…"
        return said or f"helm ended with exit code {outcome.exit_code} and said nothing"


def _release_name(chart: str) -> str:
    """A chart's name made one that helm takes for a release."""
    name = re.sub(r"[^a-z0-9]+", "-", chart.lower())[:_RELEASE_LENGTH].strip("-")
    return name or "release"


# -- what helm printed ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """What helm printed below one `# Source:` line."""

    name: str
    data: bytes
    verbatim: bool
    """A CRD's file as it is."""


def _blocks(printed: bytes, crds: Mapping[str, bytes]) -> Iterator[_Block]:
    """Helm cuts what templates print at every `---`, so that only CRDs, which it does not touch, can hold a line that looks like
    the start of a block: these are recognised by their bytes."""
    match = _HEADER.search(printed)
    if printed[: match.start() if match else None].strip():
        raise Unreadable("helm printed something else than rendered templates")
    while match:
        name = os.fsdecode(match[1])
        crd = crds.get(name, b"").removeprefix(b"\xef\xbb\xbf").rstrip()
        verbatim = bool(crd) and printed.startswith(crd, match.end())
        following = _HEADER.search(printed, match.end() + len(crd) if verbatim else match.end())
        end = following.start() if following else len(printed)
        yield _Block(name=name, data=printed[match.end() : end], verbatim=verbatim)
        match = following


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instance:
    """A chart in its place in a release: under an alias, or twice."""

    chart: Chart
    name: str
    """Where helm says that its files are: `web/charts/db`."""
    prefix: Keys
    """Where its values stand among those of the release."""
    shown: str
    """Its folder or archive, as reports show it."""
    files: _Files

    def path(self, name: str) -> str:
        if self.chart.inside:
            return self.shown
        name = os.fsencode(name).decode("utf-8", "backslashreplace")
        return name if self.shown == "." else f"{self.shown}/{name}"


def _instances(top: Chart, shown: str) -> Iterator[_Instance]:
    archives: dict[Path, Mapping[str, bytes]] = {}
    waiting: list[tuple[Chart, str, Keys, str]] = [(top, top.name, (), shown)]
    for count in itertools.count(1):
        if not waiting:
            return
        chart, name, prefix, shown = waiting.pop()
        if chart.inside and chart.path not in archives:
            archives[chart.path] = _unpack(chart.path)
        files = _Archive(archives[chart.path], chart.inside) if chart.inside else _Folder(chart.path)
        if count > MAX_INSTANCES:
            raise Unreadable(f"more than {MAX_INSTANCES:,} charts in one, the limit")
        yield _Instance(chart=chart, name=name, prefix=prefix, shown=shown, files=files)
        for inner in chart.subcharts:
            where = shown if chart.inside else f"{shown}/charts/{inner.path.name}".removeprefix("./")
            waiting += [(inner, f"{name}/charts/{own}", (*prefix, own), where) for own in _names(chart, inner)]


def _names(chart: Chart, inner: Chart) -> list[str]:
    """What a chart calls one of its subcharts: its aliases, where it has some."""
    wanted = [item for item in chart.dependencies if item.name == inner.name]
    if sum(other.name == inner.name for other in chart.subcharts) > 1:
        # of several versions helm takes one that fits; a version that is not given plainly may be any of them
        wanted = [
            item for item in wanted if item.version == inner.version or not _PLAIN_VERSION.fullmatch(item.version)
        ]
        return list(dict.fromkeys(item.alias or item.name for item in wanted))
    return list(dict.fromkeys(item.alias or item.name for item in wanted)) or [inner.name]


class _Rendering:
    """The way from what helm printed to objects, and from these to the chart's files."""

    def __init__(self, release: Release, chart: Chart) -> None:
        self._bundle = release.bundle
        instances = tuple(_instances(chart, release.path))
        self._unsure = instances[0].path(_CHART)
        self._paths: dict[str, set[str]] = {}
        """By helm's name of a file; two paths where several versions of a subchart may be meant."""
        self._archives = {instance.shown for instance in instances if instance.chart.inside}
        self.crds: dict[str, bytes] = {}
        templates = [file for instance in instances for file in self._files(instance)]
        self._templates = Templates(templates, _values(release, instances))
        self._chart = release.path
        self._release = release.release_name(chart)
        self._documents: Counter[str] = Counter()
        self._sources: Counter[Hashable] = Counter()

    def _files(self, instance: _Instance) -> Iterator[TemplateFile]:
        for name in (*instance.files.below("crds"), *instance.files.below("templates")):
            data = instance.files.read(name)
            if data is None:
                continue
            full, path = f"{instance.name}/{name}", instance.path(name)
            self._paths.setdefault(full, set()).add(path)
            if name.startswith("crds/"):
                self.crds[full] = data
                continue
            text = data.decode("utf-8-sig", "surrogateescape")
            lined = not instance.chart.inside
            yield TemplateFile(name=full, path=path, text=text, lined=lined, prefix=instance.prefix)

    def objects(self, blocks: Sequence[_Block]) -> Iterator[KubeObject]:
        counts = Counter(block.name for block in blocks)
        for block in blocks:
            path = self._path(block.name)
            content = read_manifest(path, block.data, self._bundle)
            for problem in content.problems:
                raise NotRendered(f"{path} renders to what is {_SKIPPED.sub('', problem.message)}")
            alone = counts[block.name] == 1 and not self._templates.hooks
            for obj in content.objects:
                number = self._documents[path] + obj.origin.document
                yield replace(
                    obj,
                    origin=replace(obj.origin, document=number, span=Span(1, 1)),
                    text_line=None,
                    item_spans=None,
                    trace=self._trace(block, obj, alone),
                )
            self._documents[path] += max([1, *(obj.origin.document for obj in content.objects)])

    def _path(self, name: str) -> str:
        paths = self._paths.get(name, ())
        return next(iter(paths)) if len(paths) == 1 else self._unsure

    def _trace(self, block: _Block, obj: KubeObject, alone: bool) -> Trace:
        """Lines of an object are counted in its own text, those of an item of a List in the block."""
        before = 0 if obj.text_line is None else obj.text_line - 1
        path = self._path(block.name)
        made = Made(source=self._source(block.name, obj), spans=obj.item_spans)
        if block.name in self.crds or path == self._unsure:
            lined = block.verbatim and path not in self._archives and not OTHER_BREAKS.search(block.data.decode())
            return FileTrace(made, path, before if lined else None)
        text = block.data.decode()
        blank = text[: len(text) - len(text.lstrip())].count("\n")
        rendered = Rendered(text=text.strip(), line=1 + blank - before, alone=alone)
        return TemplateTrace(made, self._templates, block.name, rendered)

    def _source(self, name: str, obj: KubeObject) -> Hashable:
        """The same for every set of values, whatever the release is called; of several objects with one name, each by its number."""
        key = (self._chart, name, obj.ref.group, obj.ref.kind, obj.ref.name.removeprefix(self._release))
        self._sources[key] += 1
        return (*key, self._sources[key])


def _values(release: Release, instances: Sequence[_Instance]) -> Values:
    """All that may be among the values of a release."""
    known = not any(item.imports for instance in instances for item in instance.chart.dependencies)
    sources: list[tuple[Keys, Any]] = []
    files = [(instance.prefix, instance.files, "values.yaml") for instance in instances]
    for prefix, folder, name in [*files, *(((), _Folder(file.parent), file.name) for file in release.values)]:
        try:
            node = _node(folder.read(name) or b"", name)
        except Unreadable:
            known = False  # helm has read it all the same
            continue
        if node is not None:
            known = known and _alike(node)
            sources.append((prefix, NodeReader("", []).value(node)))
    for key, value in (*release.set_values, *release.set_strings):
        known = known and _SIMPLE_KEY.fullmatch(key) is not None and not _SEVERAL.search(value)
        sources.append((tuple(key.split(".")), value))
    return Values(sources, known=known)


def _alike(root: yaml.Node) -> bool:
    """Whether helm is known to read every word and number of a document as kguard does: `no` is a text to some readers, and a key
    `on` may be called `true`."""
    waiting, seen = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            if any(isinstance(key, yaml.ScalarNode) and not _plain_key(key) for key, _ in node.value):
                return False
            children = [child for _, child in node.value]
        elif isinstance(node, yaml.ScalarNode):
            if not node.style and _ODD_VALUE.fullmatch(node.value):
                return False
            continue
        else:
            children = list(node.value)
        new = [child for child in children if id(child) not in seen]
        seen.update(map(id, new))
        waiting += new
    return True


def _plain_key(key: yaml.ScalarNode) -> bool:
    return bool(key.style) or not (_ODD_VALUE.fullmatch(key.value) or _ODD_KEY.fullmatch(key.value))
