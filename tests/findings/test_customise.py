"""The catalogue as kguard.yaml changes it: severities, own controls, merges that are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kguard.findings.catalogue import load_catalogue
from kguard.findings.customise import customised
from kguard.findings.locate import locate
from kguard.findings.merge import merge
from kguard.inputs.objects import index
from kguard.model import Evidence, Finding, KubeObject, Located, ObjectHint, Severity, StagedFile, StagePart
from kguard.settings import ControlSettings, MergeSettings

POD = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  hostNetwork: true
  containers: [{name: a, image: "x:1"}]
"""
RULES = [
    ("kube-linter", "run-as-non-root"),
    ("trivy", "KSV-0012"),
    ("kubescape", "C-0013"),
    ("polaris", "runAsRootAllowed"),
]
ObjectsOf = Callable[[str], tuple[KubeObject, ...]]
Found = Callable[..., dict[str, Finding]]


@pytest.fixture
def found(objects_of: ObjectsOf) -> Found:
    """The findings of a pod that every tool calls root, and on the host's network, by control."""
    (pod,) = objects_of(POD)
    part = StagePart(id="1", bundle=pod.bundle, root=Path("/stage"), files=(StagedFile(path=pod.staged, ref=pod.ref),))

    def findings(settings: MergeSettings, rules: Sequence[tuple[str, str]] = RULES) -> dict[str, Finding]:
        said = [evidence(pod, tool, rule) for tool, rule in rules]
        located: tuple[Located, ...] = tuple(locate(part, said, {pod.staged: pod}, index))
        merged = merge(located, (pod,), customised(load_catalogue(), settings), index)
        return {finding.control: finding for finding in merged}

    return findings


def evidence(pod: KubeObject, tool: str, rule: str) -> Evidence:
    return Evidence(
        tool=tool,
        rule=rule,
        title=rule,
        native_severity="high",
        message=rule,
        url=None,
        object=ObjectHint(staged=pod.staged),
        container=None if rule == "C-0013" else "a",
    )


def test_nothing_to_change_is_the_catalogue_itself() -> None:
    catalogue = load_catalogue()
    assert customised(catalogue, MergeSettings()) is catalogue


def test_a_severity_of_ones_own_comes_with_its_reason(found: Found) -> None:
    wanted = ControlSettings(severity=Severity.LOW, reason="build agents", title="Root, as agreed")
    settings = MergeSettings(controls={"run-as-non-root": wanted})
    finding = found(settings)["run-as-non-root"]
    assert (finding.severity, finding.title) == (Severity.LOW, "Root, as agreed")
    assert finding.fingerprint == found(MergeSettings())["run-as-non-root"].fingerprint
    changed = customised(load_catalogue(), settings).controls["run-as-non-root"]
    assert (changed.because, changed.fixed_severity) == ("build agents", True)


def test_of_rules_that_shall_not_merge_the_first_stays_and_the_others_stand_alone(found: Found) -> None:
    group = ("kube-linter:run-as-non-root", "trivy:KSV-0012", "polaris:runAsRootAllowed")
    findings = found(MergeSettings(never=(group,)))
    assert {name: finding.tools for name, finding in findings.items()} == {
        "run-as-non-root": ("kube-linter", "kubescape"),
        "run-as-non-root/trivy:KSV-0012": ("trivy",),
        "run-as-non-root/polaris:runAsRootAllowed": ("polaris",),
    }
    alone = findings["run-as-non-root/trivy:KSV-0012"]
    together = findings["run-as-non-root"]
    assert (alone.container, alone.location, alone.severity, alone.title) == (
        together.container,
        together.location,
        together.severity,
        together.title,
    )
    assert len({finding.fingerprint for finding in findings.values()}) == 3


def test_a_rule_named_alone_merges_with_nothing(found: Found) -> None:
    findings = found(MergeSettings(never=(("trivy:KSV-0012",),)))
    assert findings["run-as-non-root/trivy:KSV-0012"].tools == ("trivy",)
    assert findings["run-as-non-root"].tools == ("kube-linter", "kubescape", "polaris")


def test_rules_that_never_meet_change_nothing(found: Found) -> None:
    findings = found(MergeSettings(never=(("trivy:KSV-0012", "trivy:KSV-0009"),)))
    assert findings == found(MergeSettings())


def test_what_a_wider_control_includes_is_included_when_it_stands_alone() -> None:
    catalogue = customised(load_catalogue(), MergeSettings(never=(("trivy:KSV-0023",),)))
    lesser = "host-path-volume/trivy:KSV-0023"
    assert lesser in catalogue.controls
    wider = [control for control in load_catalogue().controls.values() if "host-path-volume" in control.subsumes]
    assert wider
    assert all(lesser in catalogue.controls[control.id].subsumes for control in wider)


def test_a_control_of_ones_own_takes_its_rules_over(found: Found) -> None:
    own = ControlSettings(
        title="No root, says the guild",
        severity=Severity.CRITICAL,
        rules=("trivy:KSV-0012", "kubescape:C-0013", "new-tool:X1"),
    )
    findings = found(MergeSettings(controls={"guild-root": own}), [*RULES, ("new-tool", "X1")])
    assert {name: finding.tools for name, finding in findings.items()} == {
        "guild-root": ("kubescape", "new-tool", "trivy"),
        "run-as-non-root": ("kube-linter", "polaris"),
    }
    assert (findings["guild-root"].severity, findings["guild-root"].category) == (Severity.CRITICAL, "own")
