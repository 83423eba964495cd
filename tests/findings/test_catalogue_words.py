"""The words of the catalogue: every control says why, what can go wrong and what to do, with an example that is YAML."""

from __future__ import annotations

import re

import pytest
import yaml

from kguard.findings.catalogue import Control, load_catalogue

CONTROLS = tuple(load_catalogue().controls.values())
SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z`\"(]|\s*$)")
REFERENCES = re.compile(
    r"PSS (?:baseline|restricted)|CIS (?:(?:AKS|EKS|GKE) )?(?:1\.\d+:)?\d+(?:\.\d+)+(?:-\d+(?:\.\d+)+)?|NSA \d+\.\d+(?:-\d+\.\d+)?|NSA|CWE-\d+|MITRE T\d{4}(?:\.\d{3})?|CVE-\d{4}-\d+"
)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_a_control_says_why_what_and_how(control: Control) -> None:
    assert control.because
    assert not control.because.endswith(".")
    assert 1 <= len(SENTENCE_END.findall(control.harm)) <= 2, control.harm
    assert 1 <= len(SENTENCE_END.findall(control.remediation)) <= 3, control.remediation
    for text in (control.because, control.harm, control.remediation, control.not_shown):
        assert text == " ".join(text.split()), "one paragraph"


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_an_example_is_yaml(control: Control) -> None:
    assert control.example.strip()
    list(yaml.safe_load_all(control.example))
    assert max(map(len, control.example.splitlines())) <= 110
    assert len(control.example.splitlines()) <= 20


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_a_partial_rule_says_where_it_differs(control: Control) -> None:
    silent = [rule.rule for rule in load_catalogue().rules_of(control.id) if rule.partial and not rule.note]
    assert silent == []


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_references_are_written_in_one_way(control: Control) -> None:
    assert [name for name in control.references if not REFERENCES.fullmatch(name)] == []
    assert len(set(control.references)) == len(control.references)
