"""Inline ignores: what the tools' own annotations in manifests silence, so that a silent tool is not taken for a clean object."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from kguard.findings.locate import location_of
from kguard.findings.mask import masked
from kguard.findings.surroundings import mapping
from kguard.model import FieldPath, InlineIgnore, KubeObject, ObjectIndex

Index = Callable[[KubeObject], ObjectIndex]


def inline_ignores(
    objects: Iterable[KubeObject], patterns: Mapping[str, Sequence[str]], index: Index
) -> tuple[InlineIgnore, ...]:
    """Every annotation of an object that a tool takes as an order to be silent. `patterns`: by tool, regular expressions that match the
    whole of `key=value`, or of `pod key=value` for an annotation of an object's pods; a group `rule` names the rules that are
    silenced, with commas between them; none means all."""
    compiled = [(tool, re.compile(pattern, re.DOTALL)) for tool, own in patterns.items() for pattern in own]
    found = {item: None for obj in objects if b"annotations" in obj.text for item in _of(obj, compiled, index)}
    return tuple(sorted(found, key=lambda item: (item.path, item.line or 0, item.bundle, item.tool, item.rule or "")))


def _of(obj: KubeObject, patterns: Sequence[tuple[str, re.Pattern[str]]], index: Index) -> Iterator[InlineIgnore]:
    for text, path, value in _annotations(obj, index):
        for tool, pattern in patterns:
            match = pattern.fullmatch(text)
            if match is None:
                continue
            place = location_of(obj, path, None, index)
            order = InlineIgnore(
                path=place.path,
                line=place.line,
                bundle=obj.bundle,
                object=obj.ref,
                tool=tool,
                rule=None,
                annotation=str(path[-1]),
                value=masked(value, obj, index)[:200],
            )
            yield from (replace(order, rule=rule) for rule in _rules(match))


def _rules(match: re.Match[str]) -> tuple[str | None, ...]:
    """The rules that are silenced; None for all."""
    named = match.groupdict().get("rule")
    return (None,) if named is None else tuple(rule for word in named.split(",") if (rule := word.strip()))


def _annotations(obj: KubeObject, index: Index) -> Iterator[tuple[str, FieldPath, str]]:
    """What patterns are matched with, the path and the value of each annotation: of the object, then of its pods."""
    own: FieldPath = ("metadata", "annotations")
    places = [("", own)]
    pod = index(obj).pod
    if pod is not None and pod[-2:] == ("template", "spec"):
        places.append(("pod ", (*pod[:-1], *own)))
    for prefix, path in places:
        for key, value in mapping(index(obj).value, *map(str, path)).items():
            yield f"{prefix}{key}={value}", (*path, key), str(value)
