"""Plain manifests: files read as they stand, and the names that their objects have on the stage."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from kguard.inputs.kustomize import kustomization
from kguard.inputs.objects import MAX_FILE_BYTES, read_manifest
from kguard.inputs.paths import display
from kguard.model import FileState, InputFile, InputProblem, KubeObject

TREE = "tree"
"""Top folder of every stage: trivy skips folders called dev, proc and sys at the top."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST = 200
"""Bytes of a name's own on the stage: digest, number and suffix come behind it, and file systems end at 255."""


@dataclass(slots=True)
class PlainReader:
    """Reads the plain files of one bundle, one after another."""

    bundle: str
    objects: list[KubeObject] = field(default_factory=list)
    files: list[InputFile] = field(default_factory=list)
    problems: list[InputProblem] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)
    """Stems on the stage."""

    def read(self, path: Path, relative: PurePosixPath) -> None:
        """Read a file; `relative` is where it stands below the bundle's folder."""
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            self.unreadable(path, f"cannot be read: {error.strerror}")
        else:
            self.content(display(path), relative, data)

    def content(self, path: str, relative: PurePosixPath, data: bytes) -> None:
        """Take what a file holds; `path` is what reports call it."""
        content = read_manifest(path, data, self.bundle)
        self.problems.extend(content.problems)
        kept = [obj for obj in content.objects if obj.ref.group != kustomization.GROUP]
        notes = list(content.notes) + [f"{problem.message}" for problem in content.problems]
        if kept:
            state = FileState.SCANNED
        elif content.problems:
            state = FileState.UNREADABLE
        else:
            state = FileState.NOT_KUBERNETES
            notes.append("no object with apiVersion and kind" if not content.objects else "configuration of kustomize")
        self.files.append(InputFile(path=path, state=state, objects=len(kept), reason="; ".join(notes) or None))
        stem = self._stem(relative, kept)
        self.objects += [replace(obj, staged=f"{stem}{obj.staged}.yaml") for obj in kept]

    def unreadable(self, path: Path, reason: str) -> None:
        """A file that looks like a manifest and cannot be read: the run's inputs are incomplete."""
        self.files.append(InputFile(path=display(path), state=FileState.UNREADABLE, reason=reason))
        self.problems.append(problem(path, reason))

    def _stem(self, relative: PurePosixPath, objects: Sequence[KubeObject]) -> str:
        """`tree/deploy/web` for deploy/web.yaml; `tree/deploy/web.json` where that is taken. Safe for any tool, no two alike."""
        folders = [TREE, *(_safe(part) for part in relative.parent.parts)]
        for name in (relative.stem, relative.name, f"{relative.name}~"):
            stem = "/".join([*folders, _safe(name)])
            if stem not in self._taken:
                break
        if objects:
            self._taken.add(stem)
        return stem


def problem(path: Path, message: str) -> InputProblem:
    return InputProblem(path=display(path), document=None, line=None, message=f"{message}.")


def _safe(name: str) -> str:
    """A name of letters, digits, dots, dashes and underscores, cut where it is too long; a changed name carries a digest of the original, so that two
    folders never become one (kube-linter judges the objects of a folder together)."""
    clean = _UNSAFE.sub("_", name)[:_LONGEST]
    if name == ".." or name.startswith("-") or clean != name:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
        return f"{clean.lstrip('-.') or 'name'}-{digest}"
    return clean
