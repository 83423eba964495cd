"""The contract pages of the adapters say what the adapters do: docs/adapters/<tool>.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from kguard.model import ObjectRef, RuleSet, StagedFile, StagePart
from kguard.running.contract import Adapter
from kguard.running.facts import tool_facts
from kguard.settings import Profile, Settings

ADAPTERS: tuple[Adapter, ...] = import_module("kguard.adapters").ADAPTERS
PAGES = Path(__file__).resolve().parent.parent / "docs" / "adapters"
SECTIONS = [
    "Versions",
    "Command line",
    "Input",
    "Output",
    "Exit codes",
    "What was read",
    "Rules and severities",
    "Limits and traps",
    "Parity",
]
POD = StagedFile(
    path="tree/a--1.yaml", ref=ObjectRef(group="", version="v1", kind="Pod", namespace=None, name="a"), context=False
)
PART = StagePart(id="1", bundle="b", root=Path("/stage"), files=(POD,))

each_tool = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)


def page(adapter: Adapter) -> str:
    return (PAGES / f"{adapter.name}.md").read_text()


def planned(adapter: Adapter) -> set[str]:
    """The flags, and the variables, of the commands of both profiles."""
    rules = RuleSet(source="none", folder=Path("/rules"))
    commands = [adapter.plan(PART, Settings(profile=profile), rules) for profile in Profile]
    flags = {word for command in commands for word in command.argv if word.startswith("-")}
    return flags.union(*(command.env for command in commands))


def shown(text: str) -> Iterator[str]:
    """The flags and the variables of the command that a page shows: the first indented block below its heading."""
    section = text.partition("\n## Command line\n")[2]
    block = re.search(r"(?:^ {4}\S.*\n)+(?:^ {4,}.*\n)*", section, re.MULTILINE)
    for word in block[0].split() if block else ():
        flag = word.strip("[]")
        variable = re.fullmatch(r"([A-Z_]+)=\S*", flag)
        if variable:
            yield variable[1]
        elif flag.startswith("-"):
            yield flag


@each_tool
def test_every_adapter_has_a_page_with_all_sections(adapter: Adapter) -> None:
    text = page(adapter)
    assert text.startswith(f"# {adapter.name}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert f"[{adapter.name}]({adapter.name}.md)" in (PAGES / "README.md").read_text()


def test_every_page_is_of_an_adapter() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} - {"README"} == {adapter.name for adapter in ADAPTERS}


@each_tool
def test_the_command_of_a_page_has_the_flags_of_the_adapters(adapter: Adapter) -> None:
    assert set(shown(page(adapter))) == planned(adapter)


@each_tool
def test_a_page_says_why_each_flag_is_there(adapter: Adapter) -> None:
    """In the text, not only in the command."""
    section = re.split(r"^## ", page(adapter), flags=re.MULTILINE)[2]
    told = {word for quoted in re.findall(r"`([^`\n]+)`", section) for word in re.split(r"[\s]", quoted)}
    words = told | {word.partition("=")[0] for word in told}
    assert planned(adapter) - words == set()


@each_tool
def test_a_page_names_the_versions_and_the_canary_of_the_adapter(adapter: Adapter) -> None:
    text, facts = page(adapter), tool_facts()[adapter.name]
    wanted = [*map(str, adapter.versions), *facts.proven, *(f"`{rule}`" for rule in facts.canary)]
    assert [word for word in wanted if word not in text] == []


@each_tool
def test_a_page_names_what_silences_the_tool(adapter: Adapter) -> None:
    """The domain and the first word of each annotation in tools.yaml."""
    patterns = tool_facts()[adapter.name].ignores
    words = [re.split(r"[\[(=]", pattern.replace("\\", ""))[0] for pattern in patterns]
    assert [word for word in words if word not in page(adapter)] == []
