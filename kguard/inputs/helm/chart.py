"""What a chart is made of: what it says of itself, the charts inside it, and what each of its files is to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kguard.inputs.helm.files import ARCHIVE, MAX_SUBCHARTS, Archive, Files, Folder, read_yaml, unpack
from kguard.inputs.nodes import NodeReader, Unreadable

CHART_FILE = "Chart.yaml"

_METADATA = frozenset((CHART_FILE, "Chart.lock", "requirements.yaml", "requirements.lock", ".helmignore"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A chart that another names as part of it."""

    name: str
    alias: str | None
    version: str
    repository: str
    imports: bool
    """Its values are copied into its parent's (`import-values`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a chart says of itself, and the charts inside it."""

    path: Path
    """Its folder; of a chart in an archive, the archive."""
    inside: str
    """Its folder in the archive, "" where `path` is a folder."""
    name: str
    version: str
    library: bool
    """It only helps other charts and is never rendered itself."""
    dependencies: tuple[Dependency, ...]
    subcharts: tuple[Chart, ...]
    """Those in its `charts/`, folders and archives."""

    @property
    def missing(self) -> tuple[Dependency, ...]:
        """Dependencies that its `charts/` lacks."""
        there = {chart.name for chart in self.subcharts}
        return tuple(item for item in self.dependencies if item.name not in there)


def read_chart(path: Path) -> Chart | None:
    """The chart in a folder or an archive; None where there is no Chart.yaml.

    Raises nodes.Unreadable for a chart that cannot be read, or one that is too large.
    """
    if not path.is_file():
        return _in_folder(path, 0)
    files = unpack(path)
    tops = [name.partition("/")[0] for name in files if name.count("/") == 1 and name.endswith(f"/{CHART_FILE}")]
    return _in_archive(path, tops[0], files, 0) if tops else None


def role(chart: Chart, path: Path) -> str:
    """What a file below a chart's folder is to the chart, in a few words."""
    relative = PurePosixPath(os.path.relpath(path, chart.path).replace(os.sep, "/"))
    name = relative.name.lower()
    match relative.parts:
        case ("charts", _, *_):
            return "subchart, rendered with its parent"
        case ("templates", _, *_):
            return "template of the chart"
        case ("crds", _, *_):
            return "CRD of the chart"
        case (str(only),) if only in _METADATA:
            return "metadata of the chart"
        case _ if "values" in name and name.endswith((".yaml", ".yml", ".json")):
            return "values of the chart"
        case _:
            return "file of the chart"


# -- in a folder ----------------------------------------------------------------------------------------------------------


def _in_folder(path: Path, depth: int) -> Chart | None:
    if not (path / CHART_FILE).is_file():
        return None
    charts = path / "charts"
    return _chart(path, "", Folder(path), [_subchart(charts / name, depth + 1) for name in _entries(charts)])


def _entries(folder: Path) -> list[str]:
    """What helm looks at in `charts/`."""
    try:
        return sorted(name for name in os.listdir(folder) if name[0] not in "._")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise Unreadable(f"{folder.name}/ cannot be read: {error.strerror}") from error


def _subchart(path: Path, depth: int) -> Chart | None:
    _check_depth(depth)  # a link to a folder around it would never end
    try:
        if path.is_dir():
            return _in_folder(path, depth)
        return read_chart(path) if path.suffix == ARCHIVE and path.is_file() else None
    except Unreadable as error:
        raise Unreadable(f"charts/{path.name}: {error}") from error


def _check_depth(depth: int) -> None:
    if depth > MAX_SUBCHARTS:
        raise Unreadable(f"charts inside charts deeper than {MAX_SUBCHARTS}, the limit")


# -- in an archive --------------------------------------------------------------------------------------------------------


def _in_archive(path: Path, inside: str, files: Mapping[str, bytes], depth: int) -> Chart | None:
    """A chart of an archive, in which archives inside are unpacked already."""
    if f"{inside}/{CHART_FILE}" not in files:
        return None
    _check_depth(depth)
    charts = f"{inside}/charts/"
    found = [_chart_folder(name.removeprefix(charts)) for name in files if name.startswith(charts)]
    names = dict.fromkeys(name for name in found if name is not None)
    return _chart(
        path, inside, Archive(files, inside), [_in_archive(path, charts + name, files, depth + 1) for name in names]
    )


def _chart_folder(name: str) -> str | None:
    """`db` of db/Chart.yaml, `db-1.0.0.tgz/db` of db-1.0.0.tgz/db/Chart.yaml."""
    parts = name.split("/")
    size = 2 if parts[0].endswith(ARCHIVE) else 1
    return "/".join(parts[:size]) if len(parts) > size and parts[0][:1] not in ("", ".", "_") else None


# -- what a chart says of itself ------------------------------------------------------------------------------------------


def _chart(path: Path, inside: str, files: Files, subcharts: Sequence[Chart | None]) -> Chart:
    value = _mapping(files, CHART_FILE)
    requirements = _mapping(files, "requirements.yaml")
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise Unreadable(f"{CHART_FILE} gives no name")
    return Chart(
        path=path,
        inside=inside,
        name=name,
        version=str(value.get("version") or ""),
        library=value.get("type") == "library",
        dependencies=tuple(_dependencies(requirements.get("dependencies") or value.get("dependencies"))),
        subcharts=tuple(chart for chart in subcharts if chart is not None),
    )


def _mapping(files: Files, name: str) -> dict[str, Any]:
    """Empty where there is no such file, or nothing in it."""
    node = read_yaml(files, name)
    value = None if node is None else NodeReader("", []).value(node)
    if value is not None and not isinstance(value, dict):
        raise Unreadable(f"{name} is not a mapping")
    return value or {}


def _dependencies(value: Any) -> Iterator[Dependency]:
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            alias = item.get("alias")
            yield Dependency(
                name=item["name"],
                alias=alias if isinstance(alias, str) and alias else None,
                version=str(item.get("version") or ""),
                repository=str(item.get("repository") or ""),
                imports=bool(item.get("import-values")),
            )
