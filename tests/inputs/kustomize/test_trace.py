"""The way back from what kustomize rendered, held against tables written by hand, and against the files themselves."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from kguard.inputs.kustomize.patches import labelled
from kguard.inputs.kustomize.root import Root
from kguard.inputs.kustomize.trace import KustomizeTrace
from kguard.inputs.objects import index, lookup
from kguard.model import FieldPath, KubeObject, Location, Precision
from kguard.running import process

OVERLAYS = Path(__file__).resolve().parents[3] / "fixtures" / "overlays"
NAMED = ("name", "key", "containerPort", "port", "mountPath")
HEAD = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"


def rendered(folder: Path, tmp: Path, **options: Any) -> tuple[KubeObject, ...]:
    """The objects of a root, by the real kustomize."""
    found = shutil.which("kustomize")
    assert found is not None, "run the tests with `make test`, which installs kustomize"
    root = Root(folder=folder, path=folder.name, bundle=f"kustomize:{folder.name}", name=folder.name, **options)
    command = root.command("kustomize", tmp / process.WORK)
    return root.objects(process.run(command, Path(found), tmp, timeout=60))


@pytest.fixture
def overlays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Sequence[KubeObject]]:
    """The objects of the three overlays, seen from fixtures/overlays."""
    monkeypatch.chdir(OVERLAYS)
    return {name: rendered(Path("overlays", name), tmp_path / name) for name in ("dev", "stage", "prod")}


def table(name: str) -> list[list[str]]:
    lines = (OVERLAYS / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def named(objects: Sequence[KubeObject], name: str) -> KubeObject:
    kind, _, pattern = name.partition(" ")
    return next(obj for obj in objects if obj.ref.kind == kind and fnmatchcase(obj.ref.name, pattern))


def field(text: str, value: Any) -> FieldPath:
    """`spec.containers[web].ports[8080]` as a path: list items by what names them, else by position."""
    path: list[str | int] = []
    for key, quoted, item in re.findall(r"([A-Za-z0-9]+)|\['([^']+)'\]|\[([^\]]+)\]", text):
        path.append(_position(item, lookup(value, tuple(path))) if item else quoted or key)
    return tuple(path)


def _position(item: str, siblings: Sequence[Any]) -> int:
    for number, sibling in enumerate(siblings):
        own = [sibling.get(key) for key in NAMED] if isinstance(sibling, dict) else [sibling]
        if item in [str(name) for name in own if name is not None]:
            return number
    return int(item)


def words(location: Location | None) -> list[str]:
    return ["-", "-"] if location is None else [location.path, str(location.line or "-")]


# -- the tables -----------------------------------------------------------------------------------------------------------


def test_every_field_of_the_table_comes_from_where_it_says(overlays: Mapping[str, Sequence[KubeObject]]) -> None:
    wrong = []
    for overlay, name, text, *expected in table("expected.tsv"):
        obj = named(overlays[overlay], name)
        locations, path = index(obj).locations, field(text, index(obj).value)
        assert locations is not None
        got = [*words(locations[path]), locations[path].precision.value]
        if got != expected:
            wrong.append((overlay, name, text, expected, got))
    assert not wrong


def test_what_took_a_field_away_is_named(overlays: Mapping[str, Sequence[KubeObject]]) -> None:
    wrong = []
    for overlay, name, other, there, text, *expected in table("removed.tsv"):
        seen = index(named(overlays[other], there)).value
        trace = named(overlays[overlay], name).trace
        assert isinstance(trace, KustomizeTrace)
        got = words(trace.removed_by(field(text, seen), seen))
        if got != expected:
            wrong.append((overlay, name, text, expected, got))
    assert not wrong


def test_every_field_has_a_place_and_the_object_an_origin(overlays: Mapping[str, Sequence[KubeObject]]) -> None:
    for obj in (obj for objects in overlays.values() for obj in objects):
        locations = index(obj).locations
        assert locations is not None
        assert set(locations) == set(index(obj).staged_spans)
        assert locations[()].precision is Precision.OBJECT
        assert (locations[()].path, locations[()].line) == (obj.origin.path, obj.origin.span.line)


def test_one_base_document_is_one_source_in_every_overlay(overlays: Mapping[str, Sequence[KubeObject]]) -> None:
    sources = {
        name: {obj.trace.source for obj in objects if obj.trace is not None} for name, objects in overlays.items()
    }
    assert sources["dev"] == sources["stage"]
    assert len(sources["dev"]) == len(overlays["dev"])
    assert {source[0] for source in sources["prod"] - sources["dev"]} == {"overlays/prod/budget.yaml"}  # type: ignore[index]


# -- no line is invented --------------------------------------------------------------------------------------------------


def invented(objects: Sequence[KubeObject]) -> Iterator[tuple[str, FieldPath, Location, str]]:
    """Exact locations whose line shows neither the key, nor the item, nor an operation of a patch on it."""
    files: dict[str, list[str]] = {}
    for obj in objects:
        for path, place in (index(obj).locations or {}).items():
            if place.precision is not Precision.EXACT or not path:
                continue
            lines = files.setdefault(place.path, Path(place.path).read_text(encoding="utf-8-sig").split("\n"))
            assert place.line is not None
            assert place.end_line is not None
            line = lines[place.line - 1]
            if not _stands(path, lookup(index(obj).value, path), line, lines[place.line - 1 : place.end_line]):
                yield f"{obj.ref}", path, place, line


def _stands(path: FieldPath, value: Any, line: str, block: Sequence[str]) -> bool:
    key, inside = path[-1], "\n".join(block)
    if re.search(r"""(^|[\s{,"'-])op["']?\s*:""", line):
        name = re.escape(str(key).replace("~", "~0").replace("/", "~1"))
        return re.search(rf"""\bpath["']?\s*:.*/({name}|-|\d+)["']?\s*(,|}}|$)""", inside, re.MULTILINE) is not None
    if isinstance(key, int):
        first = next(iter(value), "") if isinstance(value, (dict, list)) else value
        return re.match(r"\s*-|.*[\[{]", line) is not None or str(first) in line
    return re.search(rf"""(^|[\s{{,"'-]){re.escape(key)}["']?\s*[:=]""", line) is not None


def test_no_exact_line_is_invented(overlays: Mapping[str, Sequence[KubeObject]]) -> None:
    assert list(invented([obj for objects in overlays.values() for obj in objects])) == []


REAL = [
    ("podinfo", "deploy/overlays/dev"),
    ("podinfo", "deploy/overlays/production"),
    ("podinfo", "kustomize"),
    ("microservices-demo", "kustomize"),
    ("microservices-demo", "kustomize/tests/service-mesh-istio-with-all-components"),
    ("microservices-demo", "kustomize/tests/spanner-with-all-components"),
    ("argo-cd", "manifests/namespace-install"),
    ("argo-cd", "manifests/base/application-controller-deployment"),
    ("flux2-kustomize-helm-example", "apps/staging"),
    ("flux2-kustomize-helm-example", "infrastructure/controllers"),
]


@pytest.mark.parametrize(("repository", "folder"), REAL)
def test_real_overlays_lead_back_to_their_files(
    repository: str, folder: str, corpus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus(repository))
    objects = rendered(Path(folder), tmp_path / "render")
    assert objects
    assert list(invented(objects)) == []
    places = [place for obj in objects for place in (index(obj).locations or {}).values()]
    lined = [place for place in places if place.line is not None]
    assert len(lined) >= 0.9 * len(places)


# -- one thing at a time --------------------------------------------------------------------------------------------------


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  template:
    spec:
      containers:
        - name: one
          image: one:1
        - name: two
          image: two:1
"""


def places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str], kind: str = "Deployment"
) -> dict[str, list[str]]:
    """Where the fields of the first object of a kind come from, of the root in `over`, by their dotted paths."""
    monkeypatch.chdir(written(tmp_path / "repo", files))
    objects = rendered(Path("over"), tmp_path / "render")
    obj = next(obj for obj in objects if obj.ref.kind == kind)
    locations = index(obj).locations
    assert locations is not None
    assert list(invented(objects)) == []
    return {".".join(map(str, path)): [*words(place), place.precision.value] for path, place in locations.items()}


def overlay(patch: str, deployment: str = DEPLOYMENT) -> dict[str, str]:
    return {
        "base/kustomization.yaml": f"{HEAD}resources: [web.yaml]\n",
        "base/web.yaml": deployment,
        "over/kustomization.yaml": f"{HEAD}resources: [../base]\n{patch}",
    }


CONTAINERS = "spec.template.spec.containers"


def test_a_target_selects_by_expression_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = """\
patches:
  - target: {kind: Deploy.*, name: w.b, labelSelector: "app in (web, api), !legacy"}
    patch: |
      - op: replace
        path: /spec/template/spec/containers/1/image
        value: two:2
  - target: {kind: Deployment, labelSelector: app=api}
    patch: |
      - op: replace
        path: /spec/template/spec/containers/0/image
        value: one:1
"""
    found = places(tmp_path, monkeypatch, overlay(patch))
    assert found[f"{CONTAINERS}.1.image"] == ["over/kustomization.yaml", "7", "exact"]
    assert found[f"{CONTAINERS}.0.image"] == ["base/web.yaml", "11", "exact"]


def test_a_patch_in_a_folded_scalar_has_the_line_of_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = """\
patches:
  - target: {kind: Deployment}
    patch: >-
      [{"op": "replace",
      "path": "/spec/template/spec/containers/1/image", "value": "two:2"}]
  - target: {kind: Deployment}
    patch: '[{"op": "add", "path": "/spec/paused", "value": true}]'
  - target: {kind: Deployment}
    patch: "- op: add\\n  path: /spec/minReadySeconds\\n  value: 3\\n"
"""
    found = places(tmp_path, monkeypatch, overlay(patch))
    assert found[f"{CONTAINERS}.1.image"] == ["over/kustomization.yaml", "5", "file"]
    assert found["spec.paused"] == ["over/kustomization.yaml", "10", "exact"]
    assert found["spec.minReadySeconds"] == ["over/kustomization.yaml", "11", "file"]


def test_operations_count_positions_after_those_before_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = """\
patches:
  - target: {kind: Deployment}
    patch: |
      - op: remove
        path: /spec/template/spec/containers/0
      - op: replace
        path: /spec/template/spec/containers/0/image
        value: two:2
      - op: add
        path: /spec/template/spec/containers/-
        value: {name: three, image: "one:1"}
      - op: copy
        from: /metadata/labels
        path: /spec/template/spec/nodeSelector
      - op: move
        from: /metadata/labels/app
        path: /metadata/labels/role
"""
    found = places(tmp_path, monkeypatch, overlay(patch))
    assert found[f"{CONTAINERS}.0.name"] == ["base/web.yaml", "12", "exact"]
    assert found[f"{CONTAINERS}.0.image"] == ["over/kustomization.yaml", "9", "exact"]
    assert found[f"{CONTAINERS}.1.image"] == ["over/kustomization.yaml", "14", "exact"]
    assert found["spec.template.spec.nodeSelector.app"] == ["over/kustomization.yaml", "15", "file"]
    assert found["metadata.labels.role"] == ["over/kustomization.yaml", "18", "exact"]


def test_the_outermost_patch_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = DEPLOYMENT.replace("        - name: one\n          image: one:1\n", "").replace("two:1", "two:2")
    files = {
        **overlay("patches: [{path: p.yaml}]\n"),
        "over/p.yaml": text,
        "mid/kustomization.yaml": f"{HEAD}resources: [../base]\npatches: [{{path: p.yaml}}]\n",
        "mid/p.yaml": text,
    }
    files["over/kustomization.yaml"] = files["over/kustomization.yaml"].replace("../base", "../mid")
    found = places(tmp_path, monkeypatch, files)
    # what a patch names comes first
    assert found[f"{CONTAINERS}.0.image"] == ["over/p.yaml", "11", "exact"]
    assert found[f"{CONTAINERS}.0.name"] == ["base/web.yaml", "12", "exact"]


def test_one_base_twice_under_two_prefixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        **overlay(""),
        "a/kustomization.yaml": f"{HEAD}namePrefix: a-\nresources: [../base]\nreplicas: [{{name: web, count: 4}}]\n",
        "b/kustomization.yaml": f"{HEAD}namePrefix: b-\nresources: [../base]\nreplicas: [{{name: web, count: 5}}]\n",
        "over/kustomization.yaml": f"{HEAD}resources: [../a, ../b]\n",
    }
    monkeypatch.chdir(written(tmp_path / "repo", files))
    found = {obj.ref.name: index(obj).locations for obj in rendered(Path("over"), tmp_path / "render")}
    for name in ("a", "b"):
        locations = found[f"{name}-web"]
        assert locations is not None
        assert words(locations[("spec", "replicas")]) == [f"{name}/kustomization.yaml", "5"]
        assert words(locations[("metadata", "name")]) == [f"{name}/kustomization.yaml", "3"]
        assert words(locations[("kind",)]) == ["base/web.yaml", "2"]


def test_transformers_with_a_configuration_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = """\
apiVersion: builtin
kind: LabelTransformer
metadata: {name: labels}
labels:
  tier: front
fieldSpecs: [{path: metadata/labels, create: true}]
---
apiVersion: builtin
kind: ImageTagTransformer
metadata: {name: image}
imageTag:
  name: one
  newTag: "9"
---
apiVersion: builtin
kind: PatchTransformer
metadata: {name: patch}
target: {kind: Deployment}
patch: |-
  - op: add
    path: /spec/paused
    value: true
"""
    files = {**overlay("transformers: [labels.yaml]\n"), "over/labels.yaml": labels}
    found = places(tmp_path, monkeypatch, files)
    assert found["metadata.labels.tier"] == ["over/labels.yaml", "5", "file"]
    assert found[f"{CONTAINERS}.0.image"] == ["over/labels.yaml", "11", "file"]
    assert found["spec.paused"] == ["over/labels.yaml", "20", "exact"]


def test_what_is_not_foreseen_has_the_kustomization_without_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = """\
replacements:
  - source: {kind: Deployment, fieldPath: metadata.name}
    targets:
      - select: {kind: Deployment}
        fieldPaths: [metadata.labels.app, "spec.template.spec.containers.[name=two].image"]
"""
    found = places(tmp_path, monkeypatch, overlay(patch))
    assert found["metadata.labels.app"] == ["base/web.yaml", "5", "exact"]  # web before, and web again
    assert found[f"{CONTAINERS}.1.image"] == ["over/kustomization.yaml", "-", "file"]


def test_custom_resources_have_their_lists_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    custom = "apiVersion: example.com/v1\nkind: Rollout\nmetadata: {name: web}\nspec:\n  containers:\n    - {name: a, b: 1}\n    - {name: c}\n"
    patch = "patches:\n  - path: p.yaml\n"
    files = {**overlay(patch, custom), "over/p.yaml": custom.replace("    - {name: c}\n", "").replace("b: 1", "d: 2")}
    found = places(tmp_path, monkeypatch, files, "Rollout")
    assert found["spec.containers"] == ["over/p.yaml", "5", "exact"]
    assert found["spec.containers.0.d"] == ["over/p.yaml", "6", "exact"]
    assert "spec.containers.0.b" not in found


def test_generators_with_a_name_of_their_own_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generators = """\
secretGenerator:
  - name: keys
    files: [token=secret.txt]
    options:
      disableNameSuffixHash: true
      labels: {app: web}
"""
    files = {**overlay(generators), "over/secret.txt": "x"}
    found = places(tmp_path, monkeypatch, files, "Secret")
    assert found[""] == ["over/kustomization.yaml", "5", "object"]
    assert found["data.token"] == ["over/secret.txt", "-", "file"]
    assert found["metadata.name"] == ["over/kustomization.yaml", "5", "file"]
    assert found["metadata.labels.app"] == ["over/kustomization.yaml", "9", "exact"]


def test_anchors_lead_to_where_the_value_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = DEPLOYMENT.replace("image: one:1", "image: &i one:1").replace("image: two:1", "image: *i")
    found = places(tmp_path, monkeypatch, overlay("", text))
    assert found[f"{CONTAINERS}.1.image"] == ["base/web.yaml", "13", "exact"]


def test_a_namespace_that_kguard_was_given_is_the_roots_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written(tmp_path / "repo", overlay("")))
    (obj,) = rendered(Path("over"), tmp_path / "render", namespace="given")
    assert obj.ref.namespace == "given"
    locations = index(obj).locations
    assert locations is not None
    assert words(locations[("metadata", "namespace")]) == ["over/kustomization.yaml", "-"]


def test_through_a_link_paths_are_as_the_user_wrote_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "elsewhere", overlay(""))
    (tmp_path / "repo").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "repo" / "link")
    monkeypatch.chdir(tmp_path / "repo")
    (obj,) = rendered(Path("link/over"), tmp_path / "render")
    assert obj.origin.path == "link/base/web.yaml"


def test_a_pattern_that_takes_long_to_try_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = 'patches:\n  - target: {name: \'(w+)+e*b|x\'}\n    patch: \'[{"op": "add", "path": "/spec/paused", "value": true}]\'\n'
    name = DEPLOYMENT.replace("name: web", f"name: {'w' * 60}")
    monkeypatch.chdir(written(tmp_path / "repo", overlay(patch, name)))
    (obj,) = rendered(Path("over"), tmp_path / "render")
    assert index(obj).locations


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app!=web", False),
        ("other!=x", True),
        ("app in (api, web)", True),
        ("app notin (api,db)", True),
        ("app notin (web)", False),
        ("tier", True),
        ("!tier", False),
        ("!other , tier", True),
        ("app=web other", False),
        ("((", False),
    ],
)
def test_label_selectors(selector: str, expected: bool) -> None:
    assert labelled(selector, {"app": "web", "tier": "front"}) is expected


def test_the_rendered_documents_are_what_kustomize_prints(overlays: Mapping[str, Sequence[KubeObject]]) -> None:
    for objects in overlays.values():
        for obj in objects:
            assert b"config.kubernetes.io" not in obj.text
            assert index(obj).value == yaml.safe_load(obj.text)
