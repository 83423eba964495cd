"""The public JSON of a comparison of tools, version 1: its shape.

As in `json_v1`, the shape is spelled out here and nowhere else; within v1, fields are added, never renamed or removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from kguard import coverage_model as model
from kguard.model import Finding, Look, Report, RunState, Severity

SCHEMA: Literal["kguard/coverage/v1"] = "kguard/coverage/v1"


class Run(msgspec.Struct):
    """The run that is compared."""

    kguard: str
    """The version that scanned."""
    started: str
    profile: str
    frameworks: tuple[str, ...]
    severity_rule: str
    sources: tuple[str, ...]
    objects: int


class Gap(msgspec.Struct):
    name: str
    reason: str
    allowed: bool
    """It may be incomplete: --allow-incomplete."""


class Counts(msgspec.Struct):
    """Faults by what a tool has to do with them. They add up to all."""

    found: int = 0
    missed: int = 0
    partial: int = 0
    silenced: int = 0
    out_of_scope: int = 0
    did_not_look: int = 0
    not_known: int = 0
    off: int = 0
    no_rule: int = 0


class Checks(msgspec.Struct):
    on: int
    """Controls that it had a check on for, at least for a part."""
    only: int
    """Those of them that no other tool had one on for."""


class Tool(msgspec.Struct):
    name: str
    version: str | None
    state: RunState
    reason: str | None
    faults: Counts
    share: float | None
    """Found of all, 0 to 1; null where there is no fault."""
    alone: int
    """Found by no other tool."""
    checks: Checks
    records: int
    records_per_fault: float | None
    """Printed for each fault that it found; null where it found none."""
    seconds: float | None
    cpu_seconds: float | None


class Ref(msgspec.Struct):
    group: str
    version: str
    kind: str
    namespace: str | None
    name: str


class Example(msgspec.Struct):
    """A finding of the report."""

    fingerprint: str
    control: str
    bundle: str
    object: Ref
    container: str | None
    discriminator: str | None
    path: str
    line: int | None


class Cell(msgspec.Struct):
    tool: str
    state: Look
    """The first thing to say. `on`, of a row without faults: a check for exactly this was on."""
    faults: Counts
    rules: tuple[str, ...]
    reason: str | None
    example: Example | None
    """The worst fault that it missed; null where it missed none."""


class Row(msgspec.Struct):
    name: str
    title: str | None
    severity: Severity
    category: str | None
    faults: int
    cells: tuple[Cell, ...]


class Overlap(msgspec.Struct):
    tools: tuple[str, ...]
    exactly: int
    together: int


class Loss(msgspec.Struct):
    control: str
    severity: Severity
    faults: int


class Drop(msgspec.Struct):
    tool: str
    faults: int
    by_severity: dict[str, int]
    controls: tuple[Loss, ...]


class Smallest(msgspec.Struct):
    severity: Severity
    faults: int
    """From this severity up; unknown counts as high."""
    sets: tuple[tuple[str, ...], ...]
    """All sets of the smallest size that find them all."""


class Word(msgspec.Struct):
    tool: str
    severity: Severity


class Disagreement(msgspec.Struct):
    control: str
    severity: Severity
    words: tuple[Word, ...]
    faults: int
    example: Example


class Score(msgspec.Struct):
    tool: str | None
    """null: all tools together."""
    faults: Counts
    """The labelled faults."""
    wrong: int
    rightly_silent: int
    precision: float | None
    recall: float | None
    recall_of_checks: float | None


class Labels(msgspec.Struct):
    file: str
    complete: bool
    faults: int
    passes: int
    unknown: dict[str, int]
    absent: int
    scores: tuple[Score, ...]


class Document(msgspec.Struct):
    """The whole comparison."""

    schema: Literal["kguard/coverage/v1"]
    run: Run
    by: model.By
    complete: bool
    incomplete: tuple[Gap, ...]
    faults: int
    outside_gate: int
    """Findings that are no faults of their own; counted nowhere else."""
    tools: tuple[Tool, ...]
    drop: tuple[Drop, ...]
    smallest: tuple[Smallest, ...]
    overlap: tuple[Overlap, ...]
    disagreements: tuple[Disagreement, ...]
    labels: Labels | None
    rows: tuple[Row, ...]


def pieces(report: Report, coverage: model.Coverage) -> Iterator[str]:
    """The comparison as JSON: UTF-8, keys in a fixed order."""
    yield msgspec.json.format(msgspec.json.encode(_document(report, coverage)), indent=1).decode() + "\n"


def schema() -> str:
    """The JSON Schema of a comparison."""
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        **msgspec.json.schema(Document),
    }
    return msgspec.json.format(msgspec.json.encode(found, order="deterministic"), indent=2).decode() + "\n"


def _document(report: Report, coverage: model.Coverage) -> Document:
    return Document(
        schema=SCHEMA,
        run=Run(
            kguard=report.version,
            started=report.started,
            profile=coverage.profile,
            frameworks=coverage.frameworks,
            severity_rule=report.severity_rule,
            sources=report.inputs.sources,
            objects=coverage.objects,
        ),
        by=coverage.by,
        complete=coverage.complete,
        incomplete=tuple(Gap(name=gap.name, reason=gap.reason, allowed=gap.allowed) for gap in coverage.gaps),
        faults=coverage.faults,
        outside_gate=coverage.outside,
        tools=tuple(map(_tool, coverage.tools)),
        drop=tuple(map(_drop, coverage.drops)),
        smallest=tuple(Smallest(severity=one.severity, faults=one.faults, sets=one.sets) for one in coverage.kept),
        overlap=tuple(
            Overlap(tools=one.tools, exactly=one.exactly, together=one.together) for one in coverage.overlaps
        ),
        disagreements=tuple(map(_disagreement, coverage.disagreements)),
        labels=_labels(coverage.labels) if coverage.labels else None,
        rows=tuple(map(_row, coverage.rows)),
    )


def _counts(counts: Mapping[Look, int]) -> Counts:
    return Counts(**{look.replace(" ", "_"): count for look, count in counts.items()})


def _tool(tool: model.ToolTotals) -> Tool:
    run = tool.run
    return Tool(
        name=run.name,
        version=str(run.version) if run.version else None,
        state=run.state,
        reason=run.reason,
        faults=_counts(tool.counts),
        share=_rounded(tool.share),
        alone=tool.alone,
        checks=Checks(on=tool.checks, only=tool.only),
        records=run.records,
        records_per_fault=_rounded(tool.noise),
        seconds=_rounded(run.seconds),
        cpu_seconds=_rounded(run.cpu_seconds),
    )


def _drop(drop: model.Drop) -> Drop:
    return Drop(
        tool=drop.tool,
        faults=drop.faults,
        by_severity={severity.value: count for severity, count in drop.by_severity.items()},
        controls=tuple(Loss(control=it.control, severity=it.severity, faults=it.faults) for it in drop.controls),
    )


def _disagreement(item: model.Disagreement) -> Disagreement:
    return Disagreement(
        control=item.control,
        severity=item.severity,
        words=tuple(Word(tool=tool, severity=severity) for tool, severity in item.words),
        faults=item.faults,
        example=_example(item.example),
    )


def _labels(labels: model.LabelScores) -> Labels:
    return Labels(
        file=labels.file,
        complete=labels.complete,
        faults=labels.faults,
        passes=labels.passes,
        unknown=dict(labels.unknown),
        absent=labels.absent,
        scores=tuple(map(_score, labels.scores)),
    )


def _score(score: model.Score) -> Score:
    return Score(
        tool=score.tool,
        faults=_counts(score.faults),
        wrong=score.wrong,
        rightly_silent=score.rightly_silent,
        precision=_rounded(score.precision),
        recall=_rounded(score.recall),
        recall_of_checks=_rounded(score.recall_of_checks),
    )


def _row(row: model.CoverageRow) -> Row:
    return Row(
        name=row.name,
        title=row.title or None,
        severity=row.severity,
        category=row.category or None,
        faults=row.faults,
        cells=tuple(_cell(tool, cell) for tool, cell in row.cells.items()),
    )


def _cell(tool: str, cell: model.CoverageCell) -> Cell:
    return Cell(
        tool=tool,
        state=cell.state,
        faults=_counts(cell.counts),
        rules=cell.rules,
        reason=cell.why or None,
        example=_example(cell.example) if cell.example else None,
    )


def _example(finding: Finding) -> Example:
    return Example(
        fingerprint=finding.fingerprint,
        control=finding.control,
        bundle=finding.bundle,
        object=msgspec.convert(finding.object, Ref, from_attributes=True),
        container=finding.container,
        discriminator=finding.discriminator,
        path=finding.location.path,
        line=finding.location.line,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
