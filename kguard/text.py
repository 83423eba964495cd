"""Text from manifests, file names and tools made harmless to print."""

from __future__ import annotations

import re

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    """`text` without terminal escapes, with every other control, direction or surrogate character shown as `\\uXXXX`; tabs and
    newlines stay."""
    if text.isascii() and text.isprintable():
        return text  # nearly all text is, and this is asked for every line and message
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", _ESCAPES.sub("", text))


def one_line(text: str) -> str:
    """`printable`, with newlines and tabs shown too: for names and messages that stand in one line."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
