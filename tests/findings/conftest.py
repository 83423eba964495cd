"""Evidence over fixtures/faults by all four tools, and objects made in a test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from evidence import said

from kguard.inputs.objects import read_manifest
from kguard.model import KubeObject, Located


@pytest.fixture
def objects_of() -> Callable[[str], tuple[KubeObject, ...]]:
    """The objects of a manifest given as text."""

    def read(text: str) -> tuple[KubeObject, ...]:
        content = read_manifest("m.yaml", text.encode(), "b")
        assert not content.problems
        return content.objects

    return read


@pytest.fixture(scope="session")
def evidence() -> Callable[[str], tuple[Located, ...]]:
    """What the tools say of a stage, in profile `all`; kube-linter and polaris replayed where they are not installed."""
    return said
