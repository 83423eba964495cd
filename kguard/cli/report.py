"""`kguard report`: a JSON report rendered again, without any tool."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from kguard.cli import options, outputs
from kguard.errors import ExitCode, UsageError
from kguard.model import Report
from kguard.reports import json_v1


def command(
    file: str, formats: Sequence[str], files: Sequence[str], config: str | None, *, every_row: bool
) -> ExitCode:
    """Write the report in the formats asked for, on stdout as a terminal table by default. Always 0: the verdict was the scan's."""
    targets = outputs.resolve(formats, files) or (outputs.Output(format="terminal", path=None),)
    merge = options.configured(config).merge
    outputs.write(read_report(file), targets, outputs.terminal(every_row=every_row), merge)
    return ExitCode.PASS


def read_report(file: str) -> Report:
    """The report in a JSON file; `-` is stdin. Raises UsageError for one that cannot be read."""
    return json_v1.read(_bytes(file))


def _bytes(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}. Name a report that `kguard scan -f json` wrote.") from error
