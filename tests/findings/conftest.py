"""Evidence over fixtures/faults by all four tools, and objects made in a test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import native
import pytest

from kguard.findings.locate import locate
from kguard.inputs.objects import index, read_manifest
from kguard.inputs.stage import write_part
from kguard.model import KubeObject, Located, Outcome, StagePart
from kguard.running import process
from kguard.running.facts import find_program
from kguard.settings import Profile, Settings

TOOLS = ("kube-linter", "trivy", "kubescape", "polaris")


@pytest.fixture
def objects_of() -> Callable[[str], tuple[KubeObject, ...]]:
    """The objects of a manifest given as text."""

    def read(text: str) -> tuple[KubeObject, ...]:
        content = read_manifest("m.yaml", text.encode(), "b")
        assert not content.problems
        return content.objects

    return read


@pytest.fixture(scope="session")
def evidence() -> Callable[[str], tuple[Located, ...]]:
    """What the tools say of a stage, in profile `all`; kube-linter and polaris replayed where they are not installed."""
    found: dict[str, tuple[Located, ...]] = {}

    def gather(stage: str) -> tuple[Located, ...]:
        if stage not in found:
            here = native.staged(stage)
            found[stage] = tuple(
                item
                for tool in TOOLS
                for item in locate(
                    here.part, native.adapter(tool).parse(_outcome(tool, stage)).evidence, here.by_path, index
                )
            )
        return found[stage]

    return gather


def _outcome(tool: str, stage: str) -> Outcome:
    if tool in native.RECORDED:
        return native.native(tool, stage)
    rules = dict(pair.split("=", 1) for pair in os.environ["KGUARD_RULES"].split())
    settings = Settings(profile=Profile.ALL, rules={name: Path(path) for name, path in rules.items()})
    here, own = native.staged(stage), native.adapter(tool)
    program = find_program(tool, settings)
    assert program is not None, f"{tool} comes with `make tools` and is never left out"
    with tempfile.TemporaryDirectory(prefix="kguard-evidence-") as folder:
        write_part(Path(folder) / "stage", here.objects)
        part = StagePart(id="1", bundle=here.part.bundle, root=Path(folder) / "stage", files=here.part.files)
        command = own.plan(part, settings, own.rules(settings, None))
        return process.run(command, program, Path(folder) / "run", timeout=120)
