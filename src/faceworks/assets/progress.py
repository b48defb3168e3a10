"""A progress bar on stderr, when a person looks at it."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator

__all__ = ["bar"]


@contextlib.contextmanager
def bar(label: str, wanted: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A callback (bytes so far, total or None) that moves a bar; None when stderr is no terminal or no bar is wanted."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    rich = importlib.import_module("rich.progress")
    console = importlib.import_module("rich.console").Console(stderr=True)
    columns = (rich.TextColumn("{task.description}"), rich.BarColumn(), rich.DownloadColumn(), rich.TransferSpeedColumn(), rich.TimeRemainingColumn())
    with rich.Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(label, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
