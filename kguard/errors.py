"""Every way kguard can end, each with its own exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of `kguard scan`; part of the public interface."""

    PASS = 0
    FINDINGS = 1
    USAGE = 2
    NOTHING_TO_SCAN = 3
    INCOMPLETE = 4
    BUG = 5
    INTERRUPTED = 130


class KguardError(Exception):
    """An expected end: a message for the user (what, where, why, what next) and an exit code; never a stack trace."""

    exit_code = ExitCode.BUG


class UsageError(KguardError):
    """A path, flag or file that the user gave cannot be used."""

    exit_code = ExitCode.USAGE


class NothingToScan(KguardError):
    """The paths exist, but hold no Kubernetes object and nothing that looks like one."""

    exit_code = ExitCode.NOTHING_TO_SCAN


class ParseError(Exception):
    """A tool's output is not what its adapter knows: truncated, another tool's, another format. Raised by adapters, caught by the
    runner: the run is `unreadable-output`."""


class ToolFailure(Exception):
    """A tool says itself that it failed. Raised by adapters with the tool's own words, caught by the runner: the run is `failed`."""
