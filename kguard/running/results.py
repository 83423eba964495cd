"""One run of a tool out of its processes: the worst state, the sums, and what was said and by which part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from kguard.model import (
    ActiveRules,
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
from kguard.running.account import Account, total
from kguard.running.contract import Adapter
from kguard.running.facts import untried

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
class ToolResult:
    """A tool's run and what it said, by part; a part whose process failed is not among them."""

    run: ToolRun
    parsed: tuple[tuple[StagePart, Parsed], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A tool that can be run."""

    adapter: Adapter
    program: Path
    version: Version | None
    rules: RuleSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What one process came to."""

    part: StagePart
    outcome: Outcome
    """Without what it printed, which is large and was parsed."""
    started: float
    state: RunState
    reason: str | None
    parsed: Parsed | None
    account: Account
    canary: bool | None = None
    """Whether the canary was reported; None where none was asked for."""
    tries: tuple[Outcome, ...] = ()
    """The other processes of a search for what kills the tool: the one that died, and those that looked."""
    searched_until: float | None = None
    """When that search was over, in the seconds of `started`, which is then when the first of its processes was started."""

    @property
    def until(self) -> float:
        return self.started + self.outcome.seconds if self.searched_until is None else self.searched_until


def combined(tool: Ready, ended: Sequence[Ended], objects: Mapping[tuple[str, str], KubeObject]) -> ToolResult:
    """One run out of a tool's processes; what some of them said is kept when others failed."""
    state = max((item.state for item in ended), key=_WORST_LAST.index, default=RunState.OK)
    counts = total(item.account.counts for item in ended)
    missed = (_unread(item.part, file, why, objects) for item in ended for file, why in item.account.unread)
    parsed = tuple((item.part, item.parsed) for item in ended if item.parsed is not None)
    outcomes = [outcome for item in ended for outcome in (*item.tries, item.outcome)]
    version_complaint = filter(None, [untried(tool.adapter.name, tool.version)])
    run = ToolRun(
        name=tool.adapter.name,
        state=state,
        version=tool.version,
        reason=_reason(tool.adapter.name, state, ended, counts.unread),
        program=str(tool.program),
        exit_codes=tuple(item.outcome.exit_code for item in ended),
        seconds=_wall_seconds(ended),
        cpu_seconds=_sum(outcome.cpu_seconds for outcome in outcomes),
        peak_memory_bytes=max((it.peak_memory_bytes for it in outcomes if it.peak_memory_bytes), default=None),
        processes=len(outcomes),
        rules=active_rules(tool.rules, (item for _, item in parsed)),
        canary=_canary(item.canary for item in ended),
        objects=counts,
        out_of_scope=tuple(sorted({kind for item in ended for kind in item.account.outside})),
        unread=tuple(sorted(missed, key=lambda item: (item.path, item.document, item.object.identity, item.reason))),
        records=sum(item.records for _, item in parsed),
        evidence=sum(len(item.evidence) for _, item in parsed),
        complaints=tuple(sorted({*version_complaint, *(line for _, item in parsed for line in item.complaints)})),
    )
    return ToolResult(run=run, parsed=parsed)


def _unread(
    part: StagePart, file: StagedFile, reason: str, objects: Mapping[tuple[str, str], KubeObject]
) -> UnreadObject:
    origin = objects[part.bundle, file.path].origin
    return UnreadObject(path=origin.path, document=origin.document, object=file.ref, reason=reason)


def _reason(name: str, state: RunState, ended: Sequence[Ended], unread: int) -> str | None:
    if state is RunState.OK:
        return None
    if state is RunState.DEGRADED:
        unknown = [line for item in ended for line in item.account.unknown]
        staged = sum(item.account.counts.staged for item in ended)
        if any(item.canary is False for item in ended):
            return next(item.reason for item in ended if item.canary is False)
        missed = f"{name} did not read {unread:,} of {staged:,} objects"
        return missed if unread else f"{name} could not read what it was not given: {unknown[0]}"
    reasons = [item.reason for item in ended if item.state is state and item.reason]
    return reasons[0] if len(ended) == 1 else f"{len(reasons)} of {len(ended)} processes: {reasons[0]}"


def active_rules(known: RuleSet, parsed: Iterable[Parsed]) -> ActiveRules:
    """What the output says of the active rules is truer than what was known before."""
    told = [item.rules for item in parsed if item.rules is not None]
    ids = frozenset[str]().union(*told) if told else known.ids
    return ActiveRules(
        active=None if ids is None else len(ids),
        digest=known.digest,
        source=known.source,
        ids=None if ids is None else tuple(sorted(ids)),
        groups=known.groups,
    )


def _canary(fired: Iterable[bool | None]) -> bool | None:
    known = [item for item in fired if item is not None]
    return all(known) if known else None


def _wall_seconds(ended: Sequence[Ended]) -> float | None:
    if not ended:
        return None
    return max(item.until for item in ended) - min(item.started for item in ended)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
