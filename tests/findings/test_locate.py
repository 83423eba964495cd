"""Hints become objects, containers, fields and lines that stand in the user's file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kguard.findings.locate import Unplaceable, locate, location_of
from kguard.inputs.objects import index, read_manifest
from kguard.model import Evidence, FieldPath, KubeObject, Located, ObjectHint, Precision, Span, StagedFile, StagePart

ObjectsOf = Callable[[str], tuple[KubeObject, ...]]

TEXT = """\
# a comment above
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: n}
spec:
  initContainers:
    - name: i
      image: x
  containers:
    - name: c
      image: x
      securityContext:
        privileged: true
---
apiVersion: v1
kind: Secret
metadata: {name: s}
"""


def evidence(hint: ObjectHint, **fields: Any) -> Evidence:
    return Evidence(tool="t", rule="r", title="", native_severity=None, message="", url=None, object=hint, **fields)


def by_name(objects: tuple[KubeObject, ...]) -> dict[str, KubeObject]:
    return {f"{number}.yaml": replace(obj, staged=f"{number}.yaml") for number, obj in enumerate(objects)}


def part_of(objects: Mapping[str, KubeObject]) -> StagePart:
    files = tuple(StagedFile(path=path, ref=obj.ref) for path, obj in objects.items())
    return StagePart(id="1", bundle="b", root=Path("/stage"), files=files)


def placed_in(obj: KubeObject, **fields: Any) -> Located:
    """Evidence about the only object of a part."""
    objects = by_name((obj,))
    (found,) = locate(part_of(objects), [evidence(ObjectHint(staged="0.yaml"), **fields)], objects, index)
    return found


@pytest.fixture
def place(objects_of: ObjectsOf) -> Callable[..., Located]:
    objects = by_name(objects_of(TEXT))

    def placed(hint: ObjectHint, **fields: Any) -> Located:
        (located,) = locate(part_of(objects), [evidence(hint, **fields)], objects, index)
        return located

    return placed


POD = ObjectHint(staged="0.yaml")


@pytest.mark.parametrize(
    "hint",
    [POD, ObjectHint(kind="Pod", namespace="n", name="p"), ObjectHint(staged="x", kind="Pod", namespace="n", name="p")],
)
def test_an_object_by_its_file_or_by_its_name(place: Callable[..., Located], hint: ObjectHint) -> None:
    assert place(hint).object.ref.name == "p"


def test_no_namespace_and_an_empty_one_are_the_same(place: Callable[..., Located]) -> None:
    assert place(ObjectHint(kind="Secret", namespace="", name="s")).object.ref.kind == "Secret"


def test_evidence_about_an_object_that_was_not_staged_is_not_dropped(place: Callable[..., Located]) -> None:
    with pytest.raises(Unplaceable, match="t reports r on"):
        place(ObjectHint(kind="Pod", namespace="other", name="p"))


@pytest.mark.parametrize(
    ("fields", "container"),
    [
        ({"container": "c"}, "c"),
        ({"container": "nobody"}, None),
        ({"path": ("spec", "containers", 0, "image")}, "c"),
        ({"path": ("spec", "initContainers", 0)}, "i"),
        ({"path": ("spec", "containers")}, None),
        ({"lines": Span(10, 13)}, "c"),
        ({"lines": Span(7, 8)}, "i"),
        ({"lines": Span(5, 13)}, None),
        ({}, None),
    ],
)
def test_containers_by_name_path_or_lines(
    place: Callable[..., Located], fields: dict[str, Any], container: str | None
) -> None:
    found = place(POD, **fields).container
    assert (found.name if found else None) == container


def test_lines_become_the_field_that_has_them(place: Callable[..., Located]) -> None:
    assert place(POD, lines=Span(13, 13)).path == ("spec", "containers", 0, "securityContext", "privileged")
    assert place(POD, lines=Span(12, 12)).path is None


FLOW = """\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  hostPID: true
  containers:
    - {name: a, image: x, securityContext: {privileged: true}}
    - {name: b, image: x}
    - name: c
      securityContext: {privileged: true, runAsUser: 0}
"""


@pytest.mark.parametrize(
    ("line", "path", "container"),
    [
        (5, ("spec", "hostPID"), None),
        (7, ("spec", "containers", 0), "a"),
        (8, ("spec", "containers", 1), "b"),
        (10, ("spec", "containers", 2, "securityContext"), "c"),
    ],
)
def test_lines_of_several_fields_become_what_is_around_them_all(
    objects_of: ObjectsOf, line: int, path: FieldPath, container: str
) -> None:
    found = placed_in(objects_of(FLOW)[0], lines=Span(line, line))
    assert (found.path, found.container.name if found.container else None) == (path, container)


def test_the_line_of_minified_json_tells_nothing(objects_of: ObjectsOf) -> None:
    (pod,) = objects_of(json.dumps(yaml.safe_load(FLOW)))
    found = placed_in(pod, lines=Span(1, 1))
    assert (found.path, found.container) == (None, None)


def test_the_only_container_of_minified_json_is_not_taken_for_its_pod(objects_of: ObjectsOf) -> None:
    (pod,) = objects_of('{"apiVersion": "v1", "kind": "Pod", "spec": {"hostPID": true, "containers": [{"name": "a"}]}}')
    found = placed_in(pod, lines=Span(1, 1))
    assert (found.path, found.container) == (None, None)


NAMESAKES = """\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
    - name: c
      image: x
    - name: c
      image: y
"""


@pytest.mark.parametrize(
    ("fields", "container"),
    [
        ({"container": "c"}, None),
        ({"container": "containers[1]"}, "containers[1]"),
        ({"container": "c", "lines": Span(8, 9)}, "containers[1]"),
        ({"container": "c", "path": ("spec", "containers", 0, "image")}, "containers[0]"),
    ],
)
def test_containers_of_one_name_are_told_apart_or_none_is_named(
    objects_of: ObjectsOf, fields: dict[str, Any], container: str | None
) -> None:
    found = placed_in(objects_of(NAMESAKES)[0], **fields).container
    assert (found.name if found else None) == container


def test_a_field_of_another_object(objects_of: ObjectsOf) -> None:
    objects = by_name(objects_of(TEXT))
    hint = ObjectHint(kind="Secret", name="s")
    (found,) = locate(
        part_of(objects), [evidence(hint, path=("spec", "x"), path_object=POD, related=(POD,))], objects, index
    )
    assert (found.object.ref.kind, found.path_object.ref.kind, found.path) == ("Secret", "Pod", ("spec", "x"))
    assert [obj.ref.kind for obj in found.related] == ["Pod"]
    assert found.container is None


def test_the_field_of_an_object_that_is_not_there_is_not_taken_for_the_objects_own(objects_of: ObjectsOf) -> None:
    objects = by_name(objects_of(TEXT))
    gone = ObjectHint(kind="Role", name="gone")
    (found,) = locate(
        part_of(objects), [evidence(POD, path=("spec", "x"), path_object=gone, related=(gone,))], objects, index
    )
    assert (found.path, found.path_object, found.related) == (None, found.object, ())


@pytest.mark.parametrize(
    ("path", "inside", "line", "precision"),
    [
        (("spec", "containers", 0, "securityContext", "privileged"), True, 13, Precision.EXACT),
        (("spec", "containers", 0, "securityContext", "runAsUser"), True, 12, Precision.CONTAINER),
        (("spec", "containers", 0, "livenessProbe"), True, 10, Precision.CONTAINER),
        (("spec", "hostPID"), False, 5, Precision.OBJECT),
        (("status", "x"), False, 2, Precision.OBJECT),
        (None, True, 10, Precision.CONTAINER),
        (None, False, 2, Precision.OBJECT),
    ],
)
def test_the_line_of_a_field_or_of_the_nearest_thing_around_it(
    objects_of: ObjectsOf, path: FieldPath | None, inside: bool, line: int, precision: Precision
) -> None:
    obj = objects_of(TEXT)[0]
    container = index(obj).containers[1] if inside else None
    found = location_of(obj, path, container, index)
    assert (found.path, found.line, found.precision) == ("m.yaml", line, precision)


KEYS = st.sampled_from(["spec", "containers", "securityContext", "name", "metadata", "x"])
VALUES = st.recursive(
    st.text(max_size=12) | st.integers() | st.none(),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(KEYS, child, max_size=4),
    max_leaves=15,
)
PATHS = st.lists(KEYS | st.integers(0, 2), max_size=5).map(tuple)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4), PATHS, st.booleans(), st.integers(0, 3), st.booleans())
def test_no_line_is_invented(fields: dict[str, Any], path: FieldPath, flow: bool, above: int, listed: bool) -> None:
    manifest = {"apiVersion": "v1", "kind": "Pod", **fields}
    whole = {"apiVersion": "v1", "kind": "List", "items": [manifest]} if listed else manifest
    text = "# above\n" * above + yaml.safe_dump(whole, default_flow_style=flow, sort_keys=False) + "# below\n"
    (obj,) = read_manifest("m.yaml", text.encode(), "b").objects
    for container in (None, *index(obj).containers):
        found = location_of(obj, path, container, index)
        assert found.line is not None
        assert found.end_line is not None
        assert obj.origin.span.line <= found.line <= found.end_line <= obj.origin.span.end_line <= text.count("\n")
        if found.precision is Precision.EXACT:
            key = path[-1]
            assert isinstance(key, int) or key in text.splitlines()[found.line - 1]
