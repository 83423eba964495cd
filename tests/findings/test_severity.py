"""Severity: the tools' words, and the rules by which one is chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kguard.findings.severity import chosen, severity_of
from kguard.model import Severity
from kguard.settings import SeverityRule

CATALOGUE, MAX, MEDIAN = SeverityRule.CATALOGUE, SeverityRule.MAX, SeverityRule.MEDIAN


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("HIGH", Severity.HIGH),
        ("danger", Severity.HIGH),
        ("warning", Severity.MEDIUM),
        ("grade 1 (critical)", Severity.HIGH),
        (None, Severity.UNKNOWN),
        ("odd", Severity.UNKNOWN),
    ],
)
def test_the_words_of_the_tools(word: str | None, severity: Severity) -> None:
    assert severity_of(word) is severity


@pytest.mark.parametrize(
    ("rule", "catalogue", "words", "severity"),
    [
        (CATALOGUE, Severity.LOW, ["CRITICAL"], Severity.LOW),
        (MAX, Severity.LOW, ["MEDIUM", None, "High"], Severity.HIGH),
        (MEDIAN, Severity.LOW, ["low", "MEDIUM", "CRITICAL"], Severity.MEDIUM),
        (MEDIAN, Severity.LOW, ["low", "CRITICAL"], Severity.CRITICAL),
        (MAX, Severity.LOW, [None, "odd"], Severity.LOW),
        (CATALOGUE, None, ["low", None], Severity.LOW),
        (CATALOGUE, None, [None], Severity.UNKNOWN),
    ],
)
def test_a_severity_by_its_rule(
    rule: SeverityRule, catalogue: Severity | None, words: list[str | None], severity: Severity
) -> None:
    assert chosen(rule, catalogue, words) is severity


@given(st.permutations(["low", "MEDIUM", "CRITICAL", None, "danger"]), st.sampled_from(SeverityRule))
def test_the_order_of_the_words_does_not_matter(words: list[str | None], rule: SeverityRule) -> None:
    assert chosen(rule, Severity.INFO, words) is chosen(rule, Severity.INFO, sorted(words, key=str))
