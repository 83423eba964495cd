"""Evidence merged into findings: one for every real fault, by object, container, control and discriminator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from kguard.findings.catalogue import Catalogue, Control, references
from kguard.findings.excerpt import excerpt_of
from kguard.findings.fingerprint import Identities
from kguard.findings.folding import Made, fold, statement_order
from kguard.findings.locate import location_of
from kguard.findings.mask import masked, secrets_of, without
from kguard.findings.places import places
from kguard.findings.routing import ANCHOR_KINDS, Key, Router, Support
from kguard.findings.severity import chosen, severity_of
from kguard.findings.surroundings import Surroundings
from kguard.model import (
    Excerpt,
    FieldPath,
    Finding,
    Fix,
    KubeObject,
    Located,
    Location,
    ObjectIndex,
    Severity,
    Statement,
)
from kguard.settings import SeverityRule

Index = Callable[[KubeObject], ObjectIndex]


def merge(
    located: Iterable[Located], objects: Sequence[KubeObject], catalogue: Catalogue, index: Index
) -> tuple[Finding, ...]:
    """All evidence in findings, in the order of the reports. The order of the evidence does not matter."""
    return merge_by_object([tuple(located)], objects, catalogue, index)


def merge_by_object(
    batches: Iterable[Sequence[Located]],
    objects: Sequence[KubeObject],
    catalogue: Catalogue,
    index: Index,
    known_path: Callable[[str], str] = str,
    severity_rule: SeverityRule = SeverityRule.CATALOGUE,
) -> tuple[Finding, ...]:
    """The same for evidence that comes in batches, that about one object in one batch: a large run has hundreds of thousands of
    pieces, and those of a batch are dropped as soon as its findings are made. `known_path`: what fingerprints call a file. The catalogue
    is the user's (`customised`)."""
    around = Surroundings(objects, index)
    maker = _Maker(catalogue, around, index, Identities(objects, known_path), secrets_of(objects), severity_rule)
    made = _made(batches, Router(catalogue, around, index), maker, catalogue)
    return tuple(sorted(fold(made, objects, index), key=_report_order))


def _made(batches: Iterable[Sequence[Located]], router: Router, maker: _Maker, catalogue: Catalogue) -> Iterator[Made]:
    anchored: dict[Key, list[Support]] = defaultdict(list)
    for batch in batches:
        groups = _grouped(batch, router)
        # evidence about other objects may lead to these too: they wait for all of it
        for key in [key for key, supports in groups.items() if supports[0].object.ref.kind in ANCHOR_KINDS]:
            anchored[key] += groups.pop(key)
        yield from _of_groups(groups, maker, catalogue)
    for supports in anchored.values():
        supports.sort(key=lambda support: _evidence_order(support.evidence))
    yield from _of_groups(anchored, maker, catalogue)


def _grouped(batch: Iterable[Located], router: Router) -> dict[Key, list[Support]]:
    groups: dict[Key, list[Support]] = defaultdict(list)
    for item in sorted(batch, key=_evidence_order):
        for support in router.supports(item):
            groups[support.key].append(support)
    return groups


def _of_groups(groups: Mapping[Key, Sequence[Support]], maker: _Maker, catalogue: Catalogue) -> Iterator[Made]:
    overlaps = _overlaps(groups, catalogue, maker)
    for key in sorted(groups):
        yield maker.made(groups[key], overlaps[key])


def _evidence_order(item: Located) -> tuple[object, ...]:
    """A total order on all that a report can show, starting with the object, so that the index works object by object."""
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
        evidence.title,
        evidence.native_severity or "",
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


class _Maker:
    """Turns the supports of one fault into its finding."""

    def __init__(
        self,
        catalogue: Catalogue,
        around: Surroundings,
        index: Index,
        identities: Identities,
        secrets: Mapping[str, Sequence[str]],
        severity_rule: SeverityRule,
    ) -> None:
        self._catalogue, self._around, self._index, self._identities = catalogue, around, index, identities
        self._secrets, self._severity_rule = secrets, severity_rule

    def fingerprint(self, first: Support) -> str:
        container = first.container.name if first.container else None
        return self._identities.fingerprint(first.control, first.object, container, first.discriminator)

    def made(self, supports: Sequence[Support], overlap: _Overlap) -> Made:
        first = supports[0]
        path = self._path(first, self._catalogue.controls.get(first.control))
        return Made(
            finding=self._finding(supports, overlap, path), object=first.object, container=first.container, path=path
        )

    def _finding(self, supports: Sequence[Support], overlap: _Overlap, path: FieldPath | None) -> Finding:
        first = supports[0]
        obj, container = first.object, first.container
        control = self._catalogue.controls.get(first.control)
        location = location_of(obj, path, container, self._index)
        believed = any(support.believed for support in supports)
        return Finding(
            fingerprint=self.fingerprint(first),
            control=first.control,
            title=control.title if control else first.evidence.evidence.title,
            severity=_severity(control, supports, self._severity_rule) if believed else Severity.INFO,
            category=control.category if control else "unmapped",
            gated=any(support.believed and id(support.evidence) not in overlap.counted for support in supports),
            bundle=obj.bundle,
            object=obj.ref,
            container=container.name if container else None,
            discriminator=first.discriminator,
            location=location,
            places=(),
            tools=_in_order(frozenset(support.evidence.evidence.tool for support in supports)),
            evidence=self._statements(supports),
            related=tuple(sorted(overlap.related)),
            remediation=control.remediation if control else "",
            fix=_fix(path) if path else None,
            references=references(control) if control else (),
            excerpt=self._excerpt(obj, location, path or (container.path if container else ())),
        )

    def _path(self, support: Support, control: Control | None) -> FieldPath | None:
        """The field: of the control's places, so that no tool moves it; of the evidence only where no other tool could."""
        if control is None or (not control.places and len(control.tools) == 1):
            return support.path
        if found := self._paths(support, control, certain=True):
            return found[0]
        found = self._paths(support, control, certain=False)
        # which of several fields that are no fault a tool means, only the tool knows
        return found[0] if len(found) == 1 or (found and support.discriminator is not None) else None

    def _paths(self, support: Support, control: Control, *, certain: bool) -> list[FieldPath]:
        """The fields of a fault's container or object with its discriminator, in manifest order."""
        name = support.container.name if support.container else None
        found = places(control, support.object, self._index(support.object), self._around, certain=certain)
        return [
            place.path
            for place in found
            if (name is None or (place.container is not None and place.container.name == name))
            and place.discriminator == support.discriminator
        ]

    def _excerpt(self, obj: KubeObject, location: Location, path: FieldPath) -> Excerpt | None:
        found, secrets = excerpt_of(obj, location, path, self._index), self._secrets.get(obj.bundle, ())
        if found is None or not any(word in line for word in secrets for line in found.lines):
            return found
        return replace(found, lines=tuple(without(secrets, line) for line in found.lines))

    def _statements(self, supports: Sequence[Support]) -> tuple[Statement, ...]:
        statements = {self._statement(support): None for support in supports}
        return tuple(sorted(statements, key=statement_order))

    def _statement(self, support: Support) -> Statement:
        item, evidence = support.evidence, support.evidence.evidence
        pointed = item.path is not None or item.container is not None
        named = item.object if item.object is not support.object else None
        message = without(self._secrets.get(item.object.bundle, ()), masked(evidence.message, item.object, self._index))
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


def _severity(control: Control | None, supports: Sequence[Support], rule: SeverityRule) -> Severity:
    """One word a tool: the worst that it said. A severity that the user set is not up to the tools."""
    words: dict[str, str | None] = {}
    for support in supports:
        evidence = support.evidence.evidence
        heard = words.setdefault(evidence.tool, evidence.native_severity)
        if severity_of(evidence.native_severity).rank < severity_of(heard).rank:
            words[evidence.tool] = evidence.native_severity
    fixed = control is not None and control.fixed_severity
    return chosen(SeverityRule.CATALOGUE if fixed else rule, control.severity if control else None, words.values())


@lru_cache(maxsize=256)
def _in_order(tools: frozenset[str]) -> tuple[str, ...]:
    """A set of tools as findings name it. There are few of them, and a large run has hundreds of thousands of findings that share them."""
    return tuple(sorted(tools))


@lru_cache(maxsize=4096)
def _fix(path: FieldPath) -> Fix:
    """The field to change; the same fault of many objects shares it."""
    return Fix(path=field_text(path), value=None)


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


@dataclass(slots=True)
class _Overlap:
    """The findings that say more or less about the same place as one does."""

    related: set[str] = field(default_factory=set)
    """Their fingerprints."""
    counted: set[int] = field(default_factory=set)
    """Ids of its evidence that counts for one that says more."""


def _overlaps(groups: Mapping[Key, Sequence[Support]], catalogue: Catalogue, maker: _Maker) -> dict[Key, _Overlap]:
    """Evidence that supports two findings of one place counts for the one that says more; a finding with no evidence of its own is
    outside the gate, so that no tool ever takes one out of it."""
    found: dict[Key, _Overlap] = defaultdict(_Overlap)
    for key, supports in groups.items():
        for other in _subsumed(key, groups, catalogue):
            found[key].related.add(maker.fingerprint(groups[other][0]))
            found[other].related.add(maker.fingerprint(supports[0]))
            found[other].counted.update(id(support.evidence) for support in supports)
    return found


def _subsumed(key: Key, groups: Mapping[Key, object], catalogue: Catalogue) -> Iterator[Key]:
    obj, control, container, discriminator = key
    known = catalogue.controls.get(control)
    for lesser in known.subsumes if known else ():
        for other in ((obj, lesser, container, discriminator), (obj, lesser, container, ""), (obj, lesser, "", "")):
            if other in groups:
                yield other
                break
