"""The account of every tool against an independent count, with the tools that are there; a lost object does not go unseen."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import accounts
import counting
import native
import parity
import pytest

from kguard.running.account import account
from kguard.scan import Gathered
from kguard.settings import Settings

FOLDERS = ("shop", *native.EDGES, "charts", "overlays")


@pytest.fixture(scope="module")
def scanned() -> dict[str, Gathered]:
    """What each folder came to, scanned once."""
    return {}


def lines(folder: Path, settings: Settings, scanned: dict[str, Gathered]) -> dict[str, accounts.Line]:
    if folder.name not in scanned:
        scanned[folder.name] = parity.scan(folder, settings)
    return {line.run.name: line for line in accounts.held(scanned[folder.name], folder)}


@pytest.mark.real
@pytest.mark.parametrize("folder", FOLDERS)
def test_what_was_staged_was_read_or_is_named(
    folder: str, fixtures: Path, rules_settings: Settings, scanned: dict[str, Gathered]
) -> None:
    found = lines(fixtures / folder, rules_settings, scanned)
    assert set(found) >= {"trivy", "kubescape"}
    assert {tool: line.wrong for tool, line in found.items()} == dict.fromkeys(found, ())
    assert all(line.counted for line in found.values())


@pytest.mark.real
@pytest.mark.parametrize("tool", native.RECORDED)
@pytest.mark.parametrize("stage", ["shop", "edge", "edge-nothing", "edge-partly", "edge-skipped"])
def test_the_recorded_tools_account_for_the_same_objects(tool: str, stage: str, fixtures: Path) -> None:
    own, part = native.adapter(tool), native.staged(stage).part
    held = account(part, own.parse(native.native(tool, stage)), own.rules(native.SETTINGS, None)).counts
    assert held.read is not None
    assert held.staged == held.read + held.out_of_scope + held.unread == counting.count(fixtures / stage).total()


@pytest.mark.real
def test_an_object_that_kguard_loses_is_told_with_its_file(
    fixtures: Path, rules_settings: Settings, scanned: dict[str, Gathered], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines(fixtures / "shop", rules_settings, scanned)
    counted = counting.count(fixtures / "shop")
    monkeypatch.setattr(counting, "count", lambda _: counted + Counter({"plain web.yaml": 1}))
    for line in lines(fixtures / "shop", rules_settings, scanned).values():
        assert line.wrong[0] == f"{counted.total()} staged, and there are {counted.total() + 1}"
        assert line.wrong[1].startswith("plain web.yaml: kguard has ")


@pytest.mark.real
def test_a_sum_that_does_not_hold_is_told(
    fixtures: Path, rules_settings: Settings, scanned: dict[str, Gathered]
) -> None:
    lines(fixtures / "shop", rules_settings, scanned)
    shop = scanned["shop"]
    tools = tuple(replace(run, objects=replace(run.objects, read=1)) for run in shop.tools)
    wrong = [line.wrong for line in accounts.held(replace(shop, tools=tools), fixtures / "shop")]
    assert wrong
    assert set(wrong) == {("the sum is wrong",)}
