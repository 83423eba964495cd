"""Where `kguard.yaml` is found and how it is read: every mistake with its line, its key and what would be right."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import msgspec

from kguard.config.checks import Names, Place, check, is_null
from kguard.config.shape import FILE_NAME, Config
from kguard.errors import UsageError
from kguard.inputs.documents import Document, documents
from kguard.inputs.ignore import repository
from kguard.inputs.nodes import Unreadable, compose
from kguard.text import one_line

MAX_BYTES = 1024 * 1024
MAX_MISTAKES = 100


def find() -> Path | None:
    """The nearest kguard.yaml, from the working directory up to the repository's root; without a repository only in the working
    directory. Raises UsageError for a link that leaves the repository."""
    here = Path.cwd()
    top = repository(here) or here
    for folder in (here, *here.parents):
        path = folder / FILE_NAME
        if os.path.lexists(path):
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(top)):
                raise UsageError(
                    f"{_shown(path)}: a link that leaves the repository. Name a file with --config to use it."
                )
            return Path(os.path.relpath(path))
        if folder == top:
            break
    return None


def load(path: Path, names: Names = lambda _: ()) -> Config:
    """Read a configuration; an empty file is the default one. `names`: the tools, rules and controls that it may speak of.

    Raises UsageError with every mistake on a line of its own, in the order of the file: `kguard.yaml:9:5 inputs.charts[2].vaules:
    unknown key; did you mean 'values'?`.
    """
    text = _text(path)
    document = _only_document(path, text)
    try:
        node = compose(document)
    except Unreadable as error:
        raise UsageError(f"{_shown(path)}:{error.line or document.line}: {one_line(str(error))}.") from error
    if node is None or is_null(node):
        return Config()
    place = Place.of(path, document, names)
    mistakes = sorted(islice(check(node, Config, "", place), MAX_MISTAKES + 1), key=lambda mistake: mistake.at)
    if mistakes:
        lines = [mistake.line(_shown(path)) for mistake in mistakes[:MAX_MISTAKES]]
        raise UsageError("\n".join([*lines, *(["and more"] if len(mistakes) > MAX_MISTAKES else [])]))
    return msgspec.convert(place.reader.value(node), Config)


def _text(path: Path) -> str:
    shown = _shown(path)
    if not path.is_file():
        raise UsageError(f"{shown}: {'not a regular file' if os.path.lexists(path) else 'there is no such file'}.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{shown}: larger than {MAX_BYTES // 1024} KiB, the limit for a configuration.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{shown}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8.") from error


def _only_document(path: Path, text: str) -> Document:
    found = documents(text)
    if len(found) > 1:
        raise UsageError(f"{_shown(path)}:{found[1].line}: a second document; a configuration is one.")
    return found[0] if found else Document(number=1, line=1, text="")


def _shown(path: Path) -> str:
    return one_line(os.fsencode(os.path.relpath(path)).decode("utf-8", "backslashreplace"))
