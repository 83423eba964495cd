"""One result per tool, whatever the tools do; each way to fail has its state and its sentence."""

from __future__ import annotations

import os
import signal
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from kguard.model import (
    Bundle,
    BundleKind,
    BundleState,
    KubeObject,
    ObjectCounts,
    Outcome,
    Parsed,
    RunState,
    Splitting,
    ToolRun,
)
from kguard.running import process
from kguard.running.contract import Adapter
from kguard.running.facts import find_program, tool_facts
from kguard.running.results import ToolResult
from kguard.running.tools import ToolProgress, run_tools
from kguard.settings import Settings

NewObject = Callable[..., KubeObject]
NewAdapter = Callable[..., Adapter]
Script = Callable[..., Path]
LeftBehind = Callable[[], list[int]]

VERSION = '[ "$1" = version ] && { echo fake 1.2; exit; }'
HANG = "while :; do sleep 1; done"
GOOD = """
import json, pathlib, sys
if sys.argv[1] == "version":
    sys.exit(print("fake 1.2"))
root = pathlib.Path(sys.argv[2])
paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.yaml"))
said = {"read": paths, "found": paths}
"""
PRINT = 'print(json.dumps({"fake": said}))'


def write(root: Path, objects: Sequence[KubeObject], _: dict[KubeObject, Path]) -> None:
    for obj in objects:
        (root / obj.staged).parent.mkdir(parents=True, exist_ok=True)
        (root / obj.staged).write_bytes(obj.text)


def bundle(*objects: KubeObject, name: str = "plain") -> Bundle:
    return Bundle(id=name, kind=BundleKind.PLAIN, path=".", state=BundleState.PLAIN, objects=objects)


class Run:
    """run_tools over bundles, with what it told of its progress."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[ToolProgress] = []

    def __call__(self, adapters: Sequence[Adapter], *bundles: Bundle, **settings: object) -> tuple[ToolResult, ...]:
        chosen = replace(Settings(jobs=2, timeout=20), **settings)  # type: ignore[arg-type]
        return run_tools(adapters, bundles, chosen, write, self.folder, self.events.append)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "scan")


@pytest.fixture
def one(run: Run, new_adapter: NewAdapter, new_object: NewObject) -> Callable[..., ToolRun]:
    """The run of one fake tool over two objects."""

    def start(program: Path | None, name: str = "fake", adapter: Adapter | None = None, **settings: object) -> ToolRun:
        paths = {} if program is None else {"tool_paths": {name: program}}
        objects = bundle(new_object("a.yaml"), new_object("b.yaml"))
        (result,) = run([adapter or new_adapter(name=name)], objects, **paths, **settings)
        return result.run

    return start


# -- the state of each end --------------------------------------------------------------------------------------------

ENDS = {
    "no output": ("exit 1", RunState.FAILED, "fake failed: it ended with 1"),
    "dies by signal": ("kill -ABRT $$", RunState.FAILED, "fake was killed by SIGABRT"),
    "prints too much": (
        f"printf '%04000000d' 0; {HANG}",
        RunState.FAILED,
        "fake printed more than 64 KiB, the limit for one process",
    ),
    "truncated": (
        """echo '{"fake": {"read"'""",
        RunState.UNREADABLE_OUTPUT,
        "What fake printed cannot be read: JSONDecodeError",
    ),
    "another tool's": ("echo '{}'", RunState.UNREADABLE_OUTPUT, "What fake printed cannot be read: KeyError('fake')"),
    "not text": (r"printf '\377\376\375'", RunState.UNREADABLE_OUTPUT, "What fake printed cannot be read: "),
    "nested too deeply": (
        "printf '%060000d' 0 | tr 0 '['",
        RunState.UNREADABLE_OUTPUT,
        "What fake printed is nested too deeply to be read",
    ),
    "hangs": (
        HANG,
        RunState.TIMED_OUT,
        "fake did not finish within 1 s on 2 objects. Raise it with --timeout 3, or cut the input",
    ),
    "forks a child that hangs": (f"( trap '' INT TERM; {HANG} ) & wait", RunState.TIMED_OUT, "fake did not finish"),
}


@pytest.mark.parametrize(("body", "state", "reason"), ENDS.values(), ids=ENDS.keys())
def test_each_bad_end_has_its_state(
    one: Callable[..., ToolRun],
    write_script: Script,
    left_behind: LeftBehind,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    state: RunState,
    reason: str,
) -> None:
    monkeypatch.setattr(process, "OUTPUT_CAP", 64 * 1024)
    started = time.monotonic()
    result = one(write_script("fake", f"{VERSION}\n{body}"), timeout=1.0 if state is RunState.TIMED_OUT else 20.0)
    assert result.state is state
    assert reason in (result.reason or "")
    assert result.objects == ObjectCounts(staged=2, read=0, unread=2)
    assert {item.reason for item in result.unread} == {result.reason}
    assert time.monotonic() - started < 10
    assert left_behind() == []


def test_a_megabyte_of_complaints_is_no_failure(one: Callable[..., ToolRun], write_script: Script) -> None:
    body = f"{GOOD}\nsys.stderr.write('warning\\n' * 125_000)\n{PRINT}"
    result = one(write_script("fake", body, python=True))
    assert (result.state, result.reason, result.exit_codes) == (RunState.OK, None, (0,))
    assert result.objects == ObjectCounts(staged=2, read=2)


def test_a_tool_that_is_absent_says_where_to_get_it(
    one: Callable[..., ToolRun], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert one(None, "kube-linter") == ToolRun(
        name="kube-linter",
        state=RunState.MISSING,
        reason="kube-linter is not installed. Get it from https://github.com/stackrox/kube-linter/releases, put it on PATH,"
        " or leave it out: --tools -kube-linter",
    )
    another = one(None, "some-other")
    assert another.reason == "some-other is not installed. Put it on PATH, or leave it out: --tools -some-other"


def test_a_tool_that_is_not_executable_is_missing(
    one: Callable[..., ToolRun], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "fake").write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert one(None).state is RunState.MISSING
    named = one(tmp_path / "fake")
    assert named.state is RunState.MISSING
    assert named.reason == f"Asked for its version, fake cannot be started: {tmp_path}/fake: Permission denied"


VERSIONS = {
    "too new": ("echo fake 2.0", RunState.WRONG_VERSION, "fake 2.0 is not a version that kguard can read (<2,>=1). "),
    "another tool": ("echo other 1.2", RunState.WRONG_VERSION, "does not answer as fake does: its version command"),
    "fails without a word": ("exit 7", RunState.FAILED, "Asked for its version, fake printed none and ended with 7"),
    "dies": ("kill -9 $$", RunState.FAILED, "Asked for its version, fake was killed by SIGKILL"),
    "hangs": (HANG, RunState.TIMED_OUT, "Asked for its version, fake did not finish within 0.5 s"),
}


@pytest.mark.parametrize(("body", "state", "reason"), VERSIONS.values(), ids=VERSIONS.keys())
def test_a_tool_of_another_version_is_not_run(
    one: Callable[..., ToolRun],
    write_script: Script,
    tmp_path: Path,
    left_behind: LeftBehind,
    body: str,
    state: RunState,
    reason: str,
) -> None:
    result = one(write_script("fake", f"[ $1 = scan ] && touch {tmp_path}/ran\n{body}"), timeout=0.5)
    assert result.state is state
    assert reason in (result.reason or "")
    assert (result.processes, result.objects) == (0, ObjectCounts())
    assert not (tmp_path / "ran").exists()
    assert left_behind() == []


def test_a_build_without_a_version_is_run_with_a_complaint(one: Callable[..., ToolRun], write_script: Script) -> None:
    body = GOOD.replace("fake 1.2", "fake development") + PRINT
    result = one(write_script("fake", body, python=True))
    assert (result.state, result.version) == (RunState.OK, None)
    assert result.complaints == ("this build of fake tells no version",)


def test_a_prerelease_in_the_range_is_run(one: Callable[..., ToolRun], write_script: Script) -> None:
    body = GOOD.replace("fake 1.2", "fake 1.3rc1") + PRINT
    assert one(write_script("fake", body, python=True)).state is RunState.OK


def test_a_version_that_was_never_tried_is_run_with_a_complaint(
    one: Callable[..., ToolRun], write_script: Script
) -> None:
    result = one(write_script("polaris", GOOD + PRINT, python=True), "polaris", canary=False)
    proven = ", ".join(tool_facts()["polaris"].proven)
    assert result.state is RunState.OK
    assert result.complaints == (f"polaris 1.2 is not among the versions that kguard was tried with: {proven}",)


def test_a_tool_that_was_not_asked_for_is_skipped(one: Callable[..., ToolRun], tmp_path: Path) -> None:
    result = one(tmp_path / "absent", tools=("other",))
    assert result == ToolRun(name="fake", state=RunState.SKIPPED, reason="fake was left out by --tools")


def test_a_tool_without_rules_is_not_run(
    one: Callable[..., ToolRun], write_script: Script, new_adapter: NewAdapter, tmp_path: Path
) -> None:
    program = write_script("fake", f"{VERSION}\ntouch {tmp_path}/ran")
    result = one(program, adapter=new_adapter(rule_problem="no rule library"))
    assert (result.state, result.reason) == (RunState.DEGRADED, "no rule library")
    assert not (tmp_path / "ran").exists()


def test_objects_that_were_not_read_degrade_a_run(
    one: Callable[..., ToolRun], write_script: Script, new_object: NewObject
) -> None:
    body = f"{GOOD}\nsaid = {{'read': paths[:1], 'found': paths[:1]}}\n{PRINT}"
    result = one(write_script("fake", body, python=True))
    assert (result.state, result.reason) == (RunState.DEGRADED, "fake did not read 1 of 2 objects")
    assert result.objects == ObjectCounts(staged=2, read=1, unread=1)
    (missed,) = result.unread
    assert (missed.path, missed.document, missed.object.name) == ("deploy/b.yaml", 1, "b.yaml")
    assert (result.records, result.evidence) == (1, 1)


def test_what_a_tool_could_not_read_degrades_its_run_even_when_it_was_not_staged(
    one: Callable[..., ToolRun], write_script: Script
) -> None:
    body = f"{GOOD}\nsaid |= {{'unread': ['elsewhere.yaml']}}\n{PRINT}"
    result = one(write_script("fake", body, python=True))
    assert result.state is RunState.DEGRADED
    assert result.reason == "fake could not read what it was not given: elsewhere.yaml: why"
    assert result.objects == ObjectCounts(staged=2, read=2)


def test_evidence_about_something_else_degrades_the_run_and_costs_no_other(
    one: Callable[..., ToolRun], write_script: Script
) -> None:
    body = f"{GOOD}\nsaid |= {{'found': [*paths, 'elsewhere.yaml']}}\n{PRINT}"
    result = one(write_script("fake", body, python=True))
    assert result.state is RunState.DEGRADED
    assert result.reason is not None
    assert "elsewhere.yaml" in result.reason
    assert (result.evidence, result.objects) == (2, ObjectCounts(staged=2, read=2))


# -- several processes, several tools ---------------------------------------------------------------------------------


def pods(new_object: NewObject, count: int, name: str = "plain") -> Bundle:
    return bundle(*(new_object(f"tree/{number:03}.yaml", bundle=name) for number in range(count)), name=name)


def test_an_object_that_kills_the_tool_is_unread_and_costs_no_other(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject
) -> None:
    body = f"{GOOD}\nif any('003' in path for path in paths): sys.exit('dead')\n{PRINT}"
    program = write_script("fake", body, python=True)
    (result,) = run([new_adapter(part_limit=4)], pods(new_object, 12), tool_paths={"fake": program})
    assert result.run.state is RunState.DEGRADED
    assert result.run.reason == "fake did not read 1 of 12 objects"
    assert result.run.objects == ObjectCounts(staged=12, read=11, unread=1)
    assert [(item.object.name, item.reason) for item in result.run.unread] == [
        ("tree/003.yaml", "it kills the tool: fake failed: it ended with 1")
    ]
    assert sum(len(parsed.evidence) for _, parsed in result.parsed) == result.run.evidence == 11
    # two parts that live; one that dies, a harmless object, four halves, and the three that are left
    assert (result.run.processes, result.run.exit_codes) == (2 + 1 + 1 + 4 + 1, (0, 0, 0))


@pytest.mark.parametrize(
    "act",
    [
        "(root / '000').write_text('x')",
        "(root / 'tree/000.yaml').write_text('x')",
        "(root / 'tree/000.yaml').unlink()",
        "(root / 'tree/000.yaml').unlink(); os.mkfifo(root / 'tree/000.yaml')",
        "os.symlink('/', root / 'tree/more')",
    ],
)
def test_what_a_tool_says_of_files_that_were_changed_is_not_used(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject, act: str
) -> None:
    body = f"{GOOD}\nimport os\nif (root / 'tree/000.yaml').exists(): {act}\n{PRINT}"
    adapters = [new_adapter(name="bad"), new_adapter(name="good")]
    paths = {"bad": write_script("bad", body, python=True), "good": write_script("good", GOOD + PRINT, python=True)}
    results = run(adapters, pods(new_object, 3), tool_paths=paths, jobs=1)
    for result in results:
        assert result.run.state is RunState.DEGRADED
        assert (result.run.objects, result.parsed) == (ObjectCounts(staged=3, read=0, unread=3), ())
        (reason,) = {item.reason for item in result.run.unread}
        assert reason.startswith(f"what {result.run.name} said is not used: while it ran, a program changed what tools")


def test_a_tool_that_dies_of_everything_has_failed_and_is_not_run_for_long(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject
) -> None:
    program = write_script("fake", f"{GOOD}\nif paths: sys.exit('dead')\n{PRINT}", python=True)
    (result,) = run([new_adapter()], pods(new_object, 12), tool_paths={"fake": program})
    assert result.run.state is RunState.FAILED
    assert result.run.objects == ObjectCounts(staged=12, read=0, unread=12)
    assert result.run.processes == 2  # the second over a harmless object


@pytest.mark.parametrize("jobs", [1, 2, 7])
def test_no_object_is_judged_twice_however_many_jobs_there_are(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject, jobs: int
) -> None:
    limits = new_object("tree/limits.yaml", "LimitRange")
    everything = bundle(limits, *pods(new_object, 120).objects)
    adapter = new_adapter(context_kinds=frozenset(("LimitRange",)), part_limit=50)
    program = write_script("fake", GOOD + PRINT, python=True)
    (result,) = run([adapter], everything, tool_paths={"fake": program}, jobs=jobs)
    told = Counter(item.object.staged for _, parsed in result.parsed for item in parsed.evidence)
    assert told == Counter(obj.staged for obj in everything.objects)
    assert (result.run.records, result.run.evidence) == (121, 121)
    assert result.run.objects == ObjectCounts(staged=121, read=121)
    assert result.run.processes == len(result.run.exit_codes) >= 3


def test_a_run_adds_up_its_processes(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject
) -> None:
    body = f"{GOOD}\nsaid |= {{'complaints': ['same', 'b' if '000' in paths[0] else 'a'], 'rules': paths}}\n{PRINT}"
    program = write_script("fake", body, python=True)
    bundles = [pods(new_object, 1, "dev"), bundle(new_object("tree/x.yaml", bundle="prod"), name="prod")]
    (result,) = run([new_adapter()], *bundles, tool_paths={"fake": program})
    assert result.run.complaints == ("a", "b", "same")
    assert result.run.rules is not None
    assert result.run.rules.active == 2
    assert [part.bundle for part, _ in result.parsed] == ["dev", "prod"]
    assert (result.run.processes, result.run.program) == (2, str(program))
    assert result.run.seconds is not None
    assert 0 < (result.run.cpu_seconds or 0) < 20
    assert 0 < result.run.seconds < 20


def test_tools_run_side_by_side(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject, tmp_path: Path
) -> None:
    """Each waits until the other has started."""
    wait = "import os, time\nopen(MINE, 'w').close()\nwhile not os.path.exists(OTHER): time.sleep(0.01)\n"
    meet = [(str(tmp_path / "a"), str(tmp_path / "b")), (str(tmp_path / "b"), str(tmp_path / "a"))]
    scripts = [
        write_script(f"fake-{mine[-1]}", f"{GOOD}\nMINE, OTHER = {mine!r}, {other!r}\n{wait}{PRINT}", python=True)
        for mine, other in meet
    ]
    adapters = [new_adapter(name=script.name) for script in scripts]
    paths = {script.name: script for script in scripts}
    results = run(adapters, pods(new_object, 3), tool_paths=paths, timeout=10)
    assert [(result.run.name, result.run.state) for result in results] == [
        ("fake-a", RunState.OK),
        ("fake-b", RunState.OK),
    ]
    roots = {part.root for result in results for part, _ in result.parsed}
    assert len(roots) == 1, "the same objects are staged once"


def test_there_is_a_result_for_every_adapter(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject, tmp_path: Path
) -> None:
    good, bad = write_script("good", GOOD + PRINT, python=True), write_script("bad", f"{VERSION}\nexit 1")
    adapters = [new_adapter(name=name) for name in ("bad", "absent", "skipped", "good")]
    paths = {"good": good, "bad": bad, "absent": tmp_path / "absent"}
    results = run(adapters, pods(new_object, 2), tool_paths=paths, tools=("bad", "absent", "good"))
    assert [(result.run.name, result.run.state) for result in results] == [
        ("bad", RunState.FAILED),
        ("absent", RunState.MISSING),
        ("skipped", RunState.SKIPPED),
        ("good", RunState.OK),
    ]


def test_without_objects_no_process_is_started(run: Run, write_script: Script, new_adapter: NewAdapter) -> None:
    (result,) = run([new_adapter()], bundle(), tool_paths={"fake": write_script("fake", f"{VERSION}\nexit 1")})
    assert (result.run.state, result.run.processes, result.run.seconds) == (RunState.OK, 0, None)


def test_what_processes_wrote_is_gone_when_they_ended(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject
) -> None:
    program = write_script("fake", GOOD + PRINT, python=True)
    run([new_adapter()], pods(new_object, 2), tool_paths={"fake": program})
    assert [path.name for path in run.folder.rglob("stdout")] == ["stdout"], "only that of the version command"


def test_progress_tells_how_far_each_tool_is(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject
) -> None:
    program = write_script("fake", GOOD + PRINT, python=True)
    run([new_adapter(part_limit=4)], pods(new_object, 12), tool_paths={"fake": program}, jobs=1)
    assert [(event.state, event.parts_done) for event in run.events] == [
        *(("running", 0), ("running", 1), ("running", 1), ("running", 2), ("running", 2)),
        ("done", 3),
    ]
    assert {(event.tool, event.objects, event.parts) for event in run.events} == {("fake", 12, 3)}
    assert [event.seconds for event in run.events] == sorted(event.seconds for event in run.events)


def test_the_longest_start_first(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject
) -> None:
    program = write_script("fake", GOOD + PRINT, python=True)
    adapters = [new_adapter(name="quick", splitting=Splitting.BUNDLE), new_adapter(name="slow")]
    bundles = [pods(new_object, 2, "small"), pods(new_object, 4, "large")]
    results = run(adapters, *bundles, tool_paths={"quick": program, "slow": program}, jobs=1)
    assert [event.tool for event in run.events[::2]] == ["slow", "slow", "quick", "quick"]
    assert [[part.id for part, _ in result.parsed] for result in results] == [["2", "1"]] * 2, (
        "the large was staged first"
    )
    assert [[part.bundle for part, _ in result.parsed] for result in results] == [["small", "large"]] * 2


def test_what_was_parsed_is_not_kept(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject
) -> None:
    body = f"{GOOD}\nsaid |= {{'padding': 'x' * 5_000_000}}\n{PRINT}"
    program = write_script("fake", body, python=True)
    tracemalloc.start()
    try:
        (result,) = run([new_adapter(part_limit=1)], pods(new_object, 8), tool_paths={"fake": program}, jobs=1)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.run.processes == 8
    assert kept < 2_000_000
    assert peak < 20_000_000, "one output and its decoded copy at a time"


# -- called off -------------------------------------------------------------------------------------------------------


def test_an_interruption_stops_all_processes(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject, left_behind: LeftBehind
) -> None:
    program = write_script("fake", f"{VERSION}\ntouch $HOME/on; {HANG}")

    def interrupt() -> None:
        until = time.monotonic() + 15
        while len(list(run.folder.rglob("on"))) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run([new_adapter(part_limit=2)], pods(new_object, 9), tool_paths={"fake": program})
    assert len(list(run.folder.rglob("on"))) == 2, "those that waited for a worker never started"
    assert time.monotonic() - started < 15
    assert left_behind() == []


def test_a_bug_in_an_adapter_is_not_hidden_and_leaves_nothing_behind(
    run: Run, write_script: Script, new_adapter: NewAdapter, new_object: NewObject, left_behind: LeftBehind
) -> None:
    class Broken(type(new_adapter())):  # type: ignore[misc]
        def parse(self, outcome: Outcome) -> Parsed:
            raise ZeroDivisionError

    paths = {
        "broken": write_script("broken", GOOD + PRINT, python=True),
        "fake": write_script("fake", f"{VERSION}\n{HANG}"),
    }
    with pytest.raises(ZeroDivisionError):
        run([Broken(name="broken"), new_adapter()], pods(new_object, 2), tool_paths=paths)
    assert left_behind() == []


# -- the real adapters ------------------------------------------------------------------------------------------------

ANSWERS = {
    "kube-linter": (
        "0.8.3",
        (
            '{"Checks": [], "Reports": [{"Check": "kguard-loaded", "Diagnostic": {"Message": ""}, "Object":'
            ' {"Metadata": {"FilePath": "a.yaml"},'
            ' "K8sObject": {"Namespace": "", "Name": "a.yaml", "GroupVersionKind": {"Kind": "Pod"}}}}]}'
        ),
    ),
    "trivy": (
        '{"Version": "0.76.0"}',
        (
            '{"SchemaVersion": 2, "ArtifactType": "filesystem", "Results":'
            ' [{"Target": "a.yaml", "Class": "config", "Type": "kubernetes"}]}'
        ),
    ),
    "kubescape": (
        "Your current version is: v3.0.48",
        (
            '{"summaryDetails": {"controls": {}}, "resources": [{"resourceID": "1", "object":'
            ' {"kind": "Pod", "sourcePath": "a.yaml:0", "metadata": {"name": "a.yaml"}}}]}'
        ),
    ),
    "polaris": (
        "Polaris version:10.2.2",
        (
            '{"PolarisOutputVersion": "1.0", "Results":'
            ' [{"Name": "a.yaml", "Namespace": "", "Kind": "Pod", "Results": {}, "PodResult": null}]}'
        ),
    ),
}
"""What each tool says of its version, and of an object without faults."""


def canned(version: str, then: str) -> str:
    return f"case \"$*\" in version*) echo '{version}';; *) {then};; esac"


@pytest.fixture
def real(
    run: Run, new_object: NewObject, write_script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., ToolRun]:
    """The run of a real adapter whose program, found on PATH, tells its version and then does what it is told."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "nsa.json").write_text(
        '{"name": "NSA", "controls": [{"controlID": "C-0001", "scanningScope": {"matches": ["file"]}}]}'
    )

    def start(name: str, then: str, *, canary: bool = False) -> ToolRun:
        adapter = next(item for item in import_module("kguard.adapters").ADAPTERS if item.name == name)
        program = write_script(name, canned(ANSWERS[name][0], then))
        monkeypatch.setenv("PATH", str(program.parent))
        (result,) = run(
            [adapter],
            bundle(new_object("a.yaml")),
            frameworks=("nsa",),
            rules={"kubescape": library},
            timeout=1.0 if then == HANG else 20.0,
            canary=canary,
        )
        return result.run

    return start


@pytest.mark.parametrize("name", ANSWERS)
def test_a_good_answer(real: Callable[..., ToolRun], name: str) -> None:
    result = real(name, f"echo '{ANSWERS[name][1]}'")
    assert (result.state, result.reason, result.complaints) == (RunState.OK, None, ())
    assert result.objects.unread == 0


def test_what_its_author_hides_from_kube_linter_is_read_and_nothing_else_that_it_does_not_name(
    run: Run, new_object: NewObject, write_script: Script
) -> None:
    program = write_script("kube-linter", canned("0.8.3", f"echo '{ANSWERS['kube-linter'][1]}'"))
    hidden = replace(new_object("hidden.yaml"), text=b"metadata: {annotations: {kube-linter.io/ignore-all: known}}\n")
    adapter = next(item for item in import_module("kguard.adapters").ADAPTERS if item.name == "kube-linter")
    objects = bundle(new_object("a.yaml"), hidden, new_object("silent.yaml"))
    (result,) = run([adapter], objects, tool_paths={"kube-linter": program}, canary=False)
    assert result.run.objects == ObjectCounts(staged=3, read=2, unread=1)
    assert [item.object.name for item in result.run.unread] == ["silent.yaml"]


@pytest.mark.parametrize(
    ("name", "rules"), [("trivy", "KSV-0011, KSV-0012, KSV-0017"), ("polaris", "cpuLimitsMissing, ")]
)
def test_an_answer_that_is_silent_about_the_canary_degrades_the_run(
    real: Callable[..., ToolRun], name: str, rules: str
) -> None:
    result = real(name, f"echo '{ANSWERS[name][1]}'", canary=True)
    assert (result.state, result.canary) == (RunState.DEGRADED, False)
    assert (result.reason or "").startswith(f"{name} did not report {rules}")
    assert "some of its checks are off" in (result.reason or "")


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("other", ANSWERS)
def test_the_answer_of_another_tool(real: Callable[..., ToolRun], name: str, other: str) -> None:
    expected = RunState.OK if name == other else RunState.UNREADABLE_OUTPUT
    assert real(name, f"echo '{ANSWERS[other][1]}'").state is expected


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(
    ("then", "state"),
    [
        ("exit 1", RunState.FAILED),
        ("kill -SEGV $$", RunState.FAILED),
        ("""printf '{"Results": ['""", RunState.UNREADABLE_OUTPUT),
        ("echo '[]'", RunState.UNREADABLE_OUTPUT),
        ("echo null", RunState.UNREADABLE_OUTPUT),
        (r"printf '\377'", RunState.UNREADABLE_OUTPUT),
        (HANG, RunState.TIMED_OUT),
    ],
)
def test_a_bad_answer(real: Callable[..., ToolRun], name: str, then: str, state: RunState) -> None:
    result = real(name, then)
    assert result.state is state
    assert (result.reason or "").startswith((f"{name} ", f"What {name} printed"))


# -- programs and facts -----------------------------------------------------------------------------------------------


def test_a_program_found_through_a_relative_path_is_absolute(
    write_script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = write_script("fake", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "bin")
    assert find_program("fake", Settings()) == program
    assert find_program("other", Settings()) is None
    assert find_program("fake", Settings(tool_paths={"fake": tmp_path / "mine"})) == tmp_path / "mine"


def test_there_are_facts_for_every_adapter_and_its_versions_can_be_read() -> None:
    adapters: tuple[Adapter, ...] = import_module("kguard.adapters").ADAPTERS
    facts = tool_facts()
    assert set(facts) == {*(adapter.name for adapter in adapters), "helm", "kustomize"}
    for adapter in adapters:
        assert all(version in adapter.versions for version in facts[adapter.name].proven)
        assert facts[adapter.name].releases.startswith("https://")
