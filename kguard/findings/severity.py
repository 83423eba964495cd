"""The tools' own words for severity, in kguard's."""

from __future__ import annotations

from collections.abc import Mapping

from kguard.model import Severity

_WORDS: Mapping[str, Severity] = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "danger": Severity.HIGH,
    "warning": Severity.MEDIUM,
}


def severity_of(word: str | None) -> Severity:
    """`unknown` for a tool without severities and for a word that kguard does not know."""
    return _WORDS.get((word or "").lower(), Severity.UNKNOWN)
