"""What stands around an object in its bundle: roles, budgets, autoscalers and policies, looked up once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

from kguard.model import KubeObject, ObjectIndex

Index = Callable[[KubeObject], ObjectIndex]
Value = Mapping[str, Any]
T = TypeVar("T")

_REMEMBERED = 4096

_KINDS = frozenset(
    (
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
    )
)


class Surroundings:
    """The few objects of each bundle that others are judged by. Their values are kept; they are small."""

    def __init__(self, objects: Iterable[KubeObject], index: Index) -> None:
        self._index = index
        self._once: dict[Hashable, Any] = {}
        self._beside: dict[tuple[str, str, str | None], list[tuple[KubeObject, Value]]] = defaultdict(list)
        self._named: dict[tuple[str, str, str | None, str], KubeObject] = {}
        # of two objects of one name the first counts, in whatever order the files were given
        for obj in sorted(objects, key=lambda obj: obj.key):
            ref = obj.ref
            # a ClusterRole is found by its name, whatever namespace it claims
            self._named.setdefault((obj.bundle, ref.kind, _place_of(ref.kind, ref.namespace), ref.name), obj)
            if ref.kind in _KINDS:
                self._beside[obj.bundle, ref.kind, ref.namespace].append((obj, index(obj).value))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made once for a while: evidence comes object by object, and asks the same of each several times."""
        if key not in self._once:
            if len(self._once) > _REMEMBERED:
                self._once.clear()
            self._once[key] = make()
        found: T = self._once[key]
        return found

    def role(self, binding: KubeObject, value: Value) -> KubeObject | None:
        """The role that a binding refers to, if it is in the bundle."""
        ref = mapping(value, "roleRef")
        kind = str(ref.get("kind"))
        if kind not in ("Role", "ClusterRole"):
            return None
        return self._named.get((binding.bundle, kind, _place_of(kind, binding.ref.namespace), str(ref.get("name"))))

    def selecting_policies(self, obj: KubeObject, value: Value) -> list[KubeObject]:
        """The NetworkPolicies that select a workload's pods."""
        return [policy for policy, found in self._around(obj, "NetworkPolicy") if _selects(found, "podSelector", value)]

    def budgets(self, workload: KubeObject, value: Value) -> list[KubeObject]:
        """The PodDisruptionBudgets that select a workload's pods."""
        return [
            budget
            for budget, found in self._around(workload, "PodDisruptionBudget")
            if _selects(found, "selector", value)
        ]

    def autoscaled(self, budget: KubeObject, value: Value) -> list[tuple[Value, Value]]:
        """The HorizontalPodAutoscalers of the workloads that a budget selects, each with its workload."""
        targets = [
            (scaler, self._index(workload).value)
            for _, scaler in self._around(budget, "HorizontalPodAutoscaler")
            if (workload := self._target(budget, scaler)) is not None
        ]
        return [(scaler, workload) for scaler, workload in targets if _selects(value, "selector", workload)]

    def _target(self, beside: KubeObject, scaler: Value) -> KubeObject | None:
        """The workload that an autoscaler scales, if it is in the bundle."""
        target = mapping(scaler, "spec", "scaleTargetRef")
        return self._named.get((beside.bundle, str(target.get("kind")), beside.ref.namespace, str(target.get("name"))))

    def _around(self, obj: KubeObject, kind: str) -> list[tuple[KubeObject, Value]]:
        return self._beside.get((obj.bundle, kind, obj.ref.namespace), [])


def _place_of(kind: str, namespace: str | None) -> str | None:
    return None if kind == "ClusterRole" else namespace


def mapping(value: Any, *path: str) -> Mapping[str, Any]:
    """The mapping at a path; an empty one where there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def pod_labels(value: Value) -> Mapping[str, Any]:
    """The labels of the pods that an object makes, or of the pod that it is."""
    if value.get("kind") == "Pod":
        return mapping(value, "metadata", "labels")
    if value.get("kind") == "CronJob":
        return mapping(value, "spec", "jobTemplate", "spec", "template", "metadata", "labels")
    return mapping(value, "spec", "template", "metadata", "labels")


def _selects(selecting: Value, field: str, workload: Value) -> bool:
    """matchLabels and matchExpressions; an empty selector selects all."""
    selector, labels = mapping(selecting, "spec", field), pod_labels(workload)
    if any(labels.get(key) != wanted for key, wanted in mapping(selector, "matchLabels").items()):
        return False
    expressions = _list(selector.get("matchExpressions"))
    return all(_matches(expression, labels) for expression in expressions if isinstance(expression, Mapping))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _matches(expression: Value, labels: Mapping[str, Any]) -> bool:
    key, values = str(expression.get("key")), _list(expression.get("values"))
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
