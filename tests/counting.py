"""How many Kubernetes objects stand below a folder, by where they come from: counted with PyYAML, helm and kustomize alone.

It shares no code with kguard, on purpose: what it counts is held against what kguard staged (`accounts.py`).
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

_MANIFESTS = (".yaml", ".yml", ".json")
_SEPARATOR = re.compile(r"^(?:---|\.\.\.)(?=\s|$)", re.MULTILINE)
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_KUSTOMIZE = "kustomize.config.k8s.io"
_OF_A_CHART = ("templates", "crds", "charts")
_NAME_FILES = ("path", "env", "envs", "files", "valuesfile")


def count(top: Path) -> Counter[str]:
    """Objects by `plain FILE`, `helm FOLDER` and `kustomize FOLDER`, below `top`; what has none is not named."""
    files = sorted(_files(top))
    charts = {path.parent for path in files if path.name == "Chart.yaml"}
    said = {path.parent.resolve(): content for path in files if (content := _kustomization(path)) is not None}
    referred = {path for folder, content in said.items() for path in _paths(folder, content)}
    found: Counter[str] = Counter()
    for path in files:
        if path.suffix.lower() in _MANIFESTS and path.resolve() not in referred and not _of_a_chart(path, charts):
            found[f"plain {os.path.relpath(path, top)}"] = objects(path.read_bytes(), without=_KUSTOMIZE)
    for chart in charts:
        if not _of_a_chart(chart, charts) and not _is_library(chart):
            printed = _printed("helm", "template", "release", str(chart), "--include-crds")
            found[f"helm {os.path.relpath(chart, top)}"] = objects(printed)
    for root in said.keys() - referred:
        if said[root].get("kind") != "Component":
            found[f"kustomize {os.path.relpath(root, top.resolve())}"] = objects(
                _printed("kustomize", "build", str(root))
            )
    return +found


def objects(data: bytes, *, without: str = "-") -> int:
    """Objects in a YAML or JSON text; what cannot be parsed is none. Those of the API group `without` do not count."""
    total = 0
    for text in _SEPARATOR.split(data.decode("utf-8-sig", "replace")):
        try:
            total += _in(yaml.compose(text, Loader=yaml.CSafeLoader), without)
        except yaml.YAMLError:
            continue  # the other documents still count
    return total


def _in(node: Any, without: str, *, typed: bool = False) -> int:
    """The objects that a node is; `typed`: an item of a list that tells its type."""
    if not isinstance(node, yaml.MappingNode):
        return 0
    fields = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    kind, version = (_text(fields.get(name)) for name in ("kind", "apiVersion"))
    items = fields.get("items")
    if kind and version and kind.endswith("List") and isinstance(items, yaml.SequenceNode):
        return sum(_in(item, without, typed=kind != "List") for item in items.value)
    return int(typed or bool(kind and version and version.partition("/")[0] != without))


def _text(node: Any) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":str") else ""


def _files(top: Path) -> Iterator[Path]:
    """Every file but git's own; links to folders are not followed, and those that lead out do not count."""
    for here, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name != ".git"]
        for path in (Path(here) / name for name in names):
            if path.is_file() and path.resolve().is_relative_to(top.resolve()):
                yield path


def _of_a_chart(path: Path, charts: Iterable[Path]) -> bool:
    """Whether it is a part of a chart that is rendered, or only helps to: what just stands beside is not."""
    for chart in charts:
        if path.is_relative_to(chart) and path != chart:
            parts = path.relative_to(chart).parts
            if (len(parts) > 1 and parts[0] in _OF_A_CHART) or _is_library(chart):
                return True
    return False


def _is_library(chart: Path) -> bool:
    content = yaml.safe_load((chart / "Chart.yaml").read_text())
    return isinstance(content, dict) and content.get("type") == "library"


def _kustomization(path: Path) -> dict[str, Any] | None:
    """What a kustomization says; None for another file, and for one of another product (Flux)."""
    if path.name not in _KUSTOMIZATIONS:
        return None
    content = yaml.safe_load(path.read_text())
    group = str(content.get("apiVersion") or _KUSTOMIZE).partition("/")[0]
    return content if group == _KUSTOMIZE else None


def _paths(folder: Path, content: Any, key: str = "") -> Iterator[Path]:
    """What a kustomization names that is here: files, and folders with a kustomization."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from _paths(folder, value, str(name).lower())
    elif isinstance(content, list):
        for item in content:
            yield from _paths(folder, item, "path" if isinstance(item, str) else "")
    elif isinstance(content, str) and key in _NAME_FILES and "\n" not in content:
        path = (folder / content.rpartition("=")[2]).resolve()
        if path.is_file() or any((path / name).is_file() for name in _KUSTOMIZATIONS):
            yield path


def _printed(*argv: str) -> bytes:
    """What a renderer prints; nothing where it fails."""
    with tempfile.TemporaryDirectory(prefix="counting-") as home:
        env = {"PATH": os.environ["PATH"], "HOME": home}
        done = subprocess.run(argv, env=env, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    return b"" if done.returncode else done.stdout
