"""What a run was asked to do, resolved once from the flags and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from kguard.model import Severity

DEFAULT_FRAMEWORKS = ("nsa", "mitre", "cis")


class Profile(StrEnum):
    """Which rules of each tool are on; the table stands in the README."""

    DEFAULT = "default"
    ALL = "all"


class SeverityRule(StrEnum):
    """How a finding's severity is chosen: what the catalogue says, or the worst or the middle one of the tools' own words."""

    CATALOGUE = "catalogue"
    MAX = "max"
    MEDIAN = "median"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclude:
    """A gitignore pattern that the user gave."""

    pattern: str
    folder: Path | None
    """What it is relative to; None: the working directory, or the walk's root where that lies outside."""
    source: str
    """Who says so: `--exclude`, `kguard.yaml`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSettings:
    """One release of a chart: a values set; a chart may have several, each a bundle of its own."""

    path: Path
    """Absolute; a chart's folder or archive."""
    name: str | None = None
    """Of the values set; None: the last values file's, else the chart's."""
    release: str | None = None
    namespace: str | None = None
    values: tuple[Path, ...] = ()
    """Absolute, in order."""
    set_values: tuple[tuple[str, str], ...] = ()
    """Single values, as `--set` takes them."""
    set_strings: tuple[tuple[str, str], ...] = ()
    """Those that are text, whatever they look like."""
    api_versions: tuple[str, ...] = ()
    kube_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KustomizationSettings:
    path: Path
    """Absolute; a folder."""
    namespace: str | None = None
    allow_remote: frozenset[str] = frozenset()
    """Bases on the network that may be fetched, by their beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSettings:
    """What is looked at below the sources, and how it is rendered."""

    exclude: tuple[Exclude, ...] = ()
    hidden: bool = False
    """Whether hidden and git-ignored files are looked at."""
    namespace: str | None = None
    """Of every chart that names none."""
    charts: tuple[ChartSettings, ...] = ()
    kustomizations: tuple[KustomizationSettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """What is different about a control of the catalogue, or a control of the user's own (then with title, severity and rules)."""

    severity: Severity | None = None
    reason: str = ""
    """Of the severity."""
    title: str | None = None
    harm: str | None = None
    remediation: str | None = None
    rules: tuple[str, ...] = ()
    """`tool:RULE`."""
    scope: str = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeSettings:
    """How evidence becomes findings."""

    severity_rule: SeverityRule = SeverityRule.CATALOGUE
    controls: Mapping[str, ControlSettings] = field(default_factory=lambda: MappingProxyType({}))
    """By the control's name."""
    never: tuple[tuple[str, ...], ...] = ()
    """Rules (`tool:RULE`) that shall never stand in one finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one scan."""

    tools: tuple[str, ...] | None = None
    """Names of the tools to run; None means every tool that is on by default. The others are `skipped-by-config`."""
    profile: Profile = Profile.DEFAULT
    frameworks: tuple[str, ...] = DEFAULT_FRAMEWORKS
    """kubescape's frameworks: names, `cis` for the newest plain `cis-v*`, `all` for every one of the library."""
    fail_on: Severity | None = Severity.HIGH
    """The bar of the gate; None is `never`."""
    allow_incomplete: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Tool names, or `inputs`, that may be incomplete without failing the gate, each with the reason; "" for none given."""
    tool_paths: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    """Programs given by --tool-path; the others are looked up on PATH."""
    rules: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    """Folders of rule files given by --rules, by tool name (kubescape's artifacts)."""
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    """How many tool processes may run side by side."""
    timeout: float = 300.0
    """Seconds that one process may take."""
    canary: bool = True
    """Whether a known-bad object stands in the input of every process."""
    merge: MergeSettings = MergeSettings()
    inputs: InputSettings = InputSettings()
    config_path: str | None = None
    """The kguard.yaml that was read, as reports show it."""
