"""The diagnosis of an installation: every tool and renderer run for real, over objects of kguard's own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from packaging.version import InvalidVersion, Version

from kguard.errors import ExitCode
from kguard.findings.catalogue import Catalogue, load_catalogue, load_unmapped
from kguard.findings.customise import customised
from kguard.inputs.helm.release import Release
from kguard.inputs.kustomize.root import Root
from kguard.inputs.objects import read_manifest
from kguard.inputs.render import Render
from kguard.inputs.stage import workspace, write_part
from kguard.model import ActiveRules, Bundle, BundleKind, BundleState, Command, RuleSet, RunState, ToolRun
from kguard.rendering import render_all
from kguard.running import process
from kguard.running.contract import Adapter, load_adapters
from kguard.running.facts import find_program, get_it, tool_facts, untried
from kguard.running.results import active_rules
from kguard.running.tools import ToolProgress, run_tools
from kguard.settings import Settings

_OWN = "kguard-doctor"
_ROOM = 1 << 20
_SCARCE = 1 << 30
_CHART = {
    "Chart.yaml": f"apiVersion: v2\nname: {_OWN}\nversion: 1.0.0\n",
    "values.yaml": "name: doctor\n",
    "templates/doctor.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 'kguard-{{ .Values.name }}'}\n",
}
_KUSTOMIZATION = {
    "kustomization.yaml": "namePrefix: kguard-\nresources: [doctor.yaml]\n",
    "doctor.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: doctor}\n",
}
_ASK_VERSION = {"helm": ("version", "--short"), "kustomize": ("version",), "kubectl": ("version", "--client")}
_VERSION = re.compile(r"\bv(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)")
_VERSION_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that makes a scan incomplete."""

    message: str
    """What, why and what next."""
    command: str | None = None
    """What mends it, to be copied into a shell; None where no single command does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A tool or a renderer, and what it did when it was asked."""

    name: str
    state: RunState
    version: Version | None = None
    program: str | None = None
    proven: tuple[str, ...] = ()
    """The versions that kguard was tried with."""
    works: bool | None = None
    """Whether a tool reported the canary, or a renderer rendered what it should; None where it was not asked to."""
    rules: ActiveRules | None = None
    rules_folder: Path | None = None
    unknown_rules: tuple[str, ...] = ()
    """Rules that are on and stand in no control of the catalogue."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    """What is worth knowing and makes no scan incomplete."""
    allowed: bool = False
    """Whether --allow-incomplete or kguard.yaml allows for its problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporary:
    """The folder for temporary files, in which everything of a scan happens."""

    path: str | None = None
    free_bytes: int | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Whether a scan would be complete, and why not."""

    temporary: Temporary
    tools: tuple[Check, ...] = ()
    """Nothing is tried where there is no folder for temporary files."""
    renderers: tuple[Check, ...] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of what would make a scan incomplete."""
        return tuple(check.name for check in self._wrong() if not check.allowed)

    @property
    def allowed(self) -> tuple[str, ...]:
        """Names of what would, but for being allowed to."""
        return tuple(check.name for check in self._wrong() if check.allowed)

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.INCOMPLETE if self.temporary.problems or self.broken else ExitCode.PASS

    def _wrong(self) -> Iterator[Check]:
        return (check for check in (*self.tools, *self.renderers) if check.problems)


def diagnose(settings: Settings, progress: Callable[[ToolProgress], None] = lambda _: None) -> Diagnosis:
    """Run every tool over a harmless object and the canary, and every renderer over a chart or kustomization of kguard's own.

    `progress` as for `run_tools`.
    """
    temporary = _temporary()
    if temporary.problems:
        return Diagnosis(temporary=temporary)
    with workspace() as folder:
        return Diagnosis(
            temporary=temporary,
            tools=_tools(settings, folder / "tools", progress),
            renderers=_renderers(settings, folder / "renderers"),
        )


def _temporary() -> Temporary:
    """Python passes over a folder that it cannot write to, and takes another without a word."""
    given = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - what Python looks at, not what is written to
    try:
        where = tempfile.gettempdir()
    except FileNotFoundError:
        return _no_room("no folder for temporary files can be written to")
    try:
        with workspace() as folder:
            (folder / "room").write_bytes(bytes(_ROOM))
        free = shutil.disk_usage(where).free
    except OSError as error:
        return _no_room(f"{where} cannot hold temporary files: {error.strerror or error}")
    notes = []
    if os.path.realpath(where) != os.path.realpath(given):
        notes.append(f"{given} cannot be written to: temporary files go to {where}. Set TMPDIR to a folder that can")
    if free < _SCARCE:
        notes.append(f"only {free >> 20:,} MiB are free in {where}; a scan of 1,000 objects may write 100 MiB")
    return Temporary(path=where, free_bytes=free, notes=tuple(notes))


def _no_room(why: str) -> Temporary:
    return Temporary(problems=(Problem(message=f"{why}. Make room, or set TMPDIR to another folder"),))


# -- tools ------------------------------------------------------------------------------------------------------------


def _tools(settings: Settings, folder: Path, progress: Callable[[ToolProgress], None]) -> tuple[Check, ...]:
    adapters, settings = load_adapters(), replace(settings, canary=True)
    results = run_tools(adapters, (_sample(),), settings, write_part, folder, progress)
    catalogue = customised(load_catalogue(), settings.merge)
    return tuple(
        _tool(adapter, result.run, settings, catalogue) for adapter, result in zip(adapters, results, strict=True)
    )


def _sample() -> Bundle:
    """Of each kind that some tool has checks for, so that the tools tell of as many of their rules as they do in a scan."""
    text = (files("kguard") / "data" / "doctor.yaml").read_bytes()
    found = enumerate(read_manifest("doctor.yaml", text, _OWN).objects, start=1)
    objects = tuple(replace(obj, staged=f"tree/doctor--{number}.yaml") for number, obj in found)
    return Bundle(id=_OWN, kind=BundleKind.PLAIN, path=".", state=BundleState.PLAIN, objects=objects)


def _tool(adapter: Adapter, run: ToolRun, settings: Settings, catalogue: Catalogue) -> Check:
    facts = tool_facts().get(run.name)
    check = Check(
        name=run.name,
        state=run.state,
        version=run.version,
        program=run.program,
        proven=facts.proven if facts else (),
        works=run.canary,
        allowed=run.name in settings.allow_incomplete,
    )
    if run.state is RunState.SKIPPED:
        return check
    bundled = adapter.rules(settings, run.version)
    rules = run.rules or (active_rules(bundled, ()) if bundled.folder else None)
    unknown = set(rules.ids or () if rules else ()) - catalogue.rules(run.name) - set(load_unmapped().get(run.name, ()))
    return replace(
        check,
        rules=rules,
        rules_folder=bundled.folder,
        unknown_rules=tuple(sorted(unknown)),
        problems=tuple(_problems(run, bundled)),
        notes=tuple(_notes(run)),
    )


def _problems(run: ToolRun, rules: RuleSet) -> Iterator[Problem]:
    """What is wrong with the program, and with its rule files: who has to get both should hear of both."""
    if run.reason is not None and run.reason != rules.problem:
        advised = run.reason.endswith(get_it(run.name)) or "--timeout" in run.reason
        yield Problem(
            message=run.reason if advised else f"{run.reason}. {get_it(run.name)}",
            command=_get_rules(run.name, rules) if run.canary is False else None,
        )
    if rules.problem is not None:
        # a library without the framework asked for is a library: another word, not another download
        yield Problem(message=rules.problem, command=_get_rules(run.name, rules) if rules.digest is None else None)


def _get_rules(name: str, rules: RuleSet) -> str | None:
    facts = tool_facts().get(name)
    if facts is None or not facts.rules or rules.folder is None:
        return None
    return facts.rules.format(folder=shlex.quote(str(rules.folder)))


def _notes(run: ToolRun) -> Iterator[str]:
    complaint = untried(run.name, run.version) if run.processes else None
    if complaint is not None:
        yield _with_age(run.name, run.version, complaint)
    yield from (line for line in run.complaints if line != complaint)
    if run.processes and run.state is RunState.OK and run.canary is None:
        yield "none of the rules that must report kguard's canary is on: whether it looks is not proven"


def _with_age(name: str, version: Version | None, complaint: str) -> str:
    facts = tool_facts().get(name)
    old = version is not None and facts is not None and all(version < Version(one) for one in facts.proven)
    return f"{complaint}; it is older, newer ones are at {facts.releases}" if old and facts else complaint


# -- renderers --------------------------------------------------------------------------------------------------------


def _renderers(settings: Settings, folder: Path) -> tuple[Check, ...]:
    chart, kustomization = folder / "chart", folder / "kustomization"
    _write(chart, _CHART)
    _write(kustomization, _KUSTOMIZATION)
    renders: tuple[Render, ...] = (
        Release(chart=chart, path="kguard's own chart", bundle="helm:doctor", name="doctor"),
        Root(folder=kustomization, path="kguard's own kustomization", bundle="kustomize:doctor", name="doctor"),
    )
    bundles = render_all(renders, settings, folder)
    return tuple(_renderer(render, bundle, settings, folder) for render, bundle in zip(renders, bundles, strict=True))


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _renderer(render: Render, bundle: Bundle, settings: Settings, folder: Path) -> Check:
    name = render.programs[0]
    facts = tool_facts()[name]
    check = Check(name=name, state=RunState.MISSING, proven=facts.proven, allowed="inputs" in settings.allow_incomplete)
    source = f"Get it from {facts.releases} and put it on PATH"
    found = [(word, path) for word in render.programs if (path := find_program(word, settings))]
    if not found:
        return _missing(check, render, settings, source)
    word, program = found[0]
    version = _version(word, program, settings, folder)
    check = replace(check, program=str(program), version=version)
    why = bundle.reason
    if why is None and [obj.ref.name for obj in bundle.objects] != [_OWN]:
        why = "it printed something else"
    if why is not None:
        message = f"{word} did not render {render.path}: {why.removeprefix('not rendered: ')}. {source}"
        return replace(check, state=RunState.FAILED, works=False, problems=(Problem(message=message),))
    complaint = untried(name, version)
    notes = (_with_age(name, version, complaint),) if complaint else ()
    return replace(check, state=RunState.OK, works=True, notes=notes)


def _missing(check: Check, render: Render, settings: Settings, source: str) -> Check:
    """Which matters only where there is something to render."""
    named = settings.inputs.charts if render.kind is BundleKind.HELM else settings.inputs.kustomizations
    if named:
        message = f"{check.name} is not installed, and kguard.yaml names what it shall render. {source}"
        return replace(check, problems=(Problem(message=message),))
    return replace(
        check, notes=(f"{check.name} is not installed: what it renders would be missing from a scan. {source}",)
    )


def _version(name: str, program: Path, settings: Settings, folder: Path) -> Version | None:
    """kubectl prints its own version first, then that of the kustomize in it."""
    command = Command(argv=(name, *_ASK_VERSION[name]))
    timeout = min(_VERSION_SECONDS, settings.timeout)
    outcome = process.run(command, program, folder / f"{name}-version", timeout=timeout)
    found = _VERSION.findall(outcome.stdout.decode(errors="replace"))
    try:
        return Version(found[-1]) if found else None
    except InvalidVersion:
        return None
