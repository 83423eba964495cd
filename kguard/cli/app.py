"""The commands of kguard and the flags of each."""

from __future__ import annotations

from typing import Annotated

import typer

from kguard import __version__
from kguard.cli import guarded

app = typer.Typer(
    name="kguard",
    help="One command in place of four Kubernetes linters: kube-linter, trivy, kubescape and polaris, merged into one report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"kguard {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One command in place of four Kubernetes linters: kube-linter, trivy, kubescape and polaris, merged into one report."""


_EXCLUDE = typer.Option(
    "--exclude", metavar="GLOB", envvar="KGUARD_EXCLUDE", help="Leave files and folders out (gitignore syntax); repeat."
)
_HIDDEN = typer.Option("--hidden", envvar="KGUARD_HIDDEN", help="Look at hidden and git-ignored files, too.")
_CONFIG = typer.Option(
    "--config", metavar="FILE", envvar="KGUARD_CONFIG", help="The kguard.yaml to use. [default: found upwards]"
)


@app.command("scan")
def scan_command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and folders to scan; - reads stdin.")],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", "-f", metavar="NAME", help="terminal, json, markdown or html; repeat, one per --output."
        ),
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where the report goes; the file name alone picks the format."
        ),
    ] = None,
    tools: Annotated[
        str | None,
        typer.Option(envvar="KGUARD_TOOLS", metavar="a,b", help="Tools to run, or +c,-d to change the set of all."),
    ] = None,
    frameworks: Annotated[
        str | None,
        typer.Option(
            envvar="KGUARD_FRAMEWORKS",
            metavar="a,b",
            help="kubescape's frameworks; all: every one. [default: nsa,mitre,cis]",
        ),
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(envvar="KGUARD_RULES", metavar="NAME=DIR", help="Folder of a tool's rule files (kubescape=DIR)."),
    ] = None,
    profile: Annotated[
        str, typer.Option(envvar="KGUARD_PROFILE", metavar="default|all", help="Which rules of each tool are on.")
    ] = "default",
    severity_rule: Annotated[
        str | None,
        typer.Option(
            envvar="KGUARD_SEVERITY_RULE",
            metavar="catalogue|max|median",
            help="Whose word a finding's severity is: kguard's, or the worst or middle one of the tools. [default: catalogue]",
        ),
    ] = None,
    fail_on: Annotated[
        str,
        typer.Option(
            envvar="KGUARD_FAIL_ON", metavar="SEVERITY|never", help="Findings from this severity up fail the run."
        ),
    ] = "high",
    allow_incomplete: Annotated[
        str | None,
        typer.Option(
            envvar="KGUARD_ALLOW_INCOMPLETE",
            metavar="TOOL,...",
            help="Tools, or inputs, that may be incomplete without failing.",
        ),
    ] = None,
    tool_path: Annotated[
        list[str] | None,
        typer.Option(envvar="KGUARD_TOOL_PATH", metavar="NAME=FILE", help="A tool's program, where it is not on PATH."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, envvar="KGUARD_JOBS", metavar="N", help="Tool processes side by side. [default: one per core]"
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(envvar="KGUARD_TIMEOUT", metavar="SECONDS", help="How long one tool process may take."),
    ] = 300,
    exclude: Annotated[list[str] | None, _EXCLUDE] = None,
    hidden: Annotated[bool, _HIDDEN] = False,
    config: Annotated[str | None, _CONFIG] = None,
    canary: Annotated[
        bool,
        typer.Option(
            "--canary/--no-canary", help="Put a known-bad object into every tool's input, as a proof that it looks."
        ),
    ] = True,
    every_row: Annotated[
        bool, typer.Option("--all", help="All findings in the terminal table, not the first 12.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only what is incomplete, and errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also print each file and what the tools warned of.")
    ] = False,
) -> None:
    """Run the tools over manifests and write one report."""
    from kguard.cli import scan

    request = scan.Request(
        paths=tuple(paths),
        formats=tuple(formats or ()),
        outputs=tuple(outputs or ()),
        tools=tools,
        frameworks=frameworks,
        rules=tuple(rules or ()),
        profile=profile,
        severity_rule=severity_rule,
        fail_on=fail_on,
        allow_incomplete=allow_incomplete,
        tool_path=tuple(tool_path or ()),
        jobs=jobs,
        timeout=timeout,
        exclude=tuple(exclude or ()),
        hidden=hidden,
        canary=canary,
        config=config,
        every_row=every_row,
        quiet=quiet,
        verbose=verbose,
    )
    raise typer.Exit(guarded(lambda: scan.command(request)))


@app.command("inputs")
def inputs_command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and folders; - reads stdin.")],
    exclude: Annotated[list[str] | None, _EXCLUDE] = None,
    hidden: Annotated[bool, _HIDDEN] = False,
    config: Annotated[str | None, _CONFIG] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also list files that are no YAML or JSON.")] = False,
) -> None:
    """Print what would be scanned as what, and why not the rest, without running any tool."""
    from kguard.cli import inputs

    request = inputs.Request(
        paths=tuple(paths),
        exclude=tuple(exclude or ()),
        hidden=hidden,
        config=config,
        as_json=as_json,
        verbose=verbose,
    )
    raise typer.Exit(guarded(lambda: inputs.command(request)))


@app.command("report")
def report_command(
    file: Annotated[
        str, typer.Argument(metavar="RUN.json", help="A report that `kguard scan -f json` wrote; - reads stdin.")
    ],
    formats: Annotated[
        list[str] | None, typer.Option("--format", "-f", metavar="NAME", help="terminal, json, markdown or html.")
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where the report goes; the name picks the format."),
    ] = None,
    every_row: Annotated[
        bool, typer.Option("--all", help="All findings in the terminal table, not the first 12.")
    ] = False,
) -> None:
    """Render a JSON report again in another format, without running any tool."""
    from kguard.cli import report

    raise typer.Exit(
        guarded(lambda: report.command(file, tuple(formats or ()), tuple(outputs or ()), every_row=every_row))
    )


@app.command("schema")
def schema_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="report or config")] = "report",
) -> None:
    """Print the JSON Schema of a public format."""
    from kguard.cli import schema

    raise typer.Exit(guarded(lambda: schema.command(name)))
