"""Native output of the tools over kguard's own manifests: live where a tool is installed, else recorded.

The manifests of a stage are staged in one fixed neutral folder, because kube-linter prints absolute paths: so a recording, byte for
byte what the tool printed, can be parsed as if it had just run. `tests/record.py` makes the recordings again.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from packaging.version import Version

from kguard.inputs.discover import discover
from kguard.inputs.stage import write_part
from kguard.model import KubeObject, Outcome, StagedFile, StagePart
from kguard.running import process
from kguard.running.contract import Adapter
from kguard.running.tools import find_program
from kguard.settings import Profile, Settings

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
RECORDINGS = FIXTURES / "native"
STAGE = Path("/tmp/kguard-stage")
STAGES = ("shop", "shop-clean", "faults", "edge")
"""Folders of fixtures/ that are staged."""
RECORDED = {"kube-linter": Version("0.8.3"), "polaris": Version("10.2.2")}
"""The tools that no package registry has, in the versions that were recorded."""
SETTINGS = Settings(profile=Profile.ALL)

ran_live: set[str] = set()
replayed: dict[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A stage: its objects, and the part that a tool reads."""

    objects: tuple[KubeObject, ...]
    part: StagePart

    @property
    def by_path(self) -> dict[str, KubeObject]:
        return {obj.staged: obj for obj in self.objects}


def adapter(name: str) -> Adapter:
    """The adapter of a tool, as kguard loads it."""
    module: Adapter = import_module(f"kguard.adapters.{name.replace('-', '_')}")
    return module


@lru_cache(maxsize=len(STAGES))
def staged(stage: str) -> Staged:
    """The objects of a folder of fixtures/, as they stand in the neutral folder."""
    objects = discover((str(FIXTURES / stage),)).objects
    files = tuple(StagedFile(path=obj.staged, ref=obj.ref) for obj in objects)
    return Staged(objects=objects, part=StagePart(id=stage, bundle=objects[0].bundle, root=STAGE / stage, files=files))


def installed(tool: str) -> bool:
    """Whether the recorded version of a tool is on PATH: another one may print otherwise."""
    program = find_program(tool, SETTINGS)
    if program is None:
        return False
    with tempfile.TemporaryDirectory(prefix="kguard-version-") as folder:
        outcome = process.run(adapter(tool).version_command(), program, Path(folder) / "run", timeout=60)
    return adapter(tool).read_version(outcome) == RECORDED[tool]


def native(tool: str, stage: str) -> Outcome:
    """What a tool prints over a stage: live if it is installed, else as recorded."""
    if installed(tool):
        ran_live.add(tool)
        return live(tool, stage)
    replayed[tool] = replayed.get(tool, 0) + 1
    return recorded(tool, stage)


@lru_cache(maxsize=16)
def live(tool: str, stage: str) -> Outcome:
    """Run the tool over a stage in the neutral folder."""
    found = staged(stage)
    shutil.rmtree(found.part.root, ignore_errors=True)
    write_part(found.part.root, found.objects)
    program = find_program(tool, SETTINGS)
    if program is None:
        raise FileNotFoundError(f"{tool} is not on PATH")
    own = adapter(tool)
    command = own.plan(found.part, SETTINGS, own.rules(SETTINGS, RECORDED[tool]))
    with tempfile.TemporaryDirectory(prefix="kguard-native-") as folder:
        outcome = process.run(command, program, Path(folder) / "run", timeout=120)
    shutil.rmtree(found.part.root)
    return outcome


def folder_of(tool: str, stage: str) -> Path:
    return RECORDINGS / tool / str(RECORDED[tool]) / stage


def recorded(tool: str, stage: str) -> Outcome:
    """The recording, as the outcome of the command that would be run now."""
    found, own, folder = staged(stage), adapter(tool), folder_of(tool, stage)
    command = own.plan(found.part, SETTINGS, own.rules(SETTINGS, RECORDED[tool]))
    facts = json.loads((folder / "run.json").read_text())
    return Outcome(
        command=command,
        exit_code=facts["exit_code"],
        stdout=(folder / "stdout").read_bytes(),
        stderr=(folder / "stderr").read_bytes(),
    )
