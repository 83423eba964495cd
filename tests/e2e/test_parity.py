"""The parity check over our own manifests and, where they are, over real-world ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import parity
import pytest

from kguard.settings import Settings


@pytest.mark.real
@pytest.mark.parametrize("folder", ["shop", "shop-clean", "faults", "edge"])
def test_kguards_evidence_is_what_each_tool_finds_natively(
    folder: str, fixtures: Path, rules_settings: Settings
) -> None:
    verdicts = {verdict.tool: verdict for verdict in parity.compare(fixtures / folder, rules_settings)}
    ran = {tool for tool, verdict in verdicts.items() if verdict.native is not None}
    assert ran >= {"trivy", "kubescape"}
    assert [(tool, verdicts[tool].missing, verdicts[tool].extra) for tool in ran if not verdicts[tool].right] == []


@pytest.mark.real
def test_parity_over_a_real_world_set(corpus: Callable[[str], Path], rules_settings: Settings) -> None:
    for verdict in parity.compare(corpus("kubernetes-goat"), rules_settings):
        assert not verdict.missing
        assert not verdict.extra
