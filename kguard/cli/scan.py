"""`kguard scan`: from flags to a report and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import dataclass

from kguard.cli import options, outputs
from kguard.cli.progress import progress
from kguard.errors import ExitCode
from kguard.model import Report
from kguard.reports import notices, render
from kguard.running.contract import load_adapters
from kguard.scan import RENDERERS, scan
from kguard.settings import DEFAULT_FRAMEWORKS, Profile, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The flags as given; the words are explained in the help of `kguard scan`."""

    paths: tuple[str, ...]
    formats: tuple[str, ...]
    outputs: tuple[str, ...]
    tools: str | None
    frameworks: str | None
    rules: tuple[str, ...]
    profile: str
    severity_rule: str | None
    fail_on: str
    allow_incomplete: str | None
    tool_path: tuple[str, ...]
    jobs: int | None
    timeout: float
    exclude: tuple[str, ...]
    hidden: bool
    canary: bool
    config: str | None
    every_row: bool
    quiet: bool
    verbose: bool


def command(request: Request) -> ExitCode:
    """Scan, write the reports, and return the gate's verdict."""
    # nearly all that a scan allocates lives to its end: looking for garbage as often as Python does costs a fifth of the merge
    gc.set_threshold(50_000, 20, 100)
    settings = settings_of(request)
    targets = outputs.resolve(request.formats, request.outputs)
    with progress(quiet=request.quiet) as on_progress:
        report = scan(
            request.paths,
            settings,
            stdin=sys.stdin.buffer if "-" in request.paths else None,
            command=("kguard", *sys.argv[1:]),
            progress=on_progress,
        )
    shown_on = outputs.terminal(every_row=request.every_row, verbose=request.verbose)
    outputs.write(report, targets, shown_on, settings.merge)
    _summary(report, request, on_stdout=any(target.path is None for target in targets))
    return ExitCode(report.gate.exit_code)


def settings_of(request: Request) -> Settings:
    """The settings that the flags ask for. Raises UsageError for the first value that is not known."""
    adapters = load_adapters()
    known = tuple(adapter.name for adapter in adapters)
    off = [adapter.name for adapter in adapters if not adapter.on_by_default]
    configured = options.configured(request.config)
    return Settings(
        tools=options.tools(request.tools, known, off),
        profile=Profile(options.choice("--profile", request.profile, [profile.value for profile in Profile])),
        frameworks=options.words(request.frameworks) or DEFAULT_FRAMEWORKS,
        fail_on=options.severity_bar(request.fail_on),
        allow_incomplete={
            **options.allow_incomplete(request.allow_incomplete, known),
            **configured.allow_incomplete,
        },
        tool_paths=options.named_paths("--tool-path", request.tool_path, (*known, *RENDERERS), folder=False),
        rules=options.named_paths("--rules", request.rules, options.with_rule_files(known), folder=True),
        jobs=request.jobs or os.cpu_count() or 1,
        timeout=options.seconds(request.timeout),
        merge=options.merge(configured.merge, request.severity_rule),
        inputs=options.inputs(configured.inputs, request.exclude, hidden=request.hidden),
        canary=request.canary,
        config_path=configured.path,
    )


def _summary(report: Report, request: Request, *, on_stdout: bool) -> None:
    """The summary goes to stdout, unless a report is there already: then, and with --quiet, only what must not be missed is
    said, on stderr."""
    if on_stdout or request.quiet:
        print(notices(report), file=sys.stderr, end="")
    else:
        sys.stdout.write(
            render(report, "terminal", outputs.terminal(every_row=request.every_row, verbose=request.verbose))
        )
