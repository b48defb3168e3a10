"""How far a long run is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["bar"]


@contextlib.contextmanager
def bar(shown: bool, total: int | None, skipped: Callable[[], int] = lambda: 0, what: str = "pictures") -> Iterator[Callable[[], None]]:
    """A progress bar with rate and remaining time on stderr, if that is a terminal; yields the function that counts one more.

    `total` None: nobody knows. `skipped`: how many were left out so far; they count as done.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda: None
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

        def advance() -> None:
            nonlocal done
            done += 1
            progress.update(task, completed=done + skipped())

        yield advance
