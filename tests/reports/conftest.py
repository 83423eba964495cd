"""Reports made in a test: of any size, with names that try to break out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from kguard.coverage_model import Coverage
from kguard.model import (
    ActiveRules,
    BundleKind,
    BundleState,
    BundleSummary,
    ControlText,
    Excerpt,
    FileState,
    Finding,
    Fix,
    Gate,
    InputFile,
    InputProblem,
    Inputs,
    Location,
    ObjectCounts,
    ObjectRef,
    Precision,
    Reference,
    Report,
    RunState,
    Severity,
    Statement,
    ToolRun,
    UnreadObject,
)
from kguard.reports import html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "</script><img src=x onerror=alert(1)>|`${{x}}`\x1b[31m\u202e\n@everyone [a](javascript:b) 'q\" &amp;"

Make = Callable[..., Report]


def _finding(number: int, name: str) -> Finding:
    severity = list(Severity)[number % 6]
    tools = ("kube-linter", "kubescape", "polaris", "trivy")[: number % 4 + 1]
    ref = ObjectRef(group="apps", version="v1", kind="Deployment", namespace="shop", name=f"{name}{number}")
    place = Location(
        path=f"deploy/{name}.yaml", line=number + 1, end_line=number + 2, precision=list(Precision)[number % 3]
    )
    return Finding(
        fingerprint=f"{number:016x}",
        control=("privileged-container", "run-as-non-root", "trivy:KSV-9999")[number % 3],
        title=f"Title {name}",
        severity=severity,
        category="pod-security",
        gated=number % 7 != 6,
        bundle="deploy",
        object=ref,
        container=None if number % 2 else f"c{name}",
        discriminator=None if number % 3 else name,
        location=place,
        places=(),
        tools=tools,
        evidence=tuple(
            Statement(
                tool=tool,
                rule=f"R-{number}",
                title=name,
                native_severity="HIGH" if tool == "trivy" else None,
                message=f"message {name}",
                url="https://example.com/r" if tool == "trivy" else "javascript:alert(1)",
                object=ref if tool == "polaris" else None,
                container=None,
                why_merged="because",
                located=None,
                location=place if tool == "trivy" else None,
            )
            for tool in tools
        ),
        related=(f"{number + 1:016x}",) if number % 5 == 0 else (),
        remediation=f"Do this. {name}",
        fix=Fix(path="spec.x", value=None),
        references=(Reference(name="CWE-1", url="https://cwe.mitre.org/1"), Reference(name="NSA 1.1", url=None)),
        excerpt=Excerpt(line=number + 1, lines=(f"a: {name.splitlines()[0]}", "b: ***")) if number % 2 else None,
    )


@pytest.fixture
def make() -> Make:
    def report(count: int = 5, *, name: str = "web", degraded: bool = True) -> Report:
        ref = ObjectRef(group="", version="v1", kind="Pod", namespace=None, name=name)
        tools = (
            ToolRun(
                name="trivy",
                state=RunState.OK,
                version=Version("0.76.0"),
                program="/bin/trivy",
                exit_codes=(0, 0),
                seconds=1.5,
                cpu_seconds=2.5,
                peak_memory_bytes=10**8,
                processes=2,
                rules=ActiveRules(active=None, digest=None, source="embedded"),
                objects=ObjectCounts(staged=9, read=7, out_of_scope=2),
                records=40,
                evidence=42,
                complaints=(name,),
            ),
            ToolRun(
                name="polaris",
                state=RunState.DEGRADED if degraded else RunState.OK,
                version=Version("10.2.2"),
                reason="polaris did not read 1 of 9 objects" if degraded else None,
                processes=1,
                seconds=0.1,
                objects=ObjectCounts(staged=9, read=8 if degraded else 9, unread=1 if degraded else 0),
                unread=(UnreadObject(path=name, document=1, object=ref, reason=name),) if degraded else (),
                records=4,
                evidence=4,
            ),
            ToolRun(
                name="kubescape",
                state=RunState.MISSING if degraded else RunState.SKIPPED,
                reason="kubescape is not installed: get it" if degraded else "left out by --tools",
            ),
        )
        problem = InputProblem(path=name, document=2, line=3, message=name)
        bundle = BundleSummary(
            id="deploy", kind=BundleKind.PLAIN, path="deploy", objects=9, state=BundleState.PLAIN, reason=None
        )
        findings = sorted(
            (_finding(number, name) for number in range(count)), key=lambda f: (f.severity.rank, f.fingerprint)
        )
        return Report(
            version="0.1.0",
            started="2026-01-02T03:04:05Z",
            seconds=2.5,
            command=("kguard", "scan", name),
            profile="default",
            frameworks=("nsa",),
            severity_rule="catalogue",
            fail_on="high",
            allow_incomplete=(),
            gate=Gate(
                exit_code=1, reason=f"{count} findings.", failing=count, incomplete=("polaris",) if degraded else ()
            ),
            tools=tools,
            inputs=Inputs(
                sources=("deploy",),
                bundles=(bundle,),
                files=(InputFile(path=name, state=FileState.SCANNED, objects=9),),
                problems=(problem,) if degraded else (),
            ),
            findings=tuple(findings),
            controls=tuple(
                ControlText(
                    id=control, because=name, harm=f"Harm. {name}", remediation=f"Do this. {name}", example=name
                )
                for control in sorted({finding.control for finding in findings})
            ),
        )

    return report


@pytest.fixture
def hostile(make: Make) -> Report:
    return make(12, name=HOSTILE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("CI installs chromium (`make browser`), and it is not here")
        pytest.skip("no chromium on PATH: `make browser` installs Debian's")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Open a report; afterwards nothing may have been said on the console: no error, no blocked script."""
    said: list[str] = []
    context = browser.new_context()

    def opened(
        report: Report,
        coverage: Coverage | None = None,
        *,
        width: int = 1280,
        hash: str = "",
        view: html.View = "findings",
    ) -> Page:
        (tmp_path / "report.html").write_text(html.render(report, coverage, view))
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{(tmp_path / 'report.html').as_uri()}{hash}")
        return page

    yield opened
    context.close()
    assert said == []
