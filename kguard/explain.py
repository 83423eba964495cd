"""Explanations of a finding, a control or a tool's rule: why merged, why this severity, which tools have a check, which looked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, cast

from kguard.findings.catalogue import Catalogue, Control, RuleMapping, load_catalogue
from kguard.findings.customise import customised
from kguard.findings.gate import at_bar
from kguard.findings.looked import Cell, Look, Witnesses, check
from kguard.findings.names import RuleName, named
from kguard.findings.severity import severity_of
from kguard.model import ControlText, Finding, Location, Precision, Report, RunState, Severity, Statement, ToolRun
from kguard.settings import MergeSettings

Kind = Literal["finding", "control", "rule"]

_FIRST = 10
_SEVERITY_RULES = {
    "catalogue": "kguard's catalogue decides; the tools' own words do not move it",
    "max": "the worst of the tools' own words",
    "median": "the middle one of the tools' own words",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of an explanation."""

    name: str
    """What it is about: a tool, a rule, a control, a fingerprint, or a plain word; "" for none."""
    word: str = ""
    """What there is to say in a word: a state (`missed`), a severity, how a rule checks a control (`exact`)."""
    text: str = ""
    more: tuple[str, ...] = ()
    """Further sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    key: str
    """What programs look it up by."""
    head: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All there is to say of one finding, control or rule. Text from manifests and tools is in it as it came."""

    kind: Kind
    name: str
    title: str
    """"" where nobody gave one."""
    sections: tuple[Section, ...]
    """Each with items."""


def catalogue_for(settings: MergeSettings) -> Catalogue:
    """The catalogue as kguard.yaml changes it."""
    return customised(load_catalogue(), settings)


def explain(word: str, report: Report | None, catalogue: Catalogue) -> Explanation:
    """What `word` names: a control, a rule (`tool:RULE`) or, in a report, a finding by the first digits of its fingerprint.

    Raises UsageError with the nearest names for a word that is none of them.
    """
    found = named(word, report, catalogue)
    if isinstance(found, Control):
        return _control(found, report, catalogue)
    if isinstance(found, RuleName):
        return _rule(found, report, catalogue)
    return _finding(found, cast(Report, report), catalogue)  # where it was found


# -- a finding ----------------------------------------------------------------------------------------------------------


def _finding(finding: Finding, report: Report, catalogue: Catalogue) -> Explanation:
    cells = Witnesses(report, catalogue).of(finding)
    return _explanation(
        "finding",
        finding.fingerprint,
        finding.title,
        _section("about", "", _about(finding, report, catalogue)),
        _section("severity", f"why {finding.severity}", _severity(finding, report, catalogue)),
        _section("said", "what was said, and why it is here", _said(finding, catalogue)),
        _section("related", "related findings", _related(finding, report, catalogue)),
        _section("elsewhere", "in other bundles", _elsewhere(finding, report)),
        _section("looked", "which tools looked", map(_looked, cells)),
    )


def _about(finding: Finding, report: Report, catalogue: Catalogue) -> Iterator[Item]:
    told = _told(finding, report, catalogue)
    facts = {
        "control": finding.control,
        "object": _object(finding),
        "place": _at(finding.location),
        "bundle": finding.bundle if len(report.inputs.bundles) > 1 else "",
        "field": finding.fix.path if finding.fix else "",
        "can go wrong": told.harm if told else "",
        "what to do": finding.remediation,
    }
    return _facts(facts)


def _told(finding: Finding, report: Report, catalogue: Catalogue) -> ControlText | Control | None:
    """What the run said of the control; what the catalogue says, where the run is older."""
    own = (text for text in report.controls if text.id == finding.control)
    return next(own, catalogue.controls.get(finding.control))


def _severity(finding: Finding, report: Report, catalogue: Catalogue) -> Iterator[Item]:
    told = _told(finding, report, catalogue)
    if told is not None and told.because:
        yield Item(name="because", text=told.because)
    yield Item(name="rule", text=_severity_rule(finding, report, catalogue))
    yield Item(name="gate", text=_gate(finding, report))
    words: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for said in {(said.tool, said.rule): said for said in finding.evidence}.values():
        words[said.tool][said.native_severity or "no word for it"].append(said.rule)
    for tool, own in words.items():
        yield Item(name=tool, text=", ".join(f"{word} ({', '.join(rules)})" for word, rules in own.items()))
    worst = {tool: min(map(severity_of, own), key=lambda one: one.rank) for tool, own in words.items()}
    known = {tool: severity for tool, severity in worst.items() if severity is not Severity.UNKNOWN}
    if len(set(known.values())) > 1:
        yield Item(name="disagree", text=", ".join(f"{tool} means {severity}" for tool, severity in known.items()))


def _severity_rule(finding: Finding, report: Report, catalogue: Catalogue) -> str:
    control = catalogue.controls.get(finding.control)
    rule = f"{report.severity_rule}: {_SEVERITY_RULES.get(report.severity_rule, 'not known to this version')}"
    if _unmapped(finding):
        return "the finding is of no control, so the tool's own word counts" if finding.gated else "info: not believed"
    if control is None:
        return f"{rule}. The catalogue at hand does not have the control: name the run's kguard.yaml with --config"
    if control.fixed_severity:
        return "kguard.yaml sets it"
    if report.severity_rule == "catalogue" and control.severity is not finding.severity:
        rule += f". The catalogue at hand says {control.severity}: the run had another version or kguard.yaml"
    return rule


def _unmapped(finding: Finding) -> bool:
    return any(finding.control == f"{said.tool}:{said.rule}" for said in finding.evidence)


def _gate(finding: Finding, report: Report) -> str:
    if not finding.gated:
        why = "what the tool said is not believed" if _unmapped(finding) else "it is part of a finding that says more"
        return f"does not count: {why}"
    if report.fail_on == "never":
        return "does not count: no bar was set (fail_on: never)"
    counts = at_bar(finding.severity, Severity(report.fail_on))
    return f"{'counts' if counts else 'below the bar'} (fail_on: {report.fail_on})"


def _said(finding: Finding, catalogue: Catalogue) -> Iterator[Item]:
    for (tool, rule), group in groupby(finding.evidence, key=lambda said: (said.tool, said.rule)):
        statements = list(group)
        mappings = [item for item in catalogue.mappings(tool, rule) if item.control == finding.control]
        lines = list(dict.fromkeys(_statement(said, finding) for said in statements))
        rest = [f"... and {len(lines) - _FIRST} more places"] if len(lines) > _FIRST else []
        why = dict.fromkeys(said.why_merged for said in statements)
        notes = dict.fromkeys(f"note: {item.note}" for item in mappings if item.note)
        word = _how(mappings[0]) if mappings else ""
        yield Item(name=f"{tool}:{rule}", word=word, more=(*lines[:_FIRST], *rest, *why, *notes))


def _statement(said: Statement, finding: Finding) -> str:
    """What it said, and where it pointed."""
    where = "named no line"
    if said.location is not None:
        same = said.location.path == finding.location.path and said.location.line is not None
        where = f"pointed at {f'line {said.location.line}' if same else _at(said.location)}"
    parts = [where, f"of {said.object}" if said.object else "", "the field is the manifest's" if said.located else ""]
    return f"{said.message} ({', '.join(filter(None, parts))})"


def _related(finding: Finding, report: Report, catalogue: Catalogue) -> Iterator[Item]:
    for other in report.findings:
        if other.fingerprint not in finding.related or other.bundle != finding.bundle:
            continue
        how = "overlaps"
        if other.control in _lesser(finding.control, catalogue):
            how = "says less about the same place"
        elif finding.control in _lesser(other.control, catalogue):
            how = "says more about the same place"
        yield Item(name=other.fingerprint, word=other.severity, text=f"{other.control} {how}: {_at(other.location)}")


def _lesser(control: str, catalogue: Catalogue) -> Collection[str]:
    return catalogue.controls[control].subsumes if control in catalogue.controls else ()


def _elsewhere(finding: Finding, report: Report) -> Iterator[Item]:
    for place in finding.places:
        yield Item(name=place.bundle, word="found", text=f"{place.object} at {_at(place.location)}")
    for item in finding.absent:
        if item.silenced:
            yield Item(name=item.bundle, word="silenced", text="an annotation tells a tool to be silent")
        else:
            yield Item(name=item.bundle, word="cured", text=f"by {_at(item.by)}" if item.by else "")
    for other in report.findings:
        if other.fingerprint == finding.fingerprint and other is not finding:
            yield Item(name=other.bundle, word="found", text=f"{_object(other)} at {_at(other.location)}")


_LOOKS = {
    Look.FOUND: "by {rules}",
    Look.MISSED: "said nothing, though {rules} {was} on and it read the object",
    Look.PARTIAL: "said nothing, though it read the object: {rules} {covers} only a part of this",
    Look.SILENCED: "was told to be silent on {rules}",
    Look.OFF: "{rules} {was} off",
    Look.NO_RULE: "",
    Look.OUT_OF_SCOPE: "said nothing: {rules} {was} on, but the object is out of scope",
    Look.DID_NOT_LOOK: "has {rules}, but did not look",
    Look.NOT_KNOWN: "said nothing, and it cannot be told why",
}


def _looked(cell: Cell) -> Item:
    one = len(cell.rules) == 1
    words = {"rules": ", ".join(cell.rules), "was": "was" if one else "were", "covers": "covers" if one else "cover"}
    parts = [_LOOKS[cell.state].format(**words), cell.why]
    return Item(name=cell.tool, word=cell.state, text=": ".join(filter(None, parts)))


# -- a control ----------------------------------------------------------------------------------------------------------


def _control(control: Control, report: Report | None, catalogue: Catalogue) -> Explanation:
    found = [finding for finding in report.findings if finding.control == control.id] if report else []
    tools = [tool for tool in report.tools if not tool.off_by_default] if report else ()
    wider = [other.id for other in catalogue.controls.values() if control.id in other.subsumes]
    because = f": {control.because}" if control.because else ""
    facts = {
        "severity": f"{control.severity}{because}{' (set in kguard.yaml)' if control.fixed_severity else ''}",
        "can go wrong": control.harm,
        "what to do": control.remediation,
        "category": control.category,
        "scope": control.scope,
        "references": ", ".join(control.references),
        "includes": ", ".join(control.subsumes),
        "part of": ", ".join(wider),
        "not shown": control.not_shown,
    }
    return _explanation(
        "control",
        control.id,
        control.title,
        _section("about", "", _facts(facts)),
        _section("example", "without the fault", (Item(name="", text=line) for line in control.example.splitlines())),
        _section("rules", "which rules check it", _rules(control, catalogue)),
        _section("checks", "in this run", (_checked(check(tool, control.id, catalogue), found) for tool in tools)),
        _findings(found),
    )


def _rules(control: Control, catalogue: Catalogue) -> Iterator[Item]:
    order = sorted(catalogue.rules_of(control.id), key=lambda item: (item.tool, item.secondary, item.partial))
    for mapping in order:
        main = catalogue.mappings(mapping.tool, mapping.rule)[0].control
        first = [f"its main control is {main}"] if mapping.secondary else []
        text = "; ".join([*first, *_conditions(mapping)])
        yield Item(name=f"{mapping.tool}:{mapping.rule}", word=_how(mapping), text=text)
    tools = {rule.partition(":")[0] for rule in catalogue.all_rules}
    yield from (Item(name=tool, word=Look.NO_RULE) for tool in sorted(tools - control.tools.keys()))


def _checked(cell: Cell, found: Sequence[Finding]) -> Item:
    """Whether the check was on in the run, and what it found."""
    count = sum(1 for finding in found if cell.tool in finding.tools)
    word = "no check" if cell.state is Look.OFF else cell.state
    on = cell.state in (Look.ON, Look.PARTIAL)
    reached = f"found {count:,} of {len(found):,}" if count or (found and on) else ""
    parts = [", ".join(cell.rules), reached, "" if on else cell.why]  # where a rule is partial stands above
    return Item(name=cell.tool, word=word, text="; ".join(filter(None, parts)))


def _findings(found: Sequence[Finding]) -> Section:
    """The first of them; reports have them worst first."""
    first = f", the first {_FIRST}" if len(found) > _FIRST else ""
    items = (
        Item(
            name=finding.fingerprint,
            word=finding.severity,
            text=f"{_object(finding)} at {_at(finding.location)} ({', '.join(finding.tools)})",
        )
        for finding in found[:_FIRST]
    )
    return _section("findings", f"{_count(len(found), 'finding')}{first}", items)


# -- a rule -------------------------------------------------------------------------------------------------------------


def _rule(rule: RuleName, report: Report | None, catalogue: Catalogue) -> Explanation:
    mappings = catalogue.mappings(*rule)
    own = [
        (finding, said)
        for finding in (report.findings if report else ())
        for said in finding.evidence
        if (said.tool, said.rule) == rule
    ]
    unknown = f"The catalogue does not know this rule: what it says becomes findings of its own, {rule}."
    link = next((said.url for _, said in own if said.url), "")
    return _explanation(
        "rule",
        str(rule),
        next((said.title for _, said in own if said.title), ""),
        _section("about", "", _facts({"": "" if mappings else unknown, "link": link})),
        _section("controls", "which controls it checks", (_serves(mapping, catalogue) for mapping in mappings)),
        _section("run", "in this run", _in_run(rule, report, own) if report else ()),
        _findings([finding for finding in (report.findings if report else ()) if finding.control == str(rule)]),
    )


def _serves(mapping: RuleMapping, catalogue: Catalogue) -> Item:
    control = catalogue.controls[mapping.control]
    others = [
        f"{item.tool}:{item.rule}"
        for item in catalogue.rules_of(control.id)
        if not (item.summary or mapping.summary or (item.tool, item.rule) == (mapping.tool, mapping.rule))
    ]
    merged = f"merged with {', '.join(others) or 'no other rule'}"
    text = f"{control.title} ({control.severity})"
    return Item(name=control.id, word=_how(mapping), text=text, more=(*_conditions(mapping), merged))


def _in_run(rule: RuleName, report: Report, own: Sequence[tuple[Finding, Statement]]) -> Iterator[Item]:
    run = next((run for run in report.tools if run.name == rule.tool), None)
    state, why = _state(run, rule.rule)
    yield Item(name=rule.tool, word=state, text=why)
    statements = Counter(finding.control for finding, _ in own)
    findings = Counter(finding.control for finding in {id(finding): finding for finding, _ in own}.values())
    for control, count in findings.most_common():
        text = f"{_count(statements[control], 'statement')} in {_count(count, 'finding')}"
        if control == str(rule):  # it says why it is not in a control's
            reasons = dict.fromkeys(said.why_merged for finding, said in own if finding.control == control)
            text += f": {'; '.join(reasons)}"
        yield Item(name=control, text=text)
    if not own and state is Look.ON:
        yield Item(name="", text="It said nothing.")


def _state(run: ToolRun | None, rule: str) -> tuple[Look, str]:
    if run is None or not run.processes:
        return Look.DID_NOT_LOOK, (run and run.reason) or "the run does not know the tool"
    if run.rules is None or run.rules.ids is None:
        return Look.NOT_KNOWN, "the run does not tell which rules were on"
    state = Look.ON if rule in run.rules.ids else Look.OFF
    which = "one of" if state is Look.ON else "not among"
    why = f"{which} the {len(run.rules.ids)} rules that were on ({run.rules.source})"
    return state, why if run.state is RunState.OK else f"{why}; the run is {run.state}: {run.reason}"


# -- words --------------------------------------------------------------------------------------------------------------


def _how(mapping: RuleMapping) -> str:
    """How a rule checks a control: `exact`, `partial`, `secondary` (its main control is another), or as a `summary` of other rules."""
    if mapping.summary:
        return "summary"
    return "secondary" if mapping.secondary else "partial" if mapping.partial else "exact"


def _conditions(mapping: RuleMapping) -> tuple[str, ...]:
    """When a rule speaks of its control, and where their triggers differ."""
    says = f"only when its message says {mapping.says.pattern!r}" if mapping.says else ""
    path = f"only when it names the field {' or '.join(mapping.path)}" if mapping.path else ""
    inner = f"only by its inner rule {mapping.inner}" if mapping.inner else ""
    only = f"only for names like {mapping.only.pattern}" if mapping.only else ""
    ignores = "the field that it names is not where the fault is" if mapping.ignores_path else ""
    guesses = "it guesses: believed only where the manifest shows the fault" if mapping.needs_place else ""
    repeats = "repeats what other rules say: never merged, never in the gate" if mapping.summary else ""
    since = f"since {mapping.since}" if mapping.since else ""
    return tuple(filter(None, (says, path, inner, only, ignores, guesses, repeats, mapping.note, since)))


def _explanation(kind: Kind, name: str, title: str, *sections: Section) -> Explanation:
    return Explanation(kind=kind, name=name, title=title, sections=tuple(filter(lambda one: one.items, sections)))


def _section(key: str, head: str, items: Iterable[Item]) -> Section:
    return Section(key=key, head=head, items=tuple(items))


def _facts(facts: dict[str, str]) -> Iterator[Item]:
    return (Item(name=name, text=text) for name, text in facts.items() if text)


def _object(finding: Finding) -> str:
    parts = [str(finding.object), f"container {finding.container}" if finding.container else "", finding.discriminator]
    return ", ".join(filter(None, parts))


def _at(place: Location) -> str:
    line = f":{place.line}" if place.line is not None else ""
    vague = place.precision not in (Precision.EXACT, Precision.UNKNOWN)
    return f"{place.path}{line}{f' ~{place.precision}' if vague else ''}"


def _count(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else f'{one}s'}"
