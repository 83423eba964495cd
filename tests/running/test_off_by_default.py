"""A tool that is off by default runs when it is asked for, and is skipped without a word of its being missing when it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kguard.inputs.stage import write_part
from kguard.model import Bundle, BundleKind, BundleState, KubeObject, RunState
from kguard.running.contract import Adapter
from kguard.running.tools import run_tools
from kguard.settings import Settings


@pytest.mark.parametrize(
    ("tools", "states", "reason"),
    [
        (None, [RunState.MISSING, RunState.SKIPPED], "off by default: --tools +other"),
        (("usual",), [RunState.MISSING, RunState.SKIPPED], "off by default: --tools +other"),
        (("usual", "other"), [RunState.MISSING, RunState.MISSING], "other is not installed"),
        (("other",), [RunState.SKIPPED, RunState.MISSING], "other is not installed"),
    ],
)
def test_it_runs_when_it_is_asked_for(
    new_adapter: Callable[..., Adapter],
    new_object: Callable[..., KubeObject],
    tmp_path: Path,
    tools: tuple[str, ...] | None,
    states: list[RunState],
    reason: str,
) -> None:
    adapters = [new_adapter(name="usual"), new_adapter(name="other", on_by_default=False)]
    objects = (new_object("a.yaml"),)
    bundle = Bundle(id="plain", kind=BundleKind.PLAIN, path=".", state=BundleState.PLAIN, objects=objects)
    results = run_tools(adapters, [bundle], Settings(tools=tools), write_part, tmp_path, lambda _: None)
    usual, other = (result.run for result in results)
    assert [usual.state, other.state] == states
    assert reason in (other.reason or "")
    assert (usual.off_by_default, other.off_by_default) == (False, other.state is RunState.SKIPPED)
