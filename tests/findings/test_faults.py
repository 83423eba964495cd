"""The merge over manifests with several faults each, whose findings were written down before the tools ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import native
import planted
import pytest

from kguard.findings.catalogue import load_catalogue
from kguard.findings.merge import merge
from kguard.inputs.objects import index
from kguard.model import FieldPath, Finding, KubeObject, Located, Location, ObjectRef, Precision, Span

Evidence = Callable[[str], tuple[Located, ...]]
Findings = Callable[[str], tuple[Finding, ...]]
CASES = [(folder, case) for folder in planted.FOLDERS for case in planted.cases(folder)]

COUNTS = [
    ("two containers with the same fault", "short-forms", "privileged-container", 2),
    ("all containers of a pod with the same fault", "cronjob", "privileged-container", 3),
    ("two ports of one container, and one of another", "ports", "host-port", 3),
    ("one port for two protocols", "ports-of-two-protocols", "host-port", 2),
    ("two capabilities of one container, one of them in another", "capabilities", "dangerous-capabilities", 3),
    ("an init container of the same name", "init-of-one-name", "read-only-root-filesystem", 2),
    ("a Deployment and a StatefulSet of one name", "deployment-and-statefulset", "root-user-id", 2),
    ("three kinds of one name in a List", "list-of-kinds", "privileged-container", 3),
    ("two ConfigMaps of one name, with three secrets and one", "configmaps-of-one-name", "secret-in-configmap", 4),
    ("a volume that two containers can write, and a second one", "shared-host-paths", "writable-host-path", 3),
    ("one role with two bindings and three subjects", "role-with-two-bindings", "rbac-secrets-access", 1),
    ("three fields of the pod and one of a container", "root-groups", "root-group-id", 1),
]


@pytest.fixture(scope="module")
def findings(evidence: Evidence) -> Findings:
    found: dict[str, tuple[Finding, ...]] = {}

    def merged(stage: str) -> tuple[Finding, ...]:
        if stage not in found:
            found[stage] = merge(evidence(stage), native.staged(stage).objects, load_catalogue(), index)
        return found[stage]

    return merged


@pytest.mark.parametrize(("folder", "case"), CASES, ids=[f"{folder}/{case}" for folder, case in CASES])
def test_each_fault_is_one_finding_at_its_line_with_exactly_its_tools(
    folder: str, case: str, findings: Findings
) -> None:
    wanted = planted.expected(folder, case)
    assert list(planted.differences(wanted, planted.of_case(case, findings(folder)))) == []


def test_forty_manifests_and_more_have_a_table_each() -> None:
    for folder in planted.FOLDERS:
        files = {path.stem for path in (native.FIXTURES / folder).iterdir() if path.suffix in (".yaml", ".json")}
        assert files == set(planted.cases(folder))
    assert len(CASES) >= 40


@pytest.mark.parametrize(("case", "control", "count"), [row[1:] for row in COUNTS], ids=[row[0] for row in COUNTS])
def test_faults_that_look_alike_are_counted_apart(case: str, control: str, count: int, findings: Findings) -> None:
    own = planted.of_case(case, findings("several-faults"))
    assert sum(finding.control == control for finding in own) == count


def test_a_binding_paired_with_a_role_of_another_namespace_is_unproven(findings: Findings) -> None:
    own = [item for item in findings("faults") if item.control in ("kubescape:C-0015", "kubescape:C-0186")]
    assert {(str(item.object), item.severity, item.gated) for item in own} == {
        ("RoleBinding harmless/first", "info", False)
    }
    assert all("another namespace (faults)" in item.evidence[0].why_merged for item in own)


# -- the same object in two bundles ---------------------------------------------------------------------------------------

TWICE = "deployment-and-statefulset"
IN_ONE_BUNDLE = {"image-tag-latest": 2, "root-user-id": 2, "run-as-non-root": 2, "host-port": 1}
"""By hand: a Deployment and a StatefulSet with the same faults, and a host port of the Deployment alone."""


@dataclass(frozen=True)
class Rendered:
    """A way back in which every line of the object is that of the base."""

    source: Hashable
    own_ref: ObjectRef | None = None

    def locations(self, value: Mapping[str, object], spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Location]:
        return {
            path: Location(path="base.yaml", line=span.line, end_line=span.end_line, precision=Precision.EXACT)
            for path, span in spans.items()
        }

    def removed_by(self, path: FieldPath, seen: Mapping[str, object]) -> Location | None:
        return None


def in_bundles(evidence: Sequence[Located], change: Callable[[KubeObject, str], KubeObject]) -> tuple[Finding, ...]:
    """The findings of one manifest that stands in two bundles: every tool says of both what it said of the one."""
    own = [item for item in evidence if Path(item.object.origin.path).stem == TWICE]
    objects: list[KubeObject] = []
    located: list[Located] = []
    for bundle in ("one", "two"):
        new = {item.object: change(replace(item.object, bundle=bundle), bundle) for item in own}
        objects += new.values()
        located += [replace(item, object=new[item.object], path_object=new[item.path_object]) for item in own]
    return merge(located, objects, load_catalogue(), index)


def counted(found: Sequence[Finding]) -> Counter[str]:
    return Counter(finding.control for finding in found if finding.control in IN_ONE_BUNDLE)


def test_the_same_object_in_two_bundles_has_its_faults_in_both(evidence: Evidence) -> None:
    found = in_bundles(
        evidence("several-faults"),
        lambda obj, bundle: replace(obj, origin=replace(obj.origin, path=f"{bundle}/db.yaml")),
    )
    assert counted(found) == {control: 2 * count for control, count in IN_ONE_BUNDLE.items()}
    for bundle in ("one", "two"):
        assert counted([finding for finding in found if finding.bundle == bundle]) == IN_ONE_BUNDLE
    assert len({finding.fingerprint for finding in found}) == len(found)
    assert {finding.places for finding in found} == {()}


def test_a_base_that_two_bundles_render_has_each_fault_once_at_two_places(evidence: Evidence) -> None:
    found = in_bundles(
        evidence("several-faults"), lambda obj, bundle: replace(obj, trace=Rendered(source=obj.ref), text_line=None)
    )
    assert counted(found) == IN_ONE_BUNDLE
    assert {(finding.bundle, *(place.bundle for place in finding.places)) for finding in found} == {("one", "two")}
