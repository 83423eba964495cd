"""Charts and kustomizations through the installed command: rendered once, by the real programs, and never passed over in silence."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import native
import pytest

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]
CHART = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
TEMPLATE = """apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
    - name: web
      image: "{{ .Values.image }}"
      securityContext: {privileged: true}
"""
POD = TEMPLATE.replace('"{{ .Values.image }}"', "web:1")
TRIVY = ("--tools", "trivy", "--fail-on", "never", "-f", "json")


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def bundles(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str | None]]:
    return {item["id"]: (item["state"], item["reason"]) for item in json.loads(done.stdout)["inputs"]["bundles"]}


def program(folder: Path, name: str, script: str) -> str:
    """A program that stands for a renderer; the real one's path is in $REAL."""
    path = folder / f"{name}.sh"
    path.write_text(f"#!/bin/sh\nREAL={shutil.which(name)}\n{script}\n")
    path.chmod(0o755)
    return f"{name}={path}"


@pytest.fixture
def overlays(kguard: Kguard, tmp_path: Path) -> Any:
    shutil.copytree(native.FIXTURES / "overlays", tmp_path / "o")
    done = kguard("scan", "o", *TRIVY)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rows(report: Any, control: str, file: str) -> list[Any]:
    return [f for f in report["findings"] if f["control"] == control and f["location"]["path"] == file]


def test_one_base_with_three_overlays_is_one_row_with_three_places(overlays: Any) -> None:
    (found,) = rows(overlays, "privileged-container", "o/base/web.yaml")
    places = [(found["bundle"], found["location"]), *((place["bundle"], place) for place in found["places"])]
    assert [bundle for bundle, _ in places] == [f"kustomize:o/overlays/{name}" for name in ("dev", "prod", "stage")]
    line = (native.FIXTURES / "overlays/base/web.yaml").read_text().splitlines().index(
        "            privileged: true"
    ) + 1
    assert {(place["path"], place["line"], place["precision"]) for _, place in places} == {
        ("o/base/web.yaml", line, "exact")
    }
    assert found["absent"] == []


def test_a_fault_that_prod_cures_is_not_reported_for_prod_and_the_patch_is_named(overlays: Any) -> None:
    (found,) = rows(overlays, "rbac-wildcard", "o/base/access.yaml")
    assert {found["bundle"], *(place["bundle"] for place in found["places"])} == {
        "kustomize:o/overlays/dev",
        "kustomize:o/overlays/stage",
    }
    (absent,) = found["absent"]
    assert (absent["bundle"], absent["by"]["path"]) == (
        "kustomize:o/overlays/prod",
        "o/overlays/prod/patches/harden.yaml",
    )


def test_a_fault_that_dev_introduces_stands_in_its_patch(overlays: Any) -> None:
    (found,) = [f for f in overlays["findings"] if f["control"] == "host-pid"]
    assert (found["location"]["path"], found["location"]["precision"]) == ("o/overlays/dev/debug.yaml", "exact")
    assert found["places"] == []
    assert {item["bundle"] for item in found["absent"]} == {"kustomize:o/overlays/prod", "kustomize:o/overlays/stage"}


def test_each_bundle_is_rendered_by_one_process(kguard: Kguard, tmp_path: Path) -> None:
    shutil.copytree(native.FIXTURES / "overlays", tmp_path / "o")
    write(tmp_path, {"c/Chart.yaml": CHART, "c/values.yaml": "image: web:1\n", "c/templates/pod.yaml": TEMPLATE})
    write(tmp_path, {"kguard.yaml": "inputs:\n  charts:\n    - {path: c, name: a}\n    - {path: c, name: b}\n"})
    counted = tmp_path / "counted"
    renderers = [
        program(tmp_path, name, f'echo {name} >>{counted}\nexec "$REAL" "$@"') for name in ("helm", "kustomize")
    ]
    done = kguard("scan", "o", "c", *TRIVY, *(word for pair in renderers for word in ("--tool-path", pair)))
    states = bundles(done)
    assert {state for state, _ in states.values()} == {"rendered"}
    assert sorted(counted.read_text().split()) == ["helm"] * 2 + ["kustomize"] * 3
    assert len(states) == 5


def test_a_chart_leads_back_to_its_template_and_its_values(kguard: Kguard, tmp_path: Path) -> None:
    write(tmp_path, {"c/Chart.yaml": CHART, "c/values.yaml": "image: web:latest\n", "c/templates/pod.yaml": TEMPLATE})
    report = json.loads(kguard("scan", "c", *TRIVY).stdout)
    found = {f["control"]: f["location"] for f in report["findings"]}
    assert (found["privileged-container"]["path"], found["privileged-container"]["line"]) == ("c/templates/pod.yaml", 8)
    assert found["image-tag-latest"] == {
        "path": "c/templates/pod.yaml",
        "line": None,
        "end_line": None,
        "precision": "template",
        "values": ["image"],
    }


def test_without_a_renderer_the_run_is_incomplete_and_says_where_to_get_it(kguard: Kguard, tmp_path: Path) -> None:
    write(tmp_path, {"c/Chart.yaml": CHART, "k/kustomization.yaml": "resources: [pod.yaml]\n", "k/pod.yaml": POD})
    done = kguard("scan", ".", *TRIVY, path="")
    assert done.returncode == 4
    states = bundles(done)
    assert "helm is not installed. Get helm from https://" in str(states["helm:c"])
    assert "kustomize or kubectl is not installed. Get kustomize from https://" in str(states["kustomize:k"])
    assert "inputs" in json.loads(done.stdout)["gate"]["incomplete"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"c/Chart.yaml": CHART, "c/templates/x.yaml": '{{ fail "no luck" }}\n'}, "no luck"),
        ({"c/Chart.yaml": CHART, "c/templates/x.yaml": "a: {{ .Values.b.c }}\n"}, "templates/x.yaml"),
        ({"c/Chart.yaml": CHART + "dependencies: [{name: db, version: 1.0.0, repository: 'https://x'}]\n"}, "db 1.0.0"),
        ({"k/kustomization.yaml": "resources: [../gone]\n"}, "'../gone'"),
        ({"k/kustomization.yaml": "resources: [https://example.com/x.yaml]\n"}, "on the network"),
        (
            {"k/kustomization.yaml": "resources: [a.yaml, b.yaml]\n", "k/a.yaml": POD, "k/b.yaml": POD},
            "already registered",
        ),
        ({"k/kustomization.yaml": "resources: [.]\n"}, "cycle"),
    ],
    ids=["fails", "no value", "no dependency", "no base", "remote base", "the same twice", "a cycle"],
)
def test_what_cannot_be_rendered_is_told_in_the_renderers_words(
    kguard: Kguard, tmp_path: Path, files: dict[str, str], words: str
) -> None:
    write(tmp_path, files)
    write(tmp_path, {"plain.yaml": POD})
    done = kguard("scan", ".", *TRIVY)
    assert done.returncode == 4
    (failed,) = [reason for state, reason in bundles(done).values() if state == "failed"]
    assert failed is not None
    assert failed.startswith("not rendered: ")
    assert words in failed
    assert str(tmp_path) not in failed
    assert json.loads(done.stdout)["summary"]["objects"] == 1  # the rest is scanned


def test_a_renderer_that_hangs_is_stopped(kguard: Kguard, tmp_path: Path) -> None:
    write(tmp_path, {"c/Chart.yaml": CHART, "c/templates/pod.yaml": TEMPLATE})
    done = kguard("scan", "c", *TRIVY, "--timeout", "1", "--tool-path", program(tmp_path, "helm", "sleep 600"))
    assert done.returncode == 4
    assert bundles(done)["helm:c"] == ("failed", "not rendered: helm did not finish within 1 s")


def test_a_plugin_is_never_started(kguard: Kguard, tmp_path: Path) -> None:
    plugin = f"""apiVersion: x/v1
kind: Y
metadata:
  name: y
  annotations:
    config.kubernetes.io/function: |
      exec: {{path: {tmp_path}/evil.sh}}
"""
    write(tmp_path, {"k/kustomization.yaml": "generators: [g.yaml]\n", "k/g.yaml": plugin})
    write(tmp_path, {"evil.sh": f"#!/bin/sh\ntouch {tmp_path}/started\n"})
    (tmp_path / "evil.sh").chmod(0o755)
    done = kguard("scan", "k", *TRIVY)
    assert done.returncode == 4
    assert "would start a program" in str(bundles(done))
    assert not (tmp_path / "started").exists()


def test_the_plan_is_printed_without_running_anything(kguard: Kguard, tmp_path: Path) -> None:
    write(tmp_path, {"c/Chart.yaml": CHART, "c/templates/pod.yaml": TEMPLATE, ".x/y.yaml": POD, "plain.yaml": POD})
    write(tmp_path, {"README": "x"})
    done = kguard("inputs", ".", path="")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "1 rendered, each once",
        "  helm       c",
        "1 scanned as they stand",
        "  plain.yaml  1 object",
        "1 templates, scanned as they are rendered",
        "  c/templates/pod.yaml  template of the chart c",
        "1 parts of what is rendered",
        "  c/Chart.yaml  metadata of the chart c",
        "1 left out",
        "  .x  hidden",
        "1 other files, neither YAML nor JSON",
        "plain objects in .: 1",
    ]
    plan = json.loads(kguard("inputs", ".", "--json", "--hidden", path="").stdout)
    assert {file["path"]: file["state"] for file in plan["files"]} == {
        ".x/y.yaml": "scanned",
        "c/Chart.yaml": "rendered-elsewhere",
        "c/templates/pod.yaml": "template",
        "plain.yaml": "scanned",
    }


def test_the_plan_tells_what_will_be_refused(kguard: Kguard, tmp_path: Path) -> None:
    write(tmp_path, {"k/kustomization.yaml": "resources: [https://example.com/x.yaml]\n"})
    done = kguard("inputs", ".", path="")
    assert (
        "  kustomize  k  will not be rendered: k/kustomization.yaml, line 1: https://example.com/x.yaml is on"
        in done.stdout
    )


def test_a_wrong_key_in_kguard_yaml_is_answered_with_the_right_one(kguard: Kguard, tmp_path: Path) -> None:
    write(tmp_path, {"plain.yaml": POD, "kguard.yaml": "inputs:\n  exclud: [x]\n"})
    done = kguard("scan", ".", path="")
    assert done.returncode == 2
    assert done.stderr == "error: kguard.yaml:2:3 inputs.exclud: unknown key; did you mean 'exclude'?\n"


def test_values_sets_excludes_and_the_configs_path(kguard: Kguard, tmp_path: Path) -> None:
    write(tmp_path, {"c/Chart.yaml": CHART, "c/templates/pod.yaml": TEMPLATE, "out/x.yaml": POD, "in/x.yaml": POD})
    write(tmp_path, {"c/dev.yaml": "image: web:dev\n", "c/prod.yaml": "image: web:prod\n"})
    sets = "".join(f"    - {{path: c, name: {name}, values: [c/{name}.yaml]}}\n" for name in ("dev", "prod"))
    write(tmp_path, {"kguard.yaml": f"inputs:\n  exclude: [out]\n  namespace: shop\n  charts:\n{sets}"})
    report = json.loads(kguard("scan", ".", "--exclude", "in", *TRIVY).stdout)
    assert [item["id"] for item in report["inputs"]["bundles"]] == ["helm:c (dev)", "helm:c (prod)"]
    assert report["settings"]["config_path"] == "kguard.yaml"
    (found,) = [f for f in report["findings"] if f["control"] == "privileged-container"]
    assert [place["bundle"] for place in found["places"]] == ["helm:c (prod)"]
