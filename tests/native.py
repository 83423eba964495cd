"""Native output of the tools over kguard's own manifests: live where a tool is installed, else recorded.

trivy and kubescape are always installed, and never recorded. Recordings are byte for byte what a tool printed over a stage in one
fixed neutral folder, because kube-linter prints absolute paths; live runs of tests have a folder of their own. `tests/record.py`
makes the recordings again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from packaging.version import Version

from kguard.inputs.discover import discover
from kguard.inputs.stage import write_part
from kguard.model import Command, KubeObject, Outcome, StagedFile, StagePart
from kguard.running import process
from kguard.running.contract import Adapter
from kguard.running.facts import find_program
from kguard.settings import InputSettings, Profile, Settings

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
RECORDINGS = FIXTURES / "native"
STAGE = Path("/tmp/kguard-stage")
EDGES = ("edge", "edge-dies", "edge-nothing", "edge-partly", "edge-skipped")
"""What a tool drops, skips, reads in part or dies of."""
EVIDENCE = ("controls/bad", "controls/good")
"""Cases of controls, each in a folder and a namespace of its own; the bad ones stand in one stage and the good ones in another."""
STAGES = ("shop", "shop-clean", "faults", "several-faults", "init-containers", *EDGES, *EVIDENCE)
"""Folders of fixtures/, or files of one name in them, that are staged."""
RECORDED = {"kube-linter": Version("0.8.3"), "polaris": Version("10.2.2")}
"""The tools that no package registry has, in the versions that were recorded."""
_RULES = dict(pair.split("=", 1) for pair in os.environ.get("KGUARD_RULES", "").split())
SETTINGS = Settings(profile=Profile.ALL, rules={tool: Path(folder) for tool, folder in _RULES.items()})

LARGE = 200_000
"""Bytes."""

ran_live: set[str] = set()
replayed: dict[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A stage: its objects, and the part that a tool reads."""

    objects: tuple[KubeObject, ...]
    part: StagePart

    @property
    def digest(self) -> str:
        """sha256 over names and bytes: a recording of other manifests is stale."""
        texts = sorted((obj.staged, hashlib.sha256(obj.text).hexdigest()) for obj in self.objects)
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()

    @property
    def by_path(self) -> dict[str, KubeObject]:
        return {obj.staged: obj for obj in self.objects}


def adapter(name: str) -> Adapter:
    """The adapter of a tool, as kguard loads it."""
    module: Adapter = import_module(f"kguard.adapters.{name.replace('-', '_')}")
    return module


@lru_cache(maxsize=len(STAGES))
def staged(stage: str) -> Staged:
    """The objects of a folder of fixtures/, or of its files of one name, as they stand in the neutral folder."""
    folder, _, name = stage.partition("/")
    found = discover((str(FIXTURES / folder),), InputSettings(hidden=True)).inventory.objects
    objects = tuple(obj for obj in found if not name or Path(obj.origin.path).stem == name)
    files = tuple(StagedFile(path=obj.staged, ref=obj.ref) for obj in objects)
    return Staged(objects=objects, part=StagePart(id=stage, bundle=objects[0].bundle, root=STAGE / stage, files=files))


def installed(tool: str) -> bool:
    """Whether the recorded version of a tool is on PATH: another one may print otherwise."""
    return version(tool) == RECORDED[tool]


@cache
def version(tool: str) -> Version | None:
    """The version of a tool that is on PATH."""
    program = find_program(tool, SETTINGS)
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="kguard-version-") as folder:
        outcome = process.run(adapter(tool).version_command(), program, Path(folder) / "run", timeout=60)
    return adapter(tool).read_version(outcome)


def native(tool: str, stage: str) -> Outcome:
    """What a tool prints over a stage: live if it is installed, else as recorded; trivy and kubescape are never left out."""
    if tool not in RECORDED or installed(tool):
        ran_live.add(tool)
        return live(tool, stage)
    replayed[tool] = replayed.get(tool, 0) + 1
    return recorded(tool, stage)


@cache
def live(tool: str, stage: str) -> Outcome:
    """Run the tool over a stage in a folder of its own, so that two runs of the tests can go on side by side."""
    with tempfile.TemporaryDirectory(prefix="kguard-native-") as folder:
        return run(tool, stage, Path(folder) / "stage")


def run(tool: str, stage: str, root: Path) -> Outcome:
    """Run the tool over a stage that is written to `root`, which must not exist."""
    root.mkdir(parents=True, mode=0o700)
    write_part(root, staged(stage).objects)
    program = find_program(tool, SETTINGS)
    if program is None:
        raise FileNotFoundError(f"{tool} is not on PATH")
    with tempfile.TemporaryDirectory(prefix="kguard-native-") as folder:
        return process.run(planned(tool, stage, root), program, Path(folder) / "run", timeout=120)


def planned(tool: str, stage: str, root: Path) -> Command:
    """The command that reads a stage which stands in `root`."""
    own = adapter(tool)
    rules = own.rules(SETTINGS, RECORDED.get(tool))
    assert rules.problem is None, f"{rules.problem} `make test` installs the tools' rules and sets KGUARD_RULES."
    return own.plan(replace(staged(stage).part, root=root), SETTINGS, rules)


def folder_of(tool: str, stage: str) -> Path:
    return RECORDINGS / tool / str(RECORDED[tool]) / stage


def recorded(tool: str, stage: str) -> Outcome:
    """The recording, as the outcome of the command that would be run now."""
    folder = folder_of(tool, stage)
    return Outcome(
        command=planned(tool, stage, STAGE / stage),
        exit_code=json.loads((folder / "run.json").read_text())["exit_code"],
        stdout=_held(folder / "stdout"),
        stderr=_held(folder / "stderr"),
    )


def _held(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else gzip.decompress(file.with_suffix(".gz").read_bytes())


def record(tool: str, stage: str) -> Outcome:
    """Run the tool over a stage in the neutral folder, and keep what it prints in the place of the older recording. Large texts are
    packed; unpacked, they are the same byte for byte."""
    shutil.rmtree(STAGE, ignore_errors=True)
    outcome = run(tool, stage, STAGE / stage)
    shutil.rmtree(STAGE)
    folder = folder_of(tool, stage)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
        if len(text) > LARGE:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text, mtime=0))
        else:
            (folder / name).write_bytes(text)
    facts = {**circumstances(tool, stage), "exit_code": outcome.exit_code}
    (folder / "run.json").write_text(json.dumps(facts, indent=1) + "\n")
    return outcome


def circumstances(tool: str, stage: str) -> dict[str, Any]:
    """What a recording is a recording of; one that says otherwise is stale, whether or not the tool is here."""
    command = planned(tool, stage, STAGE / stage)
    files = {name: content.decode() for name, content in command.files.items()}
    return {"argv": list(command.argv), "env": dict(command.env), "files": files, "stage_sha256": staged(stage).digest}


def face(outcome: Outcome) -> tuple[int | None, Any, list[str]]:
    """What a tool printed, but for times, its random order, and where the stage stood."""
    part = outcome.command.part
    where = str(part.root if part else "").encode()
    stdout, stderr = (text.replace(where, b"STAGE") for text in (outcome.stdout, outcome.stderr))
    log = re.sub(r'time="[^"]*"', "", stderr.decode())
    return outcome.exit_code, _calm(json.loads(stdout)) if stdout else None, sorted(log.splitlines())


def _calm(value: Any) -> Any:
    """JSON without the fields that hold times, lists in one order."""
    if isinstance(value, dict):
        times = ("AuditTime", "CreatedTime", "CheckEndTime")
        return {key: _calm(item) for key, item in value.items() if key not in times}
    if isinstance(value, list):
        return sorted((_calm(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value
