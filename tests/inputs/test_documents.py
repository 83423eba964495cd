"""Documents are split as YAML says, whatever stands in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kguard.inputs.documents import documents


def texts(stream: str) -> list[tuple[int, int, str]]:
    return [(document.number, document.line, document.text) for document in documents(stream)]


def test_separators_comments_and_empty_documents() -> None:
    stream = "# head\n--- # first\na: 1\n---\n---   \nb: 2\n...\n---\nc: 3\n"
    assert texts(stream) == [(1, 3, "a: 1\n"), (2, 5, "\n"), (3, 6, "b: 2\n"), (4, 9, "c: 3\n")]


def test_content_on_the_separators_line_stays_where_it_was() -> None:
    assert texts("--- {a: 1}\n--- |\n  text\n") == [(1, 1, "    {a: 1}\n"), (2, 2, "    |\n  text\n")]


def test_what_stands_before_the_first_separator_counts_if_it_is_content() -> None:
    assert [text for _, _, text in texts("a: 1\n---\nb: 2\n")] == ["a: 1\n", "b: 2\n"]
    assert [text for _, _, text in texts("%YAML 1.1\n# c\n\n---\nb: 2\n")] == ["b: 2\n"]


def test_line_ends_are_kept() -> None:
    assert texts("a: 1\r\n---\r\nb: 2\r\n") == [(1, 1, "a: 1\r\n"), (2, 3, "b: 2\r\n")]


@pytest.mark.parametrize("line", ["----", "---a", " ---", "..", "....", "--- a: 1"[:3] + "x"])
def test_only_three_marks_alone_or_before_a_blank_separate(line: str) -> None:
    assert len(documents(f"a: |\n  x\n{line}\n")) == 1


@given(
    st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\n\r"), max_size=12), max_size=20)
)
def test_no_line_is_lost(lines: list[str]) -> None:
    stream = "\n".join(lines) + "\n"
    marks = ("---", "...")
    kept = "".join(document.text for document in documents(stream))
    for line in lines:
        if line.strip() and not line.startswith(marks) and line.lstrip()[0] not in "#%":
            assert line in kept


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("apiVersion: v1\nkind: Pod\n", True),
        ('{"apiVersion": "v1", "kind": "Pod"}', True),
        ("metadata:\n  kind: x\n", False),
        ("apiVersion: v1\nmetadata: {}\n", False),
    ],
)
def test_a_manifest_is_known_by_its_keys_even_when_broken(text: str, looks: bool) -> None:
    assert documents(text)[0].looks_like_manifest is looks
