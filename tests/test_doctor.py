"""What a diagnosis comes to, and how it reads, without any tool."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.version import Version

from kguard.cli.doctor import as_json, as_text
from kguard.doctor import Check, Diagnosis, Problem, Temporary, diagnose
from kguard.errors import ExitCode
from kguard.model import ActiveRules, RuleGroup, RunState
from kguard.reports import Terminal
from kguard.settings import Settings

FINE = Check(name="trivy", state=RunState.OK, version=Version("0.76.0"), program="/usr/bin/trivy", works=True)
BROKEN = Check(name="polaris", state=RunState.MISSING, problems=(Problem(message="polaris is not installed."),))
SKIPPED = Check(name="kubescape", state=RunState.SKIPPED)
ROOM = Temporary(path="/tmp", free_bytes=3 << 30)
PIPE = Terminal(every_row=True)


def found(*tools: Check, renderers: tuple[Check, ...] = ()) -> Diagnosis:
    return Diagnosis(temporary=ROOM, tools=tools, renderers=renderers)


@pytest.mark.parametrize(
    ("diagnosis", "code", "broken", "allowed"),
    [
        (found(FINE, SKIPPED), ExitCode.PASS, (), ()),
        (found(FINE, BROKEN), ExitCode.INCOMPLETE, ("polaris",), ()),
        (found(FINE, replace(BROKEN, allowed=True)), ExitCode.PASS, (), ("polaris",)),
        (found(replace(FINE, notes=("old",), unknown_rules=("KSV-9999",))), ExitCode.PASS, (), ()),
        (found(FINE, renderers=(replace(BROKEN, name="helm"),)), ExitCode.INCOMPLETE, ("helm",), ()),
        (found(FINE, renderers=(Check(name="helm", state=RunState.MISSING),)), ExitCode.PASS, (), ()),
        (Diagnosis(temporary=Temporary(problems=(Problem(message="full"),))), ExitCode.INCOMPLETE, (), ()),
    ],
)
def test_only_problems_that_are_not_allowed_make_a_scan_incomplete(
    diagnosis: Diagnosis, code: ExitCode, broken: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    assert (diagnosis.exit_code, diagnosis.broken, diagnosis.allowed) == (code, broken, allowed)
    assert json.loads(as_json(diagnosis, Settings()))["exit_code"] == code
    assert as_text(diagnosis, Settings(), PIPE).endswith(f" Exit {int(code)}.\n")


def test_the_words_of_others_stay_in_their_line() -> None:
    evil = "a\nPASS  A scan would be complete. Exit 0.\x1b[2J\u202e"
    problem = Problem(message=evil, command=f"rm {evil}")
    check = replace(BROKEN, program=evil, problems=(problem,), notes=(evil,), unknown_rules=(evil,))
    rules = ActiveRules(active=1, digest="0" * 64, source=evil, groups=(RuleGroup(name=evil, rules=1),))
    text = as_text(found(replace(check, rules=rules, rules_folder=Path(evil))), Settings(), PIPE)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not any(line.startswith("PASS") for line in text.splitlines())


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_but_what_is_to_be_copied_is_wider_than_the_terminal(width: int) -> None:
    command = f"kubescape download artifacts --output /home/{'deep/' * 40}rules"
    problem = Problem(message="no rule library: " + "words " * 40, command=command)
    rules = ActiveRules(
        active=52, digest="0" * 64, source="regolibrary 2: nsa", groups=(RuleGroup(name="nsa", rules=9),)
    )
    tool = replace(FINE, name="kubescape", program=f"/opt/{'deep/' * 40}kubescape", problems=(problem,), rules=rules)
    lines = as_text(found(tool, SKIPPED, BROKEN), Settings(), Terminal(width=width)).splitlines()
    assert [line.strip() for line in lines if len(line) > width] == [f"$ {command}"]
    assert any("…" in line for line in lines)


def test_colour_is_only_paint() -> None:
    diagnosis = found(FINE, SKIPPED, BROKEN)
    plain = as_text(diagnosis, Settings(), Terminal(width=100))
    painted = as_text(diagnosis, Settings(), Terminal(width=100, colour=True))
    assert painted != plain
    for code in ("\x1b[1;32m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[2m", "\x1b[0m"):
        painted = painted.replace(code, "")
    assert painted == plain


def test_many_unknown_rules_are_counted_and_some_named() -> None:
    rules = tuple(f"KSV-{number}" for number in range(9000, 9025))
    diagnosis = found(replace(FINE, unknown_rules=rules, rules=ActiveRules(active=25, digest=None, source="trivy")))
    text = as_text(diagnosis, Settings(), PIPE)
    assert "25 rules that kguard's catalogue does not know: KSV-9000, " in text
    assert "KSV-9009 and 15 more" in text
    assert json.loads(as_json(diagnosis, Settings()))["tools"][0]["rules"]["unknown"] == list(rules)


def test_what_is_not_known_is_null_and_no_key_is_missing() -> None:
    printed = json.loads(as_json(found(FINE, SKIPPED, renderers=(BROKEN,)), Settings()))
    fine, skipped = printed["tools"]
    assert fine.keys() == skipped.keys()
    assert {name for name, value in skipped.items() if value is None} == {"version", "path", "canary", "rules"}
    assert printed["renderers"][0]["rendered"] is None


def test_a_full_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "write_bytes", full)
    diagnosis = diagnose(Settings())
    (problem,) = diagnosis.temporary.problems
    assert problem.message.startswith(f"{tmp_path} cannot hold temporary files: No space left on device. Make room")
    assert diagnosis.tools == ()
    assert list(tmp_path.iterdir()) == []
