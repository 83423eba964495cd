"""The catalogue as a user wants it: other severities and words, controls of their own, merges that are refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from msgspec import structs

from kguard.findings.catalogue import Catalogue, Control, RuleEntry, rule_name
from kguard.model import Severity
from kguard.settings import ControlSettings, MergeSettings

OWN = "own"
"""The category of users' own controls."""


def customised(catalogue: Catalogue, settings: MergeSettings) -> Catalogue:
    """The catalogue with what kguard.yaml changes; itself where it changes nothing."""
    if not (settings.controls or settings.never):
        return catalogue
    own = {name: wanted for name, wanted in settings.controls.items() if wanted.rules}
    taken = {rule for wanted in own.values() for rule in wanted.rules}
    controls = [_without(control, taken) for control in catalogue.controls.values()]
    controls = [_changed(control, settings.controls.get(control.id)) for control in controls]
    controls += [_own(name, wanted) for name, wanted in own.items()]
    for group in settings.never:
        controls = list(_kept_apart(controls, group))
    return Catalogue(controls)


def _changed(control: Control, wanted: ControlSettings | None) -> Control:
    if wanted is None:
        return control
    words = {name: value for name in ("title", "harm", "remediation") if (value := getattr(wanted, name)) is not None}
    if wanted.severity is not None:
        words |= {"severity": wanted.severity, "because": wanted.reason, "fixed_severity": True}
    return structs.replace(control, **words)


def _own(name: str, wanted: ControlSettings) -> Control:
    tools: dict[str, list[str]] = defaultdict(list)
    for rule in wanted.rules:
        tool, _, own = rule.partition(":")
        tools[tool].append(own)
    return Control(
        id=name,
        title=wanted.title or name,
        severity=wanted.severity or Severity.UNKNOWN,
        scope="container" if wanted.scope == "container" else "workload",
        tools={tool: tuple(rules) for tool, rules in tools.items()},
        category=OWN,
        because=wanted.reason,
        harm=wanted.harm or "",
        remediation=wanted.remediation or "",
        fixed_severity=True,
    )


def _kept_apart(controls: Sequence[Control], group: Sequence[str]) -> Iterator[Control]:
    """Of the rules of a group that check one control, the first keeps it, and each other one has a control of its own, alike but
    for its name (`run-as-non-root/trivy:KSV-0012`). A group of one rule takes it out of every control."""
    apart = {control.id: _strangers(control, group) for control in controls}
    for control in controls:
        wider = [f"{name}/{rule}" for name in control.subsumes for rule in apart.get(name, ())]
        control = structs.replace(control, subsumes=(*control.subsumes, *wider))
        strangers = apart[control.id]
        yield _without(control, strangers)
        for stranger in strangers:
            alone = _without(control, _rules(control) - {stranger})
            yield structs.replace(alone, id=f"{control.id}/{stranger}")


def _strangers(control: Control, group: Sequence[str]) -> tuple[str, ...]:
    present = [rule for rule in group if rule in _rules(control)]
    return tuple(present if len(group) == 1 else present[1:])


def _rules(control: Control) -> set[str]:
    return {f"{tool}:{rule_name(entry)}" for tool, entries in control.tools.items() for entry in entries}


def _without(control: Control, rules: Collection[str]) -> Control:
    kept: dict[str, tuple[str | RuleEntry, ...]] = {
        tool: found
        for tool, entries in control.tools.items()
        if (found := tuple(entry for entry in entries if f"{tool}:{rule_name(entry)}" not in rules))
    }
    return structs.replace(control, tools=kept)
