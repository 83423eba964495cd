"""The merge check: manifests with known faults through the real tools, and the merged findings held against what must merge.

`python tests/cofire.py CATALOGUE [CASE-PREFIX]` runs each tool over every case alone (trivy over one tree: it judges objects alone),
keeps the native output in a cache folder, merges, and prints for the `fault` rows of expected_cofire.tsv: right, under-merged,
over-merged, lost. Then what differs from the tables of the manifests with several faults (tests/planted.py), each alone, and over all of
these and the real-world manifests that are there (KGUARD_CORPORA): findings that change when one tool is left out, and controls with
two kinds of seat on one object.
"""

from __future__ import annotations

import csv
import hashlib
import os
import pickle
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import native
import planted

from kguard import scan
from kguard.findings.catalogue import load_catalogue
from kguard.findings.locate import locate
from kguard.findings.merge import merge
from kguard.inputs.discover import discover
from kguard.inputs.objects import index
from kguard.inputs.stage import write_part
from kguard.model import Finding, KubeObject, Located, Outcome, StagedFile, StagePart
from kguard.running import process
from kguard.running.contract import Adapter, load_adapters
from kguard.running.facts import find_program
from kguard.settings import Profile, Settings

COLUMNS = {"kube-linter": "kube_linter", "trivy": "trivy", "kubescape": "kubescape", "polaris": "polaris"}
SUMMARIES = {"kubescape:C-0211"}
"""Rules that repeat others: merging.md keeps them apart."""
NOT_FOR_US = {"list-01-nothing-wrong-but-List"}
"""Cases about what a tool does not read natively and does read on kguard's stage."""
CONTEXT_SWITCHES = ("LimitRange", "ResourceQuota")
CORPORA = ("badpods", "microservices-demo/kubernetes-manifests")


@dataclass(frozen=True, slots=True)
class Case:
    """A manifest with its evidence."""

    name: str
    objects: tuple[KubeObject, ...]
    located: tuple[Located, ...]


def adapters() -> list[Adapter]:
    """Those of the tools that the table is about."""
    return [adapter for adapter in load_adapters() if adapter.name in COLUMNS]


def gather(folder: Path, settings: Settings, prefix: str = "") -> list[Case]:
    manifests = (path for path in folder.iterdir() if path.suffix in (".json", ".yaml"))
    files = sorted(path for path in manifests if path.stem.startswith(prefix))
    objects = {path.stem: discover((str(path),)).inventory.objects for path in files}
    evidence: dict[str, list[Located]] = defaultdict(list)
    for adapter in adapters():
        program = find_program(adapter.name, settings)
        if program is None:
            print(f"{adapter.name} is not installed: left out")
            continue
        work = partial(run, adapter, program, settings)
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for found in pool.map(work, _parts(adapter, objects)):
                for case, item in found:
                    evidence[case].append(item)
    return [Case(name, objs, tuple(evidence[name])) for name, objs in objects.items()]


def _parts(
    adapter: Adapter, objects: Mapping[str, tuple[KubeObject, ...]]
) -> Iterator[dict[str, tuple[KubeObject, ...]]]:
    """trivy reads many cases at once, but for those whose kinds switch checks on for all."""
    if adapter.name != "trivy":
        yield from ({case: objs} for case, objs in objects.items())
        return
    alone = {case for case, objs in objects.items() if any(obj.ref.kind in CONTEXT_SWITCHES for obj in objs)}
    yield {case: objs for case, objs in objects.items() if case not in alone}
    yield from ({case: objects[case]} for case in sorted(alone))


def run(
    adapter: Adapter, program: Path, settings: Settings, cases: Mapping[str, tuple[KubeObject, ...]]
) -> list[tuple[str, Located]]:
    owner = {obj.staged: (case, obj) for case, objs in cases.items() for obj in objs}
    files = tuple(StagedFile(path=obj.staged, ref=obj.ref) for _, obj in owner.values())
    with tempfile.TemporaryDirectory(prefix="cofire-") as name:
        root = Path(name) / "stage"
        root.mkdir()
        part = StagePart(id="1", bundle="files", root=root, files=files)
        outcome = _cached(adapter, program, settings, part, [obj for _, obj in owner.values()], Path(name))
        parsed = adapter.parse(outcome)
    by_staged = {staged: obj for staged, (_, obj) in owner.items()}
    return [(owner[item.object.staged][0], item) for item in locate(part, parsed.evidence, by_staged, index)]


def _cached(
    adapter: Adapter, program: Path, settings: Settings, part: StagePart, objects: Iterable[KubeObject], folder: Path
) -> Outcome:
    """The outcome of a run, from the cache when the same program read the same bytes with the same rules before."""
    objects = list(objects)
    rules = adapter.rules(settings, None)
    command = adapter.plan(part, settings, rules)
    argv = [word for word in command.argv if str(part.root) not in word]
    stamp = f"{program.stat().st_size} {rules.source} {rules.digest} {argv} {dict(command.files)}"
    key = hashlib.sha256(stamp.encode())
    for obj in objects:
        key.update(obj.staged.encode() + b"\0" + obj.text)
    cache = Path(tempfile.gettempdir()) / "kguard-cofire" / adapter.name / key.hexdigest()
    if not cache.exists():
        write_part(part.root, objects)
        outcome = process.run(command, program, folder / "process", timeout=600)
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_bytes(pickle.dumps((str(part.root), outcome.exit_code, outcome.stdout, outcome.stderr)))
    root, code, out, err = pickle.loads(cache.read_bytes())
    here = str(part.root).encode()
    return Outcome(
        command=command,
        exit_code=code,
        stdout=out.replace(root.encode(), here),
        stderr=err.replace(root.encode(), here),
    )


# -- against the table ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """What must be one finding."""

    case: str
    control: str
    rules: frozenset[str]


def rows(catalogue: Path, library: frozenset[str], tools: frozenset[str]) -> list[Row]:
    """The `fault` rows, with the rules that the tools and the rule library at hand have."""
    newer = _only(catalogue, "fired_only_with_2.0.33_allcontrols")
    found = []
    for line in csv.DictReader((catalogue / "expected_cofire.tsv").open(), delimiter="\t"):
        rules = {
            f"{tool}:{rule.lstrip('+')}"
            for tool, column in COLUMNS.items()
            for rule in line[column].split(",")
            if rule != "-" and tool in tools
        }
        rules -= {rule for rule in rules if rule.startswith("kubescape:") and rule.split(":")[1] not in library}
        rules -= newer[line["case"]] | SUMMARIES
        if line["kind"] == "fault" and rules and line["case"] not in NOT_FOR_US:
            found.append(Row(line["case"], line["control"], frozenset(rules)))
    return found


def _only(catalogue: Path, column: str) -> dict[str, set[str]]:
    """kubescape's rules that fire on a case only with one of the two rule libraries."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in csv.DictReader((catalogue / "kubescape_rule_versions.tsv").open(), delimiter="\t"):
        found[line["case"]] = {f"kubescape:{rule}" for rule in line[column].replace(",", " ").split() if rule != "-"}
    return found


def rules_of(finding: Finding) -> frozenset[str]:
    return frozenset(f"{item.tool}:{item.rule}" for item in finding.evidence)


def judge(row: Row, findings: Iterable[Finding], older: set[str]) -> tuple[str, str]:
    """right, under-merged, over-merged or lost, and the words for a bad row; `older` rules fire with the older library only."""
    mine = [finding for finding in findings if finding.control == row.control and rules_of(finding) & row.rules]
    if not mine:
        return "lost", f"{sorted(row.rules)}"
    best = max(mine, key=lambda finding: len(rules_of(finding) & row.rules))
    extra, absent = rules_of(best) - row.rules - older, row.rules - rules_of(best)
    if extra:
        return "over-merged", f"has {sorted(extra)}" + (f", lacks {sorted(absent)}" if absent else "")
    return ("under-merged", f"lacks {sorted(absent)}") if absent else ("right", "")


# -- against the manifests with several faults ----------------------------------------------------------------------------


def several(settings: Settings) -> tuple[list[Case], int]:
    """The cases, and in how many places what was found differs from their tables; each is printed."""
    cases: list[Case] = []
    bad = 0
    for folder in planted.FOLDERS:
        for case in gather(native.FIXTURES / folder, settings):
            cases.append(case)
            findings = merge(case.located, case.objects, load_catalogue(), index)
            for words in planted.differences(planted.expected(folder, case.name), findings):
                bad += 1
                print(f"differs       {folder}/{case.name}: {words}")
    return cases, bad


# -- what must hold everywhere --------------------------------------------------------------------------------------------


def real_world(settings: Settings) -> Iterator[Case]:
    """The real-world manifests that are there, each tree a case."""
    here = Path(os.environ.get("KGUARD_CORPORA", native.FIXTURES.parents[1] / "shared" / "corpora"))
    for name in CORPORA:
        if (here / name).is_dir():
            found = scan.gather([str(here / name)], settings)
            yield Case(name, found.inventory.objects, tuple(chain.from_iterable(found.evidence)))
        else:
            print(f"{name} is not here (KGUARD_CORPORA names the folder of real-world manifests): left out")


def two_seats(case: Case) -> int:
    """Controls that sit on an object and on its container, or with and without a discriminator."""
    seats: dict[tuple[object, ...], set[tuple[bool, bool]]] = defaultdict(set)
    for finding in merge(case.located, case.objects, load_catalogue(), index):
        if finding.control in load_catalogue().controls:
            seat = (finding.control, finding.bundle, finding.object, finding.location.path)
            seats[seat].add((finding.container is None, finding.discriminator is None))
    doubled = [key for key, kinds in seats.items() if len(kinds) > 1]
    for key in doubled:
        print(f"two seats     {case.name:24} {key[0]} on {key[2]}")
    return len(doubled)


def changed_without_a_tool(case: Case) -> int:
    """Findings that other tools support and that move when one tool is left out."""
    count = 0
    whole = merge(case.located, case.objects, load_catalogue(), index)
    for tool in COLUMNS:
        rest = merge(
            [item for item in case.located if item.evidence.tool != tool], case.objects, load_catalogue(), index
        )
        before = {_face(finding) for finding in whole if set(finding.tools) - {tool}}
        count += len(before ^ {_face(finding) for finding in rest})
    return count


def _face(finding: Finding) -> tuple[object, ...]:
    return (finding.fingerprint, finding.object, finding.container, finding.discriminator, finding.location)


def main(folder: Path, prefix: str = "") -> int:
    rules = dict(pair.split("=", 1) for pair in os.environ.get("KGUARD_RULES", "").split())
    settings = Settings(
        tools=tuple(COLUMNS), profile=Profile.ALL, rules={name: Path(path) for name, path in rules.items()}
    )
    cases = {case.name: case for case in gather(folder / "probes" / "manifests", settings, prefix)}
    tools = frozenset(adapter.name for adapter in adapters() if find_program(adapter.name, settings))
    kubescape = next(adapter for adapter in adapters() if adapter.name == "kubescape")
    library = kubescape.rules(settings, None).ids or frozenset()
    merged = {name: merge(case.located, case.objects, load_catalogue(), index) for name, case in cases.items()}
    older = _only(folder, "fired_only_with_2.0.1_all_frameworks")
    counts: Counter[str] = Counter()
    joined: Counter[str] = Counter()
    for row in rows(folder, library, tools):
        if row.case in merged:
            verdict, words = judge(row, merged[row.case], older[row.case])
            counts[verdict] += 1
            joined[verdict] += len({rule.split(":")[0] for rule in row.rules}) > 1
            if verdict != "right":
                print(f"{verdict:13} {row.case:52} {row.control:32} {words}")
    total = sum(counts.values())
    print(
        f"\n{total} faults: "
        + ", ".join(f"{counts[name]} {name}" for name in ("right", "under-merged", "over-merged", "lost"))
    )
    print(
        f"right: {counts['right'] / total:.1%}; of those by two or more tools: {joined['right']} of {sum(joined.values())}"
    )
    planted_cases, differing = several(settings)
    print(f"{len(planted_cases)} manifests with several faults; rows of their tables that differ: {differing}")
    everything = [*cases.values(), *planted_cases, *real_world(settings)]
    changed = sum(changed_without_a_tool(case) for case in everything)
    print(f"findings changed by leaving a tool out: {changed}")
    doubled = sum(two_seats(case) for case in everything)
    print(f"controls with two kinds of seat on one object: {doubled}")
    wrong = counts["over-merged"] + changed + differing + doubled
    return 0 if not wrong and counts["right"] >= 0.8 * total else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
