"""The canary: a known-bad object in the input of every process, so that a tool which does not look is told from one that finds nothing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files

from kguard.model import KubeObject, ObjectRef, Origin, Parsed, RuleSet, Span, StagePart
from kguard.running.facts import tool_facts

STAGED = "kguard-canary/canary--1.yaml"
"""Beside the bundle's tree: no tool judges it together with the user's objects."""
_NAME = "kguard-canary"


@lru_cache(maxsize=256)
def canary(bundle: str) -> KubeObject:
    """The canary as an object of a bundle."""
    text = (files("kguard") / "data" / "canary.yaml").read_bytes()
    return KubeObject(
        bundle=bundle,
        staged=STAGED,
        ref=ObjectRef(group="apps", version="v1", kind="Deployment", namespace=_NAME, name=_NAME),
        origin=Origin(path=STAGED, document=1, item=None, span=Span(1, text.count(b"\n"))),
        text=text,
        text_line=1,
    )


def expected(tool: str, rules: RuleSet) -> frozenset[str]:
    """The rules that must fire on it: those of tools.yaml that its rule files have on. What its output says of them is no proof."""
    facts = tool_facts().get(tool)
    wanted = frozenset(facts.canary) if facts else frozenset()
    return wanted if rules.ids is None else wanted & rules.ids


def silent(part: StagePart, parsed: Parsed, wanted: Iterable[str]) -> tuple[str, ...]:
    """The rules that should have fired on it and did not."""
    fired = {item.rule for item in parsed.evidence if (file := part.find(item.object)) and file.path == STAGED}
    return tuple(sorted(set(wanted) - fired))
