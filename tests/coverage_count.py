"""A count by hand over the JSON of a scan, held against `kguard coverage`; nothing of kguard is imported.

`python tests/coverage_count.py RUN.json COVERAGE.json CATALOG.json` (of `kguard scan`, `kguard coverage RUN.json`, `kguard catalog`).
"""

import json
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any


def counted(run: Any, catalog: Any) -> dict[str, Any]:
    """Every total of the comparison, from the findings alone."""
    faults = [one for one in run["findings"] if one["gated"]]
    tools = [tool for tool in run["tools"] if not tool.get("off_by_default")]
    names = [tool["name"] for tool in tools]
    exact = {
        (control["id"], r["tool"], r["rule"])
        for control in catalog
        for r in control["rules"]
        if not (r["partial"] or r["secondary"])
    }
    told: dict[Any, set[Any]] = {}
    for one in run["ignores"]:
        told.setdefault((one["tool"], one["bundle"], str(one["object"])), set()).add(one["rule"])

    def seat(fault: Any) -> tuple[str, str, str]:
        return fault["bundle"], str(fault["object"]), fault["fingerprint"][16:]

    alone = [one for one in run["findings"] if not one["places"]]
    heard = {(said["tool"], *seat(one)) for one in alone for said in one["evidence"] if not said["object"]}

    def may_miss(tool: Any, fault: Any) -> bool:
        kind = "/".join(filter(None, (fault["object"]["group"], fault["object"]["version"], fault["object"]["kind"])))
        ids = (tool["rules"] or {}).get("ids") or ()
        on = {rule for rule in ids if (fault["control"], tool["name"], rule) in exact}
        quiet = told.get((tool["name"], fault["bundle"], str(fault["object"])), set())
        looked = tool["processes"] and tool["canary"] is not False and tool["objects"]["read"] is not None
        twins = [one["path"] for one in tool["unread"] if one["object"] == fault["object"]]
        unread = fault["location"]["path"] in twins or (twins and (tool["name"], *seat(fault)) not in heard)
        silenced = None in quiet or on <= quiet
        return bool(on and looked and not unread and not silenced and kind not in tool["out_of_scope"])

    sets = Counter(tuple(sorted(one["tools"])) for one in faults)
    worst = ["critical", "high", "medium", "low", "info"]
    smallest = {}
    for n, bar in enumerate(worst):
        wanted = [set(one["tools"]) for one in faults if one["severity"].replace("unknown", "high") in worst[: n + 1]]
        every = [set(c) for size in range(len(names) + 1) for c in combinations(sorted(names), size)]
        smallest[bar] = next(len(chosen) for chosen in every if all(chosen & tools for tools in wanted))
    return {
        "faults": len(faults),
        "found": {name: sum(name in one["tools"] for one in faults) for name in names},
        "alone": {name: sets[(name,)] for name in names},
        "exactly": dict(sets),
        "lost": {name: dict(Counter(one["severity"] for one in faults if one["tools"] == [name])) for name in names},
        "smallest": smallest,
        "by control": dict(Counter((one["control"], name) for one in faults for name in one["tools"])),
        "missed": {t["name"]: sum(may_miss(t, one) for one in faults if t["name"] not in one["tools"]) for t in tools},
    }


def said(coverage: Any) -> dict[str, Any]:
    """The same totals, as `kguard coverage` gives them."""
    return {
        "faults": coverage["faults"],
        "found": {tool["name"]: tool["faults"]["found"] for tool in coverage["tools"]},
        "alone": {tool["name"]: tool["alone"] for tool in coverage["tools"]},
        "exactly": {tuple(sorted(one["tools"])): one["exactly"] for one in coverage["overlap"] if one["exactly"]},
        "lost": {tool["name"]: {} for tool in coverage["tools"]}
        | {
            drop["tool"]: {word: count for word, count in drop["by_severity"].items() if count}
            for drop in coverage["drop"]
        },
        "smallest": {one["severity"]: len(one["sets"][0]) for one in coverage["smallest"]},
        "by control": {
            (row["name"], c["tool"]): c["faults"]["found"]
            for row in coverage["rows"]
            for c in row["cells"]
            if c["faults"]["found"]
        },
        "missed": {tool["name"]: tool["faults"]["missed"] for tool in coverage["tools"]},
    }


def main(*files: str) -> int:
    run, coverage, catalog = (json.loads(Path(file).read_bytes()) for file in files)
    counts, words = counted(run, catalog), said(coverage)
    for name in counts:
        print(
            f"{'agrees' if counts[name] == words[name] else 'DIFFERS'}  {name}: {counts[name] if name != 'by control' else len(counts[name])}"
        )
    return int(counts != words)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
