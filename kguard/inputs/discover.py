"""What is below the sources: every file accounted for, plain manifests read, charts and root kustomizations found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kguard.errors import UsageError
from kguard.inputs.charts import Charts
from kguard.inputs.ignore import Ignore
from kguard.inputs.kustomizations import Kustomizations
from kguard.inputs.kustomize.kustomization import NAMES
from kguard.inputs.objects import MAX_FILE_BYTES
from kguard.inputs.paths import display
from kguard.inputs.plain import PlainReader, problem
from kguard.inputs.reading import MANIFESTS
from kguard.inputs.render import Render
from kguard.inputs.walk import Entry, walk
from kguard.model import Bundle, BundleKind, BundleState, FileState, InputFile, InputProblem, Inventory
from kguard.settings import InputSettings

STDIN = "-"
_FILES = "./files"
"""Id of the bundle of all files that were given singly; no folder is shown so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What was found before anything is rendered."""

    inventory: Inventory
    """Of what stands there as it is; its bundles are the plain ones."""
    renders: tuple[Render, ...]
    """The bundles to be rendered, in the order of their ids."""

    def with_rendered(self, bundles: Iterable[Bundle]) -> Inventory:
        """The whole inventory, once every render is a bundle."""
        plain = self.inventory
        return replace(plain, bundles=(*plain.bundles, *sorted(bundles, key=lambda bundle: bundle.id)))


def discover(
    sources: Sequence[str], settings: InputSettings | None = None, *, stdin: BinaryIO | None = None
) -> Discovery:
    """Walk the sources in sorted order. The plain manifests of a folder are one bundle; all files given singly are one bundle
    together; each release of a chart and each root kustomization is one to render.

    Raises UsageError for a source that does not exist, before anything is read, and for a broken ignore file.
    """
    settings = settings or InputSettings()
    folders, files = _sources(sources)
    entries = {
        folder: tuple(walk(folder, Ignore(folder, exclude=settings.exclude, hidden=settings.hidden)))
        for folder in folders
    }
    looked_at = [entry.path for found in entries.values() for entry in found if entry.reason is None]
    charts = Charts.among([*looked_at, *files], settings)
    found = _Found(charts=charts, kustomizations=Kustomizations.among([*looked_at, *files], settings))
    for folder in folders:
        _take_folder(folder, entries[folder], found)
        found.problems += _not_rendered(folder, found, settings)
    if files or stdin is not None:
        _take_files(files, stdin, found)
    return Discovery(inventory=found.inventory(sources), renders=_distinct(found.renders()))


def _distinct(renders: tuple[Render, ...]) -> tuple[Render, ...]:
    """Raises UsageError for two of one name: what is said of one would be taken for the other's."""
    for one, other in pairwise(renders):
        if one.bundle == other.bundle:
            raise UsageError(
                f"kguard.yaml: two sets of values of {one.path} are called {one.name!r}; give each a name of its own."
            )
    return renders


@dataclass(slots=True, kw_only=True)
class _Found:
    """What the walk has found so far."""

    charts: Charts
    kustomizations: Kustomizations
    bundles: list[Bundle] = field(default_factory=list)
    files: list[InputFile] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    problems: list[InputProblem] = field(default_factory=list)

    def add(self, path: Path, state: FileState, reason: str) -> None:
        self.files.append(InputFile(path=display(path), state=state, reason=reason))
        if state is FileState.UNREADABLE:
            self.problems.append(problem(path, reason))

    def take(self, reader: PlainReader, path: str) -> None:
        """The bundle of what a reader has read; a folder without plain manifests has none."""
        self.files += reader.files
        self.problems += reader.problems
        if reader.objects:
            bundle = Bundle(
                id=reader.bundle,
                kind=BundleKind.PLAIN,
                path=path,
                state=BundleState.PLAIN,
                objects=tuple(reader.objects),
            )
            self.bundles.append(bundle)

    def inventory(self, sources: Sequence[str]) -> Inventory:
        return Inventory(
            sources=tuple(dict.fromkeys(sources)),
            bundles=tuple(self.bundles),
            files=tuple(sorted(self.files, key=lambda file: file.path)),
            others=tuple(sorted(self.others)),
            problems=tuple(sorted(self.problems, key=lambda p: (p.path, p.document or 0, p.line or 0))),
        )

    def renders(self) -> tuple[Render, ...]:
        return tuple(sorted([*self.charts.releases, *self.kustomizations.roots], key=lambda render: render.bundle))


def _sources(sources: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Folders and files, each once, none inside another. The file that makes a folder a chart or a kustomization means the folder."""
    if not all(sources):
        # an unset variable must not become the working directory
        raise UsageError("one of the paths is empty; nothing was scanned. Name a file or folder.")
    paths = [Path(source) for source in sources if source != STDIN]
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"{path} does not exist; nothing was scanned. Name a file or folder that does.")
    paths = [path.parent if path.name in ("Chart.yaml", *NAMES) else path for path in paths]
    unique = {os.path.realpath(path): path for path in reversed(paths)}
    folders = sorted((path for path in unique.values() if path.is_dir()), key=lambda path: path.as_posix())
    roots = [os.path.realpath(folder) + os.sep for folder in folders]
    inside = {real for real in unique for root in roots if real.startswith(root)}
    kept = [path for real, path in unique.items() if real not in inside]
    return [path for path in folders if path in kept], sorted(path for path in kept if not path.is_dir())


def _take_folder(folder: Path, entries: Iterable[Entry], found: _Found) -> None:
    reader = PlainReader(display(folder))
    for entry in entries:
        if entry.reason is not None:
            if _counts(entry.path):
                found.add(entry.path, entry.state, entry.reason)
            else:
                found.others.append(display(entry.path))
        elif (owned := _owned(entry.path, found)) is not None:
            found.add(entry.path, *owned)
        elif entry.path.suffix.lower() in MANIFESTS:
            reader.read(entry.path, PurePosixPath(entry.path.relative_to(folder).as_posix()))
        else:
            found.others.append(display(entry.path))
    found.take(reader, display(folder))


def _not_rendered(folder: Path, found: _Found, settings: InputSettings) -> Iterator[InputProblem]:
    """What kguard.yaml says is to be rendered, stands in the folder, and is not: an entry must not do nothing without a word."""
    rendered = {os.path.realpath(release.chart) for release in found.charts.releases}
    rendered |= {os.path.realpath(root.folder) for root in found.kustomizations.roots}
    top = os.path.realpath(folder)
    for named in [item.path for item in settings.charts] + [item.path for item in settings.kustomizations]:
        path = os.path.realpath(named)
        if path not in rendered and (path == top or path.startswith(top + os.sep)):
            why = "kguard.yaml says how to render it, but it is left out, part of another, or a library chart"
            yield problem(named, why)


def _counts(path: Path) -> bool:
    """Whether what was left out might hold manifests: a folder, or a file with the name of one."""
    return path.is_dir() or path.suffix.lower() in (*MANIFESTS, ".tgz") or path.name in NAMES


def _owned(path: Path, found: _Found) -> tuple[FileState, str] | None:
    """What a file is that belongs to a chart or a kustomization; None for one that stands for itself."""
    return found.charts.role(path) or found.kustomizations.role(path)


def _take_files(files: Sequence[Path], stdin: BinaryIO | None, found: _Found) -> None:
    reader = PlainReader(_FILES)
    for path in files:
        if (owned := _owned(path, found)) is not None:
            found.add(path, *owned)
        elif path.is_file():
            reader.read(path, PurePosixPath(Path(os.path.relpath(path)).as_posix()))
        else:
            reader.unreadable(path, "a link to nothing" if path.is_symlink() else "not a regular file")
    if stdin is not None:
        reader.content(STDIN, PurePosixPath("stdin.yaml"), stdin.read(MAX_FILE_BYTES + 1))
    found.take(reader, ".")
