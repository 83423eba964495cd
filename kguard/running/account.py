"""The account of a part: which of its objects a tool read, which are none of its business, and which it missed."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from kguard.model import ObjectCounts, ObjectRef, Parsed, RuleSet, StagedFile, StagePart


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """staged = read + out of scope + unread, wherever `read` is known."""

    counts: ObjectCounts
    unread: tuple[tuple[StagedFile, str], ...] = ()
    """Each with the reason."""


def account(part: StagePart, parsed: Parsed, rules: RuleSet) -> Account:
    """Hold what a tool printed against what was staged for it."""
    judged = [file for file in part.files if not file.context]
    told = {file.path: unread.reason for unread in parsed.unread if (file := part.find(unread.object)) is not None}
    if parsed.seen is None:
        missed = [(file, told[file.path]) for file in judged if file.path in told]
        return Account(counts=ObjectCounts(staged=len(judged), unread=len(missed)), unread=tuple(missed))
    seen = {file.path for hint in parsed.seen if (file := part.find(hint)) is not None}
    rest = [file for file in judged if file.path not in seen]
    outside = {file.path for file in rest if file.path not in told and not in_scope(file.ref, rules)}
    missed = [
        (file, told.get(file.path, "nothing in its output shows that it was read"))
        for file in rest
        if file.path not in outside
    ]
    read = len(judged) - len(rest)
    return Account(
        counts=ObjectCounts(staged=len(judged), read=read, out_of_scope=len(outside), unread=len(missed)),
        unread=tuple(missed),
    )


def unread(part: StagePart, reason: str) -> Account:
    """The account of a process that gave nothing: all of its objects are unread."""
    judged = [file for file in part.files if not file.context]
    return Account(
        counts=ObjectCounts(staged=len(judged), read=0, unread=len(judged)),
        unread=tuple((file, reason) for file in judged),
    )


def in_scope(ref: ObjectRef, rules: RuleSet) -> bool:
    """Whether any active rule looks at objects of this kind."""
    if rules.kinds is None:
        return True
    name = f"{ref.group}/{ref.version}/{ref.kind}"
    return name in rules.kinds or any(fnmatchcase(name, pattern) for pattern in rules.kinds)


def total(accounts: list[Account]) -> ObjectCounts:
    """The sum over a tool's parts; `read` is unknown as soon as one part's is."""
    counts = [item.counts for item in accounts]
    known = [count.read for count in counts if count.read is not None]
    return ObjectCounts(
        staged=sum(count.staged for count in counts),
        read=sum(known) if len(known) == len(counts) else None,
        out_of_scope=sum(count.out_of_scope for count in counts),
        unread=sum(count.unread for count in counts),
    )
