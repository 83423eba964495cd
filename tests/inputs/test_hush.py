"""What renderers quote from files is not shown; what an error is about is."""

from __future__ import annotations

from pathlib import Path

import pytest

from kguard.inputs.hush import hushed


@pytest.mark.parametrize(
    ("text", "message", "shown"),
    [
        ("password: hunter2-X", "at '/password': 'hunter2-X' does not match", "at '/password': '***' does not match"),
        ("literals: ['pw=hunter2-X']", "invalid literal source hunter2-X", "invalid literal source ***"),
        (
            "patch: |\n  kind: Secret\n  stringData: {p: hunter2-X}\n",
            "from [kind: Secret p: hunter2-X]",
            "from [kind: *** p: ***]",
        ),
        ("resources: [web.yaml, ../base]", "accumulating web.yaml in ../base: not found", None),
        ("kind: Deployment\nmetadata: {name: web-Frontend2}", "id Deployment.v1.apps/web-Frontend2", None),
        ("replicas: 3\nhost: https://example.com/x", "3 of https://example.com/x", None),
        ("a: [unclosed", "a: [unclosed is no YAML", None),
    ],
)
def test_values_are_masked_and_names_are_not(tmp_path: Path, text: str, message: str, shown: str | None) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(text)
    assert hushed(message, [file, tmp_path / "gone.yaml"]) == (shown if shown is not None else message)


def test_single_values_are_values_too() -> None:
    assert hushed("value hunter2-X is weak", [], ["hunter2-X"]) == "value *** is weak"
