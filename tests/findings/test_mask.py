"""Values of Secrets and of environment variables never leave, however they are written."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kguard.findings.mask import masked, masked_lines
from kguard.inputs.objects import index, read_manifest
from kguard.model import KubeObject

ObjectsOf = Callable[[str], tuple[KubeObject, ...]]

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: shop-web, namespace: production}
spec:
  containers:
    - name: c
      image: registry/shop:1
      env:
        - name: PASSWORD
          value: hunter2hunter2
        - {name: WHERE, value: production}
        - {name: FLAG, value: "true"}
        - {name: PORT, value: "8080"}
        - {name: SHOP, value: shop}
        - {name: TWO, value: ab}
        - {name: ODD, value: 'say "<hi>"'}
"""
ENCODED = base64.b64encode(b"letmein-please").decode()


def secret(fields: str) -> str:
    return f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n{fields}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mset hunter2hunter2\x1b[0m", "set ***"),
        ("in production, set it to true on 8080", "in production, set it to true on 8080"),
        ("shop-web runs registry/shop:1", "shop-web runs registry/shop:1"),
        ("shop-webs of shop", "***-webs of ***"),
        ("about ab", "about ***"),
        ('{"value": "say \\"<hi>\\""}', '{"value": "***"}'),
        ('{"value": "say \\"\\u003chi\\u003e\\""}', '{"value": "***"}'),
        ("nothing of the kind", "nothing of the kind"),
    ],
)
def test_messages(objects_of: ObjectsOf, text: str, shown: str) -> None:
    (pod,) = objects_of(POD)
    assert masked(text, pod, index) == shown


def test_secret_data_as_it_stands_and_decoded(objects_of: ObjectsOf) -> None:
    (obj,) = objects_of(secret(f"data: {{a: {ENCODED}}}\nstringData: {{b: open-sesame, pin: 492}}\n"))
    assert masked(f"{ENCODED} letmein-please open-sesame 492 1492", obj, index) == "*** *** *** *** 1492"


def test_secret_data_in_several_lines_is_decoded(objects_of: ObjectsOf) -> None:
    (obj,) = objects_of(secret(f"data:\n  a: |\n    {ENCODED[:8]}\n    {ENCODED[8:]}\n"))
    assert masked("letmein-please", obj, index) == "***"


def test_data_that_is_no_text_is_hidden_as_it_stands(objects_of: ObjectsOf) -> None:
    (obj,) = objects_of(secret("data: {key: /v8=, broken: not-base64}\n"))
    assert masked("/v8= not-base64", obj, index) == "*** ***"


def test_one_line_of_a_long_value_is_hidden_too(objects_of: ObjectsOf) -> None:
    (obj,) = objects_of(secret("stringData:\n  pem: |\n    MIIEvQIBADANBg\n    kqhkiG9w0BAQEF\n"))
    assert masked("read kqhkiG9w0BAQEF", obj, index) == "read ***"


def test_a_key_of_a_secret_is_no_name_of_the_object(objects_of: ObjectsOf) -> None:
    (obj,) = objects_of(secret("stringData: {name: hunter2hunter2, image: hunter3hunter3}\n"))
    assert masked("name hunter2hunter2 hunter3hunter3", obj, index) == "name *** ***"


def test_an_object_without_such_values_keeps_its_words(objects_of: ObjectsOf) -> None:
    (obj,) = objects_of("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: hunter2hunter2}\n")
    assert masked("a hunter2hunter2", obj, index) == "a hunter2hunter2"


LINES = {
    "plain": ("stringData:\n  k: hunter2\n", "stringData:\n  k: ***\n"),
    "quoted key and escapes": ('stringData:\n  "p\\u0077": "hun\\x74er2"\n', 'stringData:\n  "p\\u0077": ***\n'),
    "block": (
        "stringData:\n  k: |-\n    hunter2\n\n    x\n  l: x\n",
        "stringData:\n  k: ***\n    ***\n\n    ***\n  l: ***\n",
    ),
    "next line": ("stringData:\n  k:\n    hunter2\n    hunter3\n", "stringData:\n  k:\n    ***\n    ***\n"),
    "flow": ("stringData: {k: hunter2, l: 'x, y'} # note\n", "stringData: {k: ***, l: ***} # note\n"),
    "duplicate key": ("stringData:\n  k: hunter2\n  k: hunter3\n", "stringData:\n  k: ***\n  k: ***\n"),
    "duplicate field": ("data:\n  k: hunter2\ndata:\n  l: x\n", "data:\n  k: ***\ndata:\n  l: ***\n"),
    "no mapping": ("stringData: hunter2\n", "stringData: ***\n"),
    "nested": ("data:\n  k: [hunter2, {l: x}]\n", "data:\n  k: [***, {l: ***}]\n"),
    "anchor": ("  labels: {a: &v hunter2}\ndata: {k: *v}\n", "  labels: {a: ***}\ndata: {k: *v}\n"),
    "merge": ("spare: &v {k: hunter2}\ndata:\n  <<: *v\n  l: x\n", "spare: &v {k: ***}\ndata:\n  <<: *v\n  l: ***\n"),
    "wide characters": ("stringData: {é😀: h😀nter2, l: x}\n", "stringData: {é😀: ***, l: ***}\n"),
    "names stay": ("type: Opaque\nstringData: {k: ''}\n", "type: Opaque\nstringData: {k: ***}\n"),
}


@pytest.mark.parametrize(("fields", "shown"), LINES.values(), ids=LINES.keys())
@pytest.mark.parametrize("start", ["", "# above\n", "\ufeff"], ids=["alone", "below a comment", "below a mark"])
def test_lines_of_a_secret(objects_of: ObjectsOf, start: str, fields: str, shown: str) -> None:
    # a byte order mark inside a file, as where files are put together
    *_, obj = objects_of(f"a: 1\n---\n{start}{secret(fields)}")
    assert [line.lstrip("\ufeff") for line in masked_lines(obj)] == f"{start}{secret(shown)}".lstrip(
        "\ufeff"
    ).splitlines()


VARIABLES = {
    "block": ("- name: A\n  value: hunter2\n", "- name: A\n  value: ***\n"),
    "flow": ("- {value: hunter2, name: A}\n", "- {value: ***, name: A}\n"),
    "called value": ("- {name: value, value: hunter2}\n", "- {name: value, value: ***}\n"),
    "question mark": ("- ? value\n  : hunter2\n", "- ? value\n  : ***\n"),
    "twice": ("- name: A\n  value: hunter2\n  value: x\n", "- name: A\n  value: ***\n  value: ***\n"),
    "merged": (
        "- &a {name: A, value: hunter2}\n- <<: *a\n  name: B\n",
        "- &a {name: A, value: ***}\n- <<: *a\n  name: B\n",
    ),
    "a number": ("- {name: A, value: 1}\n", "- {name: A, value: ***}\n"),
    "by reference": (
        "- {name: A, valueFrom: {secretKeyRef: {name: s, key: value}}}\n",
        "- {name: A, valueFrom: {secretKeyRef: {name: s, key: value}}}\n",
    ),
    "no list": ("A: hunter2\n", "A: hunter2\n"),
    "odd items": ("- hunter2\n- [x]\n", "- hunter2\n- [x]\n"),
}


@pytest.mark.parametrize(("env", "shown"), VARIABLES.values(), ids=VARIABLES.keys())
@pytest.mark.parametrize("kind", ["Pod", "Unknown"])
def test_lines_of_variables(objects_of: ObjectsOf, kind: str, env: str, shown: str) -> None:
    def manifest(variables: str) -> str:
        indented = "".join(f"      {line}\n" for line in variables.splitlines())
        return f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: p}}\nspec:\n  containers:\n    - name: c\n      env:\n{indented}"

    (obj,) = objects_of(manifest(env))
    assert list(masked_lines(obj)) == manifest(shown).splitlines()


def test_what_kubectl_apply_leaves_behind_is_hidden_with_the_secret(objects_of: ObjectsOf) -> None:
    applied = json.dumps({"apiVersion": "v1", "data": {"k": ENCODED}, "stringData": {"l": "letmein-please"}})
    annotation = f"  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: |\n      {applied}\n"
    (obj,) = objects_of(secret(f"{annotation}data:\n  k: {ENCODED}\n"))
    shown = [masked(line, obj, index) for line in masked_lines(obj)]
    assert shown[6].strip() == '{"apiVersion": "v1", "data": {"k": "***"}, "stringData": {"l": "***"}}'
    assert shown[-1] == "  k: ***"


def test_the_secret_inside_another_object(objects_of: ObjectsOf) -> None:
    (obj,) = objects_of(
        "apiVersion: template.openshift.io/v1\nkind: Template\nmetadata: {name: t}\n"
        "objects:\n- kind: Secret\n  stringData: {k: hunter2hunter2}\n"
    )
    assert masked_lines(obj)[-1] == "  stringData: {k: ***}"
    assert masked("hunter2hunter2", obj, index) == "***"


def test_aliases_do_not_multiply_the_work(objects_of: ObjectsOf) -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 6))
    (obj,) = objects_of(f"a0: &a0 [x]\n{levels}{secret('data: {k: *a5, l: hunter2}')}")
    assert masked_lines(obj)[-1] == "data: {k: *a5, l: ***}"
    assert masked_lines(obj)[0] == "a0: &a0 [***]"


TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\"'\\#:&*<😀\u2028\u0085"),
    min_size=1,
    max_size=40,
)


def dumped(manifest: Any, style: str | None, marked: tuple[str, ...], *, flow: bool, width: int, unicode: bool) -> str:
    """YAML with the marked texts in a given scalar style."""

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style if value in marked else None)

    Dumper.add_representer(str, text)
    out: str = yaml.dump(
        manifest, Dumper=Dumper, default_flow_style=flow, allow_unicode=unicode, width=width, sort_keys=False
    )
    return out


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, TEXTS, st.sampled_from([None, "|", ">", "'", '"']), st.booleans(), st.integers(20, 80), st.booleans())
def test_no_value_survives_whatever_its_style(
    one: str, two: str, style: str | None, flow: bool, width: int, unicode: bool
) -> None:
    one, two = f"FIRST{one}END", f"SECOND{two}END"
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "é😀", "labels": {"k": "seen before"}},
        "stringData": {"k😀": one, "name": "plain"},
        "extra": {"env": [{"name": "A", "value": two}, {"value": 7, "name": "seen"}]},
        "last": "seen after",
    }
    text = dumped(manifest, style, (one, two), flow=flow, width=width, unicode=unicode)
    (obj,) = read_manifest("m.yaml", text.encode(), "b").objects
    lines = masked_lines(obj)
    assert len(lines) == len(text.splitlines())
    shown = "\n".join(lines)
    assert not any(word in shown for word in ("FIRST", "SECOND", "END", "plain"))
    assert yaml.safe_load(text)["last"].split()[1] in shown
    held = index(obj).value["stringData"]["k😀"]
    assert held not in masked(f"before {held} after", obj, index)
    assert "FIRST" not in masked(json.dumps({"k": held}), obj, index)
