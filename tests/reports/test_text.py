"""The terminal and Markdown reports: what comes first, what is cut and said, and what cannot break out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from kguard.model import Report, RunState, ToolRun
from kguard.reports import Terminal, markdown, notices, render
from kguard.reports.summary import marks

Make = Callable[..., Report]


def test_tools_first_then_the_worst_then_the_verdict(make: Make) -> None:
    lines = render(make(30), "terminal", Terminal()).splitlines()
    assert lines[0].split()[:4] == ["trivy", "0.76.0", "ok", "7"]
    assert "2 are of kinds that it has no rule for" in lines[0]
    assert "kubescape is not installed: get it" in lines[1]
    assert lines[4].startswith("inputs")
    assert lines[6].split() == ["severity", "control", "object", "where", "tools"]
    assert lines[7].split()[0] == "critical"
    assert len([line for line in lines if re.match(r"(critical|high|medium|low|info|unknown) ", line)]) == 12
    assert any("18 more of 30" in line for line in lines)
    assert lines[-1] == "FAIL  30 findings. Exit 1."


def test_every_row_when_asked(make: Make) -> None:
    text = render(make(30), "terminal", Terminal(every_row=True))
    assert len(re.findall(r"^(?:critical|high|medium|low|info|unknown) ", text, re.MULTILINE)) == 30


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_table_keeps_to_the_width(make: Make, width: int) -> None:
    text = render(make(20, name="a-very-long-name-of-a-workload-" * 4), "terminal", Terminal(width=width))
    table = text[text.index("severity") :]
    assert max(map(len, table.splitlines())) <= width + 4
    assert "…" in table


@pytest.mark.parametrize("width", [0, 1, 20])
def test_a_terminal_of_no_width_is_no_reason_to_fail(make: Make, width: int) -> None:
    assert "FAIL" in render(make(20), "terminal", Terminal(width=width, colour=True))


def test_colour_only_when_asked(make: Make) -> None:
    assert "\x1b" not in render(make(9), "terminal", Terminal())
    assert "\x1b[" in render(make(9), "terminal", Terminal(colour=True))


def test_nothing_from_a_manifest_reaches_the_terminal_as_control(hostile: Report) -> None:
    text = render(hostile, "terminal", Terminal())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\n@everyone" in text


def test_notices_say_only_what_must_not_be_missed(make: Make) -> None:
    assert len(notices(make(3, degraded=False)).splitlines()) == 1
    lines = notices(make(3)).splitlines()
    assert [line.split()[0] for line in lines] == ["kubescape", "polaris", "inputs", "FAIL"]


def test_a_tool_that_is_off_by_default_is_named_to_programs_only(make: Make) -> None:
    off = ToolRun(name="checkov", state=RunState.SKIPPED, reason="off by default", off_by_default=True)
    plain = make(3)
    report = replace(plain, tools=(*plain.tools, off))
    for format in ("terminal", "markdown", "html"):
        assert render(report, format, Terminal()) == render(plain, format, Terminal())
    assert '"off_by_default": true' in render(report, "json", Terminal())


def test_marks_stand_in_the_order_of_the_reports(make: Make) -> None:
    finding = replace(make(1).findings[0], tools=("abc", "checkov", "kube-linter", "kube-score", "polaris", "trivy"))
    assert marks(finding) == "KL TR PO CK SC AB"


@pytest.mark.parametrize("count", [0, 5, 5_000])
def test_markdown_fits_and_says_what_it_left_out(make: Make, count: int) -> None:
    text = markdown.render(make(count))
    assert len(text) <= markdown.PULL_REQUEST_LIMIT
    rows = len(re.findall(r"^\| (?:critical|high|medium|low|info|unknown) \|", text, re.MULTILINE))
    if count == 5_000:
        assert f"{rows:,} of 5,000 findings shown" in text
        assert rows > 100
    else:
        assert rows == count


def test_markdown_with_room_shows_all(make: Make) -> None:
    assert "All 2,000 findings shown" in markdown.render(make(2_000), limit=2**20)


def test_markdown_head_when_something_is_not_ok(make: Make) -> None:
    assert "| **missing** |" in markdown.render(make(1))
    assert "| tool | state |" not in markdown.render(make(1, degraded=False))


def test_nothing_from_a_manifest_reaches_markdown_as_markup(hostile: Report) -> None:
    text = markdown.render(hostile)
    outside = re.sub(r"^(`{3,})(?:yaml)?$.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    outside = re.sub(r"(`+).*?\1", "", outside)
    assert "<img" not in outside
    assert "<script" not in outside
    assert "](javascript" not in outside
    assert "@everyone" not in outside
    assert "\x1b" not in text
    for row in re.findall(r"^\| (?:critical|high|medium|low|info|unknown) .*$", text, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", row)) == 6
