"""How far a long run is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

__all__ = ["bar", "watched"]

_watcher: ContextVar[Callable[[int, int | None], None] | None] = ContextVar("faceworks_batch_watcher", default=None)


@contextlib.contextmanager
def watched(report: Callable[[int, int | None], None]) -> Iterator[None]:
    """Within this block every run, however deep, reports `(done, total)` after each picture, left out ones included; total is None for an iterator.

    For whoever shows progress elsewhere than on a terminal: a service's jobs. What `report` raises ends the run.
    """
    token = _watcher.set(report)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextlib.contextmanager
def bar(shown: bool, total: int | None, skipped: Callable[[], int] = lambda: 0, what: str = "pictures") -> Iterator[Callable[..., None]]:
    """A progress bar with rate and remaining time on stderr, if that is a terminal; yields the function that counts one more, or so many.

    `total` None: nobody knows. `skipped`: how many were left out so far; they count as done.
    """
    watcher = _watcher.get()
    if watcher is not None:
        counted = 0

        def tell(more: int = 1) -> None:
            nonlocal counted
            counted += more
            watcher(counted + skipped(), total)

        yield tell
        return
    if not shown or not sys.stderr.isatty():
        yield lambda more=1: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Pictures in a second, lately."""

        def render(self, task: Any) -> Text:
            return Text(f"{task.speed or 0:.1f}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total)
        done = 0

        def advance(more: int = 1) -> None:
            nonlocal done
            done += more
            progress.update(task, completed=done + skipped())

        yield advance
