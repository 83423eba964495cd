"""Every tool asked: found, its version read, its processes run side by side, what they printed parsed and accounted for."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec
from packaging.version import Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import (
    ActiveRules,
    Bundle,
    KubeObject,
    Outcome,
    Parsed,
    RuleSet,
    RunState,
    Splitting,
    StagedFile,
    StagePart,
    ToolRun,
    Unread,
    UnreadObject,
)
from kguard.running import process
from kguard.running.account import Account, account, nothing_read, total
from kguard.running.contract import Adapter
from kguard.running.shard import Part, parts
from kguard.settings import Settings

_VERSION_SECONDS = 60.0

_WORST_LAST = (
    RunState.OK,
    RunState.DEGRADED,
    RunState.UNREADABLE_OUTPUT,
    RunState.TIMED_OUT,
    RunState.FAILED,
    RunState.MISSING,
)
"""The worst of a tool's processes decides the state of its run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolProgress:
    """How far a tool is."""

    tool: str
    state: Literal["running", "done"] = "running"
    objects: int
    """All that it shall judge."""
    parts: int
    parts_done: int = 0
    seconds: float = 0.0
    """Since the start of its first process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """A tool's run and what it said, by part; a part whose process failed is not among them."""

    run: ToolRun
    parsed: tuple[tuple[StagePart, Parsed], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """What data/tools.yaml says of a tool."""

    initials: str
    homepage: str
    releases: str
    """Page where users get it."""
    install: str
    proven: tuple[str, ...]
    """Versions whose output was compared with a run by hand."""
    ignores: tuple[str, ...] = ()
    """Annotations that silence it, as expressions over `key=value`."""


Write = Callable[[Path, Sequence[KubeObject], dict[KubeObject, Path]], None]
"""Puts objects into a folder, each as the file that it is staged as; the last argument is where they stand already."""


def run_tools(
    adapters: Sequence[Adapter],
    bundles: Sequence[Bundle],
    settings: Settings,
    write: Write,
    folder: Path,
    progress: Callable[[ToolProgress], None],
) -> tuple[ToolResult, ...]:
    """Run every tool over every bundle, `settings.jobs` processes at a time; one result per adapter, in their order, whatever
    the tools do.

    `folder` is private to this run. `progress` is called from the workers, never twice at once. When the caller is interrupted,
    all processes are gone before the interruption goes on.
    """
    runner = _Runner(settings=settings, folder=folder, meter=_Meter(progress))
    with ThreadPoolExecutor(max_workers=settings.jobs) as pool:
        try:
            tools = list(pool.map(runner.prepare, adapters))
            futures = _submit(pool, runner, tools, bundles, _Stage(folder / "stage", write))
            objects = {obj.key: obj for bundle in bundles for obj in bundle.objects}
            return tuple(
                ToolResult(run=tool)
                if isinstance(tool, ToolRun)
                else _combined(tool, [future.result() for future in futures.get(tool.adapter.name, ())], objects)
                for tool in tools
            )
        finally:
            runner.cancel.set()
            pool.shutdown(wait=False, cancel_futures=True)  # leaving `with` waits for those that run


def find_program(name: str, settings: Settings) -> Path | None:
    """A tool's program: what --tool-path says, else the first on PATH that can be run."""
    given = settings.tool_paths.get(name)
    if given is not None:
        return given
    found = shutil.which(name)
    return Path(found).absolute() if found else None


@lru_cache(maxsize=1)
def tool_facts() -> Mapping[str, ToolFacts]:
    """What kguard knows of each tool, by name; nothing of those that other packages bring."""
    text = (files("kguard") / "data" / "tools.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=dict[str, ToolFacts])


# -- before a tool runs -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A tool that can be run."""

    adapter: Adapter
    program: Path
    version: Version | None
    rules: RuleSet


class _Unfit(Exception):
    """A tool cannot be run."""

    def __init__(self, state: RunState, reason: str) -> None:
        super().__init__(reason)
        self.state, self.reason = state, reason


def _submit(
    pool: ThreadPoolExecutor,
    runner: _Runner,
    tools: Iterable[_Ready | ToolRun],
    bundles: Sequence[Bundle],
    stage: _Stage,
) -> Mapping[str, Sequence[Future[_Ended]]]:
    """Stage the parts and hand each on at once, so that the first run while the last are still written. By tool's name, in the
    bundles' order."""
    planned = [
        (tool, bundle, part)
        for tool in tools
        if isinstance(tool, _Ready)
        for bundle in bundles
        for part in parts(tool.adapter, bundle.objects, runner.settings.jobs)
    ]
    for tool, _, part in planned:
        runner.meter.plan(tool.adapter.name, len(part.judged))
    # the longest first: a long process that starts last keeps everybody waiting
    order = sorted(range(len(planned)), key=lambda number: -_cost(planned[number][0].adapter, planned[number][2]))
    started: dict[int, Future[_Ended]] = {}
    for number in order:
        tool, bundle, part = planned[number]
        started[number] = pool.submit(runner.run, tool, stage.part(bundle.id, part))
    futures: defaultdict[str, list[Future[_Ended]]] = defaultdict(list)
    for number, (tool, _, _) in enumerate(planned):
        futures[tool.adapter.name].append(started[number])
    return futures


def _cost(adapter: Adapter, part: Part) -> int:
    """A guess. Who judges each object alone is slow, or it would not be worth splitting: trivy takes five times as long an
    object as the next."""
    return len(part.objects) * (5 if adapter.splitting is Splitting.OBJECT else 1)


class _Stage:
    """The folders that tools read; those that read the same objects share one."""

    def __init__(self, folder: Path, write: Write) -> None:
        self._folder, self._write = folder, write
        self._roots: dict[tuple[KubeObject, ...], Path] = {}
        self._written: dict[KubeObject, Path] = {}

    def part(self, bundle: str, part: Part) -> StagePart:
        root = self._roots.get(part.objects)
        if root is None:
            root = self._roots[part.objects] = self._folder / str(len(self._roots) + 1)
            root.mkdir(parents=True, mode=0o700)
            self._write(root, part.objects, self._written)
        staged = (StagedFile(path=obj.staged, ref=obj.ref, context=obj.staged in part.context) for obj in part.objects)
        return StagePart(id=root.name, bundle=bundle, root=root, files=tuple(staged))


class _Meter:
    """Counts what is done of each tool, and tells of it, one event at a time."""

    def __init__(self, tell: Callable[[ToolProgress], None]) -> None:
        self._tell, self._lock = tell, threading.Lock()
        self._now: dict[str, ToolProgress] = {}
        self._started: dict[str, float] = {}

    def plan(self, tool: str, objects: int) -> None:
        now = self._now.get(tool, ToolProgress(tool=tool, objects=0, parts=0))
        self._now[tool] = replace(now, objects=now.objects + objects, parts=now.parts + 1)

    def count(self, tool: str, done: int) -> None:
        """`done` parts more are done: 0 when one starts."""
        with self._lock:
            started = self._started.setdefault(tool, time.monotonic())
            now = replace(self._now[tool], seconds=time.monotonic() - started)
            now = replace(now, parts_done=now.parts_done + done)
            self._now[tool] = replace(now, state="done") if now.parts_done == now.parts else now
            self._tell(self._now[tool])


# -- while it runs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """What one process came to."""

    part: StagePart
    outcome: Outcome
    """Without what it printed, which is large and was parsed."""
    started: float
    state: RunState
    reason: str | None
    parsed: Parsed | None
    account: Account


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runner:
    """Runs version commands and parts, each in a folder of its own."""

    settings: Settings
    folder: Path
    meter: _Meter
    cancel: threading.Event = field(default_factory=threading.Event)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def prepare(self, adapter: Adapter) -> _Ready | ToolRun:
        """Find the program, read its version, look at its rules; a run that ends here has its state."""
        run = ToolRun(name=adapter.name, state=RunState.SKIPPED, reason=f"{adapter.name} was left out by --tools")
        if self.settings.tools is not None and adapter.name not in self.settings.tools:
            return run
        program = find_program(adapter.name, self.settings)
        if program is None:
            reason = f"{adapter.name} is not installed. {_get_it(adapter.name)}"
            return replace(run, state=RunState.MISSING, reason=reason)
        run = replace(run, program=str(program))
        try:
            version = self._version(adapter, program)
        except _Unfit as error:
            return replace(run, state=error.state, reason=error.reason)
        if version is not None and not adapter.versions.contains(version, prereleases=True):
            reason = f"{adapter.name} {version} is not a version that kguard can read ({adapter.versions}). "
            reason += _get_it(adapter.name)
            return replace(run, state=RunState.WRONG_VERSION, version=version, reason=reason)
        rules = adapter.rules(self.settings, version)
        if rules.problem is not None:
            return replace(
                run, state=RunState.DEGRADED, version=version, rules=_active(rules, ()), reason=rules.problem
            )
        return _Ready(adapter=adapter, program=program, version=version, rules=rules)

    def _version(self, adapter: Adapter, program: Path) -> Version | None:
        """The version that a program tells. One that fails without a word is broken; one that answers otherwise is another."""
        timeout = min(_VERSION_SECONDS, self.settings.timeout)
        command, folder = adapter.version_command(), self._own_folder()
        outcome = process.run(command, program, folder, timeout=timeout, cancel=self.cancel)
        if outcome.failure is not None:
            raise _Unfit(outcome.failure, f"Asked for its version, {outcome.reason}")
        try:
            return adapter.read_version(outcome)
        except ToolFailure as error:
            raise _Unfit(RunState.FAILED, f"Asked for its version, {adapter.name} failed: {error}") from error
        except (ParseError, UnicodeDecodeError) as error:
            if outcome.exit_code and not outcome.stdout.strip():
                reason = f"Asked for its version, {adapter.name} printed none and ended with {outcome.exit_code}"
                raise _Unfit(RunState.FAILED, reason) from error
            reason = f"{program} does not answer as {adapter.name} does: {error}"
            raise _Unfit(RunState.WRONG_VERSION, reason) from error

    def run(self, tool: _Ready, part: StagePart) -> _Ended:
        """Run a process over a part and parse what it printed at once: no worker holds more than one output."""
        self.meter.count(tool.adapter.name, 0)
        command = tool.adapter.plan(part, self.settings, tool.rules)
        folder, started = self._own_folder(), time.monotonic()
        outcome = process.run(
            command,
            tool.program,
            folder,
            timeout=self.settings.timeout,
            output_cap=process.OUTPUT_CAP,
            cancel=self.cancel,
        )
        shutil.rmtree(folder, ignore_errors=True)
        ended = _judged(tool, part, outcome, started, self.settings.timeout)
        self.meter.count(tool.adapter.name, 1)
        return ended

    def _own_folder(self) -> Path:
        return self.folder / f"process-{next(self._numbers)}"


def _judged(tool: _Ready, part: StagePart, outcome: Outcome, started: float, timeout: float) -> _Ended:
    state, reason, parsed = outcome.failure, outcome.reason, None
    if state is None:
        state, reason, parsed = _parsed(tool.adapter, part, outcome)
    elif state is RunState.TIMED_OUT:
        reason = f"{reason} on {len(part.files):,} objects. Raise it with --timeout {timeout * 3:g}, or cut the input"
    held = account(part, parsed, tool.rules) if parsed is not None else nothing_read(part, reason or state)
    if state is RunState.OK and (held.unread or held.unknown):
        state = RunState.DEGRADED
    bare = replace(outcome, stdout=b"", stderr=b"")
    return _Ended(part=part, outcome=bare, started=started, state=state, reason=reason, parsed=parsed, account=held)


def _parsed(adapter: Adapter, part: StagePart, outcome: Outcome) -> tuple[RunState, str | None, Parsed | None]:
    try:
        return RunState.OK, None, _judged_here(part, adapter.parse(outcome))
    except ToolFailure as error:
        return RunState.FAILED, f"{adapter.name} failed: {error}", None
    except (ParseError, UnicodeDecodeError) as error:
        return RunState.UNREADABLE_OUTPUT, f"What {adapter.name} printed cannot be read: {error}", None
    except RecursionError:  # hostile output may be nested deeper than a decoder goes
        return RunState.UNREADABLE_OUTPUT, f"What {adapter.name} printed is nested too deeply to be read", None


def _judged_here(part: StagePart, parsed: Parsed) -> Parsed:
    """Without evidence about objects that are here as context only, so that no object is judged twice. The tools that are split
    print one record for each evidence.

    Evidence about an object that is not in the part (polaris reads the name `y` as `true`) is told as something that the tool
    did not read: the run is degraded, and the rest of what it said is kept.
    """
    strange = [item for item in parsed.evidence if part.find(item.object) is None]
    if strange:
        told = tuple(Unread(object=item.object, reason=f"reported {item.rule} on it") for item in strange)
        known = tuple(item for item in parsed.evidence if part.find(item.object) is not None)
        parsed = replace(parsed, evidence=known, unread=(*parsed.unread, *told))
    context = {file.path for file in part.files if file.context}
    if not context:
        return parsed
    kept = tuple(
        item for item in parsed.evidence if (file := part.find(item.object)) is None or file.path not in context
    )
    return replace(parsed, evidence=kept, records=parsed.records - len(parsed.evidence) + len(kept))


# -- after it ran -----------------------------------------------------------------------------------------------------


def _combined(tool: _Ready, ended: Sequence[_Ended], objects: Mapping[tuple[str, str], KubeObject]) -> ToolResult:
    """One run out of a tool's processes; what some of them said is kept when others failed."""
    state = max((item.state for item in ended), key=_WORST_LAST.index, default=RunState.OK)
    counts = total(item.account.counts for item in ended)
    missed = (_unread(item.part, file, why, objects) for item in ended for file, why in item.account.unread)
    parsed = tuple((item.part, item.parsed) for item in ended if item.parsed is not None)
    outcomes = [item.outcome for item in ended]
    run = ToolRun(
        name=tool.adapter.name,
        state=state,
        version=tool.version,
        reason=_reason(tool.adapter.name, state, ended, counts.unread),
        program=str(tool.program),
        exit_codes=tuple(outcome.exit_code for outcome in outcomes),
        seconds=_wall_seconds(ended),
        cpu_seconds=_sum(outcome.cpu_seconds for outcome in outcomes),
        peak_memory_bytes=max((it.peak_memory_bytes for it in outcomes if it.peak_memory_bytes), default=None),
        processes=len(ended),
        rules=_active(tool.rules, (item for _, item in parsed)),
        objects=counts,
        unread=tuple(sorted(missed, key=lambda item: (item.path, item.document, item.object.identity, item.reason))),
        records=sum(item.records for _, item in parsed),
        evidence=sum(len(item.evidence) for _, item in parsed),
        complaints=tuple(
            sorted({*_version_complaints(tool), *(line for _, item in parsed for line in item.complaints)})
        ),
    )
    return ToolResult(run=run, parsed=parsed)


def _unread(
    part: StagePart, file: StagedFile, reason: str, objects: Mapping[tuple[str, str], KubeObject]
) -> UnreadObject:
    origin = objects[part.bundle, file.path].origin
    return UnreadObject(path=origin.path, document=origin.document, object=file.ref, reason=reason)


def _reason(name: str, state: RunState, ended: Sequence[_Ended], unread: int) -> str | None:
    if state is RunState.OK:
        return None
    if state is RunState.DEGRADED:
        unknown = [line for item in ended for line in item.account.unknown]
        staged = sum(item.account.counts.staged for item in ended)
        missed = f"{name} did not read {unread:,} of {staged:,} objects"
        return missed if unread else f"{name} could not read what it was not given: {unknown[0]}"
    reasons = [item.reason for item in ended if item.state is state and item.reason]
    return reasons[0] if len(ended) == 1 else f"{len(reasons)} of {len(ended)} processes: {reasons[0]}"


def _active(known: RuleSet, parsed: Iterable[Parsed]) -> ActiveRules:
    """What the output says of the active rules is truer than what was known before."""
    told = [item.rules for item in parsed if item.rules is not None]
    ids = frozenset[str]().union(*told) if told else known.ids
    return ActiveRules(active=None if ids is None else len(ids), digest=known.digest, source=known.source)


def _wall_seconds(ended: Sequence[_Ended]) -> float | None:
    if not ended:
        return None
    return max(item.started + item.outcome.seconds for item in ended) - min(item.started for item in ended)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _version_complaints(tool: _Ready) -> tuple[str, ...]:
    name, facts = tool.adapter.name, tool_facts().get(tool.adapter.name)
    if tool.version is None:
        return (f"this build of {name} tells no version",)
    if facts is not None and str(tool.version) not in facts.proven:
        return (
            f"{name} {tool.version} is not among the versions that kguard was tried with: {', '.join(facts.proven)}",
        )
    return ()


def _get_it(name: str) -> str:
    facts = tool_facts().get(name)
    source = f"Get it from {facts.releases}, put" if facts else "Put"
    return f"{source} it on PATH, or leave it out: --tools -{name}"
