"""`kguard catalog`: the controls of the catalogue, chosen by tool, framework or word, as a table, as JSON and as a reference page."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from tabulate import tabulate

from kguard.findings.catalogue import Control, load_catalogue, load_unmapped, references
from kguard.findings.names import named
from kguard.model import Report
from kguard.tooldata import place


@lru_cache(maxsize=1)
def tools() -> tuple[str, ...]:
    """The tools whose every rule is known, in the order of the reports."""
    names = {rule.partition(":")[0] for rule in load_catalogue().all_rules}
    return tuple(sorted(names, key=place))


def chosen(*, word: str | None = None, tool: str | None = None, framework: str | None = None) -> tuple[Control, ...]:
    """The controls that are called so or serve the rule (`tool:RULE`), that a tool has a rule for, and that a framework names (`PSS`,
    `pss restricted`, `cis 5.2`); by category, and in its order.

    Raises UsageError for a word that is neither control nor rule.
    """
    meant = named(word, None, load_catalogue()) if word is not None else None
    return tuple(
        control
        for control in load_catalogue().controls.values()
        if (meant is None or meant is control or _serves(control, str(meant)))
        and (tool is None or tool in control.tools)
        and (framework is None or _stands_in(control, framework))
    )


def _serves(control: Control, rule_name: str) -> bool:
    return any(f"{rule.tool}:{rule.rule}" == rule_name for rule in load_catalogue().rules_of(control.id))


def frameworks() -> tuple[str, ...]:
    """The families of references: CIS, CWE, ..."""
    names = {
        name.replace("-", " ").split()[0]
        for control in load_catalogue().controls.values()
        for name in control.references
    }
    return tuple(sorted(names))


def _stands_in(control: Control, framework: str) -> bool:
    wanted = framework.lower().replace("-", " ").split()
    return any(_begins(reference.lower().replace("-", " ").split(), wanted) for reference in control.references)


def _begins(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the first words are those that are wanted; of a number (5.2.6) its beginning will do (5.2)."""
    if len(words) < len(wanted):
        return False
    pairs = list(zip(words, wanted, strict=False))
    return all(word == want or word.startswith(f"{want}.") for word, want in pairs)


def unmapped(report: Report | None) -> Mapping[str, tuple[str, ...]]:
    """By tool, the rules that a run had on and the catalogue does not know."""
    catalogue = load_catalogue()
    return {
        tool.name: tuple(rule for rule in tool.rules.ids if not catalogue.mappings(tool.name, rule))
        for tool in (report.tools if report else ())
        if tool.rules is not None and tool.rules.ids is not None
    }


def counts() -> Mapping[str, int]:
    """By tool, how many of its rules have a control."""
    return {tool: len(load_catalogue().rules(tool)) for tool in tools()}


def left_out(tool: str) -> Mapping[str, str]:
    """The known rules of a tool that no control is for, each with the reason."""
    return load_unmapped().get(tool, {})


_LEGEND = (
    "x: a rule with the same trigger; ~: one that differs at the edges; +: one whose main control is another; -: none."
    " kguard explain CONTROL tells more."
)


# -- as text ----------------------------------------------------------------------------------------------------------


def table(controls: Collection[Control]) -> str:
    """A line for each control, with what each tool has for it; ends with a newline."""
    rows = [
        [control.severity.value, control.id, *(_cell(control, tool) for tool in tools()), control.title]
        for control in controls
    ]
    heads = ["severity", "control", *tools(), "title"]
    text = tabulate(rows, headers=heads, tablefmt="plain", disable_numparse=True)
    return f"{text}\n\n{_LEGEND}\n"


def _cell(control: Control, tool: str) -> str:
    rules = [rule for rule in load_catalogue().rules_of(control.id) if rule.tool == tool]
    if not rules:
        return "-"
    main = [rule for rule in rules if not rule.secondary]
    return "+" if not main else "~" if all(rule.partial for rule in main) else "x"


def as_data(control: Control) -> dict[str, Any]:
    """A control for programs."""
    return {
        "id": control.id,
        "title": control.title,
        "category": control.category,
        "severity": control.severity.value,
        "because": control.because,
        "scope": control.scope,
        "harm": control.harm,
        "remediation": control.remediation,
        "example": control.example,
        "references": [{"name": item.name, "url": item.url} for item in references(control)],
        "subsumes": list(control.subsumes),
        "rules": [
            {
                "tool": rule.tool,
                "rule": rule.rule,
                "partial": rule.partial,
                "secondary": rule.secondary,
                "note": rule.note or None,
                "since": rule.since or None,
            }
            for rule in load_catalogue().rules_of(control.id)
        ],
        "not_shown": control.not_shown or None,
    }


# -- the reference page -------------------------------------------------------------------------------------------------


def page(controls: Sequence[Control]) -> Iterator[str]:
    """The reference page in Markdown, in pieces: a section for each control, by category."""
    yield "# The controls\n\nGenerated by `make generate` from `kguard/data/controls/`; `kguard catalog` prints the same.\n"
    yield "`~`: the rule's trigger differs from the control's at the edges. `+`: its main control is another.\n\n"
    ordered = sorted(controls, key=lambda control: control.category)
    for category, found in groupby(ordered, key=lambda control: control.category):
        own = list(found)
        yield f"## {heading(category)}\n\n"
        yield "".join(f"- [{control.id}](#{control.id}): {control.title} ({control.severity})\n" for control in own)
        yield "\n"
        for control in own:
            yield from _section(control)


def heading(category: str) -> str:
    """A category in words."""
    return "RBAC" if category == "rbac" else category.replace("-", " ").capitalize()


def _section(control: Control) -> Iterator[str]:
    yield f"### {control.id}\n\n**{control.title}.** {control.harm}\n\n"
    yield f"Severity **{control.severity}**{f': {control.because}' if control.because else ''}. Scope: {control.scope}.\n\n"
    yield "| tool | rule | |\n|---|---|---|\n"
    for rule in load_catalogue().rules_of(control.id):
        mark = ("+" if rule.secondary else "") + ("~" if rule.partial else "")
        notes = "; ".join(filter(None, (mark and f"`{mark}`", rule.note, rule.since and f"since {rule.since}")))
        yield f"| {rule.tool} | `{rule.rule}` | {notes.replace('|', chr(92) + '|')} |\n"
    yield f"\n{control.remediation}\n\n"
    if control.example:
        yield f"```yaml\n{control.example.rstrip()}\n```\n\n"
    if control.subsumes:
        yield f"Says more than {', '.join(f'[{name}](#{name})' for name in control.subsumes)} about the same place.\n\n"
    if control.not_shown:
        yield f"No manifest can show that the tools agree: {control.not_shown}\n\n"
    links = [f"[{item.name}]({item.url})" if item.url else item.name for item in references(control)]
    if links:
        yield f"{', '.join(links)}\n\n"
