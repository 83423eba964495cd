"""The canary: a known-bad object in the input of every process, so that a tool which does not look is told from one that finds nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files

from kguard.model import KubeObject, ObjectRef, Origin, Parsed, RuleSet, Span, StagePart
from kguard.running.facts import tool_facts

_FOLDER = "kguard-canary"
"""Beside the bundle's tree, and its namespace: no tool judges it together with the user's objects."""
_NAME = b"name: kguard-canary\n"


def canary(bundle: str, beside: Iterable[KubeObject]) -> KubeObject:
    """The canary of a part of a bundle. Its name comes from the names and bytes of what it stands beside, so that what a tool printed
    of other manifests, however they are called, says nothing of it. The same object for the same neighbours."""
    total = hashlib.sha256()
    for obj in beside:
        total.update(f"{obj.staged}\n{len(obj.text)}\n".encode() + obj.text)
    return _named(bundle, f"kguard-canary-{total.hexdigest()[:16]}")


@lru_cache(maxsize=4096)
def _named(bundle: str, name: str) -> KubeObject:
    text = (files("kguard") / "data" / "canary.yaml").read_bytes().replace(_NAME, f"name: {name}\n".encode(), 1)
    staged = f"{_FOLDER}/{name}--1.yaml"
    return KubeObject(
        bundle=bundle,
        staged=staged,
        ref=ObjectRef(group="apps", version="v1", kind="Deployment", namespace=_FOLDER, name=name),
        origin=Origin(path=staged, document=1, item=None, span=Span(1, text.count(b"\n"))),
        text=text,
        text_line=1,
    )


def is_canary(staged: str) -> bool:
    """Whether a staged file is a canary: the user's objects stand in other folders."""
    return staged.startswith(f"{_FOLDER}/")


def expected(tool: str, rules: RuleSet) -> frozenset[str]:
    """The rules that must fire on it: those of tools.yaml that its rule files have on. What its output says of them is no proof."""
    facts = tool_facts().get(tool)
    wanted = frozenset(facts.canary) if facts else frozenset()
    return wanted if rules.ids is None else wanted & rules.ids


def silent(part: StagePart, parsed: Parsed, wanted: Iterable[str]) -> tuple[str, ...]:
    """The rules that should have fired on it and did not."""
    fired = {item.rule for item in parsed.evidence if (file := part.find(item.object)) and is_canary(file.path)}
    return tuple(sorted(set(wanted) - fired))
