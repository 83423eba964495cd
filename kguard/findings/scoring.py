"""How each tool of a run stands against labels: what it found of the faults, and what it reported where there are none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kguard.coverage_model import LabelScores, Score
from kguard.findings.catalogue import Catalogue
from kguard.findings.labels import Label, Labels
from kguard.findings.looked import Look, Witnesses, blind, check
from kguard.findings.matrix import first
from kguard.model import FileState, Finding, Report, ToolRun

_READ = (FileState.SCANNED, FileState.TEMPLATE, FileState.RENDERED_ELSEWHERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A label in a run."""

    label: Label
    path: str
    """What the run calls the file."""
    controls: tuple[str, ...]
    """One of them is the fault; the first is what a rule is for."""

    def fits(self, finding: Finding) -> bool:
        """The same control at the same object and container, as far as the label names them. A finding of a whole object fits each of
        its containers."""
        return (
            finding.control in self.controls
            and self.label.means(finding.object)
            and (not self.label.container or finding.container in (None, self.label.container))
        )


def score(labels: Labels, report: Report, catalogue: Catalogue, find: Callable[[str], str | None]) -> LabelScores:
    """Hold every tool of a run against labels. `find`: what the run calls the file of a label; None for one that it does not have."""
    unknown: Counter[str] = Counter()
    places: list[_Place] = []
    absent = 0
    for label in labels.labels:
        controls, path = _controls(label, catalogue), find(label.path)
        if not controls:
            unknown[label.name] += 1
        elif path is None:
            absent += 1
        else:
            places.append(_Place(label=label, path=path, controls=controls))
    judge = _Judge(report, catalogue)
    for place in places:
        judge.judge(place)
    if labels.complete:
        judge.unlabelled(places)
    faults = sum(place.label.fault for place in places)
    return LabelScores(
        file=labels.file,
        complete=labels.complete,
        faults=faults,
        passes=len(places) - faults,
        unknown=dict(sorted(unknown.items())),
        absent=absent,
        scores=judge.scores(),
    )


def _controls(label: Label, catalogue: Catalogue) -> tuple[str, ...]:
    """A rule that fires says that one of its controls is at fault; one that must be silent says it of its main control alone."""
    if label.name in catalogue.controls:
        return (label.name,)
    tool, _, rule = label.name.partition(":")
    found = tuple(mapping.control for mapping in catalogue.mappings(tool, rule) if not mapping.summary)
    return found if label.fault else found[:1]


class _Judge:
    """Counts what each tool made of each label; the name None is all of them together."""

    def __init__(self, report: Report, catalogue: Catalogue) -> None:
        self._tools, self._catalogue = report.tools, catalogue
        self._witnesses = Witnesses(report, catalogue)
        self._states = {file.path: file.state for file in report.inputs.files}
        self._findings: defaultdict[str, list[Finding]] = defaultdict(list)
        for finding in report.findings:
            for path in _paths(finding):
                self._findings[path].append(finding)
        names = (None, *(tool.name for tool in report.tools))
        self._faults: dict[str | None, Counter[Look]] = {name: Counter() for name in names}
        self._wrong: Counter[str | None] = Counter()
        self._rightly_silent: Counter[str | None] = Counter()

    def judge(self, place: _Place) -> None:
        fitting = [finding for finding in self._findings.get(place.path, ()) if place.fits(finding)]
        looks = {tool.name: self._look(tool, place, fitting) for tool in self._tools}
        for name, look in ((None, first(looks.values())), *looks.items()):
            if place.label.fault:
                self._faults[name][look] += 1
            elif look is Look.FOUND:
                self._wrong[name] += 1
            elif look in (Look.MISSED, Look.PARTIAL):
                self._rightly_silent[name] += 1

    def unlabelled(self, places: Sequence[_Place]) -> None:
        """What was reported of the labelled controls and is in no label: wrong, where the labels are complete."""
        by_path: defaultdict[str, list[_Place]] = defaultdict(list)
        for place in places:
            by_path[place.path].append(place)
        controls = {place.controls[0] for place in places}
        every = {id(finding): finding for found in self._findings.values() for finding in found}
        for finding in every.values():
            labelled = (place for path in _paths(finding) for place in by_path.get(path, ()))
            if finding.gated and finding.control in controls and not any(place.fits(finding) for place in labelled):
                self._wrong.update((None, *finding.tools))

    def scores(self) -> tuple[Score, ...]:
        return tuple(
            Score(tool=name, faults=dict(counts), wrong=self._wrong[name], rightly_silent=self._rightly_silent[name])
            for name, counts in self._faults.items()
        )

    def _look(self, tool: ToolRun, place: _Place, fitting: Sequence[Finding]) -> Look:
        """What a tool has to do with a labelled place: `found` or `missed`, whether it should have found something or not."""
        if fitting:  # what is known of the object is known from there
            cells = (cell for finding in fitting for cell in self._witnesses.of(finding))
            return first(cell.state for cell in cells if cell.tool == tool.name)
        checks = {check(tool, control, self._catalogue).state for control in place.controls}
        if checks.isdisjoint((Look.ON, Look.PARTIAL)):
            return first(checks)
        return self._reading(tool, place) or (Look.MISSED if Look.ON in checks else Look.PARTIAL)

    def _reading(self, tool: ToolRun, place: _Place) -> Look | None:
        """None where the run shows that the tool read what the label is about."""
        unread = any(item.path == place.path and place.label.means(item.object) for item in tool.unread)
        if unread or blind(tool) or self._states.get(place.path) not in _READ:
            return Look.DID_NOT_LOOK
        if not tool.objects.out_of_scope:
            return None
        # the run does not list its objects: those of the file that are known have findings
        here = {finding.object for finding in self._findings.get(place.path, ()) if place.label.means(finding.object)}
        outside = {ref.type in tool.out_of_scope for ref in here}
        if outside == {False}:
            return None
        return Look.OUT_OF_SCOPE if outside == {True} else Look.NOT_KNOWN


def _paths(finding: Finding) -> Iterable[str]:
    return dict.fromkeys((finding.location.path, *(place.location.path for place in finding.places)))
