"""`kguard coverage`: the tools compared, over manifests that are scanned for it or over the report of a scan."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from kguard.cli import options, outputs
from kguard.cli import scan as scanning
from kguard.cli.progress import progress
from kguard.coverage import compare, read_labels
from kguard.coverage_model import By, Coverage
from kguard.errors import ExitCode, UsageError
from kguard.explain import catalogue_for
from kguard.model import FileState, Report
from kguard.reports import json_v1
from kguard.reports.comparison import FORMATS
from kguard.reports.coverage_text import headline
from kguard.scan import scan
from kguard.settings import Settings

_START = 256
"""Bytes at the beginning of a report in which its schema is named."""
_REPORT = json_v1.SCHEMA.rpartition("/")[0].encode() + b"/"
"""Of any version: that one cannot be read is told by its reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The flags as given; the words are explained in the help of `kguard coverage`."""

    paths: tuple[str, ...]
    by: str
    formats: tuple[str, ...]
    outputs: tuple[str, ...]
    labels: str | None
    tools: str | None
    frameworks: str | None
    rules: tuple[str, ...]
    profile: str | None
    allow_incomplete: str | None
    tool_path: tuple[str, ...]
    timeout: float
    exclude: tuple[str, ...]
    hidden: bool
    config: str | None
    every_row: bool
    quiet: bool


def command(request: Request) -> ExitCode:
    """Print or write the comparison. 4 when a tool, or an input, was not looked at and may not be left out; never by what was found."""
    by = By(options.choice("--by", request.by, [by.value for by in By]))
    known = {name: form.suffixes for name, form in FORMATS.items()}
    targets = outputs.resolve(request.formats, request.outputs, known)
    labels = read_labels(_text(request.labels), request.labels) if request.labels else None
    report = _report(request)
    catalogue = catalogue_for(options.configured(request.config).merge)
    find = _finder(report, Path(request.labels or ".").parent)
    coverage = compare(report, catalogue, by=by, labels=labels, find=find)
    shown_on = outputs.terminal(every_row=request.every_row)
    written = targets or (() if request.quiet else (outputs.Output(format="table", path=None),))
    outputs.write_pieces(written, shown_on, lambda name, on: FORMATS[name].pieces(report, coverage, on))
    _notice(coverage, on_stdout=any(target.path is None for target in written))
    return ExitCode.PASS if coverage.complete else ExitCode.INCOMPLETE


def _notice(coverage: Coverage, *, on_stdout: bool) -> None:
    """What must not be missed is in every format; where that is a file, it is said on stderr as well."""
    if coverage.gaps and not on_stdout:
        print(headline(coverage), file=sys.stderr)


# -- the run to compare -------------------------------------------------------------------------------------------------


def _report(request: Request) -> Report:
    """The report that is named, or one of a scan of the paths."""
    data = sys.stdin.buffer.read() if "-" in request.paths else b""
    if len(request.paths) == 1 and _is_report(request.paths[0], data):
        report = json_v1.read(data or Path(request.paths[0]).read_bytes())
        _same_run(request, report)
        return report
    if others := [path for path in request.paths if path != "-" and _is_report(path, b"")]:
        raise UsageError(f"{others[0]} is the report of a scan, which is compared alone; name it without other paths.")
    settings = _settings(request)
    with progress(quiet=request.quiet) as on_progress:
        return scan(
            request.paths,
            settings,
            stdin=BytesIO(data) if "-" in request.paths else None,
            command=("kguard", *sys.argv[1:]),
            progress=on_progress,
        )


def _is_report(path: str, data: bytes) -> bool:
    if path != "-":
        if not Path(path).is_file():
            return False
        with open(path, "rb") as file:
            data = file.read(_START)
    return _REPORT in data[:_START]


def _same_run(request: Request, report: Report) -> None:
    """A report of a run cannot tell what other rules or tools would have found."""
    for flag, given, was in (("--profile", request.profile, report.profile), ("--tools", request.tools, None)):
        if given is not None and given != was:
            made = f"was made with profile {report.profile}" if was else "has the tools that it was made with"
            raise UsageError(f"{flag} {given}: {request.paths[0]} {made}; name the manifests to scan them anew.")


def _settings(request: Request) -> Settings:
    """As `kguard scan` has them, without a bar: nothing fails by what is found."""
    return scanning.settings_of(
        scanning.Request(
            paths=request.paths,
            formats=(),
            outputs=(),
            tools=request.tools,
            frameworks=request.frameworks,
            rules=request.rules,
            profile=request.profile or "default",
            severity_rule=None,
            fail_on="never",
            allow_incomplete=request.allow_incomplete,
            tool_path=request.tool_path,
            jobs=None,
            timeout=request.timeout,
            exclude=request.exclude,
            hidden=request.hidden,
            canary=True,
            config=request.config,
            every_row=request.every_row,
            quiet=request.quiet,
            verbose=False,
        )
    )


# -- labels -------------------------------------------------------------------------------------------------------------


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--labels {file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--labels {file}: it is not UTF-8 text.") from error


def _finder(report: Report, folder: Path) -> Callable[[str], str | None]:
    """What a run calls the file of a label: a path is relative to the folder of the labels, or to the working directory."""
    known = {
        os.path.abspath(file.path): file.path for file in report.inputs.files if file.state is not FileState.IGNORED
    }

    def find(path: str) -> str | None:
        path = path.replace("\\", "/")  # as Windows writes it
        return known.get(os.path.abspath(folder / path)) or known.get(os.path.abspath(path))

    return find
