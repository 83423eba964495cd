"""The way back through overlays: which base, patch or kustomization each field of an object that kustomize rendered comes from.

The object's base document is taken through the patches of every kustomization around it, as kustomize does, with each value carrying the
place that it stands at. What then equals the rendered object has its place; what differs was changed by a kustomization's own fields.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from kguard.inputs.kustomize.fields import ChainFields, affixes, without_hash
from kguard.inputs.kustomize.files import Chains, RootFiles
from kguard.inputs.kustomize.generators import Generator, generator_of
from kguard.inputs.kustomize.layers import Chain, Layer, location
from kguard.inputs.kustomize.placed import ANY, Placed, keyed, pairs
from kguard.inputs.kustomize.replay import Replay
from kguard.inputs.objects import index, lookup
from kguard.model import FieldPath, KubeObject, Location, ObjectRef, Origin, Precision, Span

# -- the way back ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KustomizeTrace:
    """The way back from one rendered object. Satisfies `kguard.model.Trace`."""

    origin: Origin
    ref: ObjectRef
    """What the object is called where it stands."""
    base: KubeObject | None = None
    """The document that it was made of."""
    generator: Generator | None = None
    """Or what made it."""
    chain: Chain = ()
    fallback: Location
    """Where nothing better is known."""
    files: RootFiles

    @property
    def own_ref(self) -> ObjectRef | None:
        return self.ref if self.base is not None or self.generator is not None else None

    @property
    def source(self) -> Hashable:
        if self.base is not None:
            return (self.origin.path, self.origin.document, self.base.staged)
        return (self.origin.path, self.generator.at if self.generator is not None else self.fallback, self.ref)

    def locations(self, value: Mapping[str, Any], spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Location]:
        replay = self._replay()
        if replay is None:
            return dict.fromkeys(spans, self.fallback)
        found: dict[FieldPath, Location] = {}
        _find_places(value, replay.document, (), self._fields(replay), found)
        return {path: found.get(path, self.fallback) for path in spans}

    def removed_by(self, path: FieldPath, seen: Mapping[str, Any]) -> Location | None:
        """What took a field away on the way to this object, set it otherwise, or added it: the patch, or the kustomization's entry.

        `seen`: the object that `path` runs through, as another bundle has it: its list items are found again by name, and may stand
        elsewhere here. None where nothing here touches the field.
        """
        replay = self._replay()
        if replay is None:
            return None
        at = keyed(path, seen)
        for change in reversed(replay.changes):
            if change.at == at or (change.whole and change.at == at[: len(change.at)]):
                return change.place
        return self._fields(replay).that_cures(path, lookup(seen, path))

    def _fields(self, replay: Replay) -> ChainFields:
        return ChainFields(chain=self.chain, names=replay.names, fallback=self.fallback)

    def _replay(self) -> Replay | None:
        if self.generator is not None:
            document = self.generator.tree(self.files.shown)
        elif self.base is not None:
            document = _document(self.base)
        else:
            return None
        return Replay(document, self.ref, self.chain, self.files)


def _document(base: KubeObject) -> Placed:
    file, known = base.origin.path, index(base)
    document = Placed.of(known.value, lambda path: location(file, known.spans.get(path), Precision.EXACT))
    return replace(document, place=replace(document.place, precision=Precision.OBJECT))


def _find_places(
    value: Any, node: Placed | None, path: FieldPath, fields: ChainFields, found: dict[FieldPath, Location]
) -> None:
    """Give a rendered value, and all below it, the place of the node that it equals; what differs, that of what changed it."""
    if node is not None and _same(value, node.value):
        found[path] = node.place
    else:
        found[path] = fields.that_changed(path, value, _before(node))
    match value:
        case dict():
            for key, child in value.items():
                _find_places(child, node.child(key) if node is not None else None, (*path, key), fields, found)
        case list():
            nodes = node.value if node is not None and isinstance(node.value, list) else []
            for number, (child, twin) in enumerate(zip(value, pairs(value, nodes), strict=True)):
                _find_places(child, twin, (*path, number), fields, found)


def _same(value: Any, own: Any) -> bool:
    """Whether a rendered value is what stands in a node: a scalar is equal, a mapping or list need only be one."""
    if own is ANY:
        return not isinstance(value, (dict, list))
    return type(value) is type(own) and (isinstance(value, (dict, list)) or bool(value == own))


def _before(node: Placed | None) -> Any:
    return None if node is None or node.value is ANY else node.plain()


# -- what an object was made of -------------------------------------------------------------------------------------------


class _Unlike(IntEnum):
    """How unlike its rendered name an object's name is, beside what its chain puts around it."""

    EQUAL = 0
    HASHED = 1
    """It got a generator's hash."""
    BARE = 2
    """It got neither prefix nor suffix, like namespaces and CRDs."""
    OTHER = 3
    """A patch may have renamed it."""


def trace_of(
    rendered: KubeObject, file: Path | None, chains: Chains, files: RootFiles, fallback: Location
) -> KustomizeTrace:
    """The way back from a rendered object to the document or generator that its origin names.

    `file`: the resource file, or the kustomization of a generator, absolute; None where kustomize does not tell. `chains`: of all
    files of the root. `fallback`: the place of all that cannot be found, the root's own kustomization.
    """
    search = _Search(rendered=rendered, chains=chains, files=files, fallback=fallback)
    named = search.within(file, _Unlike.OTHER) if file is not None else None
    if named is not None:
        return named
    # a patch that replaces all annotations takes the origin away, so what has the object's very name is looked for
    found = [search.within(other, _Unlike.HASHED) for other in files.holding(rendered.ref, chains)]
    alike = [trace for trace in found if trace is not None]
    if len(alike) == 1:
        return alike[0]
    return unknown(rendered, location(files.shown(file)) if file is not None else fallback, files)


def unknown(rendered: KubeObject, place: Location, files: RootFiles) -> KustomizeTrace:
    """The way back from an object of which no more is known than a place."""
    span = Span(place.line or 1, place.end_line or 1)
    origin = Origin(path=place.path, document=1, item=None, span=span)
    return KustomizeTrace(origin=origin, ref=rendered.ref, fallback=place, files=files)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """Looks for what a rendered object was made of."""

    rendered: KubeObject
    chains: Chains
    files: RootFiles
    fallback: Location

    def within(self, file: Path, most: _Unlike) -> KustomizeTrace | None:
        """What a file generates or holds that the object may be made of. `most`: how unlike its name may be."""
        chains = self.chains.get(file, ())
        real = Path(os.path.realpath(file))
        shown = self.files.shown(real)
        for chain in chains:
            for layer in chain:
                if layer.path == shown and (trace := self._generated(layer, chain)):
                    return trace
        return self._standing(real, chains, most)

    def _generated(self, layer: Layer, chain: Chain) -> KustomizeTrace | None:
        """The generator of the same kind whose name, with what the chain adds, is the rendered one."""
        for _, name in _names_before(self.rendered.ref.name, chain):
            generator = generator_of(layer, self.rendered.ref.kind, (name,))
            if generator is not None:
                namespace = generator.entry.get("namespace")
                return KustomizeTrace(
                    origin=Origin(path=layer.path, document=1, item=None, span=layer.spans[generator.at]),
                    ref=replace(self.rendered.ref, name=name, namespace=str(namespace) if namespace else None),
                    generator=generator,
                    chain=chain,
                    fallback=self.fallback,
                    files=self.files,
                )
        return None

    def _standing(self, file: Path, chains: Sequence[Chain], most: _Unlike) -> KustomizeTrace | None:
        """The document of the same kind whose name, with what the chain adds, is the rendered one; else the only one of the kind."""
        ref = self.rendered.ref
        ranked = [
            (unlike, obj.ref.namespace != ref.namespace, number, obj, chain)
            for chain in chains
            for unlike, name in _names_before(ref.name, chain)
            if unlike <= most
            for number, obj in enumerate(self.files.named(file, ref, name))
        ]
        if ranked:
            *_, base, chain = min(ranked, key=lambda found: found[:3])
            return self._from(base, chain)
        alike = self.files.named(file, ref, None) if most is _Unlike.OTHER and chains else ()
        return self._from(alike[0], chains[0]) if len(alike) == 1 else None

    def _from(self, base: KubeObject, chain: Chain) -> KustomizeTrace:
        return KustomizeTrace(
            origin=base.origin, ref=base.ref, base=base, chain=chain, fallback=self.fallback, files=self.files
        )


def _names_before(rendered: str, chain: Chain) -> Iterator[tuple[_Unlike, str]]:
    """The names that an object may have had before a chain gave it this one, each with how unlike that is."""
    prefix, suffix = affixes(chain)
    for unlike, name in ((_Unlike.EQUAL, rendered), (_Unlike.HASHED, without_hash(rendered) or "")):
        if len(name) > len(prefix) + len(suffix) and name.startswith(prefix) and name.endswith(suffix):
            yield unlike, name[len(prefix) : len(name) - len(suffix)]
    yield _Unlike.BARE, rendered
