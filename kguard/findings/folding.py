"""One fault of one source that several bundles render is one finding, with its other seats and the bundles that do without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from kguard.findings.fingerprint import one_in_each_bundle
from kguard.model import (
    Absence,
    Container,
    FieldPath,
    Finding,
    KubeObject,
    Location,
    ObjectIndex,
    Place,
    Statement,
)

Index = Callable[[KubeObject], ObjectIndex]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A finding, and what it is about."""

    finding: Finding
    object: KubeObject
    container: Container | None
    path: FieldPath | None


def fold(made: Iterable[Made], objects: Sequence[KubeObject], index: Index) -> Iterator[Finding]:
    """The findings, those of one source in several bundles as one, at the first bundle that has the fault."""
    siblings = one_in_each_bundle(objects)
    seats: dict[tuple[Hashable, ...], list[Made]] = defaultdict(list)
    for item in made:
        source = item.object.trace.source if item.object.trace is not None else None
        if len(siblings.get(source, ())) < 2:
            yield item.finding
        else:
            finding = item.finding
            seats[source, finding.control, finding.container, finding.discriminator].append(item)
    for (source, *_), found in seats.items():
        yield _folded(sorted(found, key=lambda item: item.object.key), siblings[source], index)


def statement_order(said: Statement) -> tuple[str, ...]:
    """A total order on what reports show of it."""
    place = (said.container or "", str(said.location), said.why_merged)
    return (said.tool, said.rule, said.message, *place, said.title, said.native_severity or "", said.url or "")


def _folded(seats: Sequence[Made], siblings: Sequence[KubeObject], index: Index) -> Finding:
    first = seats[0].finding
    taken = {item.object.key for item in seats}
    others = sorted((obj for obj in siblings if obj.key not in taken), key=lambda obj: obj.key)
    return replace(
        first,
        places=tuple(
            Place(bundle=item.finding.bundle, object=item.finding.object, location=item.finding.location)
            for item in seats[1:]
        ),
        absent=tuple(Absence(bundle=obj.bundle, object=obj.ref, by=_cure(seats[0], obj, index)) for obj in others),
        severity=min((item.finding.severity for item in seats), key=lambda severity: severity.rank),
        gated=any(item.finding.gated for item in seats),
        tools=tuple(sorted({tool for item in seats for tool in item.finding.tools})),
        evidence=tuple(sorted({s: None for item in seats for s in item.finding.evidence}, key=statement_order)),
        related=tuple(sorted({name for item in seats for name in item.finding.related})),
    )


def _cure(faulty: Made, healthy: KubeObject, index: Index) -> Location | None:
    """Where a bundle without the fault says otherwise about its field, or about what holds the field."""
    path = faulty.path or (faulty.container.path if faulty.container else None)
    if path is None or healthy.trace is None:
        return None
    return healthy.trace.removed_by(path, index(faulty.object).value)
