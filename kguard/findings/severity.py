"""The severity of a finding: the tools' own words in kguard's, and the rules by which one is chosen."""

from __future__ import annotations

from collections.abc import Iterable

from kguard.model import Severity
from kguard.settings import SeverityRule
from kguard.tooldata import severity_words


def severity_of(word: str | None) -> Severity:
    """`unknown` for a tool without severities and for a word that kguard does not know."""
    return severity_words().get((word or "").lower(), Severity.UNKNOWN)


def chosen(rule: SeverityRule, catalogue: Severity | None, words: Iterable[str | None]) -> Severity:
    """The severity by a rule. `catalogue`: what the control says, None for a rule that has none; `words`: each tool's own.

    Where no tool has a word, the catalogue decides under every rule; where it has none either, it is `unknown`.
    """
    known = sorted((found for word in words if (found := severity_of(word)) is not Severity.UNKNOWN), key=_rank)
    if catalogue is not None and (rule is SeverityRule.CATALOGUE or not known):
        return catalogue
    if not known:
        return Severity.UNKNOWN
    # of two in the middle, the worse
    return known[(len(known) - 1) // 2] if rule is SeverityRule.MEDIAN else known[0]


def _rank(severity: Severity) -> int:
    return severity.rank
