"""Where evidence belongs: a tool's hints resolved to objects, containers and fields, and those to lines of the user's files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile

from kguard.model import (
    Container,
    Evidence,
    FieldPath,
    KubeObject,
    Located,
    Location,
    ObjectHint,
    ObjectIndex,
    Precision,
    Span,
    StagePart,
)

Index = Callable[[KubeObject], ObjectIndex]


class Unplaceable(Exception):
    """Evidence about an object that was not staged for its tool: a bug in the adapter or a change in the tool."""


def locate_by_object(
    said: Iterable[tuple[StagePart, Sequence[Evidence]]],
    objects: Mapping[str, Mapping[str, KubeObject]],
    index: Index,
) -> Iterator[tuple[Located, ...]]:
    """Resolve what all tools said about all parts, one object after another; what was resolved is not held any longer.
    `objects`: by bundle and staged path.

    Raises Unplaceable as `locate` does.
    """
    waiting: defaultdict[tuple[str, str], list[tuple[StagePart, list[Evidence]]]] = defaultdict(list)
    for part, evidence in said:
        own: defaultdict[str, list[Evidence]] = defaultdict(list)
        for item in evidence:
            file = part.find(item.object)
            own[file.path if file else ""].append(item)
        for path, found in own.items():
            waiting[part.bundle, path].append((part, found))
    for key in sorted(waiting):
        yield tuple(
            item for part, found in waiting.pop(key) for item in locate(part, found, objects[part.bundle], index)
        )


def locate(
    part: StagePart, evidence: Iterable[Evidence], objects: Mapping[str, KubeObject], index: Index
) -> Iterator[Located]:
    """Resolve what a tool said about a part. `objects` are those of the part's bundle, by staged path.

    Raises Unplaceable for evidence about an object that is not in the part: nothing is dropped.
    """
    for item in evidence:
        obj = _object(part, item.object, objects)
        if obj is None:
            raise Unplaceable(
                f"{item.tool} reports {item.rule} on {item.object}, which is not among the objects that it was given"
            )
        through = _object(part, item.path_object, objects) if item.path_object else None
        path_object = through or obj
        related = tuple(found for hint in item.related if (found := _object(part, hint, objects)) is not None)
        container = container_of(item, index(obj)) if path_object is obj else None
        yield Located(
            evidence=item,
            object=obj,
            container=container,
            path=_path(item, index(path_object), container) if item.path_object is None or through else None,
            path_object=path_object,
            related=related,
        )


def _object(part: StagePart, hint: ObjectHint, objects: Mapping[str, KubeObject]) -> KubeObject | None:
    file = part.find(hint)
    return objects[file.path] if file else None


def container_of(evidence: Evidence, index: ObjectIndex) -> Container | None:
    """The container that a tool means: by its name, else by the field's path, else by the lines in the staged file; None where
    these leave more than one."""
    named = [item for item in index.containers if evidence.container in (item.name, item.given)]
    if evidence.container is not None and len(named) < 2:
        return next(iter(named), None)
    found = named or index.containers
    if evidence.path is not None:
        found = [item for item in found if evidence.path[: len(item.path)] == item.path]
    elif evidence.lines is not None:
        found = [item for item in found if _stands_in(evidence.lines, item, index)]
    else:
        return None
    return found[0] if len(found) == 1 else None


def _stands_in(lines: Span, container: Container, index: ObjectIndex) -> bool:
    """Whether lines are a container's own. Those of a pod on one line (minified JSON) are every field's alike."""
    own = index.staged_spans.get(container.path)
    return own is not None and own != index.staged_spans.get(index.pod or ()) and _inside(lines, own)


def _inside(lines: Span, span: Span) -> bool:
    return span.line <= lines.line and lines.end_line <= span.end_line


def _path(evidence: Evidence, index: ObjectIndex, container: Container | None) -> FieldPath | None:
    """The field that a tool names. For one that gives lines alone: the field with exactly these lines; where several have them
    (`{name: c, image: x}`) the one around them all, but nothing around the container."""
    if evidence.path is not None or evidence.lines is None:
        return evidence.path
    within = container.path if container else ()
    spans = index.staged_spans
    exact = [path for path, span in spans.items() if span == evidence.lines and path[: len(within)] == within]
    # what the first and the last in order start with, all between them do
    ends = zip(min(exact, default=()), max(exact, default=()), strict=False)
    return tuple(step for step, _ in takewhile(lambda pair: pair[0] == pair[1], ends)) or None


def location_of(obj: KubeObject, path: FieldPath | None, container: Container | None, index: Index) -> Location:
    """The lines of a field in the user's file, or of the nearest thing around it that stands there, with the precision said."""
    spans = index(obj).spans
    if path is not None and path and path in spans:
        return _location(obj, path, Precision.EXACT, index)
    parent = path or ()
    while parent and parent not in spans:
        parent = parent[:-1]
    if container is not None and parent[: len(container.path)] != container.path:
        parent = container.path
    if container is not None or _in_container(parent, index(obj)):
        return _location(obj, parent, Precision.CONTAINER, index)
    return _location(obj, parent, Precision.OBJECT, index)


def _in_container(path: FieldPath, index: ObjectIndex) -> bool:
    return any(path[: len(item.path)] == item.path for item in index.containers)


@lru_cache(maxsize=256)
def _location(obj: KubeObject, path: FieldPath, precision: Precision, index: Index) -> Location:
    """The place of what stands at `path`; of a rendered object, where that comes from. Kept for a while: all that tools say of fields
    that do not stand there shares the location of what is around them."""
    traced = index(obj).locations
    if traced is not None:
        return _lowered(traced[path], precision)
    span = index(obj).spans.get(path, obj.origin.span) if path else obj.origin.span
    return Location(path=obj.origin.path, line=span.line, end_line=span.end_line, precision=precision)


def _lowered(location: Location, precision: Precision) -> Location:
    """A traced place is as precise as what is asked for: the line of a parent is the container's or the object's."""
    lined = location.precision in (Precision.EXACT, Precision.CONTAINER, Precision.OBJECT)
    return replace(location, precision=precision) if lined else location
