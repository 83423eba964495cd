"""One kustomization file: what it says, and all that it refers to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from kguard.inputs.nodes import Unreadable
from kguard.inputs.reading import as_list, as_mapping, parse, read_text
from kguard.model import FieldPath, Span
from kguard.text import one_line

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
GROUP = "kustomize.config.k8s.io"


# -- what is read ---------------------------------------------------------------------------------------------------------


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


def kustomization_in(folder: Path) -> Path | None:
    """The kustomization file of a folder, the one that kustomize takes."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def read_kustomization(path: Path) -> Kustomization | None:
    """What a file called kustomization.yaml, kustomization.yml or Kustomization says; None where it is another product's (Flux).

    Raises Unreadable when it is no YAML mapping within the bounds of manifests.
    """
    text = read_text(path)
    found = next((document for document in parse(text) if isinstance(document.value, dict)), None)
    if found is None:
        raise Unreadable("holds no fields; a kustomization names at least one resource", 1)
    group = str(found.value.get("apiVersion") or GROUP).rpartition("/")[0]
    if group not in ("", GROUP):
        return None
    folder = Path(os.path.realpath(path.parent))
    return Kustomization(
        path=Path(os.path.abspath(path)),
        folder=folder,
        is_component=found.value.get("kind") == "Component",
        references=tuple(_References(folder, found.spans).of(found.value)),
        value=found.value,
        spans=found.spans,
        text=text,
    )


# -- what it refers to ----------------------------------------------------------------------------------------------------

# kustomize decodes its fields as JSON in Go does: whatever the case of their letters
_PLUGINS = frozenset(("generators", "transformers", "validators"))
_FOLDERS = _PLUGINS | {"resources", "bases", "components"}
_ENTRIES = _FOLDERS | {"crds", "configurations", "patchesstrategicmerge"}
_MAYBE_INLINE = _PLUGINS | {"patchesstrategicmerge"}
_HELM = frozenset(("helmcharts", "helmchartinflationgenerator"))
_FILE_KEYS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("patches", "patchesjson6902", "replacements", "openapi"), frozenset(("path",))),
    **dict.fromkeys(("configmapgenerator", "secretgenerator"), frozenset(("files", "envs", "env"))),
    **dict.fromkeys(_HELM, frozenset(("valuesfile", "additionalvaluesfiles"))),
}
"""Of fields whose entries are mappings: the keys there that name files."""
_PLUGIN_FILE_KEYS = frozenset(("path", "paths", "files", "envs", "env", "valuesfile", "additionalvaluesfiles"))


class _References:
    """The references of one kustomization, in the order of its fields."""

    def __init__(self, folder: Path, spans: Mapping[FieldPath, Span]) -> None:
        self._folder, self._spans = folder, spans

    def of(self, value: Mapping[str, Any]) -> Iterator[Reference]:
        for key, content in value.items():
            name = key.casefold()
            if name in _ENTRIES:
                yield from self._entries(name, (key,), content)
            if name in _FILE_KEYS:
                yield from self._files(name, (key,), [content] if name == "openapi" else content)
            if name in _HELM and content:
                yield self._reference(name, (key,), "helm", Use.EXEC)

    def _entries(self, name: str, at: FieldPath, content: Any) -> Iterator[Reference]:
        """What the texts of a list lead to: folders, files, or the configuration of a plugin in the list itself."""
        for number, text in enumerate(as_list(content)):
            if not isinstance(text, str):
                continue
            inline = name in _MAYBE_INLINE and is_inline(text)
            reference = None if inline else self._classified(name, (*at, number), text)
            if reference is not None:
                yield reference
            if name in _PLUGINS:
                yield from self._plugins(name, (*at, number), text if reference is None else _content(reference))

    def _files(self, name: str, at: FieldPath, content: Any) -> Iterator[Reference]:
        """The files that entries with fields name: `path: x`, `files: [key=x]`."""
        for number, entry in enumerate(as_list(content)):
            for key, value in as_mapping(entry).items():
                if key.casefold() not in _FILE_KEYS[name]:
                    continue
                for place, text in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(text, str):
                        file = text if is_url(text) else text.rpartition("=")[2]
                        yield self._classified(name, (*at, number, key, place), file)

    def _plugins(self, name: str, at: FieldPath, text: str) -> Iterator[Reference]:
        """What the configuration of generators, transformers and validators would start, or load from the network."""
        try:
            configs = [document.value for document in parse(text)]
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
        if is_url(text):
            return self._reference(name, at, text, Use.REMOTE)
        if "\0" in text:
            return self._reference(name, at, text, Use.MISSING)
        path = Path(os.path.realpath(self._folder / text))
        if path.is_file():
            return self._reference(name, at, text, Use.FILE, path)
        if is_repository(text):
            return self._reference(name, at, text, Use.REMOTE)
        if name in _FOLDERS and path.is_dir():
            return self._reference(name, at, text, Use.BASE, path)
        return self._reference(name, at, text, Use.MISSING)

    def _reference(self, name: str, at: FieldPath, text: str, use: Use, path: Path | None = None) -> Reference:
        return Reference(field=name, text=text, line=self._line(at), use=use, path=path)

    def _line(self, at: FieldPath) -> int:
        while at not in self._spans:
            at = at[:-1]
        return self._spans[at].line


def _content(reference: Reference) -> str:
    """The text of a plugin's file; none where it is no file."""
    if reference.use is not Use.FILE or reference.path is None:
        return ""
    try:
        return read_text(reference.path)
    except Unreadable as error:
        raise Unreadable(f"{one_line(reference.text)} ({reference.field}): {error}", reference.line) from error


def _urls(config: Mapping[str, Any]) -> Iterator[str]:
    for key, value in config.items():
        if key.casefold() in _PLUGIN_FILE_KEYS:
            yield from (text for text in (value if isinstance(value, list) else [value]) if is_url(str(text)))


# -- what an entry's text is ----------------------------------------------------------------------------------------------

_USER = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*@")


def is_inline(text: str) -> bool:
    """Whether an entry that may be a path is the YAML itself."""
    return "\n" in text.strip() or text.lstrip().startswith("{")


def is_url(text: str) -> bool:
    return text.strip().casefold().startswith(("http://", "https://"))


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
    return "/" in path or ".git" in path
