"""The stage is private, complete, and gone afterwards."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from kguard.inputs.objects import read_manifest
from kguard.inputs.plain import PlainReader
from kguard.inputs.stage import workspace, write_part
from kguard.model import KubeObject


def pod(staged: str) -> KubeObject:
    (obj,) = read_manifest("m.yaml", b"apiVersion: v1\nkind: Pod\n", "b").objects
    return dataclasses.replace(obj, staged=staged)


def test_each_object_is_its_own_private_file(tmp_path: Path) -> None:
    write_part(tmp_path, [pod("tree/a/x--1.yaml"), pod("tree/y--2.yaml")])
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [path.relative_to(tmp_path).as_posix() for path in files] == ["tree/a/x--1.yaml", "tree/y--2.yaml"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert files[0].read_bytes() == b"apiVersion: v1\nkind: Pod\n"


def test_no_name_leaves_the_stage(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leaves the stage"):
        write_part(tmp_path / "stage", [pod("../out.yaml")])


def test_two_objects_never_share_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        write_part(tmp_path, [pod("a.yaml"), pod("a.yaml")])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, None])
def test_the_workspace_is_private_and_gone_however_the_run_ends(error: type[BaseException] | None) -> None:
    seen: list[Path] = []

    def work() -> None:
        with workspace() as folder:
            seen.append(folder)
            assert folder.stat().st_mode & 0o777 == 0o700
            write_part(folder, [pod("tree/a.yaml")])
            if error:
                raise error

    if error:
        with pytest.raises(error):
            work()
    else:
        work()
    assert not seen[0].exists()


def test_the_workspace_is_gone_though_its_removal_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., None] = shutil.rmtree
    calls: list[Path] = []

    def interrupted(folder: Path, **flags: bool) -> None:
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt
        real(folder, **flags)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt), workspace() as folder:
        write_part(folder, [pod("tree/a.yaml")])
    assert not folder.exists()


def test_an_object_that_stands_in_another_part_already_is_the_same_file(tmp_path: Path) -> None:
    objects = (pod("tree/a.yaml"), pod("tree/b.yaml"))
    written: dict[KubeObject, Path] = {}
    write_part(tmp_path / "1", objects, written)
    write_part(tmp_path / "2", objects[:1], written)
    first, second = (tmp_path / part / objects[0].staged for part in ("1", "2"))
    assert first.samefile(second)
    assert second.read_bytes() == objects[0].text
    assert written[objects[1]] == tmp_path / "1" / objects[1].staged


def test_names_as_long_as_a_file_system_takes_them_fit_on_the_stage(tmp_path: Path) -> None:
    reader = PlainReader(bundle="b")
    for last in "xy":
        name = PurePosixPath("d" * 255, f"{'a' * 249}{last}.yaml")
        reader.content(str(name), name, b"apiVersion: v1\nkind: Pod\n")
    write_part(tmp_path, reader.objects)
    assert len({obj.staged for obj in reader.objects}) == 2
