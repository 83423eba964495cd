"""The shop: every planted fault is found, on its line, by the tools that are there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import native
import pytest

from kguard.findings.catalogue import load_catalogue

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]
ALWAYS = frozenset(("trivy", "kubescape"))
"""The tools that every run of the tests has."""


def planted(folder: Path) -> list[tuple[str, int, str]]:
    """(file, line, control) of each `# fault:` comment."""
    return [
        (path.relative_to(folder).as_posix(), number, control)
        for path in sorted(folder.rglob("*.yaml"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for words in re.findall(r"# fault: ([a-z -]+)", line)
        for control in words.split()
    ]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from kguard.reports import json_v1
    from kguard.scan import scan
    from kguard.settings import InputSettings, Profile, Settings

    rules = native_rules()
    settings = Settings(profile=Profile.ALL, rules=rules, inputs=InputSettings(hidden=True))
    return json.loads(json_v1.render(scan((str(native.FIXTURES / "shop"),), settings)))


def native_rules() -> dict[str, Path]:
    import os

    return {name: Path(path) for name, path in (pair.split("=", 1) for pair in os.environ["KGUARD_RULES"].split())}


def test_every_planted_fault_is_found_on_its_line(report: Any) -> None:
    here = {tool["name"] for tool in report["tools"] if tool["state"] == "ok"}
    assert here >= ALWAYS
    found = {(f["location"]["path"], f["control"]): [] for f in report["findings"]}  # type: ignore[var-annotated]
    for finding in report["findings"]:
        found[finding["location"]["path"], finding["control"]].append(finding["location"]["line"])
    lost = []
    for file, line, control in planted(native.FIXTURES / "shop"):
        if not set(load_catalogue().controls[control].tools) & here:
            continue  # the tools that check it are not installed here
        path = next((path for path, _ in found if path.endswith(f"shop/{file}")), None)
        lines = found.get((path or "", control), [])
        if not any(line - 2 <= at <= line + 6 for at in lines):
            lost.append((file, line, control, lines))
    only_elsewhere = {
        "replicas-minimum",
        "duplicate-env-variable",
        "exposed-service-type",
        "dangling-service",
        "dangling-ingress",
    }
    assert [item for item in lost if here >= {"kube-linter", "polaris"} or item[2] not in only_elsewhere] == []


def test_what_could_not_be_read_is_said_and_the_rest_was_read(report: Any) -> None:
    assert report["gate"]["incomplete"][-1] == "inputs"
    (problem,) = report["inputs"]["problems"]
    assert (Path(problem["path"]).name, problem["line"]) == ("broken.yaml", 10)
    assert report["summary"]["objects"] == 24
    for tool in report["tools"]:
        counts = tool["objects"]
        if counts["read"] is not None and tool["processes"]:
            assert counts["staged"] == counts["read"] + counts["out_of_scope"] + counts["unread"] == 24


def test_the_clean_twin_passes(kguard: Kguard, fixtures: Path) -> None:
    done = kguard("scan", str(fixtures / "shop-clean"), "--tools", "trivy,kubescape")
    assert done.returncode == 0, done.stdout
