"""Which finding a piece of evidence supports: its control, its object and container, and the place that it speaks of.

Every step looks at one piece of evidence and at the manifest, never at what other tools said, so that adding or leaving out a tool
moves no other finding. What a rule says of a place decides which of its controls it speaks of; the places of that control give the
discriminator and the line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from kguard.findings.catalogue import Catalogue, Control, RuleMapping
from kguard.findings.places import Place, places
from kguard.findings.surroundings import Surroundings
from kguard.model import Container, FieldPath, KubeObject, Located, ObjectIndex
from kguard.tooldata import skips_init_containers

Index = Callable[[KubeObject], ObjectIndex]
Key = tuple[tuple[str, str], str, str, str]
"""What makes a finding: object, control, container, discriminator; "" for none."""

ANCHOR_KINDS = frozenset(("ClusterRole", "PodDisruptionBudget", "Role"))
"""Kinds of objects to which evidence about others may lead."""


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
        chosen = self._chosen(mappings, item)
        if isinstance(chosen, Support):
            yield chosen
            return
        for mapping, route in chosen:
            yield from self._placed(mapping, route, item)

    def _chosen(self, mappings: Sequence[RuleMapping], item: Located) -> list[tuple[RuleMapping, _Route]] | Support:
        """The controls that evidence speaks of, and what it means of each; a finding of its own where it is of none of them."""
        main = mappings[0]
        routes = [(mapping, self._route(mapping, item, certain=True)) for mapping in mappings]
        chosen = [(mapping, route) for mapping, route in routes if isinstance(route, _Route) and route.places]
        if chosen:
            return chosen
        if main.secondary:
            return self._own(item, "the manifest does not show the fault that it can speak of besides its own")
        route = None if main.needs_place else self._believed(main, item)
        if isinstance(route, _Route):
            seated = self._seated(route)
            if seated is None:
                return self._own(item, "names none of the containers, and the manifest shows the fault in none")
            return [(main, seated)]
        reasons = (route for _, route in routes if isinstance(route, str))
        reason = next(reasons, "the manifest does not show the fault")
        return replace(self._own(item, f"unproven: {reason}"), believed=False)

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

    def _seated(self, route: _Route) -> _Route | None:
        """The same with a container, if it is of a fault of containers: the only one that there is, where it names none. None where it
        could be any of several: a control is never both on an object and on a container of it."""
        containers = self._index(route.object).containers
        if route.control.scope != "container" or route.container is not None or route.places or not containers:
            return route
        return replace(route, container=containers[0]) if len(containers) == 1 else None

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
        elif skips_init_containers(mapping.tool, mapping.rule):
            found = tuple(place for place in found if place.container is None or place.container.main)
        value = item.evidence.value if control.discriminated else None
        if value is not None:
            found = tuple(place for place in found if value in place.names or value in place.assigned)
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
    return sys.intern("; ".join(parts))  # a hundred thousand pieces of evidence share a few thousand reasons
