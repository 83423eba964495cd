"""Releases of charts: what is refused before helm runs, its command, and its complaint."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from kguard.inputs.helm.chart import CHART_FILE, Chart, read_chart
from kguard.inputs.helm.files import walk
from kguard.inputs.helm.instances import instances
from kguard.inputs.helm.output import Output
from kguard.inputs.helm.valuefiles import read_values
from kguard.inputs.hush import hushed
from kguard.inputs.nodes import Unreadable
from kguard.inputs.paths import display
from kguard.inputs.render import NotRendered
from kguard.model import BundleKind, Command, KubeObject, Outcome
from kguard.text import printable

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_RELEASE_LENGTH = 53
_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A chart with one set of values, to be rendered by `helm template` (satisfies kguard.inputs.render.Render)."""

    chart: Path
    """A folder or an archive."""
    path: str
    """The same, as reports show it."""
    bundle: str
    name: str
    """What people call it: that of the set of values, or the chart's."""
    release: str = ""
    """Name of the release; "" for one like the chart's name."""
    namespace: str | None = None
    values: tuple[Path, ...] = ()
    set_values: tuple[tuple[str, str], ...] = ()
    """Keys and values as `--set` takes them, commas and braces included."""
    set_strings: tuple[tuple[str, str], ...] = ()
    """The same for `--set-string`."""
    api_versions: tuple[str, ...] = ()
    kube_version: str | None = None
    root: Path | None = None
    """Links in the chart may not lead out of this folder; None for the chart's own."""

    @property
    def kind(self) -> BundleKind:
        return BundleKind.HELM

    @property
    def programs(self) -> tuple[str, ...]:
        return ("helm",)

    def command(self, program: str, work: Path) -> Command:
        """Dependencies come from the chart's `charts/` alone; nothing is fetched, and nothing in `work` is read."""
        chart = self._read()
        self._check(chart)
        options = [
            *(["--namespace", self.namespace] if self.namespace else []),
            *(option for file in self.values for option in ("--values", os.path.abspath(file))),
            *(option for key, value in self.set_values for option in ("--set", f"{key}={value}")),
            *(option for key, value in self.set_strings for option in ("--set-string", f"{key}={value}")),
            *(option for version in self.api_versions for option in ("--api-versions", version)),
            *(["--kube-version", self.kube_version] if self.kube_version else []),
        ]
        name = self._release_name(chart)
        return Command(argv=(program, "template", name, os.path.abspath(self.chart), "--include-crds", *options))

    def objects(self, outcome: Outcome) -> tuple[KubeObject, ...]:
        """Hooks, tests and CRDs too; what is printed for people (NOTES.txt) and empty documents are no objects."""
        if outcome.failure is not None:
            raise NotRendered(outcome.reason or "helm did not finish")
        if outcome.exit_code != 0:
            raise NotRendered(self._complaint(outcome))
        chart = self._read()
        try:
            found = tuple(self._output(chart).objects(outcome.stdout))
        except Unreadable as error:
            raise NotRendered(str(error)) from error
        return tuple(replace(obj, staged=f"tree/rendered--{number}.yaml") for number, obj in enumerate(found, start=1))

    def _output(self, chart: Chart) -> Output:
        charts = tuple(instances(chart, self.path))
        return Output(
            bundle=self.bundle,
            chart=self.path,
            release=self._release_name(chart),
            namespace=self.namespace or "default",
            instances=charts,
            values=read_values(charts, self.values, (*self.set_values, *self.set_strings)),
        )

    def _release_name(self, chart: Chart) -> str:
        """The chart's name made one that helm takes for a release, where none is given."""
        made = re.sub(r"[^a-z0-9]+", "-", chart.name.lower())[:_RELEASE_LENGTH].strip("-")
        return self.release or made or "release"

    def _read(self) -> Chart:
        try:
            chart = read_chart(self.chart)
        except Unreadable as error:
            raise NotRendered(str(error)) from error
        if chart is None:
            raise NotRendered(f"{self.path} has no {CHART_FILE}")
        return chart

    # -- what is refused --------------------------------------------------------------------------------------------------

    def _check(self, chart: Chart) -> None:
        """What helm would say less clearly, or not at all."""
        if chart.library:
            raise NotRendered("a library chart: it only helps other charts, and is rendered with them")
        if chart.missing:
            names = ", ".join(f"{item.name} {item.version}".strip() for item in chart.missing)
            raise NotRendered(
                f"charts/ lacks what {CHART_FILE} names as a dependency: {printable(names)}. "
                f"`helm dependency update {self.path}` gets it; kguard fetches nothing"
            )
        for file in self.values:
            if "," in os.path.abspath(file):
                raise NotRendered(f"{display(file)} has a comma in its path, at which helm would split it; rename it")
            if not file.is_file():
                raise NotRendered(f"the values file {display(file)} does not exist")
        if self.namespace is not None and not _NAMESPACE.fullmatch(self.namespace):
            raise NotRendered(f"{self.namespace!r} is no name for a namespace")
        if self.chart.is_dir():
            self._check_links()

    def _check_links(self) -> None:
        """Helm follows links, and would copy what it finds there into what it renders."""
        root = os.path.realpath(self.root or self.chart)
        try:
            for path in walk(self.chart):
                target = os.path.realpath(path)
                if path.is_symlink() and target != root and not target.startswith(root + os.sep):
                    raise NotRendered(f"{display(path)} is a link that leaves the folder; helm would follow it")
        except Unreadable as error:
            raise NotRendered(str(error)) from error

    # -- what helm says ---------------------------------------------------------------------------------------------------

    def _complaint(self, outcome: Outcome) -> str:
        """Helm's own words, without paths of this machine."""
        text = outcome.stderr.decode("utf-8", "replace")
        text = text[max(text.rfind("\nError: ") + 1, 0) :].removeprefix("Error: ")
        for path, shown in ((self.chart, self.path), *((file, display(file)) for file in self.values)):
            text = text.replace(os.path.abspath(path), shown)
        text = text.replace(f"{Path.cwd()}{os.sep}", "")
        lines = [line.strip() for line in text.splitlines() if not line.startswith("Use --debug flag")]
        files = [self.chart / "values.yaml", *self.values] if self.chart.is_dir() else self.values
        given = [value for _, value in (*self.set_values, *self.set_strings)]
        said = printable(hushed(" ".join(" ".join(lines).split()), files, given))
        if len(said) > _ERROR_LENGTH:
            said = said[: _ERROR_LENGTH - 1] + "…"
        return said or f"helm ended with exit code {outcome.exit_code} and said nothing"
