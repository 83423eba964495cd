"""Where reports go: which format to which file, and the writing of it."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kguard.cli.options import choice
from kguard.coverage import compare
from kguard.errors import UsageError
from kguard.explain import catalogue_for
from kguard.model import Report
from kguard.reports import FORMATS, Terminal, pieces
from kguard.settings import MergeSettings

Suffixes = Mapping[str, Sequence[str]]
"""By the name of a format, the file names that ask for it."""

_REPORTS: Suffixes = {name: form.suffixes for name, form in FORMATS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One report to write."""

    format: str
    path: Path | None
    """None: stdout."""


def resolve(formats: Sequence[str], files: Sequence[str], known: Suffixes = _REPORTS) -> tuple[Output, ...]:
    """Pair `-f` and `-o`: as many of both go together in order; files alone take their format from their names; formats alone
    go to stdout. `known`: the formats that there are.

    Raises UsageError before any tool runs: for an unknown format, a name that tells no format, a folder that is not there.
    """
    for name in formats:
        choice("--format", name, sorted(known))
    if not files:
        if len(formats) > 1:
            raise UsageError("several --format need an --output each: only one report fits on stdout.")
        return tuple(Output(format=name, path=None) for name in formats)
    if formats and len(formats) != len(files):
        raise UsageError(
            f"{len(formats)} --format and {len(files)} --output: give one --format for each --output, or none."
        )
    if twice := {file for file in files if files.count(file) > 1}:
        raise UsageError(f"--output {min(twice)} is given twice: one report would replace the other.")
    names = formats or [_format_of(file, known) for file in files]
    return tuple(Output(format=name, path=_target(file)) for name, file in zip(names, files, strict=True))


def _format_of(file: str, known: Suffixes) -> str:
    suffix = Path(file).suffix.lower()
    for name, suffixes in known.items():
        if suffix in suffixes:
            return name
    every = ", ".join(sorted(suffix for suffixes in known.values() for suffix in suffixes))
    raise UsageError(f"--output {file}: the name does not tell the format ({every}); say it with --format.")


def _target(file: str) -> Path | None:
    if file == "-":
        return None
    path = Path(file)
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--output {file}: the folder {path.parent} does not exist; make it first.")
    if path.is_dir():
        raise UsageError(f"--output {file} is a folder; name a file in it.")
    return path


def write(report: Report, outputs: Sequence[Output], shown_on: Terminal, merge: MergeSettings) -> None:
    """Render and write each report; files appear whole or not at all. `merge`: how its findings were made."""
    shown = any(FORMATS[output.format].compares for output in outputs)
    coverage = compare(report, catalogue_for(merge)) if shown else None
    write_pieces(outputs, shown_on, lambda name, on: pieces(report, name, on, coverage))


def write_pieces(
    outputs: Sequence[Output], shown_on: Terminal, pieces_of: Callable[[str, Terminal], Iterable[str]]
) -> None:
    """Write the text of each output; `pieces_of`: by the name of a format and what it is shown on."""
    for output in outputs:
        if output.path is None:
            sys.stdout.writelines(pieces_of(output.format, shown_on))
        else:
            _replace(output.path, pieces_of(output.format, Terminal(every_row=True, verbose=True)))


def terminal(*, every_row: bool, verbose: bool = False) -> Terminal:
    """How the terminal table looks on this stdout: no colour and no cut names when it is piped."""
    on_terminal = sys.stdout.isatty()
    return Terminal(
        # a terminal may say that it has no columns; the library then takes its fallback
        width=shutil.get_terminal_size((100, 24)).columns if on_terminal else None,
        colour=on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        every_row=every_row,
        verbose=verbose,
    )


def _replace(path: Path, text: Iterable[str]) -> None:
    """Write beside the target and rename, so that a reader never meets half a report."""
    try:
        if path.exists() and not path.is_file():  # a pipe or a device is written to, never replaced
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(text)
            return
        # it is named before it is made, so that no interruption finds it made and not yet known
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with beside.open("x", encoding="utf-8", newline="\n") as file:
                file.writelines(text)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}. The run is done, but this report is not there."
        ) from error
