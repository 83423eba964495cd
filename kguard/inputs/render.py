"""What discovery knows of a chart or a root kustomization: how to render it, and how to read what was rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from kguard.model import BundleKind, Command, KubeObject, Outcome


class NotRendered(Exception):
    """A bundle that cannot be rendered: one sentence, in the renderer's own words where it has said something."""


class Render(Protocol):
    """One bundle to render: a release of a chart, or a root kustomization."""

    @property
    def kind(self) -> BundleKind: ...

    @property
    def bundle(self) -> str:
        """The bundle's id, unique in a run: `helm:charts/web`, `helm:charts/web (prod)`, `kustomize:overlays/dev`."""

    @property
    def name(self) -> str:
        """What people call it: `prod`, `dev`."""

    @property
    def path(self) -> str:
        """The folder (or archive), as reports show it."""

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that can render it; the first one that is installed does."""

    def command(self, program: str, work: Path) -> Command:
        """The process that renders it, run in `work`; the rendered documents come on stdout.

        Raises NotRendered for what can be told, and must be, before anything is run (a base on the network).
        """

    def objects(self, outcome: Outcome) -> tuple[KubeObject, ...]:
        """The objects that were rendered, with the way back to their sources.

        Raises NotRendered when the process failed, or when what it printed cannot be read.
        """
