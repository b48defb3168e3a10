"""The work of `map_images` on a Ray cluster: Ray Data over a pool of actors. The only module that speaks Ray.

Ray places the actors, holds back what a slow consumer cannot take, restarts actors that die and repeats what a lost machine had not handed over. Blocks are
given back in the order of the sources.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import settings
from ..errors import ConfigError, FaceworksError
from ..optional import require
from .pool import Outcome, Work

__all__ = ["open_cluster"]


def _actor(work: Work) -> type:
    """The class of the pool's processes: each opens the pipeline once. `work` travels inside it, so that a restarted actor always has it."""

    class Actor:
        def __init__(self) -> None:
            self.run: Any = None

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            with settings.use(work.settings):
                try:
                    if self.run is None:
                        self.run = work.open()
                    outcomes: list[Any] = self.run([source for (source,) in batch["source"]])
                except FaceworksError as error:  # nobody's picture: the driver shall end the run with this very error, which Ray would wrap
                    outcomes = [error] * len(batch["source"])
            return {"outcome": _column(outcomes)}

    return Actor


def _column(values: list[Any]) -> Any:
    """Values as a column of Python objects, each wrapped, since NumPy would spread tuples over a second axis."""
    column = np.empty(len(values), object)
    column[:] = [(value,) for value in values]
    return column


@contextlib.contextmanager
def open_cluster(work: Work, count: int, size: int, address: str | None) -> Iterator[Callable[[list[Any]], Iterator[Outcome]]]:
    """Yields `run(sources)`, which gives an outcome for each source, in order. `count` actors, 0: one for each processor of the cluster.

    Raises:
        ConfigError: no cluster at the address.
        MissingDependency: without the extra `ray`.
    """
    ray, data = require("ray", "ray", "the executor 'ray'"), require("ray.data", "ray", "the executor 'ray'")
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)  # plans and timings of each run
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"no Ray cluster at {address!r}: {error}") from error
    try:
        actors = count or max(1, int(ray.cluster_resources().get("CPU", 1)))
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False

        def run(sources: list[Any]) -> Iterator[Outcome]:
            if not sources:
                return
            # One block a batch, up to some thousands: what a killed actor costs, and the grain at which results flow back.
            blocks = max(1, min(-(-len(sources) // size), 4096))
            items = data.from_items([{"source": (source,)} for source in sources], override_num_blocks=blocks)
            pool = data.ActorPoolStrategy(size=min(actors, blocks))
            for batch in items.map_batches(_actor(work), batch_size=size, compute=pool, num_cpus=1).iter_batches(batch_size=None):
                for (outcome,) in batch["outcome"]:
                    if isinstance(outcome, FaceworksError):
                        raise outcome
                    yield outcome

        yield run
    finally:
        logger.setLevel(level)
        if ours:
            ray.shutdown()
