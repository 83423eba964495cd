"""The places of controls: patterns, conditions, inheritance, and what tells faults apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kguard.findings.catalogue import load_catalogue
from kguard.findings.merge import field_text
from kguard.findings.places import places
from kguard.findings.surroundings import Surroundings
from kguard.inputs.objects import index
from kguard.model import KubeObject

ObjectsOf = Callable[[str], tuple[KubeObject, ...]]


def pod(spec: str) -> str:
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: n, labels: {{app: p}}}}\nspec: {spec}\n"


def role(rules: str) -> str:
    return f"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: r}}\nrules: {rules}\n"


CASES = [
    ("host-pid", pod("{hostPID: true, containers: []}"), [("spec.hostPID", None)]),
    ("host-pid", pod("{hostPID: false, containers: []}"), []),
    (
        "allow-privilege-escalation",
        pod("{containers: [{name: a}, {name: b, securityContext: {allowPrivilegeEscalation: false}}]}"),
        [("spec.containers[0].securityContext.allowPrivilegeEscalation", None)],
    ),
    (
        "dangerous-capabilities",
        pod("{containers: [{name: a, securityContext: {capabilities: {add: [CAP_NET_ADMIN, CHOWN, sys_ptrace]}}}]}"),
        [
            ("spec.containers[0].securityContext.capabilities.add[0]", "NET_ADMIN"),
            ("spec.containers[0].securityContext.capabilities.add[2]", "SYS_PTRACE"),
        ],
    ),
    (
        "added-capabilities",
        pod("{containers: [{name: a, securityContext: {capabilities: {add: [NET_ADMIN, CHOWN]}}}]}"),
        [("spec.containers[0].securityContext.capabilities.add[1]", "CHOWN")],
    ),
    (
        "root-user-id",
        pod("{securityContext: {runAsUser: 0}, containers: [{name: a}, {name: b, securityContext: {runAsUser: 5}}]}"),
        [("spec.securityContext.runAsUser", None)],
    ),
    (
        "writable-host-path",
        pod("{volumes: [{name: h, hostPath: {path: /x}}, {name: e, emptyDir: {}}], containers: [{name: a, volumeMounts: "
            "[{name: h, mountPath: /1}, {name: e, mountPath: /2}, {name: h, mountPath: /3, readOnly: true}]}]}"),
        [("spec.containers[0].volumeMounts[0].readOnly", "h")],
    ),
    (
        "secret-as-env-variable",
        pod("{containers: [{name: a, env: [{name: X, valueFrom: {secretKeyRef: {name: s}}}, {name: Y, value: z}], "
            "envFrom: [{secretRef: {name: all}}]}]}"),
        [("spec.containers[0].env[0]", "X"), ("spec.containers[0].envFrom[0].secretRef", "secretRef:all")],
    ),
    (
        "image-tag-latest",
        pod("{containers: [{name: a, image: 'host:5000/x'}, {name: b, image: 'x:latest'}, {name: c, image: 'x@sha256:1'}, "
            "{name: d, image: 'x:1'}]}"),
        [("spec.containers[0].image", None), ("spec.containers[1].image", None)],
    ),
    ("privileged-port", pod("{containers: [{name: a, ports: [{containerPort: 80}, {containerPort: 8080}]}]}"),
     [("spec.containers[0].ports[0].containerPort", "80")]),
    (
        "rbac-secrets-access",
        role("[{resources: [pods], verbs: [get]}, {resources: ['*'], verbs: [list]}, {resources: [secrets], verbs: ['*']}]"),
        [("rules[1].resources[0]", None), ("rules[2].resources[0]", None)],
    ),
    ("rbac-wildcard", role("[{resources: [pods], verbs: ['*']}]"), [("rules[0].verbs[0]", None)]),
]  # fmt: skip


@pytest.mark.parametrize(("control", "text", "expected"), CASES)
def test_places(control: str, text: str, expected: list[tuple[str, str | None]], objects_of: ObjectsOf) -> None:
    (obj,) = objects_of(text)
    found = places(load_catalogue().controls[control], obj, index(obj), Surroundings([obj], index))
    assert [(field_text(place.path), place.discriminator) for place in found] == expected


@pytest.mark.parametrize(
    ("selector", "missing"),
    [
        ("{}", False),
        ("{matchLabels: {app: p}}", False),
        ("{matchLabels: {app: q}}", True),
        ("{matchExpressions: [{key: app, operator: In, values: [p, q]}]}", False),
        ("{matchExpressions: [{key: app, operator: DoesNotExist}]}", True),
        ("{matchExpressions: [{key: app, operator: NotIn, values: [p]}]}", True),
        ("{matchExpressions: [{key: tier, operator: Exists}]}", True),
        ("{matchExpressions: 5}", False),
        ("{matchExpressions: [{key: [x], operator: In, values: 5}]}", True),
        ("{matchLabels: {app: [p]}}", True),
    ],
)
@pytest.mark.parametrize("namespace", ["n", "elsewhere"])
def test_network_policies_select_by_labels_in_their_namespace(
    selector: str, missing: bool, namespace: str, objects_of: ObjectsOf
) -> None:
    policy = f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: x, namespace: {namespace}}}\n"
    objects = objects_of(pod("{containers: []}") + "---\n" + policy + f"spec: {{podSelector: {selector}}}\n")
    control = load_catalogue().controls["network-policy-missing"]
    found = places(control, objects[0], index(objects[0]), Surroundings(objects, index))
    assert bool(found) is (missing or namespace == "elsewhere")


def test_no_control_chokes_on_an_object_of_odd_shapes(objects_of: ObjectsOf) -> None:
    odd = [
        "spec: null",
        "spec: {containers: null}",
        "spec: {containers: [null, 7, {}]}",
        "spec: {containers: [{name: a, env: x, ports: [1], securityContext: [], volumeMounts: {}, resources: 3, image: 5}], volumes: x}",
        "spec: {securityContext: yes, containers: [{securityContext: {capabilities: {add: x, drop: {}}, seccompProfile: x}}]}",
        "spec: {containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}], volumes: true}",
        "spec: {initContainers: [{name: a}], containers: true}",
        "data: [1]\nrules: x\nsubjects: {}\nroleRef: []",
    ]
    for kind in ("Pod", "Deployment", "ConfigMap", "Role", "PodDisruptionBudget", "NetworkPolicy"):
        for rest in odd:
            text = f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: o, labels: [x], annotations: y}}\n{rest}\n"
            (obj,) = objects_of(text)
            for control in load_catalogue().controls.values():
                places(control, obj, index(obj), Surroundings([obj], index))
