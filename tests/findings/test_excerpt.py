"""The lines around a finding are the file's own, and show no value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kguard.findings.excerpt import excerpt_of
from kguard.findings.locate import location_of
from kguard.inputs.objects import index
from kguard.model import FieldPath, KubeObject, Location, ObjectRef, Precision, Span

ObjectsOf = Callable[[str], tuple[KubeObject, ...]]

FILE = """\
# a licence
---
# a comment
apiVersion: v1
kind: Pod
metadata:
  name: p
spec:
  containers:
    - name: c
      image: x
      securityContext:
        privileged: true
        runAsUser: 0
      env:
        - name: PASSWORD
          value: hunter2hunter2
        - name: PLAIN
          value: word
      ports:
        - containerPort: 1
        - containerPort: 2
        - containerPort: 3
        - containerPort: 4
        - containerPort: 5
        - containerPort: 6
# the end
---
kind: Other
"""


@pytest.mark.parametrize(
    ("path", "first", "last"),
    [
        (("apiVersion",), 4, 10),
        (("spec", "containers", 0, "image"), 8, 17),
        (("spec", "containers", 0, "ports"), 17, 26),
        (("spec", "containers", 0), 7, 16),
        (("spec", "containers", 0, "ports", 5), 23, 26),
    ],
    ids=["first line", "in the middle", "a short field", "a long field", "last line"],
)
def test_three_lines_before_six_after_and_only_the_objects_own(
    objects_of: ObjectsOf, path: FieldPath, first: int, last: int
) -> None:
    (pod,) = objects_of(FILE)
    found = excerpt_of(pod, location_of(pod, path, None, index), (), index)
    assert found is not None
    assert (found.line, found.line + len(found.lines) - 1) == (first, last)


def test_lines_are_those_of_the_file_but_for_values(objects_of: ObjectsOf) -> None:
    (pod,) = objects_of(FILE)
    own = FILE.replace("hunter2hunter2", "***").replace("value: word", "value: ***").splitlines()
    for line in range(4, 27):
        found = excerpt_of(pod, Location(path="m.yaml", line=line, end_line=line, precision=Precision.EXACT), (), index)
        assert found is not None
        assert list(found.lines) == own[found.line - 1 : found.line - 1 + len(found.lines)]


def test_a_field_of_up_to_twelve_lines_is_shown_whole(objects_of: ObjectsOf) -> None:
    ports = "".join(f"        - containerPort: {number}\n" for number in range(1, 9))
    (pod,) = objects_of(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n    - name: c\n      ports:\n"
        f"{ports}      image: x\n"
    )
    found = excerpt_of(pod, location_of(pod, ("spec", "containers", 0, "ports"), None, index), (), index)
    assert found is not None
    assert (found.line, len(found.lines), found.lines[-1].strip()) == (4, 12, "- containerPort: 8")


@pytest.mark.parametrize("line", [None, 3, 27, 400])
def test_no_lines_for_a_place_outside_the_object(objects_of: ObjectsOf, line: int | None) -> None:
    (pod,) = objects_of(FILE)
    assert (
        excerpt_of(pod, Location(path="m.yaml", line=line, end_line=line, precision=Precision.FILE), (), index) is None
    )


def test_no_lines_of_another_file(objects_of: ObjectsOf) -> None:
    (pod,) = objects_of(FILE)
    elsewhere = Location(path="other.yaml", line=5, end_line=5, precision=Precision.EXACT)
    assert excerpt_of(pod, elsewhere, (), index) is None


def test_a_list_item_has_none_because_its_staged_lines_were_written_anew(objects_of: ObjectsOf) -> None:
    (pod,) = objects_of("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n")
    assert excerpt_of(pod, location_of(pod, None, None, index), (), index) is None


def test_the_one_line_of_minified_json_is_cut_and_masked(objects_of: ObjectsOf) -> None:
    variables = ",".join(f'{{"name":"N{number}","value":"hunter{number}hunter"}}' for number in range(50))
    (pod,) = objects_of(
        '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},'
        f'"spec":{{"containers":[{{"name":"c","image":"x","env":[{variables}]}}]}}}}'
    )
    found = excerpt_of(pod, location_of(pod, None, None, index), (), index)
    assert found is not None
    (line,) = found.lines
    assert '{"name":"N0","value":***}' in line
    assert "hunter" not in line
    assert len(line) == 200
    assert line.endswith("…")


def test_a_line_cannot_move_a_terminal(objects_of: ObjectsOf) -> None:
    (pod,) = objects_of(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p # \u202eright to left\n  labels: {a: b}\t# tab\n"
    )
    found = excerpt_of(pod, location_of(pod, None, None, index), (), index)
    assert found is not None
    assert found.lines[3:] == ("  name: p # \\u202eright to left", "  labels: {a: b}  # tab")


def test_windows_line_ends(objects_of: ObjectsOf) -> None:
    (pod,) = objects_of(FILE.replace("\n", "\r\n"))
    found = excerpt_of(pod, location_of(pod, ("spec", "containers", 0, "env", 0), None, index), (), index)
    assert found is not None
    assert (found.line, found.lines[3:5]) == (13, ("        - name: PASSWORD", "          value: ***"))


@dataclass(frozen=True)
class Untraced:
    """A way back that knows no more than the template."""

    source: str = "t"

    own_ref: ObjectRef | None = None

    def locations(self, value: Mapping[str, Any], spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Location]:
        return dict.fromkeys(spans, Location(path="t.yaml", line=None, end_line=None, precision=Precision.TEMPLATE))

    def removed_by(self, path: FieldPath, seen: Mapping[str, Any]) -> None:
        return None


@pytest.mark.parametrize(("path", "marked"), [(("image",), "image: x"), (("tty",), "- name: c")])
def test_of_a_rendered_object_the_lines_as_rendered_with_the_field_marked(
    objects_of: ObjectsOf, path: FieldPath, marked: str
) -> None:
    rendered = replace(objects_of(FILE)[0], trace=Untraced(), text_line=None)
    full: FieldPath = ("spec", "containers", 0, *path)
    location = location_of(rendered, full, None, index)
    found = excerpt_of(rendered, location, full, index)
    assert (location.path, location.line) == ("t.yaml", None)
    assert found is not None
    assert found.rendered
    assert found.at is not None
    assert found.lines[found.at - found.line].strip() == marked
    assert not any("hunter2" in line for line in found.lines)
