"""An object's way from its document through its layers, taken once more, so that each field knows its place and each change its patch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kguard.inputs.kustomize.fields import brought, full_name
from kguard.inputs.kustomize.files import RootFiles
from kguard.inputs.kustomize.generators import generator_of
from kguard.inputs.kustomize.layers import Chain, Layer
from kguard.inputs.kustomize.patches import Identity, Patch
from kguard.inputs.kustomize.patching import Change, PatchedTree
from kguard.inputs.kustomize.placed import Placed
from kguard.model import ObjectRef


class Replay:
    """An object's document after the patches of its chain. What else kustomizations do to it is not foreseen, but for its names."""

    def __init__(self, document: Placed, ref: ObjectRef, chain: Chain, files: RootFiles) -> None:
        self._tree = PatchedTree(root=document, group=ref.group)
        self._identity = Identity(
            group=ref.group,
            version=ref.version,
            kind=ref.kind,
            names={ref.name},
            namespaces={ref.namespace or "default"},
            labels={},
            annotations={},
        )
        self._brought: dict[str, dict[str, Any]] = {"labels": {}, "annotations": {}}
        name = ref.name
        for layer in chain:
            self._generate(layer, files, name)
            self._patch(patch for patch in files.patches(layer) if not patch.late)
            name = self._rename(layer, name)
            self._patch(patch for patch in files.patches(layer) if patch.late)

    @property
    def document(self) -> Placed:
        return self._tree.root

    @property
    def changes(self) -> Sequence[Change]:
        """What patches did, in the order in which they did it."""
        return self._tree.changes

    @property
    def names(self) -> set[str]:
        """What the object is called on its way."""
        return self._identity.names

    def _generate(self, layer: Layer, files: RootFiles, name: str) -> None:
        """What a later generator of the same name merges into a generated object."""
        generator = generator_of(layer, self._identity.kind, (name,))
        behavior = generator.entry.get("behavior") if generator is not None else None
        if generator is None or behavior not in ("merge", "replace"):
            return
        generated = generator.tree(files.shown)
        for section in ("data", "binaryData"):
            target, given = self.document.child(section), generated.child(section)
            if target is None or given is None:
                continue
            if behavior == "replace":
                self._tree.log((section,), given.place, whole=True)
                target.value.clear()
            for key, node in given.value.items():
                target.value[key] = node
                self._tree.log((section, key), node.place)

    def _rename(self, layer: Layer, name: str) -> str:
        """The object's name after a layer, which may also give it a namespace, labels and annotations."""
        new = full_name(name, (layer,))
        self._identity.names.add(new)
        if layer.value.get("namespace"):
            self._identity.namespaces.add(str(layer.value["namespace"]))
        for kind, own in self._brought.items():
            own.update((key, value) for _, key, value in brought(layer, kind))
        return new

    def _patch(self, patches: Iterable[Patch]) -> None:
        for patch in patches:
            self._identity.labels = self._labels("labels")
            self._identity.annotations = self._labels("annotations")
            if self._identity.meant_by(patch):
                self._tree.apply(patch)

    def _labels(self, kind: str) -> Mapping[str, Any]:
        """The object's labels, or annotations, at this step: its own, and those that layers gave it."""
        own = self.document.at(("metadata", kind))
        values = own.plain() if own is not None and isinstance(own.value, dict) else {}
        return {**values, **self._brought[kind]}
