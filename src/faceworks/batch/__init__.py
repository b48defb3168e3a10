"""Many pictures through one function, in order: serial, in threads, in processes, or on a Ray cluster; resumable.

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
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .. import settings
from ..errors import ConfigError, FaceworksError
from .folders import SUFFIXES, expand
from .journal import Journal
from .pool import Function, Outcome, Work, open_pool
from .progress import bar as progress_bar

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec

__all__ = ["EXECUTORS", "SUFFIXES", "Executor", "Item", "expand", "map_images", "task_id"]

Executor: TypeAlias = Literal["serial", "threads", "processes", "ray"]
EXECUTORS = ("serial", "threads", "processes", "ray")
PORTION, PORTION_BYTES = 100_000, 512 << 20
"""So many sources are handed to a Ray cluster at once, fewer where they carry their content (frames of a video, members of a compressed archive)."""
NO_EFFECT = frozenset({"device", "threads", "threshold", "fmr", "calibration", "max_faces"})
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
    executor: Executor = "serial",
    workers: int | None = None,
    batch_size: int = 8,
    resume: str | Path | None = None,
    on_error: Literal["collect", "raise"] = "collect",
    progress: bool = False,
    *,
    step: Literal["embed", "detect"] = "embed",
    load: Callable[[Any], Any] | None = None,
    total: int | None = None,
    skipped: Callable[[], int] | None = None,
    counts: Callable[[Any], int] | None = None,
    address: str | None = None,
) -> Iterator[Item]:
    """Map pictures to results; one `Item` for each source, in their order.

    Args:
        task: a `PipelineSpec`, of whose pipeline `step` is run; or a function from a list of pictures to a list of results (picklable for processes).
        sources: what `image.load` takes; may be endless. Folders and globs: see `expand`.
        executor: "threads" share one pipeline and the caller's context variables; "processes" build one each, under the caller's settings; "ray" does so
            on all machines of a Ray cluster (extra `ray`), through Ray Data and a pool of actors: killed workers and machines cost a repetition, not a
            result. Sources must be readable on every machine (a shared folder), or carry their bytes.
        workers: default: one for each core. With `threads=0` in the spec the cores are shared out among them.
        batch_size: pictures handed to the function at once. If it raises, each is tried alone to find whose error it is.
        resume: journal file. Items in it are not done again, even after a kill -9; results are then plain JSON types (`types.to_dict`), the same
            whether fresh or resumed. Errors are not kept: they are tried again.
        on_error: "raise" ends at the first error instead.
        progress: bar on stderr, if that is a terminal.
        load: instead of `sources.load` (`image.load`, and references into archives).
        total: number of sources for the bar, where they are an iterator; `skipped` tells how many of them were left out so far. Where a source stands for
            several pictures, `counts` tells how many, and `total` is their sum.
        address: of the Ray cluster; None starts one here, "auto" takes the one that runs.

    Raises:
        ConfigError: an option that cannot hold.
        FaceworksError: what is nobody's picture (see above), while iterating.
    """
    if executor not in EXECUTORS:
        raise ConfigError(f"executor must be one of {', '.join(EXECUTORS)}, got {executor!r}")
    if address is not None and executor != "ray":
        raise ConfigError(f"address={address!r} names a Ray cluster: say executor='ray'")
    if on_error not in ("collect", "raise") or step not in ("embed", "detect"):
        raise ConfigError(f"on_error is 'collect' or 'raise' and step 'embed' or 'detect', got {on_error!r} and {step!r}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if executor == "ray" and workers is None:
        workers = 0  # as many as the cluster has processors
    count = 1 if executor == "serial" else cores if workers is None else workers
    if count < (executor != "ray") or batch_size < 1:
        raise ConfigError(f"workers and batch_size must be at least 1, got {count} and {batch_size}")
    active = settings.current()
    identity = task_id(task, step) if resume is not None else ""
    if not callable(task) and task.threads == 0 and active.threads == 0 and count > 1:
        task = task.with_options(threads=max(1, cores // count))
    elif executor == "ray" and not callable(task) and task.threads == 0 and active.threads == 0:
        task = task.with_options(threads=1)  # one actor for each processor
    if total is None and isinstance(sources, Sequence):
        total = len(sources)
    kept = (Path(resume), identity) if resume is not None else None
    bar = progress_bar(progress, total, skipped or (lambda: 0))
    counted = (bar, counts or (lambda source: 1))
    work = Work(task, step, load, active)
    if executor == "ray":
        return _on_ray(work, sources, count, batch_size, kept, on_error, counted, address)
    return _iterate(work, sources, executor, count, batch_size, kept, on_error, counted, contextvars.copy_context())


_Bar: TypeAlias = "tuple[contextlib.AbstractContextManager[Callable[..., None]], Callable[[Any], int]]"
_Kept: TypeAlias = "tuple[Path, str] | None"


def _iterate(
    work: Work, sources: Iterable[Any], executor: str, count: int, size: int, resume: _Kept, on_error: str, bar: _Bar, context: contextvars.Context,
) -> Iterator[Item]:  # fmt: skip
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(*resume)) if resume is not None else None
        submit = stack.enter_context(open_pool(executor, count, work, context))
        advance = stack.enter_context(bar[0])
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
                advance(bar[1](item.source))
                yield item


def _on_ray(
    work: Work, sources: Iterable[Any], count: int, size: int, resume: _Kept, on_error: str, bar: _Bar, address: str | None
) -> Iterator[Item]:
    """As `_iterate`, but the sources go to the cluster in portions of `PORTION`, which Ray spreads, retries and gives back in order."""
    from .cluster_pool import open_cluster

    numbered = enumerate(sources)
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(*resume)) if resume is not None else None
        run = stack.enter_context(open_cluster(work, count, size, address))
        advance = stack.enter_context(bar[0])
        for portion in _portions(numbered):
            keys = [journal.key(source) if journal else None for _, source in portion]
            done = [journal is not None and key in journal.places for key in keys]
            outcomes = run([source for (_, source), old in zip(portion, done, strict=True) if not old])
            for (index, source), key, old in zip(portion, keys, done, strict=True):
                result, error = (None, None) if old else next(outcomes)
                if journal and error is None:
                    result = journal.read(str(key)) if old else journal.write(key, result)
                if error is not None and on_error == "raise":
                    raise error
                advance(bar[1](source))
                yield Item(index, source, result, error, old)
            next(outcomes, None)  # runs it to its end: Ray closes its pool before the next portion


def _portions(numbered: Iterable[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    portion: list[tuple[int, Any]] = []
    held = 0
    for index, source in numbered:
        portion.append((index, source))
        content = getattr(source, "data", source)  # of a reference that carries it, of an array; else the source itself
        held += content.nbytes if hasattr(content, "nbytes") else len(content) if isinstance(content, bytes) else 0
        if len(portion) >= PORTION or held >= PORTION_BYTES:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion
