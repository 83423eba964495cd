"""`kguard explain` on a real run, as a user meets it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def scanned(kguard: Kguard, fixtures: Path, tmp_path: Path) -> Callable[..., Any]:
    """Scan the shop into run.json."""

    def scan(*flags: str) -> Any:
        done = kguard("scan", str(fixtures / "shop"), *flags, "-q", "-o", "run.json")
        assert done.returncode == 1, done.stderr
        return json.loads((tmp_path / "run.json").read_text())

    return scan


def one(report: Any, control: str, name: str) -> Any:
    return next(it for it in report["findings"] if it["control"] == control and it["object"]["name"] == name)


def looked(kguard: Kguard, fingerprint: str) -> dict[str, tuple[str, str]]:
    """State and sentence by tool."""
    found = json.loads(kguard("explain", fingerprint, "--run", "run.json", "--json").stdout)
    (section,) = [section for section in found["sections"] if section["key"] == "looked"]
    return {item["name"]: (item["word"], item["text"]) for item in section["items"]}


def test_a_finding_a_control_and_a_rule_of_the_shop(kguard: Kguard, scanned: Callable[..., Any]) -> None:
    report = scanned()
    finding = one(report, "privileged-container", "web")
    done = kguard("explain", finding["fingerprint"][:8], "--run", "run.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"finding {finding['fingerprint']}: Privileged container\n")
    for words in (
        "Deployment shop/web, container nginx",
        f"{finding['location']['path']}:23",
        "why high",
        "trivy/KSV-0017 is the rule for privileged-container",
        "kubescape/C-0057 partly covers privileged-container",
    ):
        assert words in done.stdout
    here = {tool["name"] for tool in report["tools"] if tool["state"] == "ok"}
    states = looked(kguard, finding["fingerprint"])
    assert states.keys() == {"kube-linter", "trivy", "kubescape", "polaris"}
    assert {tool for tool, (state, _) in states.items() if state == "found"} == here

    control = kguard("explain", "privileged-container", "--run", "run.json").stdout
    assert re.search(r"^  trivy +on +KSV-0017; found 1 of 1$", control, re.MULTILINE)
    assert f"{finding['fingerprint']}  high  Deployment shop/web, container nginx at " in control

    rule = kguard("explain", "trivy:AVD-KSV-0017", "--run", "run.json").stdout
    assert rule.startswith("rule trivy:KSV-0017: Privileged\n")
    assert re.search(r"^  privileged-container +1 statement in 1 finding$", rule, re.MULTILINE)


def test_a_tool_that_is_missing_or_left_out_did_not_look(kguard: Kguard, scanned: Callable[..., Any]) -> None:
    report = scanned("--tools", "trivy,kubescape", "--tool-path", "kubescape=/bin/false")
    finding = one(report, "privileged-container", "web")
    states = looked(kguard, finding["fingerprint"])
    assert states["trivy"] == ("found", "by KSV-0017")
    assert states["polaris"] == (
        "did not look",
        "has runAsPrivileged, but did not look: polaris was left out by --tools",
    )
    assert states["kubescape"][0] == "did not look"
    assert "ended with 1" in states["kubescape"][1]
    control = kguard("explain", "privileged-container", "--run", "run.json").stdout
    assert re.search(r"^  polaris +did not look +runAsPrivileged; polaris was left out", control, re.MULTILINE)


def test_a_check_that_is_off_is_no_check_and_on_where_it_was_asked_for(
    kguard: Kguard, scanned: Callable[..., Any]
) -> None:
    tools = ("--tools", "trivy,kubescape")
    finding = one(scanned(*tools), "container-runtime-socket-mount", "agent")
    state, why = looked(kguard, finding["fingerprint"])["kubescape"]
    assert state == "off"
    assert why.startswith("C-0074 was off: not among the ")
    control = kguard("explain", "container-runtime-socket-mount", "--run", "run.json").stdout
    assert re.search(r"^  kubescape +no check +C-0074; not among the \d+ rules that were on", control, re.MULTILINE)
    scanned(*tools, "--frameworks", "all")
    assert looked(kguard, finding["fingerprint"])["kubescape"] == ("found", "by C-0074")


def test_a_kind_that_no_rule_looks_at_is_out_of_scope(kguard: Kguard, tmp_path: Path) -> None:
    (tmp_path / "cron.yaml").write_text(
        "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: c, namespace: n}\n"
        "spec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {hostNetwork: true, containers: "
        "[{name: c, image: x:1}]}}}}}\n"
    )
    kguard("scan", "cron.yaml", "--tools", "trivy,kubescape", "-q", "-o", "run.json")
    finding = one(json.loads((tmp_path / "run.json").read_text()), "host-network", "c")
    state, why = looked(kguard, finding["fingerprint"])["kubescape"]
    assert (state, why.rpartition(": ")[2]) == (
        "out of scope",
        "no rule that was on looks at every batch/v1beta1/CronJob",
    )


def test_kguard_yaml_has_its_say(kguard: Kguard, tmp_path: Path) -> None:
    (tmp_path / "kguard.yaml").write_text(
        "controls:\n  privileged-container: {severity: medium, reason: only on the test cluster}\n"
    )
    assert (
        "severity      medium: only on the test cluster (set in kguard.yaml)"
        in kguard("explain", "privileged-container").stdout
    )


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("privilaged-container", "did you mean privileged-container"),
        ("trivy:KSV-9917", "did you mean trivy:KSV-0117"),
        ("abc123", "name the run that it is of with --run run.json"),
    ],
)
def test_words_that_nothing_is_called_by(kguard: Kguard, word: str, hint: str) -> None:
    done = kguard("explain", word, path="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert hint in done.stderr


def test_a_run_that_is_no_report(kguard: Kguard, tmp_path: Path) -> None:
    assert "Name a report that" in kguard("explain", "privileged-container", "--run", "nowhere.json").stderr
    assert (
        "this is no kguard/report/v1 report"
        in kguard("explain", "privileged-container", "--run", "-", stdin="{}").stderr
    )
