"""Files and YAML texts read whole, within the limits of manifests, so that neither a pipe nor a size holds a scan up."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kguard.inputs.documents import documents
from kguard.inputs.nodes import NodeReader, Unreadable, compose
from kguard.inputs.objects import MAX_FILE_BYTES
from kguard.model import FieldPath, Span

MANIFESTS = frozenset((".yaml", ".yml", ".json"))
"""How the names of manifests end, in lower case."""


def read_text(path: Path) -> str:
    """A file's text; raises Unreadable for what is no regular file of UTF-8 within the limit for manifests."""
    try:
        # a pipe that nobody writes into must not hold a scan up
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable("not a regular file")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable(f"larger than {MAX_FILE_BYTES // 2**20} MiB, the limit for one file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable("not UTF-8; save it as UTF-8", data.count(b"\n", 0, error.start) + 1) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """One YAML document: plain values, and lines of its text's file by field path."""

    value: Any
    spans: Mapping[FieldPath, Span]


def parse(text: str, lines: int = 0) -> Iterator[Parsed]:
    """The documents of a text that starts `lines` lines below the top of its file, read one after another. Raises Unreadable."""
    for document in documents(text):
        node = compose(document)
        if node is not None:
            reader = NodeReader(document.text, [])
            above = document.line - 1 + lines
            spans = {at: Span(span.line + above, span.end_line + above) for at, span in reader.spans(node).items()}
            yield Parsed(value=reader.value(node), spans=spans)


def as_list(value: Any) -> Sequence[Any]:
    """A list as it is; an empty one for anything else."""
    return value if isinstance(value, list) else ()


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A mapping as it is; an empty one for anything else."""
    return value if isinstance(value, dict) else {}
