"""The files around one root kustomization, each read once: their objects, and the patches of its layers."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kguard.inputs.kustomize.generators import GENERATORS
from kguard.inputs.kustomize.layers import Chain, Layer
from kguard.inputs.kustomize.patches import Patch, patches_of
from kguard.inputs.nodes import Unreadable
from kguard.inputs.objects import read_manifest
from kguard.inputs.paths import display
from kguard.inputs.reading import read_text
from kguard.model import KubeObject, ObjectRef

Chains = Mapping[Path, Sequence[Chain]]
"""Every way from each file to the root: by resource file and by kustomization file, absolute as kustomize spells them, entries joined
and links not resolved."""


class RootFiles:
    """The files around one root, each read once."""

    def __init__(self, folder: Path, bundle: str) -> None:
        self._given, self._real = Path(os.path.abspath(folder)), Path(os.path.realpath(folder))
        self._bundle = bundle
        self._objects: dict[Path, tuple[KubeObject, ...]] = {}
        self._patches: dict[Layer, tuple[Patch, ...]] = {}
        self._named: dict[Path, defaultdict[tuple[str, str, str | None], list[KubeObject]]] = {}
        self._holding: defaultdict[tuple[str, str], list[Path]] | None = None

    def shown(self, path: Path) -> str:
        """A path as the user would write it: relative to the working directory where it is below it, links as given."""
        given, real = self._given, self._real
        while given.name == real.name and given != given.parent:
            given, real = given.parent, real.parent
        return display(given / path.relative_to(real) if path.is_relative_to(real) else path)

    def objects(self, path: Path) -> tuple[KubeObject, ...]:
        """The objects of a resource file; none where it cannot be read."""
        if path not in self._objects:
            try:
                data = read_text(path).encode()
            except Unreadable:
                data = b""  # kustomize has read it since; it is on its way out
            self._objects[path] = read_manifest(self.shown(path), data, self._bundle).objects
        return self._objects[path]

    def named(self, path: Path, ref: ObjectRef, name: str | None) -> Sequence[KubeObject]:
        """The objects of a resource file that are of `ref`'s kind and have this name; with any name for None."""
        if path not in self._named:
            self._named[path] = defaultdict(list)
            for obj in self.objects(path):
                self._named[path][obj.ref.group, obj.ref.kind, obj.ref.name].append(obj)
                self._named[path][obj.ref.group, obj.ref.kind, None].append(obj)
        return self._named[path].get((ref.group, ref.kind, name), ())

    def holding(self, ref: ObjectRef, chains: Chains) -> Sequence[Path]:
        """Those of the root's files that hold or generate an object of this kind. `chains`: of all files of the root."""
        if self._holding is None:
            self._holding = defaultdict(list)
            for path, ways in chains.items():
                for kind in set(self._kinds(Path(os.path.realpath(path)), ways[0])):
                    self._holding[kind].append(path)
        return self._holding.get((ref.group, ref.kind), ())

    def _kinds(self, path: Path, chain: Chain) -> Iterator[tuple[str, str]]:
        """The groups and kinds of what a file holds or generates."""
        yield from ((obj.ref.group, obj.ref.kind) for obj in self.objects(path))
        shown = self.shown(path)
        for layer in chain:
            if layer.path == shown:
                yield from (("", kind) for kind, field in GENERATORS.items() if layer.value.get(field))

    def patches(self, layer: Layer) -> tuple[Patch, ...]:
        """The patches of a layer, in the order in which kustomize applies them."""
        if layer not in self._patches:
            self._patches[layer] = tuple(patches_of(layer, self.shown))
        return self._patches[layer]
