"""A progress bar on stderr, when a person looks at it."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator

__all__ = ["bar"]


@contextlib.contextmanager
def bar(label: str, wanted: bool, measured: bool = True) -> Iterator[Callable[[int, int | None], None] | None]:
    """A callback (bytes so far, total or None) that moves a bar; None when stderr is no terminal (one line says what is fetched) or no bar is wanted.
    Not `measured`: another program fetches, and nobody knows how far it is."""
    if not wanted or not sys.stderr.isatty():
        if wanted:
            sys.stderr.write(f"faceworks: fetching {label}\n")
        yield None
        return
    rich = importlib.import_module("rich.progress")
    console = importlib.import_module("rich.console").Console(stderr=True)
    columns = [rich.TextColumn("{task.description}"), rich.BarColumn()]
    columns += [rich.DownloadColumn(), rich.TransferSpeedColumn(), rich.TimeRemainingColumn()] if measured else [rich.TimeElapsedColumn()]
    with rich.Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(label, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
