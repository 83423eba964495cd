"""The catalogue: which rules of which tools check the same control, and where in a manifest its faults can sit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import msgspec
import yaml

from kguard.model import ControlText, Reference, Severity

_CWE_URL = "https://cwe.mitre.org/data/definitions/{}.html"
_PSS_URL = "https://kubernetes.io/docs/concepts/security/pod-security-standards/#{}"
_MITRE_URL = "https://attack.mitre.org/techniques/{}/"


class PlaceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Where a control's faults can sit: a path pattern with conditions on what stands there.

    A pattern starts at the object's root, at its pod spec (`pod.`), at the metadata of its pods (`pod-metadata.`) or at each of its
    containers (`container.`); `[*]` is every item of a list, `*` every key of a map, `--flag` the argument that sets a flag.
    """

    at: str
    is_: tuple[Any, ...] | None = msgspec.field(default=None, name="is")
    """The values that are a fault."""
    isnt: tuple[Any, ...] | None = None
    """The values that are none."""
    matches: str | None = None
    """A regular expression for the value."""
    below: int | None = None
    capability: tuple[str, ...] | None = None
    """Names of capabilities, without CAP_."""
    other_capability: tuple[str, ...] | None = None
    """Any capability but these."""
    verbs: tuple[str, ...] | None = None
    """A verb or resource in an RBAC rule that grants one of these verbs ..."""
    resources: tuple[str, ...] | None = None
    """... on one of these resources; `*` grants all."""
    unset: bool = False
    """Nothing set there is a fault too."""
    always: bool = False
    """The field is the place whatever stands there, set or not."""
    inherited: bool = False
    """A container without an own value takes its pod's: the place is then the pod's field, if it is set."""
    when: str | None = None
    """A predicate of kguard.findings.predicates."""
    kinds: tuple[str, ...] | None = None
    """Only in objects of these kinds."""
    by: str | None = None
    """What tells two faults of one object apart: `value`, `key`, or a field relative to the place (`../name`)."""
    prefix: str = ""
    """Put before what `by` finds."""

    @property
    def has_condition(self) -> bool:
        """Whether the value itself is looked at."""
        conditions = (self.is_, self.isnt, self.matches, self.below, self.capability, self.other_capability, self.verbs)
        return any(condition is not None for condition in conditions)


class RuleMapping(msgspec.Struct, frozen=True, kw_only=True):
    """That a rule of a tool checks a control."""

    control: str
    tool: str
    rule: str
    partial: bool
    """Its trigger differs from the control's at the edges (`~`)."""
    secondary: bool
    """Its main control is another; it can fire on this one too (`+`)."""
    says: re.Pattern[str] | None = None
    """It speaks of this control only when its message holds this."""
    path: tuple[str, ...] = ()
    """... only when the path that it names holds one of these keys."""
    inner: str | None = None
    """... only when this inner rule fired."""
    only: re.Pattern[str] | None = None
    """Its list is shorter than the control's: it means the places that are called like this."""
    ignores_path: bool = False
    """The field that it names is not where the fault is."""
    needs_place: bool = False
    """It guesses: it is believed only where the manifest has a place of the control."""
    summary: bool = False
    """It repeats what other rules say: never merged, never in the gate."""
    note: str = ""
    """Where its trigger and the control's differ, or the field, message or kind by which they coincide."""
    since: str = ""
    """The tool's version from which it is so, where the rule changed."""


class RuleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A rule below a control in the data: `C-0057`, with `~` behind it and `+` before it as in RuleMapping."""

    rule: str
    says: str | None = None
    path: tuple[str, ...] = ()
    inner: str | None = None
    only: str | None = None
    ignores_path: bool = False
    needs_place: bool = False
    summary: bool = False
    note: str = ""
    since: str = ""


class Control(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """A canonical check, as its YAML file has it."""

    id: str
    title: str
    severity: Severity
    scope: str
    tools: dict[str, tuple[str | RuleEntry, ...]]
    category: str = ""
    because: str = ""
    """Why the severity is what it is."""
    harm: str = ""
    """What can go wrong, in at most two sentences."""
    remediation: str = ""
    """What to do, in a sentence or two."""
    example: str = ""
    """The smallest piece of YAML that has the fault no more."""
    references: tuple[str, ...] = ()
    fixed_severity: bool = False
    """The user set it: whatever the tools say."""
    not_shown: str = ""
    """Why no manifest can show that the tools agree, for a control that several check (node data, settings of a live cluster)."""
    anchor: str | None = None
    """The object that a finding belongs to when tools name different ones: role, binding or budget."""
    subsumes: tuple[str, ...] = ()
    """Controls that say less about the same place."""
    places: tuple[PlaceSpec, ...] = ()

    @property
    def discriminated(self) -> bool:
        return any(place.by is not None for place in self.places)


def rule_name(entry: str | RuleEntry) -> str:
    """The tool's id of a rule, without marks."""
    return (entry if isinstance(entry, str) else entry.rule).strip("+~")


class CatalogueError(Exception):
    """A mistake in the catalogue's data."""


class Catalogue:
    """Controls by id, and the mappings of every rule."""

    def __init__(self, controls: Iterable[Control]) -> None:
        self.controls: Mapping[str, Control] = MappingProxyType({control.id: control for control in controls})
        mappings: dict[tuple[str, str], list[RuleMapping]] = {}
        for control in self.controls.values():
            for mapping in _mappings(control):
                mappings.setdefault((mapping.tool, mapping.rule), []).append(mapping)
        for key, found in mappings.items():
            mains = [mapping.control for mapping in found if not mapping.secondary]
            if len(mains) != 1:
                raise CatalogueError(f"{':'.join(key)} has {len(mains)} main controls, not one: {', '.join(mains)}")
            found.sort(key=lambda mapping: (mapping.secondary, mapping.control))
        self._mappings = {key: tuple(found) for key, found in mappings.items()}
        self._by_control: dict[str, list[RuleMapping]] = {}
        for key in sorted(self._mappings):
            for mapping in self._mappings[key]:
                self._by_control.setdefault(mapping.control, []).append(mapping)
        for control in self.controls.values():
            if unknown := set(control.subsumes) - set(self.controls):
                raise CatalogueError(f"{control.id} subsumes unknown controls: {', '.join(sorted(unknown))}")

    def mappings(self, tool: str, rule: str) -> tuple[RuleMapping, ...]:
        """The controls that a rule serves, its main one first; empty for a rule that the catalogue does not know."""
        return self._mappings.get((tool, rule), ())

    def rules_of(self, control: str) -> tuple[RuleMapping, ...]:
        """The rules that serve a control, sorted by tool and rule."""
        return tuple(self._by_control.get(control, ()))

    @property
    def all_rules(self) -> frozenset[str]:
        """Every rule of every tool, as `tool:RULE`."""
        return frozenset(f"{tool}:{rule}" for tool, rule in self._mappings)

    def rules(self, tool: str) -> frozenset[str]:
        """Every rule of a tool that the catalogue knows."""
        return frozenset(rule for name, rule in self._mappings if name == tool)


def _mappings(control: Control) -> Iterable[RuleMapping]:
    for tool, entries in control.tools.items():
        for entry in entries:
            rule = entry if isinstance(entry, RuleEntry) else RuleEntry(entry)
            yield RuleMapping(
                control=control.id,
                tool=tool,
                rule=rule.rule.strip("+~"),
                partial=rule.rule.endswith("~"),
                secondary=rule.rule.startswith("+"),
                says=re.compile(rule.says) if rule.says else None,
                path=rule.path,
                inner=rule.inner,
                only=re.compile(rule.only) if rule.only else None,
                ignores_path=rule.ignores_path,
                needs_place=rule.needs_place,
                summary=rule.summary,
                note=rule.note,
                since=rule.since,
            )


def texts(catalogue: Catalogue, ids: Iterable[str]) -> tuple[ControlText, ...]:
    """What reports say of controls, by id; nothing of those that the catalogue does not have."""
    found = (catalogue.controls[name] for name in sorted(set(ids)) if name in catalogue.controls)
    return tuple(
        ControlText(
            id=control.id,
            because=control.because,
            harm=control.harm,
            remediation=control.remediation,
            example=control.example,
        )
        for control in found
    )


def references(control: Control) -> tuple[Reference, ...]:
    """The standards that a control stands in, with links where there are stable ones."""
    return _references(control.references)


@lru_cache(maxsize=1024)
def _references(names: tuple[str, ...]) -> tuple[Reference, ...]:
    return tuple(Reference(name=name, url=_url(name)) for name in names)


def _url(name: str) -> str | None:
    kind, _, rest = name.replace("-", " ", 1).partition(" ")
    pages = {"CWE": _CWE_URL, "PSS": _PSS_URL, "MITRE": _MITRE_URL}
    return pages[kind].format(rest.replace(".", "/")) if kind in pages else None


@lru_cache(maxsize=1)
def load_unmapped() -> Mapping[str, Mapping[str, str]]:
    """The rules that no control is for, by tool, each with the reason: data/unmapped.yaml."""
    text = (files("kguard") / "data" / "unmapped.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=dict[str, dict[str, str]])


@lru_cache(maxsize=1)
def load_catalogue() -> Catalogue:
    """The catalogue that ships with kguard: data/controls/<category>.yaml. Raises CatalogueError for a mistake in it."""
    controls: list[Control] = []
    folder = files("kguard") / "data" / "controls"
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        category = file.name.removesuffix(".yaml")
        data = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        try:
            found = msgspec.convert(data, tuple[Control, ...])
        except msgspec.ValidationError as error:
            raise CatalogueError(f"data/controls/{file.name}: {error}") from error
        controls.extend(msgspec.structs.replace(control, category=category) for control in found)
    ids = [control.id for control in controls]
    if doubles := {name for name in ids if ids.count(name) > 1}:
        raise CatalogueError(f"more than one control is called {', '.join(sorted(doubles))}")
    return Catalogue(controls)
