"""kubescape: one process over a tree, with the frameworks of a local rule library, JSON (v2) on stdout.

Format: `PostureReportWithSeverity` of kubescape 3. A record is a failed control of a resource; each place in it gives one evidence.
RBAC controls report a subject that kubescape makes up from a binding and a role: it is brought back to the binding, and the paths
to the object that they run through. Objects of kinds that no control of the chosen frameworks matches are never loaded; of those that
are, it names the ones that controls judge one by one. A framework of kguard's own makes it name the others (roles, bindings), too.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version
from platformdirs import user_data_path

from kguard.errors import ParseError, ToolFailure
from kguard.model import (
    Command,
    Evidence,
    FieldPath,
    ObjectHint,
    Outcome,
    Parsed,
    RuleGroup,
    RuleSet,
    Splitting,
    StagePart,
)
from kguard.settings import Profile, Settings

name = "kubescape"
versions = SpecifierSet(">=3.0.40,<5")
on_by_default = True
splitting = Splitting.BUNDLE
context_kinds: frozenset[str] = frozenset()
part_limit: int | None = None
unique_identities = False

_OFFLINE = {"KS_SKIP_UPDATE_CHECK": "true", "KUBESCAPE_SKIP_UPDATE_CHECK": "true"}
_NOTHING_FOR_IT = "no resources found to scan"
_VERSION = re.compile(r"Your current version is: v?(\S+)")
_OWN, _LOADED = "kguard", "kguard-loaded"
_NEVER = 'package armo_builtins\n\ndeny[msga] {\n\tinput[_].kind == ""\n\tmsga := {}\n}\n'
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]|\[([^\]]+)\]")
_RELATED = re.compile(r"^relatedObjects\[(\d+)\]\.?(.*)$")
_SEVERITIES = ((9.0, "Critical"), (7.0, "High"), (4.0, "Medium"), (1.0, "Low"))


class _FixPath(msgspec.Struct):
    path: str = ""
    value: str = ""


class _Place(msgspec.Struct):
    failedPath: str = ""
    reviewPath: str = ""
    deletePath: str = ""
    fixPath: _FixPath = msgspec.field(default_factory=_FixPath)
    resourceID: str = ""


class _Rule(msgspec.Struct):
    name: str
    status: str = ""
    paths: list[_Place] | None = None


class _Status(msgspec.Struct):
    status: str


class _Control(msgspec.Struct):
    controlID: str
    name: str
    status: _Status
    rules: list[_Rule] | None = None
    severity: str = ""


class _Result(msgspec.Struct):
    resourceID: str
    controls: list[_Control]


class _Metadata(msgspec.Struct):
    name: Any = None
    namespace: Any = None


class _Object(msgspec.Struct):
    """A manifest, or what kubescape made up from some; all but what names it is passed over."""

    kind: Any = None
    metadata: _Metadata | None = None
    name: Any = None
    namespace: Any = None
    sourcePath: str = ""
    relatedObjects: list[_Object] | _Object | None = None
    """C-0042 gives one object in place of a list."""


class _Resource(msgspec.Struct):
    resourceID: str
    object: _Object


class _Summary(msgspec.Struct):
    controls: dict[str, dict[str, Any]] = {}


class _Report(msgspec.Struct):
    summaryDetails: _Summary
    resources: list[_Resource] = []
    results: list[msgspec.Raw] = []
    """Each a `_Result`, decoded one after another: with the controls that passed, they are the most of a large output."""


class _Match(msgspec.Struct):
    apiGroups: list[str] = []
    apiVersions: list[str] = []
    resources: list[str] = []


class _RuleFile(msgspec.Struct):
    match: list[_Match] | None = None


class _Scope(msgspec.Struct):
    matches: list[str] = []


class _ControlFile(msgspec.Struct):
    controlID: str
    rules: list[_RuleFile] = []
    scanningScope: _Scope | None = None


class _Framework(msgspec.Struct):
    name: str
    controls: list[_ControlFile]


def version_command() -> Command:
    return Command(argv=(name, "version"), env=_OFFLINE)


def read_version(outcome: Outcome) -> Version | None:
    text = outcome.stdout.decode(errors="replace")
    found = _VERSION.search(text)
    if found is None:
        raise ParseError(f"its version command printed {text.strip()[:60]!r}")
    try:
        return Version(found[1])
    except InvalidVersion:
        return None


def rules(settings: Settings, version: Version | None) -> RuleSet:
    folder = settings.rules.get(name) or user_data_path("kguard") / "rules" / name
    library, broken = _library(folder)
    if broken:
        problem = f"{broken[0]} in its rule library {folder} is no whole JSON file: get the library again"
        return RuleSet(source=f"rule library in {folder}", folder=folder, problem=problem)
    if not library:
        problem = f"no rule library in {folder}: name the folder of its JSON files with --rules kubescape=DIR"
        return RuleSet(source="none", folder=folder, problem=problem)
    sets, unknown = _chosen(settings, library)
    if unknown:
        problem = f"its rule library has no framework {', '.join(unknown)}; it has {', '.join(sorted(library))}"
        return RuleSet(source=f"rule library in {folder}", digest=_digest(folder), folder=folder, problem=problem)
    on_files = [control for chosen in sets for control in _on_files(library[chosen])]
    if not on_files:
        problem = f"{', '.join(sets)} in its rule library {folder} has no control about manifests"
        return RuleSet(source=f"rule library in {folder}", digest=_digest(folder), folder=folder, problem=problem)
    return RuleSet(
        source=f"regolibrary {_library_version(folder)}: {', '.join(sets)}",
        ids=frozenset(control.controlID for control in on_files),
        kinds=frozenset(kind for control in on_files for rule in control.rules for kind in _kinds(rule)),
        digest=_digest(folder),
        folder=folder,
        groups=tuple(RuleGroup(name=word, rules=len(_on_files(library[word]))) for word in sets),
    )


def _on_files(framework: _Framework) -> Sequence[_ControlFile]:
    """Its controls that are about manifests, not about a live cluster."""
    return [item for item in framework.controls if item.scanningScope and "file" in item.scanningScope.matches]


@lru_cache(maxsize=4)
def _library(folder: Path) -> tuple[Mapping[str, _Framework], Sequence[str]]:
    """The frameworks of a library by name in lower case, as kubescape matches them, and the names of files that are cut off."""
    found, broken = {}, []
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            framework = msgspec.json.decode(file.read_bytes(), type=_Framework)
            found[framework.name.lower()] = framework
        except msgspec.ValidationError:
            continue  # exceptions, control inputs and attack tracks stand in the same folder
        except msgspec.DecodeError:
            broken.append(file.name)
    return found, broken


def _chosen(settings: Settings, library: Mapping[str, _Framework]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The frameworks asked for, and those that the library does not have."""
    wanted = ["all"] if settings.profile is Profile.ALL else [framework.lower() for framework in settings.frameworks]
    if "all" in wanted:
        return tuple(sorted(library)), ()
    named = [_newest_cis(library) or word if word == "cis" else word for word in wanted]
    return tuple(dict.fromkeys(named)), tuple(word for word in named if word not in library)


def _newest_cis(library: Mapping[str, _Framework]) -> str | None:
    plain = [framework for framework in library if framework.startswith("cis-v")]
    return max(plain, key=lambda word: [int(number) for number in re.findall(r"\d+", word)], default=None)


def _kinds(rule: _RuleFile) -> Iterator[str]:
    """The kinds of the objects that a rule looks at."""
    for match in rule.match or ():
        for group in match.apiGroups or ["*"]:
            for version in match.apiVersions or ["*"]:
                # `*` means the versions that kubescape knows: removed ones (batch/v1beta1) are never loaded
                yield from (f"{group}/{'v1' if version == '*' else version}/{kind}" for kind in match.resources)


def _library_version(folder: Path) -> str:
    file = folder / "VERSION"
    return file.read_text().strip() if file.is_file() else "of unknown version"


def _digest(folder: Path) -> str:
    """sha256 over the names and bytes of the library's files."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.json")):
        total.update(f"{file.name}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def plan(part: StagePart, settings: Settings, rules: RuleSet) -> Command:
    frameworks = ",".join((*(group.name for group in rules.groups), _OWN))
    argv = (
        # without a path, kubescape scans the cluster: the part's root is always there
        *(name, "scan", "framework", frameworks, str(part.root)),
        *("--use-artifacts-from", str(rules.folder), "--use-from", f"{_OWN}.json"),
        *("--keep-local", "--format", "json", "-l", "warning", "--cache-dir", "cache"),
    )
    return Command(argv=argv, part=part, env=_OFFLINE, files={f"{_OWN}.json": _own_framework(rules.kinds or ())})


def _own_framework(kinds: Iterable[str]) -> bytes:
    """One control that is about all kinds of the others and finds no fault: whatever is read passes it, and is named."""
    split = (kind.split("/") for kind in sorted(kinds))
    match = [{"apiGroups": [group], "apiVersions": [version], "resources": [kind]} for group, version, kind in split]
    rule = {"name": _LOADED, "ruleLanguage": "Rego", "match": match, "rule": _NEVER}
    control = {"controlID": _LOADED, "name": _LOADED, "scanningScope": {"matches": ["file"]}, "rules": [rule]}
    return msgspec.json.encode({"name": _OWN, "controls": [control]})


def parse(outcome: Outcome) -> Parsed:
    messages = _messages(outcome.stderr)
    if outcome.exit_code != 0:
        if any(_NOTHING_FOR_IT in text for _, text in messages):
            return Parsed(evidence=(), seen=frozenset())
        fatal = [text for level, text in messages if level in ("fatal", "error")]
        panic = [line for line in outcome.stderr.decode(errors="replace").splitlines() if line.startswith("panic: ")]
        raise ToolFailure((fatal or panic or [f"it ended with {outcome.exit_code} and named no reason"])[-1][:500])
    try:
        report = msgspec.json.decode(outcome.stdout, type=_Report)
        resources = {resource.resourceID: resource.object for resource in report.resources}
        evidence = tuple(chain.from_iterable(_records(report, resources)))
    except msgspec.MsgspecError as error:
        raise ParseError(str(error)) from error
    root = f"{outcome.command.part.root}/" if outcome.command.part else ""
    return Parsed(
        evidence=evidence,
        seen=frozenset(_hint(raw) for raw in resources.values() if raw.sourcePath),
        rules=frozenset(report.summaryDetails.controls) - {_LOADED},
        complaints=(
            *_excepted(report),
            *sorted({text.replace(root, "") for level, text in messages if level == "warning"}),
        ),
    )


def _messages(stderr: bytes) -> Sequence[tuple[str, str]]:
    """Level and text of the zap lines on stderr, with the error that a line names."""
    found = []
    for line in stderr.splitlines():
        if line.startswith(b"{"):
            try:
                entry = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.MsgspecError:
                continue  # a line that was cut off; the others still count
            text = ": ".join(str(entry[key]) for key in ("msg", "error") if entry.get(key))
            found.append((str(entry.get("level", "")), text))
    return found


def _excepted(report: _Report) -> Iterator[str]:
    """What exceptions.json of the rule library makes of failures: passes."""
    counters = (control.get("subStatusCounters", {}) for control in report.summaryDetails.controls.values())
    count = sum(counter.get("ignoredResources", 0) for counter in counters)
    if count:
        yield f"{count:,} failures count as passed: exceptions.json of its rule library excepts them"


def _records(report: _Report, resources: Mapping[str, _Object]) -> Iterator[Iterator[Evidence]]:
    """The evidence of each record: a control that failed for a resource. No record that the summary counts may be missing."""
    printed: Counter[str] = Counter()
    scores = {key: control.get("scoreFactor", 0) for key, control in report.summaryDetails.controls.items()}
    decoder = msgspec.json.Decoder(_Result)
    for raw in report.results:
        result = decoder.decode(raw)
        if result.resourceID not in resources:
            raise ParseError(f"it has a result for {result.resourceID[:200]!r} and no such resource")
        subject = _subject_of(resources[result.resourceID])
        for control in result.controls:
            if control.status.status == "failed":
                printed[control.controlID] += 1
                severity = sys.intern(control.severity or _severity(scores.get(control.controlID, 0)))
                yield _evidence(control, severity, subject, result.resourceID, resources)
    for key, summary in report.summaryDetails.controls.items():
        counted = summary.get("ResourceCounters", {}).get("failedResources", 0)
        if printed[key] < counted:
            raise ParseError(f"it counts {counted} failures of {key} and prints {printed[key]}")


def _evidence(
    control: _Control, severity: str, subject: ObjectHint, resource: str, resources: Mapping[str, _Object]
) -> Iterator[Evidence]:
    raw = resources[resource]
    related = tuple(_hint(item) for item in _related(raw))
    places = [(rule.name, *place) for rule in control.rules or () if rule.status == "failed" for place in _places(rule)]
    for number, (inner, path, fix, owner) in enumerate(dict.fromkeys(places) or [("", "", "", "")]):
        through, rest = _through(path or fix, raw, resources.get(owner) if owner != resource else None)
        yield Evidence(
            tool=name,
            rule=sys.intern(control.controlID),
            title=sys.intern(control.name),
            native_severity=severity,
            message=sys.intern(_message(control, path, fix)),
            url=sys.intern(f"https://hub.armosec.io/docs/{control.controlID.lower()}"),
            object=subject,
            path=field_path(rest),
            inner_rule=inner or None,
            continued=number > 0,
            path_object=_hint(through) if through is not raw else None,
            related=related,
        )


def _places(rule: _Rule) -> Iterator[tuple[str, str, str]]:
    """(failed path, fix path, owner) of each place: one with a failed path comes again as review or delete path."""
    for place in rule.paths or ():
        path = place.failedPath or place.reviewPath or place.deletePath
        if path or place.fixPath.path:
            yield path, "" if path else place.fixPath.path, place.resourceID


def _through(path: str, raw: _Object, owner: _Object | None) -> tuple[_Object, str]:
    """The object that a path runs through, and the path in it."""
    match = _RELATED.match(path)
    related = _related(raw)
    if match and int(match[1]) < len(related):
        return related[int(match[1])], match[2]
    return (owner if owner is not None else raw), path


def _related(raw: _Object) -> list[_Object]:
    """The objects that a resource was made up from."""
    found = raw.relatedObjects or []
    return found if isinstance(found, list) else [found]


def _subject_of(raw: _Object) -> ObjectHint:
    """The object that a record belongs to: the binding, where kubescape made up a subject from it."""
    bindings = [item for item in _related(raw) if str(item.kind or "").endswith("Binding")]
    made_up = not raw.sourcePath and raw.kind in ("ServiceAccount", "User", "Group")
    return _hint(bindings[0] if bindings and made_up else raw)


def _hint(raw: _Object) -> ObjectHint:
    metadata = raw.metadata or _Metadata()
    return ObjectHint(
        staged=raw.sourcePath.rpartition(":")[0] if raw.sourcePath else None,
        kind=str(raw.kind or ""),
        namespace=str(metadata.namespace or raw.namespace or ""),
        name=str(metadata.name or raw.name or ""),
    )


def _message(control: _Control, path: str, fix: str) -> str:
    """kubescape prints no message: the place says what its control title leaves open."""
    where = f": {path}" if path else f": {fix} is missing or wrong" if fix else ""
    return f"{control.name}{where}"


def _severity(score: float) -> str:
    return next((word for bar, word in _SEVERITIES if score >= bar), "Unknown")


@lru_cache(maxsize=4096)
def field_path(text: str) -> FieldPath | None:
    """`spec.containers[0].env` as keys and indexes; a bracket may hold a key (`labels[app.kubernetes.io/name]`)."""
    steps: list[str | int] = []
    for key, number, bracket in _STEP.findall(text):
        steps.append(int(number) if number else key or bracket.strip("\"'"))
    return tuple(steps) or None
