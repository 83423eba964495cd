"""kube-score: one process over all files of a part, JSON on stdout.

Format: `json_v2` of zegl/kube-score. kube-score takes files and no folders, and one that it cannot read ends the whole run. It grades a
check of an object, and comments on what it found: the grade is that of the worst comment. Checks that passed or were skipped are
printed, too, so that an object which is not in the output was not read.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import chain

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import Command, Evidence, ObjectHint, Outcome, Parsed, RuleSet, Splitting, StagePart
from kguard.settings import Profile, Settings

name = "kube-score"
versions = SpecifierSet(">=1.18,<2")
on_by_default = False
splitting = Splitting.BUNDLE
part_limit: int | None = None
unique_identities = True

_CHECKS = frozenset(
    (
        "container-ephemeral-storage-request-and-limit",
        "container-image-pull-policy",
        "container-image-tag",
        "container-resources",
        "container-security-context-privileged",
        "container-security-context-readonlyrootfilesystem",
        "container-security-context-user-group-id",
        "cronjob-has-deadline",
        "cronjob-restartpolicy",
        "deployment-has-host-podantiaffinity",
        "deployment-has-poddisruptionbudget",
        "deployment-pod-selector-labels-match-template-metadata-labels",
        "deployment-replicas",
        "deployment-strategy",
        "deployment-targeted-by-hpa-does-not-have-replicas-configured",
        "environment-variable-key-duplication",
        "horizontalpodautoscaler-has-target",
        "horizontalpodautoscaler-replicas",
        "ingress-targets-service",
        "label-values",
        "networkpolicy-targets-pod",
        "pod-networkpolicy",
        "pod-probes",
        "pod-probes-identical",
        "pod-topology-spread-constraints",
        "poddisruptionbudget-has-policy",
        "service-targets-pod",
        "service-type",
        "stable-version",
        "statefulset-has-host-podantiaffinity",
        "statefulset-has-poddisruptionbudget",
        "statefulset-has-servicename",
        "statefulset-pod-selector-labels-match-template-metadata-labels",
    )
)
_OPTIONAL = frozenset(
    (
        "container-cpu-requests-equal-limits",
        "container-ephemeral-storage-request-equals-limit",
        "container-memory-requests-equal-limits",
        "container-ports-check",
        "container-resource-requests-equal-limits",
        "container-seccomp-profile",
    )
)
_READ = {
    "/v1": ("Pod", "Service"),
    "apps/v1": ("DaemonSet", "Deployment", "StatefulSet"),
    "apps/v1beta1": ("Deployment", "StatefulSet"),
    "apps/v1beta2": ("DaemonSet", "Deployment", "StatefulSet"),
    "autoscaling/v1": ("HorizontalPodAutoscaler",),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "autoscaling/v2beta1": ("HorizontalPodAutoscaler",),
    "autoscaling/v2beta2": ("HorizontalPodAutoscaler",),
    "batch/v1": ("CronJob", "Job"),
    "batch/v1beta1": ("CronJob",),
    "extensions/v1beta1": ("DaemonSet", "Deployment", "Ingress"),
    "networking.k8s.io/v1": ("Ingress", "NetworkPolicy"),
    "networking.k8s.io/v1beta1": ("Ingress",),
    "policy/v1": ("PodDisruptionBudget",),
    "policy/v1beta1": ("PodDisruptionBudget",),
}
"""The kinds that it reads, by API version; the others it passes over."""
_KINDS = frozenset(f"{version}/{kind}" for version, kinds in _READ.items() for kind in kinds)
context_kinds = frozenset(chain.from_iterable(_READ.values()))
"""Its checks look from each of them at the others: from a Service to pods, from a pod to NetworkPolicies."""

_GRADES = {1: "grade 1 (critical)", 5: "grade 5 (warning)", 7: "grade 7 (almost ok)"}
_PASSED = 10
_KUBERNETES = "v1.30"
"""Its default is 1.18, for which it finds no fault with old API versions that have a successor since then."""
_URL = "https://github.com/zegl/kube-score/blob/master/README_CHECKS.md"
_VERSION = re.compile(r"kube-score version: ([^,\s]+)")
_QUOTED = {
    "environment-variable-key-duplication": re.compile(r"key '(.*)' is duplicated", re.DOTALL),
    "ingress-targets-service": re.compile(r"No service with name (\S+) and port "),
}
"""What a comment says to tell one fault from its siblings."""


class _Check(msgspec.Struct):
    id: str
    name: str


class _Comment(msgspec.Struct):
    path: str
    summary: str
    description: str


class _Score(msgspec.Struct):
    check: _Check
    grade: int
    skipped: bool
    comments: list[_Comment] | None


class _Type(msgspec.Struct):
    kind: str


class _Metadata(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _Object(msgspec.Struct):
    type_meta: _Type
    object_meta: _Metadata
    checks: list[_Score]
    file_name: str


def version_command() -> Command:
    return Command(argv=(name, "version"))


def read_version(outcome: Outcome) -> Version | None:
    text = outcome.stdout.decode(errors="replace")
    found = _VERSION.match(text)
    if found is None:
        raise ParseError(f"its version command printed {text[:60]!r}")
    if found[1] == "development":
        return None
    try:
        return Version(found[1])
    except InvalidVersion as error:
        raise ParseError(f"its version is {found[1][:60]!r}") from error


def rules(settings: Settings, version: Version | None) -> RuleSet:
    ids = _CHECKS | _OPTIONAL if settings.profile is Profile.ALL else _CHECKS
    source = f"built into kube-score {version or '(no version)'}, profile {settings.profile}"
    return RuleSet(source=source, ids=ids, kinds=_KINDS)


def plan(part: StagePart, settings: Settings, rules: RuleSet) -> Command:
    argv = (
        *(name, "score", "--output-format", "json", "--output-version", "v2", "--color", "never"),
        *("--kubernetes-version", _KUBERNETES),
        *(("--all-default-optional",) if settings.profile is Profile.ALL else ()),
        *(str(part.root / file.path) for file in part.files),
    )
    return Command(argv=argv, part=part, env={"GOTRACEBACK": "none"})  # of a panic, its one line and no stack


def parse(outcome: Outcome) -> Parsed:
    root = f"{outcome.command.part.root}/" if outcome.command.part else ""
    if not outcome.stdout.strip():
        words = outcome.stderr.decode(errors="replace").replace(root, "").removeprefix("Failed to score files: ")
        raise ToolFailure(" ".join(words.split())[:500] or f"it ended with {outcome.exit_code} and said nothing")
    try:
        objects = msgspec.json.decode(outcome.stdout, type=list[_Object] | None) or ()
    except msgspec.MsgspecError as error:
        raise ParseError(str(error)) from error
    failed = any(score.grade == 1 and not score.skipped for obj in objects for score in obj.checks)
    if outcome.exit_code != int(failed):
        raise ParseError(f"it ended with {outcome.exit_code}, and what it printed means {int(failed)}")
    hinted = [(_hint(obj, root), obj) for obj in objects]
    return Parsed(
        evidence=tuple(item for hint, obj in hinted for item in _evidence(hint, obj)),
        seen=frozenset(hint for hint, _ in hinted),
    )


def _hint(obj: _Object, root: str) -> ObjectHint:
    # a comment `# Source: ...` in the first line takes the place of the file's name
    staged = obj.file_name.removeprefix(root) if obj.file_name.startswith(root) else None
    meta = obj.object_meta
    return ObjectHint(staged=staged, kind=obj.type_meta.kind, namespace=meta.namespace, name=meta.name)


def _evidence(hint: ObjectHint, obj: _Object) -> Iterator[Evidence]:
    for score in obj.checks:
        if score.skipped or score.grade >= _PASSED:
            continue
        for comment in score.comments or [_Comment("", score.check.name, "")]:
            yield _said(hint, score, comment)


def _said(hint: ObjectHint, score: _Score, comment: _Comment) -> Evidence:
    rule, quoted = sys.intern(score.check.id), _QUOTED.get(score.check.id)
    value = quoted.search(comment.description) if quoted else None
    of_container = rule.startswith("container-") or rule == "environment-variable-key-duplication"
    return Evidence(
        tool=name,
        rule=rule,
        title=sys.intern(score.check.name),
        native_severity=_GRADES.get(score.grade, f"grade {score.grade}"),
        message=sys.intern(": ".join(filter(None, (comment.summary, comment.description)))),
        url=_URL,
        object=hint,
        container=sys.intern(comment.path) if of_container else None,
        path=("metadata", "labels", comment.path) if rule == "label-values" else None,
        value=value[1] if value else None,
    )
