"""What a run leaves to read: `history.csv` (a line for each epoch), TensorBoard events, a progress bar."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import assets
from ..optional import require

__all__ = ["Board", "epoch_bar", "read_history", "write_history"]

Row = Mapping[str, float]


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """All epochs so far as CSV, all or nothing; columns that an epoch lacks are empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: f"{value:.8g}" for key, value in row.items()} for row in rows])
    assets.atomic_write(path, lambda out: out.write(text.getvalue().encode()))


def read_history(path: str | Path) -> list[dict[str, float]]:
    """The epochs of a run; empty entries are left out."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


class Board:
    """TensorBoard events in `folder`, where they are wanted; a run that goes on purges what came after its checkpoint."""

    def __init__(self, folder: Path, wanted: bool, epoch: int) -> None:
        self._writer: Any = None
        if wanted:
            module = require("torch.utils.tensorboard", "train", "run.tensorboard = true")
            self._writer = module.SummaryWriter(str(folder), purge_step=epoch)

    def add(self, row: Row) -> None:
        """The figures of an epoch."""
        if self._writer is not None:
            for key, value in row.items():
                if key != "epoch":
                    self._writer.add_scalar(key, value, int(row["epoch"]))
            self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()


@contextlib.contextmanager
def epoch_bar(total: int, wanted: bool) -> Iterator[Callable[[int, str], None]]:
    """A callback (batches done in all, words) that moves a bar on stderr; it does nothing where stderr is no terminal or no bar is wanted."""
    if not wanted or not sys.stderr.isatty():
        yield lambda done, words: None
        return
    rich = importlib.import_module("rich.progress")
    console = importlib.import_module("rich.console").Console(stderr=True)
    columns = (rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn(), rich.TimeRemainingColumn())
    with rich.Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("training", total=total)
        yield lambda done, words: shown.update(task, completed=done, description=words)
