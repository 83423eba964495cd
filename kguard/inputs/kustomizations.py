"""The graph of the kustomizations below the sources: which are roots to be rendered, and which files belong to them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kguard.inputs.kustomize.kustomization import NAMES, Kustomization, read_kustomization
from kguard.inputs.kustomize.root import Root
from kguard.inputs.nodes import Unreadable
from kguard.inputs.paths import display
from kguard.inputs.reading import MANIFESTS
from kguard.model import BundleKind, FileState
from kguard.settings import InputSettings, KustomizationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Kustomizations:
    """The root kustomizations below the sources, and what becomes of the files that kustomizations refer to."""

    roots: tuple[Root, ...]
    _roles: Mapping[Path, tuple[FileState, str]]
    """By resolved path."""

    @classmethod
    def among(cls, paths: Iterable[Path], settings: InputSettings) -> Kustomizations:
        """Find them among files. One that no other refers to is a root; of a circle, the first in order."""
        graph = _Graph.of(paths)
        roles: dict[Path, tuple[FileState, str]] = {}
        roots = [_root(graph.files[folder], settings) for folder in graph.roots()]
        for root in roots:
            for path, what in graph.belonging(Path(os.path.realpath(root.folder))):
                roles.setdefault(path, (FileState.RENDERED_ELSEWHERE, f"{what} of {root.path}"))
        for folder in graph.unused_components(roles):
            for path, _ in graph.belonging(folder):
                reason = f"of the component {display(graph.files[folder].parent)}, which no kustomization here uses"
                roles.setdefault(path, (FileState.IGNORED, reason))
        return cls(roots=tuple(roots), _roles=roles)

    def role(self, path: Path) -> tuple[FileState, str] | None:
        """What a file is for the kustomizations; None for one that none refers to."""
        return self._roles.get(Path(os.path.realpath(path)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """Kustomizations by their resolved folders."""

    files: Mapping[Path, Path]
    """The kustomization file of each folder, as it was walked."""
    read: Mapping[Path, Kustomization | None]
    """None for one that cannot be read: its render says why."""

    @classmethod
    def of(cls, paths: Iterable[Path]) -> _Graph:
        files: dict[Path, Path] = {}
        read: dict[Path, Kustomization | None] = {}
        for path in paths:
            if path.name in NAMES:
                try:
                    found = read_kustomization(path)
                except Unreadable:
                    found = None
                else:
                    if found is None:
                        continue  # of another API group, Flux' for one: an object like others
                folder = Path(os.path.realpath(path.parent))
                files[folder], read[folder] = path, found
        return cls(files=files, read=read)

    def roots(self) -> Iterator[Path]:
        """Folders in order, so that each kustomization but unused components is reached from one of them."""
        referred = {base for found in self.read.values() if found for base in found.bases}
        reached: set[Path] = set()
        own = [folder for folder in sorted(self.read) if folder not in referred]
        # where kustomizations refer to each other in a circle, none is left over: the first one stands for all
        for folder in [*own, *sorted(self.read)]:
            if folder not in reached and not self._is_component(folder):
                yield folder
                reached |= self._closure(folder)

    def unused_components(self, used: Iterable[Path]) -> Iterator[Path]:
        known = set(used)
        for folder in sorted(self.read):
            if Path(os.path.realpath(self.files[folder])) not in known and self._is_component(folder):
                yield folder

    def belonging(self, folder: Path) -> Iterator[tuple[Path, str]]:
        """Every file that a kustomization refers to, through others too, with what it is: resolved."""
        for each in sorted(self._closure(folder)):
            found = self.read.get(each)
            file = self.files.get(each)
            if file is not None:
                own = "root kustomization" if each == folder else "kustomization"
                yield Path(os.path.realpath(file)), own
            for path in found.files if found else _manifests(each):
                yield path, "file"

    def _closure(self, folder: Path) -> set[Path]:
        reached, waiting = set[Path](), [folder]
        while waiting:
            each = waiting.pop()
            if each not in reached:
                reached.add(each)
                found = self.read.get(each)
                waiting += found.bases if found else ()
        return reached

    def _is_component(self, folder: Path) -> bool:
        found = self.read[folder]
        return found is not None and found.is_component


def _manifests(folder: Path) -> Iterator[Path]:
    """What stands beside a kustomization that cannot be read: any of it may be a patch, which is no manifest."""
    yield from (path for path in sorted(folder.iterdir()) if path.suffix.lower() in MANIFESTS)


def _root(file: Path, settings: InputSettings) -> Root:
    """The render of a root kustomization, with what kguard.yaml says of it."""
    folder = file.parent
    resolved = Path(os.path.realpath(folder))
    own = next((item for item in settings.kustomizations if Path(os.path.realpath(item.path)) == resolved), None)
    own = own or KustomizationSettings(path=resolved)
    return Root(
        folder=folder,
        path=display(folder),
        bundle=f"{BundleKind.KUSTOMIZE}:{display(folder)}",
        name=resolved.name,
        namespace=own.namespace,
        allow_remote=own.allow_remote,
    )
