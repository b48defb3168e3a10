"""Who takes up jobs in a worker: a few at a time, each in a process of its own; stopped when they are canceled, too slow, or the service stops."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import jobs
from .work import perform

if TYPE_CHECKING:
    from .state import State

__all__ = ["Crew"]

log = logging.getLogger("faceworks.server")
PAUSE, BEAT = 0.25, 3.0


@dataclass(slots=True)
class _Running:
    id: str
    process: Any
    began: float
    beaten: float


class Crew:
    """The jobs of this worker. `run` is a task of the event loop."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._running: list[_Running] = []

    async def run(self) -> None:
        """Take up and watch jobs until canceled; then stop them and put them back into the line."""
        try:
            while True:
                await asyncio.sleep(PAUSE)
                try:
                    await self._look()
                except (OSError, sqlite3.OperationalError) as error:  # no process can be begun, or the store is locked: look again
                    log.error("jobs: %s", error)
        finally:
            for item in self._running:
                await asyncio.to_thread(_stop, item.process)
                await self._state.store.call(jobs.release, self._state.store, item.id)

    async def _look(self) -> None:
        state, now = self._state, time.time()
        for item in list(self._running):
            if not item.process.is_alive():
                self._running.remove(item)
                # one that ended well has said so itself
                await state.store.call(jobs.finish, state.store, item.id, {"status": 500, "detail": "the job's process ended without an answer"})
                item.process.join()
            elif now - item.began > state.options.job_timeout:
                await asyncio.to_thread(_stop, item.process)
                await state.store.call(
                    jobs.finish, state.store, item.id, {"status": 504, "detail": f"not done in {state.options.job_timeout:g} seconds"}
                )
            elif now - item.beaten > BEAT or now - item.began < BEAT:
                item.beaten = now
                if not await state.store.call(jobs.beat, state.store, item.id, now):
                    await asyncio.to_thread(_stop, item.process)
        while len(self._running) < state.options.job_slots and not state.draining:
            job = await state.store.call(jobs.claim, state.store, now)
            if job is None:
                break
            process = multiprocessing.get_context("spawn").Process(target=perform, args=(state.options, state.settings, job.id), daemon=True)
            await asyncio.to_thread(process.start)
            self._running.append(_Running(job.id, process, now, now))
        state.metrics.gauges["jobs_running"] = len(self._running)


def _stop(process: Any) -> None:
    process.terminate()
    process.join(5)
    if process.is_alive():
        process.kill()
        process.join(5)
