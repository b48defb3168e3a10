"""Many pictures through one function, in order: serial, in threads, or in processes; resumable.

    for item in map_images(PipelineSpec(on_no_face="empty"), expand(["album/"]), executor="processes", resume="album.jsonl"):
        print(item.source, item.error or item.result)

Memory stays flat over endless sources: at most `2 · workers` batches are in flight, pictures are decoded where they are used, and a slow
consumer holds the rest back. A picture that fails is an item with an error, never the end of the run; what is nobody's picture (a model that does
not load, a setting, a missing package, a worker that was killed) ends it. Processes start by spawn: a script guards its entry with
`if __name__ == "__main__":`.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import glob
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import settings
from ..errors import ConfigError, FaceworksError, InputError
from .journal import Journal
from .pool import Function, Outcome, Work, open_pool

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec

__all__ = ["SUFFIXES", "Item", "expand", "map_images", "task_id"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif", ".pgm", ".ppm", ".pnm"})
"""What `expand` takes for a picture in a folder."""
NO_EFFECT = frozenset({"device", "threads", "threshold", "fmr", "calibration"})
"""Options of a spec that leave a picture's result as it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """What became of one source.

    Attributes:
        index: its position, from 0.
        source: as it was given.
        result: what the function returned for it; None with an error.
        error: why there is no result, or None.
        resumed: taken from the journal.
    """

    index: int
    source: Any
    result: Any = None
    error: FaceworksError | None = None
    resumed: bool = False


def expand(sources: Iterable[str | Path], recursive: bool = True) -> list[Path]:
    """Files, folders and quoted globs as a list of files, in the order given; what one folder or glob holds is sorted.

    A file is taken as it is named. From folders (with `recursive`, theirs too; links to folders are not followed) and globs (`**` included) come
    the files whose suffix is in `SUFFIXES` and whose name starts with no dot.

    Raises:
        InputError: nothing of that name, or no picture in it.
    """
    found: list[Path] = []
    for source in sources:
        path, text = Path(source), str(source)
        if path.is_dir():
            folders = os.walk(path) if recursive else islice(os.walk(path), 1)
            names = [Path(folder, name) for folder, _, files in folders for name in files]
        elif path.exists():
            found.append(path)
            continue
        elif glob.has_magic(text):
            names = [Path(name) for name in glob.glob(text, recursive=True) if Path(name).is_file()]
        else:
            raise InputError(f"{text} does not exist; give a picture, a folder or a quoted glob")
        pictures = sorted(name for name in names if name.suffix.lower() in SUFFIXES and not name.name.startswith("."))
        if not pictures:
            raise InputError(f"no picture in {text}; looked for {' '.join(sorted(SUFFIXES))}")
        found += pictures
    return found


def task_id(task: PipelineSpec | Function, step: str = "embed") -> str:
    """What decides a result besides the picture: the recipe and every option with an effect, or the function's name. Key of journals and caches."""
    if callable(task):
        return f"{getattr(task, '__module__', '')}:{getattr(task, '__qualname__', type(task).__qualname__)}"
    from ..pipeline import Pipeline

    options = {item.name: getattr(task, item.name) for item in dataclasses.fields(task) if item.name not in NO_EFFECT}
    return f"{step} {Pipeline(task).recipe_id} {json.dumps(options, sort_keys=True, default=str)}"


def map_images(
    task: PipelineSpec | Function,
    sources: Iterable[Any],
    executor: Literal["serial", "threads", "processes"] = "serial",
    workers: int | None = None,
    batch_size: int = 8,
    resume: str | Path | None = None,
    on_error: Literal["collect", "raise"] = "collect",
    progress: bool = False,
    *,
    step: Literal["embed", "detect"] = "embed",
    load: Callable[[Any], Any] | None = None,
) -> Iterator[Item]:
    """Map pictures to results; one `Item` for each source, in their order.

    Args:
        task: a `PipelineSpec`, of whose pipeline `step` is run; or a function from a list of pictures to a list of results (picklable for processes).
        sources: what `image.load` takes; may be endless. Folders and globs: see `expand`.
        executor: "threads" share one pipeline and the caller's context variables; "processes" build one each, under the caller's settings.
        workers: default: one for each core. With `threads=0` in the spec the cores are shared out among them.
        batch_size: pictures handed to the function at once. If it raises, each is tried alone to find whose error it is.
        resume: journal file. Items in it are not done again, even after a kill -9; results are then plain JSON types (`types.to_dict`), the same
            whether fresh or resumed. Errors are not kept: they are tried again.
        on_error: "raise" ends at the first error instead.
        progress: bar on stderr, if that is a terminal.
        load: instead of `image.load`.

    Raises:
        ConfigError: an option that cannot hold.
        FaceworksError: what is nobody's picture (see above), while iterating.
    """
    if executor not in ("serial", "threads", "processes"):
        raise ConfigError(f"executor must be serial, threads or processes, got {executor!r}")
    if on_error not in ("collect", "raise") or step not in ("embed", "detect"):
        raise ConfigError(f"on_error is 'collect' or 'raise' and step 'embed' or 'detect', got {on_error!r} and {step!r}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = 1 if executor == "serial" else cores if workers is None else workers
    if count < 1 or batch_size < 1:
        raise ConfigError(f"workers and batch_size must be at least 1, got {count} and {batch_size}")
    active = settings.current()
    identity = task_id(task, step) if resume is not None else ""
    if not callable(task) and task.threads == 0 and active.threads == 0 and count > 1:
        task = task.with_options(threads=max(1, cores // count))
    work = Work(task, step, load, active)
    context = contextvars.copy_context()
    return _iterate(work, sources, executor, count, batch_size, (Path(resume), identity) if resume is not None else None, on_error, progress, context)


def _iterate(
    work: Work, sources: Iterable[Any], executor: str, count: int, size: int, resume: tuple[Path, str] | None,
    on_error: str, progress: bool, context: contextvars.Context,
) -> Iterator[Item]:  # fmt: skip
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(*resume)) if resume is not None else None
        submit = stack.enter_context(open_pool(executor, count, work, context))
        advance = stack.enter_context(_bar(progress, len(sources) if isinstance(sources, Sequence) else None))
        window = 1 if executor == "serial" else 2 * count
        numbered = enumerate(sources)
        pending: deque[tuple[list[tuple[int, Any, str | None, bool]], Callable[[], list[Outcome]]]] = deque()
        while True:
            while len(pending) < window and (chunk := list(islice(numbered, size))):
                keys = [journal.key(source) if journal else None for _, source in chunk]
                entries = [(*entry, key, journal is not None and key in journal.places) for entry, key in zip(chunk, keys, strict=True)]
                todo = [source for _, source, _, done in entries if not done]
                pending.append((entries, submit(todo) if todo else list))
            if not pending:
                return
            entries, wait = pending.popleft()
            outcomes, items = iter(wait()), []
            for index, source, key, done in entries:
                result, error = (None, None) if done else next(outcomes)
                if journal and error is None:
                    result = journal.read(str(key)) if done else journal.write(key, result)
                items.append(Item(index, source, result, error, done))
            for item in items:
                if item.error is not None and on_error == "raise":
                    raise item.error
                advance()
                yield item


@contextlib.contextmanager
def _bar(progress: bool, total: int | None) -> Iterator[Callable[[], None]]:
    if not progress or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("pictures", total=total)
        yield lambda: bar.advance(task)
