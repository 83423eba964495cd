"""The command line: where arguments come in, and where every way to end becomes a sentence and an exit code."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from kguard import __version__
from kguard.errors import ExitCode, KguardError

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""CI ends a job with TERM, a terminal that is closed with HUP: the tools must be stopped and the stage removed then, as for Ctrl-C."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    """Entry point of the `kguard` command."""
    _answer(_ENDS, _leave)
    from kguard.cli.app import app

    app(prog_name="kguard")


def guarded(command: Callable[[], ExitCode]) -> int:
    """Run a command to its exit code; expected ends become `error: ...` on stderr, anything else a bug report."""
    before = _answer(_ENDS, _interrupt)
    try:
        code = command()
        sys.stdout.flush()
        return int(code)
    except KguardError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted: no report was written.", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # the reader of our output (`| head`) has left: nobody can be told, and the verdict was not delivered
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.INCOMPLETE)
    except OSError as error:
        return _no_room(error) if error.errno in _FULL else _bug()
    except Exception:  # noqa: BLE001 - the last line of defence: a bug ends with its own exit code and words
        return _bug()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_Handler = Callable[[int, FrameType | None], object]


def _answer(numbers: Iterable[signal.Signals], handler: _Handler) -> dict[signal.Signals, Any]:
    """Have signals answered, but those that the caller (nohup) has us ignore; gives the handlers that they had."""
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def _leave(number: int, frame: FrameType | None) -> None:
    """At once: there is nothing yet, or no more, to be cleaned up."""
    os._exit(ExitCode.INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Once: a second signal must not keep the first from cleaning up, which takes a few seconds at most."""
    for other in _ENDS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _no_room(error: OSError) -> int:
    print(f"error: {error.strerror}: no whole report could be written. Make room and run again.", file=sys.stderr)
    # what is still buffered must not fail a second time when the interpreter ends
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(ExitCode.INCOMPLETE)


def _bug() -> int:
    traceback.print_exc()
    again = shlex.join(["kguard", *sys.argv[1:]])
    print(
        f"\nerror: this is a bug in kguard {__version__}. Please report it with the lines above, the command\n"
        f"       {again}\n       and the files that it read. Exit {int(ExitCode.BUG)}.",
        file=sys.stderr,
    )
    return int(ExitCode.BUG)
