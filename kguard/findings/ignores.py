"""Inline ignores: what the tools' own annotations in manifests silence, so that a silent tool is not taken for a clean object."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from kguard.findings.locate import location_of
from kguard.findings.mask import masked
from kguard.findings.surroundings import mapping
from kguard.model import InlineIgnore, KubeObject, ObjectIndex

Index = Callable[[KubeObject], ObjectIndex]


def inline_ignores(
    objects: Iterable[KubeObject], patterns: Mapping[str, Sequence[str]], index: Index
) -> tuple[InlineIgnore, ...]:
    """Every annotation of an object that a tool takes as an order to be silent. `patterns`: by tool, regular expressions over
    `key=value` that begin with a domain and match the whole; a group `rule` names the rule that is silenced, none means all."""
    compiled = [(tool, re.compile(pattern, re.DOTALL)) for tool, own in patterns.items() for pattern in own]
    found = {item: None for obj in objects if b"annotations" in obj.text for item in _of(obj, compiled, index)}
    return tuple(sorted(found, key=lambda item: (item.path, item.line or 0, item.bundle, item.tool, item.rule or "")))


def _domain(pattern: str) -> bytes:
    """`polaris.fairwinds.com` of `polaris\\.fairwinds\\.com/exempt=.*`."""
    return pattern.partition("/")[0].replace("\\", "").encode()


def _of(obj: KubeObject, patterns: Sequence[tuple[str, re.Pattern[str]]], index: Index) -> Iterator[InlineIgnore]:
    for key, value in mapping(index(obj).value, "metadata", "annotations").items():
        for tool, pattern in patterns:
            match = pattern.fullmatch(f"{key}={value}")
            if match is None:
                continue
            place = location_of(obj, ("metadata", "annotations", key), None, index)
            yield InlineIgnore(
                path=place.path,
                line=place.line,
                bundle=obj.bundle,
                object=obj.ref,
                tool=tool,
                rule=match.groupdict().get("rule"),
                annotation=key,
                value=masked(str(value), obj, index)[:200],
            )
