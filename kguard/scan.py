"""The pipeline, from paths to a report: the one place where the whole story is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import BinaryIO

from kguard import __version__
from kguard.errors import NothingToScan
from kguard.findings.catalogue import load_catalogue, load_unmapped, texts
from kguard.findings.customise import customised
from kguard.findings.gate import judge
from kguard.findings.ignores import inline_ignores
from kguard.findings.locate import locate_by_object
from kguard.findings.merge import merge_by_object
from kguard.inputs.discover import Discovery, discover
from kguard.inputs.objects import index
from kguard.inputs.paths import anchored
from kguard.inputs.stage import workspace, write_part
from kguard.model import (
    Absence,
    BundleSummary,
    Evidence,
    FileState,
    Finding,
    InlineIgnore,
    Inputs,
    Inventory,
    Located,
    Report,
    StagePart,
    ToolRun,
)
from kguard.rendering import RENDERERS, refusal, render_all
from kguard.running.contract import load_adapters
from kguard.running.facts import tool_facts
from kguard.running.results import ToolResult
from kguard.running.tools import ToolProgress, run_tools
from kguard.settings import InputSettings, Settings

__all__ = ["RENDERERS", "Discovery", "Gathered", "find_inputs", "gather", "known_names", "refusal", "scan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What was found and what the tools said of it, before anything is merged."""

    inventory: Inventory
    tools: tuple[ToolRun, ...]
    evidence: Iterator[Sequence[Located]]
    """All of it, object by object, once: a large run has hundreds of thousands of pieces, and none is kept longer than needed."""


def scan(
    sources: Sequence[str],
    settings: Settings,
    *,
    stdin: BinaryIO | None = None,
    command: Sequence[str] = (),
    progress: Callable[[ToolProgress], None] = lambda _: None,
) -> Report:
    """Gather the evidence, merge it into findings, judge them.

    Raises UsageError for a source that does not exist, before any tool runs, and NothingToScan when there is nothing but junk.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    gathered = gather(sources, settings, stdin=stdin, progress=progress)
    inventory, known_path = gathered.inventory, anchored(gathered.inventory.sources)
    catalogue = customised(load_catalogue(), settings.merge)
    merged = merge_by_object(
        gathered.evidence, inventory.objects, catalogue, index, known_path, settings.merge.severity_rule
    )
    ignores = inline_ignores(inventory.objects, _ignore_patterns(gathered.tools), index)
    findings = _proven(merged, gathered.tools, ignores)
    return Report(
        version=__version__,
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=round(time.monotonic() - clock, 3),
        command=tuple(command),
        profile=settings.profile,
        frameworks=settings.frameworks,
        severity_rule=settings.merge.severity_rule,
        fail_on=settings.fail_on or "never",
        allow_incomplete=tuple(sorted(settings.allow_incomplete.items())),
        config_path=settings.config_path,
        gate=judge(findings, gathered.tools, inventory, settings),
        tools=gathered.tools,
        inputs=_inputs(inventory),
        findings=findings,
        ignores=ignores,
        controls=texts(catalogue, (finding.control for finding in findings)),
    )


def _ignore_patterns(tools: Iterable[ToolRun]) -> Mapping[str, Sequence[str]]:
    """Those of the tools that people are told of."""
    facts = tool_facts()
    return {tool.name: facts[tool.name].ignores for tool in tools if tool.name in facts and not tool.off_by_default}


def _proven(
    findings: Iterable[Finding], tools: Iterable[ToolRun], ignores: Iterable[InlineIgnore]
) -> tuple[Finding, ...]:
    """A bundle is said to do without a fault only where every tool that found the fault looked at everything, and was not told to be
    silent about the object."""
    complete = {tool.name for tool in tools if tool.state.complete}
    told = {(item.bundle, item.object, item.tool) for item in ignores}

    def proven(finding: Finding, item: Absence) -> Absence:
        silenced = any((item.bundle, item.object, tool) in told for tool in finding.tools)
        return replace(item, silenced=silenced, by=None if silenced else item.by)

    def checked(finding: Finding) -> Finding:
        if not finding.absent:
            return finding
        known = finding.absent if complete.issuperset(finding.tools) else ()
        return replace(finding, absent=tuple(proven(finding, item) for item in known))

    return tuple(map(checked, findings))


def gather(
    sources: Sequence[str],
    settings: Settings,
    *,
    stdin: BinaryIO | None = None,
    progress: Callable[[ToolProgress], None] = lambda _: None,
) -> Gathered:
    """Discover the inputs, render what has to be, stage the objects, run the tools, and find the place of everything they said."""
    discovery = discover(sources, settings.inputs, stdin=stdin)
    with workspace() as folder:
        inventory = discovery.with_rendered(render_all(discovery.renders, settings, folder))
        _something_to_scan(inventory)
        results = list(run_tools(load_adapters(), inventory.bundles, settings, write_part, folder, progress))
    objects = {bundle.id: {obj.staged: obj for obj in bundle.objects} for bundle in inventory.bundles}
    return Gathered(
        inventory=inventory,
        tools=tuple(result.run for result in results),
        evidence=locate_by_object(_said(results), objects, index),
    )


def known_names(kind: str) -> Collection[str]:
    """The names that kguard.yaml may use: of tools (and `inputs`), rules (`tool:RULE`) and controls."""
    match kind:
        case "tool":
            return (*(adapter.name for adapter in load_adapters()), "inputs")
        case "rule":
            unmapped = (f"{tool}:{rule}" for tool, rules in load_unmapped().items() for rule in rules)
            return load_catalogue().all_rules.union(unmapped)
        case _:
            return load_catalogue().controls


def find_inputs(sources: Sequence[str], settings: InputSettings, *, stdin: BinaryIO | None = None) -> Discovery:
    """What a scan would look at, without running anything."""
    return discover(sources, settings, stdin=stdin)


def _something_to_scan(inventory: Inventory) -> None:
    if inventory.objects or inventory.problems or any(bundle.reason for bundle in inventory.bundles):
        return
    left_out = sum(1 for file in inventory.files if file.state is FileState.IGNORED)
    hint = f" {left_out} files and folders were left out: kguard inputs lists them." if left_out else ""
    raise NothingToScan(
        f"no Kubernetes object in {', '.join(inventory.sources)}: {len(inventory.files)} YAML or JSON files were looked at.{hint}"
        " Name a folder or file with manifests."
    )


def _said(results: list[ToolResult]) -> Iterator[tuple[StagePart, Sequence[Evidence]]]:
    """What the tools said, taken out of their results, so that it is in memory once."""
    while results:
        for part, parsed in results.pop().parsed:
            yield part, parsed.evidence


def _inputs(inventory: Inventory) -> Inputs:
    return Inputs(
        sources=inventory.sources,
        bundles=tuple(
            BundleSummary(
                id=bundle.id,
                kind=bundle.kind,
                path=bundle.path,
                name=bundle.name,
                objects=len(bundle.objects),
                state=bundle.state,
                reason=bundle.reason,
            )
            for bundle in inventory.bundles
        ),
        files=inventory.files,
        others=len(inventory.others),
        problems=inventory.problems,
    )
