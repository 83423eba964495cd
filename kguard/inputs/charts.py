"""The charts below the sources: which releases of them are rendered, and what each of their files is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kguard.inputs.helm.chart import CHART_FILE, Chart, read_chart, role
from kguard.inputs.helm.files import ARCHIVE
from kguard.inputs.helm.release import Release
from kguard.inputs.nodes import Unreadable
from kguard.inputs.paths import display
from kguard.model import BundleKind, FileState
from kguard.settings import ChartSettings, InputSettings

_TEMPLATES = ("template of the chart", "CRD of the chart")
_OTHER = "file of the chart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """The charts below the sources; a chart in the `charts/` of another is part of that one."""

    releases: tuple[Release, ...]
    _charts: Mapping[Path, Chart | None]
    """By folder or archive, as it was walked; None for one that cannot be read, whose release says why."""

    @classmethod
    def among(cls, paths: Iterable[Path], settings: InputSettings) -> Charts:
        """Find them among files."""
        charts = dict(_found(paths))
        releases = [
            release
            for place, chart in sorted(charts.items())
            if chart is None or not chart.library
            for release in _releases(place, chart, settings)
        ]
        return cls(releases=tuple(releases), _charts=charts)

    def role(self, path: Path) -> tuple[FileState, str] | None:
        """What a file is for its chart; None for one that only stands in a chart's folder, or in none."""
        place = next((each for each in (path, *path.parents) if each in self._charts), None)
        if place is None:
            return None
        chart, shown = self._charts[place], display(place)
        if chart is not None and chart.library:
            return FileState.IGNORED, f"library chart {shown}, rendered only as part of others"
        if place == path:
            return FileState.TEMPLATE, "chart archive"
        what = _role_without_chart(place, path) if chart is None else role(chart, path)
        if what == _OTHER:
            return None
        return FileState.TEMPLATE if what in _TEMPLATES else FileState.RENDERED_ELSEWHERE, f"{what} {shown}"


def _role_without_chart(place: Path, path: Path) -> str:
    """A chart that cannot be read is taken whole: a template must not be scanned as a manifest."""
    return "metadata of the chart" if path == place / CHART_FILE else "template of the chart"


def _found(paths: Iterable[Path]) -> Iterator[tuple[Path, Chart | None]]:
    given = list(paths)
    folders = {path.parent for path in given if path.name == CHART_FILE}
    tops = {folder for folder in folders if not _inside_another(folder, folders)}
    for folder in sorted(tops):
        yield folder, _read(folder)
    for path in given:
        if path.suffix == ARCHIVE and not _inside_another(path, folders):
            try:
                chart = read_chart(path)
            except Unreadable:
                yield path, None  # it may be a chart that was cut off: its render says so
            else:
                if chart is not None:
                    yield path, chart


def _read(folder: Path) -> Chart | None:
    try:
        return read_chart(folder)
    except Unreadable:
        return None


def _inside_another(place: Path, folders: set[Path]) -> bool:
    """Whether it stands in the `charts/` of a chart."""
    return any(parent.name == "charts" and parent.parent in folders for parent in place.parents)


def _releases(place: Path, chart: Chart | None, settings: InputSettings) -> Iterator[Release]:
    """One for each set of values that kguard.yaml names; else one with the chart's own values."""
    real = os.path.realpath(place)
    own: Sequence[ChartSettings] = [item for item in settings.charts if os.path.realpath(item.path) == real]
    shown = display(place)
    for item in own or [ChartSettings(path=place)]:
        name = item.name or (item.values[-1].name if item.values else chart.name if chart else place.name)
        yield Release(
            chart=place,
            path=shown,
            bundle=f"{BundleKind.HELM}:{shown}" + (f" ({name})" if own else ""),
            name=name,
            release=item.release or "",
            namespace=item.namespace or settings.namespace,
            values=item.values,
            set_values=item.set_values,
            set_strings=item.set_strings,
            api_versions=item.api_versions,
            kube_version=item.kube_version,
        )
