"""What a process may do, and what kguard knows of it afterwards."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kguard.model import Command, Outcome, RunState
from kguard.running.process import Cancelled, run

HANG = "while :; do sleep 1; done"
FOUR_MEGABYTES = "printf '%04000000d' 0"

Script = Callable[..., Path]
LeftBehind = Callable[[], list[int]]


def start(program: Path, folder: Path, *args: str, timeout: float = 20, output_cap: int = 10**7) -> Outcome:
    command = Command(argv=("tool", *args))
    return run(command, program, folder, timeout=timeout, output_cap=output_cap)


def test_what_it_prints_and_its_exit_code_are_data(write_script: Script, tmp_path: Path) -> None:
    outcome = start(write_script("tool", 'echo "$@"; echo oh >&2; exit 3'), tmp_path / "run", "a b", "$HOME", "*")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, b"a b $HOME *\n", b"oh\n")
    assert (outcome.failure, outcome.reason) == (None, None)


def test_it_sees_nothing_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "TRIVY_SEVERITY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "the caller's")
    env = shutil.which("env")
    assert env is not None
    command = Command(argv=("env",), env={"ITS_OWN": "1"})
    outcome = run(command, Path(env), tmp_path / "run", timeout=20)
    seen = dict(line.split("=", 1) for line in outcome.stdout.decode().splitlines())
    assert set(seen) == {
        *("PATH", "HOME", "TMPDIR", "LANG", "NO_COLOR", "KUBECONFIG", "ITS_OWN"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
    }
    assert "the caller's" not in seen.values()
    assert not Path(seen["KUBECONFIG"]).exists()
    below = [value for name, value in seen.items() if name in ("HOME", "TMPDIR", "KUBECONFIG") or "XDG" in name]
    assert all(Path(value).is_relative_to(tmp_path / "run") for value in below)


def test_its_folder_is_its_own_and_private(write_script: Script, tmp_path: Path) -> None:
    program = write_script("tool", 'pwd; cat sub/config.yaml; ls -A "$HOME"; echo new > made')
    command = Command(argv=("tool",), files={"sub/config.yaml": b"a: 1\n"})
    outcome = run(command, program, tmp_path / "run", timeout=20)
    assert outcome.stdout.decode() == f"{tmp_path}/run/work\na: 1\n"
    below = list((tmp_path / "run").rglob("*"))
    assert {path.name for path in below} >= {"stdout", "stderr", "config.yaml", "made"}
    assert [path for path in below if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_it_has_no_input_though_the_caller_has(write_script: Script, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"for the caller")
    os.close(writer)
    own = os.dup(0)
    os.dup2(reader, 0)
    try:
        outcome = start(write_script("tool", "wc -c"), tmp_path / "run")
    finally:
        os.dup2(own, 0)
        os.close(own)
        os.close(reader)
    assert outcome.stdout.strip() == b"0"


def test_a_program_that_is_absent_is_missing(tmp_path: Path) -> None:
    outcome = start(tmp_path / "absent", tmp_path / "run")
    assert outcome.failure is RunState.MISSING
    assert outcome.reason == f"tool cannot be started: {tmp_path}/absent: No such file or directory"
    assert outcome.exit_code is None


def test_a_file_that_is_not_executable_is_missing(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    outcome = start(tmp_path / "tool", tmp_path / "run")
    assert outcome.failure is RunState.MISSING
    assert outcome.reason == f"tool cannot be started: {tmp_path}/tool: Permission denied"


def test_a_file_that_is_no_program_is_missing(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"\x7fELF, but not really")
    (tmp_path / "tool").chmod(0o755)
    outcome = start(tmp_path / "tool", tmp_path / "run")
    assert outcome.failure is RunState.MISSING
    assert outcome.reason == f"tool cannot be started: {tmp_path}/tool: Exec format error"


def test_a_megabyte_on_stderr_blocks_nothing(write_script: Script, tmp_path: Path) -> None:
    body = "import sys\nsys.stderr.write('x' * 1_000_000)\nsys.stderr.flush()\nprint('good')"
    outcome = start(write_script("tool", body, python=True), tmp_path / "run")
    assert (outcome.exit_code, outcome.stdout, len(outcome.stderr)) == (0, b"good\n", 1_000_000)


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_output_beyond_the_cap_fails(
    write_script: Script, tmp_path: Path, left_behind: LeftBehind, stream: str
) -> None:
    program = write_script("tool", f"{FOUR_MEGABYTES} {stream}; {HANG}")
    outcome = start(program, tmp_path / "run", output_cap=2**20)
    assert (outcome.failure, outcome.exit_code) == (RunState.FAILED, None)
    assert outcome.reason == "tool printed more than 1 MiB, the limit for one process"
    assert max(len(outcome.stdout), len(outcome.stderr)) < 100_000
    assert left_behind() == []


def test_output_beyond_the_cap_fails_even_when_it_came_at_once(write_script: Script, tmp_path: Path) -> None:
    outcome = start(write_script("tool", "printf 12345"), tmp_path / "run", output_cap=4)
    assert outcome.failure is RunState.FAILED


def test_a_signal_fails(write_script: Script, tmp_path: Path) -> None:
    outcome = start(write_script("tool", "echo half; kill -SEGV $$"), tmp_path / "run")
    assert (outcome.failure, outcome.exit_code) == (RunState.FAILED, None)
    assert outcome.reason == "tool was killed by SIGSEGV"


@pytest.mark.parametrize("trap", ["", "trap '' INT;", "trap '' INT TERM;"], ids=["obeys", "needs TERM", "needs KILL"])
def test_a_process_that_hangs_is_stopped(
    write_script: Script, tmp_path: Path, left_behind: LeftBehind, trap: str
) -> None:
    started = time.monotonic()
    outcome = start(write_script("tool", f"{trap} echo on; {HANG}"), tmp_path / "run", timeout=0.3)
    assert (outcome.failure, outcome.exit_code) == (RunState.TIMED_OUT, None)
    assert outcome.reason == "tool did not finish within 0.3 s"
    assert time.monotonic() - started < 8
    assert left_behind() == []


def test_a_child_that_hangs_is_stopped_with_its_parent(
    write_script: Script, tmp_path: Path, left_behind: LeftBehind
) -> None:
    program = write_script("tool", f"( trap '' INT TERM; echo child >&2; {HANG} ) & wait")
    outcome = start(program, tmp_path / "run", timeout=0.5)
    assert (outcome.failure, outcome.stderr) == (RunState.TIMED_OUT, b"child\n")
    assert left_behind() == []


def test_a_child_that_outlives_its_parent_delays_nothing(
    write_script: Script, tmp_path: Path, left_behind: LeftBehind
) -> None:
    program = write_script("tool", f"( trap '' INT TERM; {HANG} ) & echo good")
    outcome = start(program, tmp_path / "run", timeout=15)
    assert (outcome.failure, outcome.exit_code, outcome.stdout) == (None, 0, b"good\n")
    assert outcome.seconds < 5
    assert left_behind() == []


DAEMON = """\
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
print("good")
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="daemons are found in /proc")
def test_a_daemon_is_stopped_with_the_tool_that_started_it(
    write_script: Script, tmp_path: Path, left_behind: LeftBehind
) -> None:
    outcome = start(write_script("tool", DAEMON, python=True), tmp_path / "run")
    assert (outcome.exit_code, outcome.stdout) == (0, b"good\n")
    assert left_behind() == []


def test_what_it_printed_is_read_though_it_removed_the_files(write_script: Script, tmp_path: Path) -> None:
    outcome = start(write_script("tool", 'rm -r "$(dirname "$HOME")"; echo good'), tmp_path / "run")
    assert (outcome.exit_code, outcome.stdout) == (0, b"good\n")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_fails(write_script: Script, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = start(write_script("tool", "echo good"), tmp_path / "file" / "run")
    assert (outcome.failure, outcome.exit_code) == (RunState.FAILED, None)
    assert outcome.reason == "tool was not started: its temporary folder cannot be written: Not a directory"


def test_a_run_can_be_called_off(write_script: Script, tmp_path: Path, left_behind: LeftBehind) -> None:
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    command = Command(argv=("tool",))
    with pytest.raises(Cancelled):
        run(command, write_script("tool", HANG), tmp_path / "run", timeout=20, cancel=cancel)
    assert left_behind() == []


def test_its_cost_is_its_own(write_script: Script, tmp_path: Path) -> None:
    body = (
        "import time\nheld = b'x' * 60_000_000\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    )
    outcome = start(write_script("tool", body, python=True), tmp_path / "run")
    assert outcome.cpu_seconds is not None
    assert 0.3 <= outcome.cpu_seconds < 3
    assert outcome.seconds >= 0.3
    if Path("/proc/self/status").exists():
        assert outcome.peak_memory_bytes is not None
        assert 60_000_000 < outcome.peak_memory_bytes < 200_000_000


def test_memory_is_not_the_parents(write_script: Script, tmp_path: Path) -> None:
    held = b"x" * 300_000_000
    outcome = start(write_script("tool", "sleep 0.3"), tmp_path / "run")
    assert len(held) > (outcome.peak_memory_bytes or 0)
