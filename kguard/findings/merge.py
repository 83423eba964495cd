"""Evidence merged into findings: one for every real fault, by object, container, control and discriminator.

Every step looks at one piece of evidence and at the manifest, never at what other tools said, so that adding or leaving out a tool
moves no other finding. What a rule says of a place decides which of its controls it speaks of; the places of that control give the
discriminator and the line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from kguard.findings.catalogue import Catalogue, Control, RuleMapping, references
from kguard.findings.excerpt import excerpt_of
from kguard.findings.fingerprint import colliding, fingerprint
from kguard.findings.locate import location_of
from kguard.findings.mask import masked
from kguard.findings.places import Place, places
from kguard.findings.severity import severity_of
from kguard.findings.surroundings import Surroundings
from kguard.model import (
    Container,
    FieldPath,
    Finding,
    Fix,
    KubeObject,
    Located,
    ObjectIndex,
    Severity,
    Statement,
)

Index = Callable[[KubeObject], ObjectIndex]
Key = tuple[tuple[str, str], str, str, str]
"""What makes a finding: object, control, container, discriminator; "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """That a piece of evidence supports a finding, and why."""

    control: str
    """A catalogue id, or `tool:rule`."""
    object: KubeObject
    container: Container | None
    discriminator: str | None
    path: FieldPath | None
    """The field to look at and to change."""
    evidence: Located
    why: str
    located: int | None
    """How many places came from the manifest because the tool named none."""
    believed: bool = True
    """False for what a tool guesses and what only repeats other rules."""

    @property
    def key(self) -> Key:
        return (self.object.key, self.control, self.container.name if self.container else "", self.discriminator or "")


def merge(
    located: Iterable[Located], objects: Sequence[KubeObject], catalogue: Catalogue, index: Index
) -> tuple[Finding, ...]:
    """All evidence in findings, in the order of the reports. The order of the evidence does not matter."""
    around = Surroundings(objects, index)
    router = Router(catalogue, around, index)
    ordered = sorted(located, key=_evidence_order)
    groups: dict[Key, list[Support]] = defaultdict(list)
    for item in ordered:
        for support in router.supports(item):
            groups[support.key].append(support)
    maker = _Maker(catalogue, around, index, colliding(objects))
    made = {key: maker.finding(groups[key]) for key in sorted(groups)}
    return tuple(sorted(_related(made, groups, catalogue), key=_report_order))


def _evidence_order(item: Located) -> tuple[object, ...]:
    """A total order on what matters, starting with the object, so that the index works object by object."""
    evidence = item.evidence
    return (
        item.object.key,
        evidence.tool,
        evidence.rule,
        evidence.container or "",
        [str(step) for step in evidence.path or ()],
        (evidence.lines.line, evidence.lines.end_line) if evidence.lines else (0, 0),
        evidence.value or "",
        evidence.inner_rule or "",
        evidence.message,
        [obj.key for obj in item.related],
        item.path_object.key,
    )


def _report_order(finding: Finding) -> tuple[object, ...]:
    place = finding.location
    return (
        finding.severity.rank,
        place.path,
        place.line or 0,
        finding.control,
        finding.container or "",
        finding.discriminator or "",
        finding.fingerprint,
        finding.bundle,
    )


# -- which finding a piece of evidence supports -----------------------------------------------------------------------------


class Router:
    """Finds the control, the object, the container and the place that evidence speaks of."""

    def __init__(self, catalogue: Catalogue, around: Surroundings, index: Index) -> None:
        self._catalogue, self._around, self._index = catalogue, around, index

    def supports(self, item: Located) -> Iterator[Support]:
        """At least one for every piece of evidence."""
        evidence = item.evidence
        known = self._catalogue.mappings(evidence.tool, evidence.rule)
        mappings = [mapping for mapping in known if _speaks_of(mapping, item)]
        if not mappings:
            why = (
                "names a field that none of its controls is about"
                if known
                else "the catalogue has no control for this rule"
            )
            yield self._own(item, why)
            return
        if mappings[0].summary:
            yield replace(self._own(item, "repeats what other rules say"), container=None, believed=False)
            return
        routes = [(mapping, self._route(mapping, item, certain=True)) for mapping in mappings]
        chosen = [(mapping, route) for mapping, route in routes if isinstance(route, _Route) and route.places]
        if not chosen and mappings[0].secondary:
            yield self._own(item, "the manifest does not show the fault that it can speak of besides its own")
            return
        if not chosen and not mappings[0].needs_place:
            route = self._believed(mappings[0], item)
            chosen = [(mappings[0], route)] if isinstance(route, _Route) else []
        if not chosen:
            reason = next(
                (route for _, route in routes if isinstance(route, str)), "the manifest does not show the fault"
            )
            yield replace(self._own(item, f"unproven: {reason}"), believed=False)
        for mapping, route in chosen:
            yield from self._placed(mapping, route, item)

    def _own(self, item: Located, why: str) -> Support:
        """A finding of the rule itself: unmapped, unproven, or a summary. Nothing is dropped."""
        evidence = item.evidence
        return Support(
            control=f"{evidence.tool}:{evidence.rule}",
            object=item.object,
            container=item.container,
            discriminator=evidence.value,
            path=item.path if item.path_object is item.object else None,
            evidence=item,
            why=why,
            located=None,
        )

    def _believed(self, main: RuleMapping, item: Located) -> _Route | str:
        """What evidence means that no place shows: a place that is not on the rule's list, one that it names and that does not look
        like a fault, or what it says of a pod whose containers all have a field of their own."""
        loose = structs.replace(main, only=None)
        tries = [(loose, True), (loose, False)]
        if item.container is None and self._catalogue.controls[main.control].scope == "container":
            tries.append((structs.replace(loose, ignores_path=True), True))
        routes = [self._route(mapping, item, certain=certain) for mapping, certain in tries]
        return next((route for route in routes if isinstance(route, _Route) and route.places), routes[0])

    def _route(self, mapping: RuleMapping, item: Located, *, certain: bool) -> _Route | str:
        """The object and the places that this evidence means if it speaks of this control; a sentence if it cannot.

        `certain` False takes the spots that the tool names even where the manifest shows no fault; it takes none that it does not.
        """
        control = self._catalogue.controls[mapping.control]
        obj = self._anchor(control, item)
        if isinstance(obj, str):
            return obj
        container = item.container if obj is item.object else None
        path = item.path if item.path_object is obj and not mapping.ignores_path else None
        if container is not None and path == container.path:
            path = None  # the lines of a whole container name no place in it
        found = places(control, obj, self._index(obj), self._around, certain=certain)
        if container is not None:
            found = tuple(place for place in found if place.container in (None, container))
        value = item.evidence.value if control.discriminated else None
        if value is not None:
            found = tuple(place for place in found if value in place.names)
        elif path is not None:
            found = tuple(place for place in found if place.touches(path))
        elif not certain:
            found = ()
        if mapping.only is not None and value is None:
            found = tuple(place for place in found if any(map(mapping.only.search, place.names)))
        located = len(found) if certain and value is None and path is None else None
        return _Route(control=control, object=obj, container=container, places=found, located=located or None)

    def _anchor(self, control: Control, item: Located) -> KubeObject | str:
        """The object that a finding of this control belongs to; a sentence where it cannot be told."""
        obj = item.object
        match control.anchor:
            case "role" if obj.ref.kind.endswith("Binding"):
                return self._role(item)
            case "budget" if obj.ref.kind != "PodDisruptionBudget":
                budgets = self._around.budgets(obj, self._index(obj).value)
                return budgets[0] if budgets else obj
            case _:
                return obj

    def _role(self, item: Located) -> KubeObject | str:
        binding = item.object
        role = next((obj for obj in item.related if obj.ref.kind in ("Role", "ClusterRole")), None)
        if role is None:
            role = self._around.role(binding, self._index(binding).value)
        if role is None:
            return "the role that it binds is not among the manifests"
        if role.ref.kind == "Role" and role.ref.namespace != binding.ref.namespace:
            return f"it pairs a binding with a role of another namespace ({role.ref.namespace or 'none named'})"
        return role

    def _placed(self, mapping: RuleMapping, route: _Route, item: Located) -> Iterator[Support]:
        """One support for each fault that the evidence shows: its containers and discriminators."""
        control = route.control
        in_containers = control.scope == "container"
        faults: dict[tuple[str, str], Place] = {}
        for found in route.places:
            container = (route.container or found.container) if in_containers else None
            faults.setdefault((container.name if container else "", found.discriminator or ""), found)
        shown: list[Place | None] = [*faults.values()] or [None]
        for place in shown:
            own = route.container or (place.container if place else None)
            yield Support(
                control=control.id,
                object=route.object,
                container=own if in_containers else None,
                discriminator=place.discriminator if place else None,
                path=place.path if place else (item.path if item.path_object is route.object else None),
                evidence=item,
                why=_why(mapping, route, item),
                located=route.located,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """What evidence means if it speaks of a control."""

    control: Control
    object: KubeObject
    container: Container | None
    places: tuple[Place, ...]
    located: int | None


def _speaks_of(mapping: RuleMapping, item: Located) -> bool:
    evidence = item.evidence
    if mapping.says is not None and not mapping.says.search(evidence.message):
        return False
    if mapping.path and evidence.path is not None and not set(mapping.path) & set(evidence.path):
        return False
    return mapping.inner is None or evidence.inner_rule == mapping.inner


def _why(mapping: RuleMapping, route: _Route, item: Located) -> str:
    rule = f"{mapping.tool}/{mapping.rule}"
    kind = "also fires on" if mapping.secondary else "partly covers" if mapping.partial else "is the rule for"
    parts = [f"{rule} {kind} {mapping.control}"]
    if route.object is not item.object:
        parts.append(f"reported on {item.object.ref}, which leads here")
    if route.located is not None and route.located > 1:
        parts.append(f"it names no place: the manifest has {route.located}")
    return "; ".join(parts)


# -- findings -------------------------------------------------------------------------------------------------------------


class _Maker:
    """Turns the supports of one fault into its finding."""

    def __init__(
        self, catalogue: Catalogue, around: Surroundings, index: Index, doubled: frozenset[tuple[str, str, str, str]]
    ) -> None:
        self._catalogue, self._around, self._index, self._doubled = catalogue, around, index, doubled

    def finding(self, supports: Sequence[Support]) -> Finding:
        first = supports[0]
        obj, container = first.object, first.container
        control = self._catalogue.controls.get(first.control)
        path = self._path(first, control)
        location = location_of(obj, path, container, self._index)
        believed = any(support.believed for support in supports)
        return Finding(
            fingerprint=fingerprint(
                first.control,
                obj.ref,
                container.name if container else None,
                first.discriminator,
                origin_path=obj.origin.path if obj.ref.identity in self._doubled else None,
            ),
            control=first.control,
            title=control.title if control else first.evidence.evidence.title,
            severity=_severity(control, supports) if believed else Severity.INFO,
            category=control.category if control else "unmapped",
            gated=believed,
            bundle=obj.bundle,
            object=obj.ref,
            container=container.name if container else None,
            discriminator=first.discriminator,
            location=location,
            places=(),
            tools=tuple(sorted({support.evidence.evidence.tool for support in supports})),
            evidence=self._statements(supports),
            related=(),
            remediation=control.remediation if control else "",
            fix=Fix(path=field_text(path), value=None) if path else None,
            references=references(control) if control else (),
            excerpt=excerpt_of(obj, location, self._index),
        )

    def _path(self, support: Support, control: Control | None) -> FieldPath | None:
        """The field: of the control's places, so that no tool moves it; of the evidence only where no other tool could."""
        if control is None or (not control.places and len(control.tools) == 1):
            return support.path
        name = support.container.name if support.container else None
        for certain in (True, False):
            for place in places(control, support.object, self._index(support.object), self._around, certain=certain):
                inside = name is None or (place.container is not None and place.container.name == name)
                if inside and place.discriminator == support.discriminator:
                    return place.path
            if support.discriminator is None:
                return None  # a place that is no fault is found by its discriminator only
        return None

    def _statements(self, supports: Sequence[Support]) -> tuple[Statement, ...]:
        statements = {self._statement(support): None for support in supports}
        return tuple(
            sorted(
                statements, key=lambda s: (s.tool, s.rule, s.message, s.container or "", str(s.location), s.why_merged)
            )
        )

    def _statement(self, support: Support) -> Statement:
        item, evidence = support.evidence, support.evidence.evidence
        pointed = item.path is not None or item.container is not None
        named = item.object if item.object is not support.object else None
        message = masked(evidence.message, item.object, self._index)
        return Statement(
            tool=evidence.tool,
            rule=evidence.rule,
            title=evidence.title,
            native_severity=evidence.native_severity,
            message=message,
            url=evidence.url,
            object=named.ref if named else None,
            container=item.container.name if item.container else None,
            why_merged=support.why,
            located=support.located,
            location=location_of(item.path_object, item.path, item.container, self._index) if pointed else None,
        )


def _severity(control: Control | None, supports: Sequence[Support]) -> Severity:
    if control is not None:
        return control.severity
    words = [severity_of(support.evidence.evidence.native_severity) for support in supports]
    return min(words, key=lambda severity: severity.rank)


def field_text(path: FieldPath) -> str:
    """`spec.containers[0].image`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif "." in step or "/" in step:
            text += f'["{step}"]'
        else:
            text += f".{step}" if text else step
    return text


def _related(
    made: dict[Key, Finding],
    groups: dict[Key, list[Support]],
    catalogue: Catalogue,
) -> Iterator[Finding]:
    """Findings with those of the same object that say more or less about the same place. Evidence that supports both counts for
    the one that says more; a finding with no evidence of its own is outside the gate, so that no tool ever takes one out of it."""
    links: dict[Key, set[str]] = defaultdict(set)
    counted: dict[Key, set[int]] = defaultdict(set)
    for key, finding in made.items():
        for other in _subsumed(key, made, catalogue):
            links[key].add(made[other].fingerprint)
            links[other].add(finding.fingerprint)
            counted[other].update(id(support.evidence) for support in groups[key])
    for key, finding in made.items():
        own = any(support.believed and id(support.evidence) not in counted[key] for support in groups[key])
        yield replace(finding, related=tuple(sorted(links[key])), gated=own)


def _subsumed(
    key: Key,
    made: dict[Key, Finding],
    catalogue: Catalogue,
) -> Iterator[Key]:
    obj, control, container, discriminator = key
    known = catalogue.controls.get(control)
    for lesser in known.subsumes if known else ():
        for other in ((obj, lesser, container, discriminator), (obj, lesser, container, ""), (obj, lesser, "", "")):
            if other in made:
                yield other
                break
