"""The public JSON: its schema, its order, and the way back."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from kguard.errors import UsageError
from kguard.model import Report
from kguard.reports import FORMATS, Terminal, json_v1, render

Make = Callable[..., Report]


def schema() -> Any:
    return json.loads((files("kguard") / "data" / "schema" / "report-v1.json").read_text())


def test_the_schema_that_ships_is_the_one_of_the_types() -> None:
    assert json.dumps(schema()) == json.dumps(json.loads(json_v1.schema())), "run `make generate`"


@pytest.mark.parametrize("count", [0, 1, 60])
def test_every_report_is_valid(make: Make, count: int) -> None:
    jsonschema.validate(json.loads(json_v1.render(make(count))), schema())


def test_keys_stand_in_the_public_order(make: Make) -> None:
    report = json.loads(json_v1.render(make(3)))
    top = "schema kguard started seconds command settings gate summary tools inputs findings gone ignores controls"
    assert list(report) == top.split()
    finding = (
        "fingerprint control title severity category status suppression baseline bundle object container discriminator location"
        " places tools evidence related remediation fix references gated excerpt absent"
    )
    assert list(report["findings"][0]) == finding.split()
    tool = (
        "name version state reason path exit_codes seconds cpu_seconds peak_memory_bytes processes cache rules objects unread"
        " records evidence complaints canary out_of_scope off_by_default"
    )
    assert [list(item) for item in report["tools"]] == [tool.split()] * 3
    assert [item["name"] for item in report["tools"]] == ["kubescape", "polaris", "trivy"]


def test_unknown_is_null(make: Make) -> None:
    report = json.loads(json_v1.render(make(1)))
    missing = report["tools"][0]
    assert [missing[key] for key in ("version", "path", "seconds", "rules")] == [None] * 4
    assert report["tools"][2]["rules"] == {
        "active": None,
        "digest": None,
        "source": "embedded",
        "groups": [],
        "ids": None,
    }


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_report_read_back_renders_the_same(make: Make, hostile: Report, form: str) -> None:
    for report in (make(40), make(0, degraded=False), hostile):
        again = json_v1.read(json_v1.render(report).encode())
        first = json_v1.read(json_v1.render(again).encode())
        assert render(again, form, Terminal()) == render(first, form, Terminal())
        assert json_v1.render(again) == json_v1.render(report)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"schema": "kguard/report/v2"}', "schema"),
        (b'{"schema": "kguard/report/v1"}', "missing required field `kguard`"),
        (b"\xff", "invalid"),
    ],
)
def test_anything_else_is_refused_with_the_place(data: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        json_v1.read(data)


def test_a_tool_version_that_is_none_is_refused(make: Make) -> None:
    document = json.loads(json_v1.render(make(1)))
    document["tools"][0]["version"] = "dev build"
    with pytest.raises(UsageError, match="dev build"):
        json_v1.read(json.dumps(document).encode())
