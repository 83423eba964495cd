"""Progress on stderr: which tool runs, over how many objects, for how long; only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kguard.running.tools import ToolProgress


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[ToolProgress], None]]:
    """Yield a callback for the runner; what it draws is gone when the run is over."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    # rich is not needed, and not imported, where nobody watches
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        rows: dict[str, TaskID] = {}

        def show(event: ToolProgress) -> None:
            text = f"{event.tool}  {event.objects} objects"
            if event.tool not in rows:
                rows[event.tool] = bars.add_task(text, total=1)
            bars.update(rows[event.tool], description=text, completed=event.parts_done, total=event.parts or 1)

        yield show
