"""Documents read as texts of a template: for each line, what may have printed it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kguard.inputs.helm.language import MAX_STEPS, Language, Part, TooMuch, bits

MAX_WORK = 400_000_000
"""Characters of a template times those of a document: half a gigabit of memory, about a second."""

_DASHES = re.compile(r"(?:-[ ]+)+")


class Row(NamedTuple):
    """The positions that may have printed a line."""

    head: int
    """Those that may have printed the dashes before its first key."""
    whole: int


class Grammar:
    """A template's language, ready to read documents."""

    def __init__(self, language: Language, part: Part) -> None:
        self.language = language
        self.part = part
        self.listed = ((1 << language.size) - 1) & ~language.chained
        """The positions whose followers are listed."""
        self.before: dict[int, int] = {}
        """What stands before each position that is listed so."""
        for position, after in language.follow.items():
            for follower in bits(after):
                self.before[follower] = self.before.get(follower, 0) | 1 << position
        self.followers = sum(1 << position for position in self.before)
        """The positions that have one of these before them."""

    def read(self, text: str, *, alone: bool) -> list[Row] | None:
        """For each line, the positions that printed it in one reading of the text or another; None where there is no reading, or
        looking for one takes too long. `alone`: the text is all that the template printed, but for blanks and `---`."""
        if len(text) * self.language.size > MAX_WORK:
            return None
        try:
            return _Reading(self).rows(text, alone)
        except TooMuch:
            return None


class _Reading:
    """All readings of one document at once: forward, the positions that may have printed each character after what comes before it;
    back from the end, those of them from which the end can be reached."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._language = grammar.language
        self._after_cache: dict[int, int] = {}
        self._before_cache: dict[int, int] = {}
        self._steps = 0

    def rows(self, text: str, alone: bool) -> list[Row] | None:
        start, end = self._bounds(alone)
        states: list[int] = []
        for character in text:
            here = start & self._printing(character)
            if not here:
                return None
            states.append(here)
            start = self._after(here)
        return self._back(text, states, end)

    def _back(self, text: str, states: Sequence[int], live: int) -> list[Row]:
        rows: list[Row] = []
        at = len(text) - 1
        for line in reversed(text.split("\n")):
            begin = at + 1 - len(line)
            first, last = begin + len(line) - len(line.lstrip()), begin + len(line.rstrip())
            dashes = _DASHES.match(text, first, last)
            key = dashes.end() if dashes else first
            head = whole = 0
            while at >= begin - 1 and at >= 0:  # from the line's end to the line break before it
                live &= states[at]
                if first <= at < last:
                    whole |= live
                    head |= live if at < key else 0
                live = self._earlier(live)
                at -= 1
            rows.append(Row(head, whole))
        return rows[::-1]

    # -- from one character to the next -----------------------------------------------------------------------------------

    def _printing(self, character: str) -> int:
        own = self._language.characters.get(character, 0)
        return own | (self._language.anything if character != "\n" else 0)

    def _after(self, positions: int) -> int:
        """What may follow any of them."""
        listed = positions & self._grammar.listed
        if listed not in self._after_cache:
            self._after_cache[listed] = self._union(listed, self._language.follow)
        return (positions & self._language.chained) << 1 | self._after_cache[listed]

    def _earlier(self, positions: int) -> int:
        """What any of them may follow."""
        listed = positions & self._grammar.followers
        if listed not in self._before_cache:
            self._before_cache[listed] = self._union(listed, self._grammar.before)
        return positions >> 1 & self._language.chained | self._before_cache[listed]

    def _union(self, positions: int, links: Mapping[int, int]) -> int:
        found = 0
        for position in bits(positions):
            found |= links.get(position, 0)
            self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooMuch
        return found

    # -- the ends of a document -------------------------------------------------------------------------------------------

    def _bounds(self, alone: bool) -> tuple[int, int]:
        """The positions that may come first in a document, and those that may come last. Helm cuts what a template prints at lines
        that begin with `---`, wherever these come from, and takes the blanks off each document."""
        dash = self._language.characters.get("-", 0)
        blank = self._language.anything
        for character, positions in self._language.characters.items():
            blank |= positions if character.isspace() or (alone and character == "-") else 0
        first, last = self._grammar.part.first, self._grammar.part.last
        if not alone:
            after, before = self._cuts(dash | self._language.free)
            first, last = first | after, last | before
        return (
            _closed(first, lambda found: self._after(found & blank)),
            _closed(last, lambda found: self._earlier(found & blank)),
        )

    def _cuts(self, dash: int) -> tuple[int, int]:
        """What may stand after a `---` and before one."""
        breaks = self._language.characters.get("\n", 0)
        starts = dash & ~((self._language.chained & ~breaks) << 1)
        after = self._after(self._after(starts) & dash) & dash
        before = self._earlier(self._earlier(dash) & dash) & starts
        return self._after(after), self._earlier(before)


def _closed(found: int, step: Callable[[int], int]) -> int:
    while (more := found | step(found)) != found:
        found = more
    return found
