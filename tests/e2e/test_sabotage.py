"""Sabotage of a scan: either the report is the undisturbed one, or it says who did not look, and why, and the exit code is not 0.

trivy and kubescape are the real ones in every run; kube-linter and polaris are where they are on PATH, else stand-ins that believe
whatever tells a tool to be silent. docs/exit-and-states.md has the table.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e import sabotage
from e2e.sabotage import MANIFESTS, NAMES, Scan, equal, replayers, scan, told, tools, write_tree
from e2e.sabotage_acts import FILES, VARIABLES, drop, held_by_modes, hostile, limited_to, plant
from e2e.sabotage_tool import SILENCERS

KINDS = pytest.mark.parametrize("stand_ins", [False, True], ids=["real", "stand-ins"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The undisturbed scan, and what each tool printed in it."""

    done: Scan
    recorded: Path


def _sound(folder: Path, *, stand_ins: bool) -> Sound:
    recorded = folder / "recorded"
    programs = sabotage.recorders(recorded, stand_ins=stand_ins)
    return Sound(done=scan(write_tree(folder / "sound"), programs=programs), recorded=recorded)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Of the real tools."""
    return _sound(tmp_path_factory.mktemp("sound"), stand_ins=False)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Of stand-ins."""
    return _sound(tmp_path_factory.mktemp("quick"), stand_ins=True)


@pytest.fixture
def bins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs are put, away from what is scanned."""
    return tmp_path_factory.mktemp("bins")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The folder that scans run in, with the manifests."""
    return write_tree(tmp_path / "here")


@pytest.mark.real
def test_the_undisturbed_scan_finds_all_and_is_the_same_twice(sound: Sound, here: Path, bins: Path) -> None:
    assert sound.done.code == 0
    assert {sound.done.tool(name)["state"] for name in NAMES} == {"ok"}
    (privileged,) = [item for item in sound.done.report["findings"] if item["control"] == "privileged-container"]
    assert privileged["tools"] == list(NAMES)
    equal(scan(here, programs=tools(bins, stand_ins=False)), sound.done)


# -- 1, 5: ignore files and configurations, where kguard is called and in what it scans --------------------------------


@pytest.mark.real
@KINDS
def test_files_that_silence_tools(stand_ins: bool, sound: Sound, quick: Sound, here: Path, bins: Path) -> None:
    plant(here)
    plant(here / "tree")
    done = scan(here, programs=tools(bins, stand_ins=stand_ins))
    equal(done, (quick if stand_ins else sound).done)


# -- 2: the environment ------------------------------------------------------------------------------------------------


@pytest.mark.real
@KINDS
def test_variables_and_homes_that_silence_tools(
    stand_ins: bool, sound: Sound, quick: Sound, here: Path, bins: Path, tmp_path: Path
) -> None:
    done = scan(here, programs=tools(bins, stand_ins=stand_ins), env=hostile(tmp_path / "hostile"))
    equal(done, (quick if stand_ins else sound).done)


OFFLINE = ("--skip-check-update", "--skip-version-check", "--disable-telemetry")


@pytest.mark.real
@pytest.mark.parametrize("way", ["files", "variables", "cache"])
def test_run_by_hand_trivy_is_silenced_by_each(way: str, here: Path, tmp_path: Path) -> None:
    """Or the rows above would prove nothing."""
    env = sabotage.environment({})
    if way == "files":
        plant(here)
    else:
        wanted = ("TRIVY_SEVERITY",) if way == "variables" else ("XDG_CACHE_HOME",)
        env |= {name: value for name, value in hostile(tmp_path / "hostile").items() if name in wanted}
    argv = ["trivy", "config", "-f", "json", *OFFLINE, "tree"]
    done = subprocess.run(argv, cwd=here, env=env, capture_output=True, check=True, timeout=60)
    results = json.loads(done.stdout).get("Results", ())
    found = [found["ID"] for result in results for found in result.get("Misconfigurations", ())]
    assert "KSV-0017" not in found


def test_the_stand_ins_are_silenced_by_each(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "stage" / "1")
    config = tmp_path / "config"
    config.write_text("")
    start = [*shlex.split(sabotage.stand_in("trivy")), "scan", "--config", str(config), str(root)]

    def words(env: Mapping[str, str], cwd: Path) -> str:
        return subprocess.run(start, cwd=cwd, env=env, capture_output=True, text=True, check=True, timeout=60).stdout

    empty = tmp_path / "empty"
    empty.mkdir()
    loud = words({}, empty)
    for count, silencer in enumerate(sorted(SILENCERS)):
        folder = tmp_path / f"silent-{count}"
        folder.mkdir()
        (folder / silencer).write_text("")
        assert words({}, folder) == words({"HOME": str(folder)}, empty) != loud
    for variable in VARIABLES:
        assert (words({variable: "x"}, empty) != loud) is (variable != "GODEBUG")


# -- 3, 4: the rule library of kubescape -------------------------------------------------------------------------------

Library = Callable[[Path], object]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A copy of the rule library."""
    rules = dict(pair.split("=", 1) for pair in os.environ["KGUARD_RULES"].split())
    return Path(shutil.copytree(rules["kubescape"], tmp_path / "library"))


def under(library: Path, here: Path, *flags: str, wrap: Sequence[str] = ()) -> Scan:
    """A scan with kubescape alone, under this library."""
    return scan(here, "--tools", "kubescape", "--rules", f"kubescape={library}", *flags, programs={}, wrap=wrap)


def emptied(library: Path) -> None:
    shutil.rmtree(library)
    library.mkdir()


def cut(name: str) -> Library:
    return lambda library: os.truncate(library / name, 5000)


BROKEN: dict[str, tuple[Library, str, str]] = {
    "emptied": (emptied, "nsa", "no rule library in"),
    "removed": (shutil.rmtree, "nsa", "there is no such folder"),
    "a framework cut off": (cut("nsa.json"), "nsa", "nsa.json in its rule library"),
    "another framework cut off, all asked for": (cut("mitre.json"), "all", "mitre.json in its rule library"),
    "a framework without controls": (
        lambda it: (it / "nsa.json").write_text('{"name": "NSA", "controls": []}'),
        "nsa",
        "nsa in its rule library",
    ),
    "a framework removed": (lambda it: (it / "nsa.json").unlink(), "nsa", "its rule library has no framework nsa"),
    "a framework of another name": (lambda it: None, "nsb", "its rule library has no framework nsb; it has"),
    "every failure excepted": (
        lambda it: (it / "exceptions.json").write_text(FILES["exceptions.json"]),
        "nsa",
        "kubescape did not report C-0013, C-0016, C-0057",
    ),
}


@pytest.mark.real
@pytest.mark.parametrize(("spoil", "frameworks", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_rule_library_that_is_spoilt(spoil: Library, frameworks: str, words: str, library: Path, here: Path) -> None:
    spoil(library)
    done = under(library, here, "--frameworks", frameworks)
    if not library.exists():  # a flag that names nothing ends the run before any tool is started
        assert (done.code, done.report) == (2, None)
        assert words in done.stderr
        return
    assert done.code == 4
    assert words in done.tool("kubescape")["reason"]
    assert done.tool("kubescape")["state"] == "degraded"


@pytest.mark.real
def test_a_control_that_is_taken_away_is_not_among_the_rules_that_were_on(library: Path, here: Path) -> None:
    before = under(library, here, "--frameworks", "nsa")
    framework = json.loads((library / "nsa.json").read_text())
    framework["controls"] = [item for item in framework["controls"] if item["controlID"] != "C-0038"]
    (library / "nsa.json").write_text(json.dumps(framework))
    after = under(library, here, "--frameworks", "nsa")
    assert before.code == after.code == 0
    had, has = (done.tool("kubescape")["rules"] for done in (before, after))
    assert set(had["ids"]) - set(has["ids"]) == {"C-0038"}
    assert (has["active"], has["groups"]) == (
        had["active"] - 1,
        [{"name": "nsa", "rules": had["groups"][0]["rules"] - 1}],
    )
    assert has["digest"] != had["digest"]
    lost = [item for item in sabotage.said(before.report, "kubescape") if item[1] == "C-0038"]
    assert lost
    assert sabotage.said(after.report, "kubescape") == [
        item for item in sabotage.said(before.report, "kubescape") if item not in lost
    ]


@pytest.mark.real
def test_a_failure_that_the_library_excepts_is_complained_of(library: Path, here: Path) -> None:
    only_web = FILES["exceptions.json"].replace('"kind": ".*"', '"kind": "Deployment", "name": "web"')
    (library / "exceptions.json").write_text(only_web)
    done = under(library, here, "--frameworks", "nsa")
    assert done.tool("kubescape")["canary"] is True
    (complaint,) = [line for line in done.tool("kubescape")["complaints"] if "count as passed" in line]
    assert complaint.endswith("failures count as passed: exceptions.json of its rule library excepts them")


# -- 6: a tool that is another -----------------------------------------------------------------------------------------

OTHERS = {
    "true": ("exec true", {"wrong-version"}, "does not answer as"),
    "false": ("exec false", {"failed"}, "printed none and ended with 1"),
    "a script that prints {}": ("echo '{}'", {"wrong-version"}, "does not answer as"),
    "an old version": (
        (
            'case $0 in *kube-linter) echo 0.2.0;; *trivy) echo \'{"Version": "0.20.0"}\';;'
            " *kubescape) echo 'Your current version is: v2.0.1';; *) echo 'Polaris version:7.0.0';; esac"
        ),
        {"wrong-version"},
        "is not a version that kguard can read",
    ),
}


@pytest.mark.parametrize(("body", "states", "words"), OTHERS.values(), ids=OTHERS.keys())
def test_a_tool_that_is_another_program(
    body: str, states: set[str], words: str, quick: Sound, here: Path, bins: Path
) -> None:
    programs = {name: bins / name for name in NAMES}
    for program in programs.values():
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    done = scan(here, programs=programs)
    told(done, quick.done, NAMES)
    assert {done.tool(name)["state"] for name in NAMES} == states
    assert all(words in done.tool(name)["reason"] for name in NAMES)
    assert done.report["findings"] == []


SAME_NAMES = MANIFESTS | {"web.yaml": sabotage.WEB.replace("      hostPID: true\n", "").replace("true}", "false}")}
OTHER_NAMES = {
    f"other-{name}": text.replace("namespace: shop", "namespace: other") for name, text in SAME_NAMES.items()
}


@pytest.mark.real
@pytest.mark.parametrize("manifests", [SAME_NAMES, OTHER_NAMES], ids=["of the same names", "of other names"])
def test_a_tool_that_prints_what_it_said_of_other_manifests(
    manifests: dict[str, str], sound: Sound, here: Path, bins: Path, tmp_path: Path
) -> None:
    recorded = tmp_path / "recorded"
    scan(write_tree(tmp_path / "other", manifests), programs=sabotage.recorders(recorded))
    done = scan(here, programs=replayers(bins, recorded))
    told(done, sound.done, NAMES)
    assert {done.tool(name)["canary"] for name in NAMES} == {False}


@pytest.mark.real
def test_a_tool_that_prints_what_it_said_of_the_same_manifests_is_right(sound: Sound, here: Path, bins: Path) -> None:
    equal(scan(here, programs=replayers(bins, sound.recorded)), sound.done)


@pytest.mark.real
@pytest.mark.parametrize("inside", [False, True], ids=["results", "what results hold"])
@pytest.mark.parametrize("way", ["even", "odd", "first", "last"])
def test_a_tool_that_drops_half_of_what_it_found(
    way: str, inside: bool, sound: Sound, here: Path, bins: Path, tmp_path: Path
) -> None:
    recorded = Path(shutil.copytree(sound.recorded, tmp_path / "recorded"))
    for name in NAMES:
        stdout = recorded / name / "stdout"
        stdout.write_text(drop(name, stdout.read_text(), way, inside=inside))
    done = scan(here, programs=replayers(bins, recorded))
    told(done, sound.done, None if inside else NAMES)
    assert done.incomplete


# -- 7: files that cannot be read --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def as_user(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    wrap = held_by_modes()
    secret = tmp_path_factory.mktemp("modes") / "secret"
    secret.touch(0o000)
    denied = subprocess.run([*wrap, shutil.which("cat") or "", str(secret)], capture_output=True, check=False)
    assert b"Permission denied" in denied.stderr, "modes do not hold this user"
    return wrap


@pytest.mark.real
def test_half_of_the_files_cannot_be_read_by_the_user(sound: Sound, here: Path, bins: Path, as_user: list[str]) -> None:
    for name in ("till.yaml", "limits.yaml"):
        (here / "tree" / name).chmod(0o000)
    done = scan(here, programs=tools(bins, stand_ins=False), wrap=as_user)
    told(done, sound.done, ["inputs"])
    problems = {item["path"]: item["message"] for item in done.report["inputs"]["problems"]}
    assert set(problems) == {"tree/till.yaml", "tree/limits.yaml"}
    assert all("Permission denied" in message for message in problems.values())
    (privileged,) = [item for item in done.report["findings"] if item["control"] == "privileged-container"]
    assert privileged["tools"] == list(NAMES)


def test_a_folder_that_cannot_be_read_by_the_user(quick: Sound, here: Path, bins: Path, as_user: list[str]) -> None:
    (here / "tree/deep").mkdir()
    (here / "tree/till.yaml").rename(here / "tree/deep/till.yaml")
    (here / "tree/deep").chmod(0o000)
    done = scan(here, programs=tools(bins), wrap=as_user)
    (here / "tree/deep").chmod(0o700)
    told(done, quick.done, ["inputs"])


@pytest.mark.real
def test_a_rule_library_that_cannot_be_read_by_the_user(library: Path, here: Path, as_user: list[str]) -> None:
    (library / "nsa.json").chmod(0o000)
    done = under(library, here, wrap=as_user)
    assert (done.code, done.incomplete) == (4, {"kubescape"})
    assert "nsa.json: Permission denied" in done.tool("kubescape")["reason"]


# -- 8: no room --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of the size that is asked for."""
    disks: list[Path] = []

    def mount(size: str) -> Path:
        disk = tmp_path / f"disk-{len(disks)}"
        disk.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(
                f"no tmpfs can be mounted here, the tests with a file-size limit do without: {done.stderr.strip()}"
            )
        disks.append(disk)
        return disk

    yield mount
    for disk in disks:
        subprocess.run(["umount", str(disk)], check=True)


def no_room(done: Scan, sound: Sound) -> None:
    """Told, or no report at all, with the reason on stderr."""
    if done.report is None:
        assert done.code == 4
        assert "no whole report could be written. Make room and run again." in done.stderr
    else:
        told(done, sound.done)


@pytest.mark.real
@pytest.mark.parametrize("size", ["8k", "48k"])
def test_no_room_for_temporary_files_on_a_small_tmpfs(
    size: str, small_disk: Callable[[str], Path], sound: Sound, here: Path, bins: Path
) -> None:
    disk = small_disk(size)
    done = scan(here, programs=tools(bins, stand_ins=False), env={"TMPDIR": str(disk)})
    no_room(done, sound)
    assert done.code == 4
    assert list(disk.iterdir()) == []


@pytest.mark.real
@pytest.mark.parametrize("size", [20, 60_000])
def test_no_room_for_temporary_files_under_a_file_size_limit(size: int, sound: Sound, here: Path, bins: Path) -> None:
    done = scan(here, programs=tools(bins, stand_ins=False), wrap=limited_to(size))
    no_room(done, sound)
    assert done.code == 4


def write_report(here: Path, bins: Path, out: Path, wrap: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    argv = [*wrap, *sabotage.argv_of(("-o", str(out), "-f", "json"), tools(bins))]
    return subprocess.run(
        argv, cwd=here, env=sabotage.environment({}), capture_output=True, text=True, check=False, timeout=60
    )


def test_no_room_for_the_report_on_a_small_tmpfs(here: Path, bins: Path, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("12k")
    old = disk / "out.json"
    old.write_text("old")
    done = write_report(here, bins, old)
    assert (done.returncode, old.read_text(), list(disk.iterdir())) == (2, "old", [old])
    assert f"cannot write {old}: No space left on device" in done.stderr


def test_no_room_for_the_report_on_dev_full(here: Path, bins: Path) -> None:
    done = write_report(here, bins, Path("/dev/full"))
    assert done.returncode == 2
    assert "cannot write /dev/full: No space left on device" in done.stderr


# -- 9: no temporary folder --------------------------------------------------------------------------------------------


def test_a_temporary_folder_that_is_not_there_is_another(quick: Sound, here: Path, bins: Path, tmp_path: Path) -> None:
    equal(scan(here, programs=tools(bins), env={"TMPDIR": str(tmp_path / "nowhere")}), quick.done)


def test_a_temporary_folder_that_is_read_only_is_another(
    quick: Sound, here: Path, bins: Path, tmp_path: Path, as_user: list[str]
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    equal(scan(here, programs=tools(bins), env={"TMPDIR": str(locked)}, wrap=as_user), quick.done)


def test_no_temporary_folder_at_all(here: Path, bins: Path) -> None:
    done = scan(here, programs=tools(bins), wrap=limited_to(0))
    assert (done.code, done.report) == (2, None)
    assert "No usable temporary directory found" in done.stderr
    assert "Name a folder that can be written to: TMPDIR." in done.stderr


# -- 10: the clock -----------------------------------------------------------------------------------------------------


@pytest.fixture
def faketime() -> str:
    found = [str(path) for path in sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))]
    if not found:
        pytest.skip("libfaketime is not installed: `make faketime` does, where apt-get can")
    return found[0]


@pytest.mark.real
def test_the_clock_is_years_back_and_is_set_back_while_kguard_runs(
    faketime: str, sound: Sound, here: Path, bins: Path, tmp_path: Path
) -> None:
    """kguard's own clock, that is: the tools get a clean environment, and are static binaries that it would not reach."""
    clock = tmp_path / "clock"
    clock.write_text("@2001-02-03 04:05:06\n")
    programs = tools(bins, f"echo '@1999-01-01 00:00:00' >{shlex.quote(str(clock))}", stand_ins=False)
    env = {"LD_PRELOAD": faketime, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "TZ": "UTC"}
    # whoever sets a clock does not set the monotonic one
    env |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    done = scan(here, programs=programs, env=env)
    equal(done, sound.done)
    assert done.report["started"].startswith("2001-02-03T04:05")
    assert clock.read_text().startswith("@1999")
    assert 0 < done.report["seconds"] < 120
    assert all(0 < done.tool(name)["seconds"] <= done.report["seconds"] for name in NAMES)


# -- 11: killed at a random moment -------------------------------------------------------------------------------------

SEED = int(os.environ.get("KGUARD_SABOTAGE_SEED", random.SystemRandom().randrange(10**6)))
ROUNDS = 50
TWO = ("--tools", "trivy,polaris")
"""Of the four, for rounds that are many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """Stand-ins that are slow, a scan with two of them, and how long it takes when another goes on beside it."""

    programs: Mapping[str, Path]
    done: Scan
    seconds: float


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Usual:
    folder = tmp_path_factory.mktemp("slow")
    programs = tools(folder, "sleep 0.2")
    trees = [write_tree(folder / side) for side in ("left", "right")]
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        done, _ = pool.map(lambda tree: scan(tree, *TWO, programs=programs), trees)
    return Usual(programs=programs, done=done, seconds=time.monotonic() - started)


def start(here: Path, temporary: Path, *flags: str, programs: Mapping[str, Path]) -> subprocess.Popen[str]:
    """A scan whose temporary files stand in a folder of their own."""
    temporary.mkdir()
    argv, env = sabotage.argv_of((*TWO, *flags), programs), sabotage.environment({"TMPDIR": str(temporary)})
    return subprocess.Popen(argv, cwd=here, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left_of(temporary: Path) -> list[int]:
    """Processes that run on, which are ended."""
    left = list(sabotage.running(f"{temporary}/"))
    for survivor in left:
        with suppress(ProcessLookupError):
            os.kill(survivor, signal.SIGKILL)
    return left


def killed(number: int, folder: Path, usual: Usual) -> str | None:
    """One scan that is ended by a signal at a random moment; what is wrong with what it left behind."""
    chance = random.Random(f"{SEED}-{number}")
    end = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    moment = chance.uniform(0, usual.seconds * 1.1)
    here, temporary = write_tree(folder / f"round-{number}"), folder / f"tmp-{number}"
    out = here / "out.json"
    out.write_text("old")
    process = start(here, temporary, "-q", "-o", out.name, programs=usual.programs)
    time.sleep(moment)
    process.send_signal(end)
    _, said = process.communicate(timeout=60)
    left, text, code = left_of(temporary), out.read_text(), process.returncode
    # until kguard's first line runs, Python answers Ctrl-C itself: with 1 and a traceback
    too_early = code == 1 and end is signal.SIGINT and "KeyboardInterrupt" in said
    whole = text != "old" and json.loads(text)["gate"]["exit_code"] == 0
    wrong = {
        "half a report": text != "old" and not whole,
        "ended with 0 without a report": code == 0 and not whole,
        "a strange exit code": code not in (0, 130, -end) and not too_early,
    }
    if end != signal.SIGKILL:
        beside = {path.name for path in here.iterdir()} - {"tree", "out.json"}
        wrong |= {"a tool runs on": bool(left), "temporary files": any(temporary.iterdir()), "files": bool(beside)}
    found = [name for name, is_so in wrong.items() if is_so]
    return f"round {number}: {end.name} after {moment:.3f} s, code {code}: {found}" if found else None


def test_kguard_is_killed_at_a_random_moment(usual: Usual, tmp_path: Path) -> None:
    print(f"KGUARD_SABOTAGE_SEED={SEED}")
    with ThreadPoolExecutor(2) as pool:
        rounds = pool.map(lambda number: killed(number, tmp_path, usual), range(ROUNDS))
        assert [wrong for wrong in rounds if wrong] == [], f"seed {SEED}"


def test_kguard_is_told_to_end_twice(here: Path, bins: Path, tmp_path: Path) -> None:
    """As by a user who presses Ctrl-C again, while a tool must still be stopped that does not heed it."""
    temporary, on = tmp_path / "temporary", tmp_path / "on"
    programs = tools(bins, f"trap '' INT TERM; touch {on}; while :; do sleep 0.1; done")
    process = start(here, temporary, programs=programs)
    while not on.exists() and process.poll() is None:
        time.sleep(0.01)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "interrupted: no report was written.\n")
    assert left_of(temporary) == []
    assert list(temporary.iterdir()) == []


def kill_a_tool(process: subprocess.Popen[str], temporary: Path, chance: random.Random) -> bool:
    """Kill one of the tools' processes, once one runs and then after a while."""
    wait = chance.uniform(0, 0.4)
    while process.poll() is None:
        found = list(sabotage.running(f"HOME={temporary}/"))
        if found:
            time.sleep(wait)
            with suppress(ProcessLookupError):
                os.kill(chance.choice(found), chance.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM]))
                return True
        time.sleep(0.03)
    return False


def with_a_tool_killed(number: int, folder: Path, programs: Mapping[str, Path], sound: Scan) -> tuple[bool, bool]:
    """Whether a tool was killed, and whether the report says so; fails if it is neither the sound one nor says so."""
    here, temporary = write_tree(folder / f"round-{number}"), folder / f"tmp-{number}"
    process = start(here, temporary, "-f", "json", programs=programs)
    hit = kill_a_tool(process, temporary, random.Random(f"{SEED}-tool-{number}"))
    stdout, stderr = process.communicate(timeout=60)
    done = Scan(code=process.returncode, report=json.loads(stdout), stderr=stderr)
    told(done, sound)
    assert list(temporary.iterdir()) == []
    return hit, bool(done.incomplete)


def test_a_tool_is_killed_at_a_random_moment(usual: Usual, tmp_path: Path) -> None:
    print(f"KGUARD_SABOTAGE_SEED={SEED}")
    ends: list[tuple[bool, bool]] = []
    with ThreadPoolExecutor(2) as pool:
        # at least ten; on a busy machine the kill may often come too late to matter
        while len(ends) < 10 or (not any(is_told for _, is_told in ends) and len(ends) < 60):
            numbers = range(len(ends), len(ends) + 10)
            rounds = [pool.submit(with_a_tool_killed, n, tmp_path, usual.programs, usual.done) for n in numbers]
            ends += [future.result() for future in rounds]
    assert any(hit for hit, _ in ends), f"seed {SEED}"
    assert any(is_told for _, is_told in ends), f"seed {SEED}"


@pytest.mark.real
def test_a_real_tool_is_killed_at_a_random_moment(here: Path, bins: Path, tmp_path: Path) -> None:
    print(f"KGUARD_SABOTAGE_SEED={SEED}")
    programs = tools(bins, stand_ins=False)
    sound = scan(here, *TWO, programs=programs)
    ends = [with_a_tool_killed(number, tmp_path, programs, sound) for number in range(2)]
    assert any(hit for hit, _ in ends), f"seed {SEED}"


# -- 12: tools that misbehave ------------------------------------------------------------------------------------------


def test_tools_that_hang(quick: Sound, here: Path, bins: Path) -> None:
    done = scan(here, "--timeout", "1", programs=tools(bins, "trap '' INT; sleep 601 & wait; sleep 602"))
    told(done, quick.done, NAMES)
    assert {done.tool(name)["state"] for name in NAMES} == {"timed-out"}
    assert all("did not finish within 1 s" in done.tool(name)["reason"] for name in NAMES)


def test_a_tool_that_prints_more_than_a_gibibyte(quick: Sound, here: Path, bins: Path) -> None:
    done = scan(here, programs=tools(bins, "head -c 1100000000 /dev/zero", only=["trivy"]))
    told(done, quick.done, ["trivy"])
    assert done.tool("trivy")["reason"] == "trivy printed more than 1 GiB, the limit for one process"


def test_children_of_tools_that_run_on(quick: Sound, here: Path, bins: Path) -> None:
    """In the tool's group, or in a session of their own as daemons are."""
    mark = f"60.{os.getpid()}"
    daemon = shlex.join(
        [sys.executable, "-S", "-c", f"import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep({mark})"]
    )
    done = scan(here, programs=tools(bins, f"sleep {mark} & (trap '' HUP INT TERM; exec sleep {mark}) & {daemon}"))
    survivors = list(sabotage.running(mark))
    for survivor in survivors:
        os.kill(survivor, signal.SIGKILL)
    assert survivors == []
    equal(done, quick.done)


WRITES = {
    "empties a manifest": ': >"$root/tree/web--1.yaml"',
    "heals a manifest": 'sed -i s/true/false/ "$root/tree/web--1.yaml"',
    "heals a manifest where it stands": 'f="$root/tree/web--1.yaml"; t=$(sed s/true/false/ "$f"); printf %s "$t" >"$f"',
    "removes a manifest": 'rm "$root/tree/web--1.yaml"',
    "puts a link in its place": 'f="$root/tree/web--1.yaml"; rm "$f"; ln -s till--1.yaml "$f"',
    "adds a manifest": 'cp "$root/tree/web--1.yaml" "$root/tree/web--2.yaml"',
    "adds an ignore file": 'echo "*" >"$root/.kubescapeignore"',
    "adds a link to a folder": 'ln -s / "$root/tree/all"',
    "heals the canary": 'sed -i s/true/false/ "$root"/kguard-canary/*.yaml',
}


@pytest.mark.parametrize("act", WRITES.values(), ids=WRITES.keys())
def test_a_tool_that_writes_where_it_should_only_read(act: str, quick: Sound, here: Path, bins: Path) -> None:
    """It goes first; the others read what it left."""
    done = scan(here, "--jobs", "1", programs=tools(bins, act, only=["trivy"]))
    told(done, quick.done, NAMES)
    for name in NAMES:
        assert {item["reason"].split(": ")[0] for item in done.tool(name)["unread"]} == {
            f"what {name} said is not used"
        }
    assert done.report["findings"] == []


def test_a_tool_that_removes_its_own_folder(quick: Sound, here: Path, bins: Path) -> None:
    told(scan(here, programs=tools(bins, 'rm -rf "$(dirname "$HOME")"', only=["polaris"])), quick.done)


def test_a_tool_that_removes_the_folders_of_all(quick: Sound, here: Path, bins: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    programs = tools(bins, 'rm -rf "$(dirname "$(dirname "$HOME")")"', only=["trivy"])
    done = scan(here, "--jobs", "1", programs=programs, env={"TMPDIR": str(temporary)})
    told(done, quick.done, NAMES)
    assert list(temporary.iterdir()) == []


WORDS = {
    "nothing at all": ("exit 0", {"failed", "unreadable-output"}),
    "half of a JSON document": ("""printf '{"Results": [{"a'; exit 0""", {"unreadable-output"}),
    "JSON and then something else": ("", {"unreadable-output"}),
}


@pytest.mark.parametrize(("body", "states"), WORDS.values(), ids=WORDS.keys())
def test_tools_that_print(body: str, states: set[str], quick: Sound, here: Path, bins: Path) -> None:
    programs = tools(bins, body) if body else replayers(bins, quick.recorded, stand_ins=True, after="echo '{}'")
    done = scan(here, programs=programs)
    told(done, quick.done, NAMES)
    assert {done.tool(name)["state"] for name in NAMES} <= states
