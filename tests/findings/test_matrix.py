"""The matrix: one row a control or group, one cell a tool, and nothing said that is not proven."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made import POD, finding, report, run, said

from kguard.coverage_model import By, CoverageRow
from kguard.findings.catalogue import Catalogue, Control, RuleEntry
from kguard.findings.matrix import checked, rows
from kguard.model import Finding, Look, Reference, RunState, Severity, ToolRun, UnreadObject


def control(name: str, severity: Severity = Severity.HIGH, **tools: tuple[str | RuleEntry, ...]) -> Control:
    return Control(id=name, title=name.title(), severity=severity, scope="pod", tools=tools, category="pods")


CATALOGUE = Catalogue(
    (
        control("fault", a=("A-1",), b=("B-1",), partly=(RuleEntry(rule="P-1~", note="bare pods only"),)),
        control("clean", a=("A-2",), b=("B-2",)),
        control("worse", Severity.CRITICAL, b=("B-3",)),
        control("nobodys", x=("X-1",)),
    )
)
A, B, PARTLY = run("a", "A-1", "A-2"), run("b", "B-1"), run("partly", "P-1")


def faults(*names: str, by: str = "a", **changes: Any) -> list[Finding]:
    """One of each object."""
    return [
        replace(finding(said(by, "A-1")), object=replace(POD, name=name), fingerprint=f"{n:016x}", **changes)
        for n, name in enumerate(names)
    ]


def matrix(found: list[Finding], *tools: ToolRun, by: By = By.CONTROL) -> dict[str, CoverageRow]:
    made, _ = rows(found, report(tools, *found), CATALOGUE, by)
    return {row.name: row for row in made}


def test_a_cell_counts_every_fault_of_its_row_once() -> None:
    found = faults("x", "y", "z")
    found[1] = replace(found[1], tools=("a", "b"), evidence=(said("a", "A-1"), said("b", "B-1")))
    row = matrix(found, A, B, PARTLY)["fault"]
    assert row.faults == 3
    assert row.cells["a"].counts == {Look.FOUND: 3}
    assert row.cells["b"].counts == {Look.FOUND: 1, Look.MISSED: 2}
    assert row.cells["partly"].counts == {Look.PARTIAL: 3}
    assert [cell.state for cell in row.cells.values()] == [Look.FOUND, Look.FOUND, Look.PARTIAL]


def test_the_example_is_the_first_that_was_missed_and_only_of_a_cell_that_missed_one() -> None:
    found = faults("x", "y")
    row = matrix(found, A, B, PARTLY)["fault"]
    assert row.cells["b"].example is found[0]
    assert row.cells["a"].example is None
    assert row.cells["partly"].example is None
    assert row.cells["partly"].why == "bare pods only"


def test_a_tool_that_did_not_read_an_object_missed_the_others_alone() -> None:
    found = faults("x", "y")
    unread = UnreadObject(path="web.yaml", document=1, object=found[0].object, reason="it kills the tool")
    row = matrix(found, A, replace(B, state=RunState.DEGRADED, unread=(unread,)))["fault"]
    assert row.cells["b"].counts == {Look.MISSED: 1, Look.DID_NOT_LOOK: 1}
    assert row.cells["b"].example is found[1]


@pytest.mark.parametrize(
    "blind",
    [
        run("b", state=RunState.MISSING, processes=0, rules=None),
        run("b", "B-1", state=RunState.SKIPPED, processes=0),
        run("b", "B-1", state=RunState.DEGRADED, canary=False),
    ],
)
def test_a_tool_that_did_not_look_missed_nothing(blind: ToolRun) -> None:
    row = matrix(faults("x", "y"), A, blind)["fault"]
    assert row.cells["b"].counts == {Look.DID_NOT_LOOK: 2}
    assert row.cells["b"].example is None


def test_controls_without_a_fault_stand_last_and_only_where_a_tool_checked_them() -> None:
    found = faults("x")
    made, _ = rows(found, report([A, B], *found), CATALOGUE, By.CONTROL)
    assert [(row.name, row.faults) for row in made] == [("fault", 1), ("clean", 0)]
    cells = made[1].cells
    assert {tool: cell.state for tool, cell in cells.items()} == {"a": Look.ON, "b": Look.OFF}
    assert all(cell.counts == {} for cell in cells.values())


def test_the_worst_row_is_first_and_of_equals_the_one_with_most_faults() -> None:
    found = [
        *faults("x", control="some"),
        *faults("x", "y", control="most"),
        *faults("x", control="bad", severity=Severity.CRITICAL),
    ]
    made, _ = rows(found, report([A], *found), CATALOGUE, By.CONTROL)
    assert [row.name for row in made if row.faults] == ["bad", "most", "some"]


def test_a_rule_without_a_control_is_a_row_of_its_own_in_which_nobody_missed_anything() -> None:
    row = matrix(faults("x", control="a:A-9"), A, B)["a:A-9"]
    assert {tool: cell.state for tool, cell in row.cells.items()} == {"a": Look.FOUND, "b": Look.NO_RULE}


def test_rows_by_category_and_namespace() -> None:
    found = [
        *faults("x", control="fault", category="pods"),
        *faults("y", control="worse", category="roles", severity=Severity.LOW),
    ]
    found.append(replace(found[0], object=replace(POD, namespace=None)))
    by_category = matrix(found, A, B, by=By.CATEGORY)
    assert {name: row.faults for name, row in by_category.items()} == {"pods": 2, "roles": 1}
    assert by_category["pods"].cells["b"].counts == {Look.MISSED: 2}
    assert by_category["pods"].cells["b"].rules == ()
    assert {name: row.faults for name, row in matrix(found, A, by=By.NAMESPACE).items()} == {"shop": 2, "(none)": 1}


def test_rows_by_framework_without_the_numbers_and_a_fault_may_stand_in_several() -> None:
    names = ("CIS 5.2.6", "CIS 5.2.1", "NSA 1.1", "CWE-269", "PSS restricted", "MITRE T1611", "CIS EKS 4.1.3")
    referred = replace(faults("x")[0], references=tuple(Reference(name=name, url=None) for name in names))
    made = matrix([referred, *faults("y")], A, by=By.FRAMEWORK)
    expected = {"CIS", "NSA", "CWE", "PSS restricted", "MITRE", "CIS EKS", "(none)"}
    assert {name: row.faults for name, row in made.items()} == dict.fromkeys(expected, 1)


def test_the_totals_count_each_fault_once_for_each_tool_whatever_the_rows_are() -> None:
    names = tuple(Reference(name=name, url=None) for name in ("CIS 1", "NSA 1"))
    found = faults("x", "y", references=names)
    for by in By:
        _, totals = rows(found, report([A, B], *found), CATALOGUE, by)
        assert totals == {"a": {Look.FOUND: 2}, "b": {Look.MISSED: 2}}


def test_the_controls_that_a_tool_had_a_check_on_for() -> None:
    assert checked([A, B, PARTLY], CATALOGUE) == {"a": {"fault", "clean"}, "b": {"fault"}, "partly": {"fault"}}
