"""The charts of a release, each in its place: under an alias, twice, or inside another."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kguard.inputs.helm.chart import Chart
from kguard.inputs.helm.files import Archive, Files, Folder, unpack
from kguard.inputs.helm.values import Keys
from kguard.inputs.nodes import Unreadable

MAX_INSTANCES = 1_000
"""Charts of one release, each under each of its aliases."""

_PLAIN_VERSION = re.compile(r"\d+\.\d+\.\d+[-+.\w]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A chart in its place in a release."""

    chart: Chart
    name: str
    """Where helm says that its files are: `web/charts/db`."""
    prefix: Keys
    """Where its values stand among those of the release."""
    shown: str
    """Its folder or archive, as reports show it."""
    files: Files

    def path(self, name: str) -> str:
        """One of its files, as reports show it; of a file in an archive, the archive."""
        if self.chart.inside:
            return self.shown
        name = os.fsencode(name).decode("utf-8", "backslashreplace")
        return name if self.shown == "." else f"{self.shown}/{name}"


def instances(top: Chart, shown: str) -> Iterator[Instance]:
    """The chart itself comes first. `shown`: its folder or archive, as reports show it. Raises nodes.Unreadable."""
    archives: dict[Path, Mapping[str, bytes]] = {}
    waiting: list[tuple[Chart, str, Keys, str]] = [(top, top.name, (), shown)]
    count = 0
    while waiting:
        count += 1
        if count > MAX_INSTANCES:
            raise Unreadable(f"more than {MAX_INSTANCES:,} charts in one, the limit")
        chart, name, prefix, shown = waiting.pop()
        yield Instance(chart=chart, name=name, prefix=prefix, shown=shown, files=_files(chart, archives))
        for inner in chart.subcharts:
            where = shown if chart.inside else f"{shown}/charts/{inner.path.name}".removeprefix("./")
            waiting += [(inner, f"{name}/charts/{own}", (*prefix, own), where) for own in _names(chart, inner)]


def _files(chart: Chart, archives: dict[Path, Mapping[str, bytes]]) -> Files:
    """`archives`: those that are unpacked already."""
    if not chart.inside:
        return Folder(chart.path)
    if chart.path not in archives:
        archives[chart.path] = unpack(chart.path)
    return Archive(archives[chart.path], chart.inside)


def _names(chart: Chart, inner: Chart) -> list[str]:
    """What a chart calls one of its subcharts: its aliases, where it has some."""
    wanted = [item for item in chart.dependencies if item.name == inner.name]
    several = sum(other.name == inner.name for other in chart.subcharts) > 1
    if several:  # helm takes the version that fits; one that is not given plainly may be any of them
        wanted = [
            item for item in wanted if item.version == inner.version or not _PLAIN_VERSION.fullmatch(item.version)
        ]
    names = list(dict.fromkeys(item.alias or item.name for item in wanted))
    return names if names or several else [inner.name]
