"""kube-score's output and traps; the real binary runs in every CI run."""

from __future__ import annotations

import json
import subprocess
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from kguard.errors import ParseError, ToolFailure
from kguard.model import (
    Command,
    Evidence,
    Located,
    ObjectHint,
    ObjectRef,
    Outcome,
    Parsed,
    RunState,
    StagedFile,
    StagePart,
    ToolRun,
)
from kguard.scan import gather
from kguard.settings import Profile, Settings

kube_score = import_module("kguard.adapters.kube_score")
NOBODY = ObjectRef(group="", version="v1", kind="Pod", namespace=None, name="a")
PART = StagePart(id="1", bundle="b", root=Path("/stage"), files=(StagedFile(path="tree/a.yaml", ref=NOBODY),))


def outcome(stdout: bytes = b"", stderr: bytes = b"", code: int = 0) -> Outcome:
    return Outcome(command=Command(argv=("kube-score",), part=PART), exit_code=code, stdout=stdout, stderr=stderr)


def parse(*checks: dict[str, Any], file: str = "/stage/tree/a.yaml", code: int = 0) -> Parsed:
    base = {"grade": 5, "skipped": False, "comments": None}
    scores = [{**base, **check, "check": {"id": check["id"], "name": "A check", "comment": ""}} for check in checks]
    one = {
        "object_name": "Pod/v1/n/a",
        "type_meta": {"kind": "Pod", "apiVersion": "v1"},
        "object_meta": {"name": "a", "namespace": "n", "creationTimestamp": None},
        "checks": scores,
        "file_name": file,
        "file_row": 1,
    }
    parsed: Parsed = kube_score.parse(outcome(json.dumps([one]).encode(), code=code))
    return parsed


def comment(path: str = "", summary: str = "Summary", description: str = "") -> dict[str, str]:
    return {"path": path, "summary": summary, "description": description}


def one(rule: str, *comments: dict[str, str], **fields: Any) -> Evidence:
    (evidence,) = parse({"id": rule, "comments": list(comments), **fields}).evidence
    return evidence


HINT = ObjectHint(staged="tree/a.yaml", kind="Pod", namespace="n", name="a")


def test_a_comment_is_a_fault_of_the_container_that_it_names() -> None:
    found = one("container-image-tag", comment("c1", "Image with latest tag", "Use a fixed tag"))
    assert (found.rule, found.container, found.object) == ("container-image-tag", "c1", HINT)
    assert (found.message, found.title) == ("Image with latest tag: Use a fixed tag", "A check")


def test_every_comment_is_a_record_and_a_check_without_one_is_too() -> None:
    parsed = parse({"id": "container-resources", "comments": [comment("a"), comment("b")]}, {"id": "service-type"})
    assert [(item.rule, item.container) for item in parsed.evidence] == [
        ("container-resources", "a"),
        ("container-resources", "b"),
        ("service-type", None),
    ]
    assert parsed.records == 3


@pytest.mark.parametrize(
    ("grade", "word"),
    [(5, "grade 5 (warning)"), (7, "grade 7 (almost ok)"), (3, "grade 3")],
)
def test_the_grade_is_the_severity(grade: int, word: str) -> None:
    assert one("pod-probes", comment(), grade=grade).native_severity == word


def test_what_passed_or_was_skipped_is_no_evidence_and_was_seen() -> None:
    parsed = parse({"id": "a", "grade": 10, "comments": [comment()]}, {"id": "b", "grade": 1, "skipped": True})
    assert (parsed.evidence, parsed.seen) == ((), frozenset((HINT,)))


def test_what_a_message_quotes_tells_faults_of_one_rule_apart() -> None:
    twice = comment("c", "Duplication", "Container environment variable key 'A' is duplicated")
    assert one("environment-variable-key-duplication", twice).value == "A"
    lost = comment("/shop", "No service match was found", "No service with name till and port named http was found")
    found = one("ingress-targets-service", lost)
    assert (found.value, found.container) == ("till", None)
    assert one("label-values", comment("team")).path == ("metadata", "labels", "team")


def test_a_comment_in_the_manifest_takes_the_place_of_the_file_and_names_no_other_object() -> None:
    (evidence,) = parse({"id": "service-type"}, file="tree/other.yaml").evidence
    assert evidence.object == ObjectHint(staged=None, kind="Pod", namespace="n", name="a")


def test_nothing_that_it_knows() -> None:
    assert kube_score.parse(outcome(b"null")).seen == frozenset()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (outcome(stderr=b"Failed to score files: open /stage/tree/a.yaml: no\n", code=1), ToolFailure, "^open tree/a"),
        (outcome(stderr=b"panic: oh\n", code=2), ToolFailure, "panic: oh"),
        (outcome(code=1), ToolFailure, "ended with 1 and said nothing"),
        (outcome(b"[{", code=1), ParseError, "truncated"),
        (outcome(b'{"Reports": null}'), ParseError, "Expected `array | null`"),
        (outcome(b"null", code=1), ParseError, "ended with 1, and what it printed means 0"),
    ],
)
def test_failures(given: Outcome, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        kube_score.parse(given)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("kube-score version: 1.20.0, commit: 1, built: x", "1.20.0"),
        ("kube-score version: development, commit: N/A", "None"),
    ],
)
def test_versions(text: str, version: str) -> None:
    assert str(kube_score.read_version(outcome(text.encode()))) == version


def test_another_program_is_not_taken_for_it() -> None:
    with pytest.raises(ParseError, match="kube-scorer"):
        kube_score.read_version(outcome(b"kube-scorer 1"))


# -- the real tool ----------------------------------------------------------------------------------------------------


def test_it_has_the_checks_that_are_called_its_own() -> None:
    listed = subprocess.run(["kube-score", "list"], capture_output=True, text=True, check=True).stdout.splitlines()
    words = [(line.split(",")[0], line.rsplit(",", 1)[1]) for line in listed]
    default = {check for check, when in words if when == "default"}
    for profile, expected in ((Profile.DEFAULT, default), (Profile.ALL, {check for check, _ in words})):
        assert kube_score.rules(Settings(profile=profile), None).ids == expected


def scanned(folder: Path, **settings: Any) -> tuple[ToolRun, list[Located]]:
    gathered = gather((str(folder),), Settings(tools=("kube-score",), **settings))
    (run,) = [run for run in gathered.tools if run.name == "kube-score"]
    return run, list(chain.from_iterable(gathered.evidence))


POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop}}
spec:
  initContainers: [{{name: init, image: "x:1", imagePullPolicy: Always}}]
  containers:
    - {{name: good, image: "x:1", imagePullPolicy: Always, securityContext: {{privileged: false}}}}
    - {{name: bad, image: "x:1", imagePullPolicy: Always, securityContext: {{privileged: true}}}}
"""


def test_it_names_the_container_of_each_fault_and_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "pods.yaml").write_text(POD.format(name="a"))
    run, located = scanned(tmp_path)
    assert (run.state, run.canary) == (RunState.OK, True)
    named = {(item.evidence.rule, item.container.name if item.container else "") for item in located}
    assert ("container-security-context-privileged", "bad") in named
    assert {name for rule, name in named if rule == "container-resources"} == {"init", "good", "bad"}
    assert ("pod-networkpolicy", "") in named


def test_an_object_that_kills_it_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "pods.yaml").write_text(POD.format(name="a"))
    (tmp_path / "service.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: s, labels: {number: 1}}\nspec: {type: NodePort}\n"
    )
    run, located = scanned(tmp_path)
    assert run.state is RunState.DEGRADED
    (unread,) = run.unread
    assert (unread.object.kind, unread.object.name) == ("Service", "s")
    assert (
        "it kills the tool: kube-score failed: failed to parse files: Failed to parse /v1, Kind=Service"
        in unread.reason
    )
    assert {item.object.ref.name for item in located} == {"a"}


def test_two_objects_of_one_name_are_told_apart_and_see_the_same_partners(tmp_path: Path) -> None:
    policy = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: all, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
"""
    first, second = POD.format(name="a"), POD.format(name="a").replace("privileged: true", "privileged: false")
    (tmp_path / "all.yaml").write_text(f"{first}---\n{second}---\n{policy}")
    run, located = scanned(tmp_path)
    assert run.state is RunState.OK
    rules = {number: {i.evidence.rule for i in located if i.object.origin.document == number} for number in (1, 2)}
    assert "container-security-context-privileged" in rules[1] - rules[2]
    assert "pod-networkpolicy" not in rules[1] | rules[2]


def test_the_name_of_a_template_in_a_comment_misleads_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# Source: tree/b--1.yaml\n" + POD.format(name="a"))
    (tmp_path / "b.yaml").write_text(POD.format(name="b").replace("privileged: true", "privileged: false"))
    run, located = scanned(tmp_path)
    assert run.state is RunState.OK
    found = {item.object.ref.name for item in located if item.evidence.rule == "container-security-context-privileged"}
    assert found == {"a"}


def test_kinds_that_it_does_not_read_are_out_of_scope(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n"
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: s}\n---\n" + POD.format(name="a")
    )
    run, _ = scanned(tmp_path)
    assert (run.state, run.objects.read, run.objects.out_of_scope) == (RunState.OK, 1, 2)
    assert run.out_of_scope == ("serving.knative.dev/v1/Service", "v1/ConfigMap")


def test_optional_checks_are_on_in_profile_all(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POD.format(name="a"))
    rules = [{item.evidence.rule for item in scanned(tmp_path, profile=profile)[1]} for profile in Profile]
    assert rules[1] - rules[0] == {"container-seccomp-profile"}
