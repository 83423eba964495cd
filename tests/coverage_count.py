"""A count by hand over the JSON of a scan, held against the totals of `kguard coverage`; nothing of kguard is imported.

`python tests/coverage_count.py RUN.json COVERAGE.json`, of `kguard scan` and `kguard coverage RUN.json`.
"""

import json
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

WORST = ("critical", "high", "medium", "low", "info")


def counted(run: Any) -> dict[str, Any]:
    """Every total, from the findings alone."""
    faults = [one for one in run["findings"] if one["gated"]]
    names = sorted(tool["name"] for tool in run["tools"] if not tool.get("off_by_default"))
    sets = Counter(frozenset(one["tools"]) for one in faults)
    every = [frozenset(some) for size in range(len(names) + 1) for some in combinations(names, size)]
    # a fault of unknown severity counts as a high one
    bars = {bar: [one for one in faults if at(one) <= n] for n, bar in enumerate(WORST)}
    return {
        "faults": len(faults),
        "found": {name: sum(name in one["tools"] for one in faults) for name in names},
        "alone": {name: sets[frozenset([name])] for name in names},
        "lost": {name: dict(Counter(one["severity"] for one in faults if one["tools"] == [name])) for name in names},
        "exactly": dict(sets),
        "fewest": {
            bar: next(len(s) for s in every if all(s & {*o["tools"]} for o in own)) for bar, own in bars.items()
        },
        "controls": dict(Counter((one["control"], name) for one in faults for name in one["tools"])),
    }


def at(fault: Any) -> int:
    return WORST.index(fault["severity"].replace("unknown", "high"))


def said(coverage: Any) -> dict[str, Any]:
    """The same totals, as `kguard coverage` gives them."""
    tools, cells = coverage["tools"], [(row["name"], cell) for row in coverage["rows"] for cell in row["cells"]]
    lost = {one["tool"]: {word: n for word, n in one["by_severity"].items() if n} for one in coverage["drop"]}
    return {
        "faults": coverage["faults"],
        "found": {tool["name"]: tool["faults"]["found"] for tool in tools},
        "alone": {tool["name"]: tool["alone"] for tool in tools},
        "lost": {tool["name"]: lost.get(tool["name"], {}) for tool in tools},
        "exactly": {frozenset(one["tools"]): one["exactly"] for one in coverage["overlap"] if one["exactly"]},
        "fewest": {one["severity"]: len(one["sets"][0]) for one in coverage["smallest"]},
        "controls": {(name, cell["tool"]): n for name, cell in cells if (n := cell["faults"]["found"])},
    }


if __name__ == "__main__":
    ours, theirs = counted(json.loads(Path(sys.argv[1]).read_bytes())), said(json.loads(Path(sys.argv[2]).read_bytes()))
    for total in ours:
        print(f"{'agrees ' if ours[total] == theirs[total] else 'DIFFERS'}  {total}: {ours[total]}"[:160])
    sys.exit(ours != theirs)
