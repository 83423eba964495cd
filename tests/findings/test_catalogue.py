"""The catalogue: every rule of the tools has one main control or a reason for none, and its data is well-formed."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from kguard.findings.catalogue import (
    Catalogue,
    CatalogueError,
    Control,
    load_catalogue,
    load_unmapped,
    references,
)
from kguard.findings.predicates import PREDICATES
from kguard.model import Severity
from kguard.settings import Profile, Settings

RULES = {"kube-linter": 63, "trivy": 169, "kubescape": 281, "polaris": 44, "checkov": 119, "kube-score": 39}
"""How many rules each tool has: kube-linter 0.8.3, trivy-checks 2.2, regolibrary 2.0.33, polaris 10.2.2, checkov 3.3.30, kube-score
1.20.0."""


@pytest.mark.parametrize("tool", RULES)
def test_every_rule_is_there(tool: str) -> None:
    without = load_unmapped().get(tool, {})
    assert len(load_catalogue().rules(tool)) + len(without) == RULES[tool]
    assert not load_catalogue().rules(tool) & set(without)
    assert all(without.values())


@pytest.mark.parametrize("tool", ["checkov", "kube_score"])
def test_every_rule_of_the_adapter_is_known(tool: str) -> None:
    adapter = import_module(f"kguard.adapters.{tool}")
    known = load_catalogue().rules(adapter.name) | set(load_unmapped()[adapter.name])
    assert known == adapter.rules(Settings(profile=Profile.ALL), None).ids


def test_ids_of_rules_have_their_tools_form() -> None:
    forms = {
        "kube-linter": r"[a-z0-9-]+",
        "trivy": r"K[SC]V-\d{4,5}",
        "kubescape": r"C-\d{4}",
        "polaris": r"[a-z][A-Za-z]+",
        "checkov": r"CKV2?_K8S_\d+",
        "kube-score": r"[a-z-]+",
    }
    for tool, form in forms.items():
        assert [rule for rule in load_catalogue().rules(tool) if not re.fullmatch(form, rule)] == []


def test_controls_are_kebab_case_and_sorted_into_categories() -> None:
    controls = load_catalogue().controls.values()
    assert len(controls) == 322
    assert [control.id for control in controls if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", control.id)] == []
    assert all(control.title and control.category for control in controls)
    assert Severity.UNKNOWN not in {control.severity for control in controls}


def test_every_predicate_of_the_data_exists_and_every_predicate_is_used() -> None:
    used = {place.when for control in load_catalogue().controls.values() for place in control.places if place.when}
    assert used <= set(PREDICATES)
    assert set(PREDICATES) - used <= {"has-common-label"}


def test_mappings_come_with_the_main_control_first() -> None:
    found = load_catalogue().mappings("kube-linter", "privilege-escalation-container")
    assert [item.control for item in found] == [
        "allow-privilege-escalation",
        "privileged-container",
        "sys-admin-capability",
    ]
    assert [item.secondary for item in found] == [False, True, True]
    assert load_catalogue().mappings("trivy", "KSV-9999") == ()


def test_references_have_links_where_there_are_stable_ones() -> None:
    found = {item.name: item.url for item in references(load_catalogue().controls["privileged-container"])}
    assert found["CWE-269"] == "https://cwe.mitre.org/data/definitions/269.html"
    assert found["PSS baseline"] == "https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline"
    assert found["CIS 5.2.2"] is None


def control(name: str, *rules: str, subsumes: tuple[str, ...] = ()) -> Control:
    return Control(id=name, title=name, severity=Severity.LOW, scope="pod", tools={"trivy": rules}, subsumes=subsumes)


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        ((control("a", "R"), control("b", "R")), "trivy:R has 2 main controls, not one: a, b"),
        ((control("a", "+R"),), "trivy:R has 0 main controls"),
        ((control("a", "R", subsumes=("z",)),), "a subsumes unknown controls: z"),
    ],
)
def test_mistakes_are_named(controls: tuple[Control, ...], words: str) -> None:
    with pytest.raises(CatalogueError, match=words):
        Catalogue(controls)
