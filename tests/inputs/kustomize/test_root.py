"""Kustomizations: what they refer to, which are refused before anything runs, and what the real kustomize and kubectl render."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kguard.inputs.kustomize.kustomization import Kustomization, is_repository, read_kustomization
from kguard.inputs.kustomize.root import Root, without_notes
from kguard.inputs.nodes import Unreadable
from kguard.inputs.render import NotRendered, Render
from kguard.model import Command, KubeObject, Outcome, RunState
from kguard.running import process

OVERLAYS = Path(__file__).resolve().parents[3] / "fixtures" / "overlays"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n"


def program(name: str) -> Path:
    found = shutil.which(name)
    assert found is not None, "run the tests with `make test`, which installs kustomize"
    return Path(found)


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def root(folder: Path, **options: Any) -> Root:
    return Root(folder=folder, path=folder.name, bundle=f"kustomize:{folder.name}", name=folder.name, **options)


def run(render: Render, tmp: Path, name: str = "kustomize") -> Outcome:
    command = render.command(name, tmp / process.WORK)
    return process.run(command, program(name), tmp, timeout=60)


def objects(folder: Path, tmp: Path, name: str = "kustomize", **options: Any) -> tuple[KubeObject, ...]:
    render = root(folder, **options)
    return render.objects(run(render, tmp, name))


def refused(folder: Path, tmp: Path, **options: Any) -> str:
    """Why a root is not rendered, told before anything runs."""
    with pytest.raises(NotRendered) as error:
        root(folder, **options).command("kustomize", tmp / "work")
    return str(error.value)


def failed(folder: Path, tmp: Path) -> str:
    """Why a root is not rendered, in kustomize's own words."""
    render = root(folder)
    outcome = run(render, tmp)
    with pytest.raises(NotRendered) as error:
        render.objects(outcome)
    message = str(error.value)
    assert len(message) <= 520
    assert "\n" not in message
    assert str(tmp) not in message.replace(str(folder.parent), "")
    return message


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "repo").mkdir()
    monkeypatch.chdir(tmp_path / "repo")
    return tmp_path / "repo"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "process"


# -- what a kustomization refers to ---------------------------------------------------------------------------------------


def read(folder: Path) -> Kustomization:
    found = read_kustomization(folder / "kustomization.yaml")
    assert found is not None
    return found


def test_all_that_a_kustomization_refers_to(repo: Path) -> None:
    text = """\
resources: [web.yaml, ../base, gone.yaml, "https://example.com/x.yaml"]
bases: [../old]
components: [../part]
crds: [crd.json]
configurations: [names.yaml]
patches:
  - path: p1.yaml
  - patch: "- op: test"
patchesStrategicMerge:
  - p2.yaml
  - |-
    apiVersion: v1
    kind: Service
patchesJson6902: [{target: {kind: Service}, path: p3.json}]
replacements: [{path: r.yaml}]
configMapGenerator:
  - name: a
    files: [f1.txt, key=f2.txt]
    envs: [e1.env]
secretGenerator: [{name: b, env: e2.env}]
openapi: {path: schema.json}
transformers: [t.yaml]
"""
    names = "web.yaml crd.json names.yaml p1.yaml p2.yaml p3.json r.yaml f1.txt f2.txt e1.env e2.env schema.json"
    files = {f"app/{name}": "{}" for name in names.split()}
    files |= {"app/t.yaml": "apiVersion: builtin\nkind: LabelTransformer\n", "app/kustomization.yaml": text}
    files |= {f"{name}/kustomization.yaml": "" for name in ("base", "old", "part")}
    found = read(written(repo, files) / "app")
    assert sorted(path.name for path in found.files) == sorted([*names.split(), "t.yaml"])
    assert all(path.is_absolute() for path in (*found.files, *found.bases))
    assert [path.name for path in found.bases] == ["base", "old", "part"]
    assert [(item.text, item.line) for item in found.remote] == [("https://example.com/x.yaml", 1)]
    assert [(item.text, item.field, item.line) for item in found.missing] == [("gone.yaml", "resources", 1)]
    assert found.execs == ()
    assert not found.is_component


def test_fields_count_whatever_their_case_as_kustomize_has_it(repo: Path) -> None:
    text = "RESOURCES: ['https://example.com/a']\nre\u017fources: ['https://example.com/b']\nPatches: [{PATH: gone.yaml}]\n"
    found = read(written(repo, {"kustomization.yaml": text}))
    assert [item.text for item in found.remote] == ["https://example.com/a", "https://example.com/b"]
    assert [item.text for item in found.missing] == ["gone.yaml"]


def test_a_component_says_so(repo: Path) -> None:
    text = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
    assert read(written(repo, {"kustomization.yaml": text})).is_component


def test_flux_has_kustomizations_of_its_own(repo: Path) -> None:
    text = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\n"
    assert read_kustomization(written(repo, {"kustomization.yaml": text}) / "kustomization.yaml") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no fields"),
        ("# nothing\n---\n", "holds no fields"),
        ("[resources]", "holds no fields"),
        ("{{ if x }}\na: b\n", "template braces"),
        ("a: &a [*a]", "holds itself"),
        ("[" * 30_000, "nested deeper"),
        ("resources: [a\n", "not YAML"),
    ],
)
def test_what_is_no_kustomization(text: str, message: str, repo: Path) -> None:
    with pytest.raises(Unreadable, match=message):
        read_kustomization(written(repo, {"kustomization.yaml": text}) / "kustomization.yaml")


def test_a_pipe_or_a_folder_is_not_read(repo: Path) -> None:
    os.mkfifo(repo / "kustomization.yaml")
    (repo / "Kustomization").mkdir()
    for name in ("kustomization.yaml", "Kustomization"):
        with pytest.raises(Unreadable):
            read_kustomization(repo / name)


def test_entries_that_are_no_texts_are_left_to_kustomize(repo: Path) -> None:
    text = "resources: [1, null, {a: b}, [c]]\npatches: [x, {path: [p]}]\nconfigMapGenerator: {files: 3}\nopenapi: x\n"
    found = read(written(repo, {"kustomization.yaml": text}))
    assert [item.text for item in found.references] == ["p"]


@pytest.mark.parametrize(
    ("text", "remote"),
    [
        ("https://github.com/x/y", True),
        ("HTTPS://EXAMPLE.COM/x", True),
        ("git::https://github.com/x/y", True),
        ("github.com/x/y?ref=z", True),
        ("github.com/x//y?ref=z", True),
        ("GitHub.com:x/y.git", True),
        ("git@github.com:x/y", True),
        ("org-12@example.com:x/y//z", True),
        ("ssh://git@example.com/x/y", True),
        ("file:///srv/repo.git", True),
        ("user@host/x/y", True),
        ("../github.com/x/y", False),
        ("github.com", False),
        ("base", False),
        ("some@folder/base", False),
        ("example.com/x/y.git", False),
    ],
)
def test_which_entries_kustomize_would_clone(text: str, remote: bool) -> None:
    assert is_repository(text) is remote


# -- refused before anything runs -----------------------------------------------------------------------------------------

REMOTE = [
    "https://github.com/x/y//deploy?ref=main",
    "https://example.com/manifest.yaml",
    "git@github.com:x/y.git",
    "github.com/x//y?ref=z",
    "ssh://git@example.com/x/y.git",
    "git::http://example.com/x/y",
]


@pytest.mark.parametrize("entry", REMOTE)
def test_a_remote_base_is_refused(entry: str, repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": f"resources:\n  - '{entry}'\n"})
    assert refused(repo / "app", work) == (
        f"app/kustomization.yaml, line 2: {entry} is on the network, and kguard fetches nothing unless it is allowed by name "
        "(inputs.kustomizations[].allow-remote in kguard.yaml), or keep a copy beside it"
    )


@pytest.mark.parametrize(
    "text",
    [
        "components: ['https://example.com/x/y']",
        "patches: [{path: 'https://example.com/p.yaml'}]",
        "configMapGenerator: [{name: a, files: ['k=https://example.com/f']}]",
        "configMapGenerator: [{name: a, files: ['https://example.com/f?a=b']}]",
        "openapi: {path: 'https://example.com/s.json'}",
        'transformers: ["apiVersion: builtin\\nkind: PatchTransformer\\nmetadata: {name: x}\\npath: https://example.com/p"]',
    ],
)
def test_nothing_else_is_fetched_either(text: str, repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": f"{text}\n"})
    assert "is on the network" in refused(repo / "app", work)


def test_a_remote_base_of_a_base_is_refused(repo: Path, work: Path) -> None:
    files = {
        "app/kustomization.yaml": "resources: [../base]\n",
        "base/kustomization.yaml": "resources:\n  - github.com/x/y\n",
    }
    assert refused(written(repo, files) / "app", work).startswith(
        "base/kustomization.yaml, line 2: github.com/x/y is on"
    )


def test_a_folder_that_looks_remote_is_what_kustomize_takes_it_for(repo: Path, work: Path) -> None:
    files = {
        "app/kustomization.yaml": "resources: [github.com/x/y]\n",
        "app/github.com/x/y/kustomization.yaml": "namePrefix: a-\n",
    }
    assert "is on the network" in refused(written(repo, files) / "app", work)


@pytest.mark.parametrize(
    ("allowed", "entry", "runs"),
    [
        ("https://github.com/acme/", "https://github.com/acme/x//y?ref=1", True),
        ("https://github.com/acme/x", "https://github.com/acme/x.git//y", True),
        ("https://github.com/acme/x", "https://github.com/acme/x?ref=1", True),
        ("https://github.com/acme", "https://github.com/acme-evil/x", False),
        ("https://github.com", "https://github.com.evil.example/x/y", False),
        ("https://github.com/acme/", "https://github.com/acme/../evil/x", False),
        ("", "https://github.com/acme/x", False),
    ],
)
def test_a_remote_base_is_allowed_by_the_beginning_of_its_name(
    allowed: str, entry: str, runs: bool, repo: Path, work: Path
) -> None:
    written(repo, {"app/kustomization.yaml": f"resources: ['{entry}']\n"})
    if runs:
        command = root(repo / "app", allow_remote=frozenset((allowed,))).command("kustomize", work)
        assert "PATH" not in command.env  # git must be found
        assert command.env["GIT_TERMINAL_PROMPT"] == "0"
    else:
        assert "is on the network" in refused(repo / "app", work, allow_remote=frozenset((allowed,)))


def test_nothing_can_be_started_or_reached_where_nothing_is_allowed(repo: Path, work: Path) -> None:
    """The second line of defence: kustomize itself, told to fetch, finds no git and no way out."""
    written(repo, {"app/kustomization.yaml": "resources: [web.yaml]\n", "app/web.yaml": SERVICE})
    command = root(repo / "app").command("kustomize", work / process.WORK)
    marker = b'{"resources": ["github.com/x/y"]}'
    told = Command(argv=command.argv, env=command.env, files={"kustomization.yaml": marker})
    outcome = process.run(told, program("kustomize"), work, timeout=20)
    assert outcome.exit_code == 1
    assert b"no 'git' program on path" in outcome.stderr
    url = b'{"resources": ["https://example.com/x.yaml"]}'
    told = Command(argv=command.argv, env=command.env, files={"kustomization.yaml": url})
    outcome = process.run(told, program("kustomize"), work.with_name("again"), timeout=20)
    assert outcome.exit_code == 1
    assert b"127.0.0.1:0" in outcome.stderr


CYCLES = {
    "itself": ({"app/kustomization.yaml": "resources:\n  - .\n"}, "app/kustomization.yaml, line 2: '.'"),
    "each other": (
        {
            "app/kustomization.yaml": "resources: [../base]\n",
            "base/kustomization.yaml": "resources: [web.yaml,\n  ../app]\n",
            "base/web.yaml": SERVICE,
        },
        "base/kustomization.yaml, line 2: '../app'",
    ),
    "the folder around": ({"app/kustomization.yaml": "components: [..]\n", "kustomization.yaml": "{}"}, "app/"),
}


@pytest.mark.parametrize("name", CYCLES)
def test_a_cycle_is_refused(name: str, repo: Path, work: Path) -> None:
    files, where = CYCLES[name]
    message = refused(written(repo, files) / "app", work)
    assert message.startswith(where)
    assert "a cycle; take the entry out" in message


def test_a_missing_base_is_named(repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": "resources:\n  - ../gone\n"})
    assert refused(repo / "app", work) == (
        "app/kustomization.yaml, line 2: '../gone' (resources) does not exist; correct the path"
    )


def test_a_folder_without_a_kustomization_is_named(repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": "resources: [../base]\n", "base/web.yaml": SERVICE})
    assert "line 1: the folder '../base' has no kustomization.yaml" in refused(repo / "app", work)


def test_an_unreadable_kustomization_is_named(repo: Path, work: Path) -> None:
    files = {"app/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "a: b\n\tc: d\n"}
    message = refused(written(repo, files) / "app", work)
    assert message == "base/kustomization.yaml, line 2: tab used for indentation"


GENERATOR = """\
apiVersion: example.com/v1
kind: Writer
metadata:
  name: writer
  annotations:
    config.kubernetes.io/function: |
      exec:
        path: ./writer.sh
"""


@pytest.mark.parametrize("field", ["generators", "transformers", "validators"])
@pytest.mark.parametrize("inline", [True, False])
def test_an_exec_plugin_is_refused_and_does_not_run(field: str, inline: bool, repo: Path, work: Path) -> None:
    marker = repo / "marker"
    entry = "|\n" + "".join(f"    {line}\n" for line in GENERATOR.splitlines()) if inline else "writer.yaml\n"
    files = {
        "app/kustomization.yaml": f"resources: [web.yaml]\n{field}:\n  - {entry}",
        "app/web.yaml": SERVICE,
        "app/writer.yaml": GENERATOR,
        "app/writer.sh": f"#!/bin/sh\ntouch {marker}\n",
    }
    written(repo, files)
    (repo / "app" / "writer.sh").chmod(0o755)
    message = refused(repo / "app", work)
    assert message.startswith(f"app/kustomization.yaml, line 3: {field} would start a program (example.com/v1 Writer)")
    # and kustomize, started as kguard starts it, does not run it either
    good = root(written(repo / "good", {"kustomization.yaml": "resources: [w.yaml]\n", "w.yaml": SERVICE}))
    command = good.command("kustomize", work / process.WORK)
    wrapper = f'{{"resources": ["{os.path.relpath(repo / "app", work / process.WORK)}"]}}'.encode()
    told = Command(argv=command.argv, env=command.env, files={"kustomization.yaml": wrapper})
    outcome = process.run(told, program("kustomize"), work, timeout=20)
    assert outcome.exit_code == 1
    assert b"plugin" in outcome.stderr
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "helmCharts: [{name: web, repo: 'https://example.com'}]",
        "helmChartInflationGenerator: [{chartName: web}]",
        'generators: ["apiVersion: builtin\\nkind: HelmChartInflationGenerator\\nmetadata: {name: x}\\nname: web"]',
    ],
)
def test_helm_is_not_started(text: str, repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": f"{text}\n"})
    assert "would start a program" in refused(repo / "app", work)


def test_no_charts_are_no_reason_to_refuse(repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": "helmCharts: []\nresources: [a.yaml]\n", "app/a.yaml": SERVICE})
    assert root(repo / "app").command("kustomize", work).argv == ("kustomize", "build", ".")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff", "t.yaml (transformers): not UTF-8"), (b"[", "the configuration of transformers is not YAML")],
)
def test_an_unreadable_configuration_of_a_plugin(content: bytes, message: str, repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": "resources: []\ntransformers:\n  - t.yaml\n"})
    (repo / "app" / "t.yaml").write_bytes(content)
    assert refused(repo / "app", work).startswith(f"app/kustomization.yaml, line 3: {message}")


def test_a_graph_that_doubles_at_every_level_stops(repo: Path, work: Path) -> None:
    files = {f"{level}/{side}/kustomization.yaml": f"resources: [../../{level + 1}/a, ../../{level + 1}/b]\n"
             for level in range(20) for side in "ab"}  # fmt: skip
    files |= {f"20/{side}/kustomization.yaml": "namePrefix: x-\n" for side in "ab"}
    assert "more than 2,000" in refused(written(repo, files) / "0" / "a", work)


def test_a_chain_that_is_too_long_stops(repo: Path, work: Path) -> None:
    files = {f"{level}/kustomization.yaml": f"resources: [../{level + 1}]\n" for level in range(120)}
    files["120/kustomization.yaml"] = "namePrefix: x-\n"
    assert "nested deeper than 100" in refused(written(repo, files) / "0", work)


def test_a_root_around_the_temporary_folder_is_refused(repo: Path) -> None:
    written(repo, {"kustomization.yaml": "resources: [web.yaml]\n", "web.yaml": SERVICE})
    assert "set TMPDIR to another place" in refused(repo, repo / "tmp")


# -- rendered -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kustomize", "kubectl"])
@pytest.mark.parametrize("overlay", ["dev", "stage", "prod"])
def test_objects_are_byte_for_byte_what_the_root_alone_renders(
    overlay: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "kubectl" and shutil.which(name) is None:
        pytest.skip("kubectl is not on PATH")
    monkeypatch.chdir(OVERLAYS)
    folder = OVERLAYS / "overlays" / overlay
    rendered = objects(folder, tmp_path / "wrapped", name)
    assert sorted(obj.text for obj in rendered) == native(folder, tmp_path / "native", name)
    assert [obj.staged for obj in rendered] == [
        f"tree/rendered--{number}.yaml" for number in range(1, len(rendered) + 1)
    ]
    assert {obj.bundle for obj in rendered} == {f"kustomize:{overlay}"}


def native(folder: Path, tmp: Path, name: str = "kustomize") -> list[bytes]:
    """The documents of a root that is built without kguard's wrapper, in order of their bytes."""
    argv = ("kubectl", "kustomize", str(folder)) if name == "kubectl" else ("kustomize", "build", str(folder))
    outcome = process.run(Command(argv=argv), program(name), tmp, timeout=60)
    assert outcome.exit_code == 0, outcome.stderr
    return sorted(part.removeprefix(b"---\n") + b"\n" for part in outcome.stdout.removesuffix(b"\n").split(b"\n---\n"))


REAL = [
    ("podinfo", "deploy/overlays/dev"),
    ("podinfo", "kustomize"),
    ("microservices-demo", "kustomize/tests/service-mesh-istio-with-all-components"),
    ("argo-cd", "manifests/cluster-install"),
    ("flux2-kustomize-helm-example", "infrastructure/controllers"),
]


@pytest.mark.parametrize(("repository", "folder"), REAL)
def test_real_roots_are_byte_for_byte_what_kustomize_renders(
    repository: str, folder: str, corpus: Callable[[str], Path], tmp_path: Path
) -> None:
    where = corpus(repository) / folder
    rendered = objects(where, tmp_path / "wrapped")
    assert sorted(obj.text for obj in rendered) == native(where, tmp_path / "native")


def test_the_users_folder_is_left_as_it_is(repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": "resources: [web.yaml]\n", "app/web.yaml": SERVICE})
    before = sorted((path, path.stat().st_mtime_ns) for path in repo.rglob("*"))
    (obj,) = objects(repo / "app", work)
    assert (obj.origin.path, obj.origin.document, obj.origin.span.line) == ("app/web.yaml", 1, 1)
    assert sorted((path, path.stat().st_mtime_ns) for path in repo.rglob("*")) == before


def test_the_label_that_only_the_outermost_can_ask_for(repo: Path, work: Path) -> None:
    text = "buildMetadata: [managedByLabel]\nresources: [web.yaml]\n"
    written(repo, {"app/kustomization.yaml": text, "app/web.yaml": SERVICE})
    (obj,) = objects(repo / "app", work)
    assert b"app.kubernetes.io/managed-by" in obj.text
    assert [obj.text] == native(repo / "app", work.with_name("native"))


def test_a_base_outside_the_given_folder_is_followed(repo: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "here/app/kustomization.yaml": "resources: [../../there]\n",
        "there/kustomization.yaml": "resources: [sub/web.yaml]\n",
        "there/sub/web.yaml": f"---\n# first\n---\n{SERVICE}",
    }
    monkeypatch.chdir(written(repo, files) / "here")
    (obj,) = objects(Path("app"), work)
    assert obj.origin.path == str(repo / "there" / "sub" / "web.yaml")
    assert (obj.origin.document, obj.origin.span.line) == (2, 4)


def test_the_namespace_that_is_given_reaches_every_object(repo: Path, work: Path) -> None:
    binding = (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b}\n"
        "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}\n"
        "subjects: [{kind: ServiceAccount, name: default}]\n"
    )
    written(repo, {"app/kustomization.yaml": "resources: [all.yaml]\n", "app/all.yaml": f"{SERVICE}---\n{binding}"})
    rendered = objects(repo / "app", work, namespace="given: [x")  # whatever it is, it stays a text
    assert {obj.ref.namespace for obj in rendered} == {"given: [x"}


@pytest.mark.parametrize(
    "annotations", ["{}", "{a: b}", "{a: b, zz: 'x'}", "{alpha: '1', config.kubernetes.io/origin: mine}"]
)
def test_annotations_of_the_users_own_stay(annotations: str, repo: Path, work: Path) -> None:
    text = (
        SERVICE
        + f"  annotations: {annotations}\nspec:\n  externalName: |\n    config.kubernetes.io/origin: |\n      path: x\n"
    )
    written(repo, {"app/kustomization.yaml": "resources: [web.yaml]\n", "app/web.yaml": text})
    (obj,) = objects(repo / "app", work)
    expected = native(repo / "app", work.with_name("native"))[0]
    assert obj.text == expected.replace(b"  annotations: {}\n", b"")


def test_notes_are_taken_out_of_annotations_only() -> None:
    text = """\
data:
  x: |
    metadata:
      annotations:
        config.kubernetes.io/origin: |
          path: y
metadata:
  annotations:
    a: b
    config.kubernetes.io/origin: |
      path: base/web.yaml
    z: |
      config.kubernetes.io/origin: x
  name: c
"""
    kept, origin = without_notes(text)
    assert kept == text.replace("    config.kubernetes.io/origin: |\n      path: base/web.yaml\n", "")
    assert origin == " |\n      path: base/web.yaml\n"
    assert without_notes("kind: X\n") == ("kind: X\n", "")


HOSTILE = ["with space", "quote'\"", "- dash", "a: b", "{x}", "#c", "\u202ename", "tab\there", "%20", "é", "*"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_folders(name: str, repo: Path, work: Path) -> None:
    written(repo / name, {"kustomization.yaml": "resources: [web.yaml]\n", "web.yaml": SERVICE})
    (obj,) = objects(repo / name, work)
    assert obj.ref.name == "web"
    assert obj.origin.path == f"{name}/web.yaml"


def test_hostile_names_of_files(repo: Path, work: Path) -> None:
    for number, name in enumerate(HOSTILE):
        written(repo / "app", {f"{name}.yaml": SERVICE.replace("web", f"web{number}")})
    entries = "".join(f"  - {json.dumps(f'{name}.yaml')}\n" for name in HOSTILE)
    written(repo / "app", {"kustomization.yaml": f"resources:\n{entries}"})
    rendered = objects(repo / "app", work)
    assert {obj.origin.path for obj in rendered} >= {"app/with space.yaml", "app/a: b.yaml", "app/#c.yaml"}
    assert all(obj.origin.path != "app/kustomization.yaml" for obj in rendered)
    assert len(rendered) == len(HOSTILE)


def test_a_name_that_is_not_utf_8(repo: Path, work: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(repo) + b"/caf\xe9"))
    folder.mkdir()
    written(folder, {"kustomization.yaml": "resources: [web.yaml]\n", "web.yaml": SERVICE})
    assert "not UTF-8; rename the folder" in refused(folder, work)


def test_entries_with_hostile_names_are_shown_harmless(repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": 'resources: ["\\e[31mred\\n\\0"]\n'})
    message = refused(repo / "app", work)
    assert "\x1b" not in message
    assert "\n" not in message


def config_maps(count: int, size: int) -> list[str]:
    filler = "x" * size
    return [
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c{number}\ndata:\n  filler: {filler}\n"
        for number in range(count)
    ]


def test_fifty_megabytes(repo: Path, work: Path) -> None:
    maps = config_maps(500, 105_000)
    files = {f"app/{number}.yaml": "---\n".join(maps[number::10]) for number in range(10)}
    files["app/kustomization.yaml"] = "resources:\n" + "".join(f"  - {number}.yaml\n" for number in range(10))
    render = root(written(repo, files) / "app")
    outcome = run(render, work)
    assert len(outcome.stdout) > 50_000_000
    started = time.process_time()
    rendered = render.objects(outcome)
    assert time.process_time() - started < 30
    assert len(rendered) == 500
    assert {obj.origin.path for obj in rendered} == {f"app/{number}.yaml" for number in range(10)}


def test_thousands_of_objects(repo: Path, work: Path) -> None:
    """As kustomize would print them, which takes minutes for ten thousand of them itself."""
    maps = config_maps(4_000, 500)
    written(repo, {"app/kustomization.yaml": "resources: [all.yaml]\n", "app/all.yaml": "---\n".join(maps)})
    render = root(repo / "app")
    command = render.command("kustomize", work)
    path = os.path.relpath(repo / "app" / "all.yaml", command.env["PWD"])
    note = f"metadata:\n  annotations:\n    config.kubernetes.io/origin: |\n      path: {path}\n"
    printed = "---\n".join(text.replace("metadata:\n", note) for text in maps).encode()
    started = time.process_time()
    rendered = render.objects(Outcome(command=command, exit_code=0, stdout=printed, stderr=b""))
    assert time.process_time() - started < 20
    assert len(rendered) == 4_000
    assert rendered[-1].origin.document == 4_000
    assert rendered[-1].text == maps[-1].encode()


# -- kustomize's own words ------------------------------------------------------------------------------------------------


def test_duplicate_resources(repo: Path, work: Path) -> None:
    written(
        repo, {"app/kustomization.yaml": "resources: [a.yaml, b.yaml]\n", "app/a.yaml": SERVICE, "app/b.yaml": SERVICE}
    )
    message = failed(repo / "app", work)
    assert message.startswith("kustomize: Error: accumulating resources")
    assert "may not add resource with an already registered id: Service.v1.[noGrp]/web.[noNs]" in message


def test_a_patch_without_a_target(repo: Path, work: Path) -> None:
    patch = SERVICE.replace("web", "other")
    files = {
        "app/kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n",
        "app/a.yaml": SERVICE,
        "app/p.yaml": patch,
    }
    assert "no resource matches strategic merge patch" in failed(written(repo, files) / "app", work)


def test_operations_without_a_target(repo: Path, work: Path) -> None:
    files = {
        "app/kustomization.yaml": 'resources: [a.yaml]\npatches: [{patch: \'[{"op": "remove", "path": "/x"}]\'}]\n',
        "app/a.yaml": SERVICE,
    }
    assert "must specify a target for JSON patch" in failed(written(repo, files) / "app", work)


def test_a_message_that_is_too_long_is_cut_in_the_middle(repo: Path, work: Path) -> None:
    name = "x" * 900
    written(repo, {"app/kustomization.yaml": f"resources: [a.yaml]\n{name}: 1\n", "app/a.yaml": SERVICE})
    message = failed(repo / "app", work)
    assert " ... " in message
    assert message.startswith("kustomize: Error:")


def test_a_process_that_did_not_end_well_says_why(repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": SERVICE})
    render = root(repo / "app")
    command = render.command("kustomize", work)
    stopped = Outcome(
        command=command, exit_code=None, stdout=b"", stderr=b"", failure=RunState.TIMED_OUT, reason="too slow"
    )
    with pytest.raises(NotRendered, match=r"^too slow$"):
        render.objects(stopped)
    for words, expected in (
        (b"", "^kustomize ended with exit code 1 and no message$"),
        (b'Error: json: unknown field "buildMetadata"\n', "too old to tell where objects come from"),
        (b"warning\nerror: first\nerror: second\n  more\n", "^kustomize: error: second more$"),
    ):
        with pytest.raises(NotRendered, match=expected):
            render.objects(Outcome(command=command, exit_code=1, stdout=b"", stderr=words))


def test_output_that_cannot_be_read(repo: Path, work: Path) -> None:
    written(repo, {"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": SERVICE})
    render = root(repo / "app")
    command = render.command("kustomize", work)
    broken = Outcome(command=command, exit_code=0, stdout=b"apiVersion: v1\nkind: [\n", stderr=b"")
    with pytest.raises(NotRendered, match="what kustomize printed cannot be read: not YAML"):
        render.objects(broken)


def test_a_kustomize_that_tells_no_origins_is_read_by_names(repo: Path, work: Path) -> None:
    files = {"app/kustomization.yaml": "namePrefix: a-\nresources: [a.yaml]\n", "app/a.yaml": f"\n{SERVICE}"}
    render = root(written(repo, files) / "app")
    command = render.command("kustomize", work)
    text = SERVICE.replace("web", "a-web").encode() + b"---\n" + SERVICE.replace("web", "else").encode()
    known, unknown = render.objects(Outcome(command=command, exit_code=0, stdout=text, stderr=b""))
    assert (known.origin.path, known.origin.span.line) == ("app/a.yaml", 2)
    assert unknown.origin.path == "app/kustomization.yaml"
