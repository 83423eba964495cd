"""trivy: one process over at most 250 objects, JSON on stdout.

Format: `types.Report` of aquasecurity/trivy, SchemaVersion 2. trivy judges each object alone - but for checks that a LimitRange or a
ResourceQuota anywhere in its input switches on for all - and names objects by file and line. What it understood has an entry in
`Results`, even without failures; what it could not parse is just not there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import Command, Evidence, ObjectHint, Outcome, Parsed, RuleSet, Span, Splitting, StagePart, Unread
from kguard.settings import Settings

name = "trivy"
versions = SpecifierSet(">=0.67,<1")
on_by_default = True
splitting = Splitting.OBJECT
context_kinds = frozenset(("LimitRange", "ResourceQuota"))
part_limit: int | None = 250
"""trivy prints 140 kB of JSON for each object, the checks that passed included."""
unique_identities = False

_OLD_ID = re.compile(r"^(?:AVD-)?(KSV|KCV)-?(\d+)$")
_CONTAINER = re.compile(r"""^[Cc]ontainer ['"]?([^'" ]+)['"]? (?:of|in) """)
_PARSE_FAILURE = re.compile(r'Failed to parse file\tfile_path=("(?:[^"\\]|\\.)*"|\S+) err=(.*)$', re.MULTILINE)
_FATAL = re.compile(r"\tFATAL\t(?:Fatal error\t)?(.*)$", re.MULTILINE)
_PROBLEM = re.compile(r"\t(?:ERROR|WARN)\t(.*)$", re.MULTILINE)
_NO_CONFIG = "no-config.yaml"
_NOTHING_IGNORED = "nothing-ignored"
"""Empty files of its own, so that it looks for no others. Versions before 0.76 know no empty name for none."""
_NORMAL = ("Falling back to embedded checks", "Failed to parse file")

_CAPABILITY = re.compile(r"not include '(\w+)'")
_LIST = re.compile(r'[\[{](".*")[\]}]', re.DOTALL)
_NAMES_A_CAPABILITY = frozenset(("KSV-0005", "KSV-0119"))
_LISTS_VALUES = frozenset(("KSV-0026", "KSV-0109", "KSV-0121", "KSV-01010"))
"""Sysctls, keys, paths: `["a", "b"]` or `{"a", "b"}`."""
_WHOLE_CONTAINER_IN_MESSAGE = "KSV-0120"
_OBJECT_CALLED_CONTAINER = "KSV-0118"
_LINES_OF_SIBLINGS_TOO = "KSV-0024"


class _Cause(msgspec.Struct):
    StartLine: int = 0
    EndLine: int = 0


class _Misconfiguration(msgspec.Struct):
    ID: str
    Title: str
    Message: str
    Severity: str
    Status: str
    CauseMetadata: _Cause
    PrimaryURL: str = ""
    AVDID: str = ""
    """Up to 0.67, where some checks have a word as their ID."""


class _Sums(msgspec.Struct):
    Failures: int = 0
    Successes: int = 0


class _Result(msgspec.Struct):
    Target: str
    Class: str
    Type: str = ""
    MisconfSummary: _Sums | None = None
    Misconfigurations: list[_Misconfiguration] = []


class _Report(msgspec.Struct):
    SchemaVersion: int
    ArtifactType: str
    Results: list[msgspec.Raw] = []
    """Each a `_Result`, decoded one after another: checks that passed are most of a large output."""


class _Version(msgspec.Struct):
    Version: str


def version_command() -> Command:
    return Command(argv=(name, "version", "-f", "json"))


def read_version(outcome: Outcome) -> Version | None:
    try:
        return Version(msgspec.json.decode(outcome.stdout, type=_Version).Version)
    except (msgspec.MsgspecError, InvalidVersion) as error:
        raise ParseError(f"its version command printed {outcome.stdout[:60].decode(errors='replace')!r}") from error


def rules(settings: Settings, version: Version | None) -> RuleSet:
    return RuleSet(source=f"embedded in trivy {version}")


def plan(part: StagePart, settings: Settings, rules: RuleSet) -> Command:
    argv = (
        *(name, "config", "--format", "json"),
        # what it would fetch or tell, and where it would keep it: an own empty cache, or a downloaded bundle replaces the checks
        *("--skip-check-update", "--skip-version-check", "--disable-telemetry", "--cache-dir", "cache"),
        *("--config", _NO_CONFIG, "--ignorefile", _NOTHING_IGNORED),
        *("--misconfig-scanners", "kubernetes"),  # no Dockerfiles, no Terraform
        "--include-non-failures",  # a check that passed was on
        *("--timeout", f"{settings.timeout + 60:.0f}s"),  # kguard's own deadline comes first
        str(part.root),
    )
    return Command(argv=argv, part=part, files={_NO_CONFIG: b"", _NOTHING_IGNORED: b""})


def parse(outcome: Outcome) -> Parsed:
    root = f"{outcome.command.part.root}/" if outcome.command.part else ""
    stderr = outcome.stderr.decode(errors="replace").replace(root, "")
    if outcome.exit_code != 0:
        fatal = _FATAL.search(stderr)
        raise ToolFailure(fatal[1][:500] if fatal else f"it ended with {outcome.exit_code} and named no reason")
    try:
        results = tuple(_results(msgspec.json.decode(outcome.stdout, type=_Report)))
    except msgspec.MsgspecError as error:
        raise ParseError(str(error)) from error
    return Parsed(
        evidence=tuple(item for _, found, _ in results for item in found),
        seen=frozenset(hint for hint, _, _ in results),
        rules=frozenset[str]().union(*(ids for _, _, ids in results)),
        unread=tuple(
            Unread(object=ObjectHint(staged=_unquoted(path)), reason=f"trivy failed to parse it: {_unquoted(why)}")
            for path, why in _PARSE_FAILURE.findall(stderr)
        ),
        complaints=tuple(
            sorted({line for line in _PROBLEM.findall(stderr) if not any(word in line for word in _NORMAL)})
        ),
    )


def _results(report: _Report) -> Iterator[tuple[ObjectHint, Sequence[Evidence], frozenset[str]]]:
    """Each object that it judged, what it found, and the checks that it judged it by."""
    decoder = msgspec.json.Decoder(_Result)
    for raw in report.Results:
        result = decoder.decode(raw)
        if result.Class == "config" and result.Type == "kubernetes":
            hint = ObjectHint(staged=result.Target)
            failed = [found for found in result.Misconfigurations if found.Status == "FAIL"]
            counted, printed = result.MisconfSummary, len(result.Misconfigurations)
            if counted and printed < counted.Failures + counted.Successes:
                raise ParseError(
                    f"it counts {counted.Failures + counted.Successes} checks of {result.Target}, and prints {printed}"
                )
            ids = frozenset(sys.intern(_id(found)) for found in result.Misconfigurations)
            yield hint, [item for found in failed for item in _evidence(hint, found)], ids


def _id(found: _Misconfiguration) -> str:
    return normalised(found.AVDID or found.ID)


def _evidence(hint: ObjectHint, found: _Misconfiguration) -> Iterator[Evidence]:
    rule = _id(found)
    container = None if rule == _OBJECT_CALLED_CONTAINER else _CONTAINER.match(found.Message)
    lines = Span(found.CauseMetadata.StartLine, found.CauseMetadata.EndLine) if found.CauseMetadata.StartLine else None
    if rule == _LINES_OF_SIBLINGS_TOO and container:
        lines = None
    message = found.Message
    if rule == _WHOLE_CONTAINER_IN_MESSAGE:
        # the original prints the whole container, the values of its variables included
        message = "container should not add the capability SYS_MODULE"
    values: list[str | None] = [*sorted(set(_told_apart_by(rule, found.Message)))]
    for number, value in enumerate(values or [None]):
        yield Evidence(
            tool=name,
            rule=rule,
            title=sys.intern(found.Title),
            native_severity=sys.intern(found.Severity),
            message=message,
            url=sys.intern(found.PrimaryURL) or None,
            object=hint,
            container=sys.intern(container[1]) if container else None,
            lines=lines,
            value=value,
            continued=number > 0,
        )


def _told_apart_by(rule: str, message: str) -> list[str]:
    """What a message quotes to tell one fault from its siblings; it may hold several."""
    if rule in _NAMES_A_CAPABILITY:
        return _CAPABILITY.findall(message)
    listed = _LIST.search(message) if rule in _LISTS_VALUES else None
    try:
        return msgspec.json.decode(f"[{listed[1]}]", type=list[str]) if listed else []
    except msgspec.MsgspecError:
        return []  # escapes that only Go writes: the place has to come from the manifest


def _unquoted(text: str) -> str:
    """A value of a log line: Go quotes those that hold spaces or quotes."""
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.MsgspecError:
        return text


@lru_cache(maxsize=1024)
def normalised(rule: str) -> str:
    """The newest form of an id: `KSV010` and `AVD-KSV-0010` are KSV-0010. Ids of other kinds stay as they are."""
    match = _OLD_ID.match(rule)
    return (
        f"{match[1]}-{match[2]}" if match and len(match[2]) > 4 else f"{match[1]}-{int(match[2]):04}" if match else rule
    )
