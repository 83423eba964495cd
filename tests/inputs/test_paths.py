"""Paths as reports and fingerprints know them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kguard.inputs.paths import anchored, display


def test_relative_below_the_working_directory_and_absolute_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert display(Path("a/b.yaml")) == "a/b.yaml"
    assert display(Path("../b.yaml")) == (tmp_path / "b.yaml").as_posix()


@pytest.mark.parametrize("here", [".", "deploy", "deploy/web"])
def test_a_file_is_known_from_the_repositorys_root_wherever_the_command_runs(
    here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "deploy/web").mkdir(parents=True)
    file = tmp_path / "deploy/web/a.yaml"
    monkeypatch.chdir(tmp_path / here)
    assert anchored(["."])(display(file)) == "deploy/web/a.yaml"


def test_files_given_singly_are_told_apart_and_links_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dev", "prod"):
        (tmp_path / "real" / name).mkdir(parents=True)
        (tmp_path / "real" / name / "web.yaml").touch()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    files = ["real/dev/web.yaml", "real/prod/web.yaml"]
    assert [anchored(files)(file) for file in files] == ["dev/web.yaml", "prod/web.yaml"]
    assert anchored(["link"])("link/dev/web.yaml") == anchored(["real"])("real/dev/web.yaml") == "dev/web.yaml"
    assert anchored(["-"])("-") == "-"


@pytest.mark.parametrize(("here", "source"), [(".", "deploy"), ("deploy", "."), ("deploy/web", "..")])
def test_outside_a_repository_it_is_known_from_the_source(
    here: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deploy/web").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / here)
    assert anchored([source])(display(tmp_path / "deploy/web/a.yaml")) == "web/a.yaml"
