"""The places of a control in a manifest: where its faults can sit, and what tells two of them apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from kguard.findings.catalogue import Control, PlaceSpec
from kguard.findings.predicates import PREDICATES, Spot, capability_name, secrets_assigned
from kguard.findings.surroundings import Surroundings, mapping
from kguard.model import Container, FieldPath, KubeObject, ObjectIndex

_STEP = re.compile(r'([^.\[\]"]+)|\[(\*)\]|\["([^"]+)"\]')
_EVERY_ITEM, _EVERY_KEY, _FLAG = "[*]", "*", "--"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place of a control."""

    path: FieldPath
    """It need not stand in the manifest: a missing field is a place too."""
    container: Container | None
    discriminator: str | None
    names: frozenset[str]
    """What a tool may call it by, and what the lists of rules go by: its discriminator, its value, for a mount the paths that it
    joins."""
    assigned: frozenset[str] = frozenset()
    """The secrets that a file in an entry of a ConfigMap sets: a tool may mean the entry by their names, too."""
    aliases: tuple[FieldPath, ...] = ()
    """Other fields that a tool may name for it: the container's own, and the pod's that it inherits."""

    def touches(self, path: FieldPath) -> bool:
        """Whether a path names this place, something in it or something around it."""
        return any(path[: len(own)] == own[: len(path)] for own in (self.path, *self.aliases))


def places(
    control: Control, obj: KubeObject, index: ObjectIndex, around: Surroundings, *, certain: bool = True
) -> tuple[Place, ...]:
    """Where faults of this control can sit in an object, in manifest order.

    `certain` False leaves the conditions on values and the predicates out: every spot of the pattern's shape that is set.
    """
    return around.once((control.id, obj, certain), lambda: _places(control, obj, index, around, certain=certain))


def _places(
    control: Control, obj: KubeObject, index: ObjectIndex, around: Surroundings, *, certain: bool
) -> tuple[Place, ...]:
    # two containers may inherit one field of their pod, and each has its own fault there; an RBAC rule is one fault
    found: dict[tuple[FieldPath, FieldPath | None, str | None], Place] = {}
    for spec in control.places:
        if spec.kinds is None or obj.ref.kind in spec.kinds:
            for place in _of_spec(spec, obj, index, around, certain=certain):
                container = place.container.path if place.container else None
                seat = place.path if spec.verbs is None else _rule(place.path)
                found.setdefault((seat, container, place.discriminator), place)
    return tuple(found.values())


def _of_spec(
    spec: PlaceSpec, obj: KubeObject, index: ObjectIndex, around: Surroundings, *, certain: bool
) -> Iterator[Place]:
    pod = _at(index.value, index.pod) if index.pod is not None else {}
    roots, steps = _roots(spec.at, index)
    for path, container in roots:
        base = _at(index.value, path)
        for found, parents, value in _expand(base, steps):
            spot = Spot(
                object=obj,
                root=index.value,
                pod=pod,
                container=base if container is not None else {},
                parent=parents[-1] if parents else None,
                holder=next((item for item in reversed(parents) if isinstance(item, dict)), {}),
                key=found[-1],
                value=value,
                around=around,
            )
            if _is_fault(spec, spot) if certain else value is not None:
                place = _place(spec, (*path, *found), container, spot, [base, *parents])
                yield _inherited(place, index, found) if spec.inherited else place


def _roots(at: str, index: ObjectIndex) -> tuple[list[tuple[FieldPath, Container | None]], list[str]]:
    """Where a pattern begins in an object, and its steps from there."""
    start, *steps = _steps(at)
    match start:
        case "container":
            return [(container.path, container) for container in index.containers], steps
        case "pod":
            return [(index.pod, None)] if index.pod is not None else [], steps
        case "pod-metadata":
            # they stand beside the pod spec; an object that should have one and has not is judged by its own
            return [(index.pod[:-1] if index.pod else (), None)], ["metadata", *steps]
        case _:
            return [((), None)], [start, *steps]


def _rule(path: FieldPath) -> FieldPath:
    """The RBAC rule of one of its verbs or resources."""
    return path[:-2]


def _inherited(place: Place, index: ObjectIndex, below: FieldPath) -> Place:
    """A container without an own value takes its pod's: that field is then the place, if it is set, and a name of it anyway."""
    pod = (*(index.pod or ()), *below)
    if place.path in index.spans:
        return place
    return replace(place, path=pod if pod in index.spans else place.path, aliases=(place.path, pod))


def _place(spec: PlaceSpec, path: FieldPath, container: Container | None, spot: Spot, parents: list[Any]) -> Place:
    discriminator = _discriminator(spec, spot, parents)
    names = {discriminator} if discriminator is not None else set()
    assigned = secrets_assigned(spot.value) if path[0] == "data" and isinstance(spot.value, str) else ()
    if path[0] != "data" and isinstance(spot.value, str | int) and not isinstance(spot.value, bool):
        names |= {str(spot.value), capability_name(spot.value)}
    if "volumeMounts" in path:
        names |= _names_of_mount(mapping(spot.parent), spot.pod)
    return Place(
        path=path,
        container=container,
        discriminator=discriminator,
        names=frozenset(names),
        assigned=frozenset(assigned),
        # a tool may name another verb or resource of the rule
        aliases=() if spec.verbs is None else (_rule(path),),
    )


def _names_of_mount(mount: Mapping[str, Any], pod: Mapping[str, Any]) -> set[str]:
    """Where it stands in the container, and the path of its volume on the node."""
    volumes = pod.get("volumes")
    own = [v for v in volumes if mapping(v).get("name") == mount.get("name")] if isinstance(volumes, list) else []
    return {str(path) for path in (mount.get("mountPath"), *(mapping(v, "hostPath").get("path") for v in own)) if path}


def _discriminator(spec: PlaceSpec, spot: Spot, parents: list[Any]) -> str | None:
    if spec.by is None:
        return None
    if spec.by == "value":
        text = capability_name(spot.value) if spec.capability or spec.other_capability else spot.value
    elif spec.by == "key":
        text = spot.key
    else:
        up = spec.by.count("../")
        holder = parents[-up] if up else spot.value
        text = mapping(holder).get(spec.by.replace("../", ""))
    return None if text is None else f"{spec.prefix}{text}"


def _is_fault(spec: PlaceSpec, spot: Spot) -> bool:
    return _value_is_fault(spec, spot) and (spec.when is None or PREDICATES[spec.when](spot))


def _value_is_fault(spec: PlaceSpec, spot: Spot) -> bool:
    value = spot.value
    if spec.always:
        return True
    if value is None:
        return spec.unset
    if not spec.has_condition:
        return not spec.unset
    return all(
        (
            spec.is_ is None or any(_same(value, wanted) for wanted in spec.is_),
            spec.isnt is None or not any(_same(value, wanted) for wanted in spec.isnt),
            spec.matches is None or bool(re.search(spec.matches, str(value))),
            spec.below is None or (isinstance(value, int) and value < spec.below),
            spec.capability is None or capability_name(value) in spec.capability,
            spec.other_capability is None or capability_name(value) not in spec.other_capability,
            spec.verbs is None or _grants(spot, spec.verbs, spec.resources or ()),
        )
    )


def _same(value: Any, wanted: Any) -> bool:
    """True and 1 are not the same."""
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _grants(spot: Spot, verbs: tuple[str, ...], resources: tuple[str, ...]) -> bool:
    """Whether a rule grants it, and the spot is a verb or a resource that does."""

    def has(field: str, wanted: tuple[str, ...]) -> bool:
        given = spot.holder.get(field)
        return isinstance(given, list) and any(item in ("*", *wanted) for item in given)

    return spot.value in ("*", *verbs, *resources) and has("verbs", verbs) and has("resources", resources)


def _expand(base: Any, steps: list[str]) -> Iterator[tuple[FieldPath, list[Any], Any]]:
    """(path below base, the values passed on the way, value) of every match; a field that is not there has the value None."""
    found: list[tuple[FieldPath, list[Any], Any]] = [((), [], base)]
    for number, step in enumerate(steps):
        found = list(_step_into(found, step, last=number == len(steps) - 1))
    return iter(found)


def _step_into(
    found: list[tuple[FieldPath, list[Any], Any]], step: str, *, last: bool
) -> Iterator[tuple[FieldPath, list[Any], Any]]:
    for path, parents, value in found:
        if step == _EVERY_ITEM:
            for number, item in enumerate(value) if isinstance(value, list) else ():
                yield (*path, number), [*parents, value], item
        elif step == _EVERY_KEY:
            for key, item in value.items() if isinstance(value, dict) else ():
                yield (*path, key), [*parents, value], item
        elif step.startswith(_FLAG):
            given = (
                [number for number, item in enumerate(value) if _sets(item, step)] if isinstance(value, list) else []
            )
            # the last of a repeated flag counts
            yield (*path, given[-1] if given else step), [*parents, value], value[given[-1]] if given else None
        else:
            yield (*path, step), [*parents, value], value.get(step) if isinstance(value, dict) else None


def _sets(argument: Any, flag: str) -> bool:
    return isinstance(argument, str) and argument.partition("=")[0] == flag


@lru_cache(maxsize=512)
def _steps(pattern: str) -> tuple[str, ...]:
    return tuple(key or (_EVERY_ITEM if item else quoted) for key, item, quoted in _STEP.findall(pattern))


def _at(value: Any, path: FieldPath) -> Any:
    for step in path:
        value = value[step]
    return value
