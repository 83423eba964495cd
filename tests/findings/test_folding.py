"""One base in several bundles: one finding with its seats, and what cures it elsewhere."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kguard.findings.catalogue import load_catalogue
from kguard.findings.locate import locate
from kguard.findings.merge import merge
from kguard.inputs.objects import index, read_manifest
from kguard.model import (
    Absence,
    Evidence,
    FieldPath,
    Finding,
    KubeObject,
    Located,
    Location,
    ObjectHint,
    ObjectRef,
    Precision,
    Span,
    StagedFile,
    StagePart,
)

PATH: FieldPath = ("spec", "containers", 0, "securityContext", "privileged")
PROD = ObjectRef(group="", version="v1", kind="Pod", namespace="prod", name="p")
CURE = Location(path="prod/patch.yaml", line=4, end_line=4, precision=Precision.EXACT)


@dataclass(frozen=True)
class Traced:
    """A way back in which one field comes from a patch, and all others from the base."""

    source: Hashable
    patched: Location | None = None
    removed: Location | None = None

    own_ref: ObjectRef | None = None

    def locations(self, value: Mapping[str, Any], spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Location]:
        base = {
            path: Location(path="base.yaml", line=span.line, end_line=span.end_line, precision=Precision.EXACT)
            for path, span in spans.items()
        }
        return {**base, PATH: self.patched} if self.patched else base

    def removed_by(self, path: FieldPath, seen: Mapping[str, Any]) -> Location | None:
        return (self.patched or self.removed) if path == PATH else None


def pod(bundle: str, trace: Traced, context: str = "{privileged: true}", namespace: str = "") -> KubeObject:
    text = f"""apiVersion: v1
kind: Pod
metadata: {{name: p, namespace: {namespace or bundle}}}
spec:
  containers:
    - name: c
      securityContext: {context}
"""
    (obj,) = read_manifest("base.yaml", text.encode(), bundle).objects
    return replace(obj, staged="tree/rendered--1.yaml", trace=trace, text_line=None)


def findings(*objects: KubeObject, faulty: tuple[str, ...]) -> dict[str, Finding]:
    located: list[Located] = []
    for obj in objects:
        if obj.bundle in faulty:
            said = Evidence(
                tool="trivy",
                rule="KSV-0017",
                title="t",
                native_severity="HIGH",
                message="Container 'c' of Pod 'p' should set privileged to false",
                url=None,
                object=ObjectHint(staged=obj.staged),
                container="c",
            )
            file = StagedFile(path=obj.staged, ref=obj.ref)
            part = StagePart(id="1", bundle=obj.bundle, root=Path("/stage"), files=(file,))
            located += locate(part, [said], {obj.staged: obj}, index)
    return {item.bundle: item for item in merge(located, objects, load_catalogue(), index)}


def test_one_fault_of_a_base_in_three_bundles_is_one_finding_with_its_seats() -> None:
    objects = [pod(bundle, Traced("base")) for bundle in ("dev", "prod", "stage")]
    (found,) = findings(*objects, faulty=("dev", "prod", "stage")).values()
    assert (found.bundle, [place.bundle for place in found.places]) == ("dev", ["prod", "stage"])
    assert [place.object.namespace for place in found.places] == ["prod", "stage"]
    assert (found.location.path, found.location.line, found.absent) == ("base.yaml", 7, ())


def test_a_fault_that_a_patch_cures_is_not_reported_there_and_the_patch_is_named() -> None:
    cured = pod("prod", Traced("base", patched=CURE), "{privileged: false}")
    (found,) = findings(pod("dev", Traced("base")), cured, faulty=("dev",)).values()
    assert (found.places, found.absent) == ((), (Absence(bundle="prod", object=PROD, by=CURE),))


def test_a_fault_whose_field_a_patch_takes_away_names_the_patch() -> None:
    cured = pod("prod", Traced("base", removed=CURE), "{}")
    (found,) = findings(pod("dev", Traced("base")), cured, faulty=("dev",)).values()
    assert found.absent == (Absence(bundle="prod", object=PROD, by=CURE),)


def test_a_bundle_that_says_the_same_and_is_silent_is_no_cure() -> None:
    (found,) = findings(pod("dev", Traced("base")), pod("prod", Traced("base")), faulty=("dev",)).values()
    assert found.absent == (Absence(bundle="prod", object=PROD, by=None),)


def test_the_fingerprint_is_the_same_whichever_bundle_has_the_fault() -> None:
    names = ("dev", "prod", "stage")
    prints = {
        faulty: next(iter(findings(*[pod(b, Traced("base")) for b in names], faulty=faulty).values())).fingerprint
        for faulty in (names, ("prod",), ("dev", "stage"))
    }
    assert len(set(prints.values())) == 1


def test_a_source_that_one_bundle_renders_twice_is_not_folded() -> None:
    twice = [pod("all", Traced("base"), namespace=name) for name in ("dev", "prod")]
    objects = [replace(obj, staged=f"tree/rendered--{number}.yaml") for number, obj in enumerate(twice)]
    other = pod("stage", Traced("base"))
    found = list(findings(*objects, other, faulty=("all", "stage")).values())
    assert all(item.places == () and item.absent == () for item in found)
    assert len({item.fingerprint for item in found}) == len(found)


def test_objects_of_other_sources_are_never_folded() -> None:
    objects = [pod(bundle, Traced(bundle), namespace="n") for bundle in ("dev", "prod")]
    assert set(findings(*objects, faulty=("dev", "prod"))) == {"dev", "prod"}


def test_a_fingerprint_is_of_the_sources_own_name_so_that_a_new_overlay_changes_none() -> None:
    own = ObjectRef(group="", version="v1", kind="Pod", namespace=None, name="p")
    few = [pod(bundle, Traced("base", own_ref=own)) for bundle in ("dev", "prod")]
    more = [pod("alpha", Traced("base", own_ref=own)), *few]
    (one,) = findings(*few, faulty=("dev", "prod")).values()
    (other,) = findings(*more, faulty=("alpha", "dev", "prod")).values()
    alone = findings(few[1], faulty=("prod",))["prod"]
    assert one.fingerprint == other.fingerprint == alone.fingerprint
