"""What holds of every merge: over made manifests with made evidence of the catalogue's real rules, and over what the tools really say."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby

import evidence
import native
import planted
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strategies import TOOLS, Said, numbered, said, speaking

from kguard.findings.catalogue import Catalogue, RuleMapping, load_catalogue
from kguard.findings.customise import customised
from kguard.findings.merge import merge, merge_by_object
from kguard.findings.places import places
from kguard.findings.surroundings import Surroundings
from kguard.inputs.objects import index
from kguard.model import Container, Finding, KubeObject, Located
from kguard.settings import ControlSettings, MergeSettings
from kguard.tooldata import skips_init_containers


@dataclass(frozen=True)
class Merge:
    """What was said, and the catalogue that it is merged by."""

    said: Said
    catalogue: Catalogue

    def of(self, located: Sequence[Located]) -> tuple[Finding, ...]:
        """The findings of some of the evidence."""
        return merge(located, self.said.objects, self.catalogue, index)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        return self.of(self.said.located)

    @cached_property
    def holding(self) -> dict[int, list[Finding]]:
        """The findings that each piece of evidence is in, by its number."""
        found: dict[int, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            for number in {int(item.title) for item in finding.evidence}:
                found[number].append(finding)
        return found

    def object(self, finding: Finding) -> KubeObject:
        """The one object that a finding is about."""
        (obj,) = (obj for obj in self.said.objects if _stands(finding, obj))
        return obj


def _stands(finding: Finding, obj: KubeObject) -> bool:
    line, span = finding.location.line or 0, obj.origin.span
    here = finding.bundle == obj.bundle and finding.location.path == obj.origin.path
    return here and span.line <= line <= span.end_line


# -- what must hold -------------------------------------------------------------------------------------------------------


def all_of_it(of: Merge, dice: random.Random) -> None:
    order_does_not_matter(of, dice)
    no_evidence_is_lost_or_strays(of)
    no_tool_moves_a_finding_of_another(of)
    no_finding_holds_two_objects_or_containers(of)
    each_control_has_one_kind_of_seat(of)


def order_does_not_matter(of: Merge, dice: random.Random) -> None:
    """Neither that of the evidence, and so of tools, nor that of the files, nor how it is cut into batches by object."""
    items, objects = list(of.said.located), list(of.said.objects)
    dice.shuffle(items)
    dice.shuffle(objects)
    assert merge(items, objects, of.catalogue, index) == of.findings
    own = [list(group) for _, group in groupby(sorted(items, key=_object), key=_object)]
    dice.shuffle(own)
    batches = [list(chain.from_iterable(own[start : start + 2])) for start in range(0, len(own), 2)]
    assert merge_by_object(batches, objects, of.catalogue, index) == of.findings


def _object(item: Located) -> tuple[str, str]:
    return item.object.key


def no_evidence_is_lost_or_strays(of: Merge) -> None:
    """Each piece is in a finding; in several only of its rule's controls, and of one control only at the places that the manifest has:
    at all of them if it names none."""
    around = Surroundings(of.said.objects, index)
    for number, item in enumerate(of.said.located):
        rule = f"{item.evidence.tool}:{item.evidence.rule}"
        own = {mapping.control: mapping for mapping in of.catalogue.mappings(item.evidence.tool, item.evidence.rule)}
        found: dict[str, list[Finding]] = defaultdict(list)
        for finding in of.holding.get(number, ()):
            found[finding.control].append(finding)
        assert found, f"{rule} is in no finding"
        assert found.keys() <= own.keys() or [*found] == [rule], f"{rule} is in {[*found]}"
        for control in found.keys() & own.keys():
            _is_at_its_places(item, own[control], found[control], of, around)


def _is_at_its_places(
    item: Located, mapping: RuleMapping, found: Sequence[Finding], of: Merge, around: Surroundings
) -> None:
    (obj,) = {of.object(finding) for finding in found}
    held = item.container.name if item.container is not None and obj is item.object else None
    control = of.catalogue.controls[mapping.control]

    def may_be_meant(container: Container) -> bool:
        return container.main or not skips_init_containers(mapping.tool, mapping.rule)

    def seats(*, certain: bool) -> set[tuple[str | None, str | None]]:
        return {
            (place.container.name if place.container and control.scope == "container" else None, place.discriminator)
            for place in places(control, obj, index(obj), around, certain=certain)
            if place.container is None or (place.container.name == held if held else may_be_meant(place.container))
        }

    taken = {(finding.container, finding.discriminator) for finding in found}
    assert len(taken) == len(found)
    assert len(taken) == 1 or taken <= seats(certain=True) | seats(certain=False)
    names_a_place = item.evidence.value is not None or item.path not in (None, item.container and item.container.path)
    if mapping.only is None and not names_a_place and seats(certain=True):
        assert taken == seats(certain=True)


def no_tool_moves_a_finding_of_another(of: Merge) -> None:
    for tool in TOOLS:
        rest = [item for item in of.said.located if item.evidence.tool != tool]
        before = {_face(finding) for finding in of.findings if set(finding.tools) - {tool}}
        assert {_face(finding) for finding in of.of(rest)} == before


def no_evidence_moves_that_of_another(of: Merge) -> None:
    """Each piece alone has the findings that it has among all others."""

    def seat(finding: Finding) -> tuple[object, ...]:
        known = of.catalogue.controls.get(finding.control)
        # of a control without places the tool itself names the field, and may name several
        return _face(finding) if known is not None and known.places else _face(finding)[:-2]

    alone = {seat(finding) for item in of.said.located for finding in of.of([item])}
    assert {seat(finding) for finding in of.findings} == alone


def _face(finding: Finding) -> tuple[object, ...]:
    return (
        finding.fingerprint,
        finding.control,
        finding.bundle,
        finding.object,
        finding.container,
        finding.discriminator,
        finding.location,
        finding.fix,
    )


def no_finding_holds_two_objects_or_containers(of: Merge) -> None:
    for number, findings in of.holding.items():
        item = of.said.located[number]
        for finding in findings:
            control = of.catalogue.controls.get(finding.control)
            if control is None or control.anchor is None:
                assert of.object(finding) is item.object
            if item.container is not None and control is not None and control.scope == "container":
                assert finding.container == item.container.name
            if control is None and finding.container is not None:
                assert item.container is not None
                assert finding.container == item.container.name


def each_control_has_one_kind_of_seat(of: Merge) -> None:
    """No control sits both on an object and on its container, or at one field both with and without a discriminator; no two findings
    have one fingerprint."""
    on_object: dict[tuple[object, ...], set[bool]] = defaultdict(set)
    named: dict[tuple[object, ...], set[bool]] = defaultdict(set)
    for finding in of.findings:
        if finding.control in of.catalogue.controls:
            obj = of.object(finding)
            on_object[finding.control, obj].add(finding.container is None)
            if finding.fix is not None:
                named[finding.control, obj, finding.container, finding.fix].add(finding.discriminator is None)
    assert [key for key, kinds in [*on_object.items(), *named.items()] if len(kinds) > 1] == []
    assert len({finding.fingerprint for finding in of.findings}) == len(of.findings)


# -- over made manifests --------------------------------------------------------------------------------------------------

# without shrinking, which takes minutes: the examples are small, and are printed as manifests and what was said of them
many = settings(
    max_examples=150,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@many
@given(case=said(), dice=st.randoms(use_true_random=False))
def test_made_evidence(case: Said, dice: random.Random) -> None:
    of = Merge(case, load_catalogue())
    all_of_it(of, dice)
    no_evidence_moves_that_of_another(of)


@st.composite
def changes(draw: st.DrawFn) -> MergeSettings:
    """Merges that are refused, and a control of the user's own."""
    rules = sorted({f"{item.tool}:{item.rule}" for _, found in speaking() for item in found})
    groups = draw(st.lists(st.lists(st.sampled_from(rules), min_size=1, max_size=9, unique=True), max_size=9))
    taken = draw(st.lists(st.sampled_from(rules), max_size=9, unique=True))
    own = {
        "own": ControlSettings(title="own", rules=tuple(taken), scope=draw(st.sampled_from(["object", "container"])))
    }
    return MergeSettings(never=tuple(map(tuple, groups)), controls=own if taken else {})


@many
@given(case=said(), wanted=changes(), dice=st.randoms(use_true_random=False))
def test_made_evidence_with_a_changed_catalogue(case: Said, wanted: MergeSettings, dice: random.Random) -> None:
    of = Merge(case, customised(load_catalogue(), wanted))
    all_of_it(of, dice)
    no_evidence_moves_that_of_another(of)


# -- over real evidence ---------------------------------------------------------------------------------------------------

CHANGED = MergeSettings(
    never=(
        ("trivy:KSV-0012", "polaris:runAsRootAllowed", "kube-linter:run-as-non-root"),
        ("kubescape:C-0046", "trivy:KSV-0106"),
        ("kubescape:C-0057",),
    ),
    controls={"own": ControlSettings(title="own", rules=("trivy:KSV-0014", "polaris:hostPortSet"), scope="container")},
)


@pytest.mark.parametrize(
    ("stage", "wanted"),
    [*((stage, MergeSettings()) for stage in ("shop", *planted.FOLDERS)), ("faults", CHANGED)],
    ids=["shop", *planted.FOLDERS, "faults, another catalogue"],
)
def test_real_evidence(stage: str, wanted: MergeSettings) -> None:
    case = numbered(native.staged(stage).objects, evidence.said(stage, TOOLS))
    all_of_it(Merge(case, customised(load_catalogue(), wanted)), random.Random(7))
