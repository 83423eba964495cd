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
_TOOLS = typer.Option(
    "--tools", envvar="KGUARD_TOOLS", metavar="a,b", help="Tools to run, or +c,-d to change the default set."
)
_FRAMEWORKS = typer.Option(
    "--frameworks",
    envvar="KGUARD_FRAMEWORKS",
    metavar="a,b",
    help="kubescape's frameworks; all: every one. [default: nsa,mitre,cis]",
)
_RULES = typer.Option(
    "--rules", envvar="KGUARD_RULES", metavar="NAME=DIR", help="Folder of a tool's rule files (kubescape=DIR)."
)
_PROFILE = typer.Option(
    "--profile", envvar="KGUARD_PROFILE", metavar="default|all", help="Which rules of each tool are on."
)
_ALLOW_INCOMPLETE = typer.Option(
    "--allow-incomplete",
    envvar="KGUARD_ALLOW_INCOMPLETE",
    metavar="TOOL,...",
    help="Tools, or inputs, that may be incomplete without failing.",
)
_TOOL_PATH = typer.Option(
    "--tool-path", envvar="KGUARD_TOOL_PATH", metavar="NAME=FILE", help="A tool's program, where it is not on PATH."
)
_TIMEOUT = typer.Option(
    "--timeout", envvar="KGUARD_TIMEOUT", metavar="SECONDS", help="How long one tool process may take."
)
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
    tools: Annotated[str | None, _TOOLS] = None,
    frameworks: Annotated[str | None, _FRAMEWORKS] = None,
    rules: Annotated[list[str] | None, _RULES] = None,
    profile: Annotated[str, _PROFILE] = "default",
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
    allow_incomplete: Annotated[str | None, _ALLOW_INCOMPLETE] = None,
    tool_path: Annotated[list[str] | None, _TOOL_PATH] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, envvar="KGUARD_JOBS", metavar="N", help="Tool processes side by side. [default: one per core]"
        ),
    ] = None,
    timeout: Annotated[float, _TIMEOUT] = 300,
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


@app.command("doctor")
def doctor_command(
    tools: Annotated[str | None, _TOOLS] = None,
    frameworks: Annotated[str | None, _FRAMEWORKS] = None,
    rules: Annotated[list[str] | None, _RULES] = None,
    profile: Annotated[str, _PROFILE] = "default",
    allow_incomplete: Annotated[str | None, _ALLOW_INCOMPLETE] = None,
    tool_path: Annotated[list[str] | None, _TOOL_PATH] = None,
    timeout: Annotated[float, _TIMEOUT] = 300,
    config: Annotated[str | None, _CONFIG] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Try every tool on an object of kguard's own: would a scan be complete here, and what mends it?"""
    from kguard.cli import doctor

    request = doctor.Request(
        tools=tools,
        frameworks=frameworks,
        rules=tuple(rules or ()),
        profile=profile,
        allow_incomplete=allow_incomplete,
        tool_path=tuple(tool_path or ()),
        timeout=timeout,
        config=config,
        as_json=as_json,
    )
    raise typer.Exit(guarded(lambda: doctor.command(request)))


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
    config: Annotated[str | None, _CONFIG] = None,
    every_row: Annotated[
        bool, typer.Option("--all", help="All findings in the terminal table, not the first 12.")
    ] = False,
) -> None:
    """Render a JSON report again in another format, without running any tool."""
    from kguard.cli import report

    raise typer.Exit(
        guarded(lambda: report.command(file, tuple(formats or ()), tuple(outputs or ()), config, every_row=every_row))
    )


@app.command("coverage")
def coverage_command(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...|RUN.json", help="Files and folders to scan, or a report of a scan; - reads stdin."
        ),
    ],
    by: Annotated[
        str, typer.Option(metavar="control|category|namespace|framework", help="What the rows of the matrix are.")
    ] = "control",
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", metavar="NAME", help="table, md, html, json or csv; repeat, one per --output."),
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where it goes; the file name alone picks the format."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What is known to be a fault, or none: gives precision and recall."),
    ] = None,
    tools: Annotated[str | None, _TOOLS] = None,
    frameworks: Annotated[str | None, _FRAMEWORKS] = None,
    rules: Annotated[list[str] | None, _RULES] = None,
    profile: Annotated[str | None, _PROFILE] = None,
    allow_incomplete: Annotated[str | None, _ALLOW_INCOMPLETE] = None,
    tool_path: Annotated[list[str] | None, _TOOL_PATH] = None,
    timeout: Annotated[float, _TIMEOUT] = 300,
    exclude: Annotated[list[str] | None, _EXCLUDE] = None,
    hidden: Annotated[bool, _HIDDEN] = False,
    config: Annotated[str | None, _CONFIG] = None,
    every_row: Annotated[
        bool, typer.Option("--all", help="Also the controls that were checked and have no fault.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only what is incomplete, and errors.")] = False,
) -> None:
    """Compare the tools: what each finds, misses or has no check for, and what you would lose without it."""
    from kguard.cli import coverage

    request = coverage.Request(
        paths=tuple(paths),
        by=by,
        formats=tuple(formats or ()),
        outputs=tuple(outputs or ()),
        labels=labels,
        tools=tools,
        frameworks=frameworks,
        rules=tuple(rules or ()),
        profile=profile,
        allow_incomplete=allow_incomplete,
        tool_path=tuple(tool_path or ()),
        timeout=timeout,
        exclude=tuple(exclude or ()),
        hidden=hidden,
        config=config,
        every_row=every_row,
        quiet=quiet,
    )
    raise typer.Exit(guarded(lambda: coverage.command(request)))


@app.command("catalog")
def catalog_command(
    word: Annotated[
        str | None, typer.Argument(metavar="[CONTROL|tool:RULE]", help="Only this control, or what this rule checks.")
    ] = None,
    tool: Annotated[
        str | None, typer.Option(metavar="TOOL", help="Only controls that this tool has a rule for.")
    ] = None,
    framework: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only controls that it names: pss, cis, nsa, cwe; also `cis 5.2`."),
    ] = None,
    form: Annotated[str, typer.Option("--format", "-f", metavar="table|json|md", help="How it is printed.")] = "table",
    unmapped: Annotated[bool, typer.Option("--unmapped", help="Rules without a control.")] = False,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN.json", help="With --unmapped: a report, for the rules that it had on."),
    ] = None,
) -> None:
    """Print the controls and which rule of which tool checks them."""
    from kguard.cli import catalog

    request = catalog.Request(word=word, tool=tool, framework=framework, format=form, unmapped=unmapped, run=run)
    raise typer.Exit(guarded(lambda: catalog.command(request)))


@app.command("explain")
def explain_command(
    word: Annotated[
        str,
        typer.Argument(
            metavar="FINGERPRINT|CONTROL|tool:RULE", help="A finding (its first 6 digits will do), a control or a rule."
        ),
    ],
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN.json", help="A report that `kguard scan -f json` wrote; - reads stdin."),
    ] = None,
    config: Annotated[str | None, _CONFIG] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Tell why evidence was merged, why it is this severe, which tools have a check for it, and which looked."""
    from kguard.cli import explain

    request = explain.Request(word=word, run=run, config=config, as_json=as_json)
    raise typer.Exit(guarded(lambda: explain.command(request)))


@app.command("schema")
def schema_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="report, coverage or config")] = "report",
) -> None:
    """Print the JSON Schema of a public format."""
    from kguard.cli import schema

    raise typer.Exit(guarded(lambda: schema.command(name)))
