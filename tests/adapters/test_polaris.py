"""polaris' words: its log, its panics, and what it prints of each level of an object."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from kguard.errors import ParseError, ToolFailure
from kguard.model import Command, ObjectHint, Outcome, Parsed, StagePart
from kguard.settings import Profile, Settings

polaris = import_module("kguard.adapters.polaris")
PART = StagePart(id="1", bundle="b", root=Path("/stage"), files=())
EMPTY = b'{"PolarisOutputVersion": "1.0", "Results": []}'


def outcome(stdout: bytes = b"", stderr: bytes = b"", code: int = 0) -> Outcome:
    return Outcome(command=Command(argv=("polaris",), part=PART), exit_code=code, stdout=stdout, stderr=stderr)


def check(name: str, *, success: bool = False) -> dict[str, Any]:
    facts = {"ID": name, "Message": f"{name} says", "Success": success, "Severity": "danger", "Category": "Security"}
    return {name: facts}


def parse(**fields: Any) -> Parsed:
    base = {"Name": "web", "Namespace": "shop", "Kind": "Deployment", "Results": None, "PodResult": None}
    audit = {"PolarisOutputVersion": "1.0", "Results": [{**base, **fields}]}
    parsed: Parsed = polaris.parse(outcome(json.dumps(audit).encode()))
    return parsed


def test_failures_of_each_level_count_and_passes_do_not() -> None:
    pod = {
        "Results": check("inPod"),
        "ContainerResults": [
            {"Name": "first", "Results": check("inContainer")},
            {"Name": "second", "Results": check("inContainer") | check("fine", success=True)},
        ],
    }
    parsed = parse(Results=check("inObject"), PodResult=pod)
    assert [(item.rule, item.container) for item in parsed.evidence] == [
        ("inObject", None),
        ("inPod", None),
        ("inContainer", "first"),
        ("inContainer", "second"),
    ]
    assert parsed.records == 4
    hint = ObjectHint(kind="Deployment", namespace="shop", name="web")
    assert {item.object for item in parsed.evidence} == {hint}
    assert parsed.seen == frozenset((hint,))
    assert parsed.evidence[0].native_severity == "danger"
    assert parsed.evidence[0].url == "https://polaris.docs.fairwinds.com/checks/security/"


def test_an_object_that_passed_was_read() -> None:
    parsed = parse(Results=check("fine", success=True))
    assert (parsed.evidence, len(parsed.seen or ())) == ((), 1)


def test_a_skipped_file_is_unread_in_one_line_and_told_once() -> None:
    stderr = (
        rb'time="2026-01-01T00:00:00Z" level=error msg="Error parsing YAML: (yaml: unmarshal errors:\n  line 6: key \"a\")"'
        b"\n"
        rb'time="2026-01-01T00:00:00Z" level=warning msg="skipping /stage/tree/a--1.yaml: cannot add resource from YAML: '
        rb'yaml: unmarshal errors:\n  line 6: key \"a\" already defined"'
        b"\n"
        b'time="2026-01-01T00:00:00Z" level=warning msg="error getting PodDisruptionBudget: /stage/tree/b--1.yaml"\n'
        b'time="2026-01-01T00:00:00Z" level=warning msg=short\n'
    )
    parsed = polaris.parse(outcome(EMPTY, stderr))
    assert [(item.object.staged, item.reason) for item in parsed.unread] == [
        (
            "tree/a--1.yaml",
            'polaris: cannot add resource from YAML: yaml: unmarshal errors: line 6: key "a" already defined',
        )
    ]
    assert parsed.complaints == ("error getting PodDisruptionBudget: tree/b--1.yaml", "short")


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (b"panic: interface {} is nil\n\ngoroutine 1 [running]:\n", "panic: interface {} is nil"),
        (
            b'time="x" level=warning msg=first\ntime="x" level=error msg="bad \\"key\\" in /stage/tree/a--1.yaml"\n',
            'bad "key" in tree/a--1.yaml',
        ),
        (b"Error: unknown flag: --x\nUsage:\n  polaris audit [flags]\n", "Error: unknown flag: --x"),
        (b"fatal error: stack overflow\n\nruntime stack:\n", "fatal error: stack overflow"),
        (b"", "it ended with 1 and said nothing"),
    ],
)
def test_a_failure_has_one_line_of_its_own_words(stderr: bytes, words: str) -> None:
    with pytest.raises(ToolFailure) as caught:
        polaris.parse(outcome(stderr=stderr, code=1))
    assert str(caught.value) == words


def test_another_format_is_not_guessed_at() -> None:
    with pytest.raises(ParseError, match="PolarisOutputVersion"):
        polaris.parse(outcome(b'{"PolarisOutputVersion": "2.0", "Results": []}'))


def test_both_profiles_have_every_check_on_with_its_own_severity() -> None:
    configs = set()
    for profile in Profile:
        settings = Settings(profile=profile)
        rules = polaris.rules(settings, None)
        configs.add(polaris.plan(PART, settings, rules).files["config.yaml"])
        assert rules.ids == frozenset(polaris.CHECKS)
    (config,) = configs
    assert json.loads(config) == {"checks": polaris.CHECKS, "exemptions": []}


def test_it_is_never_run_without_a_path() -> None:
    argv = polaris.plan(PART, Settings(), polaris.rules(Settings(), None)).argv
    assert argv[argv.index("--audit-path") + 1] == "/stage"  # without it, polaris audits the cluster
