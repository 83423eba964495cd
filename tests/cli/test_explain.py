"""Explanations on a terminal: columns that keep to the width, and nothing that could control it."""

from __future__ import annotations

import pytest

from kguard.cli.explain import text
from kguard.explain import Explanation, Item, Section


def explained(*items: Item, title: str = "T") -> Explanation:
    return Explanation(
        kind="control", name="n", title=title, sections=(Section(key="k", head="the head", items=items),)
    )


def test_short_names_stand_in_a_column() -> None:
    items = (Item(name="trivy", word="on", text="KSV-1"), Item(name="kubescape", word="no rule"))
    assert list(text(explained(*items), None)) == [
        "control n: T",
        "",
        "the head",
        "  trivy      on       KSV-1",
        "  kubescape  no rule",
    ]


def test_long_names_have_a_line_of_their_own() -> None:
    items = (Item(name="a-name-that-is-longer-than-that", word="exact", text="what", more=("more",)), Item(name="b"))
    assert list(text(explained(*items), None))[3:] == [
        "  a-name-that-is-longer-than-that  exact",
        "      what",
        "      more",
        "  b",
    ]


def test_yaml_keeps_its_indentation() -> None:
    items = tuple(Item(name="", text=line) for line in ("spec:", "  a: 1", "", "  b: 2"))
    for width in (None, 40):
        assert list(text(explained(*items), width))[3:] == ["  spec:", "    a: 1", "", "    b: 2"]


@pytest.mark.parametrize("width", [0, 40, 80, 200])
def test_lines_keep_to_the_width(width: int) -> None:
    words = "a sentence that is longer than a line " * 9
    items = (
        Item(name="kube-linter", word="missed", text=words, more=(words,)),
        Item(name="b", text="deploy/web.yaml:7"),
    )
    lines = list(text(explained(*items, title=words), width))
    assert max(map(len, lines)) <= max(width, 40)
    assert "deploy/web.yaml:7" in lines[-1]
    assert " ".join(" ".join(lines).split()).count(words.strip()) == 3


def test_nothing_reaches_the_terminal_as_control() -> None:
    bad = "\x1b[31m\u202ex\ny"
    found = "\n".join(text(explained(Item(name=bad, text=bad, more=(bad,)), title=bad), 80))
    assert "\x1b" not in found
    assert "\u202e" not in found
    assert found.count("x\\ny") == 4
