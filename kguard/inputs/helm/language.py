"""A set of texts, as a finite automaton that knows which line of which template prints each character."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAX_POSITIONS = 30_000
"""Characters of a template with its helpers; a longer one is not read."""
MAX_STEPS = 1_000_000
"""Steps to build the language of a template, or to read a document that has many readings."""

Line = tuple[str, int]
"""Path of a template and line in it."""
Owner = Line | int
"""What prints a character: a line of a template, or an action, by its number."""


class TooMuch(Exception):
    """A template or a document beyond what is worth its time."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a language, as positions: a position stands for one character that is printed."""

    first: int
    last: int
    empty: bool
    """Whether it may print nothing."""
    breaks: bool
    """Whether it may print a line break."""


NOTHING = Part(0, 0, True, False)


class Language:
    """Positions and what may follow them, sets of positions kept as the bits of integers. What makes it larger raises TooMuch."""

    def __init__(self) -> None:
        self.characters: dict[str, int] = {}
        """The positions that print a character."""
        self.anything = 0
        """The positions that print any character but a line break."""
        self.free = 0
        """The positions of actions that may print a line `---`."""
        self.chained = 0
        """The positions that only the next one follows."""
        self.follow: dict[int, int] = {}
        """What follows each of the others."""
        self.reads: dict[Line, frozenset[str]] = {}
        """The lines on which actions stand, with the keys of the values that these read."""
        self._owners: list[Owner] = []
        """Of each position."""
        self._owned: dict[Owner, int] = {}
        """The positions of each owner."""
        self._actions: list[tuple[str, frozenset[str]]] = []
        """Of each action: its file, and the keys of the values that it prints."""
        self._steps = 0

    @property
    def size(self) -> int:
        return len(self._owners)

    # -- who prints what --------------------------------------------------------------------------------------------------

    def action(self, path: str, keys: frozenset[str]) -> int:
        """A new action's number."""
        self._actions.append((path, keys))
        return len(self._actions) - 1

    def owners(self, positions: int) -> Iterator[Owner]:
        """Those of some positions, each once."""
        while positions:
            owner = self._owners[(positions & -positions).bit_length() - 1]
            yield owner
            positions &= ~self._owned[owner]

    def origin(self, owner: Owner) -> tuple[str, frozenset[str]]:
        """The file that an owner stands in, and the keys of the values that are read there."""
        if isinstance(owner, int):
            return self._actions[owner]
        return owner[0], self.reads.get(owner, frozenset())

    # -- what is printed --------------------------------------------------------------------------------------------------

    def text(self, text: str, path: str, line: int, pad: int) -> Part:
        """A template's own text, which starts on `line`, with `pad` spaces put before each line after the first."""
        start = self.size
        for character in text:
            self._add(character, (path, line))
            if character == "\n":
                line += 1
                for _ in range(pad):
                    self._add(" ", (path, line))
        return self._chain(start, "\n" in text)

    def spaces(self, text: str, action: int) -> Part:
        """The blanks that an action prints for certain."""
        start = self.size
        for character in text:
            self._add(character, action)
        return self._chain(start, "\n" in text)

    def any_line(self, action: int, *, free: bool) -> Part:
        """Any text without a line break."""
        position = 1 << self.size
        self._own(action)
        self.anything |= position
        self.free |= position if free else 0
        return self.repeated(Part(position, position, True, False))

    def any_text(self, action: int, pad: int, *, free: bool) -> Part:
        """Any text, each line after the first with `pad` spaces before it."""
        line = self.any_line(action, free=free)
        breaks = self.spaces("\n" + " " * pad, action)
        self.free |= breaks.first if free else 0
        return self.repeated(self.either(breaks, line))

    def _add(self, character: str, owner: Owner) -> None:
        self.characters[character] = self.characters.get(character, 0) | 1 << self.size
        self._own(owner)

    def _own(self, owner: Owner) -> None:
        if self.size >= MAX_POSITIONS:
            raise TooMuch
        self._owned[owner] = self._owned.get(owner, 0) | 1 << self.size
        self._owners.append(owner)

    def _chain(self, start: int, breaks: bool) -> Part:
        """The positions since `start`, one after the other."""
        if start == self.size:
            return NOTHING
        end = self.size - 1
        self.chained |= (1 << end) - (1 << start)
        return Part(1 << start, 1 << end, False, breaks)

    # -- parts put together -----------------------------------------------------------------------------------------------

    def then(self, one: Part, two: Part) -> Part:
        self._link(one.last, two.first)
        return Part(
            one.first | (two.first if one.empty else 0),
            two.last | (one.last if two.empty else 0),
            one.empty and two.empty,
            one.breaks or two.breaks,
        )

    @staticmethod
    def either(one: Part, two: Part) -> Part:
        return Part(one.first | two.first, one.last | two.last, one.empty or two.empty, one.breaks or two.breaks)

    def repeated(self, part: Part) -> Part:
        """Once or more."""
        self._link(part.last, part.first)
        return part

    def _link(self, before: int, after: int) -> None:
        for position in bits(before):
            self.follow[position] = self.follow.get(position, 0) | after
            self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooMuch


def bits(positions: int) -> Iterator[int]:
    """The number of each position in a set."""
    while positions:
        low = positions & -positions
        yield low.bit_length() - 1
        positions ^= low
