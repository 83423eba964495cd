"""Flags become settings, and a wrong word is answered with the nearest right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from kguard.cli import options, outputs
from kguard.cli.outputs import Output
from kguard.errors import UsageError
from kguard.model import Severity

TOOLS = ("kube-linter", "trivy", "kubescape", "polaris")


@pytest.mark.parametrize(
    ("text", "tools"),
    [
        (None, None),
        ("polaris,trivy", ("trivy", "polaris")),
        ("-kubescape", ("kube-linter", "trivy", "polaris")),
        ("+trivy,-polaris", ("kube-linter", "trivy", "kubescape")),
    ],
)
def test_tools(text: str | None, tools: tuple[str, ...] | None) -> None:
    assert options.tools(text, TOOLS) == tools


@pytest.mark.parametrize(
    ("text", "tools"),
    [
        (None, None),
        ("+polaris", ("kube-linter", "trivy", "kubescape", "polaris")),
        ("+polaris,-trivy", ("kube-linter", "kubescape", "polaris")),
        ("-trivy", ("kube-linter", "kubescape")),
        ("polaris", ("polaris",)),
    ],
)
def test_tools_that_are_off_by_default_run_when_they_are_named(text: str | None, tools: tuple[str, ...] | None) -> None:
    assert options.tools(text, TOOLS, off=["polaris"]) == tools


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trivvy", "--tools: 'trivvy' is not known; did you mean 'trivy'"),
        ("trivy,-polaris", "not both"),
        ("-kube-linter,-trivy,-kubescape,-polaris", "leaves no tool"),
    ],
)
def test_wrong_tools(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        options.tools(text, TOOLS)


def test_the_bar() -> None:
    assert options.severity_bar("HIGH") is Severity.HIGH
    assert options.severity_bar("never") is None
    with pytest.raises(UsageError, match="did you mean 'medium'"):
        options.severity_bar("medum")


def test_named_paths(tmp_path: Path) -> None:
    assert options.named_paths("--rules", [f"kubescape={tmp_path}"], TOOLS, folder=True) == {"kubescape": tmp_path}
    for pair, words in (
        ("kubescape", "NAME=PATH"),
        ("kubescap=x", "did you mean 'kubescape'"),
        ("kubescape=/nowhere", "no such folder"),
    ):
        with pytest.raises(UsageError, match=words):
            options.named_paths("--rules", [pair], TOOLS, folder=True)


def test_where_reports_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert outputs.resolve([], []) == ()
    assert outputs.resolve(["json"], []) == (Output(format="json", path=None),)
    assert outputs.resolve([], ["a.html", "b.md"]) == (
        Output(format="html", path=Path("a.html")),
        Output(format="markdown", path=Path("b.md")),
    )
    assert outputs.resolve(["json"], ["-"]) == (Output(format="json", path=None),)
    assert outputs.resolve(["json"], ["run"]) == (Output(format="json", path=Path("run")),)


@pytest.mark.parametrize(
    ("formats", "files", "words"),
    [
        (["jsn"], [], "did you mean 'json'"),
        (["json", "html"], [], "only one report fits on stdout"),
        (["json"], ["a", "b"], "one --format for each --output"),
        ([], ["a.xyz"], "does not tell the format"),
        ([], ["no/such/a.html"], "the folder no/such does not exist"),
        (["html"], ["."], "is a folder"),
    ],
)
def test_where_reports_cannot_go(
    formats: list[str], files: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        outputs.resolve(formats, files)
