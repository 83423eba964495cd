"""Every tool asked: found, its version read, its processes run side by side, what they printed parsed and accounted for."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from packaging.version import Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import (
    Bundle,
    KubeObject,
    Outcome,
    Parsed,
    RunState,
    Splitting,
    StagedFile,
    StagePart,
    ToolRun,
    Unread,
)
from kguard.running import process
from kguard.running.account import account, nothing_read
from kguard.running.canary import canary, expected, is_canary, silent
from kguard.running.contract import Adapter
from kguard.running.facts import find_program, get_it, tool_facts
from kguard.running.quarantine import Quarantine
from kguard.running.results import Ended, Ready, ToolResult, active_rules, combined
from kguard.running.shard import Part, parts
from kguard.settings import Settings

_VERSION_SECONDS = 60.0


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
    stage = _Stage(folder / "stage", write)
    runner = _Runner(settings=settings, folder=folder, meter=_Meter(progress), stage=stage)
    with ThreadPoolExecutor(max_workers=settings.jobs) as pool:
        try:
            tools = list(pool.map(runner.prepare, adapters))
            futures = _submit(pool, runner, tools, bundles)
            objects = {obj.key: obj for bundle in bundles for obj in bundle.objects}
            return tuple(
                ToolResult(run=tool)
                if isinstance(tool, ToolRun)
                else combined(tool, [future.result() for future in futures.get(tool.adapter.name, ())], objects)
                for tool in tools
            )
        finally:
            runner.cancel.set()
            pool.shutdown(wait=False, cancel_futures=True)  # leaving `with` waits for those that run


# -- before a tool runs -----------------------------------------------------------------------------------------------


class _Unfit(Exception):
    """A tool cannot be run."""

    def __init__(self, state: RunState, reason: str) -> None:
        super().__init__(reason)
        self.state, self.reason = state, reason


def _submit(
    pool: ThreadPoolExecutor,
    runner: _Runner,
    tools: Iterable[Ready | ToolRun],
    bundles: Sequence[Bundle],
) -> Mapping[str, Sequence[Future[Ended]]]:
    """Stage the parts and hand each on at once, so that the first run while the last are still written. By tool's name, in the
    bundles' order."""
    planned = [
        (tool, bundle, part)
        for tool in tools
        if isinstance(tool, Ready)
        for bundle in bundles
        for part in _watched(
            parts(tool.adapter, bundle.objects, runner.settings.jobs), bundle.id, tool, runner.settings
        )
    ]
    for tool, _, part in planned:
        runner.meter.plan(tool.adapter.name, len(part.judged))
    # the longest first: a long process that starts last keeps everybody waiting
    order = sorted(range(len(planned)), key=lambda number: -_cost(planned[number][0].adapter, planned[number][2]))
    started: dict[int, Future[Ended]] = {}
    for number in order:
        tool, bundle, part = planned[number]
        started[number] = pool.submit(runner.run, tool, bundle.id, part, runner.stage.part(tool, bundle.id, part))
    futures: defaultdict[str, list[Future[Ended]]] = defaultdict(list)
    for number, (tool, _, _) in enumerate(planned):
        futures[tool.adapter.name].append(started[number])
    return futures


def _watched(planned: Sequence[Part], bundle: str, tool: Ready, settings: Settings) -> Sequence[Part]:
    """The parts with the canary, for a tool whose rules on it are known."""
    facts = tool_facts().get(tool.adapter.name)
    known = settings.canary and facts is not None and facts.canary
    return [part.watched(canary(bundle, part.objects)) for part in planned] if known else planned


def _cost(adapter: Adapter, part: Part) -> int:
    """A guess. Who judges each object alone is slow, or it would not be worth splitting: trivy takes five times as long an
    object as the next."""
    return len(part.objects) * (5 if adapter.splitting is Splitting.OBJECT else 1)


class _Stage:
    """The folders that tools read; those that read the same objects share one."""

    def __init__(self, folder: Path, write: Write) -> None:
        self._folder, self._write = folder, write
        self._lock = threading.Lock()
        self._roots: dict[tuple[KubeObject, ...], Path] = {}
        self._objects: dict[Path, tuple[KubeObject, ...]] = {}
        self._written: dict[KubeObject, Path] = {}

    def part(self, tool: Ready, bundle: str, part: Part) -> StagePart:
        with self._lock:
            root = self._roots.get(part.objects)
            if root is None:
                root = self._roots[part.objects] = self._folder / str(len(self._roots) + 1)
                self._objects[root] = part.objects
                root.mkdir(parents=True, mode=0o700)
                self._write(root, part.objects, self._written)
        facts = tool_facts().get(tool.adapter.name)
        hides = facts.hides.encode() if facts else b""
        staged = (
            StagedFile(
                path=obj.staged,
                ref=obj.ref,
                context=obj.staged in part.context,
                silenced=bool(hides) and hides in obj.text,
            )
            for obj in part.objects
        )
        return StagePart(id=root.name, bundle=bundle, root=root, files=tuple(staged))

    def altered(self, part: StagePart) -> tuple[str, ...]:
        """Names of what does not stand there as it was written, or was never written."""
        texts = {str(part.root / obj.staged): obj.text for obj in self._objects[part.root]}
        changed = {path for path, text in texts.items() if not _holds(path, text)}
        strange = set(_below(part.root)) - texts.keys()
        return tuple(sorted(os.path.relpath(path, part.root) for path in changed | strange))


def _holds(path: str, text: bytes) -> bool:
    """Whether it is a file with this content; what else a tool may have put there is not opened."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size != len(text):
            return False
        with open(path, "rb") as file:
            return file.read() == text
    except OSError:
        return False


def _below(root: Path) -> Iterator[str]:
    """All that stands below a folder, but for folders."""
    for folder, folders, names in os.walk(root):
        paths = (f"{folder}/{name}" for name in folders)
        yield from filter(os.path.islink, paths)
        yield from (f"{folder}/{name}" for name in names)


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
class _Runner:
    """Runs version commands and parts, each in a folder of its own."""

    settings: Settings
    folder: Path
    meter: _Meter
    stage: _Stage
    cancel: threading.Event = field(default_factory=threading.Event)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def prepare(self, adapter: Adapter) -> Ready | ToolRun:
        """Find the program, read its version, look at its rules; a run that ends here has its state."""
        asked = self.settings.tools
        if not (adapter.on_by_default if asked is None else adapter.name in asked):
            return _skipped(adapter)
        run = ToolRun(name=adapter.name, state=RunState.MISSING)
        program = find_program(adapter.name, self.settings)
        if program is None:
            return replace(run, reason=f"{adapter.name} is not installed. {get_it(adapter.name)}")
        run = replace(run, program=str(program))
        try:
            version = self._version(adapter, program)
        except _Unfit as error:
            return replace(run, state=error.state, reason=error.reason)
        if version is not None and not adapter.versions.contains(version, prereleases=True):
            reason = f"{adapter.name} {version} is not a version that kguard can read ({adapter.versions}). "
            reason += get_it(adapter.name)
            return replace(run, state=RunState.WRONG_VERSION, version=version, reason=reason)
        try:
            rules = adapter.rules(self.settings, version)
        except OSError as error:
            reason = f"its rule files cannot be read: {error.filename}: {error.strerror}"
            return replace(run, state=RunState.DEGRADED, version=version, reason=reason)
        if rules.problem is not None:
            return replace(
                run, state=RunState.DEGRADED, version=version, rules=active_rules(rules, ()), reason=rules.problem
            )
        return Ready(adapter=adapter, program=program, version=version, rules=rules)

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

    def run(self, tool: Ready, bundle: str, part: Part, staged: StagePart) -> Ended:
        """Run a tool over a part; where it dies, find the objects that kill it and run it over the others."""
        self.meter.count(tool.adapter.name, 0)
        ended = self._once(tool, staged)
        if ended.state in (RunState.FAILED, RunState.UNREADABLE_OUTPUT) and not self.cancel.is_set():
            quarantine = Quarantine(lambda some: self._some(tool, bundle, part, some), self.settings.timeout)
            ended = quarantine.healed(ended, part)
        self.meter.count(tool.adapter.name, 1)
        return ended

    def _some(self, tool: Ready, bundle: str, part: Part, objects: Sequence[KubeObject]) -> Ended:
        some = Part(objects=tuple(objects), context=part.context.intersection(obj.staged for obj in objects))
        if part.canary is not None:
            some = some.watched(part.canary)
        return self._once(tool, self.stage.part(tool, bundle, some))

    def _once(self, tool: Ready, part: StagePart) -> Ended:
        """One process, parsed at once: no worker holds more than one output."""
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
        if altered := self.stage.altered(part):
            # those that read the same objects share their files: whoever changed them, this run may have read something else
            outcome = replace(outcome, failure=RunState.DEGRADED, reason=_distrust(tool.adapter.name, altered))
        return _judged(tool, part, outcome, started, self.settings.timeout)

    def _own_folder(self) -> Path:
        return self.folder / f"process-{next(self._numbers)}"


def _skipped(adapter: Adapter) -> ToolRun:
    """The run of a tool that is not to run."""
    name, off = adapter.name, not adapter.on_by_default
    reason = f"off by default: --tools +{name}" if off else f"{name} was left out by --tools"
    return ToolRun(name=name, state=RunState.SKIPPED, reason=reason, off_by_default=off)


def _distrust(name: str, altered: Sequence[str]) -> str:
    more = f" and {len(altered) - 1:,} more" if len(altered) > 1 else ""
    return f"what {name} said is not used: while it ran, a program changed what tools may only read: {altered[0]}{more}"


def _judged(tool: Ready, part: StagePart, outcome: Outcome, started: float, timeout: float) -> Ended:
    state, reason, parsed, fired = outcome.failure, outcome.reason, None, None
    if state is None:
        state, reason, parsed, fired = _parsed(tool, part, outcome)
    elif state is RunState.TIMED_OUT:
        judged = sum(1 for file in part.files if not file.context)
        reason = f"{reason} on {judged:,} objects. Raise it with --timeout {timeout * 3:g}, or cut the input"
    held = account(part, parsed, tool.rules) if parsed is not None else nothing_read(part, reason or state)
    if state is RunState.OK and (held.unread or held.unknown):
        state = RunState.DEGRADED
    bare = replace(outcome, stdout=b"", stderr=b"")
    return Ended(
        part=part, outcome=bare, started=started, state=state, reason=reason, parsed=parsed, account=held, canary=fired
    )


def _parsed(tool: Ready, part: StagePart, outcome: Outcome) -> tuple[RunState, str | None, Parsed | None, bool | None]:
    """State, reason, what was said, and whether the canary was reported."""
    name = tool.adapter.name
    try:
        parsed = tool.adapter.parse(outcome)
    except ToolFailure as error:
        return RunState.FAILED, f"{name} failed: {error}", None, None
    except (ParseError, UnicodeDecodeError) as error:
        return RunState.UNREADABLE_OUTPUT, f"What {name} printed cannot be read: {error}", None, None
    except RecursionError:  # hostile output may be nested deeper than a decoder goes
        return RunState.UNREADABLE_OUTPUT, f"What {name} printed is nested too deeply to be read", None, None
    wanted = expected(name, tool.rules) if any(is_canary(file.path) for file in part.files) else frozenset()
    missed = silent(part, parsed, wanted)
    if missed:
        reason = f"{name} did not report {', '.join(missed)} on an object of kguard's own that has these faults"
        return RunState.DEGRADED, f"{reason}: some of its checks are off", _judged_here(part, parsed), False
    return RunState.OK, None, _judged_here(part, parsed), True if wanted else None


def _judged_here(part: StagePart, parsed: Parsed) -> Parsed:
    """Without evidence about objects that are here as context only, so that no object is judged twice.

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
    return replace(parsed, evidence=kept)
