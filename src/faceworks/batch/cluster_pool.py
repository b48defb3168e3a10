"""The work of `map_images` on a Ray cluster, through Ray Data. The only module that speaks Ray.

Ray places the work, holds back what a slow consumer cannot take, and repeats what a worker or a machine had not handed over when it died. Blocks are given back
in the order of the sources. Its worker processes live as long as the run, and each opens the pipeline once (`_open`): that is an actor pool, made of tasks. Actors
proper would bind work to the machine they stand on: when it goes and nothing has room for its successor, everything behind the bound block waits for ever (0110).
"""

from __future__ import annotations

import contextlib
import logging
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import settings
from ..errors import ConfigError, FaceworksError
from ..optional import require
from .pool import Outcome, Work

__all__ = ["open_cluster"]

REPETITIONS = 5
"""So often a block is done again when what did it died. More is no accident: a picture that crashes a decoder would kill one worker after another."""

BATCHES = 8
"""Batches in a block of a long run: what a killed worker costs, and the grain at which results flow back. A block costs Ray itself some tens of milliseconds of
processor time."""

_opened: dict[str, Callable[[Sequence[Any]], list[Outcome]]] = {}
"""In a worker process: the function of the run that it works for."""


def _open(run: str, work: Work) -> Callable[[Sequence[Any]], list[Outcome]]:
    if run not in _opened:
        _opened.clear()
        _opened[run] = work.open()
    return _opened[run]


def _compute(run: str, work: Work, batch: dict[str, Any]) -> dict[str, Any]:
    with settings.use(work.settings):
        try:
            outcomes: list[Any] = _open(run, work)([source for (source,) in batch["source"]])
        except FaceworksError as error:  # nobody's picture: the driver shall end the run with this very error, which Ray would wrap
            outcomes = [error] * len(batch["source"])
    return {"outcome": _column(outcomes)}


def _column(values: list[Any]) -> Any:
    """Values as a column of Python objects, each wrapped, since NumPy would spread tuples over a second axis."""
    column = np.empty(len(values), object)
    column[:] = [(value,) for value in values]
    return column


@contextlib.contextmanager
def open_cluster(work: Work, count: int, size: int, address: str | None) -> Iterator[Callable[[list[Any]], Iterator[Outcome]]]:
    """Yields `run(sources)`, which gives an outcome for each source, in order. `count` at once, 0: one for each processor that the cluster has, now or later.

    Raises:
        ConfigError: no cluster at the address.
        MissingDependency: without the extra `ray`.
    """
    settings.silence_telemetry()
    ray, data = require("ray", "ray", "the executor 'ray'"), require("ray.data", "ray", "the executor 'ray'")
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)  # plans and timings of each run
    ours = not ray.is_initialized()
    if ours:
        try:
            # "local": without it Ray would join whatever cluster was last started on this machine, be it a killed run's
            ray.init(address=address or "local", include_dashboard=False if address is None else None, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"no Ray cluster at {address!r}: {error}") from error
    try:
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        name = uuid.uuid4().hex

        def compute(batch: dict[str, Any]) -> dict[str, Any]:
            return _compute(name, work, batch)

        def run(sources: list[Any]) -> Iterator[Outcome]:
            if not sources:
                return
            batches = -(-len(sources) // size)
            workers = count or max(1, int(ray.cluster_resources().get("CPU", 1)))
            blocks = min(batches, max(-(-batches // BATCHES), 4 * workers), 4096)
            items = data.from_items([{"source": (source,)} for source in sources], override_num_blocks=blocks)
            pool = data.TaskPoolStrategy(size=count or None)
            with warnings.catch_warnings():  # Ray names no successor of this option yet, and without it a crash is repeated for ever
                warnings.filterwarnings("ignore", message=r"`ray_remote_args` is deprecated")
                results = items.map_batches(compute, batch_size=size, compute=pool, num_cpus=1, max_retries=REPETITIONS)
            try:
                for batch in results.iter_batches(batch_size=None):
                    for (outcome,) in batch["outcome"]:
                        if isinstance(outcome, FaceworksError):
                            raise outcome
                        yield outcome
            except ray.exceptions.RayError as error:
                raise FaceworksError(
                    f"the Ray cluster gave up a block of {size} pictures after {REPETITIONS} repetitions ({type(error).__name__}): a picture crashes its worker, "
                    "memory ran out, or the cluster lost what this run needs; what was written stays done, run again (executor='serial' finds the picture)"
                ) from error

        yield run
    finally:
        logger.setLevel(level)
        if ours:
            ray.shutdown()
