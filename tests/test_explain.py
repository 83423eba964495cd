"""Explanations of findings, controls and rules: what they say, in which words, and what they do not claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from made import AT, POD, finding, report, run, said

from kguard.explain import Explanation, Item, Section, explain
from kguard.findings.catalogue import Catalogue, Control, RuleEntry, load_catalogue
from kguard.model import (
    Absence,
    BundleKind,
    BundleState,
    BundleSummary,
    ControlText,
    Finding,
    Fix,
    Inputs,
    Location,
    Place,
    Precision,
    Report,
    RunState,
    Severity,
    UnreadObject,
)

CATALOGUE = Catalogue(
    (
        Control(
            id="fault",
            title="A fault",
            severity=Severity.HIGH,
            scope="pod",
            category="things",
            because="it is known to be bad",
            harm="Things break.",
            remediation="Mend it.",
            example="spec:\n  fault: false\n",
            references=("CWE-1", "NSA 1.1"),
            not_shown="nobody can",
            subsumes=("lesser",),
            tools={
                "kube-linter": ("linted",),
                "trivy": (RuleEntry(rule="KSV-0001~", says="no good", note="bare pods only"), "+KSV-0002~"),
                "kubescape": (RuleEntry(rule="C-0001", since="rules 2"),),
            },
        ),
        Control(id="lesser", title="Less", severity=Severity.LOW, scope="pod", tools={"trivy": ("KSV-0002",)}),
        Control(
            id="vague",
            title="Vague",
            severity=Severity.LOW,
            scope="pod",
            tools={
                "kubescape": (
                    RuleEntry(rule="C-0002", summary=True),
                    RuleEntry(
                        rule="C-0003~",
                        path=("hostPID", "hostIPC"),
                        inner="inner-rule",
                        only="^A$",
                        ignores_path=True,
                        needs_place=True,
                    ),
                )
            },
        ),
        Control(id="bare", title="No prose yet", severity=Severity.LOW, scope="pod", tools={"polaris": ("bareRule",)}),
    )
)
TOOLS = (
    run("kube-linter", "linted"),
    run("kubescape", "C-0001", "C-0002"),
    run("polaris", "bareRule"),
    run("trivy", "KSV-0001", "KSV-0002"),
)
LINTED = said(
    "kube-linter", "linted", message="it is bad", why_merged="kube-linter/linted is the rule for fault", located=1
)
FOUND = finding(LINTED, fingerprint="abc0000000000000", remediation="Mend it.", fix=Fix(path="spec.fault", value=None))


def parts(found: Explanation) -> dict[str, Mapping[str, Item]]:
    """Items by section and name."""
    return {section.key: {item.name: item for item in section.items} for section in found.sections}


def of(subject: Finding, *others: Finding, **changes: Any) -> dict[str, Mapping[str, Item]]:
    tools = changes.pop("tools", TOOLS)
    return parts(explain(subject.fingerprint, report(tools, subject, *others, **changes), CATALOGUE))


# -- a finding ----------------------------------------------------------------------------------------------------------


def test_a_finding_from_its_place_to_who_looked() -> None:
    found = explain("abc000", report(TOOLS, FOUND, fail_on="high"), CATALOGUE)
    assert (found.kind, found.name, found.title) == ("finding", "abc0000000000000", "")
    assert [section.key for section in found.sections] == ["about", "severity", "said", "looked"]
    about = {name: item.text for name, item in parts(found)["about"].items()}
    assert about == {
        "control": "fault",
        "object": "Pod shop/web",
        "place": "web.yaml:7",
        "field": "spec.fault",
        "can go wrong": "Things break.",
        "what to do": "Mend it.",
    }


def test_what_tells_a_finding_from_its_siblings_is_said() -> None:
    one = finding(
        LINTED,
        container="c",
        discriminator="SYS_ADMIN",
        location=Location(path="web.yaml", line=3, end_line=9, precision=Precision.CONTAINER),
    )
    assert of(one)["about"]["object"].text == "Pod shop/web, container c, SYS_ADMIN"
    assert of(one)["about"]["place"].text == "web.yaml:3 ~container"


def test_the_bundle_is_said_where_there_are_several() -> None:
    bundles = tuple(
        BundleSummary(id=name, kind=BundleKind.PLAIN, path=name, objects=1, state=BundleState.PLAIN, reason=None)
        for name in ("deploy", "prod")
    )
    inputs = Inputs(sources=(), bundles=bundles, files=(), problems=())
    assert of(FOUND, inputs=inputs)["about"]["bundle"].text == "deploy"


def test_each_statement_says_what_where_and_why_it_was_merged() -> None:
    pointing = Location(path="web.yaml", line=5, end_line=5, precision=Precision.UNKNOWN)
    elsewhere = Location(path="role.yaml", line=2, end_line=2, precision=Precision.UNKNOWN)
    one = finding(
        LINTED,
        said("trivy", "KSV-0001", message="no good", why_merged="partly", location=pointing),
        said("trivy", "KSV-0001", message="no good", why_merged="partly", location=pointing),
        said("trivy", "KSV-0001", message="bad", why_merged="partly", object=POD, location=elsewhere, located=2),
        said("trivy", "KSV-0002", message="no", why_merged="also"),
    )
    assert list(of(one)["said"].values()) == [
        Item(
            name="kube-linter:linted",
            word="exact",
            more=(
                "it is bad (named no line, the field is the manifest's)",
                "kube-linter/linted is the rule for fault",
            ),
        ),
        Item(
            name="trivy:KSV-0001",
            word="partial",
            more=(
                "no good (pointed at line 5)",
                "bad (pointed at role.yaml:2, of Pod shop/web, the field is the manifest's)",
                "partly",
                "note: bare pods only",
            ),
        ),
        Item(name="trivy:KSV-0002", word="secondary", more=("no (named no line)", "also")),
    ]


def test_of_many_places_the_first_ten_are_shown_and_the_rest_counted() -> None:
    many = tuple(said("kube-linter", "linted", message=f"{number}", why_merged="w") for number in range(13))
    lines = of(finding(*many))["said"]["kube-linter:linted"].more
    assert (len(lines), lines[9], lines[10:]) == (12, "9 (named no line)", ("... and 3 more places", "w"))


def test_the_severity_its_reason_and_each_tools_own_word() -> None:
    one = finding(
        LINTED,
        said("polaris", "one", native_severity="warning"),
        said("polaris", "two", native_severity="danger"),
        said("polaris", "three", native_severity="danger"),
        said("trivy", "KSV-0001", native_severity="LOW"),
    )
    words = {name: item.text for name, item in of(one)["severity"].items()}
    assert words == {
        "because": "it is known to be bad",
        "rule": "catalogue: kguard's catalogue decides; the tools' own words do not move it",
        "gate": "counts (fail_on: high)",
        "kube-linter": "no word for it (linted)",
        "polaris": "warning (one), danger (two, three)",
        "trivy": "LOW (KSV-0001)",
        "disagree": "polaris means high, trivy means low",
    }


def test_tools_that_mean_the_same_do_not_disagree() -> None:
    one = finding(
        said("polaris", "one", native_severity="danger"), said("trivy", "KSV-0001", native_severity="HIGH"), LINTED
    )
    assert "disagree" not in of(one)["severity"]


def test_the_reason_is_the_runs_own_where_it_has_one() -> None:
    text = ControlText(id="fault", because="we say so", harm="Ours.", remediation="", example="")
    found = of(FOUND, controls=(text,))
    assert (found["severity"]["because"].text, found["about"]["can go wrong"].text) == ("we say so", "Ours.")


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"severity": Severity.MEDIUM}, "below the bar (fail_on: high)"),
        ({"severity": Severity.UNKNOWN}, "counts (fail_on: high)"),
        ({"gated": False}, "does not count: it is part of a finding that says more"),
        ({"gated": False, "control": "kube-linter:linted"}, "does not count: what the tool said is not believed"),
    ],
)
def test_what_counts_at_the_gate(changes: dict[str, Any], gate: str) -> None:
    assert of(finding(LINTED, **changes))["severity"]["gate"].text == gate


def test_without_a_bar_nothing_counts() -> None:
    assert of(FOUND, fail_on="never")["severity"]["gate"].text == "does not count: no bar was set (fail_on: never)"


@pytest.mark.parametrize(
    ("subject", "rule", "words"),
    [
        (FOUND, "max", "max: the worst of the tools' own words"),
        (FOUND, "median", "median: the middle one of the tools' own words"),
        (FOUND, "new", "new: not known to this version"),
        (finding(LINTED, severity=Severity.LOW), "catalogue", "The catalogue at hand says high"),
        (finding(LINTED, control="own"), "catalogue", "name the run's kguard.yaml with --config"),
        (finding(LINTED, control="kube-linter:linted"), "max", "of no control, so the tool's own word counts"),
        (finding(LINTED, control="kube-linter:linted", gated=False), "max", "info: not believed"),
    ],
)
def test_the_rule_that_chose_the_severity(subject: Finding, rule: str, words: str) -> None:
    assert words in of(subject, severity_rule=rule)["severity"]["rule"].text


def test_a_severity_that_the_user_set_is_said_to_be() -> None:
    catalogue = Catalogue(
        (Control(id="own", title="", severity=Severity.LOW, scope="pod", tools={}, fixed_severity=True),)
    )
    found = explain("ffffff", report(TOOLS, finding(LINTED, control="own"), severity_rule="max"), catalogue)
    assert parts(found)["severity"]["rule"].text == "kguard.yaml sets it"
    assert "(set in kguard.yaml)" in parts(explain("own", None, catalogue))["about"]["severity"].text


def test_related_findings_and_how_they_relate() -> None:
    wider = finding(LINTED, fingerprint="1" * 16, related=("2" * 16, "3" * 16))
    lesser = finding(control="lesser", fingerprint="2" * 16, related=("1" * 16,), severity=Severity.LOW)
    beside = finding(control="bare", fingerprint="3" * 16)
    elsewhere = finding(control="lesser", fingerprint="2" * 16, bundle="prod")
    assert list(of(wider, lesser, beside, elsewhere)["related"].values()) == [
        Item(name="2" * 16, word="low", text="lesser says less about the same place: web.yaml:7"),
        Item(name="3" * 16, word="high", text="bare overlaps: web.yaml:7"),
    ]
    (back,) = of(lesser, wider)["related"].values()
    assert back.text == "fault says more about the same place: web.yaml:7"


def test_other_bundles() -> None:
    one = finding(
        LINTED,
        places=(Place(bundle="stage", object=POD, location=AT),),
        absent=(
            Absence(
                bundle="prod", object=POD, by=Location(path="p.yaml", line=2, end_line=2, precision=Precision.EXACT)
            ),
            Absence(bundle="test", object=POD, by=None),
            Absence(bundle="dev", object=POD, by=None, silenced=True),
        ),
    )
    again = finding(LINTED, bundle="other")
    assert list(of(one, again)["elsewhere"].values()) == [
        Item(name="stage", word="found", text="Pod shop/web at web.yaml:7"),
        Item(name="prod", word="cured", text="by p.yaml:2"),
        Item(name="test", word="cured"),
        Item(name="dev", word="silenced", text="an annotation tells a tool to be silent"),
        Item(name="other", word="found", text="Pod shop/web at web.yaml:7"),
    ]


def test_each_tool_of_the_run_and_what_its_silence_means() -> None:
    unread = UnreadObject(path="web.yaml", document=1, object=POD, reason="it kills the tool")
    tools = (
        run("kube-linter", "linted"),
        run("kubescape", "C-0001", "C-0009"),
        run("polaris", "bareRule"),
        run("trivy", "KSV-0001", unread=(unread,)),
    )
    assert list(of(FOUND, tools=tools)["looked"].values()) == [
        Item(name="kube-linter", word="found", text="by linted"),
        Item(
            name="kubescape",
            word="missed",
            text="said nothing, though C-0001 was on and it read the object: since rules 2",
        ),
        Item(name="polaris", word="no rule"),
        Item(name="trivy", word="did not look", text="has KSV-0001, but did not look: it kills the tool"),
    ]


@pytest.mark.parametrize(
    ("tool", "word", "text"),
    [
        (run("trivy"), "off", "KSV-0001, KSV-0002 were off: not among the 0 rules that were on (built in)"),
        (
            run("trivy", "KSV-0001"),
            "partial",
            "said nothing, though it read the object: KSV-0001 covers only a part of this: bare pods only",
        ),
        (
            run("trivy", state=RunState.MISSING, processes=0, reason="trivy is not installed."),
            "did not look",
            "has KSV-0001, KSV-0002, but did not look: trivy is not installed.",
        ),
        (
            run("kubescape", "C-0001", out_of_scope=("v1/Pod",)),
            "out of scope",
            "said nothing: C-0001 was on, but the object is out of scope: no rule that was on looks at every v1/Pod",
        ),
        (
            run("kubescape", "C-0001", canary=False, reason="checks are off"),
            "did not look",
            "has C-0001, but did not look: checks are off",
        ),
    ],
)
def test_the_words_for_silence(tool: Any, word: str, text: str) -> None:
    item = of(FOUND, tools=(tool,))["looked"][tool.name]
    assert (item.word, item.text) == (word, text)


# -- a control ----------------------------------------------------------------------------------------------------------


def test_a_control_without_a_run() -> None:
    found = explain("fault", None, CATALOGUE)
    assert (found.kind, found.name, found.title) == ("control", "fault", "A fault")
    assert [section.key for section in found.sections] == ["about", "example", "rules"]
    assert {name: item.text for name, item in parts(found)["about"].items()} == {
        "severity": "high: it is known to be bad",
        "can go wrong": "Things break.",
        "what to do": "Mend it.",
        "category": "things",
        "scope": "pod",
        "references": "CWE-1, NSA 1.1",
        "includes": "lesser",
        "not shown": "nobody can",
    }
    assert [item.text for item in found.sections[1].items] == ["spec:", "  fault: false"]
    assert list(parts(found)["rules"].values()) == [
        Item(name="kube-linter:linted", word="exact"),
        Item(name="kubescape:C-0001", word="exact", text="since rules 2"),
        Item(name="trivy:KSV-0001", word="partial", text="only when its message says 'no good'; bare pods only"),
        Item(name="trivy:KSV-0002", word="secondary", text="its main control is lesser"),
        Item(name="polaris", word="no rule"),
    ]
    assert parts(explain("lesser", None, CATALOGUE))["about"]["part of"].text == "fault"


def test_a_control_without_prose_is_explained_by_what_is_there() -> None:
    found = parts(explain("bare", None, CATALOGUE))
    assert found.keys() == {"about", "rules"}
    assert {name: item.text for name, item in found["about"].items()} == {"severity": "low", "scope": "pod"}


def test_a_control_in_a_run() -> None:
    findings = [finding(LINTED, fingerprint=f"{number:016x}", container=f"c{number}") for number in range(12)]
    tools = (*TOOLS[:2], run("trivy", state=RunState.MISSING, processes=0, reason="get it"))
    found = explain("fault", report(tools, *findings), CATALOGUE)
    assert list(parts(found)["checks"].values()) == [
        Item(name="kube-linter", word="on", text="linted; found 12 of 12"),
        Item(name="kubescape", word="on", text="C-0001; found 0 of 12"),
        Item(name="trivy", word="did not look", text="KSV-0001, KSV-0002; get it"),
    ]
    assert found.sections[-1].head == "12 findings, the first 10"
    assert len(found.sections[-1].items) == 10
    assert found.sections[-1].items[0] == Item(
        name="0" * 16, word="high", text="Pod shop/web, container c0 at web.yaml:7 (kube-linter)"
    )


def test_a_check_that_was_off_is_no_check() -> None:
    found = parts(explain("fault", report([run("kube-linter"), run("polaris", "bareRule")]), CATALOGUE))
    assert found["checks"]["kube-linter"].word == "no check"
    assert "not among the 0 rules that were on (built in)" in found["checks"]["kube-linter"].text
    assert found["checks"]["polaris"] == Item(name="polaris", word="no rule")
    assert "findings" not in found


# -- a rule -------------------------------------------------------------------------------------------------------------


def test_a_rule_the_controls_it_serves_main_first_and_with_what_it_merges() -> None:
    found = explain("trivy:KSV002", None, CATALOGUE)
    assert (found.kind, found.name, found.title) == ("rule", "trivy:KSV-0002", "")
    assert list(parts(found)["controls"].values()) == [
        Item(name="lesser", word="exact", text="Less (low)", more=("merged with no other rule",)),
        Item(
            name="fault",
            word="secondary",
            text="A fault (high)",
            more=("merged with kube-linter:linted, kubescape:C-0001, trivy:KSV-0001",),
        ),
    ]


def test_the_conditions_of_a_rule_in_words() -> None:
    (item,) = parts(explain("kubescape:C-0003", None, CATALOGUE))["controls"].values()
    assert item.more == (
        "only when it names the field hostPID or hostIPC",
        "only by its inner rule inner-rule",
        "only for names like ^A$",
        "the field that it names is not where the fault is",
        "it guesses: believed only where the manifest shows the fault",
        "merged with no other rule",
    )
    (item,) = parts(explain("kubescape:C-0002", None, CATALOGUE))["controls"].values()
    assert (item.word, item.more) == (
        "summary",
        ("repeats what other rules say: never merged, never in the gate", "merged with no other rule"),
    )


def test_a_rule_in_a_run() -> None:
    said_twice = said("kube-linter", "linted", title="Linted", url="https://example.com/r", message="other")
    own = finding(said_twice, control="kube-linter:linted", fingerprint="2" * 16)
    made = report(TOOLS, finding(LINTED, said_twice), finding(LINTED, container="c"), own)
    found = explain("kube-linter:linted", made, CATALOGUE)
    assert (found.title, parts(found)["about"]["link"].text) == ("Linted", "https://example.com/r")
    assert list(parts(found)["run"].values()) == [
        Item(name="kube-linter", word="on", text="one of the 1 rules that were on (built in)"),
        Item(name="fault", text="3 statements in 2 findings"),
        Item(name="kube-linter:linted", text="1 statement in 1 finding: "),
    ]
    assert [item.name for item in found.sections[-1].items] == ["2" * 16]


@pytest.mark.parametrize(
    ("tool", "word", "text"),
    [
        (run("trivy", "KSV-0001"), "on", "one of the 1 rules that were on (built in)"),
        (run("trivy", "KSV-0009"), "off", "not among the 1 rules that were on (built in)"),
        (run("trivy", rules=None), "not known", "the run does not tell which rules were on"),
        (run("trivy", state=RunState.SKIPPED, processes=0, reason="left out"), "did not look", "left out"),
        (run("polaris"), "did not look", "the run does not know the tool"),
        (
            run("trivy", "KSV-0001", state=RunState.DEGRADED, reason="1 object unread"),
            "on",
            "one of the 1 rules that were on (built in); the run is degraded: 1 object unread",
        ),
    ],
)
def test_whether_a_rule_was_on(tool: Any, word: str, text: str) -> None:
    items = parts(explain("trivy:KSV-0001", report([tool]), CATALOGUE))["run"]
    assert (items["trivy"].word, items["trivy"].text) == (word, text)
    assert ("" in items) == (word == "on")  # it said nothing


def test_a_rule_that_the_catalogue_does_not_know_is_said_to_be_and_its_findings_are_shown() -> None:
    own = finding(said("trivy", "KSV-9999", why_merged="no control"), control="trivy:KSV-9999")
    found = parts(explain("trivy:KSV9999", report(TOOLS, own), CATALOGUE))
    assert "The catalogue does not know this rule" in found["about"][""].text
    assert "controls" not in found
    assert found["run"]["trivy:KSV-9999"].text == "1 statement in 1 finding: no control"
    assert found["findings"]["f" * 16].text == "Pod shop/web at web.yaml:7 (trivy)"


# -- the catalogue that ships -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_run", [False, True])
def test_everything_in_the_catalogue_can_be_explained(with_run: bool) -> None:
    catalogue = load_catalogue()
    made: Report | None = report(TOOLS, FOUND) if with_run else None
    for name in (*catalogue.controls, *catalogue.all_rules):
        found = explain(name, made, catalogue)
        assert found.name == name
        assert all(isinstance(section, Section) and section.items for section in found.sections)
        assert all(
            item.name or item.text for section in found.sections for item in section.items if section.key != "example"
        )
