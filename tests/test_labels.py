"""The label check: whose fault it is that nobody finds it, and what counts as a double."""

from __future__ import annotations

from dataclasses import replace

import labels
import made
import pytest
from labels import Fault, Scanned, Verdict

from kguard.findings.catalogue import load_catalogue
from kguard.model import Finding, Fix, KubeObject, ObjectRef, Origin, Span, ToolRun

FAULT = Fault(path="a/bad.yaml", rule="CKV_K8S_31", controls=("seccomp-profile",))
POD = KubeObject(
    bundle="a",
    staged="tree/bad--1.yaml",
    ref=made.POD,
    origin=Origin(path="a/bad.yaml", document=1, item=None, span=Span(1, 9)),
    text=b"",
    text_line=1,
)


def test_every_rule_of_the_labels_is_about_controls_that_there_are() -> None:
    known = labels.controls_of()
    assert len(known) == 119
    assert {name for names in known.values() for name in names} <= load_catalogue().controls.keys()


def verdict(tool: ToolRun, *findings: Finding, unread: frozenset[tuple[str, str]] = frozenset()) -> Verdict:
    run = Scanned(tools=(tool,), objects={FAULT.path: [POD]}, findings={FAULT.path: findings}, unread=unread)
    return labels.verdict(tool, FAULT, run)


def test_a_tool_catches_misses_has_no_rule_or_did_not_look() -> None:
    trivy = made.run("trivy", "KSV-0030")
    caught = made.finding(made.said("trivy", "KSV-0030"), control="seccomp-profile")
    assert verdict(trivy, caught) == Verdict.CAUGHT
    assert verdict(trivy, replace(caught, control="host-pid")) == Verdict.MISSED
    assert verdict(made.run("trivy", "KSV-0104")) == Verdict.PARTLY
    assert verdict(made.run("trivy", "KSV-0001")) == Verdict.NO_RULE
    assert verdict(made.run("kube-linter", "host-pid"), caught) == Verdict.NO_RULE
    assert verdict(trivy, unread=frozenset({("trivy", FAULT.path)})) == Verdict.UNREAD
    assert verdict(replace(trivy, out_of_scope=(made.POD.type,))) == Verdict.UNREAD


def seat(container: str | None = "web", name: str | None = None, field: str = "x") -> Finding:
    return made.finding(control="host-port", container=container, discriminator=name, fix=Fix(path=field, value=None))


@pytest.mark.parametrize(
    "found",
    [
        [seat(), seat()],
        [seat(name="80"), seat(field="y")],
        [seat(name="80"), seat(name="CAP_80")],
        [seat(), seat(container=None)],
    ],
    ids=["the same twice", "with and without a name", "two names of one field", "a container and its object"],
)
def test_doubles_are_seen(found: list[Finding]) -> None:
    assert len(list(labels.doubles(found))) == 1


def test_two_ports_two_containers_and_two_objects_are_no_doubles() -> None:
    other = replace(seat(), object=replace(made.POD, name="other"))
    found = [seat(name="80"), seat(name="81", field="y"), seat(container="side"), other]
    assert list(labels.doubles(found)) == []
    assert list(labels.doubles([seat(), replace(seat(), fingerprint="f" * 16 + "-00000000")])) == []


def test_what_was_said_of_another_container_or_object_is_seen() -> None:
    for said in (
        made.said("trivy", "KSV-0024", container="side"),
        made.said("trivy", "KSV-0024", object=ObjectRef(group="", version="v1", kind="Pod", namespace=None, name="x")),
    ):
        assert len(list(labels.strangers(made.finding(said, control="host-port", container="web")))) == 1
    own = made.said("trivy", "KSV-0024", container="web")
    assert list(labels.strangers(made.finding(own, control="host-port", container="web"))) == []
