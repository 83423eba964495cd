"""Small reports made by hand: tools that read everything, findings of one pod."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kguard.model import (
    ActiveRules,
    Finding,
    Gate,
    Inputs,
    Location,
    ObjectCounts,
    ObjectRef,
    Precision,
    Report,
    RunState,
    Severity,
    Statement,
    ToolRun,
)

POD = ObjectRef(group="", version="v1", kind="Pod", namespace="shop", name="web")
AT = Location(path="web.yaml", line=7, end_line=7, precision=Precision.EXACT)


def run(name: str, *ids: str, **changes: Any) -> ToolRun:
    """One that had these rules on and read all of its 9 objects."""
    whole = ToolRun(
        name=name,
        state=RunState.OK,
        processes=1,
        rules=ActiveRules(active=len(ids), digest=None, source="built in", ids=ids),
        objects=ObjectCounts(staged=9, read=9),
        canary=True,
    )
    return replace(whole, **changes)


def said(tool: str, rule: str, **changes: Any) -> Statement:
    bare = Statement(
        tool=tool,
        rule=rule,
        title="",
        native_severity=None,
        message="",
        url=None,
        object=None,
        container=None,
        why_merged="",
        located=None,
        location=None,
    )
    return replace(bare, **changes)


def finding(*evidence: Statement, control: str = "fault", **changes: Any) -> Finding:
    bare = Finding(
        fingerprint="f" * 16,
        control=control,
        title="",
        severity=Severity.HIGH,
        category="",
        gated=True,
        bundle="deploy",
        object=POD,
        container=None,
        discriminator=None,
        location=AT,
        places=(),
        tools=tuple(sorted({item.tool for item in evidence})),
        evidence=evidence,
        related=(),
        remediation="",
        fix=None,
        references=(),
        excerpt=None,
    )
    return replace(bare, **changes)


def report(tools: Sequence[ToolRun], *findings: Finding, **changes: Any) -> Report:
    bare = Report(
        version="1",
        started="2026-01-02T03:04:05Z",
        seconds=0,
        command=(),
        profile="default",
        frameworks=(),
        severity_rule="catalogue",
        fail_on="high",
        allow_incomplete=(),
        gate=Gate(exit_code=0, reason="", failing=0, incomplete=()),
        tools=tuple(tools),
        inputs=Inputs(sources=(), bundles=(), files=(), problems=()),
        findings=findings,
    )
    return replace(bare, **changes)
