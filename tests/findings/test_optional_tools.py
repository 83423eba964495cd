"""checkov and kube-score beside the tools that are on by default: what they say joins the findings that it is about, and moves none.

That their rules are mapped as they behave is in test_evidence.py, with those of the other tools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from textwrap import dedent

import evidence
import native
import planted
import pytest
from evidence import BY_DEFAULT, OPTIONAL, TOOLS

from kguard.findings.catalogue import load_catalogue
from kguard.findings.merge import merge
from kguard.inputs.objects import index
from kguard.model import Finding
from kguard.scan import scan
from kguard.settings import Profile, Settings

pytestmark = pytest.mark.real

Seat = tuple[str, str, str]
"""Control, container and discriminator; "" for none."""


@cache
def findings(stage: str, tools: tuple[str, ...]) -> tuple[Finding, ...]:
    return merge(evidence.said(stage, tools), native.staged(stage).objects, load_catalogue(), index)


def seats(found: Sequence[Finding], rule: str) -> set[Seat]:
    """Where what a rule said has come to."""
    return {
        (finding.control, finding.container or "", finding.discriminator or "")
        for finding in found
        if any(item.rule == rule for item in finding.evidence)
    }


# -- what the others say --------------------------------------------------------------------------------------------------


def face(finding: Finding) -> tuple[object, ...]:
    return (
        finding.fingerprint,
        finding.control,
        finding.severity,
        finding.object,
        finding.container,
        finding.discriminator,
        finding.location,
        finding.fix,
        [item for item in finding.evidence if item.tool in BY_DEFAULT],
    )


@pytest.mark.parametrize("stage", ["shop", *planted.FOLDERS, *native.EVIDENCE])
def test_they_change_no_finding_of_the_others(stage: str) -> None:
    with_them = [face(finding) for finding in findings(stage, TOOLS) if set(finding.tools) & set(BY_DEFAULT)]
    assert with_them == [face(finding) for finding in findings(stage, BY_DEFAULT)]


@pytest.mark.parametrize("stage", ["shop", *planted.FOLDERS, *native.EVIDENCE])
def test_nothing_that_they_say_is_lost(stage: str) -> None:
    said = {(item.evidence.rule, item.object.ref) for item in evidence.said(stage, OPTIONAL)}
    kept = {
        (item.rule, item.object or finding.object) for finding in findings(stage, OPTIONAL) for item in finding.evidence
    }
    assert said == kept


# -- where what they say belongs ------------------------------------------------------------------------------------------

PLACES = [
    # a capability that has a control of its own is no further fault
    ("all-capabilities", "CKV_K8S_25", {("dangerous-capabilities", "everything", "ALL"), ("net-raw-capability-added", "everything", "ALL")}),
    ("three-ways-up", "CKV_K8S_25", {("sys-admin-capability", "main", "SYS_ADMIN")}),
    # one socket of two
    ("shared-host-paths", "CKV_K8S_27", {("container-runtime-socket-mount", "", "docker")}),
    # of the pod they say it, and have looked at its main containers alone
    ("ephemeral-containers", "CKV_K8S_23", {("run-as-non-root", "main", "")}),
    ("ephemeral-containers", "CKV_K8S_31", {("seccomp-profile", "main", "")}),
    ("ephemeral-containers", "CKV_K8S_40", {("low-user-id", "main", "")}),
    ("init-and-main", "CKV_K8S_31", {("seccomp-profile", "main", "")}),
    ("init-of-one-name", "container-seccomp-profile", {("seccomp-profile", "containers[0]", "")}),
    # a container without a security context in a pod that has one
    ("inherited-context", "CKV_K8S_30", {("checkov:CKV_K8S_30", "server", "")}),
    ("resources", "CKV_K8S_30", {("security-context-missing", "", "")}),
    # reported on the binding
    ("wildcard-roles", "CKV2_K8S_1", {("rbac-bind-escalate", "", "")}),
    ("wildcard-roles", "CKV2_K8S_2", {("rbac-nodes-proxy", "", ""), ("rbac-pod-exec", "", "")}),
    # wants Always, whatever the tag
    ("images", "CKV_K8S_15", {("image-pull-policy-always", "untagged", ""), ("image-pull-policy-latest", "untagged", "")}),
    ("image-names", "container-image-pull-policy", {("image-pull-policy-always", "digest", ""), ("image-pull-policy-always", "stale", ""), ("image-pull-policy-latest", "stale", "")}),
]  # fmt: skip


@pytest.mark.parametrize(("case", "rule", "wanted"), PLACES, ids=[f"{row[0]}-{row[1]}" for row in PLACES])
def test_what_they_say_comes_to_the_fault_that_they_mean(case: str, rule: str, wanted: set[Seat]) -> None:
    assert seats(planted.of_case(case, findings("several-faults", TOOLS)), rule) == wanted


def test_a_security_context_of_the_pod_makes_that_of_its_containers_a_guess() -> None:
    own = planted.of_case("inherited-context", findings("several-faults", TOOLS))
    assert {(one.severity, one.gated) for one in own if one.control == "checkov:CKV_K8S_30"} == {("info", False)}


# -- faults that only sound like those that other rules are about ---------------------------------------------------------

MANIFESTS = {
    "ports": """
        apiVersion: v1
        kind: Pod
        metadata: {name: ports, namespace: ports}
        spec:
          containers:
            - name: long
              image: registry.example/a:1
              ports: [{name: a-name-of-20-letters, containerPort: 8080}]
            - name: double
              image: registry.example/b:1
              ports: [{name: web, containerPort: 8081}, {name: web, containerPort: 8082}]
        """,
    "spread": """
        apiVersion: v1
        kind: Pod
        metadata: {name: spread, namespace: spread}
        spec:
          topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
          containers: [{name: a, image: registry.example/a:1}]
        """,
    "jobs": """
        apiVersion: batch/v1
        kind: CronJob
        metadata: {name: always, namespace: jobs}
        spec:
          schedule: "@daily"
          jobTemplate: {spec: {template: {spec: {restartPolicy: Always, containers: [{name: a, image: registry.example/a:1}]}}}}
        ---
        apiVersion: batch/v1
        kind: CronJob
        metadata: {name: unset, namespace: jobs}
        spec:
          schedule: "@daily"
          jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: registry.example/a:1}]}}}}
        """,
    "bindings": """
        apiVersion: rbac.authorization.k8s.io/v1
        kind: RoleBinding
        metadata: {name: bindings, namespace: bindings}
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: bindings}
        subjects: [{kind: ServiceAccount, name: default, namespace: bindings}]
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: Role
        metadata: {name: bindings, namespace: bindings}
        rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [rolebindings], verbs: [bind]}]
        """,
    "dashboard": """
        apiVersion: v1
        kind: Pod
        metadata: {name: dashboard, namespace: dashboard}
        spec:
          containers: [{name: a, image: docker.io/kubernetesui/dashboard:v2.7.0}]
        """,
}


@pytest.fixture(scope="module")
def by_file(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sequence[Finding]]:
    """What trivy, checkov and kube-score find in the manifests."""
    folder = tmp_path_factory.mktemp("optional")
    for name, text in MANIFESTS.items():
        (folder / f"{name}.yaml").write_text(dedent(text))
    report = scan([str(folder)], Settings(tools=("trivy", *OPTIONAL), profile=Profile.ALL))
    return {name: [one for one in report.findings if Path(one.location.path).stem == name] for name in MANIFESTS}


@pytest.mark.parametrize(
    ("file", "rule", "wanted"),
    [
        ("ports", "container-ports-check", {("invalid-target-port", "", ""), ("kube-score:container-ports-check", "double", "")}),
        ("spread", "pod-topology-spread-constraints", {("kube-score:pod-topology-spread-constraints", "", "")}),
        ("jobs", "cronjob-restartpolicy", {("restart-policy", "", ""), ("kube-score:cronjob-restartpolicy", "", "")}),
        ("bindings", "CKV_K8S_42", {("default-service-account-binding", "", "")}),
        ("bindings", "CKV2_K8S_1", {("rbac-bind-escalate", "", "")}),
        ("dashboard", "CKV_K8S_33", {("dashboard-deployed", "", "")}),
    ],
)  # fmt: skip
def test_what_only_sounds_alike_stays_apart(
    file: str, rule: str, wanted: set[Seat], by_file: Mapping[str, Sequence[Finding]]
) -> None:
    assert seats(by_file[file], rule) == wanted


def test_a_verb_that_is_reported_on_the_binding_is_a_fault_of_the_role(
    by_file: Mapping[str, Sequence[Finding]],
) -> None:
    (finding,) = (one for one in by_file["bindings"] if one.control == "rbac-bind-escalate")
    assert str(finding.object) == "Role bindings/bindings"
    assert {item.rule for item in finding.evidence} >= {"CKV2_K8S_1", "CKV_K8S_157", "KSV-0050"}


def test_only_a_policy_that_is_not_set_is_a_missing_one(by_file: Mapping[str, Sequence[Finding]]) -> None:
    named = {one.object.name: one.control for one in by_file["jobs"] if seats([one], "cronjob-restartpolicy")}
    assert named == {"unset": "restart-policy", "always": "kube-score:cronjob-restartpolicy"}
