"""What the core needs to know of the tools beforehand, as data/tools.yaml has it: their order and initials, their words for
severities, and what their silence cannot mean."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files

import msgspec

from kguard.model import Severity


class _Tool(msgspec.Struct, rename="kebab"):
    initials: str
    severities: dict[str, Severity] = {}
    skips_init_containers: tuple[str, ...] = ()
    names_one_container: bool = False


def initials(tool: str) -> str:
    """What stands for a tool in a table cell; the first letters of one that another package brings."""
    return _tools()[tool].initials if tool in _tools() else tool[:2].upper()


def place(tool: str) -> tuple[int, str]:
    """What sorts tools into the order of the reports; those that other packages bring come last, by name."""
    names = list(_tools())
    return (names.index(tool) if tool in names else len(names), tool)


@lru_cache(maxsize=4096)
def skips_init_containers(tool: str, rule: str) -> bool:
    """Whether a rule looks at a pod's main containers alone."""
    return tool in _tools() and any(fnmatchcase(rule, own) for own in _tools()[tool].skips_init_containers)


def names_one_container(tool: str) -> bool:
    """Whether a tool names but one of an object's containers that have the same fault."""
    return tool in _tools() and _tools()[tool].names_one_container


@lru_cache(maxsize=1)
def severity_words() -> Mapping[str, Severity]:
    """What the tools' own words mean, in small letters: kguard's words mean the same in every tool."""
    own = {severity.value: severity for severity in Severity if severity not in (Severity.INFO, Severity.UNKNOWN)}
    return own | {word: severity for tool in _tools().values() for word, severity in tool.severities.items()}


@lru_cache(maxsize=1)
def _tools() -> Mapping[str, _Tool]:
    text = (files("kguard") / "data" / "tools.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=dict[str, _Tool])
