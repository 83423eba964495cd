"""The layout tells the truth: arrows point only downwards, and every module says what it owns."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("inputs", "running", "findings", "reports")
CORE = ("model", "coverage_model", "settings", "errors", "text", "tooldata")
COMMANDS = ("scan", "doctor", "explain", "catalog", "coverage")
"""The modules that tell the whole story of a command, across the rooms."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(
        [*(ROOT / "kguard").rglob("*.py"), *(ROOT / "adapters").rglob("*.py"), *(ROOT / "templates").rglob("*.py")]
    ):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


MODULES = dict(modules())


def imports(tree: ast.Module) -> Iterator[str]:
    """Names of what is imported, at the top or inside functions, but for types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module in ("kguard", "kguard.cli"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def allowed(module: str) -> tuple[str, ...]:
    """The prefixes of kguard's own modules that a module may import."""
    core = (*(f"kguard.{name}" for name in CORE), "kguard.__version__")
    parts = module.split("/")
    if parts[0] == "adapters":
        return (*core, "kguard.running.contract") if parts[1] == "__init__.py" else core
    if parts[1] in ROOMS:
        return (*core, f"kguard.{parts[1]}")
    if parts[1] == "cli":
        commands = tuple(f"kguard.{name}" for name in COMMANDS)
        return (*core, *commands, "kguard.cli", "kguard.config", "kguard.running", "kguard.reports")
    if parts[1].removesuffix(".py") in COMMANDS:
        return (*core, "kguard.rendering", *(f"kguard.{room}" for room in ROOMS if room != "reports"))
    if parts[1] == "rendering.py":
        return (*core, "kguard.inputs", "kguard.running")
    if parts[1] == "config":
        return (*core, "kguard.config", "kguard.inputs")
    if parts[1] == "__main__.py":
        return ("kguard.cli",)
    return core


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_only_downwards(module: str) -> None:
    own = [name for name in imports(MODULES[module]) if name.split(".")[0] in ("kguard", "adapters")]
    wrong = [
        name for name in own if not any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed(module))
    ]
    assert wrong == []


@pytest.mark.parametrize("module", MODULES)
def test_every_module_opens_with_what_it_owns(module: str) -> None:
    docstring = ast.get_docstring(MODULES[module])
    assert docstring, "a module opens with one sentence on what it owns"
    assert docstring.split("\n\n")[0].rstrip().endswith((".", "`."))


TOOLS = {path.stem.replace("_", "-") for path in (ROOT / "adapters").glob("*.py")} - {"--init--"}


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("adapters/")])
def test_only_an_adapter_knows_its_tool(module: str) -> None:
    """What tells tools apart elsewhere is in kguard/data."""
    strings = (node.value for node in ast.walk(MODULES[module]) if isinstance(node, ast.Constant))
    assert {"trivy", "kube-score"} <= TOOLS
    assert [text for text in strings if text in TOOLS] == []


def test_every_package_is_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for top in ("kguard", "adapters", "templates") for path in (ROOT / top).rglob("__init__.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(project["packages"]) == {name if name.startswith("kguard") else f"kguard.{name}" for name in names}
