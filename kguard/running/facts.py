"""What kguard knows of each tool beforehand: where users get it, which versions were tried, where its program is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import msgspec
from packaging.version import Version

from kguard.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """What data/tools.yaml says of a tool."""

    homepage: str
    releases: str
    """Page where users get it."""
    install: str
    proven: tuple[str, ...]
    """Versions whose output was compared with a run by hand."""
    rules: str = ""
    """Command that gets its rule files into `{folder}`; "" for built-in rules."""
    canary: tuple[str, ...] = ()
    """Rules that must fire on kguard's own bad object, where they are on."""
    ignores: tuple[str, ...] = ()
    """Annotations that silence it, as expressions over `key=value`."""
    hides: str = ""
    """The one of them at which it does not even name the object."""


def find_program(name: str, settings: Settings) -> Path | None:
    """A tool's program: what --tool-path says, else the first on PATH that can be run."""
    given = settings.tool_paths.get(name)
    if given is not None:
        return given
    found = shutil.which(name)
    return Path(found).absolute() if found else None


@lru_cache(maxsize=1)
def tool_facts() -> Mapping[str, ToolFacts]:
    """What kguard knows of each tool, by name; nothing of those that other packages bring."""
    text = (files("kguard") / "data" / "tools.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=dict[str, ToolFacts])


def get_it(name: str) -> str:
    """What to do about a tool that is not there."""
    facts = tool_facts().get(name)
    source = f"Get it from {facts.releases}, put" if facts else "Put"
    return f"{source} it on PATH, or leave it out: --tools -{name}"


def untried(name: str, version: Version | None) -> str | None:
    """What there is to complain of a version: it is none, or none that was tried."""
    if version is None:
        return f"this build of {name} tells no version"
    facts = tool_facts().get(name)
    if facts is None or str(version) in facts.proven:
        return None
    return f"{name} {version} is not among the versions that kguard was tried with: {', '.join(facts.proven)}"
