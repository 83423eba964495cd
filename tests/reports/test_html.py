"""The HTML report: one file, a strict policy, and nothing of a manifest that runs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from kguard.model import Report
from kguard.reports import html

if TYPE_CHECKING:
    from playwright.sync_api import Page

Make = Callable[..., Report]


def test_the_policy_allows_our_style_and_script_and_nothing_else(make: Make) -> None:
    page = html.render(make(3))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.findall(r"<[a-z]+[^>]* (?:style|on[a-z]+)=", page)
    assert not re.findall(r"<(?:link|img|iframe|object)\b|<script[^>]* src=", page)


def test_hostile_names_stay_text(hostile: Report) -> None:
    page = html.render(hostile)
    assert "<img" not in page
    assert page.count("</script>") == 4
    (data,) = re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)
    rows = json.loads(data)
    assert rows[0]["name"].startswith("</script><img")
    assert {said["url"] for row in rows for said in row["said"]} == {None, "https://example.com/r"}


def test_gaps_come_before_anything_else(make: Make) -> None:
    page = html.render(make(3))
    assert page.index("Not everything was looked at") < page.index('class="tools"')
    assert "Not everything was looked at" not in html.render(make(3, degraded=False))


def test_start_here_is_led_by_the_worst(make: Make) -> None:
    page = html.render(make(60))
    assert page.index("Start here") < page.index("All findings")
    assert html.render(make(0)).count("Start here") == 0


# -- in a browser ---------------------------------------------------------------------------------------------------------


def test_filters_and_search(make: Make, show: Callable[..., Page]) -> None:
    page = show(make(500))
    count = page.locator("#count")
    assert count.inner_text() == "500 findings, worst first"
    page.locator(".chip", has_text="critical").click()
    assert count.inner_text().startswith("84 of 500")
    page.get_by_role("button", name="polaris", exact=True).click()
    assert set(page.locator("#rows tr td:nth-child(1)").all_inner_texts()) == {"critical"}
    page.fill("#text", "no such thing")
    assert count.inner_text() == "0 of 500 findings, worst first"
    page.fill("#text", "")
    page.get_by_label("control").select_option("run-as-non-root")
    assert "control=run-as-non-root" in page.url
    assert "severity=critical" in page.url


def test_the_address_brings_back_what_was_seen(make: Make, show: Callable[..., Page]) -> None:
    page = show(make(60), hash="#severity=high&control=run-as-non-root")
    assert page.locator(".chip", has_text="high").get_attribute("aria-pressed") == "true"
    assert set(page.locator("#rows tr td:nth-child(1)").all_inner_texts()) == {"high"}


def test_the_search_in_an_address_may_be_written_in_capitals(make: Make, show: Callable[..., Page]) -> None:
    assert show(make(60), hash="#text=POLARIS").locator("#rows tr").count() > 0


def test_a_row_opens_by_keyboard_and_shows_everything(make: Make, show: Callable[..., Page]) -> None:
    page = show(make(20))
    row = page.locator("#rows .open-row").nth(3)
    row.focus()
    page.keyboard.press("Enter")
    assert row.get_attribute("aria-expanded") == "true"
    detail = page.locator("tr.detail")
    for words in ("What the tools say", "message web", "because", "Do this.", "CWE-1", "spec.x"):
        assert words in detail.inner_text()
    page.keyboard.press("Enter")
    assert page.locator("tr.detail").count() == 0


def test_hostile_names_do_nothing_in_a_browser(hostile: Report, show: Callable[..., Page]) -> None:
    page = show(hostile)
    for number in range(12):
        page.locator("#rows .open-row").nth(number).click()
    assert page.locator("img").count() == 0
    assert "</script><img src=x onerror=alert(1)>" in page.locator("#rows").inner_text()


def test_five_thousand_findings_answer_at_once(make: Make, show: Callable[..., Page]) -> None:
    page = show(make(5_000))
    assert page.locator("#rows tr").count() == 150
    start = time.monotonic()
    page.fill("#text", "web4999")
    assert page.locator("#count").inner_text() == "1 of 5,000 findings, worst first"
    assert time.monotonic() - start < 5, "hung, rather than slow: figures are the benchmark's"
    page.fill("#text", "")
    page.get_by_role("button", name=re.compile("^Show more")).click()
    assert page.locator("#rows tr").count() == 300


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(make: Make, show: Callable[..., Page], width: int) -> None:
    page = show(make(20, name="a-long-name-without-a-place-to-break" * 3), width=width)
    page.locator("#rows .open-row").nth(3).click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
