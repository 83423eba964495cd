"""What data/tools.yaml says of init containers is what the real tools do.

Each manifest of fixtures/init-containers is called like a control, and has its fault in an init container alone; the manifest of
fixtures/controls has the same in a main one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import evidence
import native
import pytest
from evidence import BAD

from kguard.findings.catalogue import load_catalogue
from kguard.findings.locate import locate
from kguard.inputs.objects import index
from kguard.tooldata import skips_init_containers

STAGE = "init-containers"
TOOLS = ("kube-linter", "trivy", "kubescape", "polaris", "checkov", "kube-score")


@cache
def fired(tool: str, stage: str) -> frozenset[tuple[str, str]]:
    """By the name of the object, which is that of its control: the rules that fire."""
    here = native.staged(stage)
    said = locate(here.part, evidence.parsed(tool, stage).evidence, here.by_path, index)
    return frozenset((item.object.ref.name, item.evidence.rule) for item in said)


def heard_of_main_containers(tool: str) -> Iterator[tuple[str, str]]:
    """The control and rule of each case that a tool finds where the container is a main one."""
    for control in sorted({obj.ref.name for obj in native.staged(STAGE).objects} & set(load_catalogue().controls)):
        for mapping in load_catalogue().rules_of(control):
            if mapping.tool == tool and not mapping.secondary and (control, mapping.rule) in fired(tool, BAD):
                yield control, mapping.rule


@pytest.mark.real
@pytest.mark.parametrize("tool", TOOLS)
def test_a_rule_is_silent_about_init_containers_where_the_data_say_so_and_nowhere_else(tool: str) -> None:
    cases = list(heard_of_main_containers(tool))
    silent = {(control, rule) for control, rule in cases if (control, rule) not in fired(tool, STAGE)}
    assert len(cases) >= 5
    assert silent == {(control, rule) for control, rule in cases if skips_init_containers(tool, rule)}
