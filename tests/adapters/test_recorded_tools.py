"""kube-linter and polaris over kguard's own manifests: live where they are installed, else their recorded output."""

from __future__ import annotations

import json
from dataclasses import replace

import native
import pytest

from kguard.errors import ParseError, ToolFailure
from kguard.model import Command, Evidence, Outcome, Parsed
from kguard.running.account import account


def outcome(stdout: bytes = b"", stderr: bytes = b"", code: int = 0) -> Outcome:
    return Outcome(command=Command(argv=("x",)), exit_code=code, stdout=stdout, stderr=stderr)


def said(parsed: Parsed, rule: str) -> list[Evidence]:
    return sorted((item for item in parsed.evidence if item.rule == rule), key=lambda item: str(item.object))


@pytest.mark.real
@pytest.mark.parametrize("tool", native.RECORDED)
@pytest.mark.parametrize("stage", native.STAGES)
def test_the_recording_is_what_the_tool_prints(tool: str, stage: str) -> None:
    """Field by field where the tool is installed, so that a recording cannot rot unseen."""
    assert native.face(native.native(tool, stage)) == native.face(native.recorded(tool, stage))


@pytest.mark.parametrize("tool", native.RECORDED)
@pytest.mark.parametrize("stage", native.STAGES)
def test_the_recording_is_of_these_manifests_and_of_this_command(tool: str, stage: str) -> None:
    """Where the tool is absent, a recording of other manifests would pass for its answer."""
    held = json.loads((native.folder_of(tool, stage) / "run.json").read_text())
    stale = "stale: `make record` writes it again, with the tool on PATH"
    assert {key: held.get(key) for key in native.circumstances(tool, stage)} == native.circumstances(tool, stage), stale


@pytest.mark.real
def test_kube_linter_names_containers_values_and_files() -> None:
    parsed = native.adapter("kube-linter").parse(native.native("kube-linter", "faults"))
    ports = [(item.container, item.value, item.object.staged) for item in said(parsed, "privileged-ports")]
    assert sorted(ports, key=str) == [
        ("shell", "22", "tree/ports--1.yaml"),
        ("web", "443", "tree/ports--1.yaml"),
        ("web", "80", "tree/ports--1.yaml"),
    ]
    assert [item.value for item in said(parsed, "env-var-secret")] == ["CLIENT_SECRET"]
    assert {item.value for item in said(parsed, "writable-host-mount")} == {"/srv/data", "/var/run/docker.sock"}
    assert {item.native_severity for item in parsed.evidence} == {None}
    assert parsed.rules is not None
    assert "schema-validation" not in parsed.rules


@pytest.mark.real
def test_kube_linter_tells_what_it_could_not_decode() -> None:
    parsed = native.adapter("kube-linter").parse(native.native("kube-linter", "edge"))
    (unread,) = parsed.unread
    assert unread.object.staged == "tree/undecodable--1.yaml"
    assert "cannot unmarshal bool" in unread.reason
    staged = {obj.staged for obj in native.staged("edge").objects}
    assert {hint.staged for hint in parsed.seen or ()} == staged - {"tree/undecodable--1.yaml"}


@pytest.mark.real
def test_kube_linter_prints_no_json_when_nothing_decodes() -> None:
    given = native.native("kube-linter", "edge-nothing")
    assert (given.exit_code, given.stdout) == (0, b"")
    parsed = native.adapter("kube-linter").parse(given)
    assert [item.object.staged for item in parsed.unread] == ["tree/undecodable--1.yaml"]
    assert (parsed.evidence, parsed.seen) == ((), frozenset())


@pytest.mark.real
def test_what_kube_linter_decodes_in_part_is_unread_although_some_checks_speak_of_it() -> None:
    """`memory: 1GB` costs the object all checks that look inside, and kube-linter itself says nothing of that."""
    parsed = native.adapter("kube-linter").parse(native.native("kube-linter", "edge-skipped"))
    (unread,) = parsed.unread
    assert unread.object.staged == "tree/skipped--2.yaml"
    assert unread.reason == "kube-linter could not decode all of it: the checks that look into its spec passed it over"
    large = {item.rule for item in parsed.evidence if item.object.name == "large"}
    assert "required-label-owner" in large
    assert not large & {"privileged-container", "latest-tag", "run-as-non-root"}


@pytest.mark.real
def test_what_kube_linter_can_look_into_and_what_it_is_told_to_be_silent_about_is_read() -> None:
    own, (objects, part) = (
        native.adapter("kube-linter"),
        (native.staged("edge-partly").objects, native.staged("edge-partly").part),
    )
    quiet = {obj.staged for obj in objects if b"kube-linter.io/ignore-all" in obj.text}
    part = replace(part, files=tuple(replace(file, silenced=file.path in quiet) for file in part.files))
    parsed = own.parse(native.native("kube-linter", "edge-partly"))
    assert not quiet & {hint.staged for hint in parsed.seen or ()}
    held = account(part, parsed, own.rules(native.SETTINGS, None))
    assert (held.counts.staged, held.counts.read, held.counts.out_of_scope, held.counts.unread) == (5, 3, 0, 2)
    assert [file.ref.name for file, _ in held.unread] == ["grows", "tomorrow"]


@pytest.mark.parametrize("stage", native.STAGES)
def test_what_kguards_own_checks_say_is_shown_nowhere(stage: str) -> None:
    given = native.recorded("kube-linter", stage)
    parsed = native.adapter("kube-linter").parse(given)
    assert b"kguard-loaded" in given.stdout or parsed.seen == frozenset()
    assert "kguard-" not in repr((parsed.evidence, parsed.rules, parsed.unread, parsed.complaints))


@pytest.mark.real
def test_polaris_that_dies_says_why_in_one_line() -> None:
    given = native.native("polaris", "edge-dies")
    assert (given.exit_code, given.stdout) == (2, b"")
    with pytest.raises(ToolFailure, match=r"^panic: interface conversion: interface \{\} is nil, not [^\n]+$"):
        native.adapter("polaris").parse(given)


@pytest.mark.real
def test_what_polaris_skips_and_what_it_drops_without_a_word_are_both_unread() -> None:
    own, part = native.adapter("polaris"), native.staged("edge-skipped").part
    parsed = own.parse(native.native("polaris", "edge-skipped"))
    held = account(part, parsed, own.rules(native.SETTINGS, None))
    assert (held.counts.staged, held.counts.read, held.counts.unread, held.unknown) == (4, 1, 3, ())
    reasons = {file.path: reason for file, reason in held.unread}
    assert 'key "type" already defined' in reasons["tree/skipped--1.yaml"]
    assert "quantities must match" in reasons["tree/skipped--2.yaml"]
    assert reasons["tree/skipped--3.yaml"] == "polaris reports nothing of objects without a name"


@pytest.mark.real
def test_polaris_names_what_it_read_and_where_it_failed() -> None:
    parsed = native.adapter("polaris").parse(native.native("polaris", "faults"))
    seen = {(hint.kind, hint.namespace, hint.name) for hint in parsed.seen or ()}
    assert seen == {(obj.ref.kind, obj.ref.namespace, obj.ref.name) for obj in native.staged("faults").objects}
    assert [item.container for item in said(parsed, "hostPathSet")] == [None]
    assert {item.container for item in said(parsed, "hostPortSet")} == {"web", "shell"}
    assert {item.native_severity for item in parsed.evidence} == {"danger", "warning"}


@pytest.mark.parametrize(
    ("tool", "given", "error", "words"),
    [
        ("kube-linter", outcome(stderr=b"Error: unknown flag: --x\n", code=1), ToolFailure, "unknown flag"),
        ("kube-linter", outcome(code=1), ToolFailure, "printed nothing and ended with 1"),
        ("kube-linter", outcome(b'{"Checks": [], "Reports": [{"Chec', code=1), ParseError, "truncated"),
        ("kube-linter", outcome(b'{"SchemaVersion": 2}', code=1), ParseError, "Checks"),
        (
            "polaris",
            outcome(stderr=b"panic: interface {} is nil\n\ngoroutine 1\n", code=2),
            ToolFailure,
            "panic: interface",
        ),
        (
            "polaris",
            outcome(stderr=b'time="x" level=error msg="no such thing"\n', code=1),
            ToolFailure,
            "no such thing",
        ),
        ("polaris", outcome(b'{"PolarisOutputVersion": "1.0", "Results": [{'), ParseError, "truncated"),
        ("polaris", outcome(b'{"Reports": null}'), ParseError, "PolarisOutputVersion"),
    ],
)
def test_failures_have_the_tools_words(tool: str, given: Outcome, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words.replace("{", "[{]")):
        native.adapter(tool).parse(given)


def test_kube_linter_with_nothing_to_lint_has_read_nothing() -> None:
    parsed = native.adapter("kube-linter").parse(outcome(stderr=b"Warning: no valid objects found.\n"))
    assert (parsed.evidence, parsed.seen) == ((), frozenset())


def test_a_perfect_score_of_an_empty_run_is_not_believed() -> None:
    parsed = native.adapter("polaris").parse(outcome(b'{"PolarisOutputVersion": "1.0", "Results": [], "Score": 100}'))
    assert parsed.seen == frozenset()


@pytest.mark.parametrize(
    ("tool", "text", "version"),
    [
        ("kube-linter", b"0.8.3\n", "0.8.3"),
        ("kube-linter", b"v0.7.6\n", "0.7.6"),
        ("kube-linter", b"development\n", "None"),
        ("polaris", b"Polaris version:10.2.2\n", "10.2.2"),
        ("polaris", b"Polaris version:development\n", "None"),
    ],
)
def test_versions(tool: str, text: bytes, version: str) -> None:
    assert str(native.adapter(tool).read_version(outcome(text))) == version


@pytest.mark.parametrize("tool", ["kube-linter", "polaris"])
def test_another_tools_version_is_refused(tool: str) -> None:
    with pytest.raises(ParseError, match="printed 'trivy'"):
        native.adapter(tool).read_version(outcome(b"trivy\n"))


@pytest.mark.real
@pytest.mark.parametrize("tool", native.RECORDED)
@pytest.mark.parametrize("stage", ["shop", "faults", "edge-skipped"])
def test_nothing_that_is_shown_holds_the_stages_path(tool: str, stage: str) -> None:
    given = native.native(tool, stage)
    assert given.command.part is not None
    assert str(given.command.part.root) not in repr(native.adapter(tool).parse(given))
