"""The code of an action, parsed: a pipeline of commands, each a list of terms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MAX_GROUPS = 10
"""Parentheses, one in the other."""

WORD = re.compile(r"[A-Za-z_]\w*")
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`|'(?:\\.|[^'\\])*')
        |(?P<operand>\$\w*(?:\.\w+)*|(?:\.\w+)+|\.(?!\w))
        |(?P<number>[-+]?\d[\w.]*)
        |(?P<word>[A-Za-z_]\w*)
        |(?P<mark>:=|=|\||\(|\)(?:\.\w+)*|,))""",
    re.VERBOSE,
)
_SETTING = re.compile(r"(?:(\$\w+)\s*,\s*)?(\$\w+)\s*:?=(?!=)\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Group:
    """An expression in parentheses, and the fields that are read of it."""

    commands: tuple[Command, ...]
    fields: tuple[str, ...]


Term = str | Group
Command = tuple[Term, ...]


def first_word(code: str) -> tuple[str, str]:
    """The word that code begins with, "" for none, and what comes after it."""
    match = WORD.match(code)
    return (match[0], code[match.end() :].strip()) if match else ("", code)


def setting(code: str) -> tuple[tuple[str, ...], str]:
    """The variables that `$v := ...` or `$i, $v := ...` sets, and the code of what they are set to."""
    match = _SETTING.fullmatch(code)
    return (tuple(name for name in match.group(1, 2) if name), match[3]) if match else ((), code)


def tokens(code: str) -> list[str]:
    """Empty for code that is not understood."""
    found: list[str] = []
    at = 0
    code = code.strip()
    while at < len(code):
        match = _TOKEN.match(code, at)
        if match is None:
            return []
        found.append(match[match.lastgroup or 0])
        at = match.end()
    return found


def literal(term: Term) -> str | None:
    """The text of a string literal without escapes."""
    if isinstance(term, str) and term[:1] in ('"', "`") and "\\" not in term:
        return term[1:-1]
    return None


def pipeline(code: str) -> tuple[Command, ...]:
    """Empty for code that is not understood."""
    levels: list[list[list[Term]]] = [[[]]]  # of each open parenthesis, the commands so far
    for word in tokens(code):
        if word == "(" and len(levels) < _MAX_GROUPS:
            levels.append([[]])
        elif word[0] == ")" and len(levels) > 1 and all(levels[-1]):
            group = _commands(levels.pop())
            levels[-1][-1].append(Group(group, tuple(word.split(".")[1:])))
        elif word == "|":
            levels[-1].append([])
        elif word[0] in "()" or word in (":=", "=", ","):
            return ()
        else:
            levels[-1][-1].append(word)
    return _commands(levels[0]) if len(levels) == 1 and all(levels[0]) else ()


def _commands(found: Sequence[Sequence[Term]]) -> tuple[Command, ...]:
    return tuple(tuple(terms) for terms in found)
