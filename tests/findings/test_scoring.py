"""Precision and recall against labels, as docs/coverage.md defines them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made import POD, finding, report, run, said

from kguard.coverage_model import LabelScores, Score
from kguard.findings.catalogue import Catalogue, Control, RuleEntry
from kguard.findings.labels import Label, Labels
from kguard.findings.scoring import score
from kguard.model import (
    FileState,
    Finding,
    InputFile,
    Inputs,
    Location,
    Look,
    ObjectCounts,
    ObjectRef,
    Place,
    Precision,
    Report,
    RunState,
    Severity,
    ToolRun,
    UnreadObject,
)


def control(name: str, **tools: tuple[str | RuleEntry, ...]) -> Control:
    return Control(id=name, title=name, severity=Severity.HIGH, scope="pod", tools=tools)


CATALOGUE = Catalogue(
    (
        control("fault", a=("A-1",), b=("B-1~",), other=("O-1",)),
        control("second", a=("+A-1", "A-2")),
    )
)
A, B, C = run("a", "A-1", "A-2"), run("b", "B-1"), run("c", "C-1")
FILES = tuple(InputFile(path=f"{name}.yaml", state=FileState.SCANNED, objects=1) for name in ("web", "api"))
INPUTS = Inputs(sources=(), bundles=(), files=FILES, problems=())


def label(
    name: str = "fault", *, fault: bool = True, path: str = "web.yaml", object: str = "", container: str = ""
) -> Label:
    return Label(path=path, object=object, container=container, name=name, fault=fault)


def at(path: str, *tools: str, **changes: Any) -> Finding:
    place = Location(path=path, line=1, end_line=1, precision=Precision.EXACT)
    return replace(finding(*(said(tool, "R-1") for tool in tools)), location=place, **changes)


def scored(found: Report, *labels: Label, complete: bool = False) -> LabelScores:
    return score(
        Labels(file="l", complete=complete, labels=labels),
        found,
        CATALOGUE,
        lambda path: path if path in {file.path for file in found.inputs.files} else None,
    )


def made(*findings: Finding, tools: tuple[ToolRun, ...] = (A, B, C)) -> Report:
    return report(tools, *findings, inputs=INPUTS)


def by_tool(scores: LabelScores) -> dict[str | None, Score]:
    return {item.tool: item for item in scores.scores}


def test_what_is_found_at_a_labelled_fault_is_right_and_at_a_place_without_one_wrong() -> None:
    found = by_tool(
        scored(
            made(at("web.yaml", "a", "b"), at("api.yaml", "b")),
            label(),
            label(path="api.yaml", fault=False),
        )
    )
    assert (found["a"].found, found["a"].wrong, found["a"].rightly_silent) == (1, 0, 1)
    assert (found["b"].found, found["b"].wrong, found["b"].precision) == (1, 1, 0.5)
    assert (found[None].found, found[None].wrong) == (1, 1)
    assert (found["c"].precision, found["c"].recall, found["c"].recall_of_checks) == (None, 0.0, None)


def test_recall_counts_what_a_tool_has_no_check_for_and_recall_of_checks_does_not() -> None:
    found = by_tool(scored(made(at("web.yaml", "a")), label(), label(path="api.yaml"), label("second")))
    assert found["a"].faults == {Look.FOUND: 1, Look.MISSED: 2}
    assert found["b"].faults == {Look.PARTIAL: 2, Look.NO_RULE: 1}
    assert (found["a"].recall, found["a"].recall_of_checks) == (1 / 3, 1 / 3)
    assert (found["b"].recall, found["b"].recall_of_checks) == (0, 0)
    assert found[None].faults == {Look.FOUND: 1, Look.MISSED: 2}


def test_all_together_find_what_one_of_them_finds() -> None:
    found = by_tool(scored(made(at("web.yaml", "a"), at("api.yaml", "b")), label(), label(path="api.yaml")))
    assert [found[name].recall for name in ("a", "b", None)] == [0.5, 0.5, 1.0]


@pytest.mark.parametrize(
    ("object", "container", "right"),
    [
        ("", "", 1),
        ("Pod shop/web", "", 1),
        ("Pod web", "nginx", 1),
        ("Pod shop/api", "", 0),
        ("", "sidecar", 0),
    ],
)
def test_object_and_container_count_where_a_label_names_them(object: str, container: str, right: int) -> None:
    scores = by_tool(scored(made(at("web.yaml", "a", container="nginx")), label(object=object, container=container)))
    assert scores["a"].found == right


def test_a_fault_of_a_whole_object_is_one_of_each_container() -> None:
    assert by_tool(scored(made(at("web.yaml", "a")), label(container="any")))["a"].found == 1


def test_a_fault_in_several_bundles_is_one_in_each_of_its_files() -> None:
    place = Place(bundle="prod", object=POD, location=replace(at("api.yaml", "a").location))
    found = by_tool(scored(made(at("web.yaml", "a", places=(place,))), label(path="api.yaml")))
    assert found["a"].found == 1


def test_a_rule_that_fires_may_mean_any_of_its_controls_and_one_that_must_not_its_main_one() -> None:
    second = at("web.yaml", "a", control="second")
    assert by_tool(scored(made(second), label("a:A-1")))["a"].found == 1
    assert by_tool(scored(made(second), label("a:A-1", fault=False)))["a"].wrong == 0
    assert by_tool(scored(made(at("web.yaml", "b")), label("a:A-1", fault=False)))["b"].wrong == 1


def test_the_rules_of_a_tool_that_was_not_run_say_as_much() -> None:
    assert by_tool(scored(made(at("web.yaml", "a")), label("other:O-1")))["a"].found == 1


def test_what_is_not_labelled_is_wrong_only_where_the_labels_are_complete() -> None:
    outside, elsewhere = at("api.yaml", "c", gated=False), at("api.yaml", "c", control="c:C-9")
    run_ = made(at("web.yaml", "a"), at("api.yaml", "a", "b"), outside, elsewhere)
    assert by_tool(scored(run_, label()))["b"].wrong == 0
    complete = by_tool(scored(run_, label(), complete=True))
    assert {name: item.wrong for name, item in complete.items()} == {None: 1, "a": 1, "b": 1, "c": 0}
    # what is labelled as no fault is wrong once
    twice = by_tool(scored(run_, label(), label(path="api.yaml", fault=False), complete=True))
    assert twice["b"].wrong == 1


def test_labels_that_cannot_count_are_told() -> None:
    found = scored(made(), label(), label("no-such-control"), label("checkov:CKV_1"), label(path="gone.yaml"))
    assert (found.faults, found.passes, found.absent) == (1, 0, 1)
    assert found.unknown == {"no-such-control": 1, "checkov:CKV_1": 1}


def look(tool: ToolRun, *findings: Finding, **changes: Any) -> Look:
    """What is made of a tool that said nothing of a labelled fault."""
    (counts,) = (item.faults for item in scored(made(*findings, tools=(tool,)), label(**changes)).scores if item.tool)
    (only,) = counts
    return only


def test_a_tool_that_did_not_read_the_object_did_not_miss_it() -> None:
    unread = UnreadObject(path="web.yaml", document=1, object=POD, reason="tabs")
    degraded = replace(A, state=RunState.DEGRADED, unread=(unread,))
    assert look(degraded) is Look.DID_NOT_LOOK
    assert look(degraded, object="Pod shop/web") is Look.DID_NOT_LOOK
    assert look(degraded, object="Pod shop/api") is Look.MISSED
    assert look(degraded, path="api.yaml") is Look.MISSED
    assert look(replace(A, canary=False)) is Look.DID_NOT_LOOK


def test_nobody_looked_into_a_file_that_could_not_be_read() -> None:
    files = (InputFile(path="web.yaml", state=FileState.UNREADABLE),)
    found = score(
        Labels(file="l", complete=False, labels=(label(),)),
        report([A], inputs=replace(INPUTS, files=files)),
        CATALOGUE,
        str,
    )
    assert by_tool(found)["a"].faults == {Look.DID_NOT_LOOK: 1}


def test_where_kinds_are_out_of_scope_a_miss_needs_an_object_that_is_known() -> None:
    some = replace(A, objects=ObjectCounts(staged=9, read=8, out_of_scope=1), out_of_scope=("v1/Pod",))
    assert look(some) is Look.NOT_KNOWN
    of_pod = at("web.yaml", "c", control="c:C-1")
    service = ObjectRef(group="", version="v1", kind="Service", namespace=None, name="s")
    assert look(some, of_pod) is Look.OUT_OF_SCOPE
    assert look(some, replace(of_pod, object=service)) is Look.MISSED
    assert look(some, of_pod, replace(of_pod, object=service)) is Look.NOT_KNOWN
