"""Where the values of a release come from: the values.yaml of its charts, files of its own, and settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from kguard.inputs.helm.files import Files, Folder, read_yaml
from kguard.inputs.helm.instances import Instance
from kguard.inputs.helm.values import Keys, Values
from kguard.inputs.nodes import NodeReader, Unreadable

_SIMPLE_KEY = re.compile(r"[\w-]+(\.[\w-]+)*")
_SEVERAL = re.compile(r"[,{\\\n]")
"""What helm does not take as it is in a value that is set: it may set something else as well."""
_ODD_VALUE = re.compile(r"y|n|yes|no|on|off|(?!0$)[-+.0xob_:e]*0[-+.0xob_:e]*", re.IGNORECASE)
_ODD_KEY = re.compile(r"true|false|null|~||[-+.].*|\d.*\D.*", re.IGNORECASE)


def read_values(instances: Sequence[Instance], files: Sequence[Path], settings: Sequence[tuple[str, str]]) -> Values:
    """All that may be among the values of a release. `settings`: keys and values as `--set` takes them."""
    known = not any(item.imports for instance in instances for item in instance.chart.dependencies)
    sources: list[tuple[Keys, Any]] = []
    for prefix, folder, name in _value_files(instances, files):
        try:
            node = read_yaml(folder, name)
        except Unreadable:
            known = False  # helm has read it all the same
            continue
        if node is not None:
            known = known and _read_alike(node)
            sources.append((prefix, NodeReader("", []).value(node)))
    for key, value in settings:
        known = known and _SIMPLE_KEY.fullmatch(key) is not None and not _SEVERAL.search(value)
        sources.append((tuple(key.split(".")), value))
    return Values(sources, known=known)


def _value_files(instances: Sequence[Instance], files: Sequence[Path]) -> Iterator[tuple[Keys, Files, str]]:
    for instance in instances:
        yield instance.prefix, instance.files, "values.yaml"
    for file in files:
        yield (), Folder(file.parent), file.name


def _read_alike(root: yaml.Node) -> bool:
    """Whether helm is known to read every word and number of a document as kguard does: `no` is a text to some readers, and a key
    `on` may be called `true`."""
    waiting, seen = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        children: list[yaml.Node] = []
        match node:
            case yaml.MappingNode():
                if any(isinstance(key, yaml.ScalarNode) and _odd(key, _ODD_VALUE, _ODD_KEY) for key, _ in node.value):
                    return False
                children = [child for _, child in node.value]
            case yaml.SequenceNode():
                children = node.value
            case yaml.ScalarNode() if _odd(node, _ODD_VALUE):
                return False
        waiting += [child for child in children if id(child) not in seen]
        seen.update(map(id, children))
    return True


def _odd(scalar: yaml.ScalarNode, *patterns: re.Pattern[str]) -> bool:
    """Whether a word without quotes is one that readers of YAML read differently."""
    return not scalar.style and any(pattern.fullmatch(scalar.value) for pattern in patterns)
