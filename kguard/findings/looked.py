"""What a tool's silence about a control or a finding means; nothing is claimed that the report does not prove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kguard.findings.catalogue import Catalogue, RuleMapping
from kguard.model import Finding, InlineIgnore, Look, ObjectRef, Report, ToolRun
from kguard.tooldata import names_one_container, skips_init_containers

__all__ = ["Cell", "Look", "Witnesses", "blind", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One tool's part in a control or a finding."""

    tool: str
    state: Look
    rules: tuple[str, ...] = ()
    """The rules that the state is about: those that spoke, those that were on and silent, those that were off."""
    why: str = ""
    """The reason in words; "" where the state says it all."""


def check(tool: ToolRun, control: str, catalogue: Catalogue) -> Cell:
    """Whether a tool had a check for a control in a run, whatever the object: `on`, `partial`, `off`, `no rule`, `did not look` or
    `not known`."""
    if control not in catalogue.controls:
        return _of_another_rule(tool, control, catalogue)
    mappings = [item for item in catalogue.rules_of(control) if item.tool == tool.name and not item.summary]
    rules = tuple(dict.fromkeys(item.rule for item in mappings))
    if not rules:
        return Cell(tool=tool.name, state=Look.NO_RULE)
    if blind(tool):
        return Cell(tool=tool.name, state=Look.DID_NOT_LOOK, rules=rules, why=tool.reason or tool.state)
    if tool.rules is None or tool.rules.ids is None:
        return Cell(tool=tool.name, state=Look.NOT_KNOWN, rules=rules, why="the run does not tell which rules were on")
    on = [item for item in mappings if item.rule in tool.rules.ids]
    if not on:
        off = f"not among the {len(tool.rules.ids)} rules that were on ({tool.rules.source})"
        why = "; ".join(filter(None, (off, _remarks(mappings, notes=False))))
        return Cell(tool=tool.name, state=Look.OFF, rules=rules, why=why)
    return _on(tool, on)


def blind(tool: ToolRun) -> bool:
    """Whether nothing that a tool did not say means anything: it never ran, it read no object, or it was silent about the canary."""
    counts = tool.objects
    return not tool.processes or tool.canary is False or 0 < counts.unread == counts.staged - counts.out_of_scope


def _on(tool: ToolRun, on: Sequence[RuleMapping]) -> Cell:
    exact = [item for item in on if not (item.partial or item.secondary)]
    rules = tuple(dict.fromkeys(item.rule for item in exact or on))
    state = Look.ON if exact else Look.PARTIAL
    return Cell(tool=tool.name, state=state, rules=rules, why=_remarks(exact or on, notes=True))


def _remarks(mappings: Sequence[RuleMapping], *, notes: bool) -> str:
    """Where rules and their control differ (`notes`), and since which version of the tool: the run may have had an older one."""
    rules: dict[str, list[str]] = {}
    for item in mappings:
        remark = "; ".join(filter(None, (item.note if notes else "", item.since and f"since {item.since}")))
        rules.setdefault(remark, []).append(item.rule)
    if len(rules) == 1:
        return next(iter(rules))
    return ", ".join(f"{', '.join(own)} ({remark})" for remark, own in rules.items() if remark)


def _of_another_rule(tool: ToolRun, control: str, catalogue: Catalogue) -> Cell:
    """For `tool:rule`, which is a control of its own, and for names that only another catalogue knows."""
    owner, _, rule = control.partition(":")
    if rule and owner in {name for known in catalogue.controls.values() for name in known.tools} | {tool.name}:
        return Cell(tool=tool.name, state=Look.NO_RULE)
    return Cell(tool=tool.name, state=Look.NOT_KNOWN, why="this kguard's catalogue does not have the control")


class Witnesses:
    """What every tool of a run has to do with each of its findings."""

    def __init__(self, report: Report, catalogue: Catalogue) -> None:
        self._tools = tuple(tool for tool in report.tools if not tool.off_by_default)
        self._catalogue = catalogue
        self._checks: dict[tuple[str, str], Cell] = {}
        # of a fault in several bundles nobody can tell which of its objects a tool spoke of
        alone = [finding for finding in report.findings if not finding.places]
        self._heard = {
            (said.tool, *_object(finding)) for finding in alone for said in finding.evidence if said.object is None
        }
        # a large run has hundreds of thousands of statements, and mostly no such tool
        of_one = {tool.name for tool in self._tools if names_one_container(tool.name)}
        self._named = {
            (said.tool, said.rule, *_object(finding))
            for finding in (report.findings if of_one else ())
            for said in finding.evidence
            if said.tool in of_one
        }
        self._told: dict[tuple[str, str, ObjectRef], list[InlineIgnore]] = {}
        for item in report.ignores:
            self._told.setdefault((item.tool, item.bundle, item.object), []).append(item)

    def of(self, finding: Finding) -> tuple[Cell, ...]:
        """One cell a tool, in the report's order; of a fault in several bundles, for the object of the first."""
        return tuple(self._cell(tool, finding) for tool in self._tools)

    def _cell(self, tool: ToolRun, finding: Finding) -> Cell:
        if spoke := tuple(dict.fromkeys(said.rule for said in finding.evidence if said.tool == tool.name)):
            return Cell(tool=tool.name, state=Look.FOUND, rules=spoke)
        key = (tool.name, finding.control)
        if key not in self._checks:
            self._checks[key] = check(tool, finding.control, self._catalogue)
        cell = self._checks[key]
        if cell.state not in (Look.ON, Look.PARTIAL):
            return cell
        order = self._order(tool, finding, cell.rules)
        if order is not None:
            return replace(cell, state=Look.SILENCED, why=f"the annotation {order.annotation} tells it to be silent")
        state, why = self._reading(tool, finding)
        if state is None:
            state, why = self._container(tool, finding, cell.rules)
        if state is not None:
            return replace(cell, state=state, why=why)
        return replace(cell, state=Look.MISSED if cell.state is Look.ON else Look.PARTIAL)

    def _order(self, tool: ToolRun, finding: Finding, rules: Sequence[str]) -> InlineIgnore | None:
        """The annotation that keeps all of these rules quiet."""
        told = self._told.get((tool.name, finding.bundle, finding.object), ())
        quiet = {item.rule: item for item in told}
        if None in quiet:
            return quiet[None]
        return quiet[rules[0]] if quiet.keys() >= set(rules) else None

    def _reading(self, tool: ToolRun, finding: Finding) -> tuple[Look | None, str]:
        """None where the report proves that the tool read the finding's object."""
        missed = [item for item in tool.unread if item.object == finding.object]
        for item in missed:
            if item.path == finding.location.path:
                return Look.DID_NOT_LOOK, item.reason
        if (tool.name, *_object(finding)) in self._heard:
            return None, ""
        if missed:
            return Look.NOT_KNOWN, f"it did not read an object of this name that stands in {missed[0].path}"
        if finding.object.type in tool.out_of_scope:
            return Look.OUT_OF_SCOPE, f"no rule that was on looks at every {finding.object.type}"
        if tool.objects.read is None:
            return Look.NOT_KNOWN, "it does not tell which objects it reads"
        if tool.objects.out_of_scope and not tool.out_of_scope:
            outside = f"{tool.objects.out_of_scope:,} of {tool.objects.staged:,} objects"
            return (
                Look.NOT_KNOWN,
                f"{outside} are of kinds that no rule that was on is about; the run does not tell which",
            )
        return None, ""

    def _container(self, tool: ToolRun, finding: Finding, rules: Sequence[str]) -> tuple[Look | None, str]:
        """None where the tool, having read the object, looked at the finding's container and would have named it."""
        if _in_init_container(finding) and all(skips_init_containers(tool.name, rule) for rule in rules):
            return Look.DID_NOT_LOOK, "it passes over init containers"
        if finding.container is not None and self._named.intersection(
            (tool.name, rule, *_object(finding)) for rule in rules
        ):
            return Look.NOT_KNOWN, "it names one of the containers that have the fault, and named another"
        return None, ""


def _object(finding: Finding) -> tuple[str, ObjectRef, str]:
    """Tells objects of one identity apart by what their fingerprints have behind the `-`."""
    return (finding.bundle, finding.object, finding.fingerprint.partition("-")[2])


def _in_init_container(finding: Finding) -> bool:
    return finding.container is not None and finding.fix is not None and "initContainers" in finding.fix.path
