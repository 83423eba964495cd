"""The merge over manifests with several faults each, whose findings were written down before the tools ran."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable

import native
import pytest

from kguard.findings.catalogue import load_catalogue
from kguard.findings.merge import merge
from kguard.inputs.objects import index
from kguard.model import Finding, Located

CASES = sorted(path.stem for path in (native.FIXTURES / "faults").glob("*.tsv"))
Evidence = Callable[[str], tuple[Located, ...]]


def findings(located: tuple[Located, ...]) -> tuple[Finding, ...]:
    return merge(located, native.staged("faults").objects, load_catalogue(), index)


@pytest.mark.parametrize("case", CASES)
def test_each_planted_fault_is_one_finding_with_exactly_its_tools(case: str, evidence: Evidence) -> None:
    with (native.FIXTURES / "faults" / f"{case}.tsv").open() as file:
        expected = {
            (row["control"], row["object"], row["container"], row["discriminator"]): row["tools"]
            for row in csv.DictReader(file, delimiter="\t")
        }
    controls, objects = {key[0] for key in expected}, {key[1] for key in expected}
    found = {
        (item.control, str(item.object), item.container or "", item.discriminator or ""): " ".join(item.tools)
        for item in findings(evidence("faults"))
        if item.control in controls and str(item.object) in objects
    }
    assert found == expected


def test_a_binding_paired_with_a_role_of_another_namespace_is_unproven(evidence: Evidence) -> None:
    own = [item for item in findings(evidence("faults")) if item.control in ("kubescape:C-0015", "kubescape:C-0186")]
    assert {(str(item.object), item.severity, item.gated) for item in own} == {
        ("RoleBinding harmless/first", "info", False)
    }
    assert all("another namespace (faults)" in item.evidence[0].why_merged for item in own)


@pytest.mark.parametrize("tool", ["kube-linter", "trivy", "kubescape", "polaris"])
def test_leaving_a_tool_out_moves_no_other_finding(tool: str, evidence: Evidence) -> None:
    def faces(items: tuple[Finding, ...]) -> set[tuple[object, ...]]:
        return {(f.fingerprint, f.object, f.container, f.location) for f in items}

    whole = findings(evidence("faults"))
    rest = findings(tuple(item for item in evidence("faults") if item.evidence.tool != tool))
    assert faces(rest) == faces(tuple(f for f in whole if set(f.tools) - {tool}))


def test_the_order_of_evidence_does_not_matter(evidence: Evidence) -> None:
    items = list(evidence("faults"))
    random.Random(7).shuffle(items)
    assert findings(tuple(items)) == findings(evidence("faults"))


def test_no_evidence_is_lost(evidence: Evidence) -> None:
    said = {(item.evidence.tool, item.evidence.rule) for item in evidence("faults")}
    kept = {(item.tool, item.rule) for finding in findings(evidence("faults")) for item in finding.evidence}
    assert kept == said


def test_fingerprints_name_one_finding_each(evidence: Evidence) -> None:
    names = [finding.fingerprint for finding in findings(evidence("faults"))]
    assert len(names) == len(set(names))


def test_no_control_sits_on_an_object_and_on_its_container(evidence: Evidence) -> None:
    seats: dict[tuple[object, ...], set[bool]] = {}
    for finding in findings(evidence("faults")):
        seats.setdefault((finding.control, finding.object), set()).add(finding.container is None)
    assert [key for key, both in seats.items() if len(both) > 1 and ":" not in str(key[0])] == []
