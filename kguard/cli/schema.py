"""`kguard schema`: the JSON Schemas of the public formats."""

from __future__ import annotations

import sys
from importlib.resources import files

from kguard.cli.options import choice
from kguard.errors import ExitCode

SCHEMAS = {"config": "config.json", "coverage": "coverage-v1.json", "report": "report-v1.json"}


def command(name: str) -> ExitCode:
    """Print the schema that ships with this version."""
    file = SCHEMAS[choice("kguard schema", name, sorted(SCHEMAS))]
    sys.stdout.write((files("kguard") / "data" / "schema" / file).read_text(encoding="utf-8"))
    return ExitCode.PASS
