"""checkov's output and traps; the real tool runs in every CI run."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from kguard.errors import ParseError, ToolFailure
from kguard.model import Command, Evidence, Located, ObjectHint, Outcome, Parsed, RunState, StagePart, ToolRun
from kguard.running import process
from kguard.running.facts import find_program
from kguard.scan import gather
from kguard.settings import InputSettings, Settings

checkov = import_module("kguard.adapters.checkov")
PART = StagePart(id="1", bundle="b", root=Path("/stage"), files=())
LOADED = "KGUARD_LOADED"


def outcome(stdout: bytes = b"", stderr: bytes = b"", code: int = 0) -> Outcome:
    return Outcome(command=Command(argv=("checkov",), part=PART), exit_code=code, stdout=stdout, stderr=stderr)


def record(rule: str, *keys: str, file: str = "/tree/a.yaml") -> dict[str, Any]:
    result = {"result": "FAILED", "evaluated_keys": list(keys)}
    return {"check_id": rule, "check_name": "A check", "check_result": result, "file_path": file, "severity": None}


def parse(*records: dict[str, Any], stderr: bytes = b"", failed: int | None = None) -> Parsed:
    report = {
        "check_type": "kubernetes",
        "results": {"failed_checks": records},
        "summary": {"passed": 3, "failed": len(records) if failed is None else failed},
    }
    parsed: Parsed = checkov.parse(outcome(json.dumps(report).encode(), stderr, code=1))
    return parsed


def path_of(rule: str, *keys: str) -> object:
    (evidence,) = parse(record(rule, *keys)).evidence
    return evidence.path


CONTAINER = "spec/template/spec/containers/[1]"


def test_a_record_names_a_field_of_an_object_and_has_no_severity() -> None:
    (evidence,) = parse(record("CKV_K8S_16", f"{CONTAINER}/securityContext/privileged")).evidence
    assert evidence == Evidence(
        tool="checkov",
        rule="CKV_K8S_16",
        title="A check",
        native_severity=None,
        message="A check",
        url=None,
        object=ObjectHint(staged="tree/a.yaml"),
        path=("spec", "template", "spec", "containers", 1, "securityContext", "privileged"),
    )


@pytest.mark.parametrize(
    ("rule", "keys", "path"),
    [
        ("CKV_K8S_16", (), None),
        ("CKV_K8S_15", ("spec/containers/[0]/image", "spec/containers/[0]/imagePullPolicy"), ("spec", "containers", 0)),
        ("CKV_K8S_112", ("spec/containers/[0]/command/[2]",), ("spec", "containers", 0, "command", 2)),
        # it says initContainers whichever it means
        ("CKV_K8S_73", ("spec/template/spec/initContainers/[0]",), None),
        # of checks over several objects, the keys are no fields
        ("CKV2_K8S_6", ("resource_type",), None),
    ],
)
def test_the_field_that_its_keys_share(rule: str, keys: tuple[str, ...], path: object) -> None:
    assert path_of(rule, *keys) == path


def test_what_kguards_own_check_found_was_read_and_is_no_evidence() -> None:
    parsed = parse(record(LOADED), record(LOADED, file="/tree/b.yaml"), record("CKV_K8S_1"))
    assert parsed.seen == frozenset((ObjectHint(staged="tree/a.yaml"), ObjectHint(staged="tree/b.yaml")))
    assert ([item.rule for item in parsed.evidence], parsed.records) == (["CKV_K8S_1"], 1)


def test_with_nothing_to_report_on_it_prints_sums_alone() -> None:
    sums = {
        "passed": 0,
        "failed": 0,
        "skipped": 0,
        "parsing_errors": 0,
        "resource_count": 0,
        "checkov_version": "3.3.30",
    }
    parsed = checkov.parse(outcome(json.dumps(sums).encode()))
    assert (parsed.evidence, parsed.seen) == ((), frozenset())


def test_its_log_tells_what_it_skipped() -> None:
    log = b"2026-01-01 00:00:00,000 [MainThread  ] [WARNI]  Kubernetes skipping /stage/tree/a.yaml as it is not a valid Kubernetes template\n"
    (unread,) = parse(stderr=log + b"Traceback (most recent call last):\nValueError: oh\n").unread
    assert unread.object == ObjectHint(staged="tree/a.yaml")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (outcome(), ToolFailure, "ended with 0 and said nothing"),
        (
            outcome(stderr=b"Traceback\n  line\nValueError: in /stage/tree/a.yaml\n\n", code=2),
            ToolFailure,
            "^ValueError: in tree",
        ),
        (outcome(b'{"results": {', code=1), ParseError, "truncated"),
        (outcome(b"[]", code=1), ParseError, "Expected `object`"),
        (outcome(b'{"Reports": null}'), ParseError, "counts None failures and prints 0"),
        (outcome(b'{"summary": {"failed": 2}, "results": {"failed_checks": []}}', code=1), ParseError, "counts 2"),
    ],
)
def test_failures(given: Outcome, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        checkov.parse(given)


def test_another_program_is_not_taken_for_it() -> None:
    assert str(checkov.read_version(outcome(b"3.3.30\n"))) == "3.3.30"
    with pytest.raises(ParseError, match="usage"):
        checkov.read_version(outcome(b"usage: other\n"))


def test_no_command_asks_anybody_for_anything() -> None:
    planned = checkov.plan(PART, Settings(), checkov.rules(Settings(), None))
    assert "--skip-download" in planned.argv
    assert not [word for word in planned.argv if "api-key" in word]
    for command in (planned, checkov.version_command()):
        assert command.env["CKV_SKIP_PACKAGE_UPDATE_CHECK"] == "True"


# -- the real tool ----------------------------------------------------------------------------------------------------


def test_it_has_the_checks_that_are_called_its_own(tmp_path: Path) -> None:
    command = ["checkov", "--list", "--framework", "kubernetes", "--skip-download"]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **checkov.version_command().env}
    listed = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert checkov.rules(Settings(), None).ids == set(re.findall(r"\bCKV2?_K8S_\d+\b", listed.stdout))


POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop}}
spec:
  containers: [{{name: main, image: "x:1", securityContext: {{privileged: true}}}}]
"""
WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: till, namespace: shop, annotations: {checkov.io/skip1: CKV_K8S_22=it writes receipts}}
spec:
  selector: {matchLabels: {app: till}}
  template:
    metadata: {labels: {app: till}}
    spec:
      initContainers: [{name: init, image: "x:1"}]
      containers:
        - {name: good, image: "x:1", securityContext: {privileged: false}}
        - {name: bad, image: "x:1", securityContext: {privileged: true}}
        - {name: worse, image: "x:1", securityContext: {privileged: true}}
"""
FILES = {
    "till.yaml": WORKLOAD,
    ".hidden/pod.yaml": POD.format(name="hidden"),
    "node_modules/pod.yaml": POD.format(name="module"),
    "pod.json": json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "flat"}, "spec": {"containers": []}}
    ),
    "twins.yaml": f"{POD.format(name='twin')}---\n{POD.format(name='twin').replace('true', 'false')}",
    "braces.yaml": POD.format(name="braces").replace("shop}", 'shop, labels: {a: "{{ .Values.a }}"}}'),
    "number.yaml": POD.format(name="number").replace("name: main", "name: 1"),
    "policy.yaml": "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: {podSelector: {}}\n",
}


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[ToolRun, Mapping[str, list[Located]]]:
    """One run over all of FILES, and what it said by file."""
    folder = tmp_path_factory.mktemp("checkov")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    settings = Settings(tools=("checkov",), inputs=InputSettings(hidden=True))
    gathered = gather((str(folder),), settings)
    (run,) = [run for run in gathered.tools if run.name == "checkov"]
    said: dict[str, list[Located]] = {name: [] for name in FILES}
    for item in chain.from_iterable(gathered.evidence):
        said[Path(item.object.origin.path).relative_to(folder).as_posix()].append(item)
    return run, said


def test_it_names_the_first_container_with_a_fault(scanned: tuple[ToolRun, Mapping[str, list[Located]]]) -> None:
    named = {(item.evidence.rule, item.container.name if item.container else "") for item in scanned[1]["till.yaml"]}
    assert {name for rule, name in named if rule == "CKV_K8S_16"} == {"bad"}
    assert {name for rule, name in named if rule == "CKV_K8S_11"} == {"good"}
    assert ("CKV_K8S_29", "") in named


def test_an_annotation_silences_it(scanned: tuple[ToolRun, Mapping[str, list[Located]]]) -> None:
    rules = {name: {item.evidence.rule for item in said} for name, said in scanned[1].items()}
    assert "CKV_K8S_22" in rules["twins.yaml"]
    assert "CKV_K8S_22" not in rules["till.yaml"]


def test_hidden_and_other_folders_that_it_skips_by_itself_are_read(
    scanned: tuple[ToolRun, Mapping[str, list[Located]]],
) -> None:
    for name in (".hidden/pod.yaml", "node_modules/pod.yaml", "pod.json"):
        assert scanned[1][name], name


def test_two_objects_of_one_name_are_told_apart(scanned: tuple[ToolRun, Mapping[str, list[Located]]]) -> None:
    privileged = [item for item in scanned[1]["twins.yaml"] if item.evidence.rule == "CKV_K8S_16"]
    assert [item.object.origin.document for item in privileged] == [1]


def test_a_policy_of_the_bundle_is_seen_by_the_pods_of_the_others(
    scanned: tuple[ToolRun, Mapping[str, list[Located]]],
) -> None:
    assert "CKV2_K8S_6" not in {item.evidence.rule for item in scanned[1]["till.yaml"]}


def test_what_it_passes_over_in_silence_is_unread_and_what_it_has_no_check_for_is_out_of_scope(
    scanned: tuple[ToolRun, Mapping[str, list[Located]]],
) -> None:
    run, _ = scanned
    assert run.canary is True
    assert run.state is RunState.DEGRADED
    assert sorted(item.object.name for item in run.unread) == ["braces", "number"]
    assert run.out_of_scope == ("networking.k8s.io/v1/NetworkPolicy",)
    assert (run.objects.staged, run.objects.read, run.objects.out_of_scope, run.objects.unread) == (9, 6, 1, 2)


def test_an_annotation_that_kills_it(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "a.yaml").write_text(WORKLOAD.replace("it writes receipts", "a=b"))
    part = StagePart(id="1", bundle="b", root=tmp_path / "stage", files=())
    program = find_program("checkov", Settings())
    assert program is not None
    command = checkov.plan(part, Settings(), checkov.rules(Settings(), None))
    with pytest.raises(ToolFailure, match="ValueError: too many values"):
        checkov.parse(process.run(command, program, tmp_path / "run", timeout=120))
