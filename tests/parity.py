"""The parity check: kguard's evidence equals what each tool finds natively, as a set of (rule, object, container), and the account of
each tool adds up to the objects that there are.

`python tests/parity.py FOLDER...` copies the files that kguard calls plain into an empty folder, runs each tool over it by hand
with the same configuration, reads the raw output with code of its own, and prints what kguard lacks and what it has too many,
over the objects that the native run read. Both must be 0, and every account right (`accounts.py`); otherwise the exit code is 1.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import accounts
import handread

from kguard.inputs.objects import index, read_manifest
from kguard.model import (
    Bundle,
    BundleKind,
    Command,
    FileState,
    Inventory,
    KubeObject,
    Located,
    ObjectRef,
    RunState,
    StagedFile,
    StagePart,
    ToolRun,
)
from kguard.running.contract import Adapter, load_adapters
from kguard.scan import Gathered, gather
from kguard.settings import InputSettings, Profile, Settings

Key = tuple[str, ...]
"""Rule, what identifies the object, container ("" for none)."""

Json = dict[str, Any]

SIBLINGS = frozenset(("KSV-0024",))
"""trivy's rules whose lines are those of clean containers too."""

AT_RANDOM = frozenset(("C-0066", "C-0067", "C-0068", "C-0088"))
"""kubescape's controls of the API server's pod: of several such pods it judges one, another in each run. They are not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """What a tool printed when it was run by hand."""

    keys: frozenset[Key]
    read: Callable[[KubeObject], bool]
    """Did the native run read this object?"""
    left_out: frozenset[str] = frozenset()
    """Rules that cannot be compared here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A line of the table: one tool over one folder."""

    tool: str
    folder: str
    state: str
    native: int | None = None
    """None: the tool dies natively."""
    own: int = 0
    """What kguard has, whether or not it was compared."""
    objects: int = 0
    """Of the folder."""
    compared: int = 0
    """Those that the native run read."""
    missing: frozenset[Key] = frozenset()
    extra: frozenset[Key] = frozenset()
    told: bool = True
    """A tool that dies natively: kguard says so in the run's state and in the gate."""

    @property
    def right(self) -> bool:
        empty = self.native is not None and self.own > 0 and not self.compared  # such a comparison shows nothing
        return self.told and not empty and not self.missing and not self.extra


@dataclass(frozen=True, slots=True)
class Folder:
    """A bundle as kguard sees it, addressed as native output does: by file, line and name."""

    name: str
    root: Path
    objects: tuple[KubeObject, ...]

    def file(self, obj: KubeObject) -> str:
        return os.path.relpath(obj.origin.path, self.root)

    def at(self, file: str, line: int) -> KubeObject | None:
        """The object that stands at a line of a file."""
        for obj in self.objects:
            if self.file(obj) == file and obj.origin.span.line <= line <= obj.origin.span.end_line:
                return obj
        return None

    def container_at(self, obj: KubeObject, line: int) -> str:
        spans = index(obj).spans
        for container in index(obj).containers:
            span = spans.get(container.path)
            if span and span.line <= line <= span.end_line:
                return container.given
        return ""


def scan(root: Path, settings: Settings) -> Gathered:
    """What kguard makes of a folder."""
    return gather((str(root),), replace(settings, inputs=InputSettings(hidden=True)))


def compare(root: Path, gathered: Gathered, settings: Settings) -> Iterator[Verdict]:
    """Run each tool by hand over a folder's plain files, and over what each chart and each kustomization was rendered to, as one file."""
    ran = [adapter for adapter in load_adapters() if _run(gathered, adapter).state is not RunState.SKIPPED]
    located = list(chain.from_iterable(gathered.evidence))
    for bundle in gathered.inventory.bundles:
        if not bundle.objects:
            continue
        for adapter in ran:
            own = [item for item in located if item.object.bundle == bundle.id and item.evidence.tool == adapter.name]
            # a folder for each: what kills one tool is taken out of it
            with tempfile.TemporaryDirectory(prefix="parity-") as name:
                plain = Path(name) / "plain"
                plain.mkdir()
                if bundle.kind is BundleKind.PLAIN:
                    folder = Folder(bundle.id, root, bundle.objects)
                    _copy_plain(gathered.inventory, root, plain)
                else:
                    folder = _as_one_file(bundle, plain)
                    twins = dict(zip(bundle.objects, folder.objects, strict=True))
                    own = [_on_twins(item, twins) for item in own]
                yield _verdict(adapter, _run(gathered, adapter), own, folder, plain, settings)


def _run(gathered: Gathered, adapter: Adapter) -> ToolRun:
    return next(run for run in gathered.tools if run.name == adapter.name)


def _copy_plain(inventory: Inventory, root: Path, plain: Path) -> None:
    for file in inventory.files:
        if file.state is FileState.SCANNED:
            target = plain / os.path.relpath(file.path, root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.path, target)


def _as_one_file(bundle: Bundle, plain: Path) -> Folder:
    """The rendered documents as a renderer prints them, and the objects as they stand there."""
    data = b"".join(b"---\n" + obj.text.rstrip(b"\n") + b"\n" for obj in bundle.objects)
    (plain / "rendered.yaml").write_bytes(data)
    content = read_manifest(str(plain / "rendered.yaml"), data, bundle.id)
    return Folder(bundle.id, plain, content.objects)


def _on_twins(item: Located, twins: Mapping[KubeObject, KubeObject]) -> Located:
    return replace(item, object=twins[item.object], related=tuple(twins[obj] for obj in item.related))


def _verdict(
    adapter: Adapter,
    run: ToolRun,
    located: Sequence[Located],
    folder: Folder,
    plain: Path,
    settings: Settings,
) -> Verdict:
    if run.state is RunState.MISSING:
        return Verdict(tool=adapter.name, folder=folder.name, state=run.state, told=False)
    raw = _by_hand(adapter, plain, settings)
    if raw is None and run.unread:
        _without_killers(run, folder, plain)
        raw = _by_hand(adapter, plain, settings)
    if raw is None:
        _without_the_unreadable(folder, plain)
        raw = _by_hand(adapter, plain, settings)
    if raw is None:
        told = run.state is RunState.FAILED
        return Verdict(tool=adapter.name, folder=folder.name, state=run.state, told=told)
    native = NATIVE[adapter.name](raw, folder, plain)
    left_out = AT_RANDOM | native.left_out
    own = {item: own_key(item, folder) for item in located if item.evidence.rule not in left_out}
    return Verdict(
        tool=adapter.name,
        folder=folder.name,
        state=run.state,
        native=len(native.keys),
        own=len(own),
        objects=len(folder.objects),
        compared=sum(map(native.read, folder.objects)),
        missing=native.keys - frozenset(own.values()),
        extra=frozenset(key for item, key in own.items() if native.read(item.object)) - native.keys,
    )


def _without_killers(run: ToolRun, folder: Folder, plain: Path) -> None:
    """Blank the lines of the objects that kill the tool."""
    killers = {(item.path, item.document) for item in run.unread if "kills the tool" in item.reason}
    for obj in folder.objects:
        if (obj.origin.path, obj.origin.document) in killers:
            file, span = plain / folder.file(obj), obj.origin.span
            lines = file.read_bytes().split(b"\n")
            lines[span.line - 1 : span.end_line] = [b""] * (span.end_line - span.line + 1)
            file.write_bytes(b"\n".join(lines))


def _by_hand(adapter: Adapter, plain: Path, settings: Settings) -> subprocess.CompletedProcess[bytes] | None:
    """Run the tool with the command that the adapter plans, over the plain copy; None when it dies."""
    files = tuple(StagedFile(path=str(path.relative_to(plain)), ref=_NOBODY) for path in _files(plain))
    part = StagePart(id="native", bundle="native", root=plain, files=files)
    command = _bare(adapter.plan(part, settings, adapter.rules(settings, None)))
    program = settings.tool_paths.get(adapter.name) or shutil.which(adapter.name)
    with tempfile.TemporaryDirectory(prefix="parity-") as cwd:
        for name, content in command.files.items():
            (Path(cwd) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(cwd) / name).write_bytes(content)
        env = {"PATH": os.defpath, "HOME": cwd, "KUBECONFIG": f"{cwd}/none", **command.env}
        done = subprocess.run(
            [str(program), *command.argv[1:]],
            cwd=cwd,
            env=env,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    return None if done.returncode and not done.stdout and b"no resources found to scan" not in done.stderr else done


def _without_the_unreadable(folder: Folder, plain: Path) -> None:
    """Blank the documents that kguard has no object of: they are told of as problems of the inputs."""
    for path in _files(plain):
        spans = [obj.origin.span for obj in folder.objects if folder.file(obj) == str(path.relative_to(plain))]
        lines = path.read_bytes().split(b"\n")
        starts = [0, *(number for number, line in enumerate(lines) if re.match(rb"---(\s|$)", line)), len(lines)]
        for start, end in pairwise(starts):
            if not any(span.line <= end and start < span.end_line for span in spans):
                first = start + lines[start].startswith(b"---")
                lines[first:end] = [b""] * (end - first)
        path.write_bytes(b"\n".join(lines))


_NOBODY = ObjectRef(group="", version="", kind="", namespace=None, name="")


def _files(plain: Path) -> list[Path]:
    return sorted(path for path in plain.rglob("*") if path.is_file())


def _bare(command: Command) -> Command:
    """Without what only shows kguard what a tool read and which checks were on: the tool must find the same without it."""
    files = {name: text.partition(b"customChecks:")[0] for name, text in command.files.items() if name != "kguard.json"}
    # without --quiet, checkov shows by its passes what it read
    proofs = ("--include-non-failures", "--use-from", "kguard.json", "--external-checks-dir", "own", "--quiet")
    argv = tuple(word.removesuffix(",kguard") for word in command.argv if word not in proofs)
    return replace(command, argv=argv, files=files)


# -- the raw output of each tool, read without kguard's adapters ----------------------------------------------------------


def _kube_linter(done: subprocess.CompletedProcess[bytes], folder: Folder, plain: Path) -> Native:
    reports: list[Json] = (json.loads(done.stdout)["Reports"] or []) if done.stdout else []
    keys: set[Key] = set()
    for report in reports:
        file = os.path.relpath(report["Object"]["Metadata"]["FilePath"], plain)
        ref = report["Object"]["K8sObject"]
        found = re.search(r'[Cc]ontainer (?:"([^"]*)"|(\S+) mounts)', report["Diagnostic"]["Message"])
        names = {
            item.given
            for obj in folder.objects
            if folder.file(obj) == file and obj.ref.name == ref["Name"]
            for item in index(obj).containers
        }
        container = (found[1] or found[2] or "") if found else ""
        container = container if container in names else ""
        kind = ref["GroupVersionKind"]["Kind"]
        keys.add((report["Check"], file, kind, ref["Namespace"], ref["Name"], container))
    spoke = {key[1:5] for key in keys}
    # -v names the files in which something failed to load; of their objects only those that it speaks of were read for sure
    failed = set(re.findall(rf"failed to load object from {re.escape(str(plain))}/(.+?): ", done.stderr.decode()))

    def read(obj: KubeObject) -> bool:
        file = folder.file(obj)
        if not file.lower().endswith((".yaml", ".yml")):
            return False
        return file not in failed or (file, obj.ref.kind, obj.ref.namespace or "", obj.ref.name) in spoke

    return Native(keys=frozenset(keys), read=read)


def _trivy(done: subprocess.CompletedProcess[bytes], folder: Folder, plain: Path) -> Native:
    results: list[Json] = json.loads(done.stdout).get("Results", [])
    keys: set[Key] = set()
    for result in results:
        for found in result.get("Misconfigurations", []):
            line = found["CauseMetadata"].get("StartLine", 0)
            obj = folder.at(result["Target"], line) if line else None
            if found["ID"] in SIBLINGS:
                # its records come in pairs of (faulty container, any container): only the message is right
                named = re.match(r"Container '(.+?)'", found["Message"])
                keys.add((found["ID"], result["Target"], "", named[1] if named else ""))
            elif obj is None:
                keys.add((found["ID"], result["Target"], "", ""))
            else:
                keys.add((found["ID"], result["Target"], obj.staged, folder.container_at(obj, line)))
    targets = {result["Target"] for result in results}

    def read(obj: KubeObject) -> bool:
        file = folder.file(obj)
        text = (plain / file).read_bytes().removeprefix(b"\xef\xbb\xbf")
        # only `---` alone is a separator for trivy: what follows another one is lost; it never looks into a List
        before = text.splitlines()[: obj.origin.span.line]
        odd = any(re.match(rb"---[ \t]", line) for line in before)
        return file in targets and obj.origin.item is None and not odd

    return Native(keys=frozenset(keys), read=read)


def _kubescape(done: subprocess.CompletedProcess[bytes], folder: Folder, plain: Path) -> Native:
    report: Json = json.loads(done.stdout) if done.stdout else {}
    resources = {item["resourceID"]: item for item in report.get("resources", [])}
    keys: set[Key] = set()
    for result in report.get("results", []):
        raw: Json = resources[result["resourceID"]]["object"]
        for control in result["controls"]:
            if control["status"]["status"] == "failed" and control["controlID"] not in AT_RANDOM:
                keys |= {_kubescape_key(control["controlID"], raw, container) for container in _places(raw, control)}
    loaded = {_identity(raw) for item in resources.values() for raw in (item["object"], *_related(item["object"]))}
    return Native(keys=frozenset(keys), read=lambda obj: _identity_of(obj, folder) in loaded)


def _kubescape_key(control: str, raw: Json, container: str) -> Key:
    related = sorted("/".join(_names(item)) for item in _related(raw))
    return (control, *(related or _identity(raw)), container)


def _related(raw: Json) -> list[Json]:
    """What a subject was made up from; C-0042 gives one object in place of a list."""
    found: list[Json] | Json = raw.get("relatedObjects") or []
    return found if isinstance(found, list) else [found]


def _places(raw: Json, control: Json) -> set[str]:
    """Names of the containers that the failed paths of a control run through; "" for paths outside containers."""
    found: set[str] = set()
    for rule in control.get("rules", []):
        for place in rule.get("paths") or []:
            path = place.get("failedPath") or place.get("reviewPath") or place.get("deletePath")
            path = path or place.get("fixPath", {}).get("path", "")
            match = re.match(r"(.*?\b(?:containers|initContainers|ephemeralContainers))\[(\d+)\]", path)
            found.add(_container_name(raw, match[1], int(match[2])) if match else "")
    return found or {""}


def _container_name(raw: Json, path: str, position: int) -> str:
    node: Any = raw
    for key in path.split("."):
        node = node.get(key, {}) if isinstance(node, dict) else {}
    return str(node[position].get("name", "")) if isinstance(node, list) and position < len(node) else ""


def _names(raw: Json) -> tuple[str, str, str]:
    metadata = raw.get("metadata") or {}
    kind, namespace, name = raw.get("kind"), metadata.get("namespace"), metadata.get("name")
    return str(kind), str(namespace or raw.get("namespace") or ""), str(name or raw.get("name") or "")


def _identity(raw: Json) -> Key:
    return (str(raw.get("sourcePath", "")).rsplit(":", 1)[0], *_names(raw))


def _identity_of(obj: KubeObject, folder: Folder) -> Key:
    return (folder.file(obj), obj.ref.kind, obj.ref.namespace or "", obj.ref.name)


def _polaris(done: subprocess.CompletedProcess[bytes], folder: Folder, plain: Path) -> Native:
    results: list[Json] = json.loads(done.stdout)["Results"]
    keys: set[Key] = set()
    for result in results:
        identity = (result["Kind"], result["Namespace"], result["Name"])
        pod: Json = result.get("PodResult") or {}
        levels = [("", result.get("Results")), ("", pod.get("Results"))]
        levels += [(item["Name"], item["Results"]) for item in pod.get("ContainerResults", [])]
        for container, checks in levels:
            keys |= {(rule, *identity, container) for rule, check in (checks or {}).items() if not check["Success"]}
    listed = {(result["Kind"], result["Namespace"], result["Name"]) for result in results}
    counts = Counter(_polaris_identity(obj) for obj in folder.objects)
    # it reads no further in a file once a document cannot be read, and names objects so that another of the name may be meant
    stopped = set(re.findall(rf"skipping {re.escape(str(plain))}/(.+?): ", done.stderr.decode()))

    def read(obj: KubeObject) -> bool:
        if _polaris_identity(obj) not in listed or any(counts[role] > 1 for role in _roles(obj)):
            return False
        return counts[_polaris_identity(obj)] == 1 or folder.file(obj) not in stopped

    return Native(keys=frozenset(keys), read=read)


def _polaris_identity(obj: KubeObject) -> Key:
    return (obj.ref.kind, obj.ref.namespace or "", obj.ref.name)


def _roles(obj: KubeObject) -> Iterator[Key]:
    """What a binding binds: of two roles of one name it sees either."""
    ref = index(obj).value.get("roleRef")
    if isinstance(ref, dict):
        kind = str(ref.get("kind"))
        yield (kind, "" if kind == "ClusterRole" else obj.ref.namespace or "", str(ref.get("name")))


def _kube_score(done: subprocess.CompletedProcess[bytes], folder: Folder, plain: Path) -> Native:
    keys, listed = handread.kube_score(done.stdout)
    # by hand, each object sees all others, and of objects of one name kguard has it see one after another: dev beside dev
    twins = max(Counter(map(_polaris_identity, folder.objects)).values()) > 1
    left_out = handread.AMONG_OBJECTS if twins else frozenset()
    keys = frozenset(key for key in keys if key[0] not in left_out)
    return Native(keys=keys, read=lambda obj: _polaris_identity(obj) in listed, left_out=left_out)


def _checkov(done: subprocess.CompletedProcess[bytes], folder: Folder, plain: Path) -> Native:
    keys, judged = handread.checkov(done.stdout, folder, plain)
    return Native(keys=keys, read=judged.__contains__)


NATIVE: dict[str, Callable[[subprocess.CompletedProcess[bytes], Folder, Path], Native]] = {
    "kube-linter": _kube_linter,
    "trivy": _trivy,
    "kubescape": _kubescape,
    "polaris": _polaris,
    "checkov": _checkov,
    "kube-score": _kube_score,
}


def own_key(item: Located, folder: Folder) -> Key:
    """kguard's evidence in the words of the native output."""
    evidence, obj, name = item.evidence, item.object, _name(item)
    match evidence.tool:
        case "trivy" if evidence.rule in SIBLINGS:
            return (evidence.rule, folder.file(obj), "", name)
        case "trivy" if evidence.lines is None:
            return (evidence.rule, folder.file(obj), "", "")
        case "trivy":
            return (evidence.rule, folder.file(obj), obj.staged, name)
        case "kubescape" if item.related:
            related = sorted(
                "/".join((ref.kind, ref.namespace or "", ref.name)) for ref in (o.ref for o in item.related)
            )
            return (evidence.rule, *related, name)
        case "polaris" | "kube-score":
            return (evidence.rule, obj.ref.kind, obj.ref.namespace or "", obj.ref.name, name)
        case _:
            return (evidence.rule, *_identity_of(obj, folder), name)


def _name(item: Located) -> str:
    """The container's name in the manifest; where several share it, the one that the tool gave."""
    if item.container is not None:
        return item.container.given
    given = item.evidence.container
    return given if given and any(given == container.given for container in index(item.object).containers) else ""


def main(folders: Iterable[str]) -> int:
    rules = dict(pair.split("=", 1) for pair in os.environ.get("KGUARD_RULES", "").split())
    settings = Settings(
        tools=tuple(adapter.name for adapter in load_adapters()),
        profile=Profile.DEFAULT,
        rules={name: Path(path) for name, path in rules.items()},
    )
    right = True
    for folder in map(Path, folders):
        gathered = scan(folder, settings)
        for line in accounts.held(gathered, folder):
            right &= not line.wrong
            print(line, flush=True)
        for verdict in compare(folder, gathered, settings):
            right &= verdict.right
            _print(verdict)
    return 0 if right else 1


def _print(verdict: Verdict) -> None:
    what = "dies natively" if verdict.native is None else f"{verdict.native} native"
    print(
        f"{verdict.folder:44} {verdict.tool:12} {verdict.state:10} {what:>14}"
        f"   missing {len(verdict.missing)}   extra {len(verdict.extra)}   in {verdict.compared} of {verdict.objects} objects",
        flush=True,
    )
    for sign, keys in (("-", verdict.missing), ("+", verdict.extra)):
        for key in sorted(keys)[:10]:
            print(f"    {sign} {' '.join(key)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
