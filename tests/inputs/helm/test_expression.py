"""The code of an action, as far as it is understood."""

from __future__ import annotations

import pytest

from kguard.inputs.helm.expression import Group, pipeline


def test_a_pipeline_is_its_commands_with_groups_inside() -> None:
    assert pipeline('(default "a" .Values.b).c | quote') == (
        (Group((("default", '"a"', ".Values.b"),), ("c",)),),
        ("quote",),
    )


@pytest.mark.parametrize("code", ["", "()", "(|a)", "(a", "a)", "a |", "| a", "((((", '"open'])
def test_what_is_not_understood_is_empty(code: str) -> None:
    assert pipeline(code) == ()
