"""Every tool asked: found, its version read, its parts run side by side, its output parsed and accounted for."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import (
    Bundle,
    KubeObject,
    Outcome,
    Parsed,
    RuleSet,
    RunState,
    StagedFile,
    StagePart,
    ToolRun,
    UnreadObject,
)
from kguard.running import process
from kguard.running.account import Account, account, total, unread
from kguard.running.contract import Adapter
from kguard.running.shard import Part, parts
from kguard.settings import Settings

_VERSION_SECONDS = 60.0

_SEVERITY_OF_STATE = (
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
    objects: int
    processes: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """A tool's run and what it said, part by part."""

    run: ToolRun
    parsed: tuple[tuple[StagePart, Parsed], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A tool that can be run."""

    adapter: Adapter
    program: Path
    version: Version | None
    rules: RuleSet
    complaints: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartResult:
    """What one process came to."""

    part: StagePart
    outcome: Outcome
    """Without its output, which is large and was parsed."""
    state: RunState
    reason: str | None
    parsed: Parsed | None
    account: Account
    ended: float


class Stage:
    """Writes parts to disk; the tools that read the same objects read the same folder."""

    def __init__(self, folder: Path, write: Callable[[Path, Sequence[KubeObject]], None]) -> None:
        self._folder, self._write = folder, write
        self._roots: dict[tuple[int, ...], Path] = {}

    def part(self, bundle: str, part: Part) -> StagePart:
        key = tuple(id(obj) for obj in part.objects)
        if key not in self._roots:
            root = self._folder / f"{len(self._roots) + 1}"
            root.mkdir(parents=True, mode=0o700)
            self._write(root, part.objects)
            self._roots[key] = root
        root = self._roots[key]
        staged = (StagedFile(path=obj.staged, ref=obj.ref, context=obj.staged in part.context) for obj in part.objects)
        return StagePart(id=root.name, bundle=bundle, root=root, files=tuple(staged))


def run_tools(
    adapters: Sequence[Adapter],
    bundles: Sequence[Bundle],
    settings: Settings,
    write: Callable[[Path, Sequence[KubeObject]], None],
    folder: Path,
    progress: Callable[[ToolProgress], None],
) -> tuple[ToolResult, ...]:
    """Run every tool over every bundle; one result per adapter, in their order, whatever happens.

    `write` puts objects into a folder; `folder` is private to this run. When the caller is interrupted, all processes are stopped
    before the interruption goes on.
    """
    cancel = threading.Event()
    pool = ThreadPoolExecutor(max_workers=settings.jobs)
    runner = _Runner(settings, folder, cancel, progress)
    try:
        prepared = list(pool.map(runner.prepare, adapters))
        stage = Stage(folder / "stage", write)
        planned = [_planned(tool, bundles, settings, stage) for tool in prepared]
        # the longest first: a late long process would keep the others waiting
        order = sorted(range(len(planned)), key=lambda number: -_expected(prepared[number], planned[number]))
        futures: dict[int, list[Future[_PartResult]]] = {number: [] for number in range(len(planned))}
        for number in order:
            for part in planned[number]:
                futures[number].append(pool.submit(runner.run_part, prepared[number], part, len(planned[number])))
        objects = {(bundle.id, obj.staged): obj for bundle in bundles for obj in bundle.objects}
        return tuple(
            ToolResult(run=tool)
            if isinstance(tool, ToolRun)
            else _combined(tool, [f.result() for f in futures[number]], objects)
            for number, tool in enumerate(prepared)
        )
    finally:
        cancel.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _planned(tool: _Ready | ToolRun, bundles: Sequence[Bundle], settings: Settings, stage: Stage) -> list[StagePart]:
    if isinstance(tool, ToolRun):
        return []
    return [
        stage.part(bundle.id, part) for bundle in bundles for part in parts(tool.adapter, bundle.objects, settings.jobs)
    ]


def _expected(tool: _Ready | ToolRun, planned: Sequence[StagePart]) -> int:
    """A guess at the cost: tools that judge each object alone are the slow ones."""
    split = isinstance(tool, _Ready) and tool.adapter.part_limit is not None
    return max((len(part.files) for part in planned), default=0) * (10 if split else 1)


class _Runner:
    """Runs version commands and parts, each in a folder of its own."""

    def __init__(
        self, settings: Settings, folder: Path, cancel: threading.Event, progress: Callable[[ToolProgress], None]
    ) -> None:
        self._settings, self._folder, self._cancel, self._progress = settings, folder, cancel, progress
        self._lock = threading.Lock()
        self._count = 0
        self._done: dict[str, int] = {}

    def _own_folder(self) -> Path:
        with self._lock:
            self._count += 1
            return self._folder / f"process-{self._count}"

    def prepare(self, adapter: Adapter) -> _Ready | ToolRun:
        """Find the program, read its version, look at its rules; a run that ends here has its state."""
        if self._settings.tools is not None and adapter.name not in self._settings.tools:
            return ToolRun(name=adapter.name, state=RunState.SKIPPED, reason="left out by --tools")
        program = find_program(adapter.name, self._settings)
        if program is None:
            reason = f"{adapter.name} is not installed: {_where_to_get(adapter.name)}"
            return ToolRun(name=adapter.name, state=RunState.MISSING, reason=reason)
        limits = process.Limits(seconds=min(_VERSION_SECONDS, self._settings.timeout))
        outcome = process.run(adapter.version_command(), program, self._own_folder(), limits, self._cancel)
        ended = ToolRun(
            name=adapter.name, state=RunState.MISSING, program=str(program), exit_codes=(outcome.exit_code,)
        )
        if outcome.failure is not None:
            return replace(ended, state=outcome.failure, reason=f"asked for its version, it {outcome.reason}")
        try:
            version = adapter.read_version(outcome)
        except (ParseError, ToolFailure) as error:
            reason = f"{program} does not answer like {adapter.name}: {error}"
            return replace(ended, state=RunState.WRONG_VERSION, reason=reason)
        if version is not None and version not in adapter.versions:
            reason = (
                f"{version} is not a version that kguard can read ({adapter.versions}): {_where_to_get(adapter.name)}"
            )
            return replace(ended, state=RunState.WRONG_VERSION, version=version, reason=reason)
        rules = adapter.rules(self._settings, version)
        if rules.problem is not None:
            return replace(ended, state=RunState.DEGRADED, version=version, rules=rules, reason=rules.problem)
        complaints = () if version is not None else ("the build tells no version",)
        return _Ready(adapter=adapter, program=program, version=version, rules=rules, complaints=complaints)

    def run_part(self, tool: _Ready | ToolRun, part: StagePart, of: int) -> _PartResult:
        """Run one process over a part and parse its output at once, so that no two large outputs are kept."""
        if isinstance(tool, ToolRun):
            raise TypeError(f"{tool.name} has no parts to run")
        self._report(tool.adapter.name, part, of, done=False)
        command = tool.adapter.plan(part, self._settings, tool.rules)
        folder = self._own_folder()
        outcome = process.run(
            command, tool.program, folder, process.Limits(seconds=self._settings.timeout), self._cancel
        )
        shutil.rmtree(folder, ignore_errors=True)
        result = _judged(tool, part, outcome, self._settings)
        self._report(tool.adapter.name, part, of, done=True)
        return result

    def _report(self, tool: str, part: StagePart, of: int, *, done: bool) -> None:
        with self._lock:
            self._done[tool] = self._done.get(tool, 0) + done
            self._progress(ToolProgress(tool=tool, objects=len(part.files), processes=of, done=self._done[tool]))


def _judged(tool: _Ready, part: StagePart, outcome: Outcome, settings: Settings) -> _PartResult:
    state, reason, parsed = outcome.failure, outcome.reason, None
    if state is None:
        try:
            parsed = _own(part, tool.adapter.parse(outcome))
        except ToolFailure as error:
            state, reason = RunState.FAILED, str(error)
        except ParseError as error:
            state, reason = RunState.UNREADABLE_OUTPUT, f"its output cannot be read: {error}"
    if state is RunState.TIMED_OUT:
        reason = f"{reason} on {len(part.files):,} objects; raise it with --timeout {settings.timeout * 3:g}, or cut the input"
    held = account(part, parsed, tool.rules) if parsed is not None else unread(part, reason or str(state))
    if state is None:
        state = RunState.DEGRADED if held.unread else RunState.OK
        reason = None
    bare = replace(outcome, stdout=b"", stderr=b"")
    return _PartResult(
        part=part, outcome=bare, state=state, reason=reason, parsed=parsed, account=held, ended=time.monotonic()
    )


def _own(part: StagePart, parsed: Parsed) -> Parsed:
    """Without evidence about objects that are here as context only: the part that judges them has it."""
    context = {file.path for file in part.files if file.context}
    if not context:
        return parsed
    kept = tuple(
        item for item in parsed.evidence if (file := part.find(item.object)) is None or file.path not in context
    )
    return replace(parsed, evidence=kept)


def _combined(tool: _Ready, results: Sequence[_PartResult], objects: dict[tuple[str, str], KubeObject]) -> ToolResult:
    """One run out of a tool's processes."""
    state = max((result.state for result in results), key=_SEVERITY_OF_STATE.index, default=RunState.OK)
    counts = total([result.account for result in results])
    missed = tuple(
        _unread_object(result, file, why, objects) for result in results for file, why in result.account.unread
    )
    parsed = tuple((result.part, result.parsed) for result in results if result.parsed is not None)
    costs = [result.outcome for result in results]
    run = ToolRun(
        name=tool.adapter.name,
        state=state,
        version=tool.version,
        reason=_reason(state, results, counts.unread),
        program=str(tool.program),
        exit_codes=tuple(cost.exit_code for cost in costs),
        seconds=_seconds(results),
        cpu_seconds=_sum(cost.cpu_seconds for cost in costs),
        peak_memory_bytes=max((cost.peak_memory_bytes for cost in costs if cost.peak_memory_bytes), default=None),
        processes=len(results),
        rules=_rules(tool.rules, [item for _, item in parsed]),
        objects=counts,
        unread=tuple(sorted(missed, key=lambda item: (item.path, item.document, item.object, item.reason))),
        records=sum(item.records for _, item in parsed),
        evidence=sum(len(item.evidence) for _, item in parsed),
        complaints=tuple(sorted({*tool.complaints, *(line for _, item in parsed for line in item.complaints)})),
    )
    return ToolResult(run=run, parsed=parsed)


def _unread_object(
    result: _PartResult, file: StagedFile, why: str, objects: dict[tuple[str, str], KubeObject]
) -> UnreadObject:
    origin = objects[result.part.bundle, file.path].origin
    return UnreadObject(path=origin.path, document=origin.document, object=file.ref, reason=why)


def _reason(state: RunState, results: Sequence[_PartResult], missed: int) -> str | None:
    if state is RunState.OK:
        return None
    if state is RunState.DEGRADED:
        return f"did not read {missed} object{'s' if missed != 1 else ''}"
    worst = [result.reason for result in results if result.state is state and result.reason]
    of = f" ({len(worst)} of {len(results)} processes)" if len(results) > 1 else ""
    return f"{worst[0] if worst else state}{of}"


def _rules(known: RuleSet, parsed: Iterable[Parsed]) -> RuleSet:
    """What the output says of the active rules is truer than what was known before."""
    told = [item.rules for item in parsed if item.rules is not None]
    return replace(known, ids=frozenset[str]().union(*told)) if told else known


def _seconds(results: Sequence[_PartResult]) -> float | None:
    if not results:
        return None
    return max(r.ended for r in results) - min(r.ended - r.outcome.seconds for r in results)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def find_program(name: str, settings: Settings) -> Path | None:
    """A tool's program: what --tool-path says, else what PATH has."""
    given = settings.tool_paths.get(name)
    if given is not None:
        return given
    found = shutil.which(name)
    return Path(found).absolute() if found else None


def _where_to_get(name: str) -> str:
    known = tool_facts().get(name)
    source = f"get it from {known['releases']} and put it on PATH" if known else "put it on PATH"
    return f"{source}, or leave it out with --tools -{name}"


@lru_cache(maxsize=1)
def tool_facts() -> dict[str, dict[str, Any]]:
    """data/tools.yaml: where users get each tool."""
    text = (files("kguard") / "data" / "tools.yaml").read_text(encoding="utf-8")
    facts: dict[str, dict[str, Any]] = yaml.load(text, Loader=yaml.CSafeLoader)
    return facts
