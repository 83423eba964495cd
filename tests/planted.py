"""Manifests with several faults each, and what must be found in them: fixtures/faults and fixtures/several-faults.

Beside each manifest stands a table, written by hand before the tools ran: of every control that it names, all findings of the manifest,
each with its line and exactly the tools that support it. A row with `-` for the object says that there is none; `tool?` may be absent.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import native

from kguard.model import Finding

FOLDERS = ("faults", "several-faults")
Seat = tuple[str, str, str, str]
"""Object, container, discriminator and line; `-` for none."""


def cases(folder: str) -> list[str]:
    return sorted(path.stem for path in (native.FIXTURES / folder).glob("*.tsv"))


def expected(folder: str, case: str) -> Mapping[str, Mapping[Seat, frozenset[str]]]:
    """By control, the seats of its faults and the tools that find each."""
    wanted: dict[str, dict[Seat, frozenset[str]]] = defaultdict(dict)
    with (native.FIXTURES / folder / f"{case}.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            seats = wanted[row["control"]]
            if row["object"] != "-":
                seat = (row["object"], row["container"], row["discriminator"], row["line"])
                assert seat not in seats, f"{case}.tsv has {row['control']} at {seat} twice"
                seats[seat] = frozenset(row["tools"].split(","))
    return wanted


def differences(wanted: Mapping[str, Mapping[Seat, frozenset[str]]], findings: Iterable[Finding]) -> Iterator[str]:
    """A line for each seat at which what was found is not what was written down."""
    found: dict[str, dict[Seat, frozenset[str]]] = defaultdict(dict)
    for finding in findings:
        assert _seat(finding) not in found[finding.control], f"{finding.control} at {_seat(finding)} twice"
        found[finding.control][_seat(finding)] = frozenset(finding.tools)
    for control, seats in wanted.items():
        for seat in sorted(seats.keys() | found[control].keys()):
            want, have = seats.get(seat, frozenset()), found[control].get(seat, frozenset())
            if not _agree(want, have):
                yield f"{control} at {', '.join(seat)}: {_words(want)} expected, {_words(have)} found"


def of_case(case: str, findings: Iterable[Finding]) -> list[Finding]:
    """Those of a folder's findings that stand in one of its manifests."""
    return [finding for finding in findings if Path(finding.location.path).stem == case]


def _seat(finding: Finding) -> Seat:
    return (str(finding.object), finding.container or "-", finding.discriminator or "-", str(finding.location.line))


def _agree(wanted: frozenset[str], found: frozenset[str]) -> bool:
    surely = {tool for tool in wanted if not tool.endswith("?")}
    return surely <= found <= {tool.rstrip("?") for tool in wanted}


def _words(tools: frozenset[str]) -> str:
    return " ".join(sorted(tools)) or "nothing"
