"""The records that travel down the pipeline, from a source object to a report."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from packaging.version import Version

FieldPath = tuple[str | int, ...]
"""Keys and list indexes from an object's root to a field: ("spec", "containers", 0, "image")."""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


# -- words ------------------------------------------------------------------------------------------------------------


class Severity(StrEnum):
    """How bad a finding is, worst first; `unknown` is a rule whose tool has no severities."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """0 is worst. `unknown` sorts as medium, as the tables count it."""
        return _RANKS[self]


_RANKS = {
    Severity.CRITICAL: 0,
    Severity.HIGH: 1,
    Severity.MEDIUM: 2,
    Severity.UNKNOWN: 2,
    Severity.LOW: 3,
    Severity.INFO: 4,
}


class Precision(StrEnum):
    """What a location's line is the line of."""

    EXACT = "exact"
    CONTAINER = "container"
    OBJECT = "object"
    TEMPLATE = "template"
    FILE = "file"
    UNKNOWN = "unknown"


class RunState(StrEnum):
    """How a tool's run went; anything but `ok` and `skipped-by-config` is incomplete."""

    OK = "ok"
    MISSING = "missing"
    WRONG_VERSION = "wrong-version"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    UNREADABLE_OUTPUT = "unreadable-output"
    DEGRADED = "degraded"
    SKIPPED = "skipped-by-config"

    @property
    def complete(self) -> bool:
        return self in (RunState.OK, RunState.SKIPPED)


class Look(StrEnum):
    """What a tool has to do with a control, or with one finding of it."""

    FOUND = "found"
    ON = "on"
    """A check for exactly this control was on; whether it looked at an object is another question."""
    MISSED = "missed"
    """A check for exactly this was on and read the object, and said nothing."""
    PARTIAL = "partial"
    """Only checks that cover a part of it were on; of a finding: they read the object and said nothing."""
    SILENCED = "silenced"
    """An annotation of the object tells it to be silent."""
    OFF = "off"
    NO_RULE = "no rule"
    OUT_OF_SCOPE = "out of scope"
    """No rule that was on is about objects of this kind."""
    DID_NOT_LOOK = "did not look"
    NOT_KNOWN = "not known"


class FileState(StrEnum):
    """What became of a file below the sources; every file has exactly one."""

    SCANNED = "scanned"
    TEMPLATE = "template"
    RENDERED_ELSEWHERE = "rendered-elsewhere"
    NOT_KUBERNETES = "not-kubernetes"
    UNREADABLE = "unreadable"
    IGNORED = "ignored"


class BundleKind(StrEnum):
    PLAIN = "plain"
    HELM = "helm"
    KUSTOMIZE = "kustomize"


class BundleState(StrEnum):
    PLAIN = "plain"
    RENDERED = "rendered"
    FAILED = "failed"


class Splitting(Enum):
    """How a tool's input may be split over processes without changing what it finds."""

    OBJECT = "object"
    """Every object is judged alone, but for the adapter's `context_kinds`."""
    FOLDER = "folder"
    """Objects of one folder are judged together."""
    BUNDLE = "bundle"
    """Objects of one bundle are judged together."""


# -- inputs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ObjectRef:
    """The identity that Kubernetes gives an object."""

    group: str
    """"" for the core group."""
    version: str
    kind: str
    namespace: str | None
    """None when the manifest names none; kguard invents no namespace."""
    name: str
    """"" for an object with `generateName` only."""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """(group, kind, namespace, name): the same object in another API version is the same object."""
        return (self.group, self.kind, self.namespace or "", self.name)

    @property
    def type(self) -> str:
        """`apps/v1/Deployment`, `v1/Pod`."""
        return "/".join(filter(None, (self.group, self.version, self.kind)))

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Lines of a file, 1-based, both ends included."""

    line: int
    end_line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an object stands in the user's files; of a rendered object, the template or the base that it was made of."""

    path: str
    """Relative to the working directory, forward slashes; `-` for stdin."""
    document: int
    """1-based, counting every document of the file, empty ones too; of a template, the documents that it rendered."""
    item: int | None
    """1-based position in a List, None outside one; where Lists stand in it, their items are counted in their stead."""
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place in the user's files."""

    path: str
    line: int | None
    end_line: int | None
    precision: Precision
    values: tuple[str, ...] = ()
    """Keys of a chart's values that the place reads (`image.tag`), where the precision is `template`."""


class Trace(Protocol):
    """The way back from a rendered object to the files that it was made of."""

    def locations(self, value: Mapping[str, Any], spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Location]:
        """A place for every field path in `spans` (those of the rendered document), () for the whole object among them. The precision
        is `exact` where the field itself stands at that line, `object` for () where the object does; `file` or `template` without a
        line where that is all that is known."""

    def removed_by(self, path: FieldPath, seen: Mapping[str, Any]) -> Location | None:
        """What took a field away on the way to this object, set it otherwise, or added it: a patch, a kustomization's entry. `seen`:
        the object through which `path` runs, as another bundle has it. None where nothing did, or it cannot be told."""

    @property
    def source(self) -> Hashable:
        """What the object was made of: equal in every bundle that renders the same document of a base, or the same object of a
        template."""

    @property
    def own_ref(self) -> ObjectRef | None:
        """What the source itself calls the object, without prefixes, hashes and namespaces that overlays add; None where it has no
        name of its own (a template)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KubeObject:
    """One Kubernetes object, with the very bytes that the tools read. Compared by identity: an object is itself, not its name."""

    bundle: str
    """Id of the bundle that it is deployed with."""
    staged: str
    """Path of its staged file below the bundle's tree, unique in the bundle, forward slashes."""
    ref: ObjectRef
    origin: Origin
    text: bytes
    """The staged file's content: the document's own bytes, or a List item written anew."""
    text_line: int | None
    """Line of the source file on which `text` starts, so that source line = staged line + text_line - 1; None for a List item,
    whose staged lines say nothing about its source."""
    item_spans: Mapping[FieldPath, Span] | None = None
    """Source lines by field path, for a List item."""
    trace: Trace | None = None
    """The way back, for a rendered object."""

    @property
    def key(self) -> tuple[str, str]:
        """Unique in a run, and the order in which objects are reported."""
        return (self.bundle, self.staged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of an object's pod spec."""

    name: str
    """Its name; `containers[1]` where it has none or shares it with a sibling."""
    given: str
    """Its name as it stands in the manifest; "" for none."""
    path: FieldPath
    init: bool

    @property
    def main(self) -> bool:
        """Neither one that starts before the main ones nor one that is put into a running pod."""
        return self.path[-2] == "containers"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObjectIndex:
    """What can be looked up in one object: values, lines and containers."""

    value: Mapping[str, Any]
    """Plain dicts, lists and scalars; anchors and merge keys resolved."""
    spans: Mapping[FieldPath, Span]
    """Lines in the source file, for every mapping value, sequence item and key that stands there."""
    staged_spans: Mapping[FieldPath, Span]
    """The same in the staged file."""
    pod: FieldPath | None
    """Path of the pod spec, None for objects without one."""
    containers: tuple[Container, ...]
    """Init containers first, as they stand in the pod spec; ephemeral containers last."""
    locations: Mapping[FieldPath, Location] | None = None
    """Of a rendered object, where each field comes from; None for an object that stands in its file as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputProblem:
    """Something that looks like a manifest and could not be read, so the run's `inputs` are incomplete."""

    path: str
    document: int | None
    line: int | None
    message: str
    """One line: why, and what became of the rest of the file."""

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}, line {self.line}"
        return f"{where}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One file below the sources and what became of it."""

    path: str
    state: FileState
    objects: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Objects that are deployed together; checks that look across objects see one bundle, never two."""

    id: str
    kind: BundleKind
    path: str
    name: str = ""
    """What people call it: `prod`; "" for a plain one."""
    state: BundleState
    objects: tuple[KubeObject, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Everything found below the sources."""

    sources: tuple[str, ...]
    bundles: tuple[Bundle, ...]
    files: tuple[InputFile, ...]
    """Every file that is one of a chart or a kustomization, or has the name of a manifest, and every folder left out."""
    others: tuple[str, ...] = ()
    """Paths of all other files."""
    problems: tuple[InputProblem, ...]

    @property
    def objects(self) -> tuple[KubeObject, ...]:
        return tuple(obj for bundle in self.bundles for obj in bundle.objects)


# -- running ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """One file of a part; it holds exactly one object."""

    path: str
    """Below the part's root, forward slashes."""
    ref: ObjectRef
    context: bool = False
    """Here only because other objects are judged by it; its own evidence comes from another part."""
    silenced: bool = False
    """Its author tells the tool to say nothing of it, not even that it was read."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagePart:
    """A folder with the objects that one process shall read."""

    id: str
    bundle: str
    root: Path
    """Absolute."""
    files: tuple[StagedFile, ...]

    def find(self, hint: ObjectHint) -> StagedFile | None:
        """The file that a tool means: by its path, else by kind, namespace and name (the first of several); None if none."""
        by_path, by_identity = _tables(self)
        found = by_path.get(hint.staged) if hint.staged is not None else None
        return found or by_identity.get((hint.kind or "", hint.namespace or "", hint.name or ""))


@lru_cache(maxsize=8)
def _tables(part: StagePart) -> tuple[dict[str, StagedFile], dict[tuple[str, str, str], StagedFile]]:
    by_identity: dict[tuple[str, str, str], StagedFile] = {}
    for file in part.files:
        by_identity.setdefault((file.ref.kind, file.ref.namespace or "", file.ref.name), file)
    return {file.path: file for file in part.files}, by_identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A process to run: no shell, a clean environment, an own HOME and an own empty working directory."""

    argv: tuple[str, ...]
    """argv[0] is the tool's name; the runner puts the program's path there."""
    part: StagePart | None = None
    """What it reads; None for version commands."""
    env: Mapping[str, str] = field(default_factory=_nothing)
    """Added to the clean environment."""
    files: Mapping[str, bytes] = field(default_factory=_nothing)
    """Written into the working directory before the start (configuration), by relative path, so that `plan` stays pure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a process did. A non-zero exit is data."""

    command: Command
    exit_code: int | None
    """None when it did not start, was killed by a signal, or was stopped."""
    stdout: bytes
    stderr: bytes
    failure: RunState | None = None
    """MISSING (did not start), TIMED_OUT or FAILED (signal, output beyond the cap) - known without looking at the output."""
    reason: str | None = None
    """The sentence for `failure`."""
    seconds: float = 0.0
    cpu_seconds: float | None = None
    """User and system time of the process and the children it waited for."""
    peak_memory_bytes: int | None = None
    """None when the process was gone before a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHint:
    """What a tool says about which object it means: a staged file, or an identity, or both."""

    staged: str | None = None
    """Path below the part's root, forward slashes."""
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing that one tool said about one place; the hints are the tool's, nothing is resolved yet.

    A large run has hundreds of thousands of these: adapters intern the texts that repeat (rule, title, URL).
    """

    tool: str
    rule: str
    """The tool's id in its newest form (KSV-0017)."""
    title: str
    native_severity: str | None
    """The tool's own word; None where the tool has no severities."""
    message: str
    url: str | None
    object: ObjectHint
    container: str | None = None
    """Name of the container that the tool names."""
    path: FieldPath | None = None
    """Field that the tool names, from the root of the object hinted at (or of `path_object`)."""
    lines: Span | None = None
    """Lines in the staged file."""
    value: str | None = None
    """What the message quotes to tell this fault from its siblings: a capability, a variable, a key, a volume."""
    inner_rule: str | None = None
    """The rule inside a control (kubescape)."""
    continued: bool = False
    """A further place of the record of the evidence before it."""
    path_object: ObjectHint | None = None
    """The object that `path` runs through, where it is not `object` (kubescape's RBAC subjects)."""
    related: tuple[ObjectHint, ...] = ()
    """Further objects that the tool names (kubescape: binding and role)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """An object that a tool should have read and did not."""

    object: ObjectHint
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What one process printed, as records."""

    evidence: tuple[Evidence, ...]
    seen: frozenset[ObjectHint] | None
    """Objects that the tool proves to have read; None where it cannot tell."""
    unread: tuple[Unread, ...] = ()
    """Objects that the tool says it could not read."""
    rules: frozenset[str] | None = None
    """Ids of the rules that were on, from the output; None where the output does not tell."""
    complaints: tuple[str, ...] = ()
    """What the tool warned of; no times, no stage paths."""

    @property
    def records(self) -> int:
        """What the tool printed, counted as the tool counts: kubescape prints one record per resource and control."""
        return sum(1 for item in self.evidence if not item.continued)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleGroup:
    """Rules that a tool is asked for by one name: a framework of kubescape."""

    name: str
    rules: int
    """How many of its rules are about manifests; a rule may be in several groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """The rules that a run has on, as far as they are known before it."""

    source: str
    """Where they come from: `built into kube-linter 0.8.3`, `regolibrary 2.0.1: nsa, mitre, cis-v1.23-t1.0.1`."""
    ids: frozenset[str] | None = None
    """None: not known before the run."""
    kinds: frozenset[str] | None = None
    """Kinds whose objects the tool names in its output whenever it read them, as `group/version/Kind` (`/v1/Pod` for the core
    group), each part may be `*`; None: every kind. An object of another kind that it does not name is out of scope, not unread."""
    digest: str | None = None
    """sha256 of the rule files; None for built-in rules."""
    folder: Path | None = None
    """Where the rule files are; None for built-in rules."""
    groups: tuple[RuleGroup, ...] = ()
    """The groups that the tool is asked for."""
    problem: str | None = None
    """Why there are no usable rules (a missing library, an unknown framework): the tool is not run, and the run is degraded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRules:
    """The rules that a run had on, as reports show them: what "no finding" can mean."""

    active: int | None
    """How many; None where neither the tool nor its rule files tell."""
    digest: str | None
    source: str
    ids: tuple[str, ...] | None = None
    """Which, sorted; None where that is not known."""
    groups: tuple[RuleGroup, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectCounts:
    """staged = read + out of scope + unread, wherever `read` is known."""

    staged: int = 0
    read: int | None = None
    out_of_scope: int = 0
    unread: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadObject:
    path: str
    document: int
    object: ObjectRef
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """That a tool was asked, and how it went; always one per tool that kguard knows."""

    name: str
    state: RunState
    version: Version | None = None
    reason: str | None = None
    """One sentence, None only for `ok`: why the state, and what next."""
    program: str | None = None
    exit_codes: tuple[int | None, ...] = ()
    seconds: float | None = None
    """From the start of its first process to the end of its last."""
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    processes: int = 0
    rules: ActiveRules | None = None
    canary: bool | None = None
    """Whether it reported kguard's own bad object in every process; None where it was not asked to."""
    off_by_default: bool = False
    """It is off unless it is asked for, and it was not: reports for people do not name it."""
    objects: ObjectCounts = ObjectCounts()
    out_of_scope: tuple[str, ...] = ()
    """Kinds of the objects out of scope (`apps/v1/Deployment`), sorted; another object of such a kind may have been read."""
    unread: tuple[UnreadObject, ...] = ()
    records: int = 0
    evidence: int = 0
    complaints: tuple[str, ...] = ()


# -- findings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Evidence with its hints resolved against the stage; the object it belongs to is decided, the finding is not."""

    evidence: Evidence
    object: KubeObject
    container: Container | None
    path: FieldPath | None
    """The field named by the tool, through `path_object`."""
    path_object: KubeObject
    """The object that `path` runs through; mostly `object`."""
    related: tuple[KubeObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    name: str
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """The field to change; `value` None where the value is the author's to choose."""

    path: str
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one tool said, inside a finding; the same evidence may stand in several findings."""

    tool: str
    rule: str
    title: str
    native_severity: str | None
    message: str
    """Masked: no value of a Secret or of an environment variable."""
    url: str | None
    object: ObjectRef | None
    """The object that the tool named, where it is not the finding's."""
    container: str | None
    why_merged: str
    located: int | None
    """How many places were taken from the manifest because the tool named none; None when it named one."""
    location: Location | None
    """Where the tool itself pointed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """The manifest lines around a finding; Secrets and environment values are masked."""

    line: int
    """Number of the first line."""
    lines: tuple[str, ...]
    at: int | None = None
    """Number of the line that the finding is about."""
    rendered: bool = False
    """The lines are those of the rendered object, not of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A further seat of a fault: the same source rendered in another bundle."""

    bundle: str
    object: ObjectRef
    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """A bundle that renders the same source without the fault."""

    bundle: str
    object: ObjectRef
    by: Location | None
    """Where that bundle says otherwise (the patch that cures it); None where that cannot be told."""
    silenced: bool = False
    """An annotation tells a tool that found the fault elsewhere to be silent about it: nothing is known of it here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One real fault: control + object + container + discriminator, with what every tool said about it."""

    fingerprint: str
    control: str
    title: str
    severity: Severity
    category: str
    gated: bool
    """False for what is outside the gate: unproven evidence and faults that a wider finding includes."""
    bundle: str
    object: ObjectRef
    container: str | None
    discriminator: str | None
    location: Location
    places: tuple[Place, ...]
    """The same fault of the same source in other bundles."""
    absent: tuple[Absence, ...] = ()
    """Bundles that render the same source without it; empty for a fault that all of them have."""
    tools: tuple[str, ...]
    evidence: tuple[Statement, ...]
    related: tuple[str, ...]
    """Fingerprints of findings that overlap without being the same."""
    remediation: str
    fix: Fix | None
    references: tuple[Reference, ...]
    excerpt: Excerpt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlText:
    """What reports say of a control, once for all of its findings."""

    id: str
    because: str
    """Why the severity is what it is."""
    harm: str
    """What can go wrong."""
    remediation: str
    example: str
    """YAML that has the fault no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineIgnore:
    """An annotation by which a tool is told to be silent about an object."""

    path: str
    line: int | None
    bundle: str
    object: ObjectRef
    tool: str
    rule: str | None
    """None: every rule of the tool."""
    annotation: str
    value: str
    """Where people write the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The exit code and the sentence that explains it."""

    exit_code: int
    reason: str
    failing: int
    """Findings at or above the bar."""
    incomplete: tuple[str, ...]
    """Tools, or `inputs`, that did not look at everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSummary:
    """A bundle without its objects, as reports show it."""

    id: str
    kind: BundleKind
    path: str
    name: str = ""
    objects: int
    state: BundleState
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The inventory without its objects, as reports show it."""

    sources: tuple[str, ...]
    bundles: tuple[BundleSummary, ...]
    files: tuple[InputFile, ...]
    others: int = 0
    """Files that are neither YAML nor JSON, and belong to no chart or kustomization."""
    problems: tuple[InputProblem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a run found out; every format renders this and nothing else."""

    version: str
    started: str
    """RFC 3339, UTC."""
    seconds: float
    command: tuple[str, ...]
    profile: str
    frameworks: tuple[str, ...]
    severity_rule: str
    fail_on: str
    allow_incomplete: tuple[tuple[str, str], ...]
    """Tools, or `inputs`, each with the reason ("" for none given)."""
    config_path: str | None = None
    """The kguard.yaml that was read."""
    gate: Gate
    tools: tuple[ToolRun, ...]
    inputs: Inputs
    findings: tuple[Finding, ...]
    ignores: tuple[InlineIgnore, ...] = ()
    controls: tuple[ControlText, ...] = ()
    """Those of the catalogue that have findings, by id."""
