"""What each tool missed, counted by hand over the JSON of a scan, held against `kguard coverage`; nothing of kguard is imported.

`python tests/coverage_missed.py RUN.json COVERAGE.json CATALOG.json TOOLS.yaml`, of `kguard scan`, `kguard coverage RUN.json`,
`kguard catalog` and kguard/data/tools.yaml.
"""

import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml


def seat(fault: Any) -> tuple[str, str, str]:
    """The object of a fault; of several with one name, which."""
    return fault["bundle"], str(fault["object"]), fault["fingerprint"][16:]


class Count:
    """Which silences of a run are misses."""

    def __init__(self, run: Any, catalog: Any, tools: Any) -> None:
        self.run, self.about = run, tools
        self.exact: dict[Any, set[str]] = {}
        for control in catalog:
            for rule in control["rules"]:
                if not (rule["partial"] or rule["secondary"]):
                    self.exact.setdefault((control["id"], rule["tool"]), set()).add(rule["rule"])
        self.quiet: dict[Any, set[Any]] = {}
        for one in run["ignores"]:
            self.quiet.setdefault((one["tool"], one["bundle"], str(one["object"])), set()).add(one["rule"])
        said = [(one, item) for one in run["findings"] for item in one["evidence"]]
        self.heard = {(it["tool"], *seat(one)) for one, it in said if not one["places"] and not it["object"]}
        self.named = {(it["tool"], it["rule"], *seat(one)) for one, it in said}

    def missed(self) -> dict[str, int]:
        faults = [one for one in self.run["findings"] if one["gated"]]
        asked = [tool for tool in self.run["tools"] if not tool.get("off_by_default")]
        return {
            tool["name"]: sum(tool["name"] not in one["tools"] and self.misses(tool, one) for one in faults)
            for tool in asked
        }

    def misses(self, tool: Any, fault: Any) -> bool:
        """The tool looked, it read the object and the container, and one of its checks for exactly this was on."""
        on = self.exact.get((fault["control"], tool["name"]), set()) & {*((tool["rules"] or {}).get("ids") or ())}
        quiet = self.quiet.get((tool["name"], fault["bundle"], str(fault["object"])), set())
        looked = tool["processes"] and tool["canary"] is not False and tool["objects"]["read"] is not None
        return bool(looked and on and not (None in quiet or on <= quiet) and self.reads(tool, fault, on))

    def reads(self, tool: Any, fault: Any, on: set[str]) -> bool:
        kind = "/".join(filter(None, (fault["object"]["group"], fault["object"]["version"], fault["object"]["kind"])))
        twins = [one["path"] for one in tool["unread"] if one["object"] == fault["object"]]
        unread = fault["location"]["path"] in twins or (twins and (tool["name"], *seat(fault)) not in self.heard)
        skips = self.about.get(tool["name"], {}).get("skips-init-containers", ())
        in_init = fault["container"] is not None and "initContainers" in (fault["fix"] or {}).get("path", "")
        skipped = in_init and all(any(fnmatchcase(rule, own) for own in skips) for rule in on)
        one_of_several = self.about.get(tool["name"], {}).get("names-one-container") and fault["container"] is not None
        named = one_of_several and any((tool["name"], rule, *seat(fault)) in self.named for rule in on)
        return not (unread or skipped or named or kind in tool["out_of_scope"])


def counted(run: Any, catalog: Any, tools: Any) -> dict[str, int]:
    return Count(run, catalog, tools).missed()


def said(coverage: Any) -> dict[str, int]:
    return {tool["name"]: tool["faults"]["missed"] for tool in coverage["tools"]}


if __name__ == "__main__":
    run, coverage, catalog = (json.loads(Path(file).read_bytes()) for file in sys.argv[1:4])
    ours, theirs = counted(run, catalog, yaml.safe_load(Path(sys.argv[4]).read_bytes())), said(coverage)
    print(f"{'agrees ' if ours == theirs else 'DIFFERS'}  missed: {ours}")
    sys.exit(ours != theirs)
