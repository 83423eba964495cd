"""The pipeline, from paths to a report: the one place where the whole story is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from kguard import __version__
from kguard.errors import NothingToScan
from kguard.findings.catalogue import load_catalogue
from kguard.findings.gate import judge
from kguard.findings.locate import locate
from kguard.findings.merge import merge
from kguard.inputs.discover import discover
from kguard.inputs.objects import index
from kguard.inputs.stage import workspace, write_part
from kguard.model import BundleSummary, Inputs, Inventory, Located, Report, ToolRun
from kguard.running.contract import load_adapters
from kguard.running.tools import ToolProgress, ToolResult, run_tools
from kguard.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What was found and what the tools said of it, before anything is merged."""

    inventory: Inventory
    tools: tuple[ToolRun, ...]
    located: Iterator[Located]
    """All evidence, once: a large run has hundreds of thousands of pieces, and none is kept longer than it is needed."""


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
    findings = merge(gathered.located, gathered.inventory.objects, load_catalogue(), index)
    return Report(
        version=__version__,
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=round(time.monotonic() - clock, 3),
        command=tuple(command),
        profile=settings.profile,
        frameworks=settings.frameworks,
        severity_rule=settings.severity_rule,
        fail_on=settings.fail_on or "never",
        allow_incomplete=tuple(sorted(settings.allow_incomplete)),
        gate=judge(findings, gathered.tools, gathered.inventory, settings),
        tools=gathered.tools,
        inputs=_inputs(gathered.inventory),
        findings=findings,
    )


def gather(
    sources: Sequence[str],
    settings: Settings,
    *,
    stdin: BinaryIO | None = None,
    progress: Callable[[ToolProgress], None] = lambda _: None,
) -> Gathered:
    """Discover and split the inputs, stage them, run the tools, and find the place of everything they said."""
    inventory = discover(sources, stdin=stdin)
    if not (inventory.objects or inventory.problems or any(bundle.reason for bundle in inventory.bundles)):
        raise NothingToScan(
            f"no Kubernetes object in {', '.join(inventory.sources)}: {len(inventory.files)} YAML or JSON files were looked at."
            " Name a folder or file with manifests."
        )
    with workspace() as folder:
        results = run_tools(load_adapters(), inventory.bundles, settings, write_part, folder, progress)
    tools = tuple(result.run for result in results)
    return Gathered(inventory=inventory, tools=tools, located=_located(inventory, results))


def _located(inventory: Inventory, results: Iterable[ToolResult]) -> Iterator[Located]:
    objects = {bundle.id: {obj.staged: obj for obj in bundle.objects} for bundle in inventory.bundles}
    for result in results:
        for part, parsed in result.parsed:
            yield from locate(part, parsed.evidence, objects[part.bundle], index)


def _inputs(inventory: Inventory) -> Inputs:
    return Inputs(
        sources=inventory.sources,
        bundles=tuple(
            BundleSummary(
                id=bundle.id,
                kind=bundle.kind,
                path=bundle.path,
                objects=len(bundle.objects),
                state=bundle.state,
                reason=bundle.reason,
            )
            for bundle in inventory.bundles
        ),
        files=inventory.files,
        problems=inventory.problems,
    )
