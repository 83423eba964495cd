"""Every file below the sources is accounted for, and the bad ones are named."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from kguard.errors import UsageError
from kguard.inputs.discover import discover
from kguard.model import BundleState, FileState, Inventory

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: x}]}\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def staged(inventory: Inventory) -> list[str]:
    return sorted(obj.staged for obj in inventory.objects)


def states(inventory: Inventory) -> dict[str, str]:
    return {file.path: file.state.value for file in inventory.files}


def test_a_folder_is_one_bundle_and_files_given_singly_another(tree: Path) -> None:
    write(tree, {"d/a.yaml": POD, "d/sub/b.YML": POD, "x.yaml": POD, "y.json": '{"apiVersion":"v1","kind":"Pod"}'})
    inventory = discover(["d", "y.json", "x.yaml"])
    assert [(bundle.id, len(bundle.objects)) for bundle in inventory.bundles] == [("d", 2), ("files", 2)]
    assert staged(inventory) == ["tree/a--1.yaml", "tree/sub/b--1.yaml", "tree/x--1.yaml", "tree/y--1.yaml"]
    assert set(states(inventory).values()) == {"scanned"}


def test_a_missing_path_ends_before_anything_is_read(tree: Path) -> None:
    write(tree, {"a.yaml": POD})
    with pytest.raises(UsageError, match=r"nowhere does not exist; nothing was scanned"):
        discover(["a.yaml", "nowhere"])


def test_an_empty_path_is_not_the_working_directory(tree: Path) -> None:
    write(tree, {"a.yaml": POD})
    with pytest.raises(UsageError, match="one of the paths is empty"):
        discover(["a.yaml", ""])


def test_overlapping_sources_are_read_once(tree: Path) -> None:
    write(tree, {"d/a.yaml": POD, "d/sub/b.yaml": POD})
    assert len(discover(["d", "d/sub", "d/a.yaml", "./d"]).objects) == 2


def test_stdin_is_a_file_of_its_own(tree: Path) -> None:
    (obj,) = discover(["-"], stdin=io.BytesIO(POD.encode())).objects
    assert (obj.origin.path, obj.staged) == ("-", "tree/stdin--1.yaml")


def test_names_that_would_collide_or_mislead_a_tool(tree: Path) -> None:
    names = [
        "w.yaml",
        "w.yml",
        "w.json",
        "a b/x.yaml",
        "a_b/x.yaml",
        "--config.yaml",
        "$(id)\n;.yaml",
        "dev/x.yaml",
        "..x/y.yaml",
    ]
    write(tree, {f"d/{name}": POD for name in names})
    inventory = discover(["d"])
    found = staged(inventory)
    assert len(set(found)) == len(names)
    folders = {path.split("/")[1] for path in found if "x--1" in path}
    assert len(folders) == 3
    for path in found:
        assert path.startswith("tree/")
        assert not set(path) & set(" \n$();")
        assert all(not part.startswith("-") and part != ".." for part in path.split("/"))
    assert {obj.origin.path for obj in inventory.objects} == {f"d/{name}" for name in names}


def test_a_name_that_is_not_utf8(tree: Path) -> None:
    (tree / "d").mkdir()
    with open(os.fsencode(tree / "d") + b"/\xff.yaml", "w") as file:
        file.write(POD)
    (obj,) = discover(["d"]).objects
    assert obj.origin.path == "d/\\xff.yaml"


def test_links_that_lead_nowhere_out_or_round_in_circles(tree: Path) -> None:
    write(tree, {"d/real.yaml": POD, "secret.yaml": POD})
    (tree / "d/inside.yaml").symlink_to("real.yaml")
    (tree / "d/out.yaml").symlink_to(tree / "secret.yaml")
    (tree / "d/gone.yaml").symlink_to("nothing")
    (tree / "d/loop").symlink_to(".")
    (tree / "d/self.yaml").symlink_to("self.yaml")
    inventory = discover(["d"])
    assert states(inventory) == {
        "d/gone.yaml": "unreadable",
        "d/inside.yaml": "scanned",
        "d/loop": "ignored",
        "d/out.yaml": "ignored",
        "d/real.yaml": "scanned",
        "d/self.yaml": "unreadable",
    }
    assert [problem.path for problem in inventory.problems] == ["d/gone.yaml", "d/self.yaml"]


def test_an_unreadable_file_is_a_problem_and_costs_no_other(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tree, {"d/a.yaml": POD, "d/b.yaml": POD})
    opened = Path.open

    def refuse(path: Path, *args: object, **more: object) -> object:
        if path.name == "b.yaml":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **more)  # type: ignore[call-overload]

    # tests may run as root, whom no file mode stops
    monkeypatch.setattr(Path, "open", refuse)
    inventory = discover(["d"])
    assert len(inventory.objects) == 1
    assert [str(problem) for problem in inventory.problems] == ["d/b.yaml: cannot be read: Permission denied."]


def test_charts_and_kustomizations_are_named_as_not_rendered(tree: Path) -> None:
    write(
        tree,
        {
            "d/chart/Chart.yaml": "name: c\nversion: 1.0.0\n",
            "d/chart/values.yaml": "a: 1\n",
            "d/chart/templates/pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Values.a }}}\n",
            "d/over/kustomization.yaml": "resources: [pod.yaml]\n",
            "d/over/pod.yaml": POD,
        },
    )
    inventory = discover(["d"])
    assert staged(inventory) == ["tree/over/pod--1.yaml"]
    failed = {bundle.id: bundle.reason for bundle in inventory.bundles if bundle.state is BundleState.FAILED}
    assert set(failed) == {"helm:d/chart", "kustomize:d/over"}
    assert all(reason and reason.startswith("not rendered: ") for reason in failed.values())
    assert states(inventory)["d/chart/templates/pod.yaml"] == "template"
    assert inventory.problems == ()


def test_hidden_folders_are_read_and_git_is_not(tree: Path) -> None:
    write(tree, {"d/.hidden/a.yaml": POD, "d/.git/b.yaml": POD, "d/.c.yaml": POD})
    assert staged(discover(["d"])) == ["tree/.c--1.yaml", "tree/.hidden/a--1.yaml"]


def test_what_is_no_manifest_is_said_and_is_no_problem(tree: Path) -> None:
    write(tree, {"d/package.json": '{"name": "x"}', "d/empty.yaml": "", "d/values.yaml": "a: 1\n", "d/x.txt": POD})
    inventory = discover(["d"])
    assert {file.path: (file.state, bool(file.reason)) for file in inventory.files} == {
        f"d/{name}": (FileState.NOT_KUBERNETES, True) for name in ("package.json", "empty.yaml", "values.yaml")
    }
    assert inventory.problems == ()


def test_the_count_of_objects_is_that_of_an_independent_reader(fixtures: Path) -> None:
    inventory = discover([str(fixtures / "shop")])
    assert sum(file.objects for file in inventory.files) == len(inventory.objects) == 24
    assert len({obj.key for obj in inventory.objects}) == 24
