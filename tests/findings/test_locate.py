"""Hints become objects, containers, fields and lines that stand in the user's file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kguard.findings.locate import Unplaceable, locate, location_of
from kguard.inputs.objects import index
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


@pytest.fixture
def place(objects_of: ObjectsOf) -> Callable[..., Located]:
    objects = tuple(replace(obj, staged=f"{number}.yaml") for number, obj in enumerate(objects_of(TEXT)))
    files = tuple(StagedFile(path=obj.staged, ref=obj.ref) for obj in objects)
    part = StagePart(id="1", bundle="b", root=Path("/stage"), files=files)

    def placed(hint: ObjectHint, **fields: object) -> Located:
        base = Evidence(tool="t", rule="r", title="", native_severity=None, message="", url=None, object=hint)
        evidence = replace(base, **fields)  # type: ignore[arg-type]
        (located,) = locate(part, [evidence], {obj.staged: obj for obj in objects}, index)
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
    place: Callable[..., Located], fields: dict[str, object], container: str | None
) -> None:
    found = place(POD, **fields).container
    assert (found.name if found else None) == container


def test_lines_become_the_deepest_field_that_has_them(place: Callable[..., Located]) -> None:
    assert place(POD, lines=Span(13, 13)).path == ("spec", "containers", 0, "securityContext", "privileged")
    assert place(POD, lines=Span(12, 12)).path is None


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
