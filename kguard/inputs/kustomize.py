"""Kustomizations: what one refers to, which must not be rendered, and a root rendered into objects that know where they come from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from kguard.inputs.documents import documents
from kguard.inputs.nodes import NodeReader, Unreadable, compose
from kguard.inputs.objects import read_manifest
from kguard.inputs.overlays import Chain, Layer, Sources, parsed, read_text, trace_of, transformer_layers
from kguard.inputs.render import NotRendered
from kguard.model import BundleKind, Command, FieldPath, KubeObject, Location, Outcome, Precision, Span
from kguard.text import one_line

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
GROUP = "kustomize.config.k8s.io"
MAX_KUSTOMIZATIONS = 2_000
"""Kustomizations of one root, each counted as often as it is referred to: where a graph that doubles at every level stops."""
MAX_DEPTH = 100
"""Kustomizations between a root and the innermost."""

_ORIGIN = "config.kubernetes.io/origin"
_CHANGES = "alpha.config.kubernetes.io/transformations"
_LONGEST_MESSAGE = 500


# -- one kustomization ----------------------------------------------------------------------------------------------------


class Use(StrEnum):
    """What an entry of a kustomization leads to."""

    BASE = "base"
    """A folder: a base or a component."""
    FILE = "file"
    REMOTE = "remote"
    """A URL or a git repository, also where kustomize would clone one although a folder of that name exists."""
    MISSING = "missing"
    """Neither on the network nor here."""
    EXEC = "exec"
    """Something that would start a program: helm, a function, a plugin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One entry of a kustomization that leads out of it."""

    field: str
    """As kustomize spells it, in lower case: `resources`, `patches`."""
    text: str
    """As it stands there; of an EXEC, what would be started."""
    line: int
    use: Use
    path: Path | None
    """Absolute, links resolved; None for what is not on this disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kustomization:
    """One kustomization file, and all that it refers to."""

    path: Path
    """The file, absolute."""
    folder: Path
    """Absolute, links resolved."""
    is_component: bool
    references: tuple[Reference, ...]
    value: Mapping[str, Any]
    spans: Mapping[FieldPath, Span]
    text: str

    @property
    def bases(self) -> tuple[Path, ...]:
        return self._paths(Use.BASE)

    @property
    def files(self) -> tuple[Path, ...]:
        return self._paths(Use.FILE)

    @property
    def remote(self) -> tuple[Reference, ...]:
        return self._of(Use.REMOTE)

    @property
    def missing(self) -> tuple[Reference, ...]:
        return self._of(Use.MISSING)

    @property
    def execs(self) -> tuple[Reference, ...]:
        return self._of(Use.EXEC)

    def _of(self, use: Use) -> tuple[Reference, ...]:
        return tuple(reference for reference in self.references if reference.use is use)

    def _paths(self, use: Use) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(reference.path for reference in self._of(use) if reference.path is not None))


def read_kustomization(path: Path) -> Kustomization | None:
    """What a file called kustomization.yaml, kustomization.yml or Kustomization says; None where it is another product's (Flux).

    Raises Unreadable when it is no YAML mapping within the bounds of manifests.
    """
    text = read_text(path)
    for document in documents(text):
        node = compose(document)
        if isinstance(node, yaml.MappingNode):
            break
    else:
        raise Unreadable("holds no fields; a kustomization names at least one resource", 1)
    reader = NodeReader(document.text, [])
    value = reader.value(node)
    group = str(value.get("apiVersion") or GROUP).rpartition("/")[0]
    if group not in ("", GROUP):
        return None
    moved = document.line - 1
    spans = {at: Span(span.line + moved, span.end_line + moved) for at, span in reader.spans(node).items()}
    folder = Path(os.path.realpath(path.parent))
    return Kustomization(
        path=Path(os.path.abspath(path)),
        folder=folder,
        is_component=value.get("kind") == "Component",
        references=tuple(_References(folder, spans).of(value)),
        value=value,
        spans=spans,
        text=text,
    )


# kustomize decodes its fields as JSON in Go does: whatever the case of their letters
_FOLDERS = frozenset(("resources", "bases", "components", "generators", "transformers", "validators"))
_PLUGINS = frozenset(("generators", "transformers", "validators"))
_ENTRIES = _FOLDERS | {"crds", "configurations", "patchesstrategicmerge"}
_WITH_PATH = frozenset(("patches", "patchesjson6902", "replacements"))
_MAPS = frozenset(("configmapgenerator", "secretgenerator"))
_HELM = frozenset(("helmcharts", "helmchartinflationgenerator"))
_INLINE = _PLUGINS | {"patchesstrategicmerge"}
_LOADED = frozenset(("path", "paths", "files", "envs", "env", "valuesfile", "additionalvaluesfiles"))


class _References:
    """The references of one kustomization, in the order of its fields."""

    def __init__(self, folder: Path, spans: Mapping[FieldPath, Span]) -> None:
        self._folder, self._spans = folder, spans

    def of(self, value: Mapping[str, Any]) -> Iterator[Reference]:
        for key, content in value.items():
            name = key.casefold()
            if name in _ENTRIES:
                yield from self._entries(name, (key,), content)
            elif name in _WITH_PATH:
                yield from self._loaded(name, (key,), content, frozenset(("path",)))
            elif name in _MAPS:
                yield from self._loaded(name, (key,), content, frozenset(("files", "envs", "env")))
            elif name in _HELM and content:
                yield from self._loaded(name, (key,), content, frozenset(("valuesfile", "additionalvaluesfiles")))
                yield self._reference(name, (key,), "helm", Use.EXEC)
            elif name == "openapi":
                yield from self._loaded(name, (key,), [content], frozenset(("path",)))

    def _entries(self, name: str, at: FieldPath, content: Any) -> Iterator[Reference]:
        for number, text in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(text, str):
                continue
            path = (*at, number)
            if name in _INLINE and _is_inline(text):
                plugins = text
            else:
                reference = self._classified(name, path, text)
                yield reference
                file = reference.path if reference.use is Use.FILE and name in _PLUGINS else None
                plugins = self._read(file, reference) if file else ""
            if name in _PLUGINS:
                yield from self._plugins(name, path, plugins)

    def _read(self, file: Path, reference: Reference) -> str:
        try:
            return read_text(file)
        except Unreadable as error:
            raise Unreadable(f"{one_line(reference.text)} ({reference.field}): {error}", reference.line) from error

    def _loaded(self, name: str, at: FieldPath, content: Any, keys: frozenset[str]) -> Iterator[Reference]:
        """The files that entries with fields name: `path: x`, `files: [key=x]`."""
        for number, entry in enumerate(content if isinstance(content, list) else ()):
            for key, value in entry.items() if isinstance(entry, dict) else ():
                if key.casefold() not in keys:
                    continue
                for place, text in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(text, str):
                        path = (*at, number, key, place)
                        yield self._classified(name, path, text if _is_url(text) else text.rpartition("=")[2])

    def _plugins(self, name: str, at: FieldPath, text: str) -> Iterator[Reference]:
        """What the configuration of generators, transformers and validators would start, or load from the network."""
        try:
            configs = [document.value for document in parsed(text)]
        except Unreadable as error:
            raise Unreadable(f"the configuration of {name} is {error}", self._line(at)) from error
        for config in configs:
            if not isinstance(config, dict):
                continue
            kind = str(config.get("kind"))
            if config.get("apiVersion") != "builtin" or kind == "HelmChartInflationGenerator":
                yield self._reference(name, at, f"{config.get('apiVersion')} {kind}", Use.EXEC)
            for url in _urls(config):
                yield self._reference(name, at, url, Use.REMOTE)

    def _classified(self, name: str, at: FieldPath, text: str) -> Reference:
        if _is_url(text) or "\0" in text:
            return self._reference(name, at, text, Use.REMOTE if _is_url(text) else Use.MISSING)
        path = Path(os.path.realpath(self._folder / text))
        if path.is_file():
            use = Use.FILE
        elif is_repository(text):
            use = Use.REMOTE
        else:
            use = Use.BASE if name in _FOLDERS and path.is_dir() else Use.MISSING
        return self._reference(name, at, text, use, path if use in (Use.FILE, Use.BASE) else None)

    def _reference(self, name: str, at: FieldPath, text: str, use: Use, path: Path | None = None) -> Reference:
        return Reference(field=name, text=text, line=self._line(at), use=use, path=path)

    def _line(self, at: FieldPath) -> int:
        while at not in self._spans:
            at = at[:-1]
        return self._spans[at].line


def _is_inline(text: str) -> bool:
    return "\n" in text.strip() or text.lstrip().startswith("{")


def _is_url(text: str) -> bool:
    return text.strip().casefold().startswith(("http://", "https://"))


def _urls(config: Mapping[str, Any]) -> Iterator[str]:
    for key, value in config.items():
        if key.casefold() in _LOADED:
            yield from (text for text in (value if isinstance(value, list) else [value]) if _is_url(str(text)))


_USER = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*@")


def is_repository(text: str) -> bool:
    """Whether kustomize takes an entry that is no file for a git repository to clone (its NewRepoSpecFromURL)."""
    rest = text.partition("?")[0]
    rest = rest[5:] if rest.casefold().startswith("git::") else rest
    if rest.casefold().startswith(("ssh://", "https://", "http://", "file://")):
        return True
    user = _USER.match(rest)
    rest = rest[user.end() :] if user else rest
    github = rest.casefold().startswith(("github.com/", "github.com:"))
    if not (user or github):
        return False
    path = re.split(r"[/:]", rest, maxsplit=1)[-1]
    return path.count("/") >= 1 or any(mark in path for mark in ("_git/", "//", ".git"))


# -- all that a root is made of -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The kustomizations of a root, and through which of them each file's objects pass."""

    top: str
    """The root's own file, as reports show it."""
    chains: Mapping[Path, Sequence[Chain]]
    """By resource file and by kustomization file, absolute as kustomize spells them: entries joined, links not resolved."""
    remote: tuple[tuple[Layer, Reference], ...]
    managed: bool
    """Whether the root asks for the label that names kustomize, which only the outermost kustomization can."""


class _Walk:
    """Follows every reference of a root before kustomize does, so that nothing is fetched and no program is started."""

    def __init__(self, sources: Sources, allow_remote: frozenset[str]) -> None:
        self._sources, self._allow = sources, allow_remote
        self._chains: dict[Path, list[Chain]] = {}
        self._remote: list[tuple[Layer, Reference]] = []
        self._kustomizations: dict[Path, Kustomization] = {}
        self._own: dict[Path, Chain] = {}
        self._visited = 0

    def root(self, folder: Path) -> Graph:
        self._visit(folder, folder, (), ())
        top = self._read(folder)
        return Graph(
            top=self._sources.shown(top.path),
            chains=self._chains,
            remote=tuple(self._remote),
            managed="managedByLabel" in (top.value.get("buildMetadata") or ()),
        )

    def _visit(self, folder: Path, spelled: Path, outer: Chain, above: tuple[Path, ...]) -> Chain:
        """Collect a kustomization and what is below it; the layers that it adds to what its parent has so far.

        `spelled`: the folder as kustomize's origins spell it. `outer`: the layers that come after it, innermost first.
        """
        self._visited += 1
        if self._visited > MAX_KUSTOMIZATIONS or len(above) > MAX_DEPTH:
            limit = f"{MAX_KUSTOMIZATIONS:,}, or are nested deeper than {MAX_DEPTH}"
            raise NotRendered(f"the kustomizations that it refers to are more than {limit}, the limits of kguard")
        kustomization = self._read(folder)
        self._refuse(kustomization)
        own = self._layers(kustomization)
        self._remote += [(own[0], reference) for reference in kustomization.remote]
        folders = [reference for reference in kustomization.references if reference.use is Use.BASE]
        # a component acts on what its parent has so far, so the last one is the next to act
        for reference in reversed([reference for reference in folders if reference.field == "components"]):
            own = self._follow(kustomization, reference, spelled, (*own, *outer), above) + own
        through = (*own, *outer)
        for reference in folders:
            if reference.field != "components":
                # generators' and transformers' folders hold no objects, but what they refer to must be known
                self._follow(kustomization, reference, spelled, through, above)
        for reference in kustomization.references:
            if reference.use is Use.FILE and reference.field in ("resources", "bases"):
                self._chain(spelled / reference.text, through)
        self._chain(spelled / kustomization.path.name, through)
        return own

    def _chain(self, path: Path, chain: Chain) -> None:
        self._chains.setdefault(Path(os.path.normpath(path)), []).append(chain)

    def _follow(
        self, parent: Kustomization, reference: Reference, spelled: Path, outer: Chain, above: tuple[Path, ...]
    ) -> Chain:
        assert reference.path is not None  # noqa: S101 - a BASE is a folder here
        where = self._where(parent, reference)
        above = (*above, parent.folder)
        if any(folder.is_relative_to(reference.path) for folder in above):
            raise NotRendered(
                f"{where}: {one_line(reference.text)!r} leads back to a folder that holds this kustomization, "
                "a cycle; take the entry out"
            )
        if not any((reference.path / name).is_file() for name in NAMES):
            raise NotRendered(
                f"{where}: the folder {one_line(reference.text)!r} has no kustomization.yaml; "
                "add one, or name the files in it"
            )
        return self._visit(reference.path, Path(os.path.normpath(spelled / reference.text)), outer, above)

    def _read(self, folder: Path) -> Kustomization:
        if folder not in self._kustomizations:
            path = next((folder / name for name in NAMES if (folder / name).is_file()), folder / NAMES[0])
            try:
                kustomization = read_kustomization(path)
            except Unreadable as error:
                line = f", line {error.line}" if error.line else ""
                raise NotRendered(f"{self._sources.shown(path)}{line}: {error}") from error
            if kustomization is None:
                raise NotRendered(f"{self._sources.shown(path)}: belongs to another product than kustomize")
            self._kustomizations[folder] = kustomization
        return self._kustomizations[folder]

    def _refuse(self, kustomization: Kustomization) -> None:
        for reference in kustomization.execs:
            raise NotRendered(
                f"{self._where(kustomization, reference)}: {reference.field} would start a program "
                f"({one_line(reference.text)}), and kguard starts none for a kustomization; scan its output instead"
            )
        for reference in kustomization.remote:
            if not _allowed(reference.text, self._allow):
                raise NotRendered(
                    f"{self._where(kustomization, reference)}: {one_line(reference.text)} is on the network, and "
                    "kguard fetches nothing unless it is allowed by name; allow it, or keep a copy beside it"
                )
        for reference in kustomization.missing:
            raise NotRendered(
                f"{self._where(kustomization, reference)}: {one_line(reference.text)!r} ({reference.field}) "
                "does not exist; correct the path"
            )

    def _where(self, kustomization: Kustomization, reference: Reference) -> str:
        return f"{self._sources.shown(kustomization.path)}, line {reference.line}"

    def _layers(self, kustomization: Kustomization) -> Chain:
        """The kustomization, and each of its transformers that has a configuration of its own."""
        if kustomization.folder in self._own:
            return self._own[kustomization.folder]
        shown, transformers = self._sources.shown, kustomization.value.get("transformers")
        layer = Layer(
            path=shown(kustomization.path),
            folder=kustomization.folder,
            value=kustomization.value,
            spans=kustomization.spans,
            text=kustomization.text,
        )
        entries = transformers if isinstance(transformers, list) else ()
        self._own[kustomization.folder] = (layer, *transformer_layers(layer, entries, shown))
        return self._own[kustomization.folder]


def _allowed(text: str, allow: frozenset[str]) -> bool:
    """Whether an allowed name is the beginning of this one, up to the end of a part of it: `x/acme` does not allow `x/acme-evil`."""
    for name in allow:
        rest = text.removeprefix(name)
        begins = bool(name) and text.startswith(name) and ".." not in rest.partition("?")[0].split("/")
        if begins and (name.endswith(("/", ":")) or re.match(r"(?:\.git)?(?:[/?]|$)", rest)):
            return True
    return False


# -- a root to render -----------------------------------------------------------------------------------------------------

# nothing on PATH that could be started, and no way to the network, should the walk have missed something
_CLOSED = {
    "PATH": "",
    "GIT_ALLOW_PROTOCOL": "none",
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:0"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
}
_OPEN = {"GIT_ALLOW_PROTOCOL": "https:ssh", "GIT_TERMINAL_PROMPT": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A kustomization that no other refers to. Satisfies `kguard.inputs.render.Render`."""

    folder: Path
    path: str
    bundle: str
    name: str
    namespace: str | None = None
    """Given to every object as `namespace:` of one more overlay would."""
    allow_remote: frozenset[str] = frozenset()
    """Beginnings of remote references that may be fetched. What a fetched base itself refers to is not looked at before."""

    @property
    def kind(self) -> BundleKind:
        return BundleKind.KUSTOMIZE

    @property
    def programs(self) -> tuple[str, ...]:
        return ("kustomize", "kubectl")

    def command(self, program: str, work: Path) -> Command:
        """The process that builds the root through a wrapper in `work`, which asks for origins and leaves the user's folder as it is."""
        graph = self._graph()
        here = os.path.realpath(work)
        folder = os.path.realpath(self.folder)
        if Path(here).is_relative_to(folder):
            raise NotRendered(f"{self.path} holds kguard's own temporary folder; set TMPDIR to another place")
        wrapper: dict[str, object] = {
            "resources": [os.path.relpath(folder, here)],
            "buildMetadata": [
                "originAnnotations",
                "transformerAnnotations",
                *(["managedByLabel"] if graph.managed else []),
            ],
        }
        if self.namespace is not None:
            wrapper["namespace"] = self.namespace
        try:
            content = json.dumps(wrapper, ensure_ascii=False).encode()  # JSON is YAML
        except UnicodeEncodeError as error:
            raise NotRendered(f"the name of {one_line(self.path)} is not UTF-8; rename the folder") from error
        return Command(
            argv=("kubectl", "kustomize", ".") if program == "kubectl" else ("kustomize", "build", "."),
            env={"PWD": here, **(_OPEN if graph.remote else _CLOSED)},
            files={NAMES[0]: content},
        )

    def objects(self, outcome: Outcome) -> tuple[KubeObject, ...]:
        program = outcome.command.argv[0]
        if outcome.failure is not None or outcome.exit_code != 0:
            raise NotRendered(self._failure(program, outcome))
        content = read_manifest(self.path, outcome.stdout, self.bundle)
        for problem in content.problems:
            raise NotRendered(f"what {program} printed cannot be read: {problem.message}")
        graph, sources = self._graph(), self._sources()
        work = Path(outcome.command.env["PWD"])
        return tuple(
            self._object(replace(obj, staged=f"tree/rendered--{number}.yaml"), graph, sources, work)
            for number, obj in enumerate(content.objects, start=1)
        )

    def _object(self, obj: KubeObject, graph: Graph, sources: Sources, work: Path) -> KubeObject:
        text, note = without_notes(obj.text.decode())
        file, fallback, chains = self._file(note, graph, work)
        bare = replace(obj, text=text.encode(), text_line=None, item_spans=None)
        trace = trace_of(bare, file, chains, sources, fallback)
        return replace(bare, origin=trace.origin, trace=trace)

    def _file(
        self, note: str, graph: Graph, work: Path
    ) -> tuple[Path | None, Location, Mapping[Path, Sequence[Chain]]]:
        """The file that an origin names, None where it names none on this disk; the place of what cannot be found; and the files to
        look through."""
        path, repository = _origin(note)
        fallback = Location(path=graph.top, line=None, end_line=None, precision=Precision.FILE)
        if not repository and not _is_url(path):
            return (Path(os.path.normpath(work / path)) if path else None), fallback, graph.chains
        for layer, reference in graph.remote:
            if (repository or path) in reference.text:
                place = replace(fallback, path=layer.path, line=reference.line, end_line=reference.line)
                return None, place, {}
        return None, fallback, {}

    def _failure(self, program: str, outcome: Outcome) -> str:
        """The renderer's own last error, without kguard's folders."""
        if outcome.failure is not None:
            return outcome.reason or f"{program} failed"
        error = outcome.stderr.decode("utf-8", "replace").strip()
        if "buildMetadata" in error:
            return f"this {program} is too old to tell where objects come from; install kustomize 4.5 or newer"
        starts = [found.start() for found in re.finditer(r"^error:", error, re.MULTILINE | re.IGNORECASE)]
        work, folder = outcome.command.env["PWD"], os.path.realpath(self.folder)
        text = error[starts[-1] :] if starts else error.rpartition("\n")[2]
        for own, shown in ((os.path.relpath(folder, work), self.path), (folder, self.path), (work, "kguard's wrapper")):
            text = text.replace(own, shown)
        text = one_line(" ".join(text.replace(os.getcwd() + os.sep, "").split()))
        if len(text) > _LONGEST_MESSAGE:
            half = _LONGEST_MESSAGE // 2 - 2
            text = f"{text[:half]} ... {text[-half:]}"
        return f"{program}: {text}" if text else f"{program} ended with exit code {outcome.exit_code} and no message"

    def _graph(self) -> Graph:
        return _Walk(self._sources(), self.allow_remote).root(Path(os.path.realpath(self.folder)))

    def _sources(self) -> Sources:
        return Sources(self.folder, self.bundle)


# -- kustomize's notes on its output --------------------------------------------------------------------------------------

# kustomize prints its output anew, so `metadata` and its fields always stand at these columns, and no text can: texts are indented deeper
_ANNOTATIONS = re.compile(
    r"^metadata:\n(?:  .*\n|\n)*?(?P<all>  annotations:\n(?P<body>(?:    .*\n|\n)*))", re.MULTILINE
)
_NOTE = re.compile(
    rf"^    (?P<key>{re.escape(_ORIGIN)}|{re.escape(_CHANGES)}):(?P<note>.*\n(?:     .*\n|\n)*)", re.MULTILINE
)


def without_notes(text: str) -> tuple[str, str]:
    """A rendered document without the annotations that kguard asked for, nothing else of it changed, and its origin's text."""
    found = _ANNOTATIONS.search(text)
    if found is None:
        return text, ""
    origin = next((note["note"] for note in _NOTE.finditer(found["body"]) if note["key"] == _ORIGIN), "")
    kept = _NOTE.sub("", found["body"])
    return text[: found.start("all" if not kept else "body")] + kept + text[found.end("all") :], origin


@lru_cache(maxsize=4096)
def _origin(note: str) -> tuple[str, str]:
    """(path, repository) of an origin annotation: the resource's file, or the kustomization of what generated it."""
    try:
        annotation = parsed(f"note:{note}")[0].value["note"]  # a text in YAML, which is YAML
        value = parsed(annotation)[0].value
    except (Unreadable, IndexError, TypeError, AttributeError):
        return "", ""
    fields = value if isinstance(value, dict) else {}
    return str(fields.get("path") or fields.get("configuredIn") or ""), str(fields.get("repo") or "")
