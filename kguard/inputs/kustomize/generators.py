"""The generators of a kustomization: which entry makes a ConfigMap or a Secret, and where each of its fields stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from kguard.inputs.kustomize.layers import Layer, Shown, location
from kguard.inputs.kustomize.placed import ANY, Placed
from kguard.inputs.nodes import Unreadable
from kguard.inputs.objects import lookup
from kguard.inputs.reading import as_list, as_mapping, read_text
from kguard.model import FieldPath, Location, Precision, Span

GENERATORS = {"ConfigMap": "configMapGenerator", "Secret": "secretGenerator"}
"""The field for each kind."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generator:
    """One entry of `configMapGenerator` or `secretGenerator`."""

    layer: Layer
    at: FieldPath
    entry: Mapping[str, Any]

    @property
    def place(self) -> Location:
        return self.layer.entry(*self.at)

    def tree(self, shown: Shown) -> Placed:
        """The object that it makes, as far as its entry tells: the fields' places, not the contents of files."""
        place = self.place
        data = dict(self._data(shown))
        metadata = {"name": Placed(self.entry.get("name"), place), **self._options()}
        fields = {
            **{name: Placed(ANY, place) for name in ("apiVersion", "kind", "type")},
            **{name: Placed(dict(data), place) for name in ("data", "binaryData")},
            "metadata": Placed(metadata, place),
        }
        return Placed(fields, replace(place, precision=Precision.OBJECT))

    def _data(self, shown: Shown) -> Iterator[tuple[str, Placed]]:
        for text in _texts(self.entry.get("files")):
            key, _, path = text.rpartition("=")
            yield key or path.rpartition("/")[2], Placed(ANY, location(shown(self.layer.file(path))))
        for text in (*_texts(self.entry.get("envs")), *_texts([self.entry.get("env")])):
            yield from _variables(self.layer.file(text), shown)
        for number, text in enumerate(_texts(self.entry.get("literals"))):
            place = self.layer.entry(*self.at, "literals", number, precision=Precision.EXACT)
            yield text.partition("=")[0], Placed(ANY, place)

    def _options(self) -> Mapping[str, Placed]:
        """The labels and annotations that its options give, and those of all generators."""
        found: dict[str, dict[str, Placed]] = {}
        for path in (("generatorOptions",), (*self.at, "options")):
            for kind in ("labels", "annotations"):
                for key, value in as_mapping(lookup(self.layer.value, (*path, kind))).items():
                    place = self.layer.entry(*path, kind, key, precision=Precision.EXACT)
                    found.setdefault(kind, {})[key] = Placed(value, place)
        return {kind: Placed(values, self.place) for kind, values in found.items()}


def generator_of(layer: Layer, kind: str, names: Iterable[str]) -> Generator | None:
    """The generator of a kustomization that makes, or adds to, an object of one of these names: of the first that there is one for."""
    generators = _generators(layer)
    return next((generators[kind, name] for name in names if (kind, name) in generators), None)


@lru_cache(maxsize=256)
def _generators(layer: Layer) -> Mapping[tuple[str, str], Generator]:
    return {
        (kind, str(entry.get("name"))): Generator(layer=layer, at=(field, number), entry=entry)
        for kind, field in GENERATORS.items()
        for number, entry in layer.items(field)
    }


def _variables(path: Path, shown: Shown) -> Iterator[tuple[str, Placed]]:
    """The keys of an environment file, with their lines."""
    try:
        lines = read_text(path).split("\n")
    except Unreadable:
        return
    for number, line in enumerate(lines, start=1):
        key = line.strip().partition("=")[0]
        if key and not key.startswith("#"):
            yield key, Placed(ANY, location(shown(path), Span(number, number), Precision.EXACT))


def _texts(value: Any) -> Iterator[str]:
    yield from (text for text in as_list(value) if isinstance(text, str))
