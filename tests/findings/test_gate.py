"""The gate fails closed, and says why."""

from __future__ import annotations

import pytest

from kguard.findings.gate import at_bar, judge
from kguard.model import (
    Bundle,
    BundleKind,
    BundleState,
    Finding,
    InputProblem,
    Inventory,
    Location,
    ObjectCounts,
    ObjectRef,
    Precision,
    RunState,
    Severity,
    ToolRun,
)
from kguard.settings import Settings

EMPTY = Inventory(sources=(), bundles=(), files=(), problems=())
OK = ToolRun(name="trivy", state=RunState.OK)


def finding(severity: Severity, *, gated: bool = True) -> Finding:
    return Finding(
        fingerprint="f",
        control="c",
        title="t",
        severity=severity,
        category="x",
        gated=gated,
        bundle="b",
        object=ObjectRef(group="", version="v1", kind="Pod", namespace=None, name="p"),
        container=None,
        discriminator=None,
        location=Location(path="p", line=1, end_line=1, precision=Precision.EXACT),
        places=(),
        tools=("trivy",),
        evidence=(),
        related=(),
        remediation="",
        fix=None,
        references=(),
        excerpt=None,
    )


def test_pass() -> None:
    gate = judge([finding(Severity.MEDIUM)], [OK], EMPTY, Settings())
    assert (gate.exit_code, gate.reason, gate.failing) == (0, "No finding at or above high (fail_on: high).", 0)


def test_findings_and_gaps_are_both_said() -> None:
    tools = [OK, ToolRun(name="polaris", state=RunState.DEGRADED, objects=ObjectCounts(staged=9, read=8, unread=1))]
    gate = judge([finding(Severity.HIGH)] * 2, tools, EMPTY, Settings())
    assert (gate.exit_code, gate.failing, gate.incomplete) == (1, 2, ("polaris",))
    assert gate.reason == "2 findings at or above high (fail_on: high). Also incomplete: polaris did not read 1 object."


@pytest.mark.parametrize("state", [state for state in RunState if not state.complete])
def test_every_incomplete_state_fails_unless_it_was_allowed_by_name(state: RunState) -> None:
    tools = [OK, ToolRun(name="kubescape", state=state)]
    gate = judge([], tools, EMPTY, Settings())
    assert (gate.exit_code, gate.incomplete) == (4, ("kubescape",))
    allowed = judge([], tools, EMPTY, Settings(allow_incomplete={"kubescape": ""}))
    assert (allowed.exit_code, allowed.incomplete) == (0, ("kubescape",))
    assert "as allowed: kubescape" in allowed.reason


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (ToolRun(name="polaris", state=RunState.MISSING), "polaris is not installed"),
        (
            ToolRun(name="polaris", state=RunState.FAILED, objects=ObjectCounts(staged=9, read=0, unread=9)),
            "polaris failed",
        ),
        (
            ToolRun(
                name="polaris", state=RunState.DEGRADED, objects=ObjectCounts(staged=9, read=7, unread=2), processes=1
            ),
            "polaris did not read 2 objects",
        ),
        (
            ToolRun(name="polaris", state=RunState.DEGRADED, processes=1),
            "polaris speaks of objects that it was not given",
        ),
        (ToolRun(name="polaris", state=RunState.DEGRADED), "polaris had no usable rules"),
    ],
)
def test_the_sentence_says_what_is_missing(run: ToolRun, words: str) -> None:
    gate = judge([], [OK, run], EMPTY, Settings())
    assert gate.reason == f"No finding at or above high (fail_on: high). Incomplete: {words}."


def test_what_is_missing_and_what_is_allowed_to_be_are_both_said() -> None:
    tools = [ToolRun(name="kubescape", state=RunState.TIMED_OUT), ToolRun(name="polaris", state=RunState.MISSING)]
    gate = judge([], tools, EMPTY, Settings(fail_on=None, allow_incomplete={"kubescape": ""}))
    assert (gate.exit_code, gate.incomplete) == (4, ("kubescape", "polaris"))
    assert gate.reason == (
        "No bar was set (fail_on: never). Incomplete: polaris is not installed."
        " Incomplete, as allowed: kubescape did not finish in time."
    )


def test_inputs_that_were_not_read_or_not_rendered() -> None:
    problem = InputProblem(path="a", document=None, line=None, message="no")
    chart = Bundle(id="c", kind=BundleKind.HELM, path="c", state=BundleState.FAILED, reason="not rendered")
    for inventory in (
        Inventory(sources=(), bundles=(), files=(), problems=(problem,)),
        Inventory(sources=(), bundles=(chart,), files=(), problems=()),
    ):
        gate = judge([], [OK], inventory, Settings())
        assert (gate.exit_code, gate.incomplete) == (4, ("inputs",))
        assert judge([], [OK], inventory, Settings(allow_incomplete={"inputs": ""})).exit_code == 0


def test_the_reason_why_it_is_allowed_is_said() -> None:
    run = ToolRun(name="polaris", state=RunState.MISSING)
    gate = judge([], [OK, run], EMPTY, Settings(allow_incomplete={"polaris": "not in the image yet\n"}))
    assert gate.exit_code == 0
    assert gate.reason.endswith("Incomplete, as allowed: polaris is not installed (not in the image yet).")


def test_a_skipped_tool_is_no_gap() -> None:
    assert judge([], [ToolRun(name="trivy", state=RunState.SKIPPED)], EMPTY, Settings()).exit_code == 0


def test_what_is_outside_the_gate_does_not_fail_it() -> None:
    assert judge([finding(Severity.CRITICAL, gated=False)], [OK], EMPTY, Settings()).exit_code == 0


@pytest.mark.parametrize(
    ("severity", "bar", "failing"),
    [
        (Severity.UNKNOWN, Severity.HIGH, True),
        (Severity.UNKNOWN, Severity.CRITICAL, False),
        (Severity.HIGH, Severity.CRITICAL, False),
        (Severity.CRITICAL, Severity.HIGH, True),
        (Severity.INFO, Severity.INFO, True),
        (Severity.CRITICAL, None, False),
    ],
)
def test_the_bar(severity: Severity, bar: Severity | None, failing: bool) -> None:
    assert at_bar(severity, bar) is failing
