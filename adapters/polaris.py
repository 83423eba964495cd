"""polaris: one process over a tree, JSON on stdout.

Format: `AuditData` of FairwindsOps/polaris, PolarisOutputVersion 1.0. polaris names objects by kind, namespace and name only, prints
passes too, and calls a path that it did not read perfect: only the objects in its results were read.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import Command, Evidence, ObjectHint, Outcome, Parsed, RuleSet, Splitting, StagePart, Unread
from kguard.settings import Settings

name = "polaris"
versions = SpecifierSet(">=10,<11")
on_by_default = True
splitting = Splitting.BUNDLE
context_kinds = frozenset(
    (
        "ClusterRole",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Role",
        "ServiceAccount",
    )
)
"""Kinds that polaris' checks look for beside the object they judge."""
part_limit: int | None = None
unique_identities = True

_DANGER = [
    "clusterrolePodExecAttach",
    "clusterrolebindingClusterAdmin",
    "clusterrolebindingPodExecAttach",
    "dangerousCapabilities",
    "hostIPCSet",
    "hostNetworkSet",
    "hostPIDSet",
    "privilegeEscalationAllowed",
    "rolePodExecAttach",
    "rolebindingClusterAdminClusterRole",
    "rolebindingClusterAdminRole",
    "rolebindingClusterRolePodExecAttach",
    "rolebindingRolePodExecAttach",
    "runAsPrivileged",
    "runAsRootAllowed",
    "sensitiveConfigmapContent",
    "sensitiveContainerEnvVar",
    "tagNotSpecified",
]
_WARNING = [
    "automountServiceAccountToken",
    "cpuLimitsMissing",
    "cpuRequestsMissing",
    "deploymentMissingReplicas",
    "hostPathSet",
    "hostPortSet",
    "hostProcess",
    "hpaMaxAvailability",
    "hpaMinAvailability",
    "insecureCapabilities",
    "linuxHardening",
    "livenessProbeMissing",
    "memoryLimitsMissing",
    "memoryRequestsMissing",
    "metadataAndInstanceMismatched",
    "missingNetworkPolicy",
    "missingPodDisruptionBudget",
    "notReadOnlyRootFilesystem",
    "pdbDisruptionsIsZero",
    "pdbMinAvailableGreaterThanHPAMinReplicas",
    "priorityClassNotSet",
    "procMount",
    "pullPolicyNotAlways",
    "readinessProbeMissing",
    "tlsSettingsMissing",
    "topologySpreadConstraint",
]
CHECKS: Mapping[str, str] = dict.fromkeys(_DANGER, "danger") | dict.fromkeys(_WARNING, "warning")
"""The 44 built-in checks with the severities of polaris' own default configuration: both profiles have them all on."""

_LOGGED = re.compile(r'^time=\S+ level=\w+ msg=("(?:[^"\\]|\\.)*"|\S+)', re.MULTILINE)
_SKIPPED = re.compile(r"skipping (.+?): (.*)")
_TOLD_TWICE = "Error parsing YAML: "
"""Begins a line that names no file; the next line says which one was skipped, and why."""
_PANIC = re.compile(r"^panic: .*$", re.MULTILINE)


class _Check(msgspec.Struct):
    ID: str
    Message: str
    Success: bool
    Severity: str
    Category: str


class _ContainerResult(msgspec.Struct):
    Name: str
    Results: dict[str, _Check]


class _PodResult(msgspec.Struct):
    Results: dict[str, _Check]
    ContainerResults: list[_ContainerResult]


class _Object(msgspec.Struct):
    Name: str
    Namespace: str
    Kind: str
    Results: dict[str, _Check] | None
    PodResult: _PodResult | None


class _Audit(msgspec.Struct):
    PolarisOutputVersion: Literal["1.0"]
    Results: list[msgspec.Raw] | None
    """Each an `_Object`, decoded one after another: with the checks that passed, a large output is ten times its evidence."""
    Score: int | None = None


def version_command() -> Command:
    return Command(argv=(name, "version"))


def read_version(outcome: Outcome) -> Version | None:
    text = outcome.stdout.decode(errors="replace").strip()
    label, _, number = text.partition(":")
    if label != "Polaris version":
        raise ParseError(f"its version command printed {text[:60]!r}")
    if number.strip() == "development":
        return None
    try:
        return Version(number.strip())
    except InvalidVersion as error:
        raise ParseError(f"its version is {number[:60]!r}") from error


def rules(settings: Settings, version: Version | None) -> RuleSet:
    return RuleSet(source=f"built into polaris {version or '(no version)'}", ids=frozenset(CHECKS))


def plan(part: StagePart, settings: Settings, rules: RuleSet) -> Command:
    # a configuration of our own replaces the built-in one, whose exemptions go by name prefixes ("vpa", "datadog", ...);
    # the log level stays at warning, because that is where files that were skipped are told
    config = msgspec.json.encode({"checks": CHECKS, "exemptions": []})
    argv = (name, "audit", "--audit-path", str(part.root), "--config", "config.yaml", "--format", "json")
    return Command(
        argv=(*argv, "--log-level", "warning", "--color=false"),
        part=part,
        env={"GOTRACEBACK": "none"},  # of a panic, its one line and no stack
        files={"config.yaml": config},
    )


def parse(outcome: Outcome) -> Parsed:
    root = f"{outcome.command.part.root}/" if outcome.command.part else ""
    stderr = outcome.stderr.decode(errors="replace")
    if outcome.exit_code != 0:
        raise ToolFailure(_why(stderr, root) or f"it ended with {outcome.exit_code} and said nothing")
    messages = [(message, _SKIPPED.fullmatch(message)) for message in _logged(stderr, root)]
    try:
        audit = msgspec.json.decode(outcome.stdout, type=_Audit)
        found = tuple(_judged(audit))
    except msgspec.MsgspecError as error:
        raise ParseError(str(error)) from error
    score = _score(sums for _, _, sums in found)
    if audit.Score not in (None, score):
        raise ParseError(f"its score is {audit.Score}, and what it prints gives {score}")
    return Parsed(
        evidence=tuple(item for _, own, _ in found for item in own),
        seen=frozenset(hint for hint, _, _ in found),
        unread=(
            *(Unread(object=ObjectHint(staged=it[1]), reason=f"polaris: {it[2]}") for _, it in messages if it),
            *_nameless(outcome.command.part),
        ),
        complaints=tuple(
            message for message, skipped in messages if not skipped and not message.startswith(_TOLD_TWICE)
        ),
    )


def _nameless(part: StagePart | None) -> Iterator[Unread]:
    """Objects with `generateName` only: polaris leaves them out of its results."""
    for file in part.files if part else ():
        if not file.ref.name:
            yield Unread(
                object=ObjectHint(staged=file.path), reason="polaris reports nothing of objects without a name"
            )


_Sums = tuple[int, int]
"""What a score is made of: the weight of the checks that passed, and of all."""


def _judged(audit: _Audit) -> Iterator[tuple[ObjectHint, tuple[Evidence, ...], _Sums]]:
    """Each object that it read, and what it said of it."""
    decoder = msgspec.json.Decoder(_Object)
    for raw in audit.Results or ():
        result = decoder.decode(raw)
        hint = ObjectHint(kind=result.Kind, namespace=result.Namespace, name=result.Name)
        yield hint, tuple(_evidence(result, hint)), _sums(result)


def _checks(result: _Object) -> Iterator[tuple[str | None, _Check]]:
    """Each check of an object, with the container that it is about."""
    levels: list[tuple[str | None, Mapping[str, _Check]]] = [(None, result.Results or {})]
    if result.PodResult is not None:
        levels.append((None, result.PodResult.Results))
        levels.extend((container.Name, container.Results) for container in result.PodResult.ContainerResults)
    for container, checks in levels:
        for check in checks.values():
            yield container, check


def _evidence(result: _Object, hint: ObjectHint) -> Iterator[Evidence]:
    for container, check in _checks(result):
        if not check.Success:
            yield Evidence(
                tool=name,
                rule=sys.intern(check.ID),
                title=sys.intern(check.Message),
                native_severity=sys.intern(check.Severity),
                message=sys.intern(check.Message),
                url=sys.intern(f"https://polaris.docs.fairwinds.com/checks/{check.Category.lower()}/"),
                object=hint,
                container=container,
            )


def _sums(result: _Object) -> _Sums:
    """A warning weighs half of a danger, and of a check that passed."""
    weights = [
        (check.Success, 1 if not check.Success and check.Severity == "warning" else 2) for _, check in _checks(result)
    ]
    return sum(weight for passed, weight in weights if passed), sum(weight for _, weight in weights)


def _score(sums: Iterable[_Sums]) -> int:
    """As polaris reckons it, so that no check which it counted may be missing from what it printed."""
    passed, total = (sum(column) for column in zip((0, 0), *sums, strict=True))
    return int(passed / total * 100) if total else 100


def _logged(stderr: str, root: str) -> list[str]:
    """The messages of the log, each one line, without times, Go's escapes and stage paths."""
    texts = (text[1:-1] if text.startswith('"') else text for text in _LOGGED.findall(stderr))
    plain = (re.sub(r"\\(.)", lambda escape: " " if escape[1] in "nt" else escape[1], text) for text in texts)
    return [" ".join(text.replace(root, "").split()) for text in plain]


def _why(stderr: str, root: str) -> str:
    """The panic, else the last message that it logged, else the first line of whatever it said."""
    panic = _PANIC.search(stderr)
    words = ([panic[0]] if panic else []) + _logged(stderr, root)[-1:] + stderr.strip().splitlines()[:1]
    return words[0].replace(root, "")[:500] if words else ""
