"""Words that users type: every way a rule is written, prefixes of fingerprints, and near misses."""

from __future__ import annotations

import re

import pytest
from made import finding, report, run, said

from kguard.errors import UsageError
from kguard.findings.catalogue import Control, load_catalogue
from kguard.findings.names import RuleName, named
from kguard.model import Report


def name(word: str, report: Report | None = None) -> object:
    return named(word, report, load_catalogue())


@pytest.mark.parametrize(
    "word",
    ["trivy:KSV-0017", "trivy:KSV017", "trivy:AVD-KSV-0017", "TRIVY:ksv-0017", "Trivy/KSV-0017", "KSV017", "ksv17"],
)
def test_every_way_to_write_a_rule(word: str) -> None:
    assert name(word) == RuleName("trivy", "KSV-0017")


@pytest.mark.parametrize(
    ("word", "rule"),
    [
        ("trivy:KSV-01010", "trivy:KSV-01010"),
        ("trivy:KSV01010", "trivy:KSV-01010"),
        ("trivy:KSV0110", "trivy:KSV-0110"),
        ("kubescape:c-0057", "kubescape:C-0057"),
        ("Polaris:runasprivileged", "polaris:runAsPrivileged"),
        ("runAsPrivileged", "polaris:runAsPrivileged"),
        ("kube-linter:privileged-container", "kube-linter:privileged-container"),
    ],
)
def test_no_rule_is_taken_for_another(word: str, rule: str) -> None:
    assert str(name(word)) == rule


def test_every_rule_and_every_control_is_itself() -> None:
    assert all(str(name(rule)) == rule for rule in load_catalogue().all_rules)
    assert all(name(control) is load_catalogue().controls[control] for control in load_catalogue().controls)


def test_a_control_comes_before_a_rule_of_that_name() -> None:
    assert isinstance(name("privileged-container"), Control)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("privilaged-container", "privileged-container"),
        ("trivy:KSV-9917", "trivy:KSV-0117"),
        ("trivi:KSV-0017", "trivy:KSV-0017"),
        ("polaris:runAsPriviliged", "polaris:runAsPrivileged"),
    ],
)
def test_near_misses_are_answered_with_the_nearest(word: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean .*{re.escape(near)}"):
        name(word)


def test_a_word_like_nothing_is_told_what_names_look_like() -> None:
    with pytest.raises(UsageError, match="a rule like trivy:KSV-0017, a fingerprint has 6 digits or more"):
        name("zzz\x1b[31m")
    with pytest.raises(UsageError, match="a fingerprint has 6 digits"):
        name("12345")


def test_rules_that_only_a_run_knows() -> None:
    made = report([run("trivy", "NEW-1")], finding(said("polaris", "saidSomething")))
    assert name("trivy:new1", made) == RuleName("trivy", "NEW-1")
    assert name("saidsomething", made) == RuleName("polaris", "saidSomething")
    with pytest.raises(UsageError):
        name("trivy:new1")


def test_a_rule_of_several_tools_needs_its_tool() -> None:
    made = report([], finding(said("polaris", "R-3"), said("trivy", "R-3")))
    assert name("polaris:R3", made) == RuleName("polaris", "R-3")
    with pytest.raises(UsageError, match="'R-3' may be polaris:R-3 or trivy:R-3"):
        name("R-3", made)


def test_the_first_digits_of_a_fingerprint_will_do() -> None:
    first, second = finding(fingerprint="abcdef0123456789"), finding(fingerprint="abcdef9999999999")
    made = report([], first, second)
    assert name("ABCDEF01", made) is first
    with pytest.raises(UsageError, match="abcdef fits 2 fingerprints: abcdef0123456789, abcdef9999999999"):
        name("abcdef", made)
    with pytest.raises(UsageError, match="starts with abcdee01; the nearest is abcdef0123456789"):
        name("abcdee01", made)
    with pytest.raises(UsageError, match="starts with 111111; kguard explain CONTROL --run"):
        name("111111", made)
    with pytest.raises(UsageError, match="name the run that it is of with --run"):
        name("abcdef01")


def test_what_stands_behind_the_dash_tells_two_objects_apart() -> None:
    own, twin, bare = (finding(fingerprint="a" * 16 + tail) for tail in ("-00000001", "-00000002", ""))
    assert name(twin.fingerprint, report([], own, twin)) is twin
    with pytest.raises(UsageError, match="fits 2"):
        name("a" * 16, report([], own, twin))
    assert name("a" * 16, report([], own, bare)) is bare  # the whole of one, though the other begins with it


def test_of_findings_that_share_a_fingerprint_the_first_is_meant() -> None:
    first, second = finding(bundle="dev"), finding(bundle="prod")
    assert name("ffffff", report([], first, second)) is first
