"""The comparison of tools in every format: who did not look comes first, and nothing of a manifest breaks out."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from made import POD, finding, report, run, said

from kguard.coverage import compare
from kguard.coverage_model import By, Coverage
from kguard.findings.catalogue import Catalogue, Control, load_catalogue
from kguard.findings.labels import Label, Labels
from kguard.model import FileState, Finding, InputFile, Inputs, Report, RunState, Severity
from kguard.reports import coverage_csv, coverage_text, coverage_v1
from kguard.reports.terminal import Terminal

Make = Callable[..., Report]

CATALOGUE = Catalogue(
    (
        Control(
            id="fault",
            title="A fault",
            severity=Severity.HIGH,
            scope="pod",
            tools={"trivy": ("T-1",), "polaris": ("P-1",), "kube-linter": ("k-1~",)},
        ),
        Control(id="clean", title="Clean", severity=Severity.LOW, scope="pod", tools={"trivy": ("T-2",)}),
    )
)
TRIVY, POLARIS, LINTER = run("trivy", "T-1", "T-2", records=8), run("polaris", "P-1"), run("kube-linter", "k-1")


def pods(*tools: str, count: int = 1) -> list[Finding]:
    bare = finding(*(said(tool, "R", native_severity="HIGH" if tool == "trivy" else "warning") for tool in tools))
    return [
        replace(bare, object=replace(POD, name=f"{'-'.join(tools)}{n}"), fingerprint=f"{n:08x}{len(tools):08x}")
        for n in range(count)
    ]


FOUND = report([TRIVY, POLARIS, LINTER], *pods("trivy", count=3), *pods("trivy", "polaris"), *pods("polaris"))


def compared(found: Report = FOUND, **options: object) -> Coverage:
    return compare(found, CATALOGUE, **options)  # type: ignore[arg-type]


def table(coverage: Coverage, *, every_row: bool = False) -> str:
    return coverage_text.render(coverage, Terminal(every_row=every_row))


def line(text: str, head: str, start: str) -> list[str]:
    """The cells of the line that starts so, below a heading."""
    (block,) = (one for one in text.split("\n\n") if one.startswith(head))
    (found,) = (one for one in block.splitlines() if one.startswith(f"  {start} "))
    return re.split(r"  +", found.strip())


def plain(markdown: str) -> str:
    """As a reader sees it."""
    return html.unescape(re.sub(r"\\(.)", r"\1", markdown))


# -- words --------------------------------------------------------------------------------------------------------------


def test_the_table_tells_totals_losses_sets_and_the_matrix() -> None:
    text = table(compared())
    assert text.startswith("kguard coverage: 3 tools, profile default: 5 faults in 0 objects\n\n")
    assert line(text, "What each", "trivy")[:5] == ["trivy", "ok", "4", "80%", "3"]
    assert line(text, "The fewest", "high") == ["high", "5", "polaris + trivy"]
    assert line(text, "Who finds what", "high") == [
        "high",
        "fault",
        "5",
        "partial",
        "4 of 5, 1 missed",
        "2 of 5, 3 missed",
    ]
    assert "1 control without a fault here that a tool checked (--all)." in text
    assert "low         clean" in table(compared(), every_row=True)
    missed = [one for one in text.splitlines() if re.match(r"  fault  +(trivy|polaris) ", one)]
    assert len(missed) == 2
    assert "web.yaml:7" in missed[0]


def test_who_did_not_look_stands_in_the_second_line() -> None:
    broken = report([replace(POLARIS, state=RunState.FAILED, canary=False, reason="it died"), TRIVY])
    for text in (table(compared(broken)), coverage_text.markdown(compared(broken))):
        first, second = [one for one in text.splitlines() if one][:2]
        assert "kguard coverage" in first
        assert plain(second).strip("*").startswith("INCOMPLETE  polaris did not look at everything")
    allowed = replace(broken, allow_incomplete=(("polaris", ""),))
    assert table(compared(allowed)).splitlines()[1].startswith("incomplete, as allowed  polaris")


def test_what_is_lost_without_a_tool_that_did_not_look_is_not_all() -> None:
    half = report([replace(POLARIS, state=RunState.DEGRADED, reason="half"), TRIVY], *pods("polaris"), *pods("trivy"))
    text = table(compared(half))
    assert line(text, "What you lose", "polaris")[-1] == "fault 1; it did not look at everything: perhaps more"
    assert line(text, "What you lose", "trivy")[-1] == "fault 1"


@pytest.mark.parametrize("width", [40, 100, 160])
def test_a_terminal_gets_long_names_cut_and_never_a_fingerprint(width: int) -> None:
    long = [
        replace(one, control=f"trivy:{'x' * 10_000}", fingerprint="0123456789abcdef-01234567") for one in pods("trivy")
    ]
    found = compared(report([TRIVY, POLARIS], *pods("polaris"), *long))
    narrow = coverage_text.render(found, Terminal(width=width))
    missed = narrow.partition("Who finds what")[2]
    assert max(map(len, missed.splitlines())) <= max(width, 100)
    assert "x" * 100 not in narrow
    assert "x" * 10_000 in table(found)
    assert "0000000000000001" in missed


def test_a_row_of_a_framework_says_that_it_adds_up_to_nothing() -> None:
    assert "A fault may stand in several frameworks" in table(compared(by=By.FRAMEWORK))
    assert "A fault may stand in several frameworks" not in table(compared())


def test_severities_that_differ_are_told_apart() -> None:
    assert line(table(compared()), "How bad", "fault") == ["fault", "1", "high", "high", "medium"]


def test_labels_are_a_table_of_their_own_and_say_what_does_not_count() -> None:
    labels = Labels(
        file="l.tsv",
        complete=False,
        labels=(
            Label(path="web.yaml", name="fault", fault=True),
            Label(path="web.yaml", name="x:unknown", fault=True),
            Label(path="gone.yaml", name="fault", fault=False),
        ),
    )
    files = (InputFile(path="web.yaml", state=FileState.SCANNED),)
    found = replace(FOUND, inputs=Inputs(sources=(), bundles=(), files=files, problems=()))
    known = {"web.yaml": "web.yaml"}
    text = table(compared(found, labels=labels, find=known.get))
    assert "Against l.tsv: 1 fault, 0 places without one" in text
    assert line(text, "Against", "all together")[-3:] == ["100%", "100%", "100%"]
    assert "1 label of rules or controls that the catalogue does not know: x:unknown 1" in text
    assert "1 label of files that are not in the run." in text


@pytest.mark.parametrize("by", [By.CATEGORY, By.NAMESPACE, By.FRAMEWORK])
def test_groups_have_no_reasons(by: By) -> None:
    text = table(compared(by=by))
    assert f"Who finds what, by {by}" in text
    assert "what is known of it" not in text


def test_a_run_without_findings_has_little_to_say() -> None:
    text = table(compared(report([TRIVY])))
    assert "0 faults" in text
    assert "none needed" in text


def test_hostile_names_stay_in_their_line_and_their_cell(hostile: Report) -> None:
    coverage = compare(hostile, load_catalogue(), by=By.NAMESPACE)
    bad = replace(hostile, findings=tuple(replace(one, control=one.title) for one in hostile.findings))
    for found in (coverage, compare(bad, load_catalogue())):
        for text in (table(found), coverage_text.markdown(found), "".join(coverage_csv.pieces(found))):
            assert "\x1b" not in text
            assert "\u202e" not in text
        assert "<img" not in coverage_text.markdown(found)
        rows = [one for one in coverage_text.markdown(found).splitlines() if one.startswith("|")]
        assert all(one.endswith("|") for one in rows)


def test_markdown_fits_a_comment_however_many_controls_there_are() -> None:
    many = [replace(one, control=f"trivy:{'x' * 60}{n}") for n in range(3_000) for one in pods("trivy")]
    text = coverage_text.markdown(compared(report([TRIVY, POLARIS], *many)))
    assert len(text) < 65_536
    assert "and 2,900 more: JSON and CSV have all." in plain(text)


# -- for programs -------------------------------------------------------------------------------------------------------


def test_csv_has_a_row_for_each_control_and_tool() -> None:
    rows = list(csv.DictReader(io.StringIO("".join(coverage_csv.pieces(compared())))))
    assert [(row["name"], row["tool"], row["state"]) for row in rows] == [
        ("fault", "kube-linter", "partial"),
        ("fault", "trivy", "found"),
        ("fault", "polaris", "found"),
        ("clean", "kube-linter", "no rule"),
        ("clean", "trivy", "on"),
        ("clean", "polaris", "no rule"),
    ]
    polaris = rows[2]
    assert (polaris["faults"], polaris["found"], polaris["missed"], polaris["example_where"]) == (
        "5",
        "2",
        "3",
        "web.yaml:7",
    )


def test_csv_starts_no_formula() -> None:
    bad = [replace(one, control='=HYPERLINK("x")', title="+1,\n2") for one in pods("trivy")]
    (row, *_) = csv.DictReader(io.StringIO("".join(coverage_csv.pieces(compared(report([TRIVY], *bad))))))
    assert row["name"] == '\'=HYPERLINK("x")'
    assert row["title"] == "'+1,\\n2"


def test_json_has_every_number_and_no_nan() -> None:
    text = "".join(coverage_v1.pieces(FOUND, compared()))
    found = json.loads(text)
    assert found["schema"] == "kguard/coverage/v1"
    assert list(found["tools"][0]["faults"]) == [
        *("found", "missed", "partial", "silenced", "out_of_scope", "did_not_look", "not_known", "off", "no_rule")
    ]
    assert [tool["records_per_fault"] for tool in found["tools"]] == [None, 2.0, 0.0]
    fault = found["rows"][0]
    assert [cell["state"] for cell in fault["cells"]] == ["partial", "found", "found"]
    example = fault["cells"][2]["example"]
    assert (example["path"], example["line"], example["object"]["name"]) == ("web.yaml", 7, "trivy0")
    assert found["smallest"][0] == {"severity": "critical", "faults": 0, "sets": [[]]}
    assert found["drop"][1]["controls"] == [{"control": "fault", "severity": "high", "faults": 3}]
    assert found["complete"] is True
