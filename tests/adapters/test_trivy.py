"""trivy's output, ids and traps; the real binary runs in every CI run."""

from __future__ import annotations

import json
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from kguard.errors import ParseError, ToolFailure
from kguard.model import Command, Evidence, ObjectHint, Outcome, Parsed, RunState, Span, StagePart
from kguard.scan import gather
from kguard.settings import Settings

trivy = import_module("kguard.adapters.trivy")
PART = StagePart(id="1", bundle="b", root=Path("/stage"), files=())


def outcome(stdout: bytes = b"", stderr: bytes = b"", code: int = 0) -> Outcome:
    return Outcome(command=Command(argv=("trivy",), part=PART), exit_code=code, stdout=stdout, stderr=stderr)


def parse(*found: dict[str, Any], stderr: bytes = b"") -> Parsed:
    base = {"Title": "t", "Severity": "HIGH", "Status": "FAIL", "PrimaryURL": "https://x"}
    result = {
        "Target": "tree/a.yaml",
        "Class": "config",
        "Type": "kubernetes",
        "Misconfigurations": [{**base, "CauseMetadata": {}, **item} for item in found],
    }
    report = {"SchemaVersion": 2, "ArtifactType": "filesystem", "Results": [result]}
    parsed: Parsed = trivy.parse(outcome(json.dumps(report).encode(), stderr))
    return parsed


def one(**fields: Any) -> Evidence:
    (evidence,) = parse(fields).evidence
    return evidence


def test_container_and_lines() -> None:
    lines = {"StartLine": 4, "EndLine": 9}
    found = one(ID="KSV-0017", Message="Container 'c1' of Pod 'p' should set x", CauseMetadata=lines)
    assert (found.rule, found.container, found.lines) == ("KSV-0017", "c1", Span(4, 9))
    assert found.object == ObjectHint(staged="tree/a.yaml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("KSV010", "KSV-0010"),
        ("AVD-KSV-0010", "KSV-0010"),
        ("KSV-01010", "KSV-01010"),
        ("KCV0093", "KCV-0093"),
        ("ID001", "ID001"),
    ],
)
def test_old_and_new_ids_are_one(old: str, new: str) -> None:
    assert trivy.normalised(old) == new


def test_the_message_that_prints_a_container_is_not_shown() -> None:
    found = one(ID="KSV-0120", Message='container {"env": [{"name": "A", "value": "hunter2"}]} should not')
    assert "hunter2" not in found.message


def test_the_message_that_calls_the_object_a_container() -> None:
    assert one(ID="KSV-0118", Message="container a in prod namespace is using the default").container is None


def test_a_message_with_several_values_gives_an_evidence_for_each() -> None:
    message = "ConfigMap 'c' in 'x' namespace stores secrets in key(s) or value(s) '{\"b_token\", \"a_password\"}'"
    parsed = parse({"ID": "KSV-0109", "Message": message})
    assert (parsed.records, [item.value for item in parsed.evidence]) == (1, ["a_password", "b_token"])
    sysctls = one(ID="KSV-0026", Message="Pod 'a' has disallowed sysctls: [\"kernel.pid_max\"] and must")
    assert sysctls.value == "kernel.pid_max"


def test_what_passed_is_no_evidence_and_what_was_understood_is_seen() -> None:
    parsed = parse({"ID": "KSV-0001", "Message": "m", "Status": "PASS"})
    assert (parsed.records, parsed.evidence) == (0, ())
    assert parsed.seen == frozenset((ObjectHint(staged="tree/a.yaml"),))


def test_an_empty_run_has_seen_nothing() -> None:
    assert trivy.parse(outcome(b'{"SchemaVersion": 2, "ArtifactType": "filesystem"}')).seen == frozenset()


def test_stderr_tells_dropped_files_and_warnings_without_times_and_stage_paths() -> None:
    stderr = (
        b'2026-01-01T00:00:00Z\tERROR\t[misconfig] Falling back to embedded checks\terr="x"\n'
        b'2026-01-01T00:00:00Z\tERROR\t[kubernetes scanner] Failed to parse file\tfile_path="tree/a.yaml" err="yaml: oh"\n'
        b"2026-01-01T00:00:00Z\tWARN\tsomething about /stage/tree/a.yaml\n"
    )
    parsed = parse(stderr=stderr)
    assert parsed.complaints == ("something about tree/a.yaml",)
    assert [(item.object.staged, item.reason) for item in parsed.unread] == [
        ("tree/a.yaml", "trivy failed to parse it: yaml: oh")
    ]


def test_an_older_report_has_the_id_elsewhere() -> None:
    assert one(ID="specific-capabilities", AVDID="AVD-KSV-0119", Message="m").rule == "KSV-0119"


def test_a_quoted_file_name_and_reason_in_the_log() -> None:
    line = b'2026\tERROR\t[kubernetes scanner] Failed to parse file\tfile_path="tree/a b.yaml" err="yaml: \\"oh\\""\n'
    assert [(item.object.staged, item.reason) for item in parse(stderr=line).unread] == [
        ("tree/a b.yaml", 'trivy failed to parse it: yaml: "oh"')
    ]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (outcome(stderr=b"2026\tFATAL\tFatal error\tcheck failed\n", code=1), ToolFailure, "check failed"),
        (outcome(code=1), ToolFailure, "ended with 1"),
        (outcome(b'{"SchemaVersion": 2, "Results": ['), ParseError, "truncated"),
        (outcome(b'{"Checks": [], "Reports": null}'), ParseError, "SchemaVersion"),
    ],
)
def test_failures(given: Outcome, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        trivy.parse(given)


def test_nothing_from_the_working_directory_and_no_network() -> None:
    command = trivy.plan(PART, Settings(), trivy.rules(Settings(), None))
    words = " ".join(command.argv)
    for flag in (
        "--skip-check-update",
        "--skip-version-check",
        "--disable-telemetry",
        "--misconfig-scanners kubernetes",
    ):
        assert flag in words
    for flag in ("--config", "--ignorefile"):  # empty files of its own
        assert command.files[command.argv[command.argv.index(flag) + 1]] == b""
    assert "--quiet" not in words


def test_shares_find_what_the_whole_finds_and_context_switches_checks_on(tmp_path: Path, fixtures: Path) -> None:
    """One LimitRange switches a check on for every object: each share must have it."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{0}, namespace: n}}\nspec: {{containers: [{{name: c, image: x}}]}}\n---\n"
    limits = (
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l, namespace: n}\nspec: {limits: [{type: Container}]}\n"
    )
    (tmp_path / "m.yaml").write_text("".join(pod.format(number) for number in range(120)) + limits)

    def said(jobs: int) -> tuple[int, list[tuple[str, str, str]]]:
        gathered = gather((str(tmp_path),), Settings(tools=("trivy",), jobs=jobs))
        (run,) = [run for run in gathered.tools if run.name == "trivy"]
        assert run.state is RunState.OK
        return run.processes, sorted(
            (i.evidence.rule, i.object.staged, i.evidence.message) for i in chain.from_iterable(gathered.evidence)
        )

    (alone, whole), (several, shares) = said(1), said(2)
    assert (alone, several) == (1, 2)
    assert shares == whole
    assert sum(rule == "KSV-0039" for rule, _, _ in whole) >= 120
