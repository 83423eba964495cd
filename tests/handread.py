"""The raw output of checkov and kube-score, read for the parity check without kguard's adapters."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kguard.inputs.objects import index
from kguard.model import KubeObject

if TYPE_CHECKING:
    from parity import Folder, Key

Json = dict[str, Any]
OF_CONTAINERS = re.compile(r"container-|environment-variable-")
"""kube-score's checks whose comments have the name of a container as their path."""
AMONG_OBJECTS = frozenset(
    (
        *("deployment-has-poddisruptionbudget", "deployment-replicas", "deployment-strategy", "pod-networkpolicy"),
        *("deployment-targeted-by-hpa-does-not-have-replicas-configured", "horizontalpodautoscaler-has-target"),
        *("ingress-targets-service", "networkpolicy-targets-pod", "pod-probes", "service-targets-pod"),
        *("statefulset-has-poddisruptionbudget", "statefulset-has-servicename"),
    )
)
"""kube-score's checks that look for other objects."""


def kube_score(printed: bytes) -> tuple[frozenset[Key], frozenset[Key]]:
    """What it found, and the objects that it names, as kind, namespace and name: it prints every one that it read."""
    found: set[Key] = set()
    read: set[Key] = set()
    for one in json.loads(printed) or ():
        identity = (
            one["type_meta"]["kind"],
            one["object_meta"].get("namespace", ""),
            one["object_meta"].get("name", ""),
        )
        read.add(identity)
        for score in one["checks"]:
            if score["grade"] < 10 and not score["skipped"]:
                rule = score["check"]["id"]
                paths = [comment["path"] for comment in score["comments"] or [{"path": ""}]]
                found |= {(rule, *identity, path if OF_CONTAINERS.match(rule) else "") for path in paths}
    return frozenset(found), frozenset(read)


def checkov(printed: bytes, folder: Folder, plain: Path) -> tuple[frozenset[Key], frozenset[KubeObject]]:
    """What it found, and the objects that it judged at all: with its passes, every one that it has a check for."""
    report: Json = json.loads(printed)
    results: Json = report.get("results", {})
    found: set[Key] = set()
    read: set[KubeObject] = set()
    for verdict in ("failed_checks", "passed_checks", "skipped_checks"):
        for record in results.get(verdict, ()):
            file = os.path.relpath(record["file_abs_path"], plain)
            objects = _meant(record, file, folder)
            read.update(objects)
            if verdict == "failed_checks":
                found |= {_key(record, file, obj) for obj in objects}
    return frozenset(found), frozenset(read)


def _meant(record: Json, file: str, folder: Folder) -> Sequence[KubeObject]:
    """By the name in the record, with the namespace that it invents. A pod inside a workload has a name that is made of the workload's
    and of its labels; of several in one file with one such name, it judges one for all. Else by the lines, which are the workload's."""
    there = [obj for obj in folder.objects if folder.file(obj) == file]
    named = [obj for obj in there if record["resource"] in _names(obj)]
    line = record["file_line_range"][0]
    return named or [obj for obj in there if obj.origin.span.line <= line <= obj.origin.span.end_line][:1]


def _names(obj: KubeObject) -> Iterator[str]:
    place = f"{obj.ref.namespace or 'default'}.{obj.ref.name}"
    yield f"{obj.ref.kind}.{place}"
    node: Any = index(obj).value
    for step in ("spec", "template", "metadata", "labels"):
        node = node.get(step) if isinstance(node, dict) else None
    if isinstance(node, dict) and node:
        yield ".".join(["Pod", place, *(f"{key}-{value}" for key, value in node.items())])


def _key(record: Json, file: str, obj: KubeObject) -> Key:
    steps = [key.split("/") for key in record["check_result"]["evaluated_keys"]]
    # a check that names no field of a container says initContainers, whichever it means
    places = {tuple(step[: place + 2]) for step in steps for place in _containers(step) if len(step) > place + 2}
    names = {
        container.given
        for container in index(obj).containers
        if tuple(f"[{step}]" if isinstance(step, int) else step for step in container.path) in places
    }
    ref = obj.ref
    return (record["check_id"], file, ref.kind, ref.namespace or "", ref.name, " ".join(sorted(names)))


def _containers(steps: list[str]) -> Iterator[int]:
    return (place for place, step in enumerate(steps) if step in ("containers", "initContainers"))
