"""The public JSON report, version 1: its shape, written and read.

The shape is spelled out here and nowhere else, so that renaming something inside kguard never changes it. Within v1, fields are added,
never renamed or removed. The JSON Schema in data/schema/report-v1.json is generated from these types.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeVar

import msgspec
from packaging.version import InvalidVersion, Version

from kguard import model
from kguard.errors import UsageError
from kguard.reports.summary import summary_of

SCHEMA: Literal["kguard/report/v1"] = "kguard/report/v1"

T = TypeVar("T")

_NO_FINDINGS = '"findings": []'


class Kguard(msgspec.Struct, forbid_unknown_fields=True):
    version: str


class Allowed(msgspec.Struct):
    """A tool, or `inputs`, that may be incomplete without failing the run."""

    name: str
    reason: str | None


class Settings(msgspec.Struct):
    profile: str
    frameworks: tuple[str, ...]
    severity_rule: str
    fail_on: str
    allow_incomplete: tuple[str, ...]
    config_path: str | None = None
    allowed: tuple[Allowed, ...] = ()
    """The same with the reasons that kguard.yaml gives."""


class Gate(msgspec.Struct):
    exit_code: Literal[0, 1, 3, 4]
    reason: str
    failing: int
    incomplete: tuple[str, ...]


class FindingCounts(msgspec.Struct):
    total: int
    open: int
    suppressed: int
    by_severity: dict[str, int]


class Summary(msgspec.Struct):
    findings: FindingCounts
    baseline: None
    records: int
    evidence: int
    objects: int
    bundles: int
    files: int


class Ref(msgspec.Struct):
    group: str
    version: str
    kind: str
    namespace: str | None
    name: str


class Cache(msgspec.Struct):
    hits: int = 0
    misses: int = 0


class RuleGroup(msgspec.Struct):
    """Rules that the tool is asked for by one name (a framework of kubescape)."""

    name: str
    rules: int


class Rules(msgspec.Struct):
    active: int | None
    digest: str | None
    source: str
    groups: tuple[RuleGroup, ...] = ()
    ids: tuple[str, ...] | None = None
    """Which rules were on; null where that is not known."""


class ObjectCounts(msgspec.Struct):
    staged: int
    read: int | None
    out_of_scope: int
    unread: int


class UnreadObject(msgspec.Struct):
    path: str
    document: int
    object: Ref
    reason: str


class Tool(msgspec.Struct):
    name: str
    version: str | None
    state: model.RunState
    reason: str | None
    path: str | None
    exit_codes: tuple[int | None, ...]
    seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    processes: int
    cache: Cache
    rules: Rules | None
    objects: ObjectCounts
    unread: tuple[UnreadObject, ...]
    records: int
    evidence: int
    complaints: tuple[str, ...]
    canary: bool | None = None
    """Whether it reported the faults of an object of kguard's own; null where it was not asked to."""
    out_of_scope: tuple[str, ...] = ()
    """Kinds of the objects out of scope (apps/v1/Deployment); another object of such a kind may have been read."""
    off_by_default: bool = False
    """It runs only when it is asked for, and it was not."""


class BundleSummary(msgspec.Struct):
    id: str
    kind: model.BundleKind
    path: str
    objects: int
    state: model.BundleState
    reason: str | None
    name: str = ""


class InputFile(msgspec.Struct):
    path: str
    state: model.FileState
    objects: int
    reason: str | None


class InputProblem(msgspec.Struct):
    path: str
    document: int | None
    line: int | None
    message: str


class Inputs(msgspec.Struct):
    sources: tuple[str, ...]
    bundles: tuple[BundleSummary, ...]
    files: tuple[InputFile, ...]
    problems: tuple[InputProblem, ...] = ()
    others: int = 0
    """Files that are neither YAML nor JSON, and belong to no chart or kustomization."""


class Location(msgspec.Struct):
    path: str
    line: int | None
    end_line: int | None
    precision: model.Precision
    values: tuple[str, ...] = ()
    """Keys of the chart's values that the place reads."""


class OtherPlace(msgspec.Struct):
    path: str
    line: int | None
    end_line: int | None
    precision: model.Precision
    values: tuple[str, ...]
    bundle: str
    object: Ref


class Absence(msgspec.Struct):
    """A bundle that renders the same source without the fault."""

    bundle: str
    by: Location | None
    """Where it says otherwise."""
    object: Ref
    silenced: bool = False
    """An annotation tells a tool to be silent there: nothing is known of the fault."""


class Place(msgspec.Struct):
    path: str
    line: int | None


class Evidence(msgspec.Struct):
    tool: str
    rule: str
    title: str
    native_severity: str | None
    message: str
    url: str | None
    object: Ref | None
    container: str | None
    why_merged: str
    located: int | None
    location: Place | None


class Fix(msgspec.Struct):
    path: str
    value: str | None


class Reference(msgspec.Struct):
    name: str
    url: str | None


class Excerpt(msgspec.Struct):
    line: int
    lines: tuple[str, ...]
    at: int | None = None
    """Number of the line that the finding is about."""
    rendered: bool = False
    """The lines are those of the rendered object, not of the file."""


class Suppression(msgspec.Struct):
    reason: str
    owner: str | None
    expires: str | None
    source: str


class Finding(msgspec.Struct):
    fingerprint: str
    control: str
    title: str
    severity: model.Severity
    category: str
    status: Literal["open", "suppressed"]
    suppression: Suppression | None
    baseline: Literal["new", "known", "newly-checked", "incomparable"] | None
    bundle: str
    object: Ref
    container: str | None
    discriminator: str | None
    location: Location
    places: tuple[OtherPlace, ...]
    tools: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    related: tuple[str, ...]
    remediation: str
    fix: Fix | None
    references: tuple[Reference, ...]
    gated: bool = True
    """False: outside the gate (unproven, or said by a narrower finding)."""
    excerpt: Excerpt | None = None
    """The manifest lines around it; Secrets and environment values are masked."""
    absent: tuple[Absence, ...] = ()


class ControlText(msgspec.Struct):
    """What is said of a control, once for all of its findings."""

    id: str
    because: str
    """Why the severity is what it is."""
    harm: str
    remediation: str
    example: str
    """YAML that has the fault no more."""


class InlineIgnore(msgspec.Struct):
    """An annotation by which a tool is told to be silent about an object."""

    path: str
    line: int | None
    bundle: str
    object: Ref
    tool: str
    rule: str | None
    annotation: str
    value: str


class Document(msgspec.Struct):
    """The whole report."""

    schema: Literal["kguard/report/v1"]
    kguard: Kguard
    started: str
    seconds: float
    command: tuple[str, ...]
    settings: Settings
    gate: Gate
    summary: Summary
    tools: tuple[Tool, ...]
    inputs: Inputs
    findings: tuple[Finding, ...]
    gone: tuple[str, ...] = ()
    ignores: tuple[InlineIgnore, ...] = ()
    controls: tuple[ControlText, ...] = ()


def render(report: model.Report) -> str:
    """The report as JSON: UTF-8, keys in a fixed order, equal evidence gives equal bytes but for the fields of time and cost."""
    return "".join(pieces(report))


def pieces(report: model.Report) -> Iterator[str]:
    """The same, finding by finding: a large report is never in memory as a whole."""
    before, hole, after = _indented(_document(report), 0).rpartition(_NO_FINDINGS)
    yield before
    if report.findings:
        yield hole[:-1]
        for number, finding in enumerate(report.findings):
            yield f"{',' if number else ''}\n  {_indented(_finding(finding), 2)}"
        yield "\n ]"
    else:
        yield hole
    yield f"{after}\n"


def _indented(value: object, depth: int) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=1).decode()
    return text.replace("\n", "\n" + " " * depth) if depth else text  # no string of JSON holds a newline


def read(data: bytes) -> model.Report:
    """A report out of its JSON. Raises UsageError, with the place, for anything but a v1 report."""
    try:
        return _report(msgspec.json.decode(data, type=Document))
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidVersion) as error:
        raise UsageError(f"this is no {SCHEMA} report: {error}. Make one with kguard scan -f json.") from error


def schema() -> str:
    """The JSON Schema of a report."""
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        **msgspec.json.schema(Document),
    }
    return msgspec.json.format(msgspec.json.encode(found, order="deterministic"), indent=2).decode() + "\n"


# -- to the public shape ------------------------------------------------------------------------------------------------


def _document(report: model.Report) -> Document:
    """All but the findings."""
    summary = summary_of(report)
    counts = {severity.value: count for severity, count in summary.by_severity.items()}
    return Document(
        schema=SCHEMA,
        kguard=Kguard(version=report.version),
        started=report.started,
        seconds=report.seconds,
        command=report.command,
        settings=Settings(
            profile=report.profile,
            frameworks=report.frameworks,
            severity_rule=report.severity_rule,
            fail_on=report.fail_on,
            allow_incomplete=tuple(name for name, _ in report.allow_incomplete),
            config_path=report.config_path,
            allowed=tuple(Allowed(name=name, reason=reason or None) for name, reason in report.allow_incomplete),
        ),
        gate=_same(report.gate, Gate),
        summary=Summary(
            findings=FindingCounts(total=summary.findings, open=summary.findings, suppressed=0, by_severity=counts),
            baseline=None,
            records=summary.records,
            evidence=summary.evidence,
            objects=summary.objects,
            bundles=summary.bundles,
            files=summary.files,
        ),
        tools=tuple(_tool(tool) for tool in sorted(report.tools, key=lambda tool: tool.name)),
        inputs=_same(report.inputs, Inputs),
        findings=(),
        ignores=tuple(_same(item, InlineIgnore) for item in report.ignores),
        controls=tuple(_same(item, ControlText) for item in report.controls),
    )


def _tool(tool: model.ToolRun) -> Tool:
    rules = tool.rules
    return Tool(
        name=tool.name,
        version=str(tool.version) if tool.version else None,
        state=tool.state,
        reason=tool.reason,
        path=tool.program,
        exit_codes=tool.exit_codes,
        seconds=tool.seconds,
        cpu_seconds=tool.cpu_seconds,
        peak_memory_bytes=tool.peak_memory_bytes,
        processes=tool.processes,
        cache=Cache(),
        rules=_same(rules, Rules) if rules else None,
        objects=_same(tool.objects, ObjectCounts),
        unread=tuple(_same(item, UnreadObject) for item in tool.unread),
        records=tool.records,
        evidence=tool.evidence,
        complaints=tool.complaints,
        canary=tool.canary,
        out_of_scope=tool.out_of_scope,
        off_by_default=tool.off_by_default,
    )


def _finding(finding: model.Finding) -> Finding:
    own = {
        name: getattr(finding, name) for name in ("fingerprint", "control", "title", "severity", "category", "bundle")
    }
    return Finding(
        **own,
        status="open",
        suppression=None,
        baseline=None,
        object=_same(finding.object, Ref),
        container=finding.container,
        discriminator=finding.discriminator,
        location=_same(finding.location, Location),
        places=tuple(_other_place(place) for place in finding.places),
        tools=finding.tools,
        evidence=tuple(_same(item, Evidence) for item in finding.evidence),
        related=finding.related,
        remediation=finding.remediation,
        fix=_same(finding.fix, Fix) if finding.fix else None,
        references=tuple(_same(item, Reference) for item in finding.references),
        gated=finding.gated,
        excerpt=_same(finding.excerpt, Excerpt) if finding.excerpt else None,
        absent=tuple(_same(item, Absence) for item in finding.absent),
    )


def _other_place(place: model.Place) -> OtherPlace:
    at = place.location
    return OtherPlace(
        path=at.path,
        line=at.line,
        end_line=at.end_line,
        precision=at.precision,
        values=at.values,
        bundle=place.bundle,
        object=_same(place.object, Ref),
    )


def _same(value: object, kind: type[T]) -> T:
    """A record as a type that has fields of the same names."""
    return msgspec.convert(value, kind, from_attributes=True)


# -- and back -------------------------------------------------------------------------------------------------------------


def _report(document: Document) -> model.Report:
    settings = document.settings
    return model.Report(
        version=document.kguard.version,
        started=document.started,
        seconds=document.seconds,
        command=document.command,
        profile=settings.profile,
        frameworks=settings.frameworks,
        severity_rule=settings.severity_rule,
        fail_on=settings.fail_on,
        allow_incomplete=_allowed(settings),
        config_path=settings.config_path,
        gate=_same(document.gate, model.Gate),
        tools=tuple(_tool_run(tool) for tool in document.tools),
        inputs=_same(document.inputs, model.Inputs),
        findings=tuple(_found(finding) for finding in document.findings),
        ignores=tuple(_same(item, model.InlineIgnore) for item in document.ignores),
        controls=tuple(_same(item, model.ControlText) for item in document.controls),
    )


def _allowed(settings: Settings) -> tuple[tuple[str, str], ...]:
    reasons = {item.name: item.reason or "" for item in settings.allowed}
    return tuple((name, reasons.get(name, "")) for name in settings.allow_incomplete)


def _tool_run(tool: Tool) -> model.ToolRun:
    rules = tool.rules
    return model.ToolRun(
        name=tool.name,
        state=tool.state,
        version=Version(tool.version) if tool.version else None,
        reason=tool.reason,
        program=tool.path,
        exit_codes=tool.exit_codes,
        seconds=tool.seconds,
        cpu_seconds=tool.cpu_seconds,
        peak_memory_bytes=tool.peak_memory_bytes,
        processes=tool.processes,
        rules=_same(rules, model.ActiveRules) if rules else None,
        objects=_same(tool.objects, model.ObjectCounts),
        unread=tuple(_same(item, model.UnreadObject) for item in tool.unread),
        records=tool.records,
        evidence=tool.evidence,
        complaints=tool.complaints,
        canary=tool.canary,
        out_of_scope=tool.out_of_scope,
        off_by_default=tool.off_by_default,
    )


def _found(finding: Finding) -> model.Finding:
    fields: dict[str, Any] = {
        name: getattr(finding, name) for name in model.Finding.__slots__ if hasattr(finding, name)
    }
    fields["object"] = _same(finding.object, model.ObjectRef)
    fields["location"] = _same(finding.location, model.Location)
    fields["places"] = tuple(
        model.Place(
            bundle=place.bundle,
            object=_same(place.object, model.ObjectRef),
            location=_same(place, model.Location),
        )
        for place in finding.places
    )
    fields["absent"] = tuple(_same(item, model.Absence) for item in finding.absent)
    fields["evidence"] = tuple(_statement(item) for item in finding.evidence)
    fields["fix"] = _same(finding.fix, model.Fix) if finding.fix else None
    fields["references"] = tuple(_same(item, model.Reference) for item in finding.references)
    fields["excerpt"] = _same(finding.excerpt, model.Excerpt) if finding.excerpt else None
    return model.Finding(**fields)


def _statement(item: Evidence) -> model.Statement:
    place = item.location
    fields: dict[str, Any] = {name: getattr(item, name) for name in model.Statement.__slots__}
    fields["object"] = _same(item.object, model.ObjectRef) if item.object else None
    fields["location"] = place and model.Location(
        path=place.path, line=place.line, end_line=None, precision=model.Precision.UNKNOWN
    )
    return model.Statement(**fields)
