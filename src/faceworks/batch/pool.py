"""Where the work of `map_images` is done: in this thread, in threads, or in spawned processes."""

from __future__ import annotations

import contextlib
import contextvars
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import settings
from ..errors import ConfigError, FaceworksError, InputError, MissingDependency, ModelError

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec

__all__ = ["Function", "Outcome", "Work", "apply", "open_pool"]

FATAL = (ModelError, ConfigError, MissingDependency)
"""Errors that are nobody's picture: they end the run."""
Function: TypeAlias = Callable[[Sequence[Any]], Sequence[Any]]
Outcome: TypeAlias = tuple[Any, FaceworksError | None]


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker needs, picklable."""

    task: PipelineSpec | Function
    step: str
    load: Callable[[Any], Any] | None
    settings: settings.Settings

    def open(self) -> Callable[[Sequence[Any]], list[Outcome]]:
        """Build the pipeline (once per process) and return the function from sources to outcomes."""
        from . import sources

        load = self.load or sources.load
        if callable(self.task):
            task = self.task
            return lambda sources: apply(lambda pictures, names: task(pictures), load, sources)
        from ..pipeline import Pipeline

        pipeline = Pipeline(self.task)
        if self.step == "detect":
            return lambda sources: apply(pipeline.detect, load, sources)
        return lambda sources: apply(pipeline.embed, load, sources)


@contextlib.contextmanager
def open_pool(executor: str, count: int, work: Work, context: contextvars.Context) -> Iterator[Callable[[list[Any]], Callable[[], list[Outcome]]]]:
    """Yields `submit(sources)`, which returns a function that waits for the outcomes."""
    if executor == "serial":
        run = context.run(_open_under, work)
        yield lambda sources: lambda: context.run(run, sources)
        return
    pool: Executor
    if executor == "threads":
        run = context.run(_open_under, work)
        pool = ThreadPoolExecutor(count, thread_name_prefix="faceworks")
    else:
        try:
            ForkingPickler.dumps(work)
        except Exception as error:
            raise ConfigError(f"executor='processes' needs a task that can be pickled: a PipelineSpec or a function of a module ({error})") from error
        pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _start_worker, (work,))

    def submit(sources: list[Any]) -> Callable[[], list[Outcome]]:
        def wait() -> list[Outcome]:
            try:
                return future.result()
            except BrokenExecutor as error:
                raise _dead(sources) from error

        future: Future[list[Outcome]]
        try:
            with _uninterrupted():
                future = pool.submit(context.copy().run, run, sources) if executor == "threads" else pool.submit(_work_on, sources)
        except BrokenExecutor as error:
            raise _dead(sources) from error
        return wait

    try:
        yield submit
    except BaseException:  # interrupted, or the run ends at an error: nobody will fetch what the workers still compute
        for process in list((getattr(pool, "_processes", None) or {}).values()):  # public as `terminate_workers` from Python 3.14 on
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _open_under(work: Work) -> Callable[[Sequence[Any]], list[Outcome]]:
    """`Work.open` under the caller's settings: the run keeps those it began with, and no picture reads a settings file."""
    with settings.use(work.settings):
        run = work.open()

    def under(sources: Sequence[Any]) -> list[Outcome]:
        with settings.use(work.settings):
            return run(sources)

    return under


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C reaches the whole process group, but only we shall act on it: a worker started in here has it blocked from its first moment."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)  # one that came meanwhile is delivered now


def _dead(sources: list[Any]) -> FaceworksError:
    return FaceworksError(
        f"a worker process died (killed, out of memory, or a crash in native code) at or near {sources[0]!s:.200}; "
        "run again with fewer workers or executor='threads', and with a resume journal so that what is done stays done "
        "(a script must guard its entry with `if __name__ == '__main__':`)"
    )


_worker: list[Any] = []
"""In a worker process: its `Work`, then the opened function."""


def _start_worker(work: Work) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems without signal masks
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)  # the parent was killed: nobody will ever fetch a result

    threading.Thread(target=follow, daemon=True).start()
    _worker[:] = [work]


def _work_on(sources: list[Any]) -> list[Outcome]:
    if len(_worker) == 1:
        _worker.append(_open_under(_worker[0]))  # here, not in the initializer, whose errors a pool swallows
    outcomes: list[Outcome] = _worker[1](sources)
    return outcomes


def apply(function: Callable[[list[Any], list[str]], Sequence[Any]], load: Callable[[Any], Any], sources: Sequence[Any]) -> list[Outcome]:
    """Load and compute one batch; an outcome for each source. If the function raises, each picture is tried alone to find whose error it is.

    `function` takes the loaded pictures and their names. Errors that are nobody's picture (`FATAL`) are raised.
    """
    outcomes: list[Outcome] = [(None, None)] * len(sources)
    pictures: list[Any] = []
    places: list[int] = []
    for place, source in enumerate(sources):
        try:
            pictures.append(load(source))
            places.append(place)
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a decoder throws is that picture's error
            outcomes[place] = (None, _portable(error))
    names = [str(sources[place]) if isinstance(sources[place], (str, os.PathLike)) else f"picture {place + 1} of a batch" for place in places]
    for place, outcome in zip(places, _compute(function, pictures, names), strict=True):
        outcomes[place] = outcome
    return outcomes


def _compute(function: Callable[[list[Any], list[str]], Sequence[Any]], pictures: list[Any], names: list[str]) -> list[Outcome]:
    if not pictures:
        return []
    try:
        results = function(pictures, names)
    except FATAL:
        raise
    except Exception as error:  # noqa: BLE001 - see on_error
        if len(pictures) == 1:
            return [(None, _portable(error))]
        return [outcome for picture, name in zip(pictures, names, strict=True) for outcome in _compute(function, [picture], [name])]
    if len(results) != len(pictures):
        raise ConfigError(f"the function returned {len(results)} results for {len(pictures)} pictures; it must return one for each")
    return [(result, None) for result in results]


def _portable(error: Exception) -> FaceworksError:
    """An error that survives the way from a worker: ours as they are, foreign ones named in an InputError with their traceback as a note."""
    if isinstance(error, FaceworksError):
        return error
    wrapped = InputError(f"{type(error).__name__}: {error}")
    wrapped.add_note("".join(traceback.format_exception(error)))
    return wrapped
