"""The files of a chart, in its folder or its archive, read within bounds."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

import yaml

from kguard.inputs.documents import Document
from kguard.inputs.nodes import Unreadable, compose
from kguard.inputs.objects import MAX_FILE_BYTES

ARCHIVE = ".tgz"
"""How the name of an archive ends."""
MAX_ARCHIVE_BYTES = 256 * 1024 * 1024
"""Of an archive once it is unpacked."""
MAX_FILES = 100_000
"""Of a chart's folder, or an archive."""
MAX_SUBCHARTS = 8
"""Charts inside charts, one in the other."""


class Files(Protocol):
    """The files of one chart, by their path in it."""

    def read(self, name: str) -> bytes | None:
        """None for a file that is not there. Raises Unreadable."""

    def below(self, folder: str) -> Iterator[str]:
        """The files below a folder. Raises Unreadable."""


def read_yaml(files: Files, name: str) -> yaml.Node | None:
    """None where there is no such file, or nothing in it. Raises Unreadable."""
    try:
        text = (files.read(name) or b"").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{name} is not UTF-8") from error
    try:
        return compose(Document(number=1, line=1, text=text))
    except Unreadable as error:
        raise Unreadable(f"{name}: {error}", error.line) from error


# -- folders --------------------------------------------------------------------------------------------------------------


class Folder:
    """Files on disk. Links are followed, as helm does; a release looks where they lead before helm runs."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        path = self._root / name
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise Unreadable(f"{name} cannot be read: {error.strerror}") from error
        if len(data) > MAX_FILE_BYTES:
            raise Unreadable(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB, the limit for one file")
        return data

    def below(self, folder: str) -> Iterator[str]:
        for path in walk(self._root / folder):
            yield path.relative_to(self._root).as_posix()


def walk(root: Path) -> Iterator[Path]:
    """Everything below a folder, links included; a folder that was seen before is not walked again. Raises Unreadable."""
    seen = {os.path.realpath(root)}
    count = 0
    for here, folders, files in os.walk(root, followlinks=True):
        count += len(folders) + len(files)
        if count > MAX_FILES:
            raise Unreadable(f"more than {MAX_FILES:,} files, the limit for a chart")
        yield from (Path(here, entry) for entry in sorted([*folders, *files]))
        real = {folder: os.path.realpath(os.path.join(here, folder)) for folder in sorted(folders)}
        folders[:] = [folder for folder, target in real.items() if target not in seen]
        seen.update(real.values())


# -- archives -------------------------------------------------------------------------------------------------------------


class Archive:
    """Files in memory: those below one folder of an archive."""

    def __init__(self, files: Mapping[str, bytes], inside: str) -> None:
        self._files = files
        self._top = f"{inside}/"

    def read(self, name: str) -> bytes | None:
        return self._files.get(self._top + name)

    def below(self, folder: str) -> Iterator[str]:
        start = f"{self._top}{folder}/"
        return (name.removeprefix(self._top) for name in sorted(self._files) if name.startswith(start))


def unpack(path: Path) -> dict[str, bytes]:
    """The files of an archive, in memory; archives in its charts/ are unpacked in their places. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            return _unpack(file, path.name, MAX_ARCHIVE_BYTES, 0)[0]
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror or error}") from error


def _unpack(file: IO[bytes], name: str, left: int, depth: int) -> tuple[dict[str, bytes], int]:
    """The files, and the bytes that are left for other archives."""
    files, left = _members(file, name, left)
    for inner in [inner for inner in files if inner.endswith(ARCHIVE) and "/charts/" in inner]:
        if depth >= MAX_SUBCHARTS:
            raise Unreadable(f"archives inside archives deeper than {MAX_SUBCHARTS}, the limit")
        members, left = _unpack(io.BytesIO(files.pop(inner)), inner, left, depth + 1)
        files.update({f"{inner}/{member}": data for member, data in members.items()})
    return files, left


def _members(file: IO[bytes], name: str, left: int) -> tuple[dict[str, bytes], int]:
    found: dict[str, bytes] = {}
    try:
        with gzip.open(file) as stream:
            bounded = _Bounded(stream, left)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:  # type: ignore[call-overload]
                for member in archive:
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is not None:
                        found[str(PurePosixPath(member.name))] = content.read()
                    if len(found) > MAX_FILES:
                        raise Unreadable(f"more than {MAX_FILES:,} files, the limit for a chart")
    except (EOFError, zlib.error, tarfile.TarError, gzip.BadGzipFile, UnicodeError, ValueError) as error:
        raise Unreadable(f"{name} is not a chart archive: {error}") from error
    return found, bounded.left


class _Bounded:
    """A stream that gives no more than so many bytes, whatever an archive claims."""

    def __init__(self, source: gzip.GzipFile, left: int) -> None:
        self._source = source
        self.left = left

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise Unreadable(
                f"larger than {MAX_ARCHIVE_BYTES // 2**20} MiB once it is unpacked, the limit for an archive"
            )
        return data
