"""The lines of findings: each is right where the fault is known, and none is invented."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import lines
import native
import pytest

from kguard.findings.catalogue import load_catalogue
from kguard.findings.merge import field_text, merge
from kguard.findings.places import places
from kguard.findings.surroundings import Surroundings
from kguard.inputs.objects import index
from kguard.model import Finding, KubeObject, Located, Precision

Evidence = Callable[[str], tuple[Located, ...]]
ObjectsOf = Callable[[str], tuple[KubeObject, ...]]


def findings(stage: str, evidence: Evidence) -> tuple[Finding, ...]:
    return merge(evidence(stage), native.staged(stage).objects, load_catalogue(), index)


# -- kguard's own manifests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["faults", "several-faults", "shop"])
def test_no_line_is_invented(stage: str, evidence: Evidence) -> None:
    found = findings(stage, evidence)
    assert [f"{item.control} {item.object}: {reason}" for item in found if (reason := lines.invented(item))] == []
    assert {item.location.precision for item in found} == {Precision.EXACT, Precision.CONTAINER, Precision.OBJECT}


@pytest.mark.parametrize("by", [-1, 1])
def test_a_line_that_is_one_off_is_seen(by: int, evidence: Evidence) -> None:
    for finding in findings("faults", evidence):
        assert finding.location.line is not None
        moved = replace(finding.location, line=finding.location.line + by)
        assert lines.invented(replace(finding, location=moved)) is not None, finding


def test_a_precision_that_is_too_good_or_too_bad_is_seen(evidence: Evidence) -> None:
    for finding in findings("faults", evidence):
        for precision in {*Precision} - {finding.location.precision}:
            assert lines.invented(replace(finding, location=replace(finding.location, precision=precision))), finding


# -- one fault each, against a clean twin ---------------------------------------------------------------------------------

CLEAN = """\
apiVersion: v1
kind: Pod
metadata:
  name: p
  namespace: prod
  labels: {app: p}
spec:
  hostPID: false
  automountServiceAccountToken: false
  securityContext:
    runAsUser: 20000
    runAsGroup: 20000
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: a
      image: gcr.io/x/a:1.2.3
      command:
        - kube-apiserver
        - --anonymous-auth=false
        - --profiling=false
      securityContext:
        runAsNonRoot: true
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities:
          drop:
            - ALL
      resources:
        limits: {cpu: 1m, memory: 1Mi}
        requests:
          cpu: 1m
          memory: 1Mi
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: prod}
rules:
  - apiGroups: [""]
    resources: [pods]
    verbs: [get]
  - apiGroups: [""]
    resources:
      - services
      - endpoints
    verbs:
      - get
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np, namespace: prod}
spec:
  podSelector: {matchLabels: {app: p}}
  policyTypes: [Ingress, Egress]
"""

ONE_FAULT = [
    ("privileged-container", "        runAsNonRoot: true\n", "        runAsNonRoot: true\n        privileged: true\n"),
    ("host-pid", "hostPID: false", "hostPID: true"),
    ("run-as-non-root", "        runAsNonRoot: true\n", ""),
    ("run-as-non-root", "runAsNonRoot: true", "runAsNonRoot: false"),
    ("root-user-id", "runAsUser: 20000", "runAsUser: 0"),
    ("low-user-id", "runAsUser: 20000", "runAsUser: 1000"),
    ("low-group-id", "    runAsGroup: 20000\n", ""),
    ("read-only-root-filesystem", "        readOnlyRootFilesystem: true\n", ""),
    ("allow-privilege-escalation", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
    ("drop-all-capabilities", "            - ALL\n", "            - CHOWN\n"),
    ("seccomp-profile", "    seccompProfile: {type: RuntimeDefault}\n", ""),
    ("memory-request-missing", "          memory: 1Mi\n", ""),
    ("cpu-limit-missing", "cpu: 1m, ", ""),
    ("image-tag-latest", "x/a:1.2.3", "x/a"),
    ("service-account-token-automount", "automountServiceAccountToken: false", "automountServiceAccountToken: true"),
    ("kube-system-namespace", "  namespace: prod\n", "  namespace: kube-system\n"),
    ("api-server-anonymous-auth", "anonymous-auth=false", "anonymous-auth=true"),
    ("api-server-profiling", "        - --profiling=false\n", ""),
    ("rbac-secrets-access", "      - endpoints\n", "      - secrets\n"),
    ("rbac-wildcard", "      - get\n", "      - get\n      - '*'\n"),
    ("network-policy-missing", "podSelector: {matchLabels: {app: p}}", "podSelector: {matchLabels: {app: q}}"),
]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], list[lines.Judged]]:
    """What is judged of each case; trivy and kubescape always run, kube-linter and polaris where they are installed."""
    folder = tmp_path_factory.mktemp("one-fault")
    (folder / "00-clean.yaml").write_text(CLEAN)
    for number, (_, good, bad) in enumerate(ONE_FAULT):
        assert good in CLEAN
        (folder / f"{number}.yaml").write_text(CLEAN.replace(good, bad, 1))
    found = lines.one_by_one(folder)

    def judged(number: int) -> list[lines.Judged]:
        case = lines.Case(str(number), "00-clean", frozenset({ONE_FAULT[number][0]}))
        return list(lines.judge(folder, case, found))

    return judged


@pytest.mark.parametrize("number", range(len(ONE_FAULT)))
def test_the_line_is_the_difference_to_the_clean_twin(
    number: int, planted: Callable[[int], list[lines.Judged]]
) -> None:
    judged = planted(number)
    assert judged, ONE_FAULT[number]
    assert [str(item) for item in judged if not item.right] == []


def test_the_difference_makes_few_lines_right(planted: Callable[[int], list[lines.Judged]]) -> None:
    judged = [item for number in range(len(ONE_FAULT)) for item in planted(number)]
    assert all(1 <= len(item.lines) <= 4 for item in judged), [str(item) for item in judged]
    assert sum(len(item.lines) == 1 for item in judged) > len(judged) / 2


def test_the_probes(tmp_path: Path) -> None:
    """A twentieth of the one-fault manifests of the catalogue; `make lines` judges all."""
    catalogue = Path(os.environ.get("KGUARD_CATALOGUE", native.FIXTURES.parents[1] / "shared" / "catalogue"))
    if not (catalogue / "probes").is_dir():
        pytest.skip("the one-fault manifests are not here (KGUARD_CATALOGUE names their folder)")
    judged = _judged(catalogue, lines.cases(catalogue)[::20], tmp_path)
    wrong = [str(item) for item in judged if not item.right]
    assert len(wrong) <= (1 - lines.ENOUGH) * len(judged), wrong
    assert [reason for item in judged if (reason := lines.invented(item.finding))] == []


def _judged(catalogue: Path, cases: Sequence[lines.Case], folder: Path) -> list[lines.Judged]:
    manifests = catalogue / "probes" / "manifests"
    for name in {name for case in cases for name in (case.name, case.twin) if name}:
        (folder / f"{name}.yaml").symlink_to(manifests / f"{name}.yaml")
    found = lines.one_by_one(folder)
    return [item for case in cases for item in lines.judge(folder, case, found)]


# -- the places that lines need -------------------------------------------------------------------------------------------

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: prod}\nspec: "
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, labels: {app: d}}\nspec: "
ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\nrules: "
POLICY = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np}\nspec: "
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: "
SERVER = (
    "[{name: b}, {name: a, command: [/bin/kube-apiserver, --profiling=true, --secure-port, '0', --profiling=false]}]"
)

PLACES = [
    ("api-server-profiling", POD + f"{{containers: {SERVER}}}", ["spec.containers[1].command[4]"]),
    ("api-server-secure-port", POD + f"{{containers: {SERVER}}}", ["spec.containers[1].command[2]"]),
    ("api-server-client-ca-file", POD + f"{{containers: {SERVER}}}", ["spec.containers[1].command.--client-ca-file"]),
    ("etcd-auto-tls", POD + f"{{containers: {SERVER}}}", []),
    ("etcd-auto-tls", POD + "{containers: [{name: a, command: etcd}]}", []),
    (
        "rbac-create-pods",
        ROLE + "[{verbs: [get, create, update], resources: [services, pods]}, {verbs: ['*'], resources: ['*']}]",
        ["rules[0].verbs[1]", "rules[1].verbs[0]"],
    ),
    ("rbac-configmaps", ROLE + "[{verbs: [update], resources: [pods, configmaps]}]", ["rules[0].resources[1]"]),
    ("rbac-configmaps", ROLE + "[{verbs: [get], resources: [configmaps]}, {verbs: update}]", []),
    (
        "network-policy-ingress-egress",
        DEPLOYMENT + "{template: {metadata: {labels: {app: d}}, spec: {containers: []}}}",
        ["spec.template.metadata.labels"],
    ),
    (
        "network-policy-ingress-egress",
        DEPLOYMENT + "{template: {spec: {containers: []}}}",
        ["spec.template.metadata.labels"],
    ),
    ("network-policy-ingress-egress", POD + "{no: containers}", ["metadata.labels"]),
    (
        "low-user-id",
        POD
        + "{securityContext: {runAsUser: 5}, containers: [{name: a}, {name: b, securityContext: {runAsUser: 20000}}]}",
        ["spec.securityContext.runAsUser"],
    ),
    (
        "low-group-id",
        POD + "{containers: [{name: a}]}",
        ["spec.containers[0].securityContext.runAsGroup"],
    ),
    (
        "run-as-non-root",
        POD + "{containers: [{name: a, securityContext: {runAsUser: 0}}]}",
        ["spec.containers[0].securityContext.runAsUser", "spec.containers[0].securityContext.runAsNonRoot"],
    ),
    (
        "run-as-non-root",
        POD + "{containers: [{name: a, securityContext: {runAsUser: 0, runAsNonRoot: false}}]}",
        ["spec.containers[0].securityContext.runAsNonRoot", "spec.containers[0].securityContext.runAsUser"],
    ),
    (
        "restricted-volume-types",
        POD + "{volumes: [{name: a, emptyDir: {}}, {name: b, nfs: {path: /}}], containers: []}",
        ["spec.volumes[1].nfs"],
    ),
    (
        "invalid-target-port",
        SERVICE
        + "{ports: [{targetPort: 80}, {targetPort: web}, {targetPort: a--b}, {targetPort: much-longer-than-15}]}",
        ["spec.ports[2].targetPort", "spec.ports[3].targetPort"],
    ),
    (
        "dangling-network-policy-peer",
        POLICY + "{ingress: [{from: [{podSelector: {}}]}]}",
        ["spec.ingress[0].from[0].podSelector"],
    ),
    (
        "dangling-network-policy-peer",
        POLICY + "{ingress: [{from: [{podSelector: {}}]}], egress: [{to: [{podSelector: {}}]}]}",
        [],
    ),
    ("dangling-network-policy-peer", POLICY + "{ingress: x}", []),
    ("rolling-update-strategy", DEPLOYMENT.replace("Deployment", "DaemonSet") + "{}", ["spec.updateStrategy.type"]),
    ("rolling-update-strategy", DEPLOYMENT + "{}", ["spec.strategy.type"]),
]


@pytest.mark.parametrize(("control", "text", "expected"), PLACES)
def test_places(control: str, text: str, expected: list[str], objects_of: ObjectsOf) -> None:
    (obj,) = objects_of(text)
    found = places(load_catalogue().controls[control], obj, index(obj), Surroundings([obj], index))
    assert [field_text(place.path) for place in found] == expected


def test_an_annotation_that_loosens_apparmor(objects_of: ObjectsOf) -> None:
    annotation = "container.apparmor.security.beta.kubernetes.io/"
    template = f"{{metadata: {{annotations: {{{annotation}a: runtime/default, {annotation}b: unconfined}}}}, spec: {{containers: []}}}}"
    (obj,) = objects_of(DEPLOYMENT + f"{{template: {template}}}")
    found = places(load_catalogue().controls["apparmor-profile"], obj, index(obj), Surroundings([obj], index))
    assert [place.path[-1] for place in found] == [f"{annotation}b"]


def test_any_verb_or_resource_of_a_rule_touches_its_place(objects_of: ObjectsOf) -> None:
    (obj,) = objects_of(ROLE + "[{verbs: [list, get], resources: [pods, secrets]}]")
    (place,) = places(load_catalogue().controls["rbac-secrets-access"], obj, index(obj), Surroundings([obj], index))
    assert field_text(place.path) == "rules[0].resources[1]"
    assert place.touches(("rules", 0, "verbs", 1))
    assert not place.touches(("rules", 1))
