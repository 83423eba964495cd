"""Go templates, parsed: text, actions and blocks, and the helpers that a file defines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kguard.inputs.helm.expression import first_word, literal, tokens
from kguard.inputs.helm.values import Keys

_MAX_TEXT = 1024 * 1024
"""Characters of a template; a longer one is not read."""
_MAX_BLOCKS = 30
"""Blocks, one in the other."""

_ACTION = re.compile(
    r"""\{\{(?P<left>-(?=[ \t\r\n]))?
        (?P<code>\s*/\*.*?\*/\s*|(?:"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])*'|[^"`'])*?)
        (?P<right>(?<=[ \t\r\n])-)?\}\}""",
    re.DOTALL | re.VERBOSE,
)
_SET_AGAIN = re.compile(r"(\$\w+)(?:\s*,\s*(\$\w+))?\s*=(?!=)")
_CHANGING = re.compile(r"\b(?:unset|merge\w*|mustMerge\w*)\b|\bset\b(?!\s*\((?:dict|deepCopy|mustDeepCopy)\b)")
"""Functions that change what they are given, which may be the chart's values; `set` changes nothing of what was made on the spot."""
_BLANK = " \t\r\n"
_OPENING = frozenset(("if", "with", "range", "define", "block"))


class Unparsed(Exception):
    """A template that is not understood, so nothing is said about its lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFile:
    """A file below a chart's `templates/`."""

    name: str
    """As helm names it: `web/charts/db/templates/deployment.yaml`."""
    path: str
    """As reports show it."""
    text: str
    lined: bool
    """False inside an archive, where no line can be pointed at."""
    prefix: Keys
    """Where the values of its chart stand among those of the release: ("db",)."""


@dataclass(frozen=True, slots=True)
class Text:
    """What a template prints as it is."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Action:
    """`{{ ... }}`; the code of a comment is empty."""

    code: str
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Block:
    """`if`, `with` or `range`."""

    head: Action
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


Node = Text | Action | Block


@dataclass(frozen=True, slots=True)
class Body:
    """What is executed as a whole: a template file or a `define`."""

    path: str
    nodes: tuple[Node, ...]
    changing: frozenset[str]
    """Variables of its file that are set more than once."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A template, and the helpers that it defines."""

    body: Body
    helpers: Mapping[str, Sequence[Body]]
    pure: bool
    """No action changes the values."""


def parse(file: TemplateFile) -> Parsed:
    """Raises Unparsed."""
    if len(file.text) > _MAX_TEXT:
        raise Unparsed
    pieces = list(_pieces(file.text))
    codes = [piece.code for piece in pieces if isinstance(piece, Action)]
    changing = frozenset(name for code in codes for names in _SET_AGAIN.findall(code) for name in names)
    tree = _Tree()
    for piece in pieces:
        tree.add(piece)
    body = Body(file.path, tree.nodes(), changing)
    helpers = {
        name: [Body(file.path, nodes, changing) for nodes in definitions] for name, definitions in tree.defined.items()
    }
    return Parsed(body, helpers, not any(changes_values(code) for code in codes))


def changes_values(code: str) -> bool:
    """Whether it may change the values that others read."""
    return _CHANGING.search(code) is not None


# -- text and actions -----------------------------------------------------------------------------------------------------


def _pieces(text: str) -> Iterator[Text | Action]:
    """Text and actions in order, with the blanks taken off that `{{-` and `-}}` take off."""
    at, line, trimmed = 0, 1, False
    while (start := text.find("{{", at)) >= 0:
        match = _ACTION.match(text, start)
        if match is None:
            raise Unparsed
        yield from _trimmed(text[at:start], line, left=trimmed, right=bool(match["left"]))
        line += text.count("\n", at, start)
        code = match["code"].strip()
        end = line + match[0].count("\n")
        yield Action("" if code.startswith("/*") else code, line, end)
        at, line, trimmed = match.end(), end, bool(match["right"])
    yield from _trimmed(text[at:], line, left=trimmed, right=False)


def _trimmed(text: str, line: int, *, left: bool, right: bool) -> Iterator[Text]:
    if left:
        line += text[: len(text) - len(text.lstrip(_BLANK))].count("\n")
        text = text.lstrip(_BLANK)
    if right:
        text = text.rstrip(_BLANK)
    if text:
        yield Text(text, line)


# -- blocks ---------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Open:
    """A block whose `end` has not come yet."""

    head: Action
    chained: bool = False
    """Opened by `else if`: it shares the `end` of the block around it."""
    nodes: list[Node] = field(default_factory=list)
    body: tuple[Node, ...] | None = None
    """Set once `else` has come."""


class _Tree:
    """Pieces in order, put into their blocks."""

    def __init__(self) -> None:
        self._open = [_Open(Action("", 1, 1))]
        """The file itself comes first."""
        self.defined: dict[str, list[tuple[Node, ...]]] = {}
        """The definitions of each helper."""

    def nodes(self) -> tuple[Node, ...]:
        """Those of the file itself, when all pieces are there. Raises Unparsed."""
        if len(self._open) != 1:
            raise Unparsed
        return tuple(self._open[0].nodes)

    def add(self, piece: Text | Action) -> None:
        """Raises Unparsed."""
        if isinstance(piece, Text):
            self._open[-1].nodes.append(piece)
            return
        word, rest = first_word(piece.code)
        match word:
            case "else":
                self._turn(replace(piece, code=rest))
            case "end":
                self._close()
            case _ if word in _OPENING:
                self._open.append(_Open(piece))
            case _:
                self._open[-1].nodes.append(piece)
        if len(self._open) > _MAX_BLOCKS:
            raise Unparsed

    def _turn(self, rest: Action) -> None:
        """`else`, or `else if ...`, which is a block of its own inside the `else`."""
        block = self._open[-1]
        if block.body is not None or len(self._open) == 1:
            raise Unparsed
        block.body, block.nodes = tuple(block.nodes), []
        if rest.code:
            self._open.append(_Open(rest, chained=True))

    def _close(self) -> None:
        """`end`: the block goes into the one around it, a helper to the others."""
        chained = True
        while chained:
            if len(self._open) == 1:
                raise Unparsed
            block = self._open.pop()
            chained = block.chained
            nodes = tuple(block.nodes)
            word, rest = first_word(block.head.code)
            if word in ("define", "block"):
                self._define(word, rest, block.head, nodes)
                return
            body, otherwise = (nodes, ()) if block.body is None else (block.body, nodes)
            self._open[-1].nodes.append(Block(block.head, body, otherwise))

    def _define(self, word: str, rest: str, head: Action, nodes: tuple[Node, ...]) -> None:
        """`block` defines a helper and calls it on the spot."""
        if word == "block":
            self._open[-1].nodes.append(replace(head, code=f"template {rest}"))
        words = tokens(rest)
        name = literal(words[0]) if words else None
        if name is None:
            raise Unparsed
        self.defined.setdefault(name, []).append(nodes)
