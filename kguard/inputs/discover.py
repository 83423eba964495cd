"""What is below the sources: every YAML and JSON file accounted for, and the bundles of objects in them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kguard.errors import UsageError
from kguard.inputs.objects import MAX_FILE_BYTES, read_manifest
from kguard.model import (
    Bundle,
    BundleKind,
    BundleState,
    FileState,
    InputFile,
    InputProblem,
    Inventory,
    KubeObject,
)

_SUFFIXES = frozenset((".yaml", ".yml", ".json"))
_CHART = "Chart.yaml"
_KUSTOMIZATIONS = frozenset(("kustomization.yaml", "kustomization.yml", "Kustomization"))
_KUSTOMIZE_GROUP = "kustomize.config.k8s.io"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
STDIN = "-"
TREE = "tree"
"""Top folder of every stage: trivy skips folders called dev, proc and sys at the top."""


def discover(sources: Sequence[str], *, stdin: BinaryIO | None = None) -> Inventory:
    """Walk the sources in sorted order. A folder is one bundle; all files given singly are one bundle together.

    Raises UsageError for a source that does not exist, before anything is read.
    """
    folders, files = _sources(sources)
    found = _Found()
    for folder in folders:
        _bundle_of_folder(folder, found)
    if files or stdin is not None:
        _bundle_of_files(files, stdin, found)
    return Inventory(
        sources=tuple(dict.fromkeys(sources)),
        bundles=tuple(found.bundles),
        files=tuple(sorted(found.files, key=lambda file: file.path)),
        problems=tuple(sorted(found.problems, key=lambda p: (p.path, p.document or 0, p.line or 0))),
    )


@dataclass(slots=True)
class _Found:
    """What the walk has found so far."""

    bundles: list[Bundle] = field(default_factory=list)
    files: list[InputFile] = field(default_factory=list)
    problems: list[InputProblem] = field(default_factory=list)


def _sources(sources: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Folders and files, each once, none inside another."""
    if not all(sources):
        # an unset variable must not become the working directory
        raise UsageError("one of the paths is empty; nothing was scanned. Name a file or folder.")
    paths = [Path(source) for source in sources if source != STDIN]
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"{path} does not exist; nothing was scanned. Name a file or folder that does.")
    unique = {os.path.realpath(path): path for path in reversed(paths)}
    folders = sorted((path for path in unique.values() if path.is_dir()), key=lambda path: path.as_posix())
    roots = [os.path.realpath(folder) + os.sep for folder in folders]
    inside = {real for real in unique for root in roots if real.startswith(root)}
    kept = [path for real, path in unique.items() if real not in inside]
    return [path for path in folders if path in kept], sorted(path for path in kept if not path.is_dir())


# -- a folder -------------------------------------------------------------------------------------------------------------


def _bundle_of_folder(folder: Path, found: _Found) -> None:
    bundle_id = _display(folder)
    objects: list[KubeObject] = []
    names = _StagedNames()
    for entry in _walk(folder, found):
        if entry.unread is not None:
            found.files.append(InputFile(path=_display(entry.path), state=entry.state, reason=entry.unread))
            if entry.state is FileState.UNREADABLE:
                _problem(entry.path, entry.unread, found)
            continue
        objects += _read(entry.path, entry.path.relative_to(folder), bundle_id, names, found)
    found.bundles.append(
        Bundle(id=bundle_id, kind=BundleKind.PLAIN, path=bundle_id, state=BundleState.PLAIN, objects=tuple(objects))
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A YAML or JSON file of the walk."""

    path: Path
    unread: str | None = None
    """Why it is not read."""
    state: FileState = FileState.SCANNED


def _walk(folder: Path, found: _Found) -> Iterator[_Entry]:
    """YAML and JSON files below a folder, in sorted order. Links to folders are not followed, so there are no loops."""
    root = Path(os.path.realpath(folder))

    def failed(error: OSError) -> None:
        path = Path(os.fsdecode(error.filename))
        found.files.append(InputFile(path=_display(path), state=FileState.UNREADABLE, reason=f"{error.strerror}"))
        _problem(path, f"{error.strerror}: the folder was not looked into", found)

    for name, folders, files in os.walk(folder, onerror=failed):
        here = Path(name)
        folders[:] = sorted(entry for entry in folders if entry != ".git")
        for link in [entry for entry in folders if (here / entry).is_symlink()]:
            folders.remove(link)
            yield _Entry(here / link, "a link to a folder; links are not followed", FileState.IGNORED)
        if _CHART in files:
            folders.clear()
            yield from _chart(here, found)
            continue
        for file in sorted(files):
            if Path(file).suffix.lower() in _SUFFIXES or file in _KUSTOMIZATIONS:
                yield _entry(here / file, root, found)


def _chart(folder: Path, found: _Found) -> Iterator[_Entry]:
    reason = "a Helm chart; kguard does not render charts yet. Scan the output of helm template"
    _unrendered(folder, BundleKind.HELM, reason, found)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _SUFFIXES and path.is_file():
            yield _Entry(path, f"part of the chart {_display(folder)}, which is not rendered", FileState.TEMPLATE)


def _unrendered(folder: Path, kind: BundleKind, reason: str, found: _Found) -> None:
    name = _display(folder)
    found.bundles.append(
        Bundle(id=f"{kind}:{name}", kind=kind, path=name, state=BundleState.FAILED, reason=f"not rendered: {reason}")
    )


def _entry(path: Path, root: Path, found: _Found) -> _Entry:
    if path.name in _KUSTOMIZATIONS:
        reason = "a kustomization; kguard does not render kustomizations yet. Scan the output of kustomize build"
        _unrendered(path.parent, BundleKind.KUSTOMIZE, reason, found)
        return _Entry(path, "a kustomization, which is not rendered", FileState.TEMPLATE)
    if path.is_symlink():
        target = Path(os.path.realpath(path))
        if not target.exists():
            return _Entry(path, "a link to nothing", FileState.UNREADABLE)
        if not target.is_relative_to(root):
            return _Entry(path, "a link that leaves the scanned folder", FileState.IGNORED)
    if not path.is_file():
        return _Entry(path, "not a regular file", FileState.IGNORED)
    return _Entry(path)


# -- files ----------------------------------------------------------------------------------------------------------------


def _bundle_of_files(files: Sequence[Path], stdin: BinaryIO | None, found: _Found) -> None:
    objects: list[KubeObject] = []
    names = _StagedNames()
    for path in files:
        if path.is_file():
            objects += _read(path, Path(os.path.relpath(path)), "files", names, found)
        else:
            reason = "a link to nothing" if path.is_symlink() else "not a regular file"
            found.files.append(InputFile(path=_display(path), state=FileState.UNREADABLE, reason=reason))
            _problem(path, reason, found)
    if stdin is not None:
        objects += _content(STDIN, PurePosixPath("stdin.yaml"), stdin.read(MAX_FILE_BYTES + 1), "files", names, found)
    found.bundles.append(
        Bundle(id="files", kind=BundleKind.PLAIN, path=".", state=BundleState.PLAIN, objects=tuple(objects))
    )


def _read(path: Path, relative: Path, bundle: str, names: _StagedNames, found: _Found) -> list[KubeObject]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        found.files.append(InputFile(path=_display(path), state=FileState.UNREADABLE, reason=reason))
        _problem(path, reason, found)
        return []
    return _content(_display(path), PurePosixPath(relative.as_posix()), data, bundle, names, found)


def _content(
    path: str, relative: PurePosixPath, data: bytes, bundle: str, names: _StagedNames, found: _Found
) -> list[KubeObject]:
    content = read_manifest(path, data, bundle)
    found.problems.extend(content.problems)
    kept = [obj for obj in content.objects if obj.ref.group != _KUSTOMIZE_GROUP]
    notes = list(content.notes) + [f"{problem.message}" for problem in content.problems]
    if kept:
        state = FileState.SCANNED
    elif content.problems:
        state = FileState.UNREADABLE
    else:
        state = FileState.NOT_KUBERNETES
        notes.append("no object with apiVersion and kind" if not content.objects else "configuration of kustomize")
    found.files.append(InputFile(path=path, state=state, objects=len(kept), reason="; ".join(notes) or None))
    stem = names.stem(relative, kept)
    return [replace(obj, staged=f"{stem}{obj.staged}.yaml") for obj in kept]


def _problem(path: Path, message: str, found: _Found) -> None:
    found.problems.append(InputProblem(path=_display(path), document=None, line=None, message=f"{message}."))


def _display(path: Path) -> str:
    """Relative to the working directory where it is below it, with forward slashes."""
    absolute = Path(os.path.abspath(path))
    here = Path.cwd()
    shown = absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
    return os.fsencode(shown.as_posix()).decode("utf-8", "backslashreplace")


# -- names on the stage ---------------------------------------------------------------------------------------------------


class _StagedNames:
    """Stems of staged files: the original folders and names, safe for any tool, no two files' alike."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def stem(self, relative: PurePosixPath, objects: Sequence[KubeObject]) -> str:
        """`tree/deploy/web` for deploy/web.yaml; `tree/deploy/web.json` where that is taken."""
        folders = [TREE, *(_safe(part) for part in relative.parent.parts)]
        for name in (relative.stem, relative.name, f"{relative.name}~"):
            stem = "/".join([*folders, _safe(name)])
            if stem not in self._taken:
                break
        if objects:
            self._taken.add(stem)
        return stem


def _safe(name: str) -> str:
    """A name of letters, digits, dots, dashes and underscores; a changed name carries a digest of the original, so that two
    folders never become one (kube-linter judges the objects of a folder together)."""
    clean = _UNSAFE.sub("_", name)
    if name == ".." or name.startswith("-") or clean != name:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
        return f"{clean.lstrip('-.') or 'name'}-{digest}"
    return clean
