"""What a tool's silence means: nothing is claimed that the report does not prove."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made import AT, POD, finding, report, run, said

from kguard.findings.catalogue import Catalogue, Control, RuleEntry
from kguard.findings.looked import Cell, Look, Witnesses, check
from kguard.model import (
    ActiveRules,
    Finding,
    Fix,
    InlineIgnore,
    ObjectCounts,
    Place,
    RunState,
    Severity,
    Statement,
    ToolRun,
    UnreadObject,
)


def control(name: str, **tools: tuple[str | RuleEntry, ...]) -> Control:
    return Control(id=name, title=name, severity=Severity.HIGH, scope="pod", tools=tools)


CATALOGUE = Catalogue(
    (
        control(
            "fault",
            alone=("A-1",),
            partly=(RuleEntry(rule="P-1~", note="bare pods only", since="2.0"), "+P-2~"),
            newer=(RuleEntry(rule="N-1", since="rules 2"),),
            noted=(RuleEntry(rule="O-1", note="old API versions only"),),
            repeats=(RuleEntry(rule="R-1", summary=True),),
        ),
        control("another", partly=("P-2",)),
    )
)


def cell(tool: ToolRun, *others: Finding, ignores: tuple[InlineIgnore, ...] = ()) -> Cell:
    """What the tool has to do with a finding that it does not support."""
    found = finding(said("x", "X-1"))
    (only,) = Witnesses(report([tool], found, *others, ignores=ignores), CATALOGUE).of(found)
    return only


def test_found_is_what_it_said_whatever_the_run_tells_of_itself() -> None:
    found = finding(said("alone", "A-1"), said("alone", "A-7"), said("alone", "A-1"))
    broken = run("alone", state=RunState.FAILED, rules=None, canary=False)
    (only,) = Witnesses(report([broken], found), CATALOGUE).of(found)
    assert only == Cell(tool="alone", state=Look.FOUND, rules=("A-1", "A-7"))


def test_missed_only_where_the_check_was_on_and_the_object_was_read() -> None:
    assert cell(run("alone", "A-1")) == Cell(tool="alone", state=Look.MISSED, rules=("A-1",))


def test_a_rule_that_covers_a_part_is_told_as_such_with_its_note() -> None:
    here = cell(run("partly", "P-1"))
    assert (here.state, here.rules, here.why) == (Look.PARTIAL, ("P-1",), "bare pods only; since 2.0")
    # a rule whose main control is another covers only a part, too
    both = cell(run("partly", "P-1", "P-2"))
    assert (both.state, both.rules, both.why) == (Look.PARTIAL, ("P-1", "P-2"), "P-1 (bare pods only; since 2.0)")


def in_container(field: str, name: str, *evidence: Statement) -> Finding:
    return replace(
        finding(*(evidence or (said("x", "X-1"),))), container=name, fix=Fix(path=f"spec.{field}[0].image", value=None)
    )


def test_a_rule_that_passes_over_init_containers_did_not_look_at_one() -> None:
    rules = {"kubescape": ("C-1",), "polaris": ("cpuLimitsMissing",), "kube-linter": ("no-liveness-probe", "other")}
    catalogue = Catalogue((control("fault", **rules),))
    faults = (in_container("initContainers", "setup"), in_container("containers", "app"))
    witnesses = Witnesses(report([run(tool, *ids) for tool, ids in rules.items()], *faults), catalogue)
    skipped = [(cell.state, cell.why) for cell in witnesses.of(faults[0])]
    passes_over = (Look.DID_NOT_LOOK, "it passes over init containers")
    assert skipped == [passes_over, passes_over, (Look.MISSED, "")]
    assert {cell.state for cell in witnesses.of(faults[1])} == {Look.MISSED}


def test_the_silence_of_a_tool_that_names_one_container_about_another_is_no_miss() -> None:
    catalogue = Catalogue((control("fault", checkov=("CK-1",), trivy=("T-1",)),))
    named = in_container("containers", "app", said("checkov", "CK-1"), said("trivy", "T-1"))
    silent, elsewhere = in_container("containers", "second"), replace(POD, name="another")
    faults = (named, silent, replace(silent, object=elsewhere), replace(silent, container=None))
    witnesses = Witnesses(report([run("checkov", "CK-1"), run("trivy", "T-1")], *faults), catalogue)
    states = [[cell.state for cell in witnesses.of(fault)] for fault in faults]
    assert states == [
        [Look.FOUND, Look.FOUND],
        [Look.NOT_KNOWN, Look.MISSED],
        [Look.MISSED, Look.MISSED],
        [Look.MISSED, Look.MISSED],
    ]


def test_the_version_from_which_a_rule_is_so_is_said() -> None:
    assert cell(run("newer", "N-1")).why == "since rules 2"
    off = cell(run("newer"))
    assert (off.state, off.why) == (Look.OFF, "not among the 0 rules that were on (built in); since rules 2")


def test_no_rule_and_off_are_different() -> None:
    assert cell(run("other", "A-1")).state is Look.NO_RULE
    assert cell(run("repeats", "R-1")).state is Look.NO_RULE  # a summary never speaks of the control
    assert cell(run("alone", "A-2")).state is Look.OFF


@pytest.mark.parametrize("state", [RunState.MISSING, RunState.SKIPPED, RunState.DEGRADED])
def test_a_tool_that_never_ran_did_not_look(state: RunState) -> None:
    here = cell(run("alone", state=state, processes=0, rules=None, reason="because of the weather"))
    assert (here.state, here.rules, here.why) == (Look.DID_NOT_LOOK, ("A-1",), "because of the weather")


def test_an_object_that_it_did_not_read_is_no_proof_of_anything() -> None:
    unread = UnreadObject(path="web.yaml", document=1, object=POD, reason="it kills the tool")
    here = cell(run("alone", "A-1", state=RunState.DEGRADED, unread=(unread,)))
    assert (here.state, here.why) == (Look.DID_NOT_LOOK, "it kills the tool")


def test_an_unread_object_of_the_same_name_elsewhere_leaves_open_which_was_meant() -> None:
    unread = UnreadObject(path="other.yaml", document=1, object=POD, reason="tabs")
    here = cell(run("alone", "A-1", unread=(unread,)))
    assert here.state is Look.NOT_KNOWN
    assert "other.yaml" in here.why


def test_the_other_objects_of_a_degraded_run_were_read() -> None:
    other = replace(POD, name="other")
    unread = UnreadObject(path="web.yaml", document=2, object=other, reason="tabs")
    assert cell(run("alone", "A-1", state=RunState.DEGRADED, unread=(unread,))).state is Look.MISSED


def test_kinds_that_no_rule_looks_at_are_out_of_scope() -> None:
    some = ObjectCounts(staged=9, read=7, out_of_scope=2)
    here = cell(run("alone", "A-1", objects=some, out_of_scope=("v1/Pod", "v1/Service")))
    assert (here.state, here.why) == (Look.OUT_OF_SCOPE, "no rule that was on looks at every v1/Pod")
    assert cell(run("alone", "A-1", objects=some, out_of_scope=("v1/Service",))).state is Look.MISSED


def test_a_report_that_does_not_tell_which_kinds_are_out_of_scope_proves_nothing() -> None:
    here = cell(run("alone", "A-1", objects=ObjectCounts(staged=9, read=7, out_of_scope=2)))
    assert (here.state, here.why.partition(" objects")[0]) == (Look.NOT_KNOWN, "2 of 9")


def test_a_tool_that_does_not_tell_what_it_reads_is_believed_only_where_it_spoke_of_the_object() -> None:
    silent = run("alone", "A-1", objects=ObjectCounts(staged=9))
    assert cell(silent).state is Look.NOT_KNOWN
    spoke = finding(said("alone", "A-3"), control="alone:A-3")
    assert cell(silent, spoke).state is Look.MISSED
    twin = replace(spoke, fingerprint=f"{'f' * 16}-{'0' * 8}")  # another object of the same name
    assert cell(silent, twin).state is Look.NOT_KNOWN
    of_another = finding(said("alone", "A-3", object=replace(POD, name="other")), control="alone:A-3")
    assert cell(silent, of_another).state is Look.NOT_KNOWN
    in_two = replace(spoke, places=(Place(bundle="prod", object=POD, location=AT),))  # which of the two is not known
    assert cell(silent, in_two).state is Look.NOT_KNOWN


@pytest.mark.parametrize(("rule", "state"), [(None, Look.SILENCED), ("A-1", Look.SILENCED), ("A-2", Look.MISSED)])
def test_an_annotation_that_silences_the_rule_is_said(rule: str | None, state: Look) -> None:
    told = InlineIgnore(
        path="web.yaml",
        line=4,
        bundle="deploy",
        object=POD,
        tool="alone",
        rule=rule,
        annotation="alone/quiet",
        value="",
    )
    assert cell(run("alone", "A-1"), ignores=(told,)).state is state
    assert cell(run("alone", "A-1"), ignores=(replace(told, bundle="prod"),)).state is Look.MISSED


def test_silencing_one_of_two_rules_is_not_enough() -> None:
    told = InlineIgnore(
        path="", line=None, bundle="deploy", object=POD, tool="partly", rule="P-1", annotation="quiet", value=""
    )
    assert cell(run("partly", "P-1", "P-2"), ignores=(told,)).state is Look.PARTIAL
    assert cell(run("partly", "P-1"), ignores=(told,)).state is Look.SILENCED


def test_a_tool_that_is_silent_about_the_canary_did_not_look() -> None:
    degraded = run("alone", "A-1", state=RunState.DEGRADED, canary=False, reason="checks are off")
    assert (cell(degraded).state, cell(degraded).why) == (Look.DID_NOT_LOOK, "checks are off")


def test_a_tool_that_read_none_of_the_objects_did_not_look_whether_or_not_its_rules_are_known() -> None:
    nothing = ObjectCounts(staged=9, read=0, out_of_scope=2, unread=7)
    here = cell(run("alone", rules=None, state=RunState.FAILED, objects=nothing, reason="it died"))
    assert (here.state, here.rules, here.why) == (Look.DID_NOT_LOOK, ("A-1",), "it died")


def test_a_miss_comes_with_what_the_catalogue_knows_of_the_rule() -> None:
    here = cell(run("noted", "O-1"))
    assert (here.state, here.why) == (Look.MISSED, "old API versions only")


def test_rules_that_the_run_does_not_tell_are_not_known() -> None:
    untold = ActiveRules(active=None, digest=None, source="embedded")
    assert cell(run("alone", rules=untold)).state is Look.NOT_KNOWN
    assert cell(run("alone", rules=None)).state is Look.NOT_KNOWN


def test_a_tools_own_rule_is_nobody_elses() -> None:
    assert check(run("partly", "P-1"), "alone:A-9", CATALOGUE).state is Look.NO_RULE
    assert check(run("partly", "P-1"), "of-another-catalogue", CATALOGUE).state is Look.NOT_KNOWN


def test_a_control_without_an_object_is_on_partial_or_off() -> None:
    states = [
        check(tool, "fault", CATALOGUE).state for tool in (run("alone", "A-1"), run("partly", "P-1"), run("alone"))
    ]
    assert states == [Look.ON, Look.PARTIAL, Look.OFF]
