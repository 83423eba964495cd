"""The documents of a YAML stream, split by lines, so that a broken one costs nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# `---` and `...` at the start of a line end a document wherever they stand: no scalar can hold them there
_MARK = re.compile(r"^(---|\.\.\.)(?:[ \t]+(.*))?$")
_API_VERSION = re.compile(r"^[ \t{,]*[\"']?apiVersion[\"']?[ \t]*:", re.MULTILINE)
_KIND = re.compile(r"(?:^|[{,])[ \t]*[\"']?kind[\"']?[ \t]*:", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document's own text."""

    number: int
    """1-based; empty documents count."""
    line: int
    """Line of the file, 1-based, on which `text` starts."""
    text: str

    @property
    def looks_like_manifest(self) -> bool:
        """Whether it was meant to be a Kubernetes object, broken or not."""
        return bool(_API_VERSION.search(self.text) and _KIND.search(self.text))


def documents(text: str) -> tuple[Document, ...]:
    """Split a stream; what stands before the first `---` counts only if there is more than comments and directives."""
    chunks = [chunk for chunk in _chunks(text) if chunk.explicit or any(_has_content(line) for line in chunk.lines)]
    return tuple(
        Document(number=number, line=chunk.line, text="\n".join(chunk.lines) + "\n")
        for number, chunk in enumerate(chunks, 1)
    )


@dataclass(slots=True)
class _Chunk:
    line: int
    explicit: bool
    """Opened by a `---`."""
    lines: list[str]


def _chunks(text: str) -> Iterator[_Chunk]:
    chunk = _Chunk(1, False, [])
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        match = _MARK.match(line.rstrip("\r"))
        if match is None:
            chunk.lines.append(line)
            continue
        yield chunk
        explicit, rest = match[1] == "---", match[2] or ""
        if rest and not rest.startswith("#"):
            chunk = _Chunk(number, explicit, ["   " + line[3:]])  # content on the separator's own line
        else:
            chunk = _Chunk(number + 1, explicit, [])
    yield chunk


def _has_content(line: str) -> bool:
    return bool(line.strip()) and line.lstrip()[0] not in "#%"
