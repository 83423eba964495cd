"""What sets of tools find together, held against counting by hand on reports of any kind."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st
from made import finding, said

from kguard.coverage_model import Drop, Kept, Overlap
from kguard.findings.overlap import BARS, drops, kept, overlaps, smallest
from kguard.model import Finding, Severity

TOOLS = ("checkov", "kube-linter", "kube-score", "kubescape", "polaris", "trivy")
SETS = st.frozensets(st.sampled_from(TOOLS), min_size=1)


def fault(tools: Collection[str], severity: Severity = Severity.HIGH, control: str = "fault") -> Finding:
    return replace(finding(*(said(tool, "R-1") for tool in tools), control=control), severity=severity)


FAULTS = st.lists(
    st.builds(fault, SETS, st.sampled_from(Severity), st.sampled_from(("one", "two", "three"))), max_size=40
)


def every_set(tools: Sequence[str]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(tools, size) for size in range(len(tools) + 1)))


def finds(tools: Sequence[str], found: Finding) -> bool:
    return bool(set(tools) & set(found.tools))


def from_up(severity: Severity, bar: Severity) -> bool:
    """By a list, and not by ranks: a fault of unknown severity is one from high down."""
    order = [Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.INFO]
    return order.index(Severity.HIGH if severity is Severity.UNKNOWN else severity) <= order.index(bar)


@given(FAULTS)
def test_what_is_lost_without_a_tool_is_what_the_others_do_not_find(faults: list[Finding]) -> None:
    for drop in drops(faults, TOOLS):
        others = [tool for tool in TOOLS if tool != drop.tool]
        lost = [one for one in faults if not finds(others, one)]
        assert drop.faults == len(lost)
        assert drop.by_severity == {severity: sum(one.severity is severity for one in lost) for severity in Severity}
        by_control = {(loss.control, loss.severity): loss.faults for loss in drop.controls}
        assert by_control == {
            (one.control, one.severity): sum((o.control, o.severity) == (one.control, one.severity) for o in lost)
            for one in lost
        }


@given(FAULTS)
def test_the_fewest_tools_are_all_smallest_sets_that_find_everything(faults: list[Finding]) -> None:
    for one in kept(faults):
        asked = [fault for fault in faults if from_up(fault.severity, one.severity)]
        enough = [tools for tools in every_set(TOOLS) if all(finds(tools, fault) for fault in asked)]
        size = min(map(len, enough))
        assert one.faults == len(asked)
        assert set(one.sets) == {tools for tools in enough if len(tools) == size}
        assert len(set(one.sets)) == len(one.sets)


@given(st.dictionaries(SETS, st.integers(1, 9)))
def test_the_overlap_of_every_set_of_tools(found: dict[frozenset[str], int]) -> None:
    made = {item.tools: item for item in overlaps(found)}
    for tools in every_set(TOOLS)[1:]:
        together = sum(count for those, count in found.items() if set(tools) <= those)
        item = made.get(tools)
        assert (item.together if item else 0) == together
        assert (item.exactly if item else 0) == found.get(frozenset(tools), 0)
    assert sum(item.exactly for item in made.values()) == sum(found.values())


def test_nothing_to_find_needs_nobody() -> None:
    assert kept([]) == tuple(Kept(severity=bar, faults=0, sets=((),)) for bar in BARS)
    assert overlaps({}) == ()
    assert [drop.faults for drop in drops([], ("trivy",))] == [0]


def test_the_order_is_worst_and_most_first() -> None:
    faults = [
        fault({"trivy"}, Severity.LOW, "often"),
        fault({"trivy"}, Severity.LOW, "often"),
        fault({"trivy"}, Severity.LOW, "seldom"),
        fault({"trivy"}, Severity.HIGH, "bad"),
        fault({"trivy", "polaris"}, Severity.CRITICAL, "both"),
    ]
    (drop,) = drops(faults, ("trivy",))
    assert isinstance(drop, Drop)
    assert [loss.control for loss in drop.controls] == ["bad", "often", "seldom"]
    found = {frozenset({"trivy"}): 4, frozenset({"trivy", "polaris"}): 1}
    assert overlaps(found) == (
        Overlap(tools=("trivy",), exactly=4, together=5),
        Overlap(tools=("polaris", "trivy"), exactly=1, together=1),
        Overlap(tools=("polaris",), exactly=0, together=1),
    )


def test_a_set_that_holds_another_asks_for_nothing_more() -> None:
    assert smallest([frozenset({"a"}), frozenset({"a", "b"}), frozenset({"c", "d"})]) == (("a", "c"), ("a", "d"))
