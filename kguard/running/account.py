"""The account of a process: which of its objects the tool read, which are none of its business, and which it missed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from kguard.model import ObjectCounts, ObjectHint, ObjectRef, Parsed, RuleSet, StagedFile, StagePart

_NO_TRACE = "nothing in the tool's output shows that it was read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """staged = read + out of scope + unread, wherever `read` is known; context objects are accounted for where they are judged."""

    counts: ObjectCounts
    unread: tuple[tuple[StagedFile, str], ...] = ()
    """Each with the reason."""
    outside: frozenset[str] = frozenset()
    """Kinds of the objects that are out of scope, as `apps/v1/Deployment`."""
    unknown: tuple[str, ...] = ()
    """What the tool could not read, as it says, and was never given: something is wrong with what it was asked."""


def account(part: StagePart, parsed: Parsed, rules: RuleSet) -> Account:
    """Hold what a tool said that it read, and did not, against what was staged for it."""
    judged = [file for file in part.files if not file.context]
    told = {file.path: item.reason for item in parsed.unread if (file := part.find(item.object))}
    unknown = tuple(f"{_label(item.object)}: {item.reason}" for item in parsed.unread if not part.find(item.object))
    silent: list[StagedFile] = []
    if parsed.seen is not None:
        named = told.keys() | {file.path for hint in parsed.seen if (file := part.find(hint))}
        # What its author hid from the tool counts as read: it would be told if it had not loaded, the report lists the annotation,
        # and a tool that does as it was told is not incomplete.
        silent = [file for file in judged if file.path not in named and not file.silenced]
    outside = {file.path for file in silent if not in_scope(file.ref, rules)}
    reasons = told | {file.path: _NO_TRACE for file in silent if file.path not in outside}
    missed = tuple((file, reasons[file.path]) for file in judged if file.path in reasons)
    read = None if parsed.seen is None else len(judged) - len(outside) - len(missed)
    counts = ObjectCounts(staged=len(judged), read=read, out_of_scope=len(outside), unread=len(missed))
    kinds = frozenset(file.ref.type for file in judged if file.path in outside)
    return Account(counts=counts, unread=missed, outside=kinds, unknown=unknown)


def nothing_read(part: StagePart, reason: str) -> Account:
    """The account of a process that failed: all of its objects are unread."""
    judged = [file for file in part.files if not file.context]
    counts = ObjectCounts(staged=len(judged), read=0, unread=len(judged))
    return Account(counts=counts, unread=tuple((file, reason) for file in judged))


def in_scope(ref: ObjectRef, rules: RuleSet) -> bool:
    """Whether any active rule looks at objects of this kind."""
    if rules.kinds is None:
        return True
    patterns = product((ref.group, "*"), (ref.version, "*"), (ref.kind, "*"))
    return any("/".join(pattern) in rules.kinds for pattern in patterns)


def total(counts: Iterable[ObjectCounts]) -> ObjectCounts:
    """The sum over a tool's processes; `read` is unknown as soon as it is for one."""
    staged, read, outside, unread = 0, 0, 0, 0
    known = True
    for item in counts:
        staged, outside, unread = staged + item.staged, outside + item.out_of_scope, unread + item.unread
        read, known = read + (item.read or 0), known and item.read is not None
    return ObjectCounts(staged=staged, read=read if known else None, out_of_scope=outside, unread=unread)


def _label(hint: ObjectHint) -> str:
    return hint.staged or " ".join(filter(None, (hint.kind, hint.namespace, hint.name))) or "an object without a name"
