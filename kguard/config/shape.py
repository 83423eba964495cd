"""The shape of `kguard.yaml`. A key is a field of a struct here; the docstring below it is its description in the JSON Schema.

It never names programs to run: the file comes with the repository, and a repository must not choose what is executed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Annotated

import msgspec
from msgspec import Meta

FILE_NAME = "kguard.yaml"
_CONTROL_ID = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")

# `extra` is what a check needs besides the type: the words for what is expected, and what else is looked at (_CHECKS)
_NAME = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$(?!\n)"

Text = Annotated[str, Meta(min_length=1, extra={"words": "text"})]
Glob = Annotated[str, Meta(min_length=1, extra={"words": "a pattern", "check": "glob"})]
KustomizationPath = Annotated[str, Meta(min_length=1, extra={"words": "a folder's path", "check": "kustomization"})]
File = Annotated[str, Meta(min_length=1, extra={"words": "a file's path", "check": "file"})]
ChartPath = Annotated[str, Meta(min_length=1, extra={"words": "a chart's path", "check": "chart"})]
DnsName = Annotated[
    str, Meta(pattern=_NAME, max_length=63, extra={"words": "a name of at most 63 a-z, 0-9 and dashes"})
]
ReleaseName = Annotated[
    str, Meta(pattern=_NAME, max_length=53, extra={"words": "a name of at most 53 a-z, 0-9 and dashes"})
]
KubeVersion = Annotated[
    str,
    Meta(
        pattern="^v?[0-9]+[.][0-9]+([.][0-9]+)?([-+][0-9A-Za-z.+-]+)?$(?!\n)",
        extra={"words": 'a version such as "1.30"'},
    ),
]
Tool = Annotated[str, Meta(min_length=1, extra={"words": "a tool's name, or inputs", "check": "tool"})]
_RULE = "^[a-z0-9][-a-z0-9]*:[^\\s:]+$(?!\n)"
RuleName = Annotated[str, Meta(pattern=_RULE, extra={"words": "a tool's rule, written tool:RULE"})]
KnownRule = Annotated[str, Meta(pattern=_RULE, extra={"words": "a tool's rule, written tool:RULE", "check": "rule"})]
SeverityWord = Annotated[
    str, Meta(pattern="^(critical|high|medium|low|info)$(?!\n)", extra={"words": "critical, high, medium, low or info"})
]
SeverityRuleWord = Annotated[
    str, Meta(pattern="^(catalogue|max|median)$(?!\n)", extra={"words": "catalogue, max or median"})
]
Scope = Annotated[str, Meta(pattern="^(container|object)$(?!\n)", extra={"words": "container or object"})]


class _Keys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """A mapping of the file."""


class Chart(_Keys, frozen=True):
    """A release of a Helm chart. A chart that stands here several times is rendered several times, each with its own values."""

    path: ChartPath
    """The chart's folder or .tgz, relative to the folder of kguard.yaml."""
    name: Text | None = None
    """What this set of values is called; by default the file name of the last values file, else the chart's name."""
    release: ReleaseName | None = None
    """The release name that the chart is rendered with."""
    namespace: DnsName | None = None
    """The namespace that the chart is rendered for."""
    values: tuple[File, ...] = ()
    """Values files, relative to the folder of kguard.yaml; the last one wins."""
    set: dict[Text, str | int | float | bool | None] = msgspec.field(default_factory=dict)
    """Single values, by key (image.tag); they win over values files. Text stays text: "1.20" is not 1.2."""
    api_versions: tuple[Text, ...] = ()
    """API versions that the chart shall find in the cluster (monitoring.coreos.com/v1)."""
    kube_version: KubeVersion | None = None
    """The Kubernetes version that the chart is rendered for, in quotes."""

    @property
    def set_name(self) -> str | None:
        """What this set of values is called; None: as the chart."""
        return self.name or (posixpath.basename(self.values[-1]) if self.values else None)

    @property
    def identity(self) -> tuple[str, ...]:
        return (posixpath.normpath(self.path), self.set_name or "")


class Kustomization(_Keys, frozen=True):
    """A kustomization to render."""

    path: KustomizationPath
    """Its folder, relative to the folder of kguard.yaml."""
    namespace: DnsName | None = None
    """Given to all of its objects, as the `namespace:` of one more overlay would."""
    allow_remote: tuple[Text, ...] = ()
    """Remote bases that may be fetched (github.com/org/repo); all others are refused."""

    @property
    def identity(self) -> tuple[str, ...]:
        return (posixpath.normpath(self.path),)


class Inputs(_Keys, frozen=True):
    """What is scanned, and as what."""

    exclude: tuple[Glob, ...] = ()
    """Paths to leave out: gitignore patterns, relative to the folder of kguard.yaml; --exclude adds to them."""
    hidden: bool = False
    """Whether to look into hidden and git-ignored files and folders too."""
    namespace: DnsName | None = None
    """The namespace for every chart that names none."""
    charts: tuple[Chart, ...] = ()
    """Charts with their values; a chart that does not stand here is rendered with its own values."""
    kustomizations: tuple[Kustomization, ...] = ()
    """Kustomizations with settings of their own."""


class Allowed(_Keys, frozen=True):
    """A tool that may be incomplete without failing the run."""

    tool: Tool
    """Its name; `inputs` for manifests that cannot be read or rendered."""
    reason: Text
    """Why; reports show it."""

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.tool,)


class Merge(_Keys, frozen=True):
    """Which merges are refused."""

    never: tuple[tuple[KnownRule, ...], ...] = ()
    """Lists of rules (trivy:KSV-0014) that shall never stand in one finding: the first of a list stays with the control, each other one
    gets findings of its own."""


class Control(_Keys, frozen=True):
    """What is different about a control of the catalogue; or a control of your own, which needs `title`, `severity` and `rules`."""

    severity: SeverityWord | None = None
    """How bad it is here."""
    reason: Text | None = None
    """Why; reports and `kguard explain` show it."""
    title: Text | None = None
    """What reports call it."""
    harm: Text | None = None
    """What can go wrong."""
    remediation: Text | None = None
    """What to do about it."""
    rules: tuple[RuleName, ...] = ()
    """Only for a control of your own: the rules that check it. They leave the controls that the catalogue has them in."""
    scope: Scope | None = None
    """Only for a control of your own: `container` gives each container a finding, `object` (default) each object."""

    @staticmethod
    def problem(name: str, control: Control, known: Collection[str]) -> str | None:
        """What is wrong with an entry as a whole."""
        if name in known:
            if control.rules or control.scope:
                return "stands in the catalogue: its rules and scope cannot be changed here"
            return None
        if control.rules and control.title and control.severity:
            return None if _CONTROL_ID.match(name) else "expected a name of a-z, 0-9 and dashes"
        near = get_close_matches(name, sorted(known), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"the catalogue has no such control; {hint}A control of your own needs title, severity and rules"


class Config(_Keys, frozen=True):
    """kguard.yaml."""

    inputs: Inputs = Inputs()
    """What is scanned, and as what."""
    allow_incomplete: tuple[Allowed, ...] = ()
    """Tools that may be incomplete without failing the run; --allow-incomplete adds to them."""
    severity_rule: SeverityRuleWord | None = None
    """How a finding's severity is chosen: by the `catalogue` (default), or as the `max` or `median` of the tools' own words."""
    merge: Merge = Merge()
    """Which merges are refused."""
    controls: dict[Text, Control] = msgspec.field(default_factory=dict)
    """Changes to controls, by their name, and controls of your own."""
