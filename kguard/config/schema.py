"""The JSON Schema of `kguard.yaml`, for editors."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import msgspec

from kguard.config.shape import Allowed, Chart, Config, Control, Inputs, Kustomization, Merge


def schema() -> str:
    """The JSON Schema of kguard.yaml, for editors; `kguard/data/schema/config.json` is this text."""
    found = msgspec.json.schema(Config)
    for struct in (Allowed, Chart, Control, Kustomization, Inputs, Merge, Config):
        properties = found["$defs"][struct.__name__]["properties"]
        for key, words in _descriptions(struct).items():
            properties[key] = {"description": words, **properties[key]}
    top: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "kguard.yaml", **found}
    return msgspec.json.format(msgspec.json.encode(top, order="deterministic"), indent=2).decode() + "\n"


def _descriptions(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The docstrings of a struct's fields, by key; only the source has them."""
    keys = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    found: dict[str, str] = {}
    body = ast.parse(inspect.getsource(struct)).body[0]
    field = None
    for statement in ast.iter_child_nodes(body):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)):
                field = name
            case ast.Expr(value=ast.Constant(value=str(words))) if field is not None:
                found[keys[field]] = words
            case _:
                field = None
    return found
