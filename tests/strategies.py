"""Hypothesis strategies for the merge: small manifests with faults, and what the tools could say of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from kguard.findings.catalogue import Control, RuleMapping, load_catalogue
from kguard.findings.locate import locate
from kguard.findings.places import Place, places
from kguard.findings.surroundings import Surroundings
from kguard.inputs.objects import index, read_manifest
from kguard.model import Container, Evidence, KubeObject, Located, ObjectHint, StagedFile, StagePart

TOOLS = ("kube-linter", "trivy", "kubescape", "polaris", "checkov", "kube-score")

# -- made manifests -------------------------------------------------------------------------------------------------------

Strategy = st.SearchStrategy[Any]


def some(**optional: Strategy) -> Strategy:
    """A mapping with any of these fields."""
    return st.fixed_dictionaries({}, optional=optional)


def one_to(most: int, *kinds: Strategy) -> Strategy:
    return st.lists(st.one_of(*kinds), min_size=1, max_size=most)


def few(item: Strategy, by: Callable[[Any], Any] = str) -> Strategy:
    """A short list of things that differ in what `by` gives."""
    return st.lists(item, max_size=3, unique_by=by)


def with_name(*names: str, **fields: Strategy) -> Strategy:
    return st.fixed_dictionaries({"name": one_of(names), **fields})


one_of, flag = st.sampled_from, st.booleans()
ids = one_of([0, 999, 20000])
capabilities = few(one_of(["ALL", "SYS_ADMIN", "CAP_NET_RAW", "NET_ADMIN", "SYS_MODULE", "CHOWN"]))
seccomp = st.fixed_dictionaries({"type": one_of(["RuntimeDefault", "Unconfined", "Localhost"])})
context = some(
    privileged=flag,
    allowPrivilegeEscalation=flag,
    readOnlyRootFilesystem=flag,
    runAsNonRoot=flag,
    runAsUser=ids,
    runAsGroup=ids,
    procMount=one_of(["Default", "Unmasked"]),
    seccompProfile=seccomp,
    capabilities=st.fixed_dictionaries({"add": capabilities, "drop": capabilities}),
)
port = st.fixed_dictionaries({"containerPort": one_of([22, 80, 8080])}, optional={"hostPort": one_of([80, 9000])})
secret = st.just({"secretKeyRef": {"name": "store", "key": "k"}})
variables = ("MODE", "CLIENT_SECRET", "API_TOKEN")
variable = with_name(*variables, value=one_of(["fast", "s3cr3t"])) | with_name(*variables, valueFrom=secret)
mount = with_name("v", "w", mountPath=one_of(["/x", "/var/run/docker.sock"]), readOnly=flag)
host_path = st.fixed_dictionaries({"path": one_of(["/etc", "/srv", "/var/run/docker.sock"])})
volume = with_name("v", "w", hostPath=host_path)
container = st.fixed_dictionaries(
    {
        "name": one_of(["a", "b", "c"]),
        "image": one_of(["x", "x:latest", "x:1", "host:5000/x", "x@sha256:1"]),
        "ports": few(port),
        "env": st.lists(variable, max_size=3),
        "envFrom": few(st.just({"secretRef": {"name": "store"}})),
        "volumeMounts": few(mount, by=itemgetter("name")),
    },
    optional={
        "imagePullPolicy": one_of(["Always", "IfNotPresent"]),
        "securityContext": context,
        "resources": some(limits=some(cpu=st.just("1")), requests=some(memory=st.just("1Gi"))),
        "livenessProbe": st.just({"tcpSocket": {"port": 80}}),
    },
)
pod = st.fixed_dictionaries(
    {"containers": one_to(3, container)},
    optional={
        "initContainers": one_to(2, container),
        "securityContext": some(runAsNonRoot=flag, runAsUser=ids, fsGroup=ids, seccompProfile=seccomp),
        "volumes": few(volume, by=itemgetter("name")),
        "hostPID": flag,
        "hostIPC": flag,
        "hostNetwork": flag,
        "automountServiceAccountToken": flag,
        "serviceAccountName": one_of(["default", "robot"]),
    },
)
LABELS = {"app": "x"}


def _workload(kind: str, spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": LABELS}, "spec": spec}
    match kind:
        case "Pod":
            return {"apiVersion": "v1", "kind": kind, "spec": spec}
        case "CronJob":
            return {"apiVersion": "batch/v1", "kind": kind, "spec": {"jobTemplate": {"spec": {"template": template}}}}
        case _:
            return {"apiVersion": "apps/v1", "kind": kind, "spec": {"replicas": 2, "template": template}}


RBAC = {"apiVersion": "rbac.authorization.k8s.io/v1"}
RESOURCES = ["*", "secrets", "pods", "pods/exec", "pods/attach", "configmaps", "roles"]
rule = st.fixed_dictionaries(
    {
        "resources": one_to(3, one_of(RESOURCES)),
        "verbs": one_to(3, one_of(["*", "get", "create", "delete", "escalate"])),
    }
)
subject = st.fixed_dictionaries({"kind": st.just("User"), "name": one_of(["ada", "system:anonymous"])})
bound = st.fixed_dictionaries(
    {"kind": one_of(["Role", "Role", "ClusterRole"]), "name": one_of(["one", "one", "cluster-admin"])}
)
role = st.builds(
    lambda kind, rules: {**RBAC, "kind": kind, "rules": rules}, one_of(["Role", "Role", "ClusterRole"]), one_to(3, rule)
)
binding = st.builds(
    lambda kind, ref, subjects: {**RBAC, "kind": kind, "roleRef": ref, "subjects": subjects},
    one_of(["RoleBinding", "RoleBinding", "ClusterRoleBinding"]),
    bound,
    few(subject),
)
workload = st.builds(_workload, one_of(["Pod", "Deployment", "StatefulSet", "CronJob"]), pod)
settings_of_app = st.builds(
    lambda data: {"apiVersion": "v1", "kind": "ConfigMap", "data": data},
    some(password=st.just("x1"), api_key=st.just("x2"), file=one_of(["a: 1", "token: x3"])),
)
selector = {"matchLabels": LABELS}
budget = one_of([1, 2, "100%"]).map(
    lambda least: {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "spec": {"minAvailable": least, "selector": selector},
    }
)
scaler = one_of([1, 2]).map(
    lambda least: {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "spec": {"minReplicas": least, "scaleTargetRef": {"kind": "Deployment", "name": "one"}},
    }
)
policy = st.just({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"podSelector": {}}})
bare_deployment = st.builds(_workload, st.just("Deployment"), st.just({"containers": [{"name": "a", "image": "x:1"}]}))


def named(made: Strategy, *names: str) -> Strategy:
    """An object with one of a few names, so that some have the same."""
    return st.builds(
        lambda name, namespace, value: {**value, "metadata": {"name": name, **namespace, "labels": LABELS}},
        one_of(names),
        one_of([{"namespace": "n"}, {"namespace": "n"}, {}]),
        made,
    )


pods = one_to(3, named(workload, "one", "two"))
access = st.builds(
    lambda roles, bindings: roles + bindings, one_to(3, named(role, "one")), one_to(2, named(binding, "one"))
)
others = one_to(5, *(named(kind, "one") for kind in (bare_deployment, budget, scaler, policy, settings_of_app)))
families = one_of([pods, pods, pods, access, others]).flatmap(lambda family: family)
"""What stands in a few files, and often belongs together; pods have most of the faults."""


def objects_of(made: Sequence[Any], bundles: Sequence[str]) -> tuple[KubeObject, ...]:
    """Each in a file of its own, some of them of one identity."""
    found = []
    for number, (value, bundle) in enumerate(zip(made, bundles, strict=True)):
        (obj,) = read_manifest(f"{bundle}/{number}.yaml", json.dumps(value, indent=1).encode(), bundle).objects
        found.append(replace(obj, staged=f"tree/{number}--1.yaml"))
    return tuple(found)


# -- what tools could say -------------------------------------------------------------------------------------------------


UNKNOWN = tuple(
    RuleMapping(control="", tool=tool, rule="of-a-later-version", partial=False, secondary=False) for tool in TOOLS
)


@dataclass(frozen=True)
class Cue:
    """That a rule could speak of an object, and the place that it would mean; None where only the tool sees one."""

    control: str
    mapping: RuleMapping
    place: Place | None


@lru_cache(maxsize=1)
def speaking() -> tuple[tuple[Control, tuple[RuleMapping, ...]], ...]:
    """The controls that have places in such manifests, with their rules."""
    catalogue = load_catalogue()
    return tuple(
        (control, tuple(item for item in catalogue.rules_of(control.id) if item.tool in TOOLS))
        for control in catalogue.controls.values()
        if control.places and not any("--" in place.at for place in control.places)
    )


def _fits(control: Control, obj: KubeObject) -> bool:
    """Whether rules of a control look at objects of this kind."""
    match control.scope:
        case "container" | "pod" | "workload":
            return index(obj).pod is not None or control.anchor is not None
        case "rbac":
            return obj.ref.group == RBAC["apiVersion"].partition("/")[0]
        case _:
            return True


def cues(obj: KubeObject, around: Surroundings) -> Iterator[Cue]:
    """Every rule with every place that one of its controls has in an object, or in the role or budget to which the object leads."""
    own = index(obj)
    role = around.role(obj, own.value) if "Binding" in obj.ref.kind else None
    beside = {"role": [role] if role else [], "budget": around.budgets(obj, own.value)}
    for control, rules in speaking():
        if not _fits(control, obj):
            continue
        ends = [obj, *beside.get(control.anchor or "", ())]
        shown: list[Place | None] = [place for end in ends for place in places(control, end, index(end), around)]
        if not shown and (own.containers if control.scope == "container" else control.anchor):
            shown = [None]  # a tool may see what no place shows
        for mapping in rules:
            yield from (Cue(control.id, mapping, place) for place in shown)
    yield from (Cue("", mapping, None) for mapping in UNKNOWN)


@st.composite
def evidence(draw: st.DrawFn, cue: Cue, obj: KubeObject, others: Sequence[KubeObject]) -> Evidence:
    """What the tool of a cue would print: each names the object, and gives the hints that this tool gives."""
    mapping, place, own = cue.mapping, cue.place, index(obj)
    holders = [place.container] if place else [*own.containers]
    inside = (
        next((item for item in holders if item in own.containers), None) if place else draw(one_of(holders or [None]))
    )
    said = Evidence(
        tool=mapping.tool,
        rule=mapping.rule,
        title="",
        native_severity=draw(one_of([None, "low", "HIGH"])),
        message=mapping.says.pattern if mapping.says else draw(one_of(["", "said"])),
        url=None,
        object=ObjectHint(staged=obj.staged),
        inner_rule=mapping.inner,
    )
    names = st.none() | one_of(sorted(place.names)) if place and place.names else st.none()
    match mapping.tool:
        case "kube-linter":
            return replace(said, container=inside.given if inside else None, value=draw(names))
        case "polaris" | "kube-score":
            # it names no container for what it checks in the pod as a whole
            return replace(said, container=inside.given if inside and draw(flag) else None)
        case "trivy":
            path = draw(one_of([(), inside.path if inside else (), place.path if place else ()]))
            lines = own.staged_spans.get(path)
            return replace(said, container=inside.given if inside else None, lines=lines, value=draw(names))
        case "checkov":
            return replace(said, path=place.path if place and draw(flag) else None)
        case _:
            return replace(said, **draw(_path(place, inside, obj, others)))


@st.composite
def _path(
    draw: st.DrawFn, place: Place | None, inside: Container | None, obj: KubeObject, others: Sequence[KubeObject]
) -> Any:
    """kubescape's hints: a path, through the object or one beside it, and the objects that it joined."""
    path = place.path if place else (*inside.path, "image") if inside else None
    if "Binding" not in obj.ref.kind:
        return {"path": path}
    roles = [other for other in others if other.ref.kind in ("Role", "ClusterRole")]
    related = tuple(
        ObjectHint(staged=item.staged)
        for item in (obj, *draw(st.lists(one_of(roles), max_size=1) if roles else st.just([])))
    )
    return {"path": ("roleRef", "name"), "related": related}


@dataclass(frozen=True)
class Said:
    """Objects, and what was said of them; the title of each piece of evidence is its number."""

    objects: tuple[KubeObject, ...]
    located: tuple[Located, ...]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a failing example is read by."""
        manifests = [f"{obj.key}: {json.dumps(index(obj).value)}" for obj in self.objects]
        evidence = [
            f"{said.title}: {said.tool} {said.rule} on {item.object.key} {item.container and item.container.name}"
            f" {item.path} {said.value} {said.message!r}"
            for item in self.located
            for said in [item.evidence]
        ]
        printer.text("\n".join(["", *manifests, *evidence, ""]))


def numbered(objects: Sequence[KubeObject], located: Sequence[Located]) -> Said:
    items = (replace(item, evidence=replace(item.evidence, title=str(number))) for number, item in enumerate(located))
    return Said(objects=tuple(objects), located=tuple(items))


@st.composite
def said(draw: st.DrawFn) -> Said:
    """A few objects in two bundles, and up to eight pieces of evidence about each, of the rules of one to four controls."""
    made = draw(families)
    objects = objects_of(made, [draw(one_of(["one", "one", "one", "two"])) for _ in made])
    around = Surroundings(objects, index)
    could = {obj: list(cues(obj, around)) for obj in objects}
    controls = sorted({cue.control for found in could.values() for cue in found})
    # controls that tell faults apart are few, and what is theirs is easily joined
    alike = [name for name in controls if name and load_catalogue().controls[name].discriminated]
    about = draw(st.sets(one_of(controls) | one_of(alike or controls), min_size=1, max_size=4))
    located: list[Located] = []
    for obj in objects:
        others = [other for other in objects if other.bundle == obj.bundle]
        files = tuple(StagedFile(path=other.staged, ref=other.ref) for other in others)
        part = StagePart(id="1", bundle=obj.bundle, root=Path("/stage"), files=files)
        own = [cue for cue in could[obj] if cue.control in about]
        for cue in draw(st.lists(one_of(own), min_size=2, max_size=8) if own else st.just([])):
            item = draw(evidence(cue, obj, others))
            located += locate(part, [item], {other.staged: other for other in others}, index)
    return numbered(objects, located)
