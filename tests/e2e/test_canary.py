"""A tool that does not look is told from one that finds nothing, and the proof leaves no trace."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]


def tools(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {tool["name"]: tool for tool in json.loads(done.stdout)["tools"] if tool["processes"]}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A pod and a limit in a namespace whose name every tool reads alike."""
    file = tmp_path / "shop.yaml"
    file.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: till, namespace: shop}\n"
        "spec: {containers: [{name: till, image: till:1}]}\n---\n"
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: most, namespace: shop}\nspec: {limits: [{type: Container}]}\n"
    )
    return file


@pytest.mark.parametrize("profile", ["default", "all"])
def test_every_tool_reports_the_canary_and_no_report_shows_it(kguard: Kguard, shop: Path, profile: str) -> None:
    done = kguard("scan", shop.name, "--profile", profile, "-f", "json")
    found = tools(done)
    assert set(found) >= {"trivy", "kubescape"}
    assert {name: (tool["state"], tool["canary"]) for name, tool in found.items()} == dict.fromkeys(found, ("ok", True))
    assert "kguard-canary" not in done.stdout
    assert {tool["objects"]["staged"] for tool in found.values()} == {2}


def test_without_it_everything_else_is_the_same(kguard: Kguard, shop: Path) -> None:
    flags = ("scan", shop.name, "-f", "json")
    with_it, without = (json.loads(kguard(*flags, *more).stdout) for more in ((), ("--no-canary",)))
    assert with_it["findings"] == without["findings"]
    assert with_it["summary"] == without["summary"]
    for one, other in zip(with_it["tools"], without["tools"], strict=True):
        assert (one["records"], one["objects"]) == (other["records"], other["objects"])
        assert other["canary"] is None


def test_a_tool_that_says_it_has_no_checks_is_caught(kguard: Kguard, pod: Path, tmp_path: Path) -> None:
    """What its own output says of its rules is no proof."""
    hollow = tmp_path / "hollow.sh"
    hollow.write_text("""#!/bin/sh\ncase $1 in version) echo 0.8.3;; *) echo '{"Checks":[],"Reports":null}';; esac\n""")
    hollow.chmod(0o755)
    flags = ("--tools", "kube-linter", "--fail-on", "never", "-f", "json", "--tool-path", f"kube-linter={hollow}")
    done = kguard("scan", "pod.yaml", *flags)
    assert done.returncode == 4
    assert tools(done)["kube-linter"]["canary"] is False


@pytest.mark.parametrize("severity", ["HIGH,CRITICAL", "LOW"])
def test_a_tool_with_some_checks_off_is_caught(kguard: Kguard, pod: Path, tmp_path: Path, severity: str) -> None:
    """As a filter in its environment or in a file of its own would do."""
    sabotaged = tmp_path / "trivy.sh"
    real = shutil.which("trivy")
    sabotaged.write_text(f'#!/bin/sh\n[ "$1" = version ] || set -- "$@" --severity {severity}\nexec {real} "$@"\n')
    sabotaged.chmod(0o755)
    done = kguard(
        "scan", "pod.yaml", "--tools", "trivy", "--fail-on", "never", "-f", "json", "--tool-path", f"trivy={sabotaged}"
    )
    assert done.returncode == 4
    found = tools(done)["trivy"]
    assert (found["state"], found["canary"]) == ("degraded", False)
    assert "trivy did not report KSV-00" in found["reason"]
    assert "trivy did not report the faults of kguard's own object" in json.loads(done.stdout)["gate"]["reason"]
