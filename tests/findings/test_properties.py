"""What holds of every merge: over made manifests with made evidence of the catalogue's real rules, and over what the tools really say."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, groupby

import native
import planted
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strategies import TOOLS, Said, numbered, said, speaking

from kguard.findings.catalogue import Catalogue, Control, RuleMapping, load_catalogue
from kguard.findings.customise import customised
from kguard.findings.merge import merge, merge_by_object
from kguard.findings.places import places
from kguard.findings.surroundings import Surroundings
from kguard.inputs.objects import index
from kguard.model import Finding, KubeObject, Located
from kguard.settings import ControlSettings, MergeSettings

Evidences = Callable[[str], tuple[Located, ...]]


def merged(case: Said, catalogue: Catalogue) -> tuple[Finding, ...]:
    return merge(case.located, case.objects, catalogue, index)


def holding(findings: Sequence[Finding]) -> Mapping[int, Sequence[Finding]]:
    """The findings that each piece of evidence is in, by its number."""
    found: dict[int, list[Finding]] = defaultdict(list)
    for finding in findings:
        for number in {int(item.title) for item in finding.evidence}:
            found[number].append(finding)
    return found


# -- what must hold -------------------------------------------------------------------------------------------------------


def order_does_not_matter(case: Said, catalogue: Catalogue, dice: random.Random) -> None:
    """Neither that of the evidence, and so of tools, nor that of the files, nor how it is cut into batches by object."""
    whole = merged(case, catalogue)
    items, objects = list(case.located), list(case.objects)
    dice.shuffle(items)
    dice.shuffle(objects)
    assert merge(items, objects, catalogue, index) == whole
    own = [list(group) for _, group in groupby(sorted(items, key=_object), key=_object)]
    dice.shuffle(own)
    batches = [own[start : start + 2] for start in range(0, len(own), 2)]
    assert merge_by_object([list(chain.from_iterable(batch)) for batch in batches], objects, catalogue, index) == whole


def _object(item: Located) -> tuple[str, str]:
    return item.object.key


def no_evidence_is_lost_or_strays(case: Said, catalogue: Catalogue) -> None:
    """Each piece is in a finding; in several only of its rule's controls, and of one control only at the places that the manifest has:
    at all of them if it names none."""
    around = Surroundings(case.objects, index)
    found_in = holding(merged(case, catalogue))
    for number, item in enumerate(case.located):
        rule = f"{item.evidence.tool}:{item.evidence.rule}"
        own = {mapping.control: mapping for mapping in catalogue.mappings(item.evidence.tool, item.evidence.rule)}
        by_control: dict[str, list[Finding]] = defaultdict(list)
        for finding in found_in.get(number, ()):
            by_control[finding.control].append(finding)
        assert by_control, f"{rule} is in no finding"
        assert by_control.keys() <= own.keys() or [*by_control] == [rule], f"{rule} is in {[*by_control]}"
        for control, found in by_control.items():
            if control in own:
                _at_its_places(item, own[control], found, catalogue, case, around)


def _at_its_places(
    item: Located,
    mapping: RuleMapping,
    found: Sequence[Finding],
    catalogue: Catalogue,
    case: Said,
    around: Surroundings,
) -> None:
    (obj,) = {
        obj for obj in case.objects for finding in found if obj.bundle == finding.bundle and _stands(finding, obj)
    }
    control = catalogue.controls[mapping.control]
    seats = {(finding.container, finding.discriminator) for finding in found}
    assert len(seats) == len(found)
    certain = _seats(control, item, obj, around, certain=True)
    assert len(seats) == 1 or seats <= certain | _seats(control, item, obj, around, certain=False)
    names_a_place = item.evidence.value is not None or item.path not in (None, item.container and item.container.path)
    if certain and mapping.only is None and not names_a_place:
        assert seats == certain


def _seats(
    control: Control, item: Located, obj: KubeObject, around: Surroundings, *, certain: bool
) -> set[tuple[str | None, str | None]]:
    """Where faults of a control can sit in an object, containers and discriminators; in the evidence's container if it names one."""
    held = item.container.name if item.container is not None and obj is item.object else None
    return {
        (place.container.name if place.container and control.scope == "container" else None, place.discriminator)
        for place in places(control, obj, index(obj), around, certain=certain)
        if held is None or place.container is None or place.container.name == held
    }


def _stands(finding: Finding, obj: KubeObject) -> bool:
    line, span = finding.location.line, obj.origin.span
    return finding.location.path == obj.origin.path and line is not None and span.line <= line <= span.end_line


def no_tool_moves_a_finding_of_another(case: Said, catalogue: Catalogue) -> None:
    whole = merged(case, catalogue)
    for tool in TOOLS:
        rest = [item for item in case.located if item.evidence.tool != tool]
        before = {_face(finding) for finding in whole if set(finding.tools) - {tool}}
        assert {_face(finding) for finding in merge(rest, case.objects, catalogue, index)} == before


def _seat(finding: Finding, catalogue: Catalogue) -> tuple[object, ...]:
    """What no further word of the same tool changes, either: of a control without places, the tool itself names the field."""
    known = catalogue.controls.get(finding.control)
    return _face(finding) if known is not None and known.places else _face(finding)[:-2]


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


def no_evidence_moves_that_of_another(case: Said, catalogue: Catalogue) -> None:
    """Each piece alone has the findings that it has among all others."""
    alone = {_seat(f, catalogue) for item in case.located for f in merge([item], case.objects, catalogue, index)}
    assert {_seat(finding, catalogue) for finding in merged(case, catalogue)} == alone


def no_finding_holds_two_objects_or_containers(case: Said, catalogue: Catalogue) -> None:
    for number, findings in holding(merged(case, catalogue)).items():
        item = case.located[number]
        for finding in findings:
            control = catalogue.controls.get(finding.control)
            if control is None or control.anchor is None:
                assert (finding.bundle, finding.object) == (item.object.bundle, item.object.ref)
                assert _stands(finding, item.object)
            if item.container is not None and (control is None or control.scope == "container"):
                summary = control is None and finding.container is None
                assert finding.container == item.container.name or summary


def each_control_has_one_kind_of_seat(case: Said, catalogue: Catalogue) -> None:
    """No control sits both on an object and on its container, or at one field both with and without a discriminator; no two findings
    have one fingerprint."""
    findings = merged(case, catalogue)
    on_object: dict[tuple[object, ...], set[bool]] = defaultdict(set)
    named: dict[tuple[object, ...], set[bool]] = defaultdict(set)
    for finding in findings:
        (obj,) = [obj for obj in case.objects if obj.bundle == finding.bundle and _stands(finding, obj)]
        if finding.control in catalogue.controls:
            on_object[finding.control, obj].add(finding.container is None)
            if finding.fix is not None:
                named[finding.control, obj, finding.container, finding.fix].add(finding.discriminator is None)
    assert [key for key, kinds in [*on_object.items(), *named.items()] if len(kinds) > 1] == []
    assert len({finding.fingerprint for finding in findings}) == len(findings)


def all_of_it(case: Said, catalogue: Catalogue, dice: random.Random) -> None:
    order_does_not_matter(case, catalogue, dice)
    no_evidence_is_lost_or_strays(case, catalogue)
    no_tool_moves_a_finding_of_another(case, catalogue)
    no_finding_holds_two_objects_or_containers(case, catalogue)
    each_control_has_one_kind_of_seat(case, catalogue)


# -- over made manifests --------------------------------------------------------------------------------------------------

# without shrinking, which takes minutes: the examples are small, and are printed as manifests and what was said of them
few_examples = settings(
    max_examples=600,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@few_examples
@given(case=said(), dice=st.randoms(use_true_random=False))
def test_made_evidence(case: Said, dice: random.Random) -> None:
    all_of_it(case, load_catalogue(), dice)
    no_evidence_moves_that_of_another(case, load_catalogue())


@st.composite
def changes(draw: st.DrawFn) -> MergeSettings:
    """Merges that are refused, and controls of the user's own."""
    rules = sorted({f"{item.tool}:{item.rule}" for _, found in speaking() for item in found})
    groups = draw(st.lists(st.lists(st.sampled_from(rules), min_size=1, max_size=4, unique=True), max_size=4))
    taken = draw(st.lists(st.sampled_from(rules), max_size=4, unique=True))
    own = {
        "own": ControlSettings(title="own", rules=tuple(taken), scope=draw(st.sampled_from(["object", "container"])))
    }
    return MergeSettings(never=tuple(map(tuple, groups)), controls=own if taken else {})


@few_examples
@given(case=said(), wanted=changes(), dice=st.randoms(use_true_random=False))
def test_made_evidence_with_a_changed_catalogue(case: Said, wanted: MergeSettings, dice: random.Random) -> None:
    catalogue = customised(load_catalogue(), wanted)
    all_of_it(case, catalogue, dice)
    no_evidence_moves_that_of_another(case, catalogue)


# -- over real evidence ---------------------------------------------------------------------------------------------------

REFUSED = MergeSettings(never=(("trivy:KSV-0012", "polaris:runAsRootAllowed"), ("kubescape:C-0057",)))


@pytest.mark.parametrize("stage", [*planted.FOLDERS, "shop"])
@pytest.mark.parametrize("wanted", [MergeSettings(), REFUSED], ids=["the catalogue", "merges refused"])
def test_real_evidence(stage: str, wanted: MergeSettings, evidence: Evidences) -> None:
    case = numbered(native.staged(stage).objects, evidence(stage))
    all_of_it(case, customised(load_catalogue(), wanted), random.Random(7))
