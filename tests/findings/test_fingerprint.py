"""A fingerprint names a fault, and nothing that may change beside it."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from kguard.findings.fingerprint import Identities, fingerprint
from kguard.model import KubeObject, ObjectRef

REF = ObjectRef(group="apps", version="v1", kind="Deployment", namespace="n", name="a")


def test_another_api_version_is_the_same_object() -> None:
    other = ObjectRef(group="apps", version="v1beta1", kind="Deployment", namespace="n", name="a")
    assert fingerprint("c", REF, "x", None) == fingerprint("c", other, "x", None)


def test_the_form() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint("c", REF, None, None))
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{8}", fingerprint("c", REF, None, None, place="a.yaml"))
    assert fingerprint("c", REF, None, None) == fingerprint("c", REF, None, None, place="a.yaml")[:16]


TEXT = st.text(max_size=4)


@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_different_keys_have_different_names(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    def name(key: tuple[str, str, str]) -> str:
        return fingerprint(key[0], REF, key[1], key[2])

    assert (name(one) == name(other)) is (one == other)


def test_an_identity_that_two_objects_have_carries_the_path(
    objects_of: Callable[[str], tuple[KubeObject, ...]],
) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {{name: {}}}\n---\n"
    objects = objects_of("".join(pod.format(name) for name in ("a", "b", "a")))
    identities = Identities(objects)
    names = [identities.fingerprint("c", obj, None, None) for obj in objects]
    assert [len(name) for name in names] == [25, 16, 25]
    assert names[0] != names[2]
