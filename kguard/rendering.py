"""Every chart and every root kustomization rendered, each once, side by side."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kguard.inputs.render import NotRendered, Render
from kguard.model import Bundle, BundleState
from kguard.running import process
from kguard.running.facts import find_program, tool_facts
from kguard.settings import Settings

RENDERERS = ("helm", "kustomize", "kubectl")
"""Programs that render; each may be named with --tool-path."""


def render_all(renders: Sequence[Render], settings: Settings, folder: Path) -> tuple[Bundle, ...]:
    """A bundle for each, in their order: its objects, or why there are none. `folder` is private to this run. When the caller is
    interrupted, all processes are gone before the interruption goes on."""
    cancel = threading.Event()
    with ThreadPoolExecutor(max_workers=settings.jobs) as pool:
        try:
            jobs = [
                pool.submit(_rendered, render, settings, folder / f"render-{number}", cancel)
                for number, render in enumerate(renders, start=1)
            ]
            return tuple(job.result() for job in jobs)
        finally:
            cancel.set()
            pool.shutdown(wait=False, cancel_futures=True)


def refusal(render: Render) -> str | None:
    """Why it will not be rendered, as far as that can be told without running anything."""
    try:
        render.command(render.programs[0], Path(tempfile.gettempdir()) / "kguard-plan" / process.WORK)
    except NotRendered as error:
        return str(error)
    return None


def _rendered(render: Render, settings: Settings, folder: Path, cancel: threading.Event) -> Bundle:
    try:
        name, program = _program(render, settings)
        command = render.command(name, folder / process.WORK)
        outcome = process.run(command, program, folder, timeout=settings.timeout, cancel=cancel)
        objects, state, reason = render.objects(outcome), BundleState.RENDERED, None
    except NotRendered as error:
        objects, state, reason = (), BundleState.FAILED, f"not rendered: {error}"
    return Bundle(
        id=render.bundle,
        kind=render.kind,
        path=render.path,
        name=render.name,
        state=state,
        objects=objects,
        reason=reason,
    )


def _program(render: Render, settings: Settings) -> tuple[str, Path]:
    """The first of its programs that is installed."""
    for name in render.programs:
        program = find_program(name, settings)
        if program is not None:
            return name, program
    wanted = render.programs[0]
    raise NotRendered(
        f"{' or '.join(render.programs)} is not installed. Get {wanted} from {tool_facts()[wanted].releases}"
    )
