"""The coverage check: the matrix of `kguard coverage` over one-fault manifests, held against what the tools are known to find.

`python tests/coverage_probes.py CATALOGUE [CASE-PREFIX]` compares the tools over every case alone, from the native output that
`tests/cofire.py` keeps. For each `fault` row of expected_cofire.tsv and each tool, the cell must be `found` where the table has a rule of
the tool, and must not be where it has none. There, controls.tsv says what the silence is: `no rule`, `off` (not in the rule library at
hand), `partial` or `missed`; where the cell differs, the tool's account has the reason, or the row is printed.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cofire
import made

from kguard.coverage import compare
from kguard.coverage_model import Coverage
from kguard.findings.catalogue import load_catalogue
from kguard.findings.locate import locate
from kguard.findings.merge import merge
from kguard.inputs.discover import discover
from kguard.inputs.objects import index
from kguard.model import (
    KubeObject,
    Located,
    Look,
    Parsed,
    RuleSet,
    RunState,
    StagedFile,
    StagePart,
    ToolRun,
    UnreadObject,
)
from kguard.running.account import account
from kguard.running.contract import Adapter, load_adapters
from kguard.running.facts import find_program
from kguard.running.results import active_rules
from kguard.settings import Profile, Settings

Cases = Mapping[str, tuple[KubeObject, ...]]
ACCOUNTED = (Look.OUT_OF_SCOPE, Look.DID_NOT_LOOK, Look.SILENCED)
"""What a tool's account of a case may say in place of `missed` and `partial`."""


@dataclass(frozen=True, slots=True)
class Read:
    """What one tool made of one case."""

    case: str
    run: ToolRun
    located: tuple[Located, ...]


def read(adapter: Adapter, program: Path, settings: Settings, cases: Cases) -> list[Read]:
    """Run a tool over cases, as cofire does, and take what it says apart by case."""
    objects = [obj for objs in cases.values() for obj in objs]
    files = tuple(StagedFile(path=obj.staged, ref=obj.ref) for obj in objects)
    with tempfile.TemporaryDirectory(prefix="coverage-") as name:
        root = Path(name) / "stage"
        root.mkdir()
        part = StagePart(id="1", bundle="files", root=root, files=files)
        outcome = cofire._cached(adapter, program, settings, part, objects, Path(name))
        parsed = adapter.parse(outcome)
    located: defaultdict[str, list[Located]] = defaultdict(list)
    owner = {obj.staged: case for case, objs in cases.items() for obj in objs}
    for item in locate(part, parsed.evidence, {obj.staged: obj for obj in objects}, index):
        located[owner[item.object.staged]].append(item)
    rules = adapter.rules(settings, None)
    return [
        Read(case, ran(adapter.name, part, objs, parsed, rules), tuple(located[case])) for case, objs in cases.items()
    ]


def ran(name: str, part: StagePart, objects: Sequence[KubeObject], parsed: Parsed, rules: RuleSet) -> ToolRun:
    """The run as kguard accounts for it, had it been over these objects alone."""
    by_path = {obj.staged: obj for obj in objects}
    own = replace(part, files=tuple(file for file in part.files if file.path in by_path))
    found = account(own, parsed, rules)
    unread = tuple(
        UnreadObject(
            path=by_path[file.path].origin.path,
            document=by_path[file.path].origin.document,
            object=file.ref,
            reason=why,
        )
        for file, why in found.unread
    )
    return ToolRun(
        name=name,
        state=RunState.DEGRADED if unread else RunState.OK,
        processes=1,
        rules=active_rules(rules, [parsed]),
        objects=found.counts,
        out_of_scope=tuple(sorted(found.outside)),
        unread=unread,
    )


def compared(folder: Path, settings: Settings, prefix: str) -> dict[str, Coverage]:
    """The comparison of each case."""
    files = sorted(path for path in folder.glob("*.yaml") if path.stem.startswith(prefix))
    cases = {path.stem: discover((str(path),)).inventory.objects for path in files}
    reads: defaultdict[str, list[Read]] = defaultdict(list)
    for adapter in load_adapters():
        program = find_program(adapter.name, settings) if adapter.name in cofire.COLUMNS else None
        if program is None:
            continue
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for found in pool.map(partial(read, adapter, program, settings), cofire._parts(adapter, cases)):
                for item in found:
                    reads[item.case].append(item)
    return {case: comparison(cases[case], found) for case, found in reads.items()}


def comparison(objects: tuple[KubeObject, ...], reads: Sequence[Read]) -> Coverage:
    located = [item for one in reads for item in one.located]
    # whether a finding counts at the gate is another question than who found it
    findings = (replace(finding, gated=True) for finding in merge(located, objects, load_catalogue(), index))
    return compare(made.report([one.run for one in reads], *findings), load_catalogue())


# -- against the tables ---------------------------------------------------------------------------------------------------


def wanted(fired: Collection[str], tool: str, declared: Sequence[str], on: frozenset[str] | None) -> Look:
    """What the tables make of a cell. `fired`: the rules of any tool; `declared`: the tool's rules for the control, with marks; `on`:
    None for all."""
    if any(rule.startswith(f"{tool}:") for rule in fired):
        return Look.FOUND
    if not declared:
        return Look.NO_RULE
    active = [rule for rule in declared if on is None or rule.strip("+~") in on]
    if not active:
        return Look.OFF
    return Look.MISSED if any(rule == rule.strip("+~") for rule in active) else Look.PARTIAL


def declared_rules(catalogue: Path) -> dict[tuple[str, str], list[str]]:
    """By control and tool: its rules, with marks."""
    found = {}
    for line in csv.DictReader((catalogue / "controls.tsv").open(), delimiter="\t"):
        for tool, column in cofire.COLUMNS.items():
            rules = (rule for rule in line[column].split(",") if rule not in ("-", ""))
            kept = [rule for rule in rules if f"{tool}:{rule.strip('+~')}" not in cofire.SUMMARIES]
            found[line["control_slug"], tool] = kept
    return found


def judged(
    rows: Sequence[cofire.Row],
    coverages: Mapping[str, Coverage],
    declared: Mapping[tuple[str, str], Sequence[str]],
    older: Mapping[str, Collection[str]],
) -> Iterator[tuple[cofire.Row, str, Look, Look | None]]:
    """Each cell: its row, the tool, what the tables say, what the matrix says (None: it has no such row). `older`: by case, what fires
    with the library at hand alone, and is not in the table."""
    for row in rows:
        coverage = coverages[row.case]
        cells = next((found.cells for found in coverage.rows if found.name == row.control and found.faults), {})
        for tool in coverage.tools:
            ids = tool.run.rules.ids if tool.run.rules else None
            on = None if ids is None else frozenset(ids)
            own = declared.get((row.control, tool.name), ())
            fired = row.rules | {f"{tool.name}:{rule.strip('+~')}" for rule in own} & set(older.get(row.case, ()))
            look = wanted(fired, tool.name, own, on)
            yield row, tool.name, look, cells[tool.name].state if tool.name in cells else None


def main(folder: Path, prefix: str = "") -> int:
    rules = dict(pair.split("=", 1) for pair in os.environ.get("KGUARD_RULES", "").split())
    settings = Settings(profile=Profile.ALL, rules={name: Path(path) for name, path in rules.items()})
    coverages = compared(folder / "probes" / "manifests", settings, prefix)
    tools = frozenset(tool.name for coverage in coverages.values() for tool in coverage.tools)
    kubescape = next(adapter for adapter in load_adapters() if adapter.name == "kubescape")
    library = kubescape.rules(settings, None).ids or frozenset()
    rows = [row for row in cofire.rows(folder, library, tools) if row.case in coverages]
    older = cofire._only(folder, "fired_only_with_2.0.1_all_frameworks")
    counts: Counter[str] = Counter()
    for row, tool, table, matrix in judged(rows, coverages, declared_rules(folder), older):
        if (table is Look.FOUND) is not (matrix is Look.FOUND):
            verdict = "differs"
        elif table is matrix:
            verdict = "agrees"
        else:
            verdict = "accounted for" if matrix in ACCOUNTED else "another silence"
        counts[verdict] += 1
        if verdict in ("differs", "another silence"):
            print(f"{verdict:15} {row.case:52} {row.control:32} {tool:12} table: {table}, matrix: {matrix}")
    print(
        f"\n{counts.total()} cells of {len(rows)} faults: "
        + ", ".join(f"{n} {word}" for word, n in counts.most_common())
    )
    return 1 if counts["differs"] or not counts["agrees"] else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
