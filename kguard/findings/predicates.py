"""The conditions on places that a path pattern cannot say: effective security contexts, names, and what stands around."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kguard.findings.surroundings import Surroundings, mapping
from kguard.model import KubeObject

_SENSITIVE_NAME = re.compile(
    r"(?i)passw|pwd|token|bearer|secret|credential|api_?key|access_?key|private_?key|jwt|^key$"
)
_SECRET_KEY = re.compile(r"(?i)passw|pwd|token|bearer|secret|credential|aws_|azure|private_?key|jwt")
_SECRET_VALUE = re.compile(r"(?i)-----BEGIN|(passw\w*|token|secret)\s*[:=]")
_ASSIGNED = re.compile(r"([\w.-]{1,80})[ \t]*[:=]")
_RECOMMENDED_LABELS = ("app", "tier", "phase", "version", "owner", "env")
_DEFAULT_REPLICAS = 1
_HIGHEST_LOW_ID = 10_000
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_RESTRICTED_VOLUMES = frozenset(
    [
        "name",
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "hostPath",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)
"""The keys of a volume that the restricted standard admits; hostPath has a control of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A candidate place and what can be seen from there."""

    object: KubeObject
    root: Mapping[str, Any]
    pod: Mapping[str, Any]
    """Empty for objects without a pod spec."""
    container: Mapping[str, Any]
    """Empty outside containers."""
    parent: Any
    """What holds the place: a mapping or a list."""
    holder: Mapping[str, Any]
    """The nearest mapping around it."""
    key: str | int
    value: Any
    around: Surroundings


def effective(spot: Spot, field: str) -> Any:
    """A container's own security setting, else its pod's."""
    own = mapping(spot.container, "securityContext").get(field)
    return own if own is not None else mapping(spot.pod, "securityContext").get(field)


def _may_run_as_root(spot: Spot) -> bool:
    return effective(spot, "runAsNonRoot") is not True


def _runs_as_root(spot: Spot) -> bool:
    return effective(spot, "runAsUser") == 0 and effective(spot, "runAsUser") is not False


def _low(field: str) -> Callable[[Spot], bool]:
    """Whether an id is not said, or not above those that the node's own users have."""

    def low(spot: Spot) -> bool:
        given = effective(spot, field)
        return not isinstance(given, int) or given <= _HIGHEST_LOW_ID

    return low


def _seccomp(spot: Spot) -> Any:
    profile = effective(spot, "seccompProfile")
    return profile.get("type") if isinstance(profile, Mapping) else None


def _dropped(spot: Spot) -> set[str]:
    dropped = mapping(spot.container, "securityContext", "capabilities").get("drop")
    return {capability_name(item) for item in dropped} if isinstance(dropped, list) else set()


def _no_hardening(spot: Spot) -> bool:
    annotations = mapping(spot.root, "metadata", "annotations")
    apparmor = any("apparmor" in str(key) for key in annotations)
    return not (
        _seccomp(spot)
        or effective(spot, "seLinuxOptions")
        or effective(spot, "appArmorProfile")
        or _dropped(spot)
        or apparmor
    )


def _floating_tag(spot: Spot) -> bool:
    image = str(spot.container.get("image") or "")
    name = image.rpartition("/")[2]
    return "@" not in image and (":" not in name or name.endswith(":latest"))


def _floating_tag_may_be_stale(spot: Spot) -> bool:
    return _floating_tag(spot) and spot.container.get("imagePullPolicy") in ("IfNotPresent", "Never")


def _mounts_host_path(spot: Spot) -> bool:
    name = mapping(spot.parent).get("name")
    volumes = [mapping(item) for item in _items(spot.pod.get("volumes"))]
    return any(volume.get("name") == name and "hostPath" in volume for volume in volumes)


def _sensitive_variable(spot: Spot) -> bool:
    """A variable with a literal value whose name or value looks like a secret."""
    variable = mapping(spot.value)
    name, value = str(variable.get("name")), variable.get("value")
    return value not in (None, "") and bool(_SENSITIVE_NAME.search(name) or _SECRET_VALUE.search(str(value)))


def _duplicate_variable(spot: Spot) -> bool:
    names = [mapping(item).get("name") for item in spot.parent]
    return names.count(mapping(spot.value).get("name")) > 1


def secrets_assigned(text: str) -> set[str]:
    """The names of what a text of a configuration file sets that look like secrets: `password` of `password: x`."""
    return {name for name in _ASSIGNED.findall(text) if _SECRET_KEY.search(name)}


def _secret_entry(spot: Spot) -> bool:
    return bool(_SECRET_KEY.search(str(spot.key)) or _SECRET_VALUE.search(str(spot.value)))


def _no_recommended_label(spot: Spot) -> bool:
    return not any(label in mapping(spot.root, "metadata", "labels") for label in _RECOMMENDED_LABELS)


def _has_common_label(spot: Spot) -> bool:
    return any(str(label).startswith("app.kubernetes.io/") for label in mapping(spot.root, "metadata", "labels"))


def _no_policy_selects_it(spot: Spot) -> bool:
    return not spot.around.selecting_policies(spot.object, spot.root)


def _only_peer(spot: Spot) -> bool:
    """Of several peers, no tool says which selects nothing."""
    rules = [
        mapping(peer)
        for direction, side in (("ingress", "from"), ("egress", "to"))
        for rule in _items(mapping(spot.root, "spec").get(direction))
        for peer in _items(mapping(rule).get(side))
    ]
    return sum("podSelector" in peer for peer in rules) == 1


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _invalid_port_name(spot: Spot) -> bool:
    """A port that is a name and no IANA service name."""
    if isinstance(spot.value, int):
        return False
    return not (_PORT_NAME.fullmatch(str(spot.value)) and "--" not in str(spot.value))


def _loosens_apparmor(spot: Spot) -> bool:
    default = ("runtime/default", "localhost/")
    return str(spot.key).startswith(_APPARMOR) and not str(spot.value).startswith(default)


def _takes_probes(spot: Spot) -> bool:
    """Of the containers that start before a pod's main ones, only those that stay can be asked how they are."""
    main = _items(spot.pod.get("containers"))
    return any(item is spot.container for item in main) or spot.container.get("restartPolicy") == "Always"


def _runs(program: str) -> Callable[[Spot], bool]:
    """Whether a container's command is a program of the control plane."""

    def runs(spot: Spot) -> bool:
        command = spot.container.get("command")
        return isinstance(command, list) and str(next(iter(command), "")).rpartition("/")[2] == program

    return runs


def _overruled(spot: Spot) -> list[Mapping[str, Any]]:
    """The workloads that a budget selects and whose autoscaler may go down to what the budget wants to keep."""
    if not isinstance(spot.value, int):
        return []
    found = []
    for scaler, workload in spot.around.autoscaled(spot.object, spot.root):
        least = mapping(scaler, "spec").get("minReplicas", _DEFAULT_REPLICAS)
        if isinstance(least, int) and least <= spot.value:
            found.append(workload)
    return found


def _budget_over_replicas(spot: Spot) -> bool:
    """The budget is held against replicas too, unless only an autoscaler sets them."""
    overruled = _overruled(spot)
    return not overruled or any("replicas" in mapping(workload, "spec") for workload in overruled)


def capability_name(item: Any) -> str:
    """SYS_ADMIN for `CAP_SYS_ADMIN` and `sys_admin`."""
    return str(item).upper().removeprefix("CAP_")


PREDICATES: Mapping[str, Callable[[Spot], bool]] = {
    "budget-over-autoscaler": lambda spot: bool(_overruled(spot)),
    "budget-over-replicas": _budget_over_replicas,
    "duplicate-variable": _duplicate_variable,
    "floating-tag": _floating_tag,
    "floating-tag-may-be-stale": _floating_tag_may_be_stale,
    "has-common-label": _has_common_label,
    "invalid-port-name": _invalid_port_name,
    "is-left-to-run-as-root": lambda spot: effective(spot, "runAsNonRoot") is None and _runs_as_root(spot),
    "is-told-to-run-as-root": lambda spot: effective(spot, "runAsNonRoot") is False,
    "keeps-capabilities": lambda spot: "ALL" not in _dropped(spot),
    "keeps-net-raw": lambda spot: not _dropped(spot) & {"ALL", "NET_RAW"},
    "loosens-apparmor": _loosens_apparmor,
    "low-group-id": _low("runAsGroup"),
    "low-user-id": _low("runAsUser"),
    "may-run-as-root": _may_run_as_root,
    "mounts-host-path": _mounts_host_path,
    "no-common-label": lambda spot: not _has_common_label(spot),
    "no-hardening": _no_hardening,
    "no-policy-selects-it": _no_policy_selects_it,
    "no-recommended-label": _no_recommended_label,
    "no-seccomp-profile": lambda spot: _seccomp(spot) is None,
    "only-peer": _only_peer,
    "other-entry": lambda spot: not _secret_entry(spot),
    "runs-as-root": _runs_as_root,
    "runs-etcd": _runs("etcd"),
    "runs-kube-apiserver": _runs("kube-apiserver"),
    "runs-kube-controller-manager": _runs("kube-controller-manager"),
    "runs-kube-scheduler": _runs("kube-scheduler"),
    "seccomp-unconfined": lambda spot: _seccomp(spot) == "Unconfined",
    "no-owner-label": lambda spot: "owner" not in mapping(spot.root, "metadata", "labels"),
    "secret-entry": _secret_entry,
    "secret-variable": lambda spot: bool(mapping(spot.value, "valueFrom", "secretKeyRef")),
    "sensitive-variable": _sensitive_variable,
    "takes-probes": _takes_probes,
    "volume-type-outside-the-list": lambda spot: spot.key not in _RESTRICTED_VOLUMES,
}
