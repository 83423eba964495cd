"""One process from start to end: clean environment, deadline, output cap, its cost, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kguard.model import Command, Outcome, RunState

OUTPUT_CAP = 1024**3
"""Bytes that a process may print on each stream: 1 GiB, as trivy prints 68 kB an object."""
_GRACE_SECONDS = 1.0
"""How long a process may take to obey INT, then TERM, before KILL."""
_KILL_SECONDS = 10.0
"""How long to wait for a killed process: one in an uninterruptible system call goes when the kernel lets it."""
_LONGEST_PAUSE = 0.05
_SHORT_PAUSE = 0.01
_HEAD = 64 * 1024
"""Bytes kept of each stream of a process that was stopped or killed."""

WORK = "work"
"""The working directory, in the folder that belongs to a process."""

_Failure = tuple[RunState, str]


class Cancelled(Exception):
    """The run was called off; the process is gone."""


def run(
    command: Command,
    program: Path,
    folder: Path,
    *,
    timeout: float,
    output_cap: int = OUTPUT_CAP,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Run a program to its end, or to its limits of `timeout` seconds and `output_cap` bytes a stream; never raises for what it did.

    `folder`, which is created, belongs to this process alone: its HOME, its working directory, its temporary files and what it
    prints stand there. Raises Cancelled, with the process gone, once `cancel` is set.
    """
    name = command.argv[0]
    try:
        work = _prepare(command, folder)
        streams = _private(folder / "stdout"), _private(folder / "stderr")
    except OSError as error:
        reason = f"{name} was not started: its temporary folder cannot be written: {error.strerror}"
        return _not_started(command, RunState.FAILED, reason)
    # Output goes straight into files. With pipes somebody has to drain both at once, and a grandchild that keeps one open keeps
    # its reader waiting after the process is long gone; a file needs no reader.
    with streams[0] as out, streams[1] as err:
        started = time.monotonic()
        try:
            process = subprocess.Popen(  # noqa: S603 - an argv list, no shell
                [str(program), *command.argv[1:]],
                cwd=work,
                env=_environment(folder, command.env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # a group of its own, so that whatever it starts can be stopped with it
                umask=0o077,
            )
        except OSError as error:
            return _not_started(command, RunState.MISSING, f"{name} cannot be started: {program}: {error.strerror}")
        child = _Child(name=name, process=process, home=_home(folder), streams=streams, started=started)
        failure = _watch(child, timeout, output_cap, cancel or threading.Event())
        return _outcome(command, child, failure)


def _prepare(command: Command, folder: Path) -> Path:
    folder.mkdir(parents=True, mode=0o700)
    for own in (_home(folder), folder / "tmp", folder / WORK):
        own.mkdir(mode=0o700)
    for name, content in command.files.items():
        target = folder / WORK / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _private(target) as file:
            file.write(content)
    return folder / WORK


def _home(folder: Path) -> Path:
    return folder / "home"


def _private(path: Path) -> BinaryIO:
    """A new file that nobody else may read."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")


def _not_started(command: Command, state: RunState, reason: str) -> Outcome:
    return Outcome(command=command, exit_code=None, stdout=b"", stderr=b"", failure=state, reason=reason)


def _environment(folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the caller's: no kubeconfig, no cloud or CI token, no proxy, no TRIVY_* that changes what is found. The tools
    run alone and offline, so the system's own programs are all that PATH needs."""
    home = _home(folder)
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "TMPDIR": str(folder / "tmp"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "XDG_RUNTIME_DIR": str(folder / "tmp"),
        "KUBECONFIG": str(home / "no-kubeconfig"),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        **extra,
    }


@dataclass(slots=True, kw_only=True)
class _Child:
    """A running process, and what is known of it so far."""

    name: str
    process: subprocess.Popen[bytes]
    home: Path
    streams: tuple[BinaryIO, BinaryIO]
    """What it prints. The files are kept open: a tool may remove them."""
    started: float
    seconds: float = 0.0
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None

    def ended(self) -> bool:
        """Whether it is over; takes its cost when it is."""
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            self.seconds = time.monotonic() - self.started
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return self.process.returncode is not None

    def sample(self) -> None:
        self.peak_memory_bytes = _peak_memory(self.process.pid) or self.peak_memory_bytes

    def printed(self) -> int:
        """Bytes of its longer stream."""
        return max(os.fstat(stream.fileno()).st_size for stream in self.streams)

    def signal(self, number: signal.Signals) -> None:
        """To the whole group. A group outlives its leader, so this reaches what the process left running, too."""
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # nobody is left; BSD systems call a group of zombies a matter of permission

    def stop(self) -> None:
        """End it and all it started: INT lets a tool clean up, TERM asks again, KILL does not ask."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self.ended():
                break
            self.signal(number)
            until = time.monotonic() + (_GRACE_SECONDS if number is not signal.SIGKILL else _KILL_SECONDS)
            while not self.ended() and time.monotonic() < until:
                time.sleep(_SHORT_PAUSE)
        self.signal(signal.SIGKILL)
        self._end_daemons()

    def _end_daemons(self) -> None:
        """What has left the group is told by the HOME that only this process and its children were given."""
        until = time.monotonic() + _KILL_SECONDS
        while (daemons := _at_home(self.home)) and time.monotonic() < until:
            for daemon in daemons:
                with suppress(ProcessLookupError):
                    os.kill(daemon, signal.SIGKILL)
            time.sleep(_SHORT_PAUSE)


def _watch(child: _Child, timeout: float, output_cap: int, cancel: threading.Event) -> _Failure | None:
    """Wait for the end, or for the first limit that is passed; either way nothing of it runs on."""
    pause = _SHORT_PAUSE / 2
    try:
        while not child.ended() and child.printed() <= output_cap:
            child.sample()
            if child.seconds > timeout:
                return RunState.TIMED_OUT, f"{child.name} did not finish within {timeout:g} s"
            if cancel.wait(pause):
                raise Cancelled
            pause = min(pause * 1.2, _LONGEST_PAUSE)  # a short run is not held up, a long one costs next to nothing
    finally:
        child.stop()
    if child.printed() > output_cap:
        return RunState.FAILED, f"{child.name} printed more than {_size(output_cap)}, the limit for one process"
    code = child.process.returncode
    return (RunState.FAILED, f"{child.name} was killed by {_signal_name(-code)}") if code < 0 else None


def _outcome(command: Command, child: _Child, failure: _Failure | None) -> Outcome:
    state, reason = failure or (None, None)
    stdout, stderr = (_read(stream, _HEAD if failure else -1) for stream in child.streams)
    return Outcome(
        command=command,
        exit_code=None if failure else child.process.returncode,
        stdout=stdout,
        stderr=stderr,
        failure=state,
        reason=reason,
        seconds=child.seconds,
        cpu_seconds=child.cpu_seconds,
        peak_memory_bytes=child.peak_memory_bytes,
    )


def _at_home(home: Path) -> list[int]:
    """Ids of the running processes with this HOME; none on systems without /proc."""
    mark, found = f"HOME={home}".encode(), []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # gone meanwhile, or another user's
            if mark in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found


def _peak_memory(pid: int) -> int | None:
    """VmHWM in bytes, as a child's ru_maxrss would start at our own size; None without /proc, or when the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), None)


def _read(stream: BinaryIO, most: int) -> bytes:
    """What was printed, or the first `most` bytes of it; -1: all."""
    stream.seek(0)
    return stream.read(most)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def _size(count: int) -> str:
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= size:
            return f"{count / size:g} {unit}"
    return f"{count} bytes"
