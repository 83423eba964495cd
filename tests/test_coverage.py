"""The comparison of the tools of a run: totals that add up, gaps that are named, and nothing that a tool lost by not looking."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from made import POD, finding, report, run, said

from kguard.coverage import compare
from kguard.coverage_model import By, Gap
from kguard.findings.catalogue import Catalogue, Control
from kguard.findings.labels import Label, Labels
from kguard.model import (
    BundleKind,
    BundleState,
    BundleSummary,
    FileState,
    Finding,
    InputFile,
    InputProblem,
    Inputs,
    Look,
    RunState,
    Severity,
)

TOOLS = ("checkov", "kube-linter", "kube-score", "kubescape", "polaris", "trivy")
CONTROLS = ("first", "second", "third")
CATALOGUE = Catalogue(
    Control(
        id=name,
        title=name,
        severity=Severity.HIGH,
        scope="pod",
        tools={tool: (f"{name}-{tool}",) for tool in TOOLS if not (name == "third" and tool == "polaris")},
    )
    for name in CONTROLS
)
RUNS = tuple(run(tool, *(f"{name}-{tool}" for name in CONTROLS)) for tool in TOOLS)


def fault(tools: Collection[str], control: str, severity: Severity, gated: bool, number: int) -> Finding:
    bare = finding(*(said(tool, f"{control}-{tool}") for tool in sorted(tools)), control=control)
    return replace(bare, severity=severity, gated=gated, object=replace(POD, name=f"p{number}"))


FAULTS = st.lists(
    st.builds(
        fault,
        st.frozensets(st.sampled_from(TOOLS), min_size=1),
        st.sampled_from(CONTROLS),
        st.sampled_from(Severity),
        st.booleans(),
        st.integers(0, 5),
    ),
    max_size=30,
)


@given(FAULTS, st.sampled_from(By))
def test_everything_adds_up_whatever_the_rows_are(findings: list[Finding], by: By) -> None:
    found = compare(report(RUNS, *findings), CATALOGUE, by=by)
    gated = [one for one in findings if one.gated]
    assert (found.faults, found.outside) == (len(gated), len(findings) - len(gated))
    for tool in found.tools:
        assert sum(tool.counts.values()) == len(gated)
        assert tool.found == sum(tool.name in one.tools for one in gated)
        assert tool.alone == sum(one.tools == (tool.name,) for one in gated)
        for row in found.rows:
            assert sum(row.cells[tool.name].counts.values()) == row.faults
    if by in (By.CONTROL, By.CATEGORY, By.NAMESPACE):  # a fault may stand in several frameworks
        assert sum(row.faults for row in found.rows) == len(gated)
    for row in found.rows:
        assert row.cells.keys() == set(TOOLS)
        for cell in row.cells.values():
            assert (cell.example is not None) == (cell.missed > 0)


@given(FAULTS, st.sampled_from(TOOLS))
def test_a_tool_that_is_taken_away_lost_nothing_by_missing_it(findings: list[Finding], gone: str) -> None:
    left = [
        replace(
            one, tools=tuple(sorted(set(one.tools) - {gone})), evidence=tuple(s for s in one.evidence if s.tool != gone)
        )
        for one in findings
        if set(one.tools) != {gone}
    ]
    missing = replace(
        next(one for one in RUNS if one.name == gone),
        state=RunState.MISSING,
        processes=0,
        rules=None,
        reason="not here",
    )
    runs = [missing if one.name == gone else one for one in RUNS]
    found = compare(report(runs, *left), CATALOGUE)
    (tool,) = (tool for tool in found.tools if tool.name == gone)
    assert tool.counts.keys() <= {Look.DID_NOT_LOOK, Look.NO_RULE}
    assert found.gaps == (Gap(name=gone, reason="missing: not here", allowed=False),)
    assert not found.complete
    others = compare(report(RUNS, *findings), CATALOGUE)
    assert {it.name: it.counts.get(Look.FOUND) for it in found.tools if it.name != gone} == {
        it.name: it.counts.get(Look.FOUND) for it in others.tools if it.name != gone
    }


def test_the_tools_are_in_the_order_of_the_reports_without_those_that_nobody_asked_for() -> None:
    runs = [
        run("zz-third-party"),
        replace(RUNS[0], state=RunState.SKIPPED, processes=0, off_by_default=True),
        *RUNS[1:],
    ]
    found = compare(report(runs), CATALOGUE)
    names = [tool.name for tool in found.tools]
    assert "checkov" not in names
    assert names[0] == "kube-linter"
    assert names[-1] == "zz-third-party"


def test_a_tool_that_was_left_out_on_purpose_is_shown_and_is_no_gap() -> None:
    runs = [replace(RUNS[4], state=RunState.SKIPPED, processes=0, reason="left out"), RUNS[5]]
    found = compare(report(runs, fault({"trivy"}, "first", Severity.LOW, True, 1)), CATALOGUE)
    assert found.complete
    assert [(tool.name, tool.asked) for tool in found.tools] == [("trivy", True), ("polaris", False)]
    assert [drop.tool for drop in found.drops] == ["trivy"]
    assert found.rows[0].cells["polaris"].state is Look.DID_NOT_LOOK


def test_only_what_may_be_incomplete_leaves_the_comparison_complete() -> None:
    degraded = replace(RUNS[5], state=RunState.DEGRADED, reason="it did not read 1 of 9 objects")
    lost = BundleSummary(
        id="c", kind=BundleKind.HELM, path="charts/c", objects=0, state=BundleState.FAILED, reason="no helm"
    )
    problem = InputProblem(path="web.yaml", document=2, line=3, message="a tab")
    inputs = Inputs(sources=(), bundles=(lost,), files=(), problems=(problem,))
    found = compare(report([degraded], inputs=inputs, allow_incomplete=(("trivy", "flaky"),)), CATALOGUE)
    assert found.gaps == (
        Gap(name="trivy", reason="degraded: it did not read 1 of 9 objects", allowed=True),
        Gap(name="inputs", reason="not read by any tool: web.yaml, line 3: a tab; and 1 more", allowed=False),
    )
    assert not found.complete
    allowed = (("trivy", ""), ("inputs", ""))
    assert compare(report([degraded], inputs=inputs, allow_incomplete=allowed), CATALOGUE).complete


def test_the_checks_that_a_tool_alone_has_on() -> None:
    found = compare(report([run("trivy", "first-trivy", "third-trivy"), run("polaris", "first-polaris")]), CATALOGUE)
    assert {tool.name: (tool.checks, tool.only) for tool in found.tools} == {"trivy": (2, 1), "polaris": (1, 0)}


def test_tools_disagree_where_their_worst_words_differ() -> None:
    words = (
        said("trivy", "T-1", native_severity="LOW"),
        said("trivy", "T-2", native_severity="CRITICAL"),
        said("polaris", "P-1", native_severity="danger"),
        said("kube-linter", "k", native_severity=None),
    )
    loud, alike = finding(*words), finding(*words[1:2], said("kubescape", "C-1", native_severity="Critical"))
    found = compare(report(RUNS, loud, loud, alike), CATALOGUE)
    (only,) = found.disagreements
    assert only.words == (("polaris", Severity.HIGH), ("trivy", Severity.CRITICAL))
    assert (only.faults, only.severity) == (2, Severity.HIGH)
    assert only.example is loud


def test_noise_is_what_was_printed_for_each_fault() -> None:
    loud = replace(RUNS[5], records=30)
    found = compare(
        report([loud, RUNS[4]], *(fault({"trivy"}, "first", Severity.LOW, True, n) for n in range(3))), CATALOGUE
    )
    assert {tool.name: tool.noise for tool in found.tools} == {"trivy": 10.0, "polaris": None}
    assert {tool.name: tool.share for tool in found.tools} == {"trivy": 1.0, "polaris": 0.0}


def test_labels_are_scored_over_the_same_tools() -> None:
    labels = Labels(file="l.tsv", complete=False, labels=(Label(path="web.yaml", name="first", fault=True),))
    inputs = Inputs(
        sources=(), bundles=(), files=(InputFile(path="web.yaml", state=FileState.SCANNED, objects=1),), problems=()
    )
    found = compare(
        report(RUNS, fault({"trivy"}, "first", Severity.LOW, True, 1), inputs=inputs), CATALOGUE, labels=labels
    )
    assert found.labels is not None
    assert {score.tool: score.found for score in found.labels.scores if score.found} == {None: 1, "trivy": 1}
