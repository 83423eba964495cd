"""The merge by hand-made evidence: which finding each piece supports, whatever else was said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kguard.findings.catalogue import Catalogue, Control, PlaceSpec, load_catalogue
from kguard.findings.locate import locate
from kguard.findings.merge import merge
from kguard.inputs.objects import index, read_manifest
from kguard.model import (
    Evidence,
    FieldPath,
    Finding,
    KubeObject,
    Located,
    ObjectHint,
    Severity,
    StagedFile,
    StagePart,
)

ObjectsOf = Callable[[str], tuple[KubeObject, ...]]
CAPABILITIES: FieldPath = ("spec", "containers", 0, "securityContext", "capabilities", "add")

INHERITING = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  securityContext: {runAsUser: 0, seccompProfile: {type: Unconfined}}
  containers:
    - name: first
    - name: second
    - name: own
      securityContext: {runAsUser: 9, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
"""
ADDED = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
    - name: a
      securityContext: {capabilities: {add: [SYS_PTRACE, NET_ADMIN, SYS_ADMIN]}}
"""
UNSELECTED = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: a}]}
"""


def said(
    tool: str,
    rule: str,
    obj: KubeObject,
    *,
    container: str | None = None,
    path: FieldPath | None = None,
    value: str | None = None,
    message: str = "",
) -> Evidence:
    return Evidence(
        tool=tool,
        rule=rule,
        title=rule,
        native_severity="high",
        message=message,
        url=None,
        object=ObjectHint(staged=obj.staged),
        container=container,
        path=path,
        value=value,
    )


def located(objects: Sequence[KubeObject], evidence: Sequence[Evidence]) -> tuple[Located, ...]:
    files = tuple(StagedFile(path=obj.staged, ref=obj.ref) for obj in objects)
    part = StagePart(id="1", bundle="b", root=Path("/stage"), files=files)
    return tuple(locate(part, evidence, {obj.staged: obj for obj in objects}, index))


def merged(objects: Sequence[KubeObject], *evidence: Evidence) -> tuple[Finding, ...]:
    return merge(located(objects, evidence), objects, load_catalogue(), index)


def seats(findings: Sequence[Finding]) -> set[tuple[str, str | None, str | None]]:
    return {(finding.control, finding.container, finding.discriminator) for finding in findings}


def test_each_container_that_inherits_a_fault_of_its_pod_has_its_own_finding(objects_of: ObjectsOf) -> None:
    objects = objects_of(INHERITING)
    assert seats(merged(objects, said("trivy", "KSV-0105", objects[0]))) == {
        ("root-user-id", "first", None),
        ("root-user-id", "second", None),
    }
    found = merged(objects, said("trivy", "KSV-0104", objects[0], container="second"))
    assert seats(found) == {("seccomp-unconfined", "second", None)}
    assert found[0].location.line == 6, "the line of the pod's field"


def test_a_rule_with_a_short_list_speaks_of_the_places_on_its_list(objects_of: ObjectsOf) -> None:
    objects = objects_of(ADDED)
    found = merged(objects, said("polaris", "dangerousCapabilities", objects[0], container="a"))
    assert seats(found) == {("dangerous-capabilities", "a", "NET_ADMIN"), ("sys-admin-capability", "a", "SYS_ADMIN")}


def test_a_rule_with_a_short_list_is_believed_where_nothing_is_on_it(objects_of: ObjectsOf) -> None:
    objects = objects_of(ADDED.replace(", NET_ADMIN, SYS_ADMIN", ""))
    found = merged(objects, said("polaris", "dangerousCapabilities", objects[0], container="a"))
    assert seats(found) == {("dangerous-capabilities", "a", "SYS_PTRACE")}


def test_trivys_socket_is_not_a_folder_of_docker(objects_of: ObjectsOf) -> None:
    objects = objects_of(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [], volumes: ["
        "{name: layers, hostPath: {path: /var/lib/docker}}, {name: sock, hostPath: {path: /var/run/docker.sock}},"
        "{name: other, hostPath: {path: /run/containerd/containerd.sock}}]}\n"
    )
    assert seats(merged(objects, said("trivy", "KSV-0006", objects[0]))) == {
        ("container-runtime-socket-mount", None, "sock")
    }


def test_a_variable_is_not_called_by_the_value_of_another(objects_of: ObjectsOf) -> None:
    objects = objects_of(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, env: ["
        "{name: CLIENT_SECRET, value: OTHER_SECRET}, {name: OTHER_SECRET, value: x}]}]}\n"
    )
    found = merged(objects, said("kube-linter", "env-var-secret", objects[0], container="a", value="OTHER_SECRET"))
    assert seats(found) == {("hardcoded-secret-in-env", "a", "OTHER_SECRET")}


@pytest.mark.parametrize("replicas", ["", "replicas: 4, "], ids=["replicas unset", "replicas set"])
def test_a_budget_is_held_against_the_autoscaler_of_its_own_workload(replicas: str, objects_of: ObjectsOf) -> None:
    def workload(name: str) -> str:
        labels = f"{{app: {name}}}"
        return (
            f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: n}}\n"
            f"spec: {{{replicas}template: {{metadata: {{labels: {labels}}}, spec: {{containers: []}}}}}}\n---\n"
            f"apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {name}, namespace: n}}\n"
            f"spec: {{minAvailable: 4, selector: {{matchLabels: {labels}}}}}\n---\n"
        )

    scaler = (
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web, namespace: n}\n"
        "spec: {minReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n"
    )
    objects = objects_of(workload("web") + workload("api") + scaler)
    budgets = [obj for obj in objects if obj.ref.kind == "PodDisruptionBudget"]
    evidence = [said("kube-linter", "pdb-min-available", budget) for budget in budgets]
    assert {(finding.object.name, finding.control) for finding in merged(objects, *evidence)} == {
        ("web", "pdb-min-available-above-hpa-minimum"),
        *([("web", "pdb-min-available")] if replicas else []),
        ("api", "pdb-min-available"),
    }


def test_evidence_that_says_more_takes_the_wider_finding_out_of_the_gate_only_if_it_stands_on_nothing_else(
    objects_of: ObjectsOf,
) -> None:
    objects = objects_of(UNSELECTED)
    both = said("polaris", "missingNetworkPolicy", objects[0])
    gated = {finding.control: finding.gated for finding in merged(objects, both)}
    assert gated == {"network-policy-missing": True, "network-policy-ingress-egress": False}
    selected = objects_of(
        UNSELECTED + "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n}\n"
        "spec: {podSelector: {}}\n"
    )
    assert [f.gated for f in merged(selected, said("polaris", "missingNetworkPolicy", selected[0]))] == [True]


def test_what_is_said_of_a_pod_whose_containers_all_have_their_own_field_is_said_of_those(
    objects_of: ObjectsOf,
) -> None:
    objects = objects_of(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  securityContext: {runAsUser: 0}\n  containers:\n"
        "    - {name: a, securityContext: {runAsUser: 0}}\n    - {name: b, securityContext: {runAsUser: 7}}\n"
    )
    pod = said("trivy", "KSV-0105", objects[0], path=("spec", "securityContext"))
    own = said("trivy", "KSV-0105", objects[0], container="a", path=("spec", "containers", 0, "securityContext"))
    assert seats(merged(objects, pod)) == seats(merged(objects, own)) == {("root-user-id", "a", None)}


def test_a_rule_that_also_speaks_of_another_control_needs_its_place(objects_of: ObjectsOf) -> None:
    """kubescape wants a group to be set; that none is set does not make it root's."""
    objects = objects_of(UNSELECTED)
    group: FieldPath = ("spec", "containers", 0, "securityContext", "runAsGroup")
    assert seats(merged(objects, said("kubescape", "C-0013", objects[0], path=group))) == {
        ("kubescape:C-0013", "a", None)
    }


@pytest.mark.parametrize(
    ("role", "control"), [("cluster-admin", "cluster-admin-binding"), ("edit", "polaris:rolebindingClusterAdminRole")]
)
def test_a_guess_about_a_binding_is_believed_only_for_the_role_it_is_about(
    role: str, control: str, objects_of: ObjectsOf
) -> None:
    objects = objects_of(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b, namespace: n}\n"
        f"roleRef: {{kind: ClusterRole, name: {role}}}\nsubjects: []\n"
    )
    (found,) = merged(objects, said("polaris", "rolebindingClusterAdminRole", objects[0]))
    assert (found.control, found.gated) == (control, role == "cluster-admin")


def test_what_no_control_knows_is_a_finding_of_its_own(objects_of: ObjectsOf) -> None:
    objects = objects_of(UNSELECTED)
    (found,) = merged(objects, said("trivy", "KSV-9999", objects[0], container="a", message="new"))
    assert (found.control, found.category, found.severity, found.gated) == (
        "trivy:KSV-9999",
        "unmapped",
        Severity.HIGH,
        True,
    )


def test_objects_of_one_name_keep_their_findings_apart(objects_of: ObjectsOf) -> None:
    objects = objects_of(f"{ADDED}---{ADDED}")
    found = merged(objects, *(said("trivy", "KSV-0005", obj, container="a", value="SYS_ADMIN") for obj in objects))
    assert len(found) == 2
    assert {finding.location.line for finding in found} == {8, 16}


def test_a_rule_about_keys_does_not_speak_of_what_a_file_in_an_entry_sets(objects_of: ObjectsOf) -> None:
    objects = objects_of(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  db_password: x1\n  app.conf: |\n    token: x2\n"
    )
    keys = said("polaris", "sensitiveConfigmapContent", objects[0])
    assert seats(merged(objects, keys)) == {("secret-in-configmap", None, "db_password")}
    content = said("trivy", "KSV-0109", objects[0], value="token")
    assert seats(merged(objects, content)) == {("secret-in-configmap", None, "app.conf")}


def test_the_line_of_what_is_no_fault_to_others_is_that_of_the_only_field_that_can_be_meant(
    objects_of: ObjectsOf,
) -> None:
    pod = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n    - name: a\n      securityContext:\n"
    )
    one = objects_of(f"{pod}        procMount: Default\n")
    (found,) = merged(one, said("trivy", "KSV-0027", one[0], container="a"))
    assert (found.control, found.location.line, found.location.precision) == ("proc-mount", 8, "exact")
    two = objects_of(
        f"{pod}        seLinuxOptions: {{type: container_t}}\n  securityContext: {{seLinuxOptions: {{type: ''}}}}\n"
    )
    (found,) = merged(two, said("trivy", "KSV-0025", two[0]))
    assert (found.control, found.location.line, found.location.precision) == ("selinux-options", 1, "object")


def test_a_fault_of_a_container_that_is_said_of_none_has_no_seat_beside_theirs(objects_of: ObjectsOf) -> None:
    objects = objects_of("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a}, {name: b}]}\n")
    of_none = said("polaris", "runAsPrivileged", objects[0])
    of_one = said("trivy", "KSV-0017", objects[0], container="a")
    found = merged(objects, of_none, of_one)
    assert seats(found) == {("polaris:runAsPrivileged", None, None), ("privileged-container", "a", None)}
    assert {finding.gated for finding in found} == {True}
    (alone,) = objects_of("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a}]}\n")
    assert seats(merged([alone], said("polaris", "runAsPrivileged", alone))) == {("privileged-container", "a", None)}


def test_of_two_roles_of_one_name_the_first_counts_in_whatever_order_the_files_come(objects_of: ObjectsOf) -> None:
    def role(resource: str) -> str:
        return (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, namespace: n}\n"
            f"rules: [{{resources: [{resource}], verbs: [get]}}]\n---\n"
        )

    objects = objects_of(
        f"{role('secrets')}{role('pods')}apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n"
        "metadata: {name: b, namespace: n}\nroleRef: {kind: Role, name: r}\nsubjects: []\n"
    )
    evidence = located(objects, [said("kube-linter", "access-to-secrets", objects[2])])
    for order in (objects, objects[::-1]):
        (found,) = merge(evidence, order, load_catalogue(), index)
        assert (found.control, found.location.line) == ("rbac-secrets-access", 4)


def _everything() -> tuple[tuple[KubeObject, ...], tuple[Evidence, ...]]:
    objects = read_manifest("m.yaml", f"{ADDED}---{INHERITING}---{UNSELECTED}".encode(), "b").objects
    added, inheriting, plain = objects
    return objects, (
        said("trivy", "KSV-0022", added, container="a"),
        said("trivy", "KSV-0106", added, container="a", message="container should not add stuff"),
        said("trivy", "KSV-0106", added, container="a", message="container should drop all"),
        said("trivy", "KSV-0105", inheriting),
        said("trivy", "KSV-0030", inheriting, container="first"),
        said("kubescape", "C-0046", added, path=(*CAPABILITIES, 1)),
        said("kubescape", "C-0057", added, path=(*CAPABILITIES, 2)),
        said("kubescape", "C-0030", plain),
        said("kubescape", "C-0211", plain),
        said("polaris", "dangerousCapabilities", added, container="a"),
        said("polaris", "runAsRootAllowed", inheriting, container="second"),
        said("polaris", "missingNetworkPolicy", plain),
        said("polaris", "notOfThisVersion", plain),
        said("kube-linter", "privilege-escalation-container", added, container="a", value="SYS_ADMIN",
             message='container "a" has SYS_ADMIN capability hence allows privilege escalation.'),
        said("kube-linter", "run-as-non-root", inheriting, container="first"),
        said("kube-linter", "non-isolated-pod", plain),
    )  # fmt: skip


OBJECTS, EVIDENCE = _everything()
some_evidence = st.lists(st.sampled_from(EVIDENCE), unique=True)


@given(st.permutations(EVIDENCE))
def test_the_order_of_evidence_does_not_matter(evidence: list[Evidence]) -> None:
    assert merged(OBJECTS, *evidence) == merged(OBJECTS, *EVIDENCE)


@given(some_evidence)
def test_evidence_has_its_place_whatever_else_was_said(evidence: list[Evidence]) -> None:
    alone = {_face(finding) for item in evidence for finding in merged(OBJECTS, item)}
    assert {_face(finding) for finding in merged(OBJECTS, *evidence)} == alone


@given(some_evidence)
def test_no_evidence_is_lost(evidence: list[Evidence]) -> None:
    kept = {(item.tool, item.rule, item.message) for f in merged(OBJECTS, *evidence) for item in f.evidence}
    assert kept == {(item.tool, item.rule, item.message) for item in evidence}


def test_no_tool_takes_a_finding_of_another_out_of_the_gate(objects_of: ObjectsOf) -> None:
    """`both` supports a control and one that says less; `lesser` supports the latter alone."""
    anywhere = (PlaceSpec(at="metadata.name"),)
    catalogue = Catalogue(
        (
            Control(
                id="says-more",
                title="",
                severity=Severity.HIGH,
                scope="pod",
                tools={"polaris": ("both",)},
                subsumes=("says-less",),
                places=anywhere,
            ),
            Control(
                id="says-less",
                title="",
                severity=Severity.LOW,
                scope="pod",
                tools={"polaris": ("+both",), "trivy": ("lesser",)},
                places=anywhere,
            ),
        )
    )
    objects = objects_of(UNSELECTED)

    def gated(*evidence: Evidence) -> dict[str, bool]:
        found = merge(located(objects, evidence), objects, catalogue, index)
        return {finding.control: finding.gated for finding in found}

    both, lesser = said("polaris", "both", objects[0]), said("trivy", "lesser", objects[0])
    assert gated(both) == {"says-more": True, "says-less": False}
    assert gated(lesser) == {"says-less": True}
    assert gated(both, lesser) == {"says-more": True, "says-less": True}


def _face(finding: Finding) -> Finding:
    """What a finding is, without who said so and what it is related to."""
    return replace(finding, tools=(), evidence=(), related=(), gated=True)
