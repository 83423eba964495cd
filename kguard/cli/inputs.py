"""`kguard inputs`: what would be scanned as what, and why not the rest, without running a tool or a renderer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from kguard.cli import options
from kguard.errors import ExitCode
from kguard.model import FileState, InputFile
from kguard.scan import Discovery, find_inputs, refusal
from kguard.text import one_line

_HEADS = {
    FileState.SCANNED: "scanned as they stand",
    FileState.TEMPLATE: "templates, scanned as they are rendered",
    FileState.RENDERED_ELSEWHERE: "parts of what is rendered",
    FileState.UNREADABLE: "not readable, though they look like manifests",
    FileState.NOT_KUBERNETES: "without a Kubernetes object",
    FileState.IGNORED: "left out",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The flags as given; the words are explained in the help of `kguard inputs`."""

    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    hidden: bool
    config: str | None
    as_json: bool
    verbose: bool


def command(request: Request) -> ExitCode:
    """Print the plan."""
    settings = options.inputs(options.configured(request.config).inputs, request.exclude, hidden=request.hidden)
    stdin = sys.stdin.buffer if "-" in request.paths else None
    found = find_inputs(request.paths, settings, stdin=stdin)
    sys.stdout.writelines(_json(found) if request.as_json else _text(found, verbose=request.verbose))
    return ExitCode.PASS


def _text(found: Discovery, *, verbose: bool) -> Iterator[str]:
    inventory = found.inventory
    yield _head("rendered, each once", len(found.renders))
    for render in found.renders:
        why = refusal(render)
        yield (
            one_line(f"  {render.kind:10} {_label(render.bundle)}" + (f"  will not be rendered: {why}" if why else ""))
            + "\n"
        )
    for state, head in _HEADS.items():
        files = [file for file in inventory.files if file.state is state]
        yield _head(head, len(files))
        yield from (f"  {one_line(_line(file))}\n" for file in files)
    yield _head("other files, neither YAML nor JSON", len(inventory.others))
    if verbose:
        yield from (f"  {one_line(path)}\n" for path in inventory.others)
    for bundle in inventory.bundles:
        yield f"plain objects in {one_line(bundle.path)}: {len(bundle.objects)}\n"


def _head(text: str, count: int) -> str:
    return f"{count:,} {text}\n" if count else ""


def _label(bundle: str) -> str:
    return bundle.partition(":")[2]


def _line(file: InputFile) -> str:
    words = [f"{file.objects} {'object' if file.objects == 1 else 'objects'}"] if file.objects else []
    return f"{file.path}  {'; '.join([*words, *([file.reason] if file.reason else [])])}".rstrip()


def _json(found: Discovery) -> Iterator[str]:
    inventory = found.inventory
    plan = {
        "renders": [
            {
                "kind": render.kind,
                "bundle": render.bundle,
                "name": render.name,
                "path": render.path,
                "refused": refusal(render),
            }
            for render in found.renders
        ],
        "bundles": [
            {"id": bundle.id, "path": bundle.path, "objects": len(bundle.objects)} for bundle in inventory.bundles
        ],
        "files": inventory.files,
        "others": inventory.others,
        "problems": inventory.problems,
    }
    yield msgspec.json.format(msgspec.json.encode(plan), indent=1).decode() + "\n"
