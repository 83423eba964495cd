"""The view "which tool finds what": every number in it leads to the findings that it counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from made import POD, finding, report, run, said

from kguard.coverage import compare
from kguard.coverage_model import By, Coverage
from kguard.findings.catalogue import Catalogue, Control, RuleEntry, load_catalogue
from kguard.model import BundleKind, BundleState, BundleSummary, Inputs, Report, RunState, Severity
from kguard.reports import html

if TYPE_CHECKING:
    from playwright.sync_api import Page

Show = Callable[..., "Page"]
TOOLS = ("trivy", "polaris", "checkov", "kube-linter", "kubescape", "kube-score")
CATALOGUE = Catalogue(
    (
        Control(
            id="fault",
            title="A fault",
            severity=Severity.HIGH,
            scope="pod",
            tools={tool: (f"{tool}-1",) for tool in TOOLS},
        ),
        Control(id="clean", title="Nothing wrong", severity=Severity.LOW, scope="pod", tools={"trivy": ("trivy-2",)}),
    )
)
BUNDLE = BundleSummary(
    id="deploy", kind=BundleKind.PLAIN, path="deploy", objects=5, state=BundleState.PLAIN, reason=None
)


@pytest.fixture
def found() -> Report:
    """Five pods: trivy found the fault of all, polaris of the first two, nobody else of any."""
    faults = [
        replace(
            finding(*(said(tool, f"{tool}-1") for tool in (("trivy", "polaris") if n < 2 else ("trivy",)))),
            fingerprint=f"{n:016x}",
            title="A fault",
            object=replace(POD, name=f"web{n}"),
        )
        for n in range(5)
    ]
    runs = [run(tool, f"{tool}-1", f"{tool}-2") for tool in TOOLS]
    inputs = Inputs(sources=("deploy",), bundles=(BUNDLE,), files=(), problems=())
    return report(runs, *faults, inputs=inputs)


@pytest.fixture
def coverage(found: Report) -> Coverage:
    return compare(found, CATALOGUE)


def test_the_view_is_there_only_where_tools_are_compared(found: Report, coverage: Coverage) -> None:
    assert 'id="coverage"' not in html.render(found)
    page = html.render(found, coverage)
    assert 'id="coverage"' in page
    assert not re.findall(r"<[a-z]+[^>]* (?:style|on[a-z]+)=", page)
    assert page.count("<svg") > 3


def test_one_is_not_told_as_many(found: Report, coverage: Coverage) -> None:
    one = replace(found, inputs=replace(found.inputs, bundles=(replace(BUNDLE, objects=1),)))
    assert "5 faults in 1 object, profile" in html.render(one, compare(one, CATALOGUE))
    assert "5 faults in 5 objects, profile" in html.render(found, coverage)


def test_hostile_names_stay_text(hostile: Report) -> None:
    bad = replace(hostile, findings=tuple(replace(one, control=one.title) for one in hostile.findings))
    for by in By:
        page = html.render(bad, compare(bad, load_catalogue(), by=by))
        assert "<img" not in page
        assert page.count("</script>") == 4


# -- in a browser ---------------------------------------------------------------------------------------------------------


def test_two_views_and_the_address_tells_which(found: Report, coverage: Coverage, show: Show) -> None:
    page = show(found, coverage)
    assert page.locator("#findings").is_visible()
    assert not page.locator("#coverage").is_visible()
    page.get_by_role("button", name="Which tool finds what").click()
    assert not page.locator("#findings").is_visible()
    assert page.url.endswith("#view=coverage")
    page.reload()
    assert page.locator("#coverage").is_visible()
    first = show(found, coverage, view="coverage")
    assert first.locator("#coverage").is_visible()
    assert "#" not in first.url


def test_a_missed_cell_opens_its_example(found: Report, coverage: Coverage, show: Show) -> None:
    page = show(found, coverage, view="coverage")
    page.get_by_role("link", name="2 of 5, 3 missed").click()
    assert page.locator("#findings").is_visible()
    assert page.locator("#count").inner_text() == "1 of 5 findings, worst first"
    assert page.locator("tr.detail").count() == 1
    assert "web2" in page.locator("#rows").inner_text()
    page.go_back()
    assert page.locator("#coverage").is_visible()


def test_what_is_lost_without_a_tool_can_be_looked_at(found: Report, coverage: Coverage, show: Show) -> None:
    page = show(found, coverage, view="coverage")
    page.get_by_role("link", name="3 faults").click()
    assert page.locator("#count").inner_text() == "3 of 5 findings, worst first"


def test_a_control_of_the_matrix_leads_to_its_faults_whatever_was_looked_at_before(found: Report, show: Show) -> None:
    other = replace(found.findings[0], control="other", title="Another", fingerprint="f" * 16)
    outside = replace(found.findings[0], gated=False, fingerprint="e" * 16)
    more = replace(found, findings=(*found.findings, other, outside))
    page = show(more, compare(more, CATALOGUE), view="coverage")
    page.get_by_role("link", name="3 faults").click()
    page.get_by_role("button", name="Which tool finds what").click()
    page.locator(".heat").get_by_role("link", name="A fault").first.click()
    assert page.locator("#findings").is_visible()
    assert page.locator("#count").inner_text() == "5 of 7 findings, worst first"


def test_a_namespace_leads_to_its_faults(found: Report, show: Show) -> None:
    bare = replace(found.findings[0], object=replace(POD, namespace=None), fingerprint="f" * 16)
    more = replace(found, findings=(*found.findings, bare))
    page = show(more, compare(more, CATALOGUE, by=By.NAMESPACE), view="coverage")
    names = page.locator(".heat tbody th")
    assert names.all_inner_texts() == ["shop", "(none)"]
    assert names.get_by_role("link").all_inner_texts() == ["shop"]
    names.get_by_role("link", name="shop").click()
    assert page.locator("#count").inner_text() == "5 of 6 findings, worst first"


def test_what_is_lost_leads_to_the_faults_of_that_severity(found: Report, show: Show) -> None:
    low = replace(found.findings[4], severity=Severity.LOW)
    name = "fault\x1b[31m\n"
    two = tuple(replace(one, control=name) for one in (*found.findings[:4], low))
    more = replace(found, findings=two)
    page = show(more, compare(more, CATALOGUE), view="coverage")
    links = page.locator(".drops").get_by_role("link", name="fault\\n")
    assert links.count() == 2
    links.last.click()
    assert page.locator("#count").inner_text() == "1 of 5 findings, worst first"


def test_each_missed_cell_is_told_with_its_reason_and_leads_to_its_example(found: Report, show: Show) -> None:
    rule = RuleEntry(rule="polaris-1", note="looks at Deployments")
    noted = Catalogue(
        (Control(id="fault", title="A fault", severity=Severity.HIGH, scope="pod", tools={"polaris": (rule,)}),)
    )
    page = show(found, compare(found, noted), view="coverage")
    told = page.locator("#coverage li", has_text="missed 3 of 5 fault")
    assert told.inner_text() == "polaris missed 3 of 5 fault, such as web.yaml:7\nlooks at Deployments"
    told.get_by_role("link").press("Enter")
    assert page.locator("tr.detail").count() == 1
    assert "web2" in page.locator("#rows").inner_text()


def test_without_scripts_each_missed_cell_has_its_place(found: Report, coverage: Coverage) -> None:
    page = html.render(found, coverage)
    assert re.search(r"<b>polaris</b> missed 3 of 5 <code>fault</code>, such as .*web\.yaml:7", page)


def test_a_tool_that_did_not_look_is_no_small_loss(found: Report, show: Show) -> None:
    half = replace(found, tools=(*found.tools[:-1], replace(found.tools[-1], state=RunState.DEGRADED, reason="half")))
    page = show(half, compare(half, CATALOGUE), view="coverage")
    assert page.locator(".drops li", has_text="It did not look at everything: perhaps more.").count() == 1


def test_the_heat_map_says_its_words_without_colour_at_any_width(found: Report, coverage: Coverage, show: Show) -> None:
    wide = show(found, coverage, view="coverage")
    cells = wide.locator(".heat").first.locator("tbody td.cell")
    assert cells.locator(".words").all_inner_texts() == [
        *("missed", "5", "missed", "2 of 5, 3 missed", "missed", "missed")
    ]
    narrow = show(found, coverage, view="coverage", width=360)
    signs = narrow.locator(".heat").first.locator("tbody td.cell .sign")
    assert signs.all_inner_texts() == ["✕", "5", "✕", "2/5", "✕", "✕"]


def test_numbers_are_never_parted_in_their_cell(found: Report, show: Show) -> None:
    many = tuple(replace(one, fingerprint=f"{n:016x}") for n in range(300) for one in found.findings[n % 5 : n % 5 + 1])
    more = replace(found, findings=many * 4)
    page = show(more, compare(more, CATALOGUE), view="coverage", width=360)
    sign = page.locator(".heat").first.locator("tbody .sign", has_text="/")
    assert sign.inner_text() == "480/1.2k"
    # its two parts stand in two lines, and neither is wider than the cell
    assert sign.evaluate("e => new Set([...e.getClientRects()].map((r) => r.top)).size") == 2
    assert sign.locator("..").evaluate("e => e.scrollWidth <= e.clientWidth")


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(found: Report, show: Show, width: int) -> None:
    long = tuple(replace(one, control=f"trivy:{'x' * 90}{n}", title="y" * 120) for n, one in enumerate(found.findings))
    wide = replace(found, findings=long)
    page = show(wide, compare(wide, CATALOGUE), view="coverage", width=width)
    page.locator("details.clean summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
