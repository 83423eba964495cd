"""One process from start to end: clean environment, deadline, output cap, its cost, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kguard.model import Command, Outcome, RunState

OUTPUT_CAP = 1024**3
"""Bytes of either stream, 1 GiB: trivy prints 68 kB an object."""
_POLL_SECONDS = 0.02
_GRACE_SECONDS = (2.0, 2.0)
"""How long a process may take to obey INT, then TERM, before KILL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a process may use."""

    seconds: float
    output_bytes: int = OUTPUT_CAP


class Cancelled(Exception):
    """The run was called off; the process is gone."""


def run(
    command: Command, program: Path, folder: Path, limits: Limits, cancel: threading.Event | None = None
) -> Outcome:
    """Run a program to its end, or to its limit. Never raises for what it did.

    `folder` is the process's own: its HOME, its working directory, its temporary files and what it prints stand there. Output goes
    straight into files, not pipes: there is nothing to drain, so no stream can block another, and a grandchild that keeps a stream
    open cannot keep us waiting. Raises Cancelled when `cancel` was set.
    """
    work = _prepare(command, folder)
    started = time.monotonic()
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        try:
            process = subprocess.Popen(  # noqa: S603 - an argv list, no shell
                [str(program), *command.argv[1:]],
                cwd=work,
                env=_environment(folder, command.env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # a group of its own, so that its children can be stopped with it
            )
        except OSError as error:
            reason = f"{program} cannot be run: {error.strerror}"
            return Outcome(
                command=command, exit_code=None, stdout=b"", stderr=b"", failure=RunState.MISSING, reason=reason
            )
        watch = _Watch(process, limits, folder, started, cancel)
        watch.until_end()
    return watch.outcome(command)


def _prepare(command: Command, folder: Path) -> Path:
    for name in ("home", "tmp", "work"):
        (folder / name).mkdir(parents=True, mode=0o700)
    work = folder / "work"
    for name, content in command.files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)
    return work


def _environment(folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the caller's: no kubeconfig, no cloud or CI token, no proxy, no TRIVY_* that changes what is found."""
    home = str(folder / "home")
    return {
        "PATH": os.defpath,
        "HOME": home,
        "TMPDIR": str(folder / "tmp"),
        "XDG_CACHE_HOME": f"{home}/.cache",
        "XDG_CONFIG_HOME": f"{home}/.config",
        "XDG_DATA_HOME": f"{home}/.local/share",
        "KUBECONFIG": f"{home}/no-kubeconfig",
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        **extra,
    }


class _Watch:
    """A running process under its limits."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        limits: Limits,
        folder: Path,
        started: float,
        cancel: threading.Event | None,
    ) -> None:
        self._process, self._limits, self._folder, self._started, self._cancel = (
            process,
            limits,
            folder,
            started,
            cancel,
        )
        self._status: int | None = None
        self._cpu: float | None = None
        self._peak: int | None = None
        self._failure: RunState | None = None
        self._reason: str | None = None
        self._seconds = 0.0

    def until_end(self) -> None:
        """Wait, sampling memory; stop the process when a limit is passed."""
        try:
            while not self._ended():
                self._peak = _peak_memory(self._process.pid) or self._peak
                if self._cancel is not None and self._cancel.is_set():
                    raise Cancelled
                if self._limit_passed():
                    self._stop()
                    break
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self._stop()
            raise
        finally:
            self._seconds = time.monotonic() - self._started
            self._signal(signal.SIGKILL)  # whatever it started and did not wait for

    def _ended(self) -> bool:
        if self._status is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._status = status
                self._process.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait again
                self._cpu = usage.ru_utime + usage.ru_stime
        return self._status is not None

    def _limit_passed(self) -> bool:
        if time.monotonic() - self._started > self._limits.seconds:
            self._failure, self._reason = RunState.TIMED_OUT, f"did not finish within {self._limits.seconds:g} s"
        elif any((self._folder / name).stat().st_size > self._limits.output_bytes for name in ("stdout", "stderr")):
            self._failure = RunState.FAILED
            self._reason = f"printed more than {_size(self._limits.output_bytes)}, the limit for one process"
        return self._failure is not None

    def _stop(self) -> None:
        """INT lets a tool clean up, TERM asks again, KILL does not ask."""
        for step, grace in (
            (signal.SIGINT, _GRACE_SECONDS[0]),
            (signal.SIGTERM, _GRACE_SECONDS[1]),
            (signal.SIGKILL, 60.0),
        ):
            self._signal(step)
            until = time.monotonic() + grace
            while time.monotonic() < until:
                if self._ended():
                    return
                time.sleep(_POLL_SECONDS)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # the whole group is gone, which is what was wanted

    def outcome(self, command: Command) -> Outcome:
        code = self._process.returncode
        if self._failure is None and code is not None and code < 0:
            self._failure, self._reason = RunState.FAILED, f"was killed by {_signal_name(-code)}"
        return Outcome(
            command=command,
            exit_code=code if code is not None and code >= 0 and self._failure is None else None,
            stdout=b"" if self._failure else (self._folder / "stdout").read_bytes(),
            stderr=_head(self._folder / "stderr", 16 * 1024**2),
            failure=self._failure,
            reason=self._reason,
            seconds=self._seconds,
            cpu_seconds=self._cpu,
            peak_memory_bytes=self._peak,
        )


def _peak_memory(pid: int) -> int | None:
    """VmHWM in bytes. A child's ru_maxrss would start at our own size; None where /proc is missing or the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), None)


def _head(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _size(count: int) -> str:
    return f"{count / 1024**2:g} MiB" if count >= 1024**2 else f"{count} bytes"
