"""Values of Secrets and of environment variables never leave."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kguard.findings.excerpt import excerpt_of
from kguard.findings.locate import location_of
from kguard.findings.mask import masked
from kguard.inputs.objects import index, read_manifest
from kguard.model import KubeObject, Location, Precision

ObjectsOf = Callable[[str], tuple[KubeObject, ...]]

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: shop, namespace: production}
spec:
  containers:
    - name: c
      image: x
      env:
        - name: PASSWORD
          value: hunter2hunter2
        - name: WHERE
          value: production
        - {name: FLAG, value: "true"}
        - name: BLOCK
          value: |
            first-secret-line
            second-secret-line
"""


def test_messages(objects_of: ObjectsOf) -> None:
    (pod,) = objects_of(POD)
    text = masked("\x1b[31mset hunter2hunter2 in production to true\x1b[0m", pod, index)
    assert text == "set *** in production to true"


def test_secret_data_as_it_stands_and_decoded(objects_of: ObjectsOf) -> None:
    encoded = base64.b64encode(b"letmein-please").decode()
    (secret,) = objects_of(
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{a: {encoded}}}\nstringData: {{b: open-sesame}}\n"
    )
    assert masked(f"{encoded} letmein-please open-sesame", secret, index) == "*** *** ***"


@pytest.mark.parametrize("line", range(1, 18))
def test_excerpts_show_no_value_wherever_they_start(objects_of: ObjectsOf, line: int) -> None:
    (pod,) = objects_of(POD)
    place = Location(path="m.yaml", line=line, end_line=line, precision=Precision.EXACT)
    found = excerpt_of(pod, place, index)
    assert found is not None
    text = "\n".join(found.lines)
    for value in ("hunter2", "first-secret", "second-secret"):
        assert value not in text
    assert found.line <= line < found.line + len(found.lines)


def test_an_excerpt_shows_true_lines(objects_of: ObjectsOf) -> None:
    pod = objects_of(f"# above\n---\n{POD}")[0]
    found = excerpt_of(pod, location_of(pod, ("spec", "containers", 0, "image"), None, index), index)
    assert found is not None
    assert (found.line, found.lines[2]) == (7, "      image: x")


def test_a_list_item_has_no_excerpt_because_its_lines_were_written_anew(objects_of: ObjectsOf) -> None:
    (pod,) = objects_of("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n")
    assert excerpt_of(pod, location_of(pod, None, None, index), index) is None


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=8, max_size=30), st.booleans())
def test_no_secret_value_survives(value: str, flow: bool) -> None:
    if value.strip() != value or value.isdigit() or any(value in word for word in ("apiVersion", "Secret", "metadata")):
        return
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": value}}
    text = yaml.safe_dump(manifest, default_flow_style=flow, allow_unicode=True, width=10_000)
    (secret,) = read_manifest("m.yaml", text.encode(), "b").objects
    assert value not in masked(f"before {value} after", secret, index)
    found = excerpt_of(secret, location_of(secret, None, None, index), index)
    assert found is not None
    assert value not in "\n".join(found.lines)
