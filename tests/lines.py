"""The line check: how exact the lines of findings are, whether the line is the fault's, and that none is invented.

`python tests/lines.py CATALOGUE [FOLDER...]` runs every tool that is there over the one-fault manifests of the catalogue and over
the real-world FOLDERs, prints each line that is wrong or invented, and writes docs/lines.md. Exit code 1 when a line is invented
or fewer than 98 % of the judged ones are right.

It reads manifests with code of its own (`Tree`): nothing here comes from kguard's index, places or locations, so that both cannot
be wrong in the same way.

**Invented** is a line on which what is named does not stand. Of a finding that names a field (`fix.path`):

- `exact`: the field stands in the manifest, and the line is that of its key, or of the first line of a list's item;
- `container`, `object`: the field does not stand there, and the line is that of the nearest thing around it that does (a key, an
  item, the container's first line, the object's first line), inside the container or outside of all.

Of a finding that names none: the container's first line, or the object's. The lines of every statement lie in an object of the
file that they name.

**Right**, on a one-fault manifest, is what differs from its clean twin. `FIELDS` says, by hand, which fields each control is about; a
difference of any other field makes no line right. In this order, and what comes later counts only where nothing before it applies:

1. A field of the control is new or has another value: the line of its key. Items of a list have lines of their own: of `resources:
   [nodes]` that became `[secrets]` the line of `secrets`, not that of `resources` or of the rule. Where a control is about a mapping
   (`podSelector`) and the difference is inside, the line of the mapping's key is right too.
2. A field of the control is gone: the nearest thing around it that still stands, or what it is gone from: the container's first line,
   else the line of the pod's `spec`, else the object's first line. The same for a field that a new container lacks and its
   siblings have, and for the container of the finding where the field is gone from the pod's `securityContext`, from which it
   would take it.
3. Nothing of the control differs in the finding's own object (the policy that selects a pod is gone): the object's first line, or a
   field that ties it to what differs: a reference with its name, the labels of its pods, its selector.

A line in another container than the finding's is never right. A manifest without a twin is new as a whole. Judged are the findings that
the twin does not have, of the controls that the case breaks (probes/cases.tsv).
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

import cofire
import yaml
from tabulate import tabulate

from kguard import scan
from kguard.findings.catalogue import load_catalogue
from kguard.findings.merge import merge
from kguard.inputs.objects import index
from kguard.model import BundleKind, FieldPath, Finding, Location, Precision, Report, ToolRun
from kguard.settings import Profile, Settings

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "lines.md"
ENOUGH = 0.98
PRECISIONS = (Precision.EXACT, Precision.CONTAINER, Precision.OBJECT)
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
PODS: Mapping[str, FieldPath] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
TEMPLATE: FieldPath = ("spec", "template")

FIELDS: Mapping[str, tuple[str, ...]] = {
    "added-capabilities": ("add",),
    "allow-privilege-escalation": ("allowPrivilegeEscalation",),
    "apparmor-profile": ("appArmorProfile", "annotations *apparmor*"),
    "bound-service-account-token": ("automountServiceAccountToken",),
    "cloud-credentials-mount": ("volumes hostPath",),
    "cluster-admin-binding": ("roleRef name",),
    "container-runtime-socket-mount": ("volumes hostPath path",),
    "cpu-limit-missing": ("limits cpu",),
    "cpu-request-missing": ("requests cpu",),
    "dangerous-capabilities": ("add",),
    "dangling-gateway-backend": ("backendRefs", "backendRefs name"),
    "dangling-ingress": ("backend service name",),
    "dangling-network-policy": ("spec podSelector",),
    "dangling-network-policy-peer": ("from podSelector", "to podSelector"),
    "dangling-service": ("selector",),
    "dangling-service-monitor": ("selector",),
    "default-namespace": ("metadata namespace",),
    "default-service-account": ("serviceAccountName",),
    "deprecated-api-version": ("apiVersion",),
    "deprecated-image-registry": ("image",),
    "deprecated-service-account-field": ("serviceAccount",),
    "dns-config-options": ("dnsConfig",),
    "drop-all-capabilities": ("drop=ALL",),
    "duplicate-env-variable": ("env",),
    "email-annotation": ("annotations",),
    "env-source-exists": ("env valueFrom * name", "envFrom * name"),
    "exposed-service-type": ("spec type",),
    "hardcoded-secret-in-env": ("env",),
    "host-aliases": ("hostAliases",),
    "host-ipc": ("hostIPC",),
    "host-network": ("hostNetwork",),
    "host-path-volume": ("volumes hostPath",),
    "host-pid": ("hostPID",),
    "host-port": ("hostPort",),
    "host-process-windows": ("hostProcess",),
    "hpa-max-replicas": ("maxReplicas",),
    "hpa-min-replicas": ("minReplicas",),
    "hpa-target-exists": ("scaleTargetRef",),
    "image-digest": ("image",),
    "image-pull-policy-always": ("imagePullPolicy",),
    "image-pull-policy-latest": ("imagePullPolicy",),
    "image-tag-latest": ("image",),
    "ingress-nginx-annotations": ("annotations *",),
    "ingress-tls": ("tls",),
    "instance-label-mismatch": ("labels app.kubernetes.io/instance",),
    "invalid-target-port": ("targetPort",),
    "job-ttl": ("ttlSecondsAfterFinished",),
    "kube-system-namespace": ("metadata namespace",),
    "kubernetes-common-labels": ("labels app.kubernetes.io/*",),
    "limit-range-incomplete": ("limits",),
    "linux-hardening": ("seccompProfile", "seLinuxOptions", "appArmorProfile", "drop"),
    "liveness-probe-missing": ("livenessProbe",),
    "liveness-probe-port": ("livenessProbe httpGet port",),
    "low-group-id": ("runAsGroup",),
    "low-user-id": ("runAsUser",),
    "memory-limit-missing": ("limits memory",),
    "memory-request-missing": ("requests memory",),
    "mounted-configmap-volume": ("volumes configMap", "volumeMounts"),
    "mounted-persistent-volume": ("volumes persistentVolumeClaim", "volumeMounts"),
    "mounted-secret-volume": ("volumes secret", "volumeMounts"),
    "naked-pod": ("kind",),
    "namespace-network-policy": (),
    "namespace-pod-security-baseline": ("labels",),
    "namespace-pod-security-restricted": ("labels",),
    "net-raw-capability": ("drop=ALL",),
    "net-raw-capability-added": ("add",),
    "network-policy-ingress-egress": (),
    "network-policy-missing": (),
    "node-affinity-missing": ("nodeAffinity",),
    "owner-label": ("labels owner",),
    "pdb-max-unavailable": ("maxUnavailable",),
    "pdb-min-available": ("minAvailable",),
    "pdb-min-available-above-hpa-minimum": ("minAvailable",),
    "pdb-missing": (),
    "pdb-unhealthy-pod-eviction-policy": ("unhealthyPodEvictionPolicy",),
    "pod-anti-affinity": ("podAntiAffinity",),
    "policy-control-mechanism": ("labels",),
    "priority-class-missing": ("priorityClassName",),
    "priority-class-not-allowed": ("priorityClassName",),
    "privileged-container": ("privileged",),
    "privileged-port": ("containerPort",),
    "proc-mount": ("procMount",),
    "rbac-anonymous-binding": ("subjects name",),
    "rbac-aws-auth-configmap": ("verbs", "resources", "resourceNames"),
    "rbac-bind-escalate": ("verbs", "resources"),
    "rbac-clusterrolebinding-privilege": ("verbs", "resources", "resourceNames"),
    "rbac-configmaps": ("resources=configmaps",),
    "rbac-create-pods": ("verbs", "resources"),
    "rbac-csr-approval": ("verbs", "resources"),
    "rbac-delete-events": ("verbs=delete", "resources=events"),
    "rbac-delete-pod-logs": ("verbs=delete", "resources=pods/log"),
    "rbac-delete-workloads": ("verbs=delete", "resources"),
    "rbac-impersonate": ("verbs", "resources"),
    "rbac-networking": ("verbs", "resources"),
    "rbac-nodes-proxy": ("resources=nodes/proxy",),
    "rbac-persistent-volumes": ("verbs", "resources"),
    "rbac-pod-attach": ("resources=pods/attach", "resources=pods"),
    "rbac-pod-exec": ("resources=pods/exec", "resources=pods"),
    "rbac-port-forward": ("resources=pods/portforward",),
    "rbac-rolebinding-change": ("verbs", "resources"),
    "rbac-rolebinding-privilege": ("verbs", "resources", "resourceNames"),
    "rbac-secrets-access": ("resources=secrets",),
    "rbac-service-account-token": ("verbs", "resources"),
    "rbac-system-authenticated-binding": ("subjects name",),
    "rbac-system-masters-binding": ("subjects name",),
    "rbac-webhook-configurations": ("verbs", "resources"),
    "rbac-wildcard": ("verbs=*", "resources=*", "apiGroups=*"),
    "read-only-root-filesystem": ("readOnlyRootFilesystem",),
    "readiness-probe-missing": ("readinessProbe",),
    "readiness-probe-port": ("readinessProbe httpGet port",),
    "recommended-labels": ("metadata labels",),
    "replicas-minimum": ("spec replicas",),
    "resource-quota-incomplete": ("hard",),
    "restart-policy": ("restartPolicy",),
    "restricted-volume-types": ("volumes", "volumes nfs"),
    "rolling-update-strategy": ("strategy", "strategy type", "updateStrategy", "updateStrategy type"),
    "root-group-id": ("runAsGroup", "fsGroup", "supplementalGroups"),
    "root-user-id": ("runAsUser",),
    "run-as-non-root": ("runAsNonRoot", "runAsUser"),
    "seccomp-profile": ("seccompProfile",),
    "seccomp-unconfined": ("seccompProfile type",),
    "secret-as-env-variable": ("env", "envFrom", "envFrom secretRef"),
    "secret-in-configmap": ("data *",),
    "security-context-missing": ("securityContext",),
    "selector-mismatch": ("spec selector",),
    "selinux-options": ("seLinuxOptions", "seLinuxOptions type"),
    "sensitive-data-in-configmap": ("data *",),
    "sensitive-host-path": ("volumes hostPath path",),
    "service-account-exists": ("serviceAccountName",),
    "service-account-token-automount": ("automountServiceAccountToken",),
    "service-external-ip": ("externalIPs", "spec type", "externalName"),
    "ssh-port": ("containerPort", "ports port"),
    "startup-probe-port": ("startupProbe httpGet port",),
    "sudo-in-entrypoint": ("command",),
    "sys-admin-capability": ("add",),
    "sys-module-capability": ("add",),
    "tiller-deployed": ("image",),
    "topology-spread-constraint": ("topologySpreadConstraints",),
    "trusted-image-registry": ("image",),
    "unsafe-sysctls": ("sysctls", "sysctls name"),
    "workload-administrative-role": (),
    "workload-takeover-role": (),
    "writable-host-path": ("volumeMounts", "volumeMounts readOnly"),
}
"""What each control is about: the last keys of a field's path, `*` within a key for anything; after `=` the value of the item."""

COMMANDS = ("admission-", "api-server-", "controller-manager-", "etcd-", "scheduler-")
"""Controls of the control plane's flags, which stand in `command`."""


# -- reading --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """An object of a file, with the line of each key and item."""

    root: yaml.MappingNode
    above: int
    """Lines of the file above its document."""

    @property
    def kind(self) -> str:
        return self._word("kind")

    @property
    def name(self) -> str:
        return self._word("metadata", "name")

    @property
    def namespace(self) -> str:
        return self._word("metadata", "namespace")

    def _word(self, *path: str) -> str:
        found = self.node(path)
        return found.value if isinstance(found, yaml.ScalarNode) and found.value != "null" else ""

    def node(self, path: FieldPath) -> yaml.Node | None:
        found = self._pair(path)
        return found[1] if found else None

    def line(self, path: FieldPath) -> int | None:
        """The line of a field's key, of an item's start, or () of the object; None for what does not stand there."""
        found = self._pair(path)
        return found[0].start_mark.line + 1 + self.above if found else None

    def _pair(self, path: FieldPath) -> tuple[yaml.Node, yaml.Node] | None:
        """(what names it, what it is): a key and its value, or an item twice."""
        named: yaml.Node = self.root
        value: yaml.Node = self.root
        for step in path:
            pair = _step(value, step)
            if pair is None:
                return None
            named, value = pair
        return named, value

    def last_line(self, path: FieldPath) -> int:
        found = self.node(path)
        assert found is not None
        return max(node.end_mark.line for node in _leaves(found)) + 1 + self.above

    @property
    def pod(self) -> FieldPath:
        """The path of the pod, its metadata and spec, where it has one."""
        return PODS.get(self.kind, TEMPLATE)

    @property
    def containers(self) -> dict[FieldPath, str]:
        found: dict[FieldPath, str] = {}
        for name in CONTAINERS:
            items = self.node((*self.pod, "spec", name))
            for number, item in enumerate(items.value if isinstance(items, yaml.SequenceNode) else ()):
                given = _step(item, "name")
                found[(*self.pod, "spec", name, number)] = str(given[1].value) if given else ""
        return found

    def names(self, container: FieldPath) -> tuple[str, str]:
        """What a container may be called: by its name, or by its place where it has none of its own."""
        return self.containers[container], f"{container[-2]}[{container[-1]}]"

    def around(self, path: FieldPath) -> FieldPath:
        """The nearest thing around a field that stands there."""
        while path and self.line(path) is None:
            path = path[:-1]
        return path


def _step(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(step, int):
        fits = isinstance(node, yaml.SequenceNode) and step < len(node.value)
        return (node.value[step], node.value[step]) if fits else None
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in reversed(node.value):  # the last of duplicate keys counts
        if isinstance(key, yaml.ScalarNode) and key.value == step and key.tag != "tag:yaml.org,2002:merge":
            return key, value
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if found := _step(source, step):
                    return found
    return None


def _leaves(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield from _leaves(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _leaves(item)
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        yield node


@lru_cache(maxsize=4096)
def trees(path: str) -> tuple[Tree, ...]:
    """The objects of a file; what is not YAML is passed over."""
    lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines(keepends=True)
    starts = [0, *(number for number, line in enumerate(lines) if re.match(r"---(\s|$)", line))]
    found: list[Tree] = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        try:
            node = yaml.compose("".join(lines[start:end]), Loader=yaml.CSafeLoader)
        except (yaml.YAMLError, ValueError):
            continue
        found.extend(_objects(node, start))
    return tuple(found)


def _objects(node: yaml.Node | None, above: int) -> Iterator[Tree]:
    if not isinstance(node, yaml.MappingNode):
        return
    tree, items = Tree(node, above), _step(node, "items")
    if tree.kind.endswith("List") and items and isinstance(items[1], yaml.SequenceNode):
        for item in items[1].value:
            yield from _objects(item, above)
    elif tree.kind or tree.node(("apiVersion",)):
        yield tree


def path_of(text: str) -> FieldPath:
    """`spec.containers[0]["a.b/c"]` as the steps of a path."""
    steps = re.findall(r'\["([^"]*)"\]|\[(\d+)\]|([^.\[\]]+)', text)
    return tuple(quoted or (int(number) if number else key) for quoted, number, key in steps)


# -- no line is invented --------------------------------------------------------------------------------------------------


def invented(finding: Finding) -> str | None:
    """What is wrong with the lines of a finding on plain manifests; None for lines where the thing that is named stands."""
    reasons = [_invented(finding, tree) for tree in objects_of(finding)] or ["the object is not in the file"]
    if None not in reasons:
        return reasons[0]
    return next((reason for item in finding.evidence if (reason := _outside(item.location))), None)


def objects_of(finding: Finding, among: Sequence[Tree] | None = None) -> list[Tree]:
    """The objects that a finding can mean, of its file."""
    ref = finding.object
    # items of typed lists need not name their kind
    return [
        tree
        for tree in (trees(finding.location.path) if among is None else among)
        if tree.name == ref.name and tree.namespace == (ref.namespace or "") and tree.kind in (ref.kind, "")
    ]


def _invented(finding: Finding, tree: Tree) -> str | None:
    here, path = finding.location, path_of(finding.fix.path) if finding.fix else ()
    if here.precision is Precision.EXACT:
        right = {tree.line(path)} if path else set()
    elif path and tree.line(path) is not None:
        return f"{path} stands in the manifest, but the precision is {here.precision}"
    else:
        right = _around(finding, tree, path)
    if here.line is not None and here.line in right:
        return None
    return f"{here.precision}: {path} is not at line {here.line} but at {sorted(line for line in right if line)}"


def _around(finding: Finding, tree: Tree, path: FieldPath) -> set[int | None]:
    """The lines of what is around a field that does not stand there."""
    around = tree.around(path)
    holder = next((place for place in tree.containers if path[: len(place)] == place), None)
    named = [place for place in tree.containers if finding.container in tree.names(place)]
    holders = named or ([holder] if holder else [])
    if finding.location.precision is Precision.CONTAINER:
        return {tree.line(around if around[: len(place)] == place else place) for place in holders}
    return {tree.line(around)} if finding.location.precision is Precision.OBJECT and not holders else set()


def _outside(location: Location | None) -> str | None:
    """A statement's line lies in an object of its file."""
    if location is None or location.line is None:
        return None
    if any((tree.line(()) or 0) <= location.line <= tree.last_line(()) for tree in trees(location.path)):
        return None
    return f"a statement's line {location.line} is in no object of {location.path}"


# -- the fault's line, from the difference to the clean twin --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that one of two objects has and the other has not, or not so."""

    path: FieldPath
    gone: bool
    value: yaml.Node
    """The node where it stands: of the twin for what is gone."""


@dataclass(frozen=True, slots=True)
class Twins:
    """A manifest with its clean twin."""

    pairs: tuple[tuple[Tree, Tree | None], ...]
    """Each object with its clean twin, None for a new one."""
    gone: tuple[Tree, ...]
    """The clean objects that are not there any more."""

    @property
    def objects(self) -> list[Tree]:
        return [tree for tree, _ in self.pairs]

    def differences(self, tree: Tree) -> tuple[Difference, ...]:
        twin = next(twin for own, twin in self.pairs if own is tree)
        if twin is None:
            return (Difference((), False, tree.root),)
        return (*_differences(twin.root, tree.root, ()), *_lacking(tree, twin))

    def others(self, tree: Tree) -> list[Tree]:
        """What differs besides an object: changed, new or gone ones."""
        return [*self.gone, *(item for item in self.objects if item is not tree and self.differences(item))]


def twins(manifest: Path, clean: Path | None) -> Twins:
    """Objects are paired by kind and name, then by name, then by kind."""
    mine, theirs = trees(str(manifest)), list(trees(str(clean))) if clean else []
    pairs: dict[int, Tree] = {}
    likenesses: tuple[Callable[[Tree], object], ...] = (lambda t: (t.kind, t.name), lambda t: t.name, lambda t: t.kind)
    for face in likenesses:
        for number, tree in enumerate(mine):
            found = next((item for item in theirs if face(item) == face(tree)), None)
            if number not in pairs and found is not None:
                pairs[number] = found
                theirs.remove(found)
    return Twins(tuple((tree, pairs.get(number)) for number, tree in enumerate(mine)), tuple(theirs))


def _differences(old: yaml.Node, new: yaml.Node, path: FieldPath) -> Iterator[Difference]:
    if isinstance(old, yaml.MappingNode) and isinstance(new, yaml.MappingNode):
        before, after = ({key.value: value for key, value in node.value} for node in (old, new))
        yield from (Difference((*path, key), True, before[key]) for key in before if key not in after)
        for key, value in after.items():
            if key in before:
                yield from _differences(before[key], value, (*path, key))
            else:
                yield Difference((*path, key), False, value)
    elif isinstance(old, yaml.SequenceNode) and isinstance(new, yaml.SequenceNode):
        yield from _in_lists(old.value, new.value, path)
    elif not _equals(old, new):
        yield Difference(path, False, new)


def _in_lists(old: Sequence[yaml.Node], new: Sequence[yaml.Node], path: FieldPath) -> Iterator[Difference]:
    """Items are paired when they are equal, then when they have one name, then in order when both are mappings."""
    left, pairs = list(old), dict[int, yaml.Node]()
    for same in (_equals, _namesakes, _both_mappings):
        for number, item in enumerate(new):
            found = next((other for other in left if same(other, item)), None)
            if number not in pairs and found is not None:
                pairs[number] = found
                left.remove(found)
    yield from (Difference((*path, len(new)), True, item) for item in left)
    for number, item in enumerate(new):
        if number in pairs:
            yield from _differences(pairs[number], item, (*path, number))
        else:
            yield Difference((*path, number), False, item)


def _equals(one: yaml.Node, two: yaml.Node) -> bool:
    return _plain(one) == _plain(two)


def _namesakes(one: yaml.Node, two: yaml.Node) -> bool:
    names = [found[1] for node in (one, two) if (found := _step(node, "name"))]
    return len(names) == 2 and _equals(*names)


def _both_mappings(one: yaml.Node, two: yaml.Node) -> bool:
    return isinstance(one, yaml.MappingNode) and isinstance(two, yaml.MappingNode)


def _plain(node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return (node.tag, node.value)


def _lacking(tree: Tree, twin: Tree) -> Iterator[Difference]:
    """What a new container lacks of those that its siblings have."""
    siblings = [twin.node(place) for place in twin.containers]
    known = set(twin.containers.values())
    for place, name in tree.containers.items():
        mine = tree.node(place)
        if name not in known and mine is not None and siblings and siblings[0] is not None:
            yield from (item for item in _differences(siblings[0], mine, place) if item.gone)


def right_lines(twins: Twins, tree: Tree, control: str, container: str | None) -> frozenset[int]:
    """The lines that are right for a fault of a control in an object of a one-fault manifest."""
    differences = twins.differences(tree)
    inherited = [_inherited(tree, item, container) for item in differences]
    for lines, found in ((_standing, differences), (_gone, (*differences, *filter(None, inherited)))):
        right = frozenset(
            line
            for item in found
            for pattern in fields(control)
            for line in lines(tree, item, pattern)
            if container is None or not _in_another(tree, line, container)
        )
        if right:
            return right
    return frozenset(_ties(twins, tree))


def _inherited(tree: Tree, difference: Difference, container: str | None) -> Difference | None:
    """What a container lacks because its pod does."""
    spec = (*tree.pod, "spec")
    path = difference.path
    own = next((place for place in tree.containers if container in tree.names(place)), None)
    if own is None or not difference.gone or path[: len(spec) + 1] != (*spec, "securityContext"):
        return None
    mirrored = (*own, *path[len(spec) :])
    return None if tree.line(mirrored) is not None else Difference(mirrored, True, difference.value)


def fields(control: str) -> tuple[str, ...]:
    """Raises KeyError for a control of which nobody said what it is about."""
    return ("command",) if control.startswith(COMMANDS) else FIELDS[control]


def _standing(tree: Tree, difference: Difference, pattern: str) -> set[int]:
    """Lines of what is new or changed, where the control is about it, about something in it, or about a mapping around it."""
    if difference.gone:
        return set()
    found = {
        tree.line(path)
        for path, node in _below(difference.path, difference.value)
        if _about(path, node, pattern) and not (isinstance(node, yaml.SequenceNode) and node.value)
    }
    for length in range(1, len(difference.path)):
        path = difference.path[:length]
        node = tree.node(path)
        if node is not None and not isinstance(node, yaml.SequenceNode) and _about(path, node, pattern):
            found |= {tree.line(path), tree.line(difference.path)}
    return {line for line in found if line is not None}


def _gone(tree: Tree, difference: Difference, pattern: str) -> set[int]:
    """Lines of what stands around a field that is gone."""
    path = difference.path
    parts = [*_below(path, difference.value), *((path[:length], None) for length in range(1, len(path)))]
    if not difference.gone or not any(_about(part, node, pattern) for part, node in parts):
        return set()
    spec = (*tree.pod, "spec")
    holder = next((place for place in tree.containers if path[: len(place)] == place), None)
    if holder is None:
        holder = spec if path[: len(spec)] == spec and tree.containers else ()
    return {line for line in (tree.line(tree.around(path)), tree.line(holder)) if line is not None}


def _below(path: FieldPath, node: yaml.Node) -> Iterator[tuple[FieldPath, yaml.Node]]:
    yield path, node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _below((*path, key.value), value)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _below((*path, number), item)


def _about(path: FieldPath, node: yaml.Node | None, pattern: str) -> bool:
    """Whether a field is one that a pattern of FIELDS names."""
    tail, _, wanted = pattern.partition("=")
    keys = [step for step in path if isinstance(step, str)]
    words = tail.split()
    if len(keys) < len(words) or not all(map(fnmatchcase, keys[len(keys) - len(words) :], words)):
        return False
    if not wanted or node is None:
        return not wanted
    return isinstance(node, yaml.ScalarNode) and (node.value == wanted or (wanted == "*" and "*" in node.value))


def _in_another(tree: Tree, line: int, container: str) -> bool:
    """Whether a line is in a container that is not the one that is named."""
    around = [place for place in tree.containers if (tree.line(place) or 0) <= line <= tree.last_line(place)]
    return any(container not in tree.names(place) for place in around)


def _ties(twins: Twins, tree: Tree) -> set[int]:
    """The object's first line, and the fields that tie it to other objects that differ."""
    others = twins.others(tree)
    names = {other.name for other in others}
    found = {tree.line(())}
    for path, node in _below((), tree.root):
        if isinstance(node, yaml.ScalarNode) and node.value in names and path != ("metadata", "name"):
            found.add(tree.line(path))
    if others:
        selecting = ((*tree.pod, "metadata", "labels"), ("spec", "selector"), ("spec", "podSelector"))
        found |= {tree.line(path) for path in selecting}
    return {line for line in found if line is not None}


# -- the one-fault manifests ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """A one-fault manifest: its clean twin, and the controls that it breaks."""

    name: str
    twin: str | None
    controls: frozenset[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding on a one-fault manifest, with the lines that are right."""

    case: str
    finding: Finding
    lines: frozenset[int]

    @property
    def right(self) -> bool:
        return self.finding.location.line in self.lines

    def __str__(self) -> str:
        found = self.finding
        place = f"{found.fix.path if found.fix else 'no field'}, {found.location.precision}"
        right = " or ".join(map(str, sorted(self.lines)))
        return f"{self.case}: {found.control} is at line {found.location.line} ({place}), right is {right}"


def cases(catalogue: Path) -> list[Case]:
    """The one-fault manifests of the catalogue, without the clean ones."""
    with (catalogue / "probes" / "cases.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Case(row["case"], None if row["clean_twin"] == "-" else row["clean_twin"], frozenset(row["controls"].split()))
        for row in rows
        if not row["case"].startswith("00-")
    ]


def judge(manifests: Path, case: Case, found: Mapping[str, Iterable[Finding]]) -> Iterator[Judged]:
    """The findings of a case that are its fault's. `found`: the findings of each case, and of the clean twins."""
    both = twins(manifests / f"{case.name}.yaml", manifests / f"{case.twin}.yaml" if case.twin else None)
    before = {_face(finding) for finding in found.get(case.twin or "", ())}
    for finding in found[case.name]:
        if finding.control in case.controls and _face(finding) not in before:
            own = objects_of(finding, both.objects)
            lines = (right_lines(both, tree, finding.control, finding.container) for tree in own)
            yield Judged(case.name, finding, frozenset[int]().union(*lines))


def _face(finding: Finding) -> tuple[object, ...]:
    return (finding.control, str(finding.object), finding.container, finding.discriminator)


def settings() -> Settings:
    """Every rule of every tool."""
    rules = dict(pair.split("=", 1) for pair in os.environ.get("KGUARD_RULES", "").split())
    return Settings(profile=Profile.ALL, rules={name: Path(path) for name, path in rules.items()})


def one_by_one(manifests: Path) -> dict[str, tuple[Finding, ...]]:
    """What kguard finds in each manifest of a folder when it stands alone, by its name."""
    return {
        case.name: merge(case.located, case.objects, load_catalogue(), index)
        for case in cofire.gather(manifests, settings())
    }


# -- the table ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """What docs/lines.md is made of."""

    sets: Mapping[str, Sequence[Finding]]
    judged: Sequence[Judged]
    invented: Sequence[str]
    tools: Sequence[ToolRun]
    notes: Sequence[str]

    @property
    def findings(self) -> list[Finding]:
        return [finding for findings in self.sets.values() for finding in findings]

    @property
    def wrong(self) -> list[Judged]:
        return [item for item in self.judged if not item.right]


def on_plain(report: Report) -> list[Finding]:
    """The findings on manifests that stand in their files as they are."""
    plain = {bundle.id for bundle in report.inputs.bundles if bundle.kind is BundleKind.PLAIN}
    return [finding for finding in report.findings if finding.bundle in plain]


def shares(groups: Mapping[str, Iterable[Finding]], name: str) -> str:
    """A table: findings of each group, and the share of each precision."""
    rows = []
    for group, findings in groups.items():
        counts = Counter(finding.location.precision for finding in findings)
        total = sum(counts.values())
        rows.append([group, f"{total:,}", *(f"{counts[item]:,} ({counts[item] / total:.0%})" for item in PRECISIONS)])
    columns = [name, "findings", *(str(item) for item in PRECISIONS)]
    return tabulate(rows, columns, tablefmt="github", disable_numparse=True, colalign=("left", *["right"] * 4))


def by_tools(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Findings by the tools that found them: those of one tool first, the largest groups first among equals."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.tools, []).append(finding)
    ordered = sorted(groups, key=lambda tools: (len(tools), -len(groups[tools]), tools))
    return {" + ".join(tools): groups[tools] for tools in ordered}


def document(measured: Measured) -> str:
    """docs/lines.md."""
    everything, judged = measured.findings, len(measured.judged)
    right = judged - len(measured.wrong)
    return f"""# The lines of findings on plain manifests

Made by `make lines` on {datetime.now(UTC):%Y-%m-%d}, in profile `all`, with {", ".join(map(_version, measured.tools))}.
What counts as right and as invented stands in `tests/lines.py`, which reads the manifests with code of its own.

- **{right} of {judged} lines right ({right / judged:.1%})** on the one-fault manifests of the catalogue: the line is the difference to the
  clean twin, or, for a field that is gone, the line of what it is gone from.
- **{len(measured.invented)} of {len(everything):,} lines invented**: the field, container or object that a finding names stands on its line.

Wrong:

{_listed(measured.wrong) or "- none"}

## By tools

`exact` is the line of the field itself. `container` and `object` are the line of the nearest thing around a field that is missing, in
a container or outside of all.

{shares({**by_tools(everything), "**all**": everything}, "found by")}

## By manifests

{shares(measured.sets, "manifests")}

{_listed(measured.notes)}
"""


def _version(tool: ToolRun) -> str:
    """With the version of its rules where they are files of their own."""
    rules = f" ({tool.rules.source.partition(':')[0]})" if tool.rules and tool.rules.digest else ""
    return f"{tool.name} {tool.version}{rules}"


def _listed(items: Iterable[object]) -> str:
    return "\n".join(f"- {item}" for item in items)


def measure(catalogue: Path, folders: Iterable[str]) -> Measured:
    """Run the tools over the one-fault manifests and over each folder."""
    manifests = catalogue / "probes" / "manifests"
    found = one_by_one(manifests)
    sets = {"one-fault manifests": [finding for findings in found.values() for finding in findings]}
    tools: dict[str, ToolRun] = {}
    notes = []
    for folder in folders:
        report = scan.scan([folder], settings())
        sets[folder] = on_plain(report)
        tools.update((tool.name, tool) for tool in report.tools)
        if incomplete := ", ".join(f"{tool.name} {tool.state}" for tool in report.tools if not tool.state.complete):
            notes.append(f"{folder}: not every tool read everything ({incomplete}).")
    judged = [item for case in cases(catalogue) for item in judge(manifests, case, found)]
    silent = sum(len(case.controls - {item.control for item in found[case.name]}) for case in cases(catalogue))
    notes.append(f"{silent} faults of the one-fault manifests have no line: no rule at hand finds them.")
    reasons = ((finding, invented(finding)) for findings in sets.values() for finding in findings)
    made_up = [f"{finding.location.path}: {finding.control}: {reason}" for finding, reason in reasons if reason]
    return Measured(sets, judged, made_up, [tools[name] for name in sorted(tools)], notes)


def main(catalogue: Path, folders: Iterable[str]) -> int:
    measured = measure(catalogue, folders)
    for line in measured.invented:
        print(f"invented  {line}")
    for item in measured.wrong:
        print(f"wrong     {item}")
    TABLE.write_text(document(measured))
    share = 1 - len(measured.wrong) / len(measured.judged)
    print(f"{share:.1%} of {len(measured.judged)} lines right, {len(measured.invented)} invented; see {TABLE}")
    return 0 if share >= ENOUGH and not measured.invented else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
