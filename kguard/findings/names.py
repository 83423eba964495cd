"""What users call things: controls, rules in all the ways that they are written, findings by the first digits of their fingerprints."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import NamedTuple

from kguard.errors import UsageError
from kguard.findings.catalogue import Catalogue, Control
from kguard.model import Finding, Report
from kguard.text import one_line

_FINGERPRINT = re.compile(r"[0-9a-f]{6,16}(?:(?<=[0-9a-f]{16})-[0-9a-f]{0,8})?")


class RuleName(NamedTuple):
    tool: str
    rule: str
    """In the form that the catalogue has it, or else the run."""

    def __str__(self) -> str:
        return f"{self.tool}:{self.rule}"


def named(word: str, report: Report | None, catalogue: Catalogue) -> Control | RuleName | Finding:
    """The control, the rule or, in a report, the finding that is called so.

    Raises UsageError with the nearest names for a word that is none of them, or more than one.
    """
    if word in catalogue.controls:
        return catalogue.controls[word]
    if _FINGERPRINT.fullmatch(word.lower()):
        return _finding(word.lower(), report)
    return _rule(word, report, catalogue)


def _finding(digits: str, report: Report | None) -> Finding:
    if report is None:
        raise UsageError(f"{digits} looks like a fingerprint: name the run that it is of with --run run.json.")
    found = {finding.fingerprint: finding for finding in reversed(report.findings)}
    fitting = [name for name in found if name.startswith(digits)]
    if digits in found or len(fitting) == 1:
        return found[digits if digits in found else fitting[0]]
    if fitting:
        raise UsageError(f"{digits} fits {len(fitting)} fingerprints: {_some(fitting)}. Give more of its digits.")
    near = get_close_matches(digits, sorted({name[: len(digits)] for name in found}), n=1)
    hint = "kguard explain CONTROL --run run.json lists those of a control."
    if near:
        hint = f"the nearest is {min(name for name in found if name.startswith(near[0]))}."
    raise UsageError(f"no finding of this run has a fingerprint that starts with {digits}; {hint}")


def _rule(word: str, report: Report | None, catalogue: Catalogue) -> RuleName:
    known = _known_rules(report, catalogue)
    tool, colon, rule = word.replace("/", ":", 1).partition(":")  # reports also write trivy/KSV-0017
    written = _squashed(rule if colon else word)
    # a rule may be named alone where only one tool has one that is called so
    found = [name for name in known if _squashed(name.rule) == written and (not colon or name.tool == tool.lower())]
    found = [name for name in found if name.rule == rule] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(one_line(f"{word!r} may be {' or '.join(map(str, found))}: name the one that you mean."))
    if not colon:
        raise _unknown(word, [*catalogue.controls, *map(str, known)])
    own = [str(name) for name in known if name.tool == tool.lower()]
    raise _unknown(word, own or [str(name) for name in known])


def _known_rules(report: Report | None, catalogue: Catalogue) -> list[RuleName]:
    names = {RuleName(*rule.split(":", 1)) for rule in catalogue.all_rules}
    if report is not None:
        names |= {RuleName(said.tool, said.rule) for finding in report.findings for said in finding.evidence}
        names |= {RuleName(tool.name, rule) for tool in report.tools for rule in (tool.rules and tool.rules.ids) or ()}
    return sorted(names)


def _squashed(rule: str) -> str:
    """Equal for all the ways in which one rule is written: KSV-0017, KSV017, AVD-KSV-0017, ksv-0017."""
    bare = re.sub("[^a-z0-9]", "", rule.lower().removeprefix("avd-"))
    return re.sub(r"(?<=[a-z])0+(?=\d)", "", bare)


def _unknown(word: str, names: Collection[str]) -> UsageError:
    near = get_close_matches(word, sorted(names), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else _FORMS
    return UsageError(one_line(f"{word!r} is no control, no rule and no fingerprint that is known; {hint}"))


_FORMS = (
    "a control is called like privileged-container, a rule like trivy:KSV-0017, a fingerprint has 6 digits or more."
)


def _some(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
