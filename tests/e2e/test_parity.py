"""The parity check, and that of the canary, over our own manifests and, where they are, over real-world ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import canaries
import parity
import pytest

from kguard.settings import Settings


def verdicts(folder: Path, settings: Settings) -> list[parity.Verdict]:
    return list(parity.compare(folder, parity.scan(folder, settings), settings))


@pytest.mark.real
@pytest.mark.parametrize("folder", ["shop", "shop-clean", "faults", "edge", "edge-dies", "edge-partly"])
def test_kguards_evidence_is_what_each_tool_finds_natively(
    folder: str, fixtures: Path, rules_settings: Settings
) -> None:
    """polaris dies natively of `edge-dies`: it is compared over what is left of it."""
    found = {verdict.tool: verdict for verdict in verdicts(fixtures / folder, rules_settings)}
    ran = {tool for tool, verdict in found.items() if verdict.native is not None}
    assert ran >= {"trivy", "kubescape"}
    assert all(found[tool].compared for tool in ran)
    assert [(tool, found[tool].missing, found[tool].extra) for tool in ran if not found[tool].right] == []


@pytest.mark.real
def test_parity_over_a_real_world_set(corpus: Callable[[str], Path], rules_settings: Settings) -> None:
    for verdict in verdicts(corpus("kubernetes-goat"), rules_settings):
        assert not verdict.missing
        assert not verdict.extra


@pytest.mark.real
@pytest.mark.parametrize("folder", ["shop", "charts"])
def test_the_canary_changes_nothing_of_what_tools_say(folder: str, fixtures: Path, rules_settings: Settings) -> None:
    found = {verdict.tool: verdict for verdict in canaries.compare(fixtures / folder, rules_settings)}
    assert {tool for tool, verdict in found.items() if verdict.said} >= {"trivy", "kubescape"}
    assert {tool: str(verdict) for tool, verdict in found.items() if not verdict.right} == {}
