"""Releases of charts: what is refused before helm runs, and what the real helm 3 and 4 render."""

from __future__ import annotations

import os
import shutil
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kguard.inputs.helm.release import Release
from kguard.inputs.objects import index
from kguard.inputs.render import NotRendered, Render
from kguard.model import BundleKind, Command, KubeObject, Outcome, Precision, RunState
from kguard.running.process import run

CHARTS = Path(__file__).resolve().parent.parent.parent.parent / "fixtures" / "charts"
SHOP = CHARTS / "shop"
POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n"
CHART = "apiVersion: v2\nname: web\nversion: 0.1.0\n"

Rendered = Callable[..., tuple[KubeObject, ...]]


@pytest.fixture(params=["helm", "helm4"])
def helm(request: pytest.FixtureRequest) -> Path:
    found = shutil.which(request.param)
    assert found is not None, "run the tests with `make test`, which installs helm"
    return Path(found)


@pytest.fixture
def render(helm: Path, tmp_path: Path) -> Rendered:
    def rendered(chart: Path, *, timeout: float = 60, program: Path = helm, **options: Any) -> tuple[KubeObject, ...]:
        found = release(chart, **options)
        work = tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
        return found.objects(run(found.command("helm", work), program, work, timeout=timeout))

    return rendered


def release(chart: Path, **options: Any) -> Release:
    options = {"path": "charts/web", "bundle": "helm:charts/web", "name": "web", **options}
    return Release(chart=chart, **options)


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def archive(folder: Path, target: Path, top: str) -> Path:
    with tarfile.open(target, "w:gz") as tar:
        tar.add(folder, arcname=top)
    return target


# -- before helm runs --------------------------------------------------------------------------------------------------------


def test_a_release_is_a_render() -> None:
    found: Render = release(SHOP)
    assert (found.kind, found.programs, found.name) == (BundleKind.HELM, ("helm",), "web")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHARTS)
    found = release(
        Path("shop"),
        namespace="prod",
        values=(Path("shop/values-dev.yaml"),),
        set_values=(("image.tag", "a,b=c"),),
        set_strings=(("port", "80"),),
        api_versions=("a/v1", "b/v1"),
        kube_version="1.30.0",
    )
    assert found.command("helm", tmp_path).argv == (
        *("helm", "template", "shop", str(SHOP), "--include-crds", "--namespace", "prod"),
        *("--values", str(SHOP / "values-dev.yaml"), "--set", "image.tag=a,b=c", "--set-string", "port=80"),
        *("--api-versions", "a/v1", "--api-versions", "b/v1", "--kube-version", "1.30.0"),
    )


@pytest.mark.parametrize(("name", "expected"), [("Web_App.x", "web-app-x"), ("a" * 60, "a" * 53), ("_", "release")])
def test_a_release_has_a_name_that_helm_takes(tmp_path: Path, name: str, expected: str) -> None:
    write(tmp_path, {"Chart.yaml": f"name: {name}\n"})
    assert release(tmp_path).command("helm", tmp_path).argv[2] == expected
    assert release(tmp_path, release="mine").command("helm", tmp_path).argv[2] == "mine"


def refusal(chart: Path, **options: Any) -> str:
    with pytest.raises(NotRendered) as caught:
        release(chart, **options).command("helm", Path("work"))
    return str(caught.value)


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lacking = "dependencies:\n- {name: db, version: 1.2.3, repository: 'https://example.com'}\n- {name: there}\n"
    web = write(tmp_path / "web", {"Chart.yaml": CHART + lacking, "charts/there/Chart.yaml": "name: there\n"})
    assert refusal(web) == (
        "charts/ lacks what Chart.yaml names as a dependency: db 1.2.3. `helm dependency update charts/web` gets it; "
        "kguard fetches nothing"
    )
    assert refusal(SHOP / "charts/parts").startswith("a library chart")
    assert refusal(tmp_path) == "charts/web has no Chart.yaml"
    assert refusal(SHOP, values=(Path("none.yaml"),)) == "the values file none.yaml does not exist"
    assert refusal(SHOP, namespace="a\nb") == "'a\\nb' is no name for a namespace"
    assert refusal(write(tmp_path / "bad", {"Chart.yaml": "[]"})) == "Chart.yaml is not a mapping"


def test_links_that_leave_the_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"secret": "s", "web/Chart.yaml": CHART, "web/here": "h", "web/templates/x.yaml": ""})
    (tmp_path / "web/link").symlink_to("here")
    release(tmp_path / "web").command("helm", tmp_path)
    (tmp_path / "web/files").symlink_to("..")
    assert refusal(tmp_path / "web") == "web/files is a link that leaves the folder; helm would follow it"
    release(tmp_path / "web", root=tmp_path).command("helm", tmp_path)
    (tmp_path / "web/files").unlink()
    (tmp_path / "web/templates/y.yaml").symlink_to("/etc/hostname")
    assert refusal(tmp_path / "web", root=tmp_path).startswith("web/templates/y.yaml is a link")


# -- what is rendered ---------------------------------------------------------------------------------------------------------


def test_all_objects_of_a_chart(render: Rendered) -> None:
    objects = render(SHOP, path="shop", values=(SHOP / "values-dev.yaml",))
    assert [(obj.ref.kind, obj.origin.path, obj.origin.document) for obj in objects] == [
        ("CustomResourceDefinition", "shop/crds/widgets.yaml", 1),
        ("CustomResourceDefinition", "shop/crds/widgets.yaml", 2),
        ("Service", "shop/templates/web.yaml", 1),
        ("Deployment", "shop/templates/web.yaml", 2),
        ("StatefulSet", "shop/charts/cache/templates/cache.yaml", 1),
        ("Job", "shop/templates/job.yaml", 1),
        ("Pod", "shop/templates/tests/smoke.yaml", 1),
    ]
    assert [obj.staged for obj in objects] == [f"tree/rendered--{number}.yaml" for number in range(1, 8)]
    assert all(obj.text_line is None and obj.item_spans is None and obj.trace is not None for obj in objects)
    assert all(set(index(obj).locations or ()) == set(index(obj).spans) for obj in objects)


def test_both_helms_give_the_same(tmp_path: Path) -> None:
    values = []
    for name in ("helm", "helm4"):
        program = shutil.which(name)
        assert program is not None, "run the tests with `make test`, which installs helm"
        found = release(SHOP)
        objects = found.objects(run(found.command("helm", tmp_path), Path(program), tmp_path / name, timeout=60))
        values.append([(obj.origin, index(obj).value, index(obj).locations) for obj in objects])
    assert values[0] == values[1]


def test_a_set_of_values_has_the_same_sources(render: Rendered) -> None:
    dev, prod = (render(SHOP, values=(SHOP / f"values-{name}.yaml",), namespace=name) for name in ("dev", "prod"))
    sources = [[obj.trace.source for obj in objects if obj.trace] for objects in (dev, prod)]
    assert sources[0] == sources[1]
    assert len(set(sources[0])) == 7


def test_releases_of_two_names_have_the_same_sources(tmp_path: Path, render: Rendered) -> None:
    pods = "\n---\n".join(POD.replace("name: p", f"name: '{{{{ .Release.Name }}}}{end}'") for end in ("", "-a", "-a"))
    chart = write(tmp_path / "web", {"Chart.yaml": CHART, "templates/p.yaml": pods})
    dev, prod = ([obj.trace.source for obj in render(chart, release=name) if obj.trace] for name in ("dev", "prod"))
    assert dev == prod
    assert len(set(dev)) == 2  # two of one name: nobody can tell which is which in another release


def test_namespace_settings_and_versions_reach_the_templates(tmp_path: Path, render: Rendered) -> None:
    template = POD + (
        "  namespace: {{ .Release.Namespace }}\n  labels:\n    a: {{ .Values.a | quote }}\n    b: {{ .Values.b | quote }}\n"
        '    v: {{ .Capabilities.KubeVersion.Version }}\n    x: {{ .Capabilities.APIVersions.Has "x/v1" | quote }}\n'
    )
    write(tmp_path / "web", {"Chart.yaml": CHART, "templates/p.yaml": template, "more.yaml": "b: more\n"})
    (obj,) = render(
        tmp_path / "web",
        namespace="n",
        values=(tmp_path / "web/more.yaml",),
        set_values=(("a", "1"),),
        api_versions=("x/v1",),
        kube_version="1.30.1",
    )
    assert obj.ref.namespace == "n"
    assert index(obj).value["metadata"]["labels"] == {"a": "1", "b": "more", "v": "v1.30.1", "x": "true"}


def test_archives_give_no_lines(tmp_path: Path, render: Rendered) -> None:
    whole = archive(SHOP, tmp_path / "shop-1.2.3.tgz", "shop")
    for obj in render(whole, path="shop-1.2.3.tgz"):
        places = set((index(obj).locations or {}).values())
        assert {(place.path, place.line, place.precision) for place in places} == {
            ("shop-1.2.3.tgz", None, Precision.TEMPLATE)
        }
    origins = [obj.origin for obj in render(whole, path="shop-1.2.3.tgz")]
    assert len({(origin.path, origin.document) for origin in origins}) == len(origins)


def test_a_subchart_in_an_archive_is_shown_as_the_archive(tmp_path: Path, render: Rendered) -> None:
    copy = tmp_path / "shop"
    shutil.copytree(SHOP, copy)
    archive(copy / "charts/cache", copy / "charts/cache-0.1.0.tgz", "cache")
    shutil.rmtree(copy / "charts/cache")
    cache = next(obj for obj in render(copy, path="shop") if obj.ref.kind == "StatefulSet")
    assert cache.origin.path == "shop/charts/cache-0.1.0.tgz"
    locations = index(cache).locations or {}
    assert locations["spec", "template", "spec", "containers", 0, "image"].values == ("store.image",)
    assert locations["spec", "template", "spec", "hostIPC"].path == "shop/charts/parts/templates/_pod.tpl"
    assert locations["spec", "template", "spec", "hostIPC"].line == 3


def test_one_subchart_under_two_names(tmp_path: Path, render: Rendered) -> None:
    dependencies = "dependencies:\n" + "".join(
        f"- {{name: db, version: 1.0.0, alias: {name}}}\n" for name in ("a", "b")
    )
    files = {
        "Chart.yaml": CHART + dependencies,
        "values.yaml": "a: {on: 1}\n",
        "charts/db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.0.0\n",
        "charts/db/templates/db.yaml": POD.replace("p\n", "{{ .Chart.Name }}\n  labels: {x: '{{ .Values.size }}'}\n"),
    }
    objects = render(write(tmp_path / "web", files), path="web")
    assert {(obj.ref.name, obj.origin.path) for obj in objects} == {
        ("a", "web/charts/db/templates/db.yaml"),
        ("b", "web/charts/db/templates/db.yaml"),
    }
    keys = {obj.ref.name: (index(obj).locations or {})["metadata", "labels", "x"].values for obj in objects}
    assert keys == {"a": ("a.size",), "b": ("b.size",)}


def test_two_versions_of_a_subchart_are_not_guessed(tmp_path: Path, render: Rendered) -> None:
    files = {"Chart.yaml": CHART + "dependencies:\n- {name: db, version: '>=2.0.0'}\n"}
    for version in ("1.0.0", "2.0.0"):
        files[f"charts/db{version}/Chart.yaml"] = f"apiVersion: v2\nname: db\nversion: {version}\n"
        files[f"charts/db{version}/templates/db.yaml"] = POD
    (obj,) = render(write(tmp_path / "web", files), path="web")
    locations = index(obj).locations or {}
    assert {(place.path, place.line) for place in locations.values()} == {("web/Chart.yaml", None)}
    files["Chart.yaml"] = CHART + "dependencies:\n- {name: db, version: 2.0.0}\n"
    (obj,) = render(write(tmp_path / "web", files), path="web")
    assert obj.origin.path == "web/charts/db2.0.0/templates/db.yaml"


def test_documents_that_are_no_objects(tmp_path: Path, render: Rendered) -> None:
    files = {
        "Chart.yaml": CHART,
        "templates/NOTES.txt": POD,
        "templates/_part.yaml": POD,
        "templates/empty.yaml": "{{- if .Values.never }}\n" + POD + "{{ end }}\n",
        "templates/comment.yaml": "# " + POD.replace("\n", "\n# "),
        "templates/other.yaml": "a: 1\n---\n---\n" + POD + "---\n# the end\n",
    }
    objects = render(write(tmp_path / "web", files), path="web")
    assert [obj.origin.path for obj in objects] == ["web/templates/other.yaml"]


# -- bad input -----------------------------------------------------------------------------------------------------------------


def test_a_chart_without_values(tmp_path: Path, render: Rendered) -> None:
    assert len(render(write(tmp_path / "web", {"Chart.yaml": CHART, "templates/p.yaml": POD}))) == 1


def test_a_chart_without_templates(tmp_path: Path, render: Rendered) -> None:
    assert render(write(tmp_path / "web", {"Chart.yaml": CHART})) == ()


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ if }}\n", "parse error at (web/templates/p.yaml:1): missing value for if"),
        ("a: {{ .Values.a.b.c }}\n", "nil pointer evaluating"),
        ('a: {{ required "an image is needed" .Values.image }}\n', "an image is needed"),
        ('a: {{ fail "\\x1b[31mred\\nEND" }}\n', "END"),
        ("a: {{ env \"HOME\" }}\n", 'function "env" not defined'),
        ("a: {{ expandenv \"$HOME\" }}\n", 'function "expandenv" not defined'),
        ("a: b: c\n", "YAML parse error on web/templates/p.yaml"),
        ('{{ fail (repeat 5000 "x") }}\n', "xxxx"),
    ],
)  # fmt: skip
def test_helms_own_words(tmp_path: Path, render: Rendered, template: str, message: str) -> None:
    with pytest.raises(NotRendered) as caught:
        render(write(tmp_path / "web", {"Chart.yaml": CHART, "templates/p.yaml": template}))
    said = str(caught.value)
    assert message in said
    assert len(said) <= 500
    assert not said.startswith("Error")
    assert "--debug" not in said
    assert str(tmp_path) not in said
    assert said.isprintable()


@pytest.mark.parametrize(
    "files",
    [
        {"values.yaml": "a: ["},
        {"values.yaml": "- a\n"},
        {"Chart.yaml": CHART.replace("0.1.0", "no version")},
        {"Chart.yaml": CHART + "kubeVersion: '<1.0.0'\n"},
        {"Chart.yaml": CHART + "type: elephant\n"},
        {"values.schema.json": '{"required": ["image"]}'},
        {"charts/db-1.0.0.tgz/x": "a folder"},
    ],
)
def test_other_failures_are_told_without_paths_of_this_machine(
    tmp_path: Path, render: Rendered, files: Mapping[str, str]
) -> None:
    with pytest.raises(NotRendered) as caught:
        render(write(tmp_path / "web", {"Chart.yaml": CHART, "templates/p.yaml": POD, **files}))
    assert str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert "Error:" not in str(caught.value)


def test_a_values_file_that_is_none(tmp_path: Path, render: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"web/Chart.yaml": CHART, "web/templates/p.yaml": POD, "odd.yaml": "a: b: c"})
    with pytest.raises(NotRendered, match=r"odd\.yaml") as caught:
        render(tmp_path / "web", values=(tmp_path / "odd.yaml",))
    assert str(tmp_path) not in str(caught.value)


def test_a_values_file_with_hostile_text(tmp_path: Path, render: Rendered) -> None:
    hostile = (
        'name: "x\\n---\\napiVersion: v1\\nkind: Pod\\nmetadata:\\n  name: made\\n# Source: web/templates/q.yaml\\n"\n'
    )
    template = POD + "  labels:\n    a: {{ .Values.name }}\n"
    files = {"Chart.yaml": CHART, "templates/p.yaml": template, "templates/q.yaml": "", "hostile.yaml": hostile}
    objects = render(write(tmp_path / "web", files), path="web", values=(tmp_path / "web/hostile.yaml",))
    assert [(obj.ref.name, obj.origin.path) for obj in objects] == [
        ("p", "web/templates/p.yaml"),
        ("made", "web/templates/p.yaml"),
    ]
    assert {place.line for place in (index(objects[1]).locations or {}).values()} == {None}


def test_nothing_is_asked_of_a_cluster_the_network_or_the_environment(
    tmp_path: Path, render: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELM_NAMESPACE", "leaked")
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path, {"kubeconfig": "{"}) / "kubeconfig"))
    template = POD + (
        "  namespace: {{ .Release.Namespace }}\n  labels:\n"
        '    looked: {{ lookup "v1" "Secret" "default" "s" | toJson | quote }}\n'
        '    host: {{ getHostByName "localhost" | quote }}\n'
    )
    (obj,) = render(write(tmp_path / "web", {"Chart.yaml": CHART, "templates/p.yaml": template}))
    assert obj.ref.namespace == "default"
    assert index(obj).value["metadata"]["labels"] == {"looked": "{}", "host": ""}


def test_a_crd_that_is_broken(tmp_path: Path, render: Rendered) -> None:
    broken = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: [\n"
    with pytest.raises(NotRendered) as caught:
        render(write(tmp_path / "web", {"Chart.yaml": CHART, "crds/c.yaml": broken}), path="web")
    assert str(caught.value).startswith("web/crds/c.yaml renders to what is not YAML: ")
    assert "skipped" not in str(caught.value)


def test_a_file_of_several_crds_keeps_its_lines(tmp_path: Path, render: Rendered) -> None:
    crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: {}\n"
    text = "---\n# Source: web/crds/z.yaml\n" + crd.format("a") + "\n---\n---\n" + crd.format("b") + "\n\n"
    files: dict[str, str | bytes] = {
        "Chart.yaml": CHART,
        "crds/c.yaml": b"\xef\xbb\xbf" + text.encode(),
        "crds/z.yaml": crd.format("z"),
    }
    objects = render(write(tmp_path / "web", files), path="web")
    places = [(obj.ref.name, (index(obj).locations or {})["metadata", "name"]) for obj in objects]
    assert [(name, place.path, place.line) for name, place in places] == [
        ("a", "web/crds/c.yaml", 6),
        ("b", "web/crds/c.yaml", 13),
        ("z", "web/crds/z.yaml", 4),
    ]


def test_fifty_megabytes(tmp_path: Path, render: Rendered) -> None:
    one = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: big\ndata:\n  a: {{ repeat 30000000 .Values.x }}\n"
    many = (
        "{{- range until 1000 }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c{{ . }}\ndata:\n"
        "  a: {{ repeat 20000 $.Values.x }}\n{{- end }}\n"
    )
    files = {"Chart.yaml": CHART, "values.yaml": "x: x\n", "templates/one.yaml": one, "templates/many.yaml": many}
    start = time.monotonic()
    objects = render(write(tmp_path / "web", files))
    assert len(objects) == 1001
    big = next(obj for obj in objects if obj.ref.name == "big")
    assert (index(big).locations or {})["data", "a"].precision is Precision.TEMPLATE
    assert time.monotonic() - start < 60


def outcome(**options: Any) -> Outcome:
    options = {"exit_code": 0, "stdout": b"", "stderr": b"", **options}
    return Outcome(command=Command(argv=("helm",)), **options)


def test_a_helm_that_hangs_or_is_not_there(tmp_path: Path, render: Rendered) -> None:
    write(tmp_path, {"bin/helm": "#!/bin/sh\nsleep 60\n"})
    (tmp_path / "bin/helm").chmod(0o700)
    with pytest.raises(NotRendered, match=r"helm did not finish within 0\.3 s"):
        render(SHOP, program=tmp_path / "bin/helm", timeout=0.3)
    with pytest.raises(NotRendered, match=r"helm cannot be started: .*No such file"):
        render(SHOP, program=tmp_path / "bin/none")
    with pytest.raises(NotRendered, match="killed by SIGKILL"):
        release(SHOP).objects(outcome(exit_code=None, failure=RunState.FAILED, reason="helm was killed by SIGKILL"))


def test_a_helm_that_says_nothing_or_something_else() -> None:
    with pytest.raises(NotRendered, match="exit code 3 and said nothing"):
        release(SHOP).objects(outcome(exit_code=3))
    with pytest.raises(NotRendered, match="something else than rendered templates"):
        release(SHOP).objects(outcome(stdout=b"hello\n"))
    with pytest.raises(NotRendered, match="not UTF-8"):
        release(SHOP).objects(outcome(stdout=b"---\n# Source: shop/templates/web.yaml\nkind: \xff\napiVersion: v1\n"))


def test_a_template_that_the_chart_does_not_have() -> None:
    """Of another helm than those known: the object is there, its place is not guessed."""
    (obj,) = release(SHOP, path="shop").objects(outcome(stdout=f"---\n# Source: shop/other/x.yaml\n{POD}".encode()))
    assert obj.origin.path == "shop/Chart.yaml"
    assert {place.line for place in (index(obj).locations or {}).values()} == {None}


def test_a_file_name_that_is_no_text(tmp_path: Path, render: Rendered) -> None:
    write(tmp_path / "web", {"Chart.yaml": CHART})
    (tmp_path / "web/templates").mkdir()
    with open(os.fsencode(tmp_path / "web/templates") + b"/\xffp.yaml", "w") as file:
        file.write(POD)
    (obj,) = render(tmp_path / "web", path="web")
    assert obj.origin.path.startswith("web/")
    assert obj.origin.path.isprintable()
