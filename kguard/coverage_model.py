"""The records of a comparison of tools: who found what, who missed it, what is lost without a tool, how tools stand against labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kguard.model import Finding, Look, RunState, Severity, ToolRun

NONE = "(none)"
"""The row of what has no namespace, or stands in no framework."""


class By(StrEnum):
    """What a row of the comparison is."""

    CONTROL = "control"
    CATEGORY = "category"
    NAMESPACE = "namespace"
    FRAMEWORK = "framework"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageCell:
    """What a tool has to do with the faults of a row."""

    state: Look
    """The first thing to say: `found` where it found one of them, else `missed` where it missed one, and so on; of a row without
    faults, whether it had a check on."""
    counts: Mapping[Look, int]
    """The row's faults by what it has to do with each; no zeros."""
    rules: tuple[str, ...] = ()
    """Of a control: the rules that the state is about."""
    why: str = ""
    """Why it is not `found`, where anything is known of it; of a cell with missed faults, why these were missed."""
    example: Finding | None = None
    """The worst fault that it missed."""

    @property
    def found(self) -> int:
        return self.counts.get(Look.FOUND, 0)

    @property
    def missed(self) -> int:
        return self.counts.get(Look.MISSED, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRow:
    """A control, or a group of faults."""

    name: str
    title: str
    """Of a control; "" for a group."""
    severity: Severity
    """The worst of its faults; of a control without any, the catalogue's."""
    category: str
    """Of a control; "" for a group."""
    faults: int
    cells: Mapping[str, CoverageCell]
    """By tool; all tools of the comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTotals:
    """A tool over all faults."""

    run: ToolRun
    faults: int
    """Those of the whole comparison."""
    counts: Mapping[Look, int]
    """The same, by what it has to do with each; no zeros."""
    alone: int
    """Faults that no other tool found."""
    checks: int
    """Controls of which it had a check on, at least for a part."""
    only: int
    """Those of them of which no other tool had one on."""

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def asked(self) -> bool:
        """Whether the run wanted it."""
        return self.run.state is not RunState.SKIPPED

    @property
    def found(self) -> int:
        return self.counts.get(Look.FOUND, 0)

    @property
    def share(self) -> float | None:
        """0 to 1, of all faults; None where there is none."""
        return self.found / self.faults if self.faults else None

    @property
    def noise(self) -> float | None:
        """Records that it printed for each fault that it found; None where it found none."""
        return self.run.records / self.found if self.found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A set of tools and the faults that they share."""

    tools: tuple[str, ...]
    """Sorted."""
    exactly: int
    """Faults that these tools found and no other."""
    together: int
    """Faults that all of these found, whoever else did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Faults of a control that would be lost."""

    control: str
    severity: Severity
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """What nobody would find without a tool."""

    tool: str
    by_severity: Mapping[Severity, int]
    """Every severity, worst first."""
    controls: tuple[Loss, ...]
    """Worst first."""

    @property
    def faults(self) -> int:
        return sum(self.by_severity.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The fewest tools that together find every fault from a severity up."""

    severity: Severity
    faults: int
    """How many there are. A fault of unknown severity counts as high, as at the gate."""
    sets: tuple[tuple[str, ...], ...]
    """Every set of the smallest size that does; one empty set where there is nothing to find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Faults of a control that tools call differently bad."""

    control: str
    severity: Severity
    """What kguard says."""
    words: tuple[tuple[str, Severity], ...]
    """Each tool's own word in kguard's, the worst where it has several; tools without severities are left out."""
    faults: int
    example: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a tool, or all of them together, stand against labels."""

    tool: str | None
    """None: all together."""
    faults: Mapping[Look, int]
    """The places that are labelled as a fault, by what the tool has to do with them; no zeros."""
    wrong: int
    """What it reported and should not have: places labelled as no fault and, where the labels are complete, findings of their
    controls without a label."""
    rightly_silent: int
    """Places labelled as no fault that it did not report, though it had a check on and looked."""

    @property
    def found(self) -> int:
        return self.faults.get(Look.FOUND, 0)

    @property
    def precision(self) -> float | None:
        """Of what it reported at labelled places, how much is a fault; None where it reported nothing."""
        return self.found / (self.found + self.wrong) if self.found + self.wrong else None

    @property
    def recall(self) -> float | None:
        """Of all labelled faults, how many it found; None where there is none."""
        total = sum(self.faults.values())
        return self.found / total if total else None

    @property
    def recall_of_checks(self) -> float | None:
        """The same, of the faults that it had a check for and looked at."""
        total = self.found + self.faults.get(Look.MISSED, 0) + self.faults.get(Look.PARTIAL, 0)
        return self.found / total if total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScores:
    """The comparison with a file of labels."""

    file: str
    complete: bool
    """Whether the file says that it has every fault of its controls."""
    faults: int
    """Labels that count, by what they expect."""
    passes: int
    unknown: Mapping[str, int]
    """By rule or control: labels that do not count, because the catalogue does not know what they are about."""
    absent: int
    """Labels that do not count, because the run has no such file."""
    scores: tuple[Score, ...]
    """One a tool, and that of all together first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A tool, or `inputs`, that did not look at everything."""

    name: str
    reason: str
    allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What each tool of a run found of all that any of them found. A fault is a finding inside the gate."""

    profile: str
    frameworks: tuple[str, ...]
    by: By
    objects: int
    faults: int
    outside: int
    """Findings outside the gate, which are no faults of their own: unproven, or part of another. They are counted nowhere else."""
    gaps: tuple[Gap, ...]
    tools: tuple[ToolTotals, ...]
    """In the order of the reports."""
    rows: tuple[CoverageRow, ...]
    """Worst first; controls without a fault last."""
    overlaps: tuple[Overlap, ...]
    """Every set of tools that share a fault; the most faults of exactly these tools first."""
    drops: tuple[Drop, ...]
    """One for each tool that was asked."""
    kept: tuple[Kept, ...]
    """One for each severity from critical down to info."""
    disagreements: tuple[Disagreement, ...]
    labels: LabelScores | None = None

    @property
    def complete(self) -> bool:
        """Whether every tool that was asked looked at everything, but for what may be incomplete."""
        return all(gap.allowed for gap in self.gaps)
