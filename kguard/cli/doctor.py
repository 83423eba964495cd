"""`kguard doctor`: whether a scan would be complete here, and what mends it where not."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from kguard import __version__
from kguard.cli import outputs, scan
from kguard.cli.progress import progress
from kguard.doctor import Check, Diagnosis, Problem, diagnose
from kguard.errors import ExitCode
from kguard.model import RunState
from kguard.reports import Terminal
from kguard.settings import Settings
from kguard.text import one_line

SCHEMA = "kguard/doctor/v1"
_NAMED = 10
"""Unknown rules that are named in the text; the JSON names all."""
_NARROWEST = 80
_INDENT = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The flags as given; they mean what those of `kguard scan` mean."""

    tools: str | None
    frameworks: str | None
    rules: tuple[str, ...]
    profile: str
    allow_incomplete: str | None
    tool_path: tuple[str, ...]
    timeout: float
    config: str | None
    as_json: bool


def command(request: Request) -> ExitCode:
    """Try every tool, print what came of it."""
    settings = _settings(request)
    with progress(quiet=False) as on_progress:
        found = diagnose(settings, on_progress)
    terminal = outputs.terminal(every_row=True)
    sys.stdout.write(as_json(found, settings) if request.as_json else as_text(found, settings, terminal))
    return found.exit_code


def _settings(request: Request) -> Settings:
    """What a scan with the same flags would be run with."""
    return scan.settings_of(
        scan.Request(
            paths=(),
            formats=(),
            outputs=(),
            tools=request.tools,
            frameworks=request.frameworks,
            rules=request.rules,
            profile=request.profile,
            severity_rule=None,
            fail_on="never",
            allow_incomplete=request.allow_incomplete,
            tool_path=request.tool_path,
            jobs=None,
            timeout=request.timeout,
            exclude=(),
            hidden=False,
            canary=True,
            config=request.config,
            every_row=False,
            quiet=False,
            verbose=False,
        )
    )


# -- text -------------------------------------------------------------------------------------------------------------


def as_text(found: Diagnosis, settings: Settings, terminal: Terminal) -> str:
    """What there is, where its rules come from, what is wrong and what mends it, and the verdict."""
    checks = (*found.tools, *found.renderers)
    wrong = [_problem("temporary", problem, "", terminal) for problem in found.temporary.problems]
    wrong += [
        _problem(check.name, problem, "allowed: " if check.allowed else "", terminal)
        for check in checks
        for problem in check.problems
    ]
    notes = [("temporary", note) for note in found.temporary.notes]
    notes += [(check.name, note) for check in checks for note in _notes(check)]
    blocks = [
        _head(found, settings, terminal),
        _table(found, terminal),
        _block("rules", [_entry(check.name, _rules(check), terminal) for check in checks if _rules(check)]),
        _block("wrong", wrong),
        _block("worth knowing", [_entry(name, note, terminal) for name, note in notes]),
        _verdict(found, terminal),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _head(found: Diagnosis, settings: Settings, terminal: Terminal) -> str:
    room = found.temporary
    words = [f"kguard {__version__}", f"profile {settings.profile}", settings.config_path or "no kguard.yaml"]
    if room.path is not None and room.free_bytes is not None:
        words.append(f"temporary files in {room.path}, {_size(room.free_bytes)} free")
    return _wrapped(", ".join(words), "", terminal)


def _size(count: int) -> str:
    return f"{count / (1 << 30):,.1f} GiB" if count >= 1 << 30 else f"{count >> 20:,} MiB"


def _table(found: Diagnosis, terminal: Terminal) -> str:
    checks = (*found.tools, *found.renderers)
    if not checks:
        return ""
    rows = [["tool", "version", "state", "proof", "rules", "program"]]
    rows += [_row(check, "canary found", "canary missed") for check in found.tools]
    rows += [_row(check, "rendered", "not rendered") for check in found.renderers]
    taken = sum(2 + max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1])
    free = max(terminal.width or 0, _NARROWEST) - taken
    for check, row in zip(checks, rows[1:], strict=True):
        row[2], row[-1] = terminal.paint(row[2], _style(check)), terminal.cut(row[-1], free)
    align = ("left", "left", "left", "left", "right", "left")
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=align)


def _row(check: Check, done: str, missed: str) -> list[str]:
    """`done`, `missed`: what it did, and did not, with what kguard gave it."""
    active = check.rules.active if check.rules else None
    return [
        check.name,
        str(check.version or "-"),
        check.state.value,
        "-" if check.works is None else done if check.works else missed,
        "-" if active is None else f"{active:,}",
        one_line(check.program or "-"),
    ]


def _style(check: Check) -> str:
    if check.problems and not check.allowed:
        return "FAIL"
    return "PASS" if check.state is RunState.OK else "faint"


def _rules(check: Check) -> str:
    """Where its rules come from; "" where there are none, or none are known."""
    rules = check.rules
    if rules is None or (rules.active is None and rules.digest is None):
        return ""
    source = rules.source.removesuffix(f": {', '.join(group.name for group in rules.groups)}")
    where = f" in {check.rules_folder}" if check.rules_folder and str(check.rules_folder) not in source else ""
    parts = [f"{source}{where}", *(f"{group.name} {group.rules:,}" for group in rules.groups)]
    return ", ".join([*parts, *([f"sha256 {rules.digest[:12]}"] if rules.digest else [])])


def _notes(check: Check) -> Iterator[str]:
    yield from check.notes
    unknown = check.unknown_rules
    if unknown:
        count = "1 rule" if len(unknown) == 1 else f"{len(unknown):,} rules"
        more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
        yield f"{count} that kguard's catalogue does not know: {', '.join(unknown[:_NAMED])}{more}"


def _problem(name: str, problem: Problem, mark: str, terminal: Terminal) -> str:
    """A command stands in a line of its own, whole, to be copied."""
    text = _entry(name, mark + problem.message, terminal)
    return f"{text}\n{' ' * _INDENT}$ {one_line(problem.command)}" if problem.command else text


def _entry(name: str, text: str, terminal: Terminal) -> str:
    return _wrapped(f"  {name:{_INDENT - 4}}  {one_line(text)}", " " * _INDENT, terminal)


def _block(head: str, entries: list[str]) -> str:
    return "\n".join([head, *entries]) if entries else ""


def _verdict(found: Diagnosis, terminal: Terminal) -> str:
    word = "PASS" if found.exit_code is ExitCode.PASS else "INCOMPLETE"
    allowed = f", but for what is allowed: {', '.join(found.allowed)}" if found.allowed else ""
    text = f"A scan would be complete{allowed}."
    if found.broken:
        text = f"A scan would be incomplete: {', '.join(found.broken)}."
    if found.temporary.problems:
        text = "No scan can run without a folder for temporary files."
    return _wrapped(f"{terminal.paint(word, word)}  {text} Exit {int(found.exit_code)}.", "", terminal)


def _wrapped(text: str, indent: str, terminal: Terminal) -> str:
    if terminal.width is None:
        return text
    width = max(terminal.width, _NARROWEST)
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


# -- JSON -------------------------------------------------------------------------------------------------------------


def as_json(found: Diagnosis, settings: Settings) -> str:
    """Keys are added, never renamed or removed; what is not known is null."""
    room = found.temporary
    whole = {
        "schema": SCHEMA,
        "kguard": {"version": __version__},
        "complete": found.exit_code is ExitCode.PASS,
        "exit_code": int(found.exit_code),
        "settings": {
            "profile": settings.profile,
            "frameworks": settings.frameworks,
            "allow_incomplete": sorted(settings.allow_incomplete),
            "config_path": settings.config_path,
        },
        "temporary": {"path": room.path, "free_bytes": room.free_bytes, **_said(room.problems, room.notes)},
        "tools": [_check(check) | {"canary": check.works, "rules": _bundle(check)} for check in found.tools],
        "renderers": [_check(check) | {"rendered": check.works} for check in found.renderers],
    }
    return json.dumps(whole, indent=1) + "\n"


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "state": check.state,
        "version": str(check.version) if check.version else None,
        "proven_versions": check.proven,
        "path": check.program,
        "allowed": check.allowed,
        **_said(check.problems, check.notes),
    }


def _said(problems: tuple[Problem, ...], notes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "problems": [{"message": problem.message, "command": problem.command} for problem in problems],
        "notes": notes,
    }


def _bundle(check: Check) -> dict[str, Any] | None:
    rules = check.rules
    if rules is None:
        return None
    return {
        "source": rules.source,
        "folder": str(check.rules_folder) if check.rules_folder else None,
        "active": rules.active,
        "groups": [{"name": group.name, "rules": group.rules} for group in rules.groups],
        "digest": rules.digest,
        "unknown": check.unknown_rules,
    }
