"""The patches of a kustomization, and which objects each is for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kguard.inputs.kustomize.kustomization import is_inline
from kguard.inputs.kustomize.layers import Layer, Shown, location
from kguard.inputs.nodes import Unreadable
from kguard.inputs.objects import lookup
from kguard.inputs.reading import Parsed, as_list, parse, read_text
from kguard.model import FieldPath, Location, Precision, Span


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """One strategic-merge document, or one list of JSON 6902 operations."""

    path: str
    """The file that it stands in, as reports show it; the kustomization for an inline patch."""
    value: Any
    spans: Mapping[FieldPath, Span]
    """Empty where its lines are not those of the file (an inline patch in a folded or escaped scalar)."""
    entry: Location
    """Where the kustomization names it."""
    target: Mapping[str, Any] | None
    late: bool
    """Whether it comes after names are prefixed, as `patchesJson6902` do."""

    def place(self, path: FieldPath) -> Location:
        span = self.spans.get(path)
        return self.entry if span is None else location(self.path, span, Precision.EXACT)


def patches_of(layer: Layer, shown: Shown) -> Iterator[Patch]:
    """The patches of a layer in the order in which kustomize applies them."""
    for number, text in enumerate(as_list(layer.value.get("patchesStrategicMerge"))):
        if isinstance(text, str):
            at = ("patchesStrategicMerge", number)
            yield from _patches(layer, {"patch" if is_inline(text) else "path": text}, at, at, shown)
    for name in ("patches", "patchesJson6902"):
        for number, item in layer.items(name):
            yield from _patches(layer, item, (name, number), (name, number, "patch"), shown)


def _patches(layer: Layer, item: Mapping[str, Any], at: FieldPath, inline: FieldPath, shown: Shown) -> Iterator[Patch]:
    """The patches of one entry; `inline` is where their text stands if it is no file."""
    target = item.get("target")
    path, documents = _documents(layer, item, inline, shown)
    for document in documents:
        yield Patch(
            path=path,
            value=document.value,
            spans=document.spans,
            entry=layer.entry(*at),
            target=target if isinstance(target, dict) else None,
            late=at[0] == "patchesJson6902",
        )


def _documents(
    layer: Layer, item: Mapping[str, Any], inline: FieldPath, shown: Shown
) -> tuple[str, tuple[Parsed, ...]]:
    """The file that the patches of an entry stand in, and what they say."""
    path, text = item.get("path"), item.get("patch")
    try:
        if isinstance(path, str):
            file = layer.file(path)
            return shown(file), tuple(parse(read_text(file)))
        if isinstance(text, str):
            return layer.path, layer.inline(text, inline)
    except Unreadable:
        pass  # kustomize has read it; nothing is known of it here
    return layer.path, ()


# -- which objects a patch is for -----------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Identity:
    """What an object may be called at some step of its way."""

    group: str
    version: str
    kind: str
    names: set[str]
    namespaces: set[str]
    labels: Mapping[str, Any]
    annotations: Mapping[str, Any]

    def meant_by(self, patch: Patch) -> bool:
        if patch.target is not None:
            return self._selected(patch.target)
        if not isinstance(patch.value, dict):
            return False
        group, _, version = str(patch.value.get("apiVersion", "")).rpartition("/")
        name, namespace = lookup(patch.value, ("metadata", "name")), lookup(patch.value, ("metadata", "namespace"))
        return (
            (group, version, patch.value.get("kind")) == (self.group, self.version, self.kind)
            and str(name) in self.names
            and str(namespace or "default") in self.namespaces
        )

    def _selected(self, target: Mapping[str, Any]) -> bool:
        return (
            _matches(target.get("group"), {self.group})
            and _matches(target.get("version"), {self.version})
            and _matches(target.get("kind"), {self.kind})
            and _matches(target.get("name"), self.names)
            and _matches(target.get("namespace"), self.namespaces)
            and labelled(target.get("labelSelector"), self.labels)
            and labelled(target.get("annotationSelector"), self.annotations)
        )


_LONGEST_NAME = 253
_QUANTIFIERS = re.compile(r"(?<!\\)[*+?{]")
_REPEATED_GROUP = re.compile(r"\)[*+?{]")


def _matches(pattern: Any, names: set[str]) -> bool:
    """Whether a selector's regular expression, which must match a whole name, matches one. What could take long to try is not."""
    if pattern in (None, ""):
        return True
    text = str(pattern)
    if text in names:
        return True
    if len(text) > _LONGEST_NAME or len(_QUANTIFIERS.findall(text)) > 3 or _REPEATED_GROUP.search(text):
        return False
    try:
        compiled = re.compile(text)
    except re.error:
        return False
    return any(len(name) <= _LONGEST_NAME and compiled.fullmatch(name) for name in names)


_LONGEST_SELECTOR = 4096
_REQUIREMENT = re.compile(
    r"""
    \s* (?P<not>!)?
    \s* (?P<key>[^\s!=(),]+)
    \s* (?: (?P<op>==?|!=|\bin\b|\bnotin\b) \s* (?: \((?P<set>[^()]*)\) | (?P<value>[^\s,()]*) ) )?
    \s* (?:,|$)
    """,
    re.VERBOSE,
)


def labelled(selector: Any, labels: Mapping[str, Any]) -> bool:
    """Whether labels satisfy a selector such as `app=web,tier in (a, b),!legacy`; one that cannot be read is not satisfied."""
    text = str(selector or "")
    if len(text) > _LONGEST_SELECTOR:
        return False
    at = 0
    while at < len(text):
        match = _REQUIREMENT.match(text, at)
        if match is None or not _satisfied(match, labels):
            return False
        at = match.end()
    return True


def _satisfied(requirement: re.Match[str], labels: Mapping[str, Any]) -> bool:
    key, op = requirement["key"], requirement["op"]
    if op is None:
        return (key in labels) != bool(requirement["not"])
    values = [requirement["value"]]
    if requirement["set"] is not None:
        values = [value.strip() for value in requirement["set"].split(",")]
    among = key in labels and str(labels[key]) in values
    return among if op in ("=", "==", "in") else not among
