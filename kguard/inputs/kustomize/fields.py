"""What a kustomization's own fields do to objects (labels, images, replicas, names), and which entry did it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kguard.inputs.kustomize.generators import GENERATORS, Generator, generator_of
from kguard.inputs.kustomize.layers import Chain, Layer, location
from kguard.inputs.reading import as_mapping
from kguard.model import FieldPath, Location

_LABELLED: Mapping[str, frozenset[str]] = {
    "labels": frozenset(("labels", "matchLabels", "selector")),
    "annotations": frozenset(("annotations",)),
}
"""The fields that labels, or annotations, are brought to."""
_UNFORESEEN = ("replacements", "vars", "transformers", "configurations")
"""Fields whose effects are not foreseen here."""
_CHANGING = (
    *("namespace", "namePrefix", "nameSuffix", "commonLabels", "labels", "commonAnnotations", "images", "replicas"),
    *("patches", "patchesStrategicMerge", "patchesJson6902", "configMapGenerator", "secretGenerator"),
)

_HASH = re.compile(r"-[0-9a-z]{10}")
_IMAGE = re.compile(r"(?P<name>[^@]*?)(?::(?P<tag>[^:/@]*))?(?:@(?P<digest>.*))?", re.DOTALL)


# -- what they make -------------------------------------------------------------------------------------------------------


def affixes(chain: Chain) -> tuple[str, str]:
    """The prefix and the suffix that a chain puts around a name."""
    prefix, suffix = "", ""
    for layer in chain:
        prefix = f"{layer.value.get('namePrefix') or ''}{prefix}"
        suffix = f"{suffix}{layer.value.get('nameSuffix') or ''}"
    return prefix, suffix


def full_name(name: str, chain: Chain) -> str:
    """A name with what a chain puts around it."""
    prefix, suffix = affixes(chain)
    return f"{prefix}{name}{suffix}"


def without_hash(name: str) -> str | None:
    """A name without the hash of a generator; None where it has none."""
    return name[:-11] if _HASH.fullmatch(name[-11:]) else None


def brought(layer: Layer, kind: str) -> Iterator[tuple[Location, str, Any]]:
    """The `labels`, or `annotations`, that a layer gives to all its objects: the place, the key and the value of each."""
    common = "commonLabels" if kind == "labels" else "commonAnnotations"
    for key, value in as_mapping(layer.value.get(common)).items():
        yield layer.entry(common, key), key, value
    for number, item in layer.items("labels") if kind == "labels" else ():
        for key, value in as_mapping(item.get("pairs")).items():
            yield layer.entry("labels", number, "pairs", key), key, value


def _renamed_image(image: str, layer: Layer) -> tuple[Location, str] | None:
    """The entry of `images` that is for an image, and what it makes of it."""
    parts = _IMAGE.fullmatch(image)
    if parts is None:
        return None
    for number, item in layer.items("images"):
        if item.get("name") == parts["name"]:
            return layer.entry("images", number), _new_image(parts, item)
    return None


def _new_image(parts: re.Match[str], item: Mapping[str, Any]) -> str:
    tag, digest = parts["tag"], parts["digest"]
    if item.get("newTag") or item.get("digest"):
        tag, digest = item.get("newTag"), item.get("digest")
    elif item.get("tagSuffix"):
        tag, digest = f"{tag or ''}{item['tagSuffix']}", None
    name = item.get("newName") or parts["name"]
    return f"{name}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"


# -- which entry did it ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFields:
    """The fields of all layers around one object."""

    chain: Chain
    names: Collection[str]
    """What the object is called on its way."""
    fallback: Location
    """Where nothing better is known."""

    def that_changed(self, path: FieldPath, value: Any, before: Any) -> Location:
        """What changed a field that no patch explains: the entry where it is certain, else just the kustomization."""
        return self._certain(path, value, before) or self._likely()

    def that_cures(self, path: FieldPath, before: Any) -> Location | None:
        """The entry of `images` or `replicas` that is for a field, whatever it makes of it."""
        if path[-1:] == ("image",):
            return self._image(before)[0]
        return next((place for place, _ in self._replicas()), None) if path == ("spec", "replicas") else None

    def _certain(self, path: FieldPath, value: Any, before: Any) -> Location | None:
        last = path[-1] if path else ""
        if last == "image" and isinstance(value, str):
            place, made = self._image(before)
            return place if made == value else None
        if path == ("spec", "replicas"):
            return next((place for place, count in self._replicas() if count == str(value)), None)
        if isinstance(value, dict) and value:
            return self._labels(str(last), value)
        for kind, sections in _LABELLED.items():
            if len(path) > 1 and path[-2] in sections:
                return self._label(kind, str(last), value)
        if not isinstance(value, str):
            return None
        return self._namespace(value) if last == "namespace" else self._name(value, before)

    def _image(self, image: Any) -> tuple[Location | None, Any]:
        """The last entry that renames an image, and what all entries together make of it."""
        place: Location | None = None
        for layer in self.chain:
            found = _renamed_image(image, layer) if isinstance(image, str) else None
            if found is not None:
                place, image = found
        return place, image

    def _replicas(self) -> Iterator[tuple[Location, str]]:
        """The entries that give the object its replicas, outermost first, with how many."""
        for layer in reversed(self.chain):
            for number, item in layer.items("replicas"):
                if item.get("name") in self.names:
                    yield layer.entry("replicas", number), str(item.get("count"))

    def _labels(self, name: str, value: Mapping[str, Any]) -> Location | None:
        """A mapping of labels that no file has: the kustomization of its first label."""
        for kind, sections in _LABELLED.items():
            if name in sections:
                key, label = next(iter(value.items()))
                found = self._label(kind, key, label)
                return replace(found, line=None, end_line=None) if found else None
        return None

    def _label(self, kind: str, key: str, value: Any) -> Location | None:
        for layer in reversed(self.chain):
            for place, name, given in brought(layer, kind):
                if name == key and str(given) == str(value):
                    return place
        return None

    def _namespace(self, value: str) -> Location:
        for layer in reversed(self.chain):
            given = layer.value.get("namespace")
            if given and str(given) == value:
                return layer.entry("namespace")
        return self.fallback  # one that no kustomization gives was given to kguard

    def _name(self, value: str, before: Any) -> Location | None:
        """A name, or a reference to one, that got a prefix, a suffix or a generator's hash."""
        if not isinstance(before, str) or not before:
            return None
        # what is referred to may have been made further out, where fewer prefixes follow
        names = {full_name(before, self.chain[start:]) for start in range(len(self.chain))}
        if value in names:
            return self._last_affix()
        if any(_HASH.fullmatch(value.removeprefix(name)) for name in names):
            maker = self._maker(before)
            return maker.place if maker is not None else None
        return None

    def _last_affix(self) -> Location | None:
        for layer in reversed(self.chain):
            for field in ("namePrefix", "nameSuffix"):
                if layer.value.get(field):
                    return layer.entry(field)
        return None

    def _maker(self, name: str) -> Generator | None:
        """The outermost generator that makes, or adds to, what has this name, or what layers on the way made of it."""
        maker: Generator | None = None
        names = [name]
        for layer in self.chain:
            for kind in GENERATORS:
                maker = generator_of(layer, kind, names) or maker
            name = full_name(name, (layer,))
            names.append(name)
        return maker

    def _likely(self) -> Location:
        """The outermost kustomization whose fields can change anything at all, those first whose effect is not foreseen here."""
        for fields in (_UNFORESEEN, _CHANGING):
            for layer in reversed(self.chain):
                if any(layer.value.get(name) for name in fields):
                    return location(layer.path)
        return self.fallback
