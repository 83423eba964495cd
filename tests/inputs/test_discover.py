"""Every file below the sources is accounted for, and the bad ones are named."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from kguard.errors import UsageError
from kguard.inputs.discover import discover
from kguard.model import FileState, Inventory
from kguard.settings import ChartSettings, Exclude, InputSettings, KustomizationSettings

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: x}]}\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def inventory_of(*sources: str, **settings: Any) -> Inventory:
    return discover(sources, InputSettings(**settings)).inventory


def staged(inventory: Inventory) -> list[str]:
    return sorted(obj.staged for obj in inventory.objects)


def states(inventory: Inventory) -> dict[str, str]:
    return {file.path: file.state.value for file in inventory.files}


def test_a_folder_is_one_bundle_and_files_given_singly_another(tree: Path) -> None:
    write(tree, {"d/a.yaml": POD, "d/sub/b.YML": POD, "x.yaml": POD, "y.json": '{"apiVersion":"v1","kind":"Pod"}'})
    inventory = inventory_of("d", "y.json", "x.yaml")
    assert [(bundle.id, len(bundle.objects)) for bundle in inventory.bundles] == [("d", 2), ("./files", 2)]
    assert staged(inventory) == ["tree/a--1.yaml", "tree/sub/b--1.yaml", "tree/x--1.yaml", "tree/y--1.yaml"]
    assert set(states(inventory).values()) == {"scanned"}


def test_a_missing_path_ends_before_anything_is_read(tree: Path) -> None:
    write(tree, {"a.yaml": POD})
    with pytest.raises(UsageError, match=r"nowhere does not exist; nothing was scanned"):
        inventory_of("a.yaml", "nowhere")


def test_an_empty_path_is_not_the_working_directory(tree: Path) -> None:
    write(tree, {"a.yaml": POD})
    with pytest.raises(UsageError, match="one of the paths is empty"):
        inventory_of("a.yaml", "")


def test_overlapping_sources_are_read_once(tree: Path) -> None:
    write(tree, {"d/a.yaml": POD, "d/sub/b.yaml": POD})
    assert len(inventory_of("d", "d/sub", "d/a.yaml", "./d").objects) == 2


def test_stdin_is_a_file_of_its_own(tree: Path) -> None:
    (obj,) = discover(["-"], stdin=io.BytesIO(POD.encode())).inventory.objects
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
    inventory = inventory_of("d", hidden=True)
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
    (obj,) = inventory_of("d").objects
    assert obj.origin.path == "d/\\xff.yaml"


def test_links_that_lead_nowhere_out_or_round_in_circles(tree: Path) -> None:
    write(tree, {"d/real.yaml": POD, "secret.yaml": POD})
    (tree / "d/inside.yaml").symlink_to("real.yaml")
    (tree / "d/out.yaml").symlink_to(tree / "secret.yaml")
    (tree / "d/gone.yaml").symlink_to("nothing")
    (tree / "d/loop").symlink_to(".")
    (tree / "d/self.yaml").symlink_to("self.yaml")
    inventory = inventory_of("d")
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
    inventory = inventory_of("d")
    assert len(inventory.objects) == 1
    assert [str(problem) for problem in inventory.problems] == ["d/b.yaml: cannot be read: Permission denied."]


CHART = "apiVersion: v2\nname: {}\nversion: 1.0.0\n"
BASE = "resources: [pod.yaml]\n"


def roles(*sources: str, **settings: Any) -> dict[str, tuple[str, str | None]]:
    return {file.path: (file.state.value, file.reason) for file in inventory_of(*sources, **settings).files}


def bundles(*sources: str, **settings: Any) -> list[str]:
    return [render.bundle for render in discover(sources, InputSettings(**settings)).renders]


def test_roots_bases_components_and_patches_are_told_apart(tree: Path) -> None:
    write(
        tree,
        {
            "k/base/kustomization.yaml": BASE,
            "k/base/pod.yaml": POD,
            "k/base/loose.yaml": POD,
            "k/dev/kustomization.yml": "resources: [../base]\ncomponents: [../extra]\npatches: [{path: p.yaml}]\n",
            "k/dev/p.yaml": POD,
            "k/extra/kustomization.yaml": "kind: Component\npatches: [{path: q.yaml}]\n",
            "k/extra/q.yaml": POD,
            "k/prod/Kustomization": "resources: [../base]\n",
            "k/unused/kustomization.yaml": "kind: Component\npatches: [{path: r.yaml}]\n",
            "k/unused/r.yaml": POD,
        },
    )
    assert bundles("k") == ["kustomize:k/dev", "kustomize:k/prod"]
    found = roles("k")
    assert {path for path, (state, _) in found.items() if state == "scanned"} == {"k/base/loose.yaml"}
    assert {path for path, (state, _) in found.items() if state == "ignored"} == {
        "k/unused/kustomization.yaml",
        "k/unused/r.yaml",
    }
    assert found["k/base/pod.yaml"] == ("rendered-elsewhere", "file of k/dev")
    assert len(found) == 10


def test_kustomizations_in_a_circle_are_still_rendered_once(tree: Path) -> None:
    write(tree, {"k/a/kustomization.yaml": "resources: [../b]\n", "k/b/kustomization.yaml": "resources: [../a]\n"})
    assert bundles("k") == ["kustomize:k/a"]
    assert {state for state, _ in roles("k").values()} == {"rendered-elsewhere"}


def test_what_stands_beside_a_kustomization_that_cannot_be_read_is_not_scanned_raw(tree: Path) -> None:
    write(tree, {"k/kustomization.yaml": "resources: [pod.yaml\n", "k/pod.yaml": POD, "k/patch.yaml": POD})
    assert bundles("k") == ["kustomize:k"]
    assert {state for state, _ in roles("k").values()} == {"rendered-elsewhere"}


def test_a_component_is_not_used_because_one_of_its_files_is(tree: Path) -> None:
    write(
        tree,
        {
            "k/kustomization.yaml": "resources: [extra/pod.yaml]\n",
            "k/extra/kustomization.yaml": "kind: Component\nresources: [pod.yaml]\npatches: [{path: p.yaml}]\n",
            "k/extra/pod.yaml": POD,
            "k/extra/p.yaml": POD,
        },
    )
    assert roles("k")["k/extra/p.yaml"][0] == "ignored"
    assert roles("k")["k/extra/pod.yaml"][0] == "rendered-elsewhere"


def test_a_folder_called_files_and_files_given_singly_are_two_bundles(tree: Path) -> None:
    write(tree, {"files/a.yaml": POD, "a.yaml": POD})
    found = inventory_of("files", "a.yaml").bundles
    assert len({bundle.id for bundle in found}) == 2


def test_two_sets_of_values_of_one_name_are_refused(tree: Path) -> None:
    write(tree, {"c/Chart.yaml": CHART.format("c")})
    charts = (ChartSettings(path=tree / "c"), ChartSettings(path=tree / "c", namespace="other"))
    with pytest.raises(UsageError, match="two sets of values of c are called 'c'"):
        bundles("c", charts=charts)


def test_an_entry_of_kguard_yaml_that_is_not_rendered_is_a_problem(tree: Path) -> None:
    write(tree, {"c/Chart.yaml": CHART.format("c"), "c/charts/db/Chart.yaml": CHART.format("db")})
    write(tree, {"k/kustomization.yaml": "resources: [base]\n", "k/base/kustomization.yaml": "resources: []\n"})
    charts = (ChartSettings(path=tree / "c/charts/db"),)
    own = (KustomizationSettings(path=tree / "k/base", namespace="x"), KustomizationSettings(path=tree / "k"))
    found = inventory_of(".", charts=charts, kustomizations=own)
    assert [problem.path for problem in found.problems] == ["c/charts/db", "k/base"]
    assert inventory_of("k", charts=charts).problems == ()


def test_a_dangling_link_that_is_no_manifest_is_no_problem(tree: Path) -> None:
    write(tree, {"d/a.yaml": POD})
    (tree / "d/LATEST").symlink_to("gone")
    assert inventory_of("d").problems == ()


def test_an_object_of_flux_is_an_object(tree: Path) -> None:
    flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a}\nspec: {path: ./x}\n"
    write(tree, {"k/kustomization.yaml": flux})
    assert bundles("k") == []
    assert roles("k") == {"k/kustomization.yaml": ("scanned", None)}


def test_a_chart_with_all_that_belongs_to_it_and_what_does_not(tree: Path) -> None:
    write(
        tree,
        {
            "c/Chart.yaml": CHART.format("c"),
            "c/values.yaml": "a: 1\n",
            "c/values-prod.yaml": "a: 2\n",
            "c/templates/pod.yaml": POD,
            "c/templates/_helpers.tpl": "",
            "c/crds/crd.yaml": POD,
            "c/charts/sub/Chart.yaml": CHART.format("sub"),
            "c/charts/sub/templates/pod.yaml": POD,
            "c/examples/pod.yaml": POD,
            "c/README.md": "",
            "lib/Chart.yaml": CHART.format("lib") + "type: library\n",
            "lib/templates/_x.tpl": "",
        },
    )
    found = roles("c", "lib")
    assert bundles("c", "lib") == ["helm:c"]
    assert {path for path, (state, _) in found.items() if state == "scanned"} == {"c/examples/pod.yaml"}
    assert {path for path, (state, _) in found.items() if state == "template"} == {
        "c/crds/crd.yaml",
        "c/templates/_helpers.tpl",
        "c/templates/pod.yaml",
    }
    assert found["c/values-prod.yaml"][0] == "rendered-elsewhere"
    assert found["c/charts/sub/templates/pod.yaml"] == ("rendered-elsewhere", "subchart, rendered with its parent c")
    assert found["lib/Chart.yaml"][0] == "ignored"
    assert "c/README.md" in inventory_of("c", "lib").others


def test_values_sets_and_namespaces_of_kguard_yaml(tree: Path) -> None:
    write(tree, {"c/Chart.yaml": CHART.format("c"), "c/p.yaml": "", "k/kustomization.yaml": BASE, "k/pod.yaml": POD})
    charts = tuple(ChartSettings(path=tree / "c", name=name, values=(tree / "c/p.yaml",)) for name in ("dev", "prod"))
    own = (KustomizationSettings(path=tree / "k", namespace="shop"),)
    assert bundles(".", charts=charts, kustomizations=own) == ["helm:c (dev)", "helm:c (prod)", "kustomize:k"]
    renders = discover(["."], InputSettings(charts=charts, namespace="all")).renders
    assert [getattr(render, "namespace", None) for render in renders] == [
        "all",
        "all",
        None,
    ]  # overlays say it themselves


def test_a_file_of_a_chart_or_a_kustomization_stands_for_its_folder(tree: Path) -> None:
    write(tree, {"c/Chart.yaml": CHART.format("c"), "k/kustomization.yaml": BASE, "k/pod.yaml": POD})
    assert bundles("c/Chart.yaml", "k/kustomization.yaml") == ["helm:c", "kustomize:k"]


def test_hidden_and_ignored_files_are_listed_and_can_be_brought_back(tree: Path) -> None:
    write(
        tree,
        {
            "d/.hidden/a.yaml": POD,
            "d/.git/b.yaml": POD,
            "d/.c.yaml": POD,
            "d/gen/e.yaml": POD,
            "d/own/f.yaml": POD,
            "d/.gitignore": "gen/\n",
            "d/.kguardignore": "own/\n",
            "d/g.yaml": POD,
        },
    )
    found = roles("d")
    assert {path for path, (state, _) in found.items() if state == "ignored"} == {
        "d/.c.yaml",
        "d/.git",
        "d/.hidden",
        "d/gen",
        "d/own",
    }
    assert staged(inventory_of("d")) == ["tree/g--1.yaml"]
    assert staged(inventory_of("d", hidden=True)) == [
        "tree/.c--1.yaml",
        "tree/.hidden/a--1.yaml",
        "tree/g--1.yaml",
        "tree/gen/e--1.yaml",
    ]
    exclude = (Exclude(pattern="d/g.yaml", folder=None, source="--exclude"),)
    assert roles("d", exclude=exclude)["d/g.yaml"] == ("ignored", "excluded by --exclude 'd/g.yaml'")


def test_a_source_that_is_given_is_looked_at_though_it_is_hidden(tree: Path) -> None:
    write(tree, {".hidden/a.yaml": POD})
    assert len(inventory_of(".hidden").objects) == 1


def test_what_is_no_manifest_is_said_and_is_no_problem(tree: Path) -> None:
    write(tree, {"d/package.json": '{"name": "x"}', "d/empty.yaml": "", "d/values.yaml": "a: 1\n", "d/x.txt": POD})
    inventory = inventory_of("d")
    assert {file.path: (file.state, bool(file.reason)) for file in inventory.files} == {
        f"d/{name}": (FileState.NOT_KUBERNETES, True) for name in ("package.json", "empty.yaml", "values.yaml")
    }
    assert inventory.problems == ()


def test_the_count_of_objects_is_that_of_an_independent_reader(fixtures: Path) -> None:
    inventory = inventory_of(str(fixtures / "shop"), hidden=True)
    assert sum(file.objects for file in inventory.files) == len(inventory.objects) == 24
    assert len({obj.key for obj in inventory.objects}) == 24
