"""The gate: one exit code that can be trusted, and the sentence that explains it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kguard.errors import ExitCode
from kguard.model import BundleState, Finding, Gate, Inventory, RunState, Severity, ToolRun
from kguard.settings import Settings
from kguard.text import one_line


def judge(findings: Iterable[Finding], tools: Sequence[ToolRun], inventory: Inventory, settings: Settings) -> Gate:
    """Fail on findings at or above the bar, and on tools or inputs that did not look, unless they were allowed to by name."""
    failing = sum(1 for finding in findings if finding.gated and at_bar(finding.severity, settings.fail_on))
    gaps = [(tool.name, f"{tool.name} {_gap(tool)}") for tool in tools if not tool.state.complete]
    if incomplete_inputs(inventory):
        gaps.append(("inputs", _input_gap(inventory)))
    open_gaps = [words for name, words in gaps if name not in settings.allow_incomplete]
    allowed = [
        f"{words}{_because(reason)}"
        for name, words in gaps
        if (reason := settings.allow_incomplete.get(name)) is not None
    ]
    code = ExitCode.FINDINGS if failing else ExitCode.INCOMPLETE if open_gaps else ExitCode.PASS
    return Gate(
        exit_code=code,
        reason=_reason(failing, open_gaps, allowed, settings.fail_on),
        failing=failing,
        incomplete=tuple(name for name, _ in gaps),
    )


def _because(reason: str) -> str:
    words = one_line(" ".join(reason.split()))
    return f" ({words})" if words else ""


def at_bar(severity: Severity, bar: Severity | None) -> bool:
    """`unknown` counts as high: a rule without a severity must not slip through."""
    if bar is None:
        return False
    return (Severity.HIGH if severity is Severity.UNKNOWN else severity).rank <= bar.rank


def incomplete_inputs(inventory: Inventory) -> bool:
    """Whether something that looks like a manifest was not read or not rendered."""
    return bool(inventory.problems) or any(bundle.state is BundleState.FAILED for bundle in inventory.bundles)


def _reason(failing: int, gaps: Sequence[str], allowed: Sequence[str], bar: Severity | None) -> str:
    if bar is None:
        first = "No bar was set (fail_on: never)."
    elif failing:
        first = f"{_count(failing, 'finding')} at or above {bar} (fail_on: {bar})."
    else:
        first = f"No finding at or above {bar} (fail_on: {bar})."
    parts = [first]
    if gaps:
        parts.append(f"{'Also incomplete' if failing else 'Incomplete'}: {'; '.join(gaps)}.")
    if allowed:
        parts.append(f"Incomplete, as allowed: {'; '.join(allowed)}.")
    return " ".join(parts)


def _gap(tool: ToolRun) -> str:
    match tool.state:
        case RunState.MISSING:
            return "is not installed"
        case RunState.DEGRADED if tool.canary is False:
            return "did not report the faults of kguard's own object"
        case RunState.DEGRADED if tool.objects.unread:
            return f"did not read {_count(tool.objects.unread, 'object')}"
        case RunState.DEGRADED if tool.processes:
            return "speaks of objects that it was not given"
        case RunState.DEGRADED:
            return "had no usable rules"
        case RunState.TIMED_OUT:
            return "did not finish in time"
        case RunState.WRONG_VERSION:
            return "has a version that kguard cannot read"
        case RunState.UNREADABLE_OUTPUT:
            return "gave output that cannot be read"
        case _:
            return "failed"


def _input_gap(inventory: Inventory) -> str:
    unread = len(inventory.problems)
    unrendered = sum(1 for bundle in inventory.bundles if bundle.state is BundleState.FAILED)
    parts = [f"{_count(unread, 'manifest')} could not be read"] if unread else []
    if unrendered:
        parts.append(f"{_count(unrendered, 'chart or kustomization', 'charts or kustomizations')} not rendered")
    return f"inputs ({', '.join(parts)})"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
