"""The evidence for the catalogue: what each tool says of a bad and of a good case of every control that several tools check.

fixtures/controls/<control>/bad.yaml has the fault, good.yaml is the same without it. `make evidence` runs the tools that are there,
each once over all bad cases and once over all good ones, and writes again what they said: fixtures/controls/evidence.tsv and
tools.tsv, the recordings of kube-linter and polaris, and docs/coverage-of-controls.md.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from functools import cache
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import native

from kguard import catalog
from kguard.findings.catalogue import Control, RuleMapping, load_catalogue
from kguard.findings.locate import locate
from kguard.findings.merge import field_text
from kguard.inputs.objects import index
from kguard.model import KubeObject, Located, Parsed

BY_DEFAULT = ("kube-linter", "trivy", "kubescape", "polaris")
OPTIONAL = ("checkov", "kube-score")
TOOLS = (*BY_DEFAULT, *OPTIONAL)
CONTROLS = native.FIXTURES / "controls"
HEARD = CONTROLS / "evidence.tsv"
VERSIONS = CONTROLS / "tools.tsv"
PAGE = native.FIXTURES.parent / "docs" / "coverage-of-controls.md"
BAD, GOOD = native.EVIDENCE
SILENT = "-"
ABSENT = "absent"
"""In the place of what a rule says: the version of the tool that ran does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a rule says of the two cases of a control that the catalogue maps it to: objects, containers and fields."""

    control: str
    tool: str
    rule: str
    bad: str
    good: str

    @property
    def absent(self) -> bool:
        return self.bad == ABSENT

    @property
    def catches(self) -> bool:
        return self.bad not in (SILENT, ABSENT)

    @property
    def borne_out(self) -> bool:
        """It fires on the bad case, and not on the good one."""
        return self.catches and self.good == SILENT


def objection(mapping: RuleMapping, heard: Heard) -> str | None:
    """Why a mapping is not borne out by the cases; None where it is, or where the catalogue itself says how the rule differs. Only a
    rule that the version at hand does not have, a partial and a secondary one may differ."""
    if heard.borne_out:
        return None
    explained = bool(mapping.note or mapping.since)
    if heard.absent:
        return None if explained else "the version that ran does not have it, and neither `since` nor `note` says so"
    what = "fires on the good case" if heard.catches else "is silent on the bad case"
    if mapping.partial or mapping.secondary:
        return None if explained else f"it {what}, and no `note` says when it is silent or fires"
    return f"it {what}, and the catalogue calls it exact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A tool that the evidence comes from."""

    tool: str
    version: str
    rules: str
    """Where they come from."""


# -- what the tools say ---------------------------------------------------------------------------------------------------


@cache
def parsed(tool: str, stage: str) -> Parsed:
    return native.adapter(tool).parse(native.native(tool, stage))


@cache
def said(stage: str, tools: tuple[str, ...] = BY_DEFAULT) -> tuple[Located, ...]:
    """What tools say of a stage, in profile `all`; kube-linter and polaris replayed where they are not installed."""
    here = native.staged(stage)
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = list(pool.map(parsed, tools, [stage] * len(tools)))
    return tuple(item for one in found for item in locate(here.part, one.evidence, here.by_path, index))


def cases() -> tuple[str, ...]:
    """The controls that have a case."""
    return tuple(sorted(path.parent.name for path in CONTROLS.glob("*/bad.yaml")))


def case_of(obj: KubeObject) -> str:
    """The control that an object of fixtures/controls is a case of."""
    return PurePosixPath(obj.origin.path).parent.name


def rules_of(control: str) -> tuple[RuleMapping, ...]:
    """The rules of a control, tool by tool, exact ones first."""

    def order(mapping: RuleMapping) -> tuple[int, bool, bool, str]:
        return (TOOLS.index(mapping.tool), mapping.secondary, mapping.partial, mapping.rule)

    own = (mapping for mapping in load_catalogue().rules_of(control) if mapping.tool in TOOLS)
    return tuple(sorted(own, key=order))


@cache
def heard() -> tuple[Heard, ...]:
    """What every rule of every control that has a case says of it."""
    bad, good = _spots(BAD), _spots(GOOD)
    had = {tool: _rules(tool) for tool in TOOLS}
    found = []
    for control in cases():
        for mapping in rules_of(control):
            key = (control, mapping.tool, mapping.rule)
            silent = SILENT if mapping.rule in had[mapping.tool] else ABSENT
            found.append(
                Heard(
                    control=control,
                    tool=mapping.tool,
                    rule=mapping.rule,
                    bad="; ".join(sorted(bad.get(key, {silent}))),
                    good="; ".join(sorted(good.get(key, {silent}))),
                )
            )
    return tuple(found)


def _spots(stage: str) -> dict[tuple[str, str, str], set[str]]:
    """By case, tool and rule: the places that the tool names."""
    found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for item in said(stage, TOOLS):
        found[case_of(item.object), item.evidence.tool, item.evidence.rule].add(_spot(item))
    return found


def _spot(item: Located) -> str:
    through = f"through {item.path_object.ref}:" if item.path and item.path_object is not item.object else ""
    words = (str(item.object.ref), item.container.name if item.container else "", through, field_text(item.path or ()))
    return " ".join(filter(None, words))


def _rules(tool: str) -> frozenset[str]:
    """The rules that were on: as the tool's rule files have it, else as its output shows."""
    own = native.adapter(tool)
    known = own.rules(native.SETTINGS, native.RECORDED.get(tool)).ids
    if known is None:
        known = frozenset[str]().union(*(parsed(tool, stage).rules or () for stage in native.EVIDENCE))
    return known


def ran() -> tuple[Ran, ...]:
    return tuple(_ran(tool) for tool in TOOLS)


def _ran(tool: str) -> Ran:
    version = native.RECORDED.get(tool) or native.version(tool)
    rules = native.adapter(tool).rules(native.SETTINGS, version)
    return Ran(tool=tool, version=str(version), rules=rules.source)


# -- the records ----------------------------------------------------------------------------------------------------------


def write(path: Path, rows: Sequence[Any]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, dialect="excel-tab", lineterminator="\n")
        table.writerow(field.name for field in fields(rows[0]))
        table.writerows(map(astuple, rows))


def recorded_heard() -> tuple[Heard, ...]:
    with HEARD.open(newline="") as file:
        return tuple(Heard(**row) for row in csv.DictReader(file, dialect="excel-tab"))


def recorded_ran() -> tuple[Ran, ...]:
    with VERSIONS.open(newline="") as file:
        return tuple(Ran(**row) for row in csv.DictReader(file, dialect="excel-tab"))


def objections() -> Iterator[str]:
    """What speaks against the catalogue, by the records."""
    by_key = {(item.control, item.tool, item.rule): item for item in recorded_heard()}
    for control in cases():
        for mapping in rules_of(control):
            if why := objection(mapping, by_key[control, mapping.tool, mapping.rule]):
                yield f"{control}: {mapping.tool} {mapping.rule}: {why}"


# -- the page -------------------------------------------------------------------------------------------------------------

_HEAD = """# Which tool checks which control

Generated by `make evidence`. Each control of the catalogue that two or more of the six tools check, and that a file can show, has two
manifests in `fixtures/controls/<control>/`: `bad.yaml` has the fault, `good.yaml` is the same without it. The real tools read both,
with all their rules on; this is what they said. checkov and kube-score are off by default.

- **catches**: the rule fires on the bad case, and not on the good one.
- **misses**: the tool has a rule for the control, and none of its rules fires on the bad case.
- **silent**: a further rule for the control that does not fire on this case. It is about another kind of object or another way to
  write the fault; its note in [the catalogue](catalogue.md) says which.
- **absent**: the version that ran does not have the rule.
- *no rule*: the tool does not check the control.
- `rule~`: its trigger differs from the control's at the edges, so that on other manifests it may be silent or fire where the others
  do not. `+rule`: its main control is another.

A case is one way to write a fault. That a tool catches it does not show that it catches every other.
"""

_FOOT = """
## Make it again

    make evidence

runs the tools that are there and writes this page, `fixtures/controls/evidence.tsv` (the objects, containers and fields that each rule
names) and `fixtures/controls/tools.tsv` again. kube-linter and polaris run where they are on PATH, in the versions above, else their
recorded output (`fixtures/native/`) is read; the other tools run wherever the tests run. With another rule library of kubescape's:
`make evidence KGUARD_RULES=kubescape=FOLDER`.

`tests/findings/test_evidence.py` fails when an exact rule is silent on its bad case or fires on its good one, when another one does and
the catalogue does not say why, when kguard does not make one finding of each bad case with all that the tools said of it, and when this
page is not what the records say.
"""


def page(records: Iterable[Heard], tools: Sequence[Ran]) -> str:
    """docs/coverage-of-controls.md."""
    rows = {key: tuple(group) for key, group in groupby(records, key=lambda item: item.control)}
    catalogue = load_catalogue().controls
    shown = [control for control in catalogue.values() if control.id in rows]
    parts = [_HEAD, _sums(rows.values(), tools)]
    for category, controls in groupby(shown, key=lambda control: control.category):
        parts.append(_category(category, [(control, rows[control.id]) for control in controls]))
    return "\n".join([*parts, _not_shown(catalogue.values())]) + _FOOT


def _sums(rows: Iterable[Sequence[Heard]], tools: Sequence[Ran]) -> str:
    counts = Counter((tool, _state([item for item in row if item.tool == tool])) for row in rows for tool in TOOLS)
    lines = [(words, *(str(counts[tool, state]) for tool in TOOLS)) for state, words in _STATES.items()]
    head = ("", *(f"{one.tool} {one.version}" for one in tools))
    return f"{_table(head, lines)}\nThe rules: {'; '.join(one.rules for one in tools)}.\n"


_STATES = {
    "catches": "catches the bad case",
    "misses": "misses it although it has a rule",
    "absent": "has its rule in another version only",
    "no rule": "no rule",
}


def _state(own: Sequence[Heard]) -> str:
    """What a tool makes of a control."""
    if not own:
        return "no rule"
    if any(item.catches for item in own):
        return "catches"
    return "absent" if all(item.absent for item in own) else "misses"


def _category(name: str, controls: Sequence[tuple[Control, Sequence[Heard]]]) -> str:
    lines = [
        (f"[{control.id}](catalogue.md#{control.id})", *(_cell(tool, rows) for tool in TOOLS))
        for control, rows in controls
    ]
    missed = "".join(f"\n{line}\n" for _, rows in controls for line in _missed(rows))
    return f"## {catalog.heading(name)}\n\n{_table(('control', *TOOLS), lines)}{missed}"


def _missed(rows: Sequence[Heard]) -> Iterator[str]:
    """What the catalogue says of the rules by which a tool should have caught a fault."""
    for mapping in rules_of(rows[0].control):
        own = [item for item in rows if item.tool == mapping.tool]
        if _state(own) == "misses":
            why = "; ".join(filter(None, (mapping.note, mapping.since and f"since {mapping.since}")))
            yield f"{mapping.control}: {mapping.tool} `{_marked(mapping)}`: {why}."


def _cell(tool: str, rows: Sequence[Heard]) -> str:
    own = [item for item in rows if item.tool == tool]
    state = _state(own)
    if state == "no rule":
        return "*no rule*"
    marked = {(mapping.tool, mapping.rule): _marked(mapping) for mapping in rules_of(rows[0].control)}
    groups: dict[str, list[str]] = defaultdict(list)
    for item in own:
        word = "catches" if item.catches else "absent" if item.absent else "silent" if state == "catches" else "misses"
        also = " (fires on the good case, too)" if item.good not in (SILENT, ABSENT) else ""
        groups[word].append(f"`{marked[item.tool, item.rule]}`{also}")
    order = ("catches", "misses", "silent", "absent")
    return "<br>".join(f"**{word}** {', '.join(groups[word])}" for word in order if word in groups)


def _marked(mapping: RuleMapping) -> str:
    return f"{'+' if mapping.secondary else ''}{mapping.rule}{'~' if mapping.partial else ''}"


def _not_shown(controls: Iterable[Control]) -> str:
    """The controls that several tools check and that no case shows, by reason."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for control in controls:
        if control.not_shown:
            reasons[control.not_shown].append(f"`{control.id}`")
    count = sum(map(len, reasons.values()))
    lines = "".join(f"- {reason} {', '.join(names)}\n" for reason, names in reasons.items())
    return f"## What no manifest shows\n\n{count} more controls are checked by two or more tools.\n\n{lines}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def main() -> int:
    for tool in native.RECORDED:
        if native.installed(tool):
            for stage in native.EVIDENCE:
                native.record(tool, stage)
        else:
            print(f"{tool} {native.RECORDED[tool]} is not on PATH: its recorded output is read")
    write(HEARD, heard())
    write(VERSIONS, ran())
    PAGE.write_text(page(recorded_heard(), recorded_ran()))
    wrong = [*objections()]
    print("\n".join([*wrong, f"{len(cases())} controls; {len(wrong)} mappings are not borne out"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
