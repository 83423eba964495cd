"""checkov: one process over a tree, JSON on stdout.

Format: the report of bridgecrewio/checkov's framework `kubernetes`. Without an account checkov has no severities, and of several
containers with one fault it names the first. What it cannot read it passes over in silence: so it is given a check of kguard's own
that finds fault with every object of the kinds that it has checks for. No report shows what that one says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import chain, takewhile

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import (
    Command,
    Evidence,
    FieldPath,
    ObjectHint,
    Outcome,
    Parsed,
    RuleSet,
    Splitting,
    StagePart,
    Unread,
)
from kguard.settings import Settings

name = "checkov"
versions = SpecifierSet(">=3.2,<4")
on_by_default = False
splitting = Splitting.BUNDLE
context_kinds: frozenset[str] = frozenset()
part_limit: int | None = None
unique_identities = False

_RANGES = (
    *((1, 45), (49, 49), (68, 75), (77, 86), (88, 97), (99, 100), (102, 102), (104, 108), (110, 119), (121, 121)),
    *((138, 141), (143, 149), (151, 159)),
)
_CHECKS = frozenset(
    (
        *(f"CKV_K8S_{number}" for number in chain.from_iterable(range(first, last + 1) for first, last in _RANGES)),
        *(f"CKV2_K8S_{number}" for number in range(1, 7)),
    )
)
_KINDS = (
    *("AdmissionConfiguration", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "CronJob", "DaemonSet", "Deployment"),
    *("DeploymentConfig", "Ingress", "Job", "Pod", "PodSecurityPolicy", "PodTemplate", "ReplicaSet"),
    *("ReplicationController", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount", "StatefulSet"),
)
"""The kinds that some check is about, whatever their API group."""

_LOADED = "KGUARD_LOADED"
_OWN_CHECK = f"""\
from checkov.common.models.enums import CheckResult
from checkov.kubernetes.checks.resource.base_spec_check import BaseK8Check


class Loaded(BaseK8Check):
    def scan_spec_conf(self, conf):
        return CheckResult.FAILED


Loaded(name="what checkov loaded", id="{_LOADED}", categories=[], supported_entities={_KINDS})
"""
_OWN_FOLDER = "own"

_ENVIRONMENT = {
    "CKV_SKIP_PACKAGE_UPDATE_CHECK": "True",  # at every start, --version included, it would ask a package index for a newer one
    "CKV_IGNORE_HIDDEN_DIRECTORIES": "False",  # else it skips all below a stage that stands in a hidden folder
    "CKV_IGNORED_DIRECTORIES": "",  # node_modules and others
}

_STEP = re.compile(r"\[(\d+)\]")
_BARE_CONTAINER = re.compile(r"(?:containers|initContainers)/\[\d+\]")
_SKIPPED = re.compile(r"Kubernetes skipping (.+?) as it is not a valid Kubernetes template$", re.MULTILINE)


class _CheckResult(msgspec.Struct):
    evaluated_keys: list[str] = []


class _Record(msgspec.Struct):
    check_id: str
    check_name: str
    check_result: _CheckResult
    file_path: str
    guideline: str | None = None


class _Results(msgspec.Struct):
    failed_checks: list[msgspec.Raw]
    """Each a `_Record`, decoded one after another: most of a record is of no use here."""


class _Sums(msgspec.Struct):
    failed: int


class _Report(msgspec.Struct):
    """With nothing to report on, the sums alone."""

    summary: _Sums | None = None
    results: _Results | None = None
    failed: int | None = None


def version_command() -> Command:
    return Command(argv=(name, "--version"), env=_ENVIRONMENT)


def read_version(outcome: Outcome) -> Version | None:
    text = outcome.stdout.decode(errors="replace").strip()
    try:
        return Version(text)
    except InvalidVersion as error:
        raise ParseError(f"its version command printed {text[:60]!r}") from error


def rules(settings: Settings, version: Version | None) -> RuleSet:
    source = f"built into checkov {version or '(no version)'}"
    return RuleSet(source=source, ids=_CHECKS, kinds=frozenset(f"*/*/{kind}" for kind in _KINDS))


def plan(part: StagePart, settings: Settings, rules: RuleSet) -> Command:
    argv = (
        *(name, "--directory", str(part.root), "--framework", "kubernetes"),
        *("--output", "json", "--quiet", "--compact"),  # failures only, without the lines of the manifests
        "--skip-download",  # of texts and mappings, from the vendor
        *("--external-checks-dir", _OWN_FOLDER),
    )
    own = {f"{_OWN_FOLDER}/__init__.py": b"", f"{_OWN_FOLDER}/loaded.py": _OWN_CHECK.encode()}
    return Command(argv=argv, part=part, env=_ENVIRONMENT, files=own)


def parse(outcome: Outcome) -> Parsed:
    root = f"{outcome.command.part.root}/" if outcome.command.part else ""
    stderr = outcome.stderr.decode(errors="replace").replace(root, "")
    if outcome.exit_code not in (0, 1) or not outcome.stdout.strip():
        raise ToolFailure(_last_line(stderr) or f"it ended with {outcome.exit_code} and said nothing")
    try:
        report = msgspec.json.decode(outcome.stdout, type=_Report)
        records = tuple(_records(report))
    except msgspec.MsgspecError as error:
        raise ParseError(str(error)) from error
    counted = report.summary.failed if report.summary else report.failed
    if counted != len(records):
        raise ParseError(f"it counts {counted} failures and prints {len(records)}")
    return Parsed(
        evidence=tuple(_evidence(record) for record in records if record.check_id != _LOADED),
        seen=frozenset(_hint(record) for record in records if record.check_id == _LOADED),
        unread=tuple(
            Unread(object=ObjectHint(staged=path), reason="checkov: not a valid Kubernetes template")
            for path in _SKIPPED.findall(stderr)
        ),
    )


def _records(report: _Report) -> Iterator[_Record]:
    decoder = msgspec.json.Decoder(_Record)
    return map(decoder.decode, report.results.failed_checks if report.results else ())


def _hint(record: _Record) -> ObjectHint:
    return ObjectHint(staged=record.file_path.removeprefix("/"))


def _evidence(record: _Record) -> Evidence:
    return Evidence(
        tool=name,
        rule=sys.intern(record.check_id),
        title=sys.intern(record.check_name),
        native_severity=None,
        message=sys.intern(record.check_name),
        url=sys.intern(record.guideline) if record.guideline else None,
        object=_hint(record),
        path=_path(record),
    )


def _path(record: _Record) -> FieldPath | None:
    """The field that the keys of a record share: `spec/containers/[0]/image`. The keys of checks over several objects are no fields,
    and a check that names no field of a container says initContainers whichever it means."""
    keys = record.check_result.evaluated_keys
    if record.check_id.startswith("CKV2_") or any(_BARE_CONTAINER.fullmatch(_tail(key)) for key in keys):
        return None
    shared = takewhile(lambda steps: len(set(steps)) == 1, zip(*map(_steps, keys), strict=False))
    return tuple(steps[0] for steps in shared) or None


def _tail(key: str) -> str:
    """Its last two steps."""
    return "/".join(key.rsplit("/", 2)[-2:])


def _steps(key: str) -> tuple[str | int, ...]:
    return tuple(int(found[1]) if (found := _STEP.fullmatch(step)) else step for step in key.split("/"))


def _last_line(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1].strip()[:500] if lines else ""
