"""kubescape's output, its rule library, and its made-up subjects; the real binary runs in every CI run."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from kguard.errors import ParseError, ToolFailure
from kguard.model import Command, Evidence, Outcome, Parsed, RuleGroup, RunState, StagePart
from kguard.scan import gather
from kguard.settings import Profile, Settings

kubescape = import_module("kguard.adapters.kubescape")
PART = StagePart(id="1", bundle="b", root=Path("/stage"), files=())
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "sourcePath": "tree/a--1.yaml:0"}


def outcome(stdout: bytes = b"", stderr: bytes = b"", code: int = 0) -> Outcome:
    return Outcome(command=Command(argv=("kubescape",), part=PART), exit_code=code, stdout=stdout, stderr=stderr)


def parse(raw: dict[str, Any], *paths: dict[str, Any], **control: Any) -> Parsed:
    rule = {"name": "inner", "status": "failed", "paths": list(paths)}
    base = {"controlID": "C-0057", "name": "Title", "status": {"status": "failed"}, "severity": "High", "rules": [rule]}
    report = {
        "summaryDetails": {"controls": {"C-0057": {"scoreFactor": 8}, "C-0001": {}}},
        "resources": [{"resourceID": "r", "object": raw}],
        "results": [{"resourceID": "r", "controls": [{**base, **control}]}],
    }
    parsed: Parsed = kubescape.parse(outcome(json.dumps(report).encode()))
    return parsed


def test_a_place_that_comes_twice_is_one_evidence() -> None:
    path = "spec.containers[0].securityContext.privileged"
    parsed = parse(
        POD, {"failedPath": path}, {"deletePath": path}, {"fixPath": {"path": "spec.hostPID", "value": "false"}}
    )
    assert parsed.records == 1
    assert [item.path for item in parsed.evidence] == [
        ("spec", "containers", 0, "securityContext", "privileged"),
        ("spec", "hostPID"),
    ]
    assert {item.object.staged for item in parsed.evidence} == {"tree/a--1.yaml"}
    assert parsed.rules == frozenset(("C-0057", "C-0001"))


def test_a_control_without_a_place_is_still_evidence() -> None:
    assert [item.path for item in parse(POD).evidence] == [None]


@pytest.mark.parametrize("status", ["passed", "skipped"])
def test_only_failed_controls_count(status: str) -> None:
    assert parse(POD, {"failedPath": "spec"}, status={"status": status}).evidence == ()


def test_a_severity_that_is_not_told_comes_from_the_score() -> None:
    assert parse(POD, {"failedPath": "spec"}, severity="").evidence[0].native_severity == "High"


def test_a_made_up_subject_is_brought_back_to_its_binding_and_role() -> None:
    role = {"kind": "Role", "metadata": {"name": "r", "namespace": "n"}, "sourcePath": "tree/r--1.yaml:0"}
    binding = {"kind": "RoleBinding", "metadata": {"name": "b", "namespace": "n"}, "sourcePath": "tree/b--2.yaml:0"}
    subject = {"kind": "ServiceAccount", "name": "s", "namespace": "n", "relatedObjects": [binding, role]}
    first, second = parse(
        subject, {"failedPath": "relatedObjects[1].rules[0].verbs[1]"}, {"failedPath": "relatedObjects[0].roleRef.name"}
    ).evidence

    def names(item: Evidence) -> tuple[object, ...]:
        return (item.object.staged, item.path, item.path_object and item.path_object.staged)

    assert names(first) == ("tree/b--2.yaml", ("rules", 0, "verbs", 1), "tree/r--1.yaml")
    assert names(second) == ("tree/b--2.yaml", ("roleRef", "name"), "tree/b--2.yaml")
    assert [hint.name for hint in first.related] == ["b", "r"]


def test_one_related_object_in_place_of_a_list() -> None:
    service = {"kind": "Service", "metadata": {"name": "s"}, "sourcePath": "tree/s--1.yaml:0"}
    workload = {"kind": "Deployment", "name": "d", "namespace": "n", "relatedObjects": service}
    (item,) = parse(workload, {"failedPath": "spec.template.metadata.labels"}).evidence
    assert (item.object.kind, item.object.name) == ("Deployment", "d")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("spec.containers[0].env[12].name", ("spec", "containers", 0, "env", 12, "name")),
        ("metadata.labels[app.kubernetes.io/name]", ("metadata", "labels", "app.kubernetes.io/name")),
        ("data[a.b]", ("data", "a.b")),
        ("", None),
    ],
)
def test_paths(text: str, path: object) -> None:
    assert kubescape.field_path(text) == path


def test_valid_objects_that_no_control_wants_are_out_of_scope_not_a_failure() -> None:
    line = b'{"level":"fatal","msg":"no resources found to scan"}\n'
    parsed = kubescape.parse(outcome(stderr=line, code=1))
    assert (parsed.evidence, parsed.seen, parsed.unread) == ((), frozenset(), ())


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (
            outcome(stderr=b'{"level":"fatal","msg":"bad","error":"framework x"}\n', code=1),
            ToolFailure,
            "bad: framework x",
        ),
        (outcome(code=1), ToolFailure, "ended with 1"),
        (
            outcome(stderr=b"panic: interface conversion\n\ngoroutine 1\n", code=2),
            ToolFailure,
            "panic: interface conversion",
        ),
        (outcome(b'{"summaryDetails": {"controls'), ParseError, "truncated"),
        (outcome(b'{"SchemaVersion": 2}'), ParseError, "summaryDetails"),
        (
            outcome(b'{"summaryDetails": {}, "results": [{"resourceID": "gone", "controls": []}]}'),
            ParseError,
            "a result for 'gone' and no such resource",
        ),
    ],
)
def test_failures(given: Outcome, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        kubescape.parse(given)


def test_version() -> None:
    assert kubescape.read_version(outcome(b"Your current version is: v3.0.48\n")) == Version("3.0.48")
    with pytest.raises(ParseError):
        kubescape.read_version(outcome(b"0.8.3"))


def test_it_is_never_run_without_a_path() -> None:
    rules = kubescape.RuleSet(
        source="x", folder=Path("/rules"), groups=(RuleGroup(name="nsa", rules=2), RuleGroup(name="mitre", rules=3))
    )
    argv = kubescape.plan(PART, Settings(), rules).argv
    assert argv[:5] == ("kubescape", "scan", "framework", "nsa,mitre,kguard", "/stage")
    assert argv[argv.index("--use-artifacts-from") + 1] == "/rules"


def test_a_framework_of_kguards_own_is_about_all_kinds_of_the_others_and_shown_nowhere() -> None:
    kinds = frozenset(("/v1/Pod", "rbac.authorization.k8s.io/v1/Role"))
    rules = kubescape.RuleSet(source="x", folder=Path("/rules"), kinds=kinds, groups=(RuleGroup(name="nsa", rules=2),))
    command = kubescape.plan(PART, Settings(), rules)
    assert command.argv[command.argv.index("--use-from") + 1] in command.files
    (control,) = json.loads(command.files["kguard.json"])["controls"]
    match = [(m["apiGroups"][0], m["apiVersions"][0], m["resources"][0]) for m in control["rules"][0]["match"]]
    assert {"/".join(names) for names in match} == kinds
    assert control["controlID"] not in (parse(POD, controlID=control["controlID"]).rules or ())


def test_the_rule_library(rules_settings: Settings) -> None:
    rules = kubescape.rules(rules_settings, None)
    assert rules.problem is None
    assert [group.name for group in rules.groups] == ["nsa", "mitre", "cis-v1.23-t1.0.1"]
    assert all(0 < group.rules <= len(rules.ids) for group in rules.groups)
    assert rules.source == "regolibrary 2.0.1: nsa, mitre, cis-v1.23-t1.0.1"
    assert {"/v1/Pod", "apps/v1/Deployment"} <= rules.kinds
    assert "batch/v1beta1/CronJob" not in rules.kinds
    everything = kubescape.rules(Settings(profile=Profile.ALL, rules=rules_settings.rules), None)
    assert everything.ids > rules.ids


def test_objects_that_it_joins_are_read_although_no_control_of_the_library_names_them(
    tmp_path: Path, rules_settings: Settings
) -> None:
    """Roles and bindings, and a key that stands twice, which costs kubescape the object without a word."""
    api = "apiVersion: rbac.authorization.k8s.io/v1\nkind: "
    ref = (
        "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: absent}\nsubjects: [{kind: User, name: u}]\n"
    )
    (tmp_path / "m.yaml").write_text(
        f"{api}ClusterRole\nmetadata: {{name: lonely}}\nrules: []\n---\n"
        f"{api}RoleBinding\nmetadata: {{name: b, namespace: n}}\n{ref}---\n"
        f"{api}Role\nmetadata: {{name: twice, namespace: n}}\nrules: []\nrules: []\n"
    )
    settings = Settings(tools=("kubescape",), rules=rules_settings.rules)
    (run,) = [run for run in gather((str(tmp_path),), settings).tools if run.name == "kubescape"]
    assert (run.objects.staged, run.objects.read, run.objects.out_of_scope) == (3, 2, 0)
    assert [item.object.name for item in run.unread] == ["twice"]
    assert run.rules is not None
    assert "kguard-loaded" not in (run.rules.ids or ())
    assert [group.name for group in run.rules.groups] == ["nsa", "mitre", "cis-v1.23-t1.0.1"]


def test_rules_that_are_not_there(tmp_path: Path, rules_settings: Settings) -> None:
    absent = kubescape.rules(Settings(rules={"kubescape": tmp_path}), None)
    assert "--rules kubescape=DIR" in absent.problem
    unknown = kubescape.rules(Settings(rules=rules_settings.rules, frameworks=("nsa", "nope")), None)
    assert "no framework nope; it has " in unknown.problem


def test_what_it_does_not_load_is_out_of_scope(tmp_path: Path, rules_settings: Settings) -> None:
    (tmp_path / "m.yaml").write_text(
        "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {maxUnavailable: 1}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: x}]}\n"
    )
    settings = Settings(tools=("kubescape",), rules=rules_settings.rules)
    (run,) = [run for run in gather((str(tmp_path),), settings).tools if run.name == "kubescape"]
    assert run.state is RunState.OK
    assert (run.objects.staged, run.objects.read, run.objects.out_of_scope, run.objects.unread) == (2, 1, 1, 0)
    assert run.out_of_scope == ("policy/v1/PodDisruptionBudget",)
