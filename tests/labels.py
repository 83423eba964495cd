"""The label check: manifests with faults that another scanner has labelled, and which of the four tools find each.

`python tests/labels.py CORPUS` reads CORPUS/labels.tsv (path, tool, rule, `fail` or `pass`), scans every folder with a labelled manifest as
a bundle of its own, and prints every labelled fault that a tool with a rule for it misses, then a table by tool. The labels are
checkov's; tests/checkov.tsv says which controls its rules are about, in the catalogue's notation: `control~` overlaps only partly,
`+control` is besides the rule's own. Exit code 1 when a labelled fault is two open findings of one control in one container, or one
that holds what was said of another container or object.
"""

from __future__ import annotations

import csv
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tabulate import tabulate

from kguard import scan
from kguard.findings.catalogue import load_catalogue
from kguard.findings.looked import Look, check
from kguard.findings.merge import merge_by_object
from kguard.inputs.objects import index
from kguard.model import Finding, KubeObject, ObjectRef, ToolRun
from kguard.settings import Profile, Settings

TOOLS = ("kube-linter", "trivy", "kubescape", "polaris")
MAPPING = Path(__file__).resolve().parent / "checkov.tsv"


class Verdict(StrEnum):
    """What a tool has to do with a labelled fault, best first."""

    CAUGHT = "caught"
    MISSED = "missed"
    PARTLY = "missed by a rule for a part"
    UNREAD = "did not look"
    NO_RULE = "has no rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A manifest that is labelled as failing a rule, and the controls that the rule is about."""

    path: str
    """Below the corpus."""
    rule: str
    controls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What kguard makes of the folders with labelled manifests; objects and findings by the file's path below the corpus."""

    tools: tuple[ToolRun, ...]
    objects: Mapping[str, Sequence[KubeObject]]
    findings: Mapping[str, Sequence[Finding]]
    unread: frozenset[tuple[str, str]]
    """Tool and path."""


def controls_of(mapping: Path = MAPPING) -> dict[str, tuple[str, ...]]:
    """The controls of every rule of the labelling scanner, its own first."""
    with mapping.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {row["rule"]: tuple(name.strip("+~") for name in row["controls"].split(",") if name != "-") for row in rows}


def faults(corpus: Path) -> list[Fault]:
    known = controls_of()
    with (corpus / "labels.tsv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["expected"] == "fail"]
    return [Fault(path=row["path"], rule=row["rule_id"], controls=known[row["rule_id"]]) for row in rows]


def scanned(corpus: Path, labelled: Iterable[Fault], settings: Settings) -> Scanned:
    folders = sorted({str((corpus / fault.path).parent) for fault in labelled})
    gathered = scan.gather(folders, settings)
    objects = gathered.inventory.objects
    by_file: dict[str, list[KubeObject]] = defaultdict(list)
    for obj in objects:
        by_file[_below(corpus, obj.origin.path)].append(obj)
    findings: dict[str, list[Finding]] = defaultdict(list)
    for finding in merge_by_object(gathered.evidence, objects, load_catalogue(), index):
        findings[_below(corpus, finding.location.path)].append(finding)
    unread = {(tool.name, _below(corpus, item.path)) for tool in gathered.tools for item in tool.unread}
    return Scanned(tools=gathered.tools, objects=by_file, findings=findings, unread=frozenset(unread))


def _below(corpus: Path, path: str) -> str:
    return Path(path).resolve().relative_to(corpus).as_posix()


def asked(run: Scanned) -> list[ToolRun]:
    return [tool for tool in run.tools if tool.name in TOOLS]


# -- who finds a fault ----------------------------------------------------------------------------------------------------


def of_fault(fault: Fault, run: Scanned) -> list[Finding]:
    return [finding for finding in run.findings.get(fault.path, ()) if finding.control in fault.controls]


def verdict(tool: ToolRun, fault: Fault, run: Scanned) -> Verdict:
    if any(tool.name in finding.tools for finding in of_fault(fault, run)):
        return Verdict.CAUGHT
    looks = {check(tool, control, load_catalogue()).state for control in fault.controls}
    if not looks & {Look.ON, Look.PARTIAL}:
        return Verdict.NO_RULE if looks <= {Look.NO_RULE, Look.OFF} else Verdict.UNREAD
    types = {obj.ref.type for obj in run.objects.get(fault.path, ())}
    if (tool.name, fault.path) in run.unread or types <= set(tool.out_of_scope):
        return Verdict.UNREAD
    return Verdict.MISSED if Look.ON in looks else Verdict.PARTLY


# -- what must not be -----------------------------------------------------------------------------------------------------


def doubles(findings: Iterable[Finding]) -> Iterator[str]:
    """Two open findings of one control in one container (or object), unless each names a thing of its own at a field of its own; and
    a control that is both on an object and on its container."""
    seats: dict[tuple[str, str, ObjectRef, str], dict[str | None, list[Finding]]] = {}
    for finding in findings:
        identity = finding.fingerprint.partition("-")[2]  # tells objects of one name apart
        containers = seats.setdefault((finding.control, finding.bundle, finding.object, identity), {})
        containers.setdefault(finding.container, []).append(finding)
    for (control, _, ref, _), containers in seats.items():
        if None in containers and len(containers) > 1:
            yield f"{control} is on {ref} and on a container of it"
        for container, found in containers.items():
            names = {finding.discriminator for finding in found}
            fields = {finding.fix.path for finding in found if finding.fix}
            if len(found) > 1 and (None in names or not len(names) == len(fields) == len(found)):
                yield f"{control} is {len(found)} findings of {ref}, container {container}: {names} at {fields}"


def strangers(finding: Finding) -> Iterator[str]:
    """What a finding holds that was said of another object or container."""
    control = load_catalogue().controls[finding.control]
    for said in finding.evidence:
        if said.object is not None and control.anchor is None:
            yield f"{finding.control} on {finding.object} holds what {said.tool} said of {said.object}"
        if said.container not in (None, finding.container) and control.scope == "container":
            yield f"{finding.control} in {finding.container} holds what {said.tool} said of {said.container}"


# -- the report -----------------------------------------------------------------------------------------------------------


def table(labelled: Sequence[Fault], run: Scanned) -> str:
    counts = {tool.name: Counter(verdict(tool, fault, run) for fault in labelled) for tool in asked(run)}
    rows = [[name, *(found[word] for word in Verdict), sum(found.values())] for name, found in counts.items()]
    return tabulate(rows, headers=["", *Verdict, "faults"], tablefmt="github")


def misses(labelled: Sequence[Fault], run: Scanned) -> Iterator[tuple[str, ...]]:
    for fault in labelled:
        verdicts = {tool.name: verdict(tool, fault, run) for tool in asked(run)}
        for tool, word in verdicts.items():
            if word in (Verdict.MISSED, Verdict.PARTLY, Verdict.UNREAD):
                caught = " ".join(name for name, other in verdicts.items() if other is Verdict.CAUGHT)
                yield tool, word, fault.rule, fault.controls[0], fault.path.removeprefix("checks/"), caught or "-"


def main(corpus: Path) -> int:
    rules = dict(pair.split("=", 1) for pair in os.environ.get("KGUARD_RULES", "").split())
    settings = Settings(tools=TOOLS, profile=Profile.ALL, rules={name: Path(path) for name, path in rules.items()})
    labelled = faults(corpus)
    mapped = [fault for fault in labelled if fault.controls]
    run = scanned(corpus, mapped, settings)
    headers = ["tool", "", "rule", "control", "manifest", "caught by"]
    print(tabulate(sorted(misses(mapped, run)), headers=headers, tablefmt="github"), end="\n\n")
    print(table(mapped, run), end="\n\n")
    nobody = [fault for fault in mapped if not of_fault(fault, run)]
    print(f"{len(labelled)} labelled faults; {len(labelled) - len(mapped)} of rules that no control is about")
    print(f"{len(mapped) - len(nobody)} of {len(mapped)} caught by a tool, {len(nobody)} by none")
    found = {id(finding): finding for fault in mapped for finding in of_fault(fault, run)}.values()
    wrong = [*doubles(found), *(words for finding in found for words in strangers(finding))]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{len(found)} findings of the labelled controls; over-merged or double: {len(wrong)}")
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
