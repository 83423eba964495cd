"""checkov and kube-score over the cases of the catalogue: their rules are mapped as they behave, and join the other tools' findings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import evidence
import native
import pytest

from kguard.findings.catalogue import RuleMapping, load_catalogue
from kguard.findings.locate import locate
from kguard.findings.merge import merge
from kguard.inputs.objects import index
from kguard.model import Finding, Located

TOOLS = ("checkov", "kube-score")
MAPPINGS = [
    mapping
    for control in evidence.cases()
    for mapping in load_catalogue().rules_of(control)
    if mapping.tool in TOOLS and not (mapping.partial or mapping.secondary)
]


@cache
def located(stage: str) -> Sequence[Located]:
    here = native.staged(stage)
    said = (item for tool in TOOLS for item in evidence.parsed(tool, stage).evidence)
    return tuple(locate(here.part, said, here.by_path, index))


def speaks(mapping: RuleMapping, stage: str) -> list[Located]:
    """What the rule says of the case of its control."""
    return [
        item
        for item in located(stage)
        if (item.evidence.tool, item.evidence.rule) == (mapping.tool, mapping.rule)
        and evidence.case_of(item.object) == mapping.control
    ]


@cache
def findings() -> Sequence[Finding]:
    everybody = (*evidence.said(evidence.BAD), *located(evidence.BAD))
    return merge(everybody, native.staged(evidence.BAD).objects, load_catalogue(), index)


@pytest.mark.real
@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda mapping: f"{mapping.control}-{mapping.rule}")
def test_a_rule_that_is_called_exact_fires_on_the_bad_case_and_not_on_the_good_one(mapping: RuleMapping) -> None:
    assert speaks(mapping, evidence.BAD)
    assert not speaks(mapping, evidence.GOOD)


@pytest.mark.real
@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda mapping: f"{mapping.control}-{mapping.rule}")
def test_it_joins_what_the_others_say_of_the_fault(mapping: RuleMapping) -> None:
    case = {item.object.ref for item in speaks(mapping, evidence.BAD)}
    found = [one for one in findings() if one.control == mapping.control and one.object in case]
    others = {tool for one in found for tool in one.tools} - set(TOOLS)
    together = [one for one in found if mapping.tool in one.tools and (not others or set(one.tools) & others)]
    assert together
    assert not [one for one in findings() if one.control == f"{mapping.tool}:{mapping.rule}" and one.object in case]


@pytest.mark.real
def test_no_evidence_is_lost() -> None:
    said = {(item.evidence.tool, item.evidence.rule) for item in located(evidence.BAD)}
    kept = {(item.tool, item.rule) for finding in findings() for item in finding.evidence}
    assert said <= kept
