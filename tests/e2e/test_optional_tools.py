"""checkov and kube-score: off by default, and tools like the others when they are asked for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parity
import pytest

from kguard.settings import Settings

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]
BOTH = ("checkov", "kube-score")


def tools(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {tool["name"]: tool for tool in json.loads(done.stdout)["tools"]}


@pytest.fixture
def till(tmp_path: Path) -> Path:
    """A privileged pod whose annotations silence both on other things."""
    file = tmp_path / "till.yaml"
    file.write_text("""\
apiVersion: v1
kind: Pod
metadata:
  name: till
  namespace: shop
  annotations:
    checkov.io/skip1: CKV_K8S_43=built here
    kube-score/ignore: pod-networkpolicy
spec:
  containers:
    - name: till
      image: till:1
      securityContext: {privileged: true}
""")
    return file


def test_nobody_who_did_not_ask_for_them_hears_of_them(kguard: Kguard, till: Path) -> None:
    done = kguard("scan", till.name, "--tools", "-kubescape")
    assert not [name for name in (*BOTH, "annotations tell") if name in done.stdout + done.stderr]
    found = tools(kguard("scan", till.name, "--tools", "-kubescape", "-f", "json"))
    for name in BOTH:
        assert (found[name]["state"], found[name]["off_by_default"]) == ("skipped-by-config", True)
        assert found[name]["reason"] == f"off by default: --tools +{name}"


def test_both_run_beside_the_others(kguard: Kguard, till: Path) -> None:
    done = kguard("scan", till.name, "--tools", "trivy,checkov,kube-score", "-f", "json")
    found, report = tools(done), json.loads(done.stdout)
    assert {name: (found[name]["state"], found[name]["canary"]) for name in BOTH} == dict.fromkeys(BOTH, ("ok", True))
    assert "kguard-canary" not in done.stdout
    assert "KGUARD" not in done.stdout
    (finding,) = [item for item in report["findings"] if item["control"] == "privileged-container"]
    assert finding["tools"] == ["checkov", "kube-score", "trivy"]
    assert finding["location"]["line"] == 13
    said = {(item["tool"], item["rule"]) for item in report["ignores"]}
    assert said == {("checkov", "CKV_K8S_43"), ("kube-score", "pod-networkpolicy")}
    rules = {item["rule"] for finding in report["findings"] for item in finding["evidence"]}
    assert not rules & {"CKV_K8S_43", "pod-networkpolicy"}


def test_one_that_is_asked_for_and_not_there_makes_the_run_incomplete(kguard: Kguard, till: Path) -> None:
    done = kguard("scan", till.name, "--tools", "+kube-score", path="")
    assert done.returncode == 4
    assert "kube-score is not installed. Get it from https://github.com/zegl/kube-score/releases" in done.stdout
    assert "checkov" not in done.stdout


@pytest.mark.real
@pytest.mark.parametrize("folder", ["shop", "shop-clean", "faults", "edge"])
def test_the_evidence_is_what_each_finds_natively(folder: str, fixtures: Path) -> None:
    settings = Settings(tools=BOTH)
    verdicts = list(parity.compare(fixtures / folder, parity.scan(fixtures / folder, settings), settings))
    assert [verdict.tool for verdict in verdicts] == list(BOTH)
    assert [verdict for verdict in verdicts if not verdict.right] == []
