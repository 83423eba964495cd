"""kube-linter: one process over a tree, JSON on stdout.

Format: `run.Result` of stackrox/kube-linter, stable since 0.2.2. kube-linter tells neither severity nor field; it names the container
in the message, and it drops what it cannot decode without a word unless `-v` is given. What it can decode as no more than an
untyped map (`memory: 1GB`) most of its checks pass over, without a word at all. So it is given checks of kguard's own that show what it
read and what it could look into; no report shows what they say.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import lru_cache

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import Command, Evidence, ObjectHint, Outcome, Parsed, RuleSet, Splitting, StagePart, Unread
from kguard.settings import Profile, Settings

name = "kube-linter"
versions = SpecifierSet(">=0.7,<0.9")
on_by_default = True
splitting = Splitting.FOLDER
context_kinds: frozenset[str] = frozenset()
part_limit: int | None = None
unique_identities = False

_URL = "https://docs.kubelinter.io/#/generated/checks?id="
_CONTAINER = re.compile(r'[Cc]ontainer (?:"([^"]*)"|(\S+) mounts)')
_LOAD_FAILURE = re.compile(r"^Warning: failed to load object from (.+?): (.*)$", re.MULTILINE)
_COUNTED = re.compile(r"^Error: found (\d+) lint errors$", re.MULTILINE)
_WARNING = re.compile(r"^Warning: (?!failed to load object |no valid objects found)(.*)$", re.MULTILINE)

_QUOTED: Mapping[str, re.Pattern[str]] = {
    "dangling-ingress": re.compile(r"ingress label \((.+?)\)"),
    "docker-sock": re.compile(r'system directory "(.+?)"'),
    "drop-net-raw-capability": re.compile(r'ADD capability: "(.+?)"'),
    "duplicate-env-var": re.compile(r"environment variable (\S+) in"),
    "env-value-from": re.compile(r'unknown (?:key|config map|secret) "(.+?)"'),
    "env-var-secret": re.compile(r"environment variable (\S+) in"),
    "invalid-target-ports": re.compile(r'port (?:name|targetPort) "(.+?)"'),
    "privilege-escalation-container": re.compile(r"has (\S+) capability"),
    "privileged-ports": re.compile(r"port (\d+) is mapped"),
    "read-secret-from-env-var": re.compile(r'environment variable "(.+?)"'),
    "sensitive-host-mounts": re.compile(r'system directory "(.+?)"'),
    "sorted-keys": re.compile(r"not sorted at (.+?)\. Expected"),
    "ssh-port": re.compile(r"port (\d+) and"),
    "unsafe-sysctls": re.compile(r'sysctl "(.+?)"'),
    "writable-host-mount": re.compile(r"mounts path (.+?) on the host"),
}
"""What a check's message quotes to tell one fault from its siblings."""

_LOADED, _HAS_SPEC, _PODS, _AUTOSCALER = _OWN = ("kguard-loaded", "kguard-has-spec", "kguard-pods", "kguard-autoscaler")
_OWN_CHECKS = f"""\
customChecks:
- {{name: {_LOADED}, template: disallowed-api-obj}}
- {{name: {_HAS_SPEC}, template: disallowed-api-obj, scope: {{objectKinds: [DeploymentLike, HorizontalPodAutoscaler]}}}}
- {{name: {_PODS}, template: dnsconfig-options, params: {{key: kguard-option-of-nobody}}}}
- {{name: {_AUTOSCALER}, template: hpa-minimum-replicas, params: {{minReplicas: 2147483647}}}}
"""
"""They find fault with all that they see. The first two see objects of every kind, and of those with a spec that checks look into; the
last two look into it, and see nothing in an untyped map. (An object of another kind becomes one only by a time that is none.)"""
_UNTYPED = "kube-linter could not decode all of it: the checks that look into its spec passed it over"


class _Kind(msgspec.Struct):
    Kind: str


class _Object(msgspec.Struct):
    Namespace: str
    Name: str
    GroupVersionKind: _Kind


class _Metadata(msgspec.Struct):
    FilePath: str


class _Where(msgspec.Struct):
    Metadata: _Metadata
    K8sObject: _Object


class _Diagnostic(msgspec.Struct):
    Message: str


class _Report(msgspec.Struct):
    Diagnostic: _Diagnostic
    Check: str
    Object: _Where


class _Check(msgspec.Struct):
    name: str
    description: str = ""


class _Result(msgspec.Struct):
    Checks: list[_Check]
    Reports: list[_Report] | None


def version_command() -> Command:
    return Command(argv=(name, "version"))


def read_version(outcome: Outcome) -> Version | None:
    text = outcome.stdout.decode(errors="replace").strip()
    if text == "development":
        return None
    try:
        return Version(text)
    except InvalidVersion as error:
        raise ParseError(f"its version command printed {text[:60]!r}") from error


def rules(settings: Settings, version: Version | None) -> RuleSet:
    return RuleSet(source=f"built into kube-linter {version or '(no version)'}, profile {settings.profile}")


def plan(part: StagePart, settings: Settings, rules: RuleSet) -> Command:
    # a configuration of our own: without one, kube-linter takes the first .kube-linter.yaml it finds in its working directory.
    # schema-validation is the one check that goes to the network.
    everything = "true" if settings.profile is Profile.ALL else "false"
    config = f"checks:\n  addAllBuiltIn: {everything}\n  exclude: [schema-validation]\n{_OWN_CHECKS}"
    argv = (name, "lint", "-v", "--with-color=false", "--config", "config.yaml", "--format", "json", str(part.root))
    return Command(argv=argv, part=part, files={"config.yaml": config.encode()})


def parse(outcome: Outcome) -> Parsed:
    root = f"{outcome.command.part.root}/" if outcome.command.part else ""
    stderr = outcome.stderr.decode(errors="replace")
    unread = tuple(
        Unread(object=ObjectHint(staged=path.removeprefix(root)), reason=f"kube-linter: {why.replace(root, '')}")
        for path, why in _LOAD_FAILURE.findall(stderr)
    )
    complaints = tuple(line.replace(root, "") for line in _WARNING.findall(stderr))
    if not outcome.stdout.strip():
        # exit 0 without JSON: no valid object among what it was given
        if outcome.exit_code == 0 and "no valid objects found" in stderr:
            return Parsed(evidence=(), seen=frozenset(), unread=unread, complaints=complaints)
        raise ToolFailure(_last_error(stderr, root) or f"it printed nothing and ended with {outcome.exit_code}")
    try:
        result = msgspec.json.decode(outcome.stdout, type=_Result)
    except msgspec.MsgspecError as error:
        raise ParseError(str(error)) from error
    titles = {check.name: check.description.split(". ")[0] for check in result.Checks if check.name not in _OWN}
    reports, counted = result.Reports or (), _COUNTED.search(stderr)
    if counted and len(reports) < int(counted[1]):
        raise ParseError(f"it counts {counted[1]} faults, and prints {len(reports)}")
    shown: Mapping[str, set[ObjectHint]] = {check: set() for check in _OWN}
    for report in reports:
        if report.Check in shown:
            shown[report.Check].add(_object(report, root))
    untyped = shown[_HAS_SPEC] - shown[_PODS] - shown[_AUTOSCALER]
    return Parsed(
        evidence=tuple(_evidence(report, titles, root) for report in reports if report.Check not in shown),
        seen=frozenset(shown[_LOADED]),
        unread=(*unread, *(Unread(object=hint, reason=_UNTYPED) for hint in untyped)),
        rules=frozenset(titles),
        complaints=complaints,
    )


def _evidence(report: _Report, titles: Mapping[str, str], root: str) -> Evidence:
    message = report.Diagnostic.Message.replace(root, "")
    found = _CONTAINER.search(message)
    quoted = _QUOTED.get(report.Check)
    value = quoted.search(message) if quoted else None
    return Evidence(
        tool=name,
        rule=sys.intern(report.Check),
        title=titles.get(report.Check, report.Check),
        native_severity=None,
        message=sys.intern(message),
        url=sys.intern(f"{_URL}{report.Check}"),
        object=_object(report, root),
        container=(found[1] or found[2] or "") if found else None,
        value=value[1] if value else None,
    )


def _object(report: _Report, root: str) -> ObjectHint:
    where = report.Object.K8sObject
    staged = report.Object.Metadata.FilePath.removeprefix(root)
    return _hint(staged, where.GroupVersionKind.Kind, where.Namespace, where.Name)


@lru_cache(maxsize=4096)
def _hint(staged: str, kind: str, namespace: str, name: str) -> ObjectHint:
    """Reports come check by check: those of one object share its hint."""
    return ObjectHint(staged=staged, kind=kind, namespace=namespace, name=name)


def _last_error(stderr: str, root: str) -> str:
    errors = [line for line in stderr.splitlines() if line.startswith("Error: ")]
    return errors[-1].removeprefix("Error: ").replace(root, "")[:500] if errors else ""
