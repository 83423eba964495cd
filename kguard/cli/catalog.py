"""`kguard catalog`: which rule of which tool checks what."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import msgspec

from kguard import catalog
from kguard.cli import options
from kguard.cli.report import read_report
from kguard.errors import ExitCode, UsageError
from kguard.text import one_line

FORMATS = ("table", "json", "md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The flags as given; the words are explained in the help of `kguard catalog`."""

    word: str | None
    tool: str | None
    framework: str | None
    format: str
    unmapped: bool
    run: str | None


def command(request: Request) -> ExitCode:
    """Print the controls that are asked for."""
    form = options.choice("--format", request.format, FORMATS)
    if request.unmapped:
        sys.stdout.write(_unmapped(request.run))
        return ExitCode.PASS
    if request.tool is not None:
        options.choice("--tool", request.tool, catalog.tools())
    controls = catalog.chosen(word=request.word, tool=request.tool, framework=request.framework)
    if not controls:
        raise UsageError(_nothing(request))
    if form == "json":
        text = msgspec.json.format(msgspec.json.encode([catalog.as_data(control) for control in controls]), indent=1)
        sys.stdout.write(f"{text.decode()}\n")
    elif form == "md":
        sys.stdout.writelines(catalog.page(controls))
    else:
        sys.stdout.write(catalog.table(controls))
    return ExitCode.PASS


def _nothing(request: Request) -> str:
    if request.framework is not None and not catalog.chosen(framework=request.framework):
        known = ", ".join(catalog.frameworks())
        return (
            f"--framework {one_line(request.framework)}: no control names it; there are {known} (`cis 5.2` for a part)."
        )
    return "no control is all of that: leave a flag out."


def _unmapped(run: str | None) -> str:
    """How many rules have a control, and those of a run that have none."""
    lines = []
    for tool, count in catalog.counts().items():
        left = catalog.left_out(tool)
        lines.append(
            f"{tool}: {count} rules {f'with a control, and {len(left)} without:' if left else 'with a control'}"
        )
        lines += [f"  {tool}:{rule}: {why}" for rule, why in left.items()]
    if run is None:
        lines.append("Rules that a newer version of a tool brings are known after a run: --run run.json")
    for tool, rules in catalog.unmapped(read_report(run)).items() if run is not None else ():
        lines += [f"{tool}:{one_line(rule)} was on in this run and has no control" for rule in rules]
        if not rules:
            lines.append(f"{one_line(tool)}: no rule of this run is without a control")
    return "\n".join(lines) + "\n"
