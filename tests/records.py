"""What the tools printed beside what kguard makes of it, control by control, over real-world manifests: docs/records.md.

`python tests/records.py FOLDER...` scans each folder as a user would and prints, for each control that has findings, how many of
them there are, how many statements of each tool they hold, and how many rules these come from.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]
TOOLS = ("kube-linter", "trivy", "kubescape", "polaris")


def scanned(folder: str) -> Json:
    """The JSON report of a scan with every tool."""
    with tempfile.TemporaryDirectory(prefix="kguard-records-") as out:
        file = Path(out) / "run.json"
        command = [
            str(Path(sys.executable).parent / "kguard"),
            "scan",
            folder,
            "--fail-on",
            "never",
            "-q",
            "-o",
            str(file),
        ]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        report: Json = json.loads(file.read_bytes())
        return report


def rows(report: Json) -> Iterator[Sequence[str]]:
    """Severity, control, findings, statements of each tool, rules; the most findings first."""
    findings: defaultdict[str, list[Json]] = defaultdict(list)
    for finding in report["findings"]:
        findings[finding["control"]].append(finding)
    for control, found in sorted(findings.items(), key=lambda item: (-len(item[1]), item[0])):
        said = [item for finding in found for item in finding["evidence"]]
        by_tool = Counter(item["tool"] for item in said)
        rules = {(item["tool"], item["rule"]) for item in said}
        counts = (str(by_tool[tool] or "") for tool in TOOLS)
        yield (found[0]["severity"], control, str(len(found)), *counts, str(len(rules)))


def section(name: str, report: Json) -> Iterator[str]:
    """A set of manifests in Markdown."""
    summary = report["summary"]
    total, gated = summary["findings"]["total"], sum(finding["gated"] for finding in report["findings"])
    agreed = sum(len(finding["tools"]) > 1 for finding in report["findings"])
    yield f"## {name}\n\n"
    yield f"{summary['objects']:,} objects: {summary['records']:,} records of {len(ran(report))} tools are {total:,} findings, "
    yield f"{agreed:,} of them by more than one tool, {total - gated:,} outside the gate.\n\n"
    yield f"| severity | control | findings | {' | '.join(TOOLS)} | rules |\n|---|---|--:|{'--:|' * len(TOOLS)}--:|\n"
    yield from (f"| {' | '.join(row)} |\n" for row in rows(report))
    yield "\n"


def versions(report: Json) -> str:
    return ", ".join(f"{tool['name']} {tool['version']}" for tool in ran(report))


def ran(report: Json) -> list[Json]:
    """The tools that ran."""
    return [tool for tool in report["tools"] if tool["processes"]]


def page(reports: Mapping[str, Json]) -> Iterator[str]:
    """The whole page."""
    first = next(iter(reports.values()))
    yield "# Records and findings\n\n"
    yield f"Made by `make records` on {datetime.now(UTC):%Y-%m-%d} with {versions(first)}, as shipped (profile `default`).\n"
    yield "A record is what a tool prints for one object and one rule; one record may support findings of several controls,\n"
    yield "and where it names several places it is a statement in each. `tool:RULE` is a finding without a control: unproven, or\n"
    yield "repeating what other rules say.\n\n"
    for name, report in reports.items():
        yield from section(name, report)


if __name__ == "__main__":
    sys.stdout.writelines(page({Path(folder).name: scanned(folder) for folder in sys.argv[1:]}))
