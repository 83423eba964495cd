"""Objects out of manifests: values, lines, List items, and the worst input."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kguard.inputs.nodes import MAX_DEPTH
from kguard.inputs.objects import FileContent, index, lookup, read_manifest
from kguard.model import FieldPath, KubeObject, Span

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: a
spec:
  containers:
    - name: one
      image: x:1
      env:
        - name: A
          value: "1"
    -
      name: two
      args: [a,
             b]
      command:
        - |
          echo
          done

  # the end
  hostPID: true
"""


def read(text: str | bytes) -> FileContent:
    return read_manifest("f.yaml", text if isinstance(text, bytes) else text.encode(), "b")


def only(text: str | bytes) -> KubeObject:
    content = read(text)
    assert not content.problems
    assert len(content.objects) == 1
    return content.objects[0]


def test_lines_of_fields_containers_and_blocks() -> None:
    spans = index(only(POD)).spans
    expected = {
        ("spec", "containers", 0): Span(7, 11),
        ("spec", "containers", 0, "env", 0, "value"): Span(11, 11),
        ("spec", "containers", 1): Span(13, 19),
        ("spec", "containers", 1, "args"): Span(14, 15),
        ("spec", "containers", 1, "command", 0): Span(17, 19),
        ("spec", "hostPID"): Span(22, 22),
        ("spec",): Span(5, 22),
    }
    assert {path: spans[path] for path in expected} == expected


def test_containers_have_names_that_tell_them_apart() -> None:
    spec = "{initContainers: [{name: i}], containers: [{name: a}, {name: a}, {image: x}, 7]}"
    containers = index(only(f"{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {spec}}}")).containers
    assert [(item.name, item.given, item.init) for item in containers] == [
        ("i", "i", True),
        ("containers[0]", "a", False),
        ("containers[1]", "a", False),
        ("containers[2]", "", False),
    ]


def test_containers_that_are_no_list_are_none() -> None:
    (container,) = index(
        only("{apiVersion: v1, kind: Pod, spec: {initContainers: [{name: i}], containers: true}}")
    ).containers
    assert container.name == "i"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Pod", ("spec",)),
        ("Deployment", ("spec", "template", "spec")),
        ("CronJob", ("spec", "jobTemplate", "spec", "template", "spec")),
        ("PodTemplate", ("template", "spec")),
        ("Rollout", ("spec", "template", "spec")),
    ],
)
def test_where_the_pod_spec_stands(kind: str, path: FieldPath) -> None:
    value: dict[str, Any] = {"containers": [{"name": "c"}]}
    for key in reversed(path):
        value = {str(key): value}
    found = index(only(json.dumps({"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "n"}, **value})))
    assert found.pod == path
    assert [container.name for container in found.containers] == ["c"]


def test_a_document_keeps_its_own_bytes_and_its_line() -> None:
    first, second = read(
        "# top\n\na: 1\n---\n# about it\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n---\n" + POD
    ).objects
    assert first.text == b"# about it\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
    assert (first.text_line, first.origin.document, first.origin.span) == (5, 2, Span(6, 8))
    assert second.text == POD.encode()
    assert index(second).spans["spec", "hostPID"].line == 31


def test_items_of_lists_keep_the_styles_of_their_scalars_and_their_source_lines() -> None:
    text = """\
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Pod
    metadata: &m {name: a}
    spec: {containers: [{name: c, env: [{name: A, value: y}, {name: B, value: "y"}, {name: C, value: '1'}, {name: D, value: 1}]}]}
  - apiVersion: v1
    kind: ConfigMap
    metadata: *m
    data:
      text: |
        one
        two
  - not an object
"""
    pod, config = read(text).objects
    assert (pod.origin.item, config.origin.item, pod.staged, config.staged) == (1, 2, "--1-1", "--1-2")
    env = pod.text.decode()
    assert 'value: "y"' in env
    assert "value: y}" in env
    assert "value: '1'" in env
    assert "value: 1}" in env
    assert yaml.safe_load(config.text)["data"]["text"] == "one\ntwo\n"
    assert config.ref.name == "a"
    assert index(config).spans["data", "text"] == Span(12, 14)


def test_items_of_lists_in_lists_are_counted_one_after_another() -> None:
    inner = "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod}, {apiVersion: v1, kind: Pod}]}"
    objects = read(f"apiVersion: v1\nkind: List\nitems: [{inner}, 7, {inner}]\n").objects
    assert [obj.origin.item for obj in objects] == [1, 2, 4, 5]
    assert [obj.staged for obj in objects] == ["--1-1", "--1-2", "--1-4", "--1-5"]


@pytest.mark.parametrize(
    "items", ["items: [{apiVersion: v1, kind: X}]\nitems: [POD]", "<<: {items: [POD]}", "<<: {items: []}\nitems: [POD]"]
)
def test_the_items_of_a_list_are_those_that_count(items: str) -> None:
    content = read(f"apiVersion: v1\nkind: List\n{items.replace('POD', '{apiVersion: v1, kind: Pod}')}\n")
    assert [obj.ref.kind for obj in content.objects] == ["Pod"]
    assert len(content.notes) == items.count("\nitems") - items.count("<<: {items: []}")


def test_an_item_that_is_no_object_is_named_and_costs_no_other() -> None:
    pod = "{apiVersion: v1, kind: Pod}"
    content = read(f"---\napiVersion: v1\nkind: List\nitems:\n- {pod}\n- apiVersion: v1\n- {pod}\n---\n{POD}")
    assert [(obj.origin.document, obj.origin.item) for obj in content.objects] == [(1, 1), (1, 3), (2, None)]
    (problem,) = content.problems
    assert (problem.document, problem.line) == (1, 6)
    assert problem.message == "no value for kind. This item is skipped; the others of its list are scanned."


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("apiVersion:\nkind: Pod\n", "no value for apiVersion"),
        ("apiVersion: ''\nkind:\n", "no value for apiVersion and kind"),
        ("apiVersion: 1\nkind: Pod\n", "apiVersion and kind are not both text"),
    ],
)
def test_a_manifest_without_a_type_does_not_vanish(text: str, why: str) -> None:
    content = read(f"{POD}---\n{text}")
    assert len(content.objects) == 1
    (problem,) = content.problems
    assert (problem.document, problem.line) == (2, 24)
    assert problem.message == f"{why}. This document is skipped; the other one in the file is scanned."


@pytest.mark.parametrize(
    "text",
    ["kind: Deployment\nreplicas: 1\n", "apiVersion: v1\nparts:\n  kind: x\n", "a:\n  apiVersion: v1\n  kind:\n"],
)
def test_what_never_had_both_keys_is_no_manifest(text: str) -> None:
    content = read(text)
    assert (content.objects, content.problems) == ((), ())


def test_keys_that_are_no_text_cost_nothing() -> None:
    (pod,) = read("apiVersion: v1\nkind: PodList\nitems:\n- ? [x, y]\n  : z\n  metadata: {name: a}\n").objects
    assert (pod.ref.kind, index(pod).value["metadata"]) == ("Pod", {"name": "a"})


def test_typed_lists_give_their_items_the_type() -> None:
    (pod,) = read('{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}, "spec": {}}]}').objects
    assert (pod.ref.kind, pod.ref.version, pod.ref.name) == ("Pod", "v1", "a")
    assert yaml.safe_load(pod.text)["kind"] == "Pod"


def test_anchors_merge_keys_and_duplicates() -> None:
    text = "apiVersion: v1\nkind: X\nmetadata: {name: n}\nbase: &b {a: 1, b: 2}\nother:\n  <<: *b\n  b: 3\ncopy: *b\ncopy: *b\n"
    content = read(text)
    found = index(content.objects[0])
    assert found.value["other"] == {"a": 1, "b": 3}
    assert found.spans["copy",] == Span(9, 9)
    assert content.notes == ("duplicate key 'copy': the last one counts",)


def test_byte_order_mark_and_line_ends() -> None:
    obj = only(b"\xef\xbb\xbf" + POD.replace("\n", "\r\n").encode())
    assert obj.text == POD.replace("\n", "\r\n").encode()
    assert index(obj).spans["spec", "hostPID"].line == 22


@pytest.mark.parametrize(
    "metadata", ["null", "[]", "x", "{name: null}", "{name: 7}", "{namespace: '', name: [1]}", "{generateName: a-}"]
)
def test_odd_metadata_costs_nothing(metadata: str) -> None:
    obj = only(f"apiVersion: v1\nkind: Pod\nmetadata: {metadata}\nspec: null\n")
    assert obj.ref.namespace is None
    assert index(obj).containers == ()


@pytest.mark.parametrize(
    ("broken", "line", "why"),
    [
        ("apiVersion: v1\nkind: Pod\nmetadata:\n\tname: a\n", 9, "tab used for indentation"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Name }}\n", 9, "template braces"),
        ("apiVersion: v1\nkind: Pod\nname: 'a\n", 9, "not YAML"),
        ("apiVersion: v1\nkind: Pod\nx: " + "[" * 30_000 + "\n", 8, "nested deeper than 200"),
        ("apiVersion: v1\nkind: Pod\nx: &a [*a]\n", 8, "holds itself"),
        (
            "apiVersion: v1\nkind: Pod\na: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
            13,
            "once its aliases are expanded",
        ),
    ],
)
def test_a_broken_document_is_named_and_costs_no_other(broken: str, line: int, why: str) -> None:
    good = "apiVersion: v1\nkind: Pod\nmetadata: {name: good}\n"
    content = read(f"{good}\n---\n{broken}---\n{good}")
    assert [obj.ref.name for obj in content.objects] == ["good", "good"]
    (problem,) = content.problems
    assert problem.document == 2
    assert problem.line is not None
    assert abs(problem.line - line) <= 1
    assert why in problem.message
    assert problem.message.endswith("This document is skipped; the other 2 in the file are scanned.")


def test_broken_yaml_that_is_no_manifest_is_no_problem() -> None:
    content = read("{{ define x }}\nfoo: [\n")
    assert content.problems == ()
    assert "not YAML" in content.notes[0]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (POD.encode("utf-16"), "UTF-16"),
        (b"apiVersion: v1\nname: \xff\n", "not UTF-8 (byte 0xff)"),
        (b"#" * (64 * 2**20 + 1), "larger than 64 MiB"),
        (b"---\n" * 100_001, "more than 100,000 documents"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(data: bytes, why: str) -> None:
    (problem,) = read(data).problems
    assert why in problem.message
    assert problem.message.endswith("The file is skipped.")


def test_ten_thousand_documents() -> None:
    assert len(read("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n" * 10_000).objects) == 10_000


@pytest.mark.parametrize("depth", [MAX_DEPTH - 2, MAX_DEPTH + 2])
def test_the_limit_of_depth_is_where_it_says(depth: int) -> None:
    content = read(f"apiVersion: v1\nkind: Pod\nx: {'[' * depth}{']' * depth}\n")
    assert bool(content.objects) is (depth < MAX_DEPTH)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("abc :#-\n'\"", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abk", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=80)
@given(JSON, st.sampled_from([True, False, None]))
def test_every_field_has_lines_inside_its_parent(value: Any, flow: bool | None) -> None:
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "X", "body": value}, default_flow_style=flow, sort_keys=False)
    obj = only(f"# c\n---\n{text}\n# end\n")
    found = index(obj)
    assert lookup(found.value, ("body",)) == value
    for path, span in found.spans.items():
        assert 3 <= span.line <= span.end_line <= 2 + text.count("\n")
        parent = found.spans[path[:-1]] if path else span
        assert parent.line <= span.line
        assert span.end_line <= parent.end_line
