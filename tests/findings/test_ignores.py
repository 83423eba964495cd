"""The annotations of the tools: which of them silence what, and where they stand."""

from __future__ import annotations

from kguard.findings.ignores import inline_ignores
from kguard.inputs.objects import index, read_manifest
from kguard.running.facts import tool_facts

PATTERNS = {name: facts.ignores for name, facts in tool_facts().items()}
TEXT = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  annotations:
    ignore-check.kube-linter.io/privileged-container: the agent needs it
    kube-linter.io/ignore-all: because
    polaris.fairwinds.com/exempt: "true"
    polaris.fairwinds.com/hostIPCSet-exempt: "true"
    polaris.fairwinds.com/hostPIDSet-exempt: "false"
    kubescape.io/skip-controls: C-0057,C-0013
    example.com/exempt: "true"
spec:
  template:
    metadata:
      annotations: {kube-score/ignore: "container-image-tag, pod-probes"}
    spec: {containers: []}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {x: "polaris.fairwinds.com/exempt=true"}
"""


def test_each_annotation_with_its_rule_its_line_and_its_reason() -> None:
    objects = read_manifest("m.yaml", TEXT.encode(), "b").objects
    found = [(item.line, item.tool, item.rule) for item in inline_ignores(objects, PATTERNS, index)]
    assert found == [
        (6, "kube-linter", "privileged-container"),
        (7, "kube-linter", None),
        (8, "polaris", None),
        (9, "polaris", "hostIPCSet"),
        (11, "kubescape", "C-0013"),
        (11, "kubescape", "C-0057"),
        (16, "kube-score", "container-image-tag"),
        (16, "kube-score", "pod-probes"),
    ]
    assert inline_ignores(objects, PATTERNS, index)[0].value == "the agent needs it"
