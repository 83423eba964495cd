"""The search for what kills a tool: all of it, nothing else, and within bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import native
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kguard.inputs.stage import write_part
from kguard.model import Bundle, BundleKind, BundleState, Command, KubeObject, Outcome, Parsed, RunState, StagePart
from kguard.running.account import nothing_read
from kguard.running.facts import find_program
from kguard.running.quarantine import MOST_RUNS, Quarantine, find_killers
from kguard.running.results import Ended
from kguard.running.shard import Part
from kguard.running.tools import run_tools
from kguard.settings import Settings


def deadly(killers: set[int], runs: list[int]) -> Callable[[Sequence[int]], str | None]:
    def dies(items: Sequence[int]) -> str | None:
        runs.append(len(items))
        return f"dead of {min(killers & set(items))}" if killers & set(items) else None

    return dies


@given(st.integers(1, 300), st.sets(st.integers(0, 299), min_size=1, max_size=8))
def test_exactly_the_killers_are_found_each_with_its_words(count: int, some: set[int]) -> None:
    killers = {number % count for number in some}
    runs: list[int] = []
    found = find_killers(range(count), deadly(killers, runs))
    assert sorted(found.found) == [(number, f"dead of {number}") for number in sorted(killers)]
    assert found.unsure == ()
    assert len(runs) <= MOST_RUNS


def test_the_search_ends_and_what_it_did_not_look_at_is_not_lost() -> None:
    runs: list[int] = []
    found = find_killers(range(1000), deadly(set(range(1000)), runs))
    assert len(runs) <= MOST_RUNS
    assert sorted([number for number, _ in found.found] + list(found.unsure)) == list(range(1000))


def test_no_search_when_there_is_no_time() -> None:
    found = find_killers(range(10), deadly({3}, []), lambda: False)
    assert (found.found, len(found.unsure)) == ((), 10)


def test_objects_that_kill_only_together_are_left_out_together() -> None:
    def dies(items: Sequence[int]) -> str | None:
        return "dead" if {2, 7} <= set(items) else None

    found = find_killers(range(10), dies)
    assert (found.found, sorted(found.unsure)) == ((), list(range(10)))


@pytest.mark.parametrize(
    ("killers", "processes", "alive"),
    [
        ({"b"}, 7, True),  # died; harmless, two halves of three, two of the deadly one, the rest
        ({"a", "b", "c"}, 6, False),  # no object is left
        ({"a", "b", "c", "kguard-harmless"}, 2, False),
    ],
)
def test_the_whole_search_is_paid_for(
    killers: set[str], processes: int, alive: bool, new_object: Callable[..., KubeObject], tmp_path: Path
) -> None:
    started: list[float] = []
    staged = StagePart(id="1", bundle="b", root=tmp_path, files=())

    def run(objects: Sequence[KubeObject]) -> Ended:
        started.append(time.monotonic())
        time.sleep(0.005)
        died = any(obj.ref.name in killers for obj in objects)
        spent = time.monotonic() - started[-1]
        outcome = Outcome(command=Command(argv=("x",)), exit_code=int(died), stdout=b"", stderr=b"", seconds=spent)
        return Ended(
            part=staged,
            outcome=outcome,
            started=started[-1],
            state=RunState.FAILED if died else RunState.OK,
            reason="dead" if died else None,
            parsed=None if died else Parsed(evidence=(), seen=frozenset()),
            account=nothing_read(staged, ""),
        )

    objects = tuple(new_object(name) for name in "abc")
    died = run(objects)
    ended = Quarantine(run, 60).healed(died, Part(objects=objects))
    assert (ended.parsed is not None) is alive
    assert len({id(outcome) for outcome in (*ended.tries, ended.outcome)}) == len(started) == 1 + len(ended.tries)
    assert len(started) == processes
    assert ended.started == started[0]
    assert ended.until > started[-1] + 0.005


@pytest.mark.real
def test_polaris_reads_all_but_what_kills_it(tmp_path: Path) -> None:
    if find_program("polaris", Settings()) is None:
        pytest.skip("polaris is not on PATH, and a recording cannot be searched")
    given = (*native.staged("edge-dies").objects, *native.staged("shop-clean").objects)
    objects = tuple(replace(obj, bundle="b") for obj in given)
    bundle = Bundle(id="b", kind=BundleKind.PLAIN, path=".", state=BundleState.PLAIN, objects=objects)
    adapters = [native.adapter("polaris")]
    (result,) = run_tools(adapters, [bundle], Settings(), write_part, tmp_path, lambda _: None)
    assert result.run.state is RunState.DEGRADED
    killers = [item for item in result.run.unread if "it kills the tool: polaris failed: panic" in item.reason]
    assert [Path(item.path).name for item in killers] == ["spec-of-nothing.yaml"]
    assert result.run.objects.read == len(objects) - len(killers)
