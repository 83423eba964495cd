"""An adapter of a package that kguard knows nothing of: installed beside it, it is a tool like the others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]
PACKAGE = Path(__file__).resolve().parent.parent / "thirdparty" / "labelcheck"
PROGRAM = PACKAGE / "labelcheck"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, as pip installs it."""
    folder = tmp_path_factory.mktemp("thirdparty")
    shutil.copytree(PACKAGE, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    flags = ["--no-deps", "--no-build-isolation", "--target", str(folder / "site"), str(folder / "source")]
    done = subprocess.run([*pip, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def scan(kguard: Kguard, site: Path, *flags: str) -> dict[str, Any]:
    done = kguard("scan", "pod.yaml", "-f", "json", *flags, env={"PYTHONPATH": str(site)})
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_its_tool_runs_and_what_it_says_is_in_the_report(kguard: Kguard, pod: Path, site: Path) -> None:
    report = scan(kguard, site, "--tools", "labelcheck", "--tool-path", f"labelcheck={PROGRAM}")
    (run,) = [tool for tool in report["tools"] if tool["name"] == "labelcheck"]
    assert (run["state"], run["version"], run["rules"]["ids"]) == ("ok", "1.2", ["no-labels"])
    assert run["objects"] == {"staged": 1, "read": 1, "out_of_scope": 0, "unread": 0}
    (finding,) = report["findings"]
    assert (finding["control"], finding["severity"], finding["tools"]) == (
        "labelcheck:no-labels",
        "low",
        ["labelcheck"],
    )
    assert finding["location"]["path"] == "pod.yaml"


def test_it_stands_in_the_reports_for_people(kguard: Kguard, pod: Path, site: Path) -> None:
    flags = ("--tools", "labelcheck,trivy", "--tool-path", f"labelcheck={PROGRAM}")
    lines = kguard("scan", "pod.yaml", *flags, env={"PYTHONPATH": str(site)}).stdout.splitlines()
    tools = [line.split()[0] for line in lines[: lines.index("")]]
    assert tools == ["kube-linter", "trivy", "kubescape", "polaris", "labelcheck"]
    (row,) = [line for line in lines if "labelcheck:no-labels" in line]
    assert row.endswith(" LA")


def test_it_is_asked_like_the_others(kguard: Kguard, pod: Path, site: Path) -> None:
    states = {tool["name"]: tool["state"] for tool in scan(kguard, site, "--tools", "+labelcheck,-trivy")["tools"]}
    assert (states["labelcheck"], states["trivy"]) == ("missing", "skipped-by-config")
    states = {tool["name"]: tool["state"] for tool in scan(kguard, site, "--tools", "-labelcheck,-trivy")["tools"]}
    assert states["labelcheck"] == "skipped-by-config"


def test_without_the_package_nobody_knows_it(kguard: Kguard, pod: Path) -> None:
    done = kguard("scan", "pod.yaml", "--tools", "labelcheck")
    assert done.returncode == 2
    assert "'labelcheck' is not known" in done.stderr
