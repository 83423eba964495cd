"""The benchmark: kguard's wall and CPU time beside the tools run by hand, over the same folder, in one run.

`python tests/bench.py [--objects N] [FOLDER]` makes N objects (1,000) out of a folder's manifests (fixtures/shop) by giving each
copy a name of its own, runs every tool that is there by hand, one after another, then kguard, and prints both. Figures of
different machines or runs do not compare; the ratios of one run do.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from kguard.inputs.discover import discover
from kguard.inputs.stage import write_part
from kguard.model import KubeObject, StagePart
from kguard.running.contract import Adapter, load_adapters
from kguard.settings import Settings

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process cost, its children included."""

    wall: float
    cpu: float
    memory: int
    """Peak memory of the largest process, bytes."""


def grow(source: Path, target: Path, wanted: int) -> int:
    """Write copies of a folder's objects until there are `wanted` of them; each round has names and namespaces of its own, so
    that the copies are as many objects as they look like."""
    objects = [obj for obj in discover((str(source),)).inventory.objects if obj.ref.name]
    made = 0
    while made < wanted:
        batch = [_renamed(obj, f"-{made:05}") for obj in objects[: wanted - made]]
        write_part(target, batch)
        made += len(batch)
    return made


def _renamed(obj: KubeObject, suffix: str) -> KubeObject:
    value = yaml.safe_load(obj.text)
    metadata = value["metadata"]
    for field in ("name", "namespace"):
        if metadata.get(field):
            metadata[field] += suffix
    if value.get("roleRef", {}).get("name") not in (None, "cluster-admin"):
        value["roleRef"]["name"] += suffix
    for subject in value.get("subjects", ()):
        subject.update({field: subject[field] + suffix for field in ("name", "namespace") if field in subject})
    text = yaml.safe_dump(value, sort_keys=False).encode()
    return replace(obj, staged=f"copy{suffix}/{obj.staged}", text=text)


def by_hand(adapter: Adapter, folder: Path, settings: Settings) -> Cost | None:
    """Run a tool as the adapter plans it; None where it is not installed."""
    program = settings.tool_paths.get(adapter.name) or shutil.which(adapter.name)
    if program is None:
        return None
    part = StagePart(id="bench", bundle="bench", root=folder, files=())
    command = adapter.plan(part, settings, adapter.rules(settings, None))
    with tempfile.TemporaryDirectory(prefix="bench-") as cwd:
        for name, content in command.files.items():
            (Path(cwd) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(cwd) / name).write_bytes(content)
        env = {"PATH": os.defpath, "HOME": cwd, "KUBECONFIG": f"{cwd}/none", **command.env}
        return measure([str(program), *command.argv[1:]], cwd, env)


def measure(argv: list[str], cwd: str, env: dict[str, str]) -> Cost:
    start = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdout=out, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0  # it was waited for here
    return Cost(wall=time.monotonic() - start, cpu=usage.ru_utime + usage.ru_stime, memory=usage.ru_maxrss * 1024)


def own_cost(folder: Path, report: Path) -> tuple[Cost, Cost]:
    """kguard over a folder: its own cost, and that of everything it ran."""
    argv = [sys.executable, __file__, "--own", str(folder), str(report)]
    start = time.monotonic()
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    wall = time.monotonic() - start
    own, children, memory = (float(word) for word in done.stdout.split()[-3:])
    return Cost(wall=wall, cpu=own, memory=int(memory)), Cost(wall=wall, cpu=children, memory=0)


def run_own(folder: str, report: str) -> None:
    """In a process of its own: scan, then print own CPU seconds, the children's, and own peak memory in bytes."""
    from kguard.cli.scan import Request, command

    words: dict[str, None] = dict.fromkeys(("tools", "frameworks", "allow_incomplete", "jobs", "config"))
    rules = tuple(os.environ.get("KGUARD_RULES", "").split())
    lists = {"formats": (), "rules": rules, "tool_path": (), "exclude": ()}
    flags = {"canary": True, "hidden": False, "every_row": False, "verbose": False, "quiet": True}
    request = {"paths": (folder,), "outputs": (report,), "profile": "default", "fail_on": "never", "timeout": 3600.0}
    command(Request(**words, **lists, **flags, **request))  # type: ignore[arg-type]
    used, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    # ru_maxrss of a fresh interpreter starts at its parent's size: VmHWM is this process's own
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(used.ru_utime + used.ru_stime, children.ru_utime + children.ru_stime, int(peak.split()[1]) * 1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--own", nargs=2, metavar=("FOLDER", "REPORT"))
    parser.add_argument("folder", nargs="?", type=Path, default=HERE.parent / "fixtures" / "shop")
    options = parser.parse_args()
    if options.own:
        run_own(*options.own)
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        return bench(options.folder, Path(name), options.objects)


def bench(source: Path, scratch: Path, wanted: int) -> int:
    folder = scratch / "objects"
    count = grow(source, folder, wanted)
    rules = dict(pair.split("=", 1) for pair in os.environ.get("KGUARD_RULES", "").split())
    settings = Settings(rules={name: Path(path) for name, path in rules.items()})
    print(f"{count} objects, {os.cpu_count()} cores\n")
    print(f"{'':24}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}")
    tools = []
    for adapter in load_adapters():
        if not adapter.on_by_default:
            continue
        cost = by_hand(adapter, folder, settings)
        if cost is None:
            print(f"{adapter.name:24}  not installed")
            continue
        tools.append(cost)
        _row(f"{adapter.name} by hand", cost)
    together = Cost(wall=sum(c.wall for c in tools), cpu=sum(c.cpu for c in tools), memory=max(c.memory for c in tools))
    _row("one after another", together)
    own, children = own_cost(folder, scratch / "report.html")
    _row("kguard, its own share", own)
    print(f"{'tools under kguard':24}{'':9}{children.cpu:9.2f}")
    print(f"\nwall: kguard / by hand = {own.wall / together.wall:.2f}")
    print(f"CPU: kguard's own share / the tools' = {own.cpu / children.cpu:.1%}")
    return 0


def _row(name: str, cost: Cost) -> None:
    print(f"{name:24}{cost.wall:9.2f}{cost.cpu:9.2f}{cost.memory / 1e6:9.0f}")


if __name__ == "__main__":
    sys.exit(main())
