"""What the sabotage table is made of: manifests, tools that are tampered with, scans, and the one question asked of each.

A scan that was sabotaged is either the undisturbed one, but for times, or it says which tool or input is incomplete, and why, and does
not end with 0.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kguard.running.facts import find_program, tool_facts
from kguard.settings import Settings

NAMES = ("kube-linter", "kubescape", "polaris", "trivy")
ALWAYS = ("kubescape", "trivy")
"""Those that every machine which runs the tests has."""
KGUARD = str(Path(sys.executable).parent / "kguard")
STAND_IN = Path(__file__).with_name("sabotage_tool.py")

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostPID: true
      containers:
        - name: web
          image: web:1
          securityContext: {privileged: true}
"""
TILL = """\
apiVersion: v1
kind: Pod
metadata:
  name: till
  namespace: shop
spec:
  containers:
    - name: till
      image: till
"""
LIMITS = """\
apiVersion: v1
kind: LimitRange
metadata:
  name: most
  namespace: shop
spec: {limits: [{type: Container}]}
"""
MANIFESTS = {"web.yaml": WEB, "till.yaml": TILL, "limits.yaml": LIMITS}


def write_tree(folder: Path, manifests: Mapping[str, str] = MANIFESTS) -> Path:
    """The manifests in `folder`/tree; gives `folder`."""
    (folder / "tree").mkdir(parents=True)
    for name, text in manifests.items():
        (folder / "tree" / name).write_text(text)
    return folder


# -- tools ------------------------------------------------------------------------------------------------------------


def stand_in(name: str) -> str:
    """The command of a stand-in, for sh."""
    rules = ",".join(tool_facts()[name].canary)
    return shlex.join([sys.executable, "-S", "-E", str(STAND_IN), name, rules])


def real(name: str) -> str:
    """The command of a tool, for sh; of its stand-in where it is not on PATH."""
    program = find_program(name, Settings())
    assert program or name not in ALWAYS, f"{name} is not on PATH: run the tests with `make test`"
    return shlex.quote(str(program)) if program else stand_in(name)


def tool(folder: Path, name: str, command: str, before: str = "") -> Path:
    """A program called `name` that does something first, in sh, when it is asked to scan: `$root` is what it shall read."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = version ] && exec {command} "$@"\n'
        "for word; do case $word in */stage/*) root=$word;; esac; done\n"
        f"{before}\n"
        f'exec {command} "$@"\n'
    )
    program.chmod(0o755)
    return program


def tools(folder: Path, before: str = "", *, stand_ins: bool = True, only: Iterable[str] = NAMES) -> dict[str, Path]:
    """All four, each of `only` with the same thing to do first."""
    command = stand_in if stand_ins else real
    return {name: tool(folder, name, command(name), before if name in only else "") for name in NAMES}


def recorders(folder: Path, *, stand_ins: bool = False) -> dict[str, Path]:
    """Tools that do as they should, and leave what they printed in `folder`/NAME."""
    command = stand_in if stand_ins else real
    found = {}
    for name in NAMES:
        keep = folder / name
        keep.mkdir(parents=True)
        before = (
            f'cd_to={shlex.quote(str(keep))}; echo "$root" >"$cd_to/root"\n'
            f'{command(name)} "$@" >"$cd_to/stdout" 2>"$cd_to/stderr"; code=$?; echo $code >"$cd_to/code"\n'
            'cat "$cd_to/stdout"; cat "$cd_to/stderr" >&2; exit $code'
        )
        found[name] = tool(folder / "bin", name, command(name), before)
    return found


def replayers(folder: Path, recorded: Path, *, stand_ins: bool = False, after: str = "") -> dict[str, Path]:
    """Tools that print what was recorded, as if it were of what they shall read, and then do something more."""
    command = stand_in if stand_ins else real
    found = {}
    for name in NAMES:
        keep = shlex.quote(str(recorded / name))
        before = (
            f"keep={keep}; there=$(cat $keep/root)\n"
            'sed "s|$there|$root|g" $keep/stdout; sed "s|$there|$root|g" $keep/stderr >&2\n'
            f"{after}\nexit $(cat $keep/code)"
        )
        found[name] = tool(folder, name, command(name), before)
    return found


# -- scans ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How a scan went; the report is None where none was written."""

    code: int
    report: Any
    stderr: str

    def tool(self, name: str) -> Any:
        return next(item for item in self.report["tools"] if item["name"] == name)

    @property
    def incomplete(self) -> set[str]:
        return set(self.report["gate"]["incomplete"])


def argv_of(flags: Sequence[str], programs: Mapping[str, Path]) -> list[str]:
    paths = (f"{name}={path}" for name, path in programs.items())
    named = (word for path in paths for word in ("--tool-path", path))
    return [KGUARD, "scan", "tree", "--fail-on", "never", *named, *flags]


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    own = {
        name: value for name, value in os.environ.items() if not name.startswith("KGUARD_") or name == "KGUARD_RULES"
    }
    return own | dict(extra)


def scan(
    folder: Path,
    *flags: str,
    programs: Mapping[str, Path],
    env: Mapping[str, str] | None = None,
    wrap: Sequence[str] = (),
) -> Scan:
    """`kguard scan tree` in `folder`, with JSON on stdout; `wrap` is a command that starts it."""
    argv = [*wrap, *argv_of(("-f", "json", *flags), programs)]
    done = subprocess.run(
        argv, cwd=folder, env=environment(env or {}), capture_output=True, text=True, check=False, timeout=120
    )
    return Scan(code=done.returncode, report=json.loads(done.stdout) if done.stdout else None, stderr=done.stderr)


# -- the question -----------------------------------------------------------------------------------------------------

_COSTS = ("path", "seconds", "cpu_seconds", "peak_memory_bytes")
"""Fields of a tool's run that tell where its program stands, and what it took."""


def _tool(item: Any) -> Any:
    return {key: value for key, value in item.items() if key not in _COSTS}


def face(report: Any) -> Any:
    """A report without times, where programs stand, and what lies beside the manifests."""
    tools = [_tool(item) for item in report["tools"]]
    summary = {key: value for key, value in report["summary"].items() if key != "files"}
    return {"tools": tools, "summary": summary, "findings": report["findings"], "gate": report["gate"]}


def said(report: Any, name: str) -> list[tuple[str, str, str]]:
    """All that a tool said, by finding."""
    return sorted(
        (finding["fingerprint"], item["rule"], item["message"])
        for finding in report["findings"]
        for item in finding["evidence"]
        if item["tool"] == name
    )


def equal(done: Scan, sound: Scan) -> None:
    """The sabotage changed nothing."""
    assert done.code == sound.code == 0, done.stderr
    has, had = face(done.report), face(sound.report)
    for part in had:
        assert has[part] == had[part], part


def told(done: Scan, sound: Scan, incomplete: Iterable[str] | None = None) -> None:
    """The sabotage is told: with its reason, at the gate, and by the exit code. What the other tools said is what it was.

    `incomplete` names the tools and inputs that must be; None where that is left to chance, and nothing need be.
    """
    found = done.incomplete
    if incomplete is None and not found:
        return equal(done, sound)
    assert incomplete is None or found == set(incomplete), found
    assert done.code == done.report["gate"]["exit_code"] == 4
    for name in found:
        assert name in done.report["gate"]["reason"]
    for name in NAMES:
        item = done.tool(name)
        if name in found:
            assert item["state"] not in ("ok", "skipped-by-config")
            assert item["reason"]
        elif "inputs" not in found:
            assert _tool(item) == _tool(sound.tool(name))
            assert said(done.report, name) == said(sound.report, name)
    return None


def running(mark: str) -> Iterator[int]:
    """Ids of processes with `mark` in their command line or environment; not this one."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue  # gone meanwhile, or another user's
        if mark.encode() in text and int(entry.name) != os.getpid():
            yield int(entry.name)
