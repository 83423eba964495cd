"""The catalogue is borne out by the real tools: each of its rules fires on the bad case of its control, and not on the good one."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import evidence
import native
import pytest
from evidence import ABSENT, BAD, GOOD, SILENT, TOOLS, Heard

from kguard.findings.catalogue import RuleMapping, load_catalogue
from kguard.findings.merge import merge
from kguard.inputs.objects import index
from kguard.model import Finding
from kguard.running.account import account

CASES = evidence.cases()
CHECKED_BY_SEVERAL = sorted(
    name for name, one in load_catalogue().controls.items() if len(one.tools.keys() & set(TOOLS)) > 1
)
STALE = "stale: `make evidence` writes it again"


@cache
def found(stage: str) -> dict[tuple[str, str], list[Finding]]:
    """What kguard makes of a stage, by case and control."""
    findings: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    case_of = {obj.ref: evidence.case_of(obj) for obj in native.staged(stage).objects}
    for finding in merge(evidence.said(stage, TOOLS), native.staged(stage).objects, load_catalogue(), index):
        findings[case_of[finding.object], finding.control].append(finding)
    return findings


# -- the records ----------------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_the_records_are_what_the_tools_say() -> None:
    assert evidence.heard() == evidence.recorded_heard(), STALE
    assert evidence.ran() == evidence.recorded_ran(), STALE


def test_the_page_is_what_the_records_say() -> None:
    assert evidence.page(evidence.recorded_heard(), evidence.recorded_ran()) == evidence.PAGE.read_text(), STALE


# -- the mappings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", CHECKED_BY_SEVERAL)
def test_a_control_that_several_tools_check_is_shown_or_says_why_not(control: str) -> None:
    shown, why_not = control in CASES, load_catalogue().controls[control].not_shown
    assert shown != bool(why_not), "give it fixtures/controls/<control>/bad.yaml and good.yaml, or `not-shown` a reason"


def test_every_case_is_one_of_a_control_that_several_tools_check() -> None:
    assert set(CASES) <= set(CHECKED_BY_SEVERAL)
    assert {path.name for path in evidence.CONTROLS.iterdir() if path.is_dir()} == set(CASES)


def test_the_cases_bear_the_catalogue_out() -> None:
    assert [*evidence.objections()] == []


@pytest.mark.parametrize(
    ("rule", "bad", "good", "word"),
    [
        ("exact", "Pod a", SILENT, None),
        ("exact", SILENT, SILENT, "is silent on the bad case"),
        ("exact", "Pod a", "Pod a", "fires on the good case"),
        ("exact", ABSENT, ABSENT, "does not have it"),
        ("exact since", ABSENT, ABSENT, None),
        ("exact since", SILENT, SILENT, "is silent on the bad case"),
        ("partial", SILENT, SILENT, "no `note`"),
        ("partial note", SILENT, SILENT, None),
        ("secondary", "Pod a", "Pod a", "no `note`"),
        ("secondary note", "Pod a", "Pod a", None),
    ],
)
def test_what_speaks_against_a_mapping(rule: str, bad: str, good: str, word: str | None) -> None:
    mapping = RuleMapping(
        control="c",
        tool="trivy",
        rule="R",
        partial="partial" in rule,
        secondary="secondary" in rule,
        note="n" if "note" in rule else "",
        since="2" if "since" in rule else "",
    )
    why = evidence.objection(mapping, Heard(control="c", tool="trivy", rule="R", bad=bad, good=good))
    assert why is None if word is None else why is not None and word in why


# -- what kguard makes of the cases ---------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize("control", CASES)
def test_a_bad_case_is_one_finding_with_all_that_the_tools_say(control: str) -> None:
    fired = {(item.tool, item.rule) for item in evidence.heard() if item.control == control and item.catches}
    apart = {(item.tool, item.rule) for item in evidence.rules_of(control) if item.summary}
    (finding,) = found(BAD)[control, control]
    assert {(item.tool, item.rule) for item in finding.evidence} == fired - apart
    wider = [name for name, one in load_catalogue().controls.items() if control in one.subsumes]
    assert finding.gated or any((control, name) in found(BAD) for name in wider)


@pytest.mark.real
@pytest.mark.parametrize("control", CASES)
def test_a_good_case_has_not_the_finding(control: str) -> None:
    assert (control, control) not in found(GOOD)


# -- the cases ------------------------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("stage", native.EVIDENCE)
def test_every_tool_reads_every_case(tool: str, stage: str) -> None:
    """A rule is also silent about what its tool could not read."""
    own, part = native.adapter(tool), native.staged(stage).part
    held = account(part, evidence.parsed(tool, stage), own.rules(native.SETTINGS, native.RECORDED.get(tool)))
    assert (held.unread, held.unknown) == ((), ())


@pytest.mark.parametrize("stage", native.EVIDENCE)
def test_cases_stand_apart(stage: str) -> None:
    """Tools join objects over all that they read: kubescape a binding with each role of its name, polaris a Deployment with each
    autoscaler of its name. So everything bears the name of its control; but for what is not to be called tiller."""
    for obj in native.staged(stage).objects:
        case = evidence.case_of(obj)
        assert obj.ref.name in (case, "cluster-admin") or (case, obj.ref.name) == ("tiller-deployed", "deployed")
        assert obj.ref.namespace in (case, None) or (case, obj.ref.namespace) == ("default-namespace", "default")


def test_no_case_changes_what_the_tools_say_of_others() -> None:
    """A LimitRange or ResourceQuota switches checks of trivy's on for all; kubescape's C-0034 (rule library 2.0.1) believes a pod
    alone only where the whole input has no ServiceAccount."""
    kinds = {stage: {obj.ref.kind for obj in native.staged(stage).objects} for stage in native.EVIDENCE}
    assert not kinds[BAD] & {"LimitRange", "ResourceQuota", "ServiceAccount"}
    assert not kinds[GOOD] & {"LimitRange", "ResourceQuota"}


def test_a_good_case_is_the_bad_one_cured() -> None:
    def names(stage: str) -> dict[str, set[tuple[str, str]]]:
        found: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for obj in native.staged(stage).objects:
            found[evidence.case_of(obj)].add((obj.ref.kind, obj.ref.name))
        return found

    bad, good = names(BAD), names(GOOD)
    assert [case for case in CASES if not bad[case] <= good[case]] == []
