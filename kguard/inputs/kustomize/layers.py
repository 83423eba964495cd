"""The layers that an object passes through: kustomizations, components and transformers, as they are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kguard.inputs.kustomize.kustomization import Kustomization
from kguard.inputs.nodes import Unreadable
from kguard.inputs.objects import lookup
from kguard.inputs.reading import Parsed, as_list, as_mapping, parse, read_text
from kguard.model import FieldPath, Location, Precision, Span

Chain = tuple["Layer", ...]
"""The layers that an object passes through, innermost first."""
Shown = Callable[[Path], str]
"""How reports show a path that is absolute, links resolved."""


def location(path: str, span: Span | None = None, precision: Precision = Precision.FILE) -> Location:
    """Lines of a file; without any, the file."""
    if span is None:
        return Location(path=path, line=None, end_line=None, precision=Precision.FILE)
    return Location(path=path, line=span.line, end_line=span.end_line, precision=precision)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One kustomization, component or transformer, as it is written."""

    path: str
    """Its file, as reports show it."""
    folder: Path
    """Absolute, links resolved."""
    value: Mapping[str, Any]
    spans: Mapping[FieldPath, Span]
    text: str

    def entry(self, *path: str | int, precision: Precision = Precision.FILE) -> Location:
        """The place of one of its own fields."""
        return location(self.path, self.spans.get(path), precision)

    def items(self, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The mappings of one of its lists, with their positions."""
        for number, item in enumerate(as_list(self.value.get(name))):
            if isinstance(item, dict):
                yield number, item

    def file(self, path: str) -> Path:
        """A file that it names: absolute, links resolved."""
        return Path(os.path.realpath(self.folder / path))

    def inline(self, text: str, at: FieldPath) -> tuple[Parsed, ...]:
        """The documents of a text that stands in it; without spans where its lines are not those of the file (a folded or escaped
        scalar). Raises Unreadable."""
        lines = self._lines_above(text, at)
        if lines is None:
            return tuple(replace(document, spans={}) for document in parse(text))
        return tuple(parse(text, lines))

    def _lines_above(self, text: str, at: FieldPath) -> int | None:
        """Lines of the file above a text; None where its lines are not the file's own."""
        span = self.spans.get(at)
        if span is None:
            return None
        if span.line == span.end_line:
            return span.line - 1 if "\n" not in text.strip("\n") else None
        own = text.rstrip("\n").split("\n")
        there = self.text.split("\n")[span.line : span.line + len(own)]
        same = [line.strip() for line in own] == [line.strip() for line in there]
        return span.line if same else None


def layers_of(kustomization: Kustomization, shown: Shown) -> Chain:
    """A kustomization, and behind it each of its transformers that has a configuration of its own."""
    layer = Layer(
        path=shown(kustomization.path),
        folder=kustomization.folder,
        value=kustomization.value,
        spans=kustomization.spans,
        text=kustomization.text,
    )
    return (layer, *_transformers(layer, shown))


# -- transformers ---------------------------------------------------------------------------------------------------------

# What a transformer with a configuration of its own does, as the fields of a kustomization that do the same: by its kind, where that
# stands in the configuration, and where it would in a kustomization.
_ALIKE: Mapping[str, tuple[FieldPath, FieldPath]] = {
    "AnnotationsTransformer": (("annotations",), ("commonAnnotations",)),
    "ImageTagTransformer": (("imageTag",), ("images", 0)),
    "LabelTransformer": (("labels",), ("commonLabels",)),
    "NamespaceTransformer": (("metadata", "namespace"), ("namespace",)),
    "PatchTransformer": ((), ("patches", 0)),
    "PrefixTransformer": (("prefix",), ("namePrefix",)),
    "ReplicaCountTransformer": (("replica",), ("replicas", 0)),
    "SuffixTransformer": (("suffix",), ("nameSuffix",)),
}


def _transformers(layer: Layer, shown: Shown) -> Iterator[Layer]:
    for number, entry in enumerate(as_list(layer.value.get("transformers"))):
        if not isinstance(entry, str):
            continue
        try:
            if "\n" in entry:
                path, text = layer.path, entry
                found = layer.inline(entry, ("transformers", number))
            else:
                file = layer.file(entry)
                path, text = shown(file), read_text(file)
                found = tuple(parse(text))
        except Unreadable:
            continue  # a folder of transformers, whose effects are not foreseen
        for document in found:
            yield _transformer(replace(layer, path=path, text=text), document)


def _transformer(layer: Layer, document: Parsed) -> Layer:
    """A layer with the one field that does what the transformer does."""
    config = as_mapping(document.value)
    alike = _ALIKE.get(str(config.get("kind")))
    if alike is None:
        return replace(layer, value={"transformers": True}, spans={})
    own, field = alike
    value = lookup(config, own)
    spans = {(*field, *at[len(own) :]): span for at, span in document.spans.items() if at[: len(own)] == own}
    return replace(layer, value={str(field[0]): value if len(field) == 1 else [value]}, spans=spans)
