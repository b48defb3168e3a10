"""The bounded queue in front of the models.

As many requests work at once as there are cores, each on networks of one thread (two sessions that share cores end up slower than one); some more
wait, the next is refused at once with 503: a wait that is longer than the client's patience is work for nobody. Whoever hung up while waiting is
skipped. Requests of one kind may travel together where a probe at the start showed that the network gains by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from .problems import Problem, retry

__all__ = ["ModelQueue"]


@dataclass(slots=True, eq=False)
class _Item:
    """One call that waits or runs. `together` may stand for equal items: it takes the first arguments of all and returns their answers."""

    function: Callable[..., Any]
    argument: Any
    together: Callable[[Sequence[Any]], Sequence[Any]] | None
    kind: Hashable
    future: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ModelQueue:
    """At most `slots` calls at once, at most `waiting` more in line.

    Args:
        around: entered in the worker thread around every call.

    Attributes:
        slots, waiting: the bounds. batch: most calls that travel together, 1 = none.
        running, peak: calls at work now, and the most that ever waited.
    """

    def __init__(self, slots: int, waiting: int, around: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext) -> None:
        self.slots, self.waiting, self.batch = slots, waiting, 1
        self.running = self.peak = 0
        self._seconds = 0.05  # running mean of one call, for Retry-After
        self._line: deque[_Item] = deque()
        self._pool = ThreadPoolExecutor(slots, "faceworks-model")
        self._around = around
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def depth(self) -> int:
        """Calls in line."""
        return sum(not item.future.done() for item in self._line)

    async def run(self, function: Callable[[Any], Any], argument: Any, *, together: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
                  kind: Hashable = None) -> Any:  # fmt: skip
        """`function(argument)` in a worker thread, after those that came before.

        Raises:
            Problem: 503 with Retry-After: the line is full. And whatever the function raises.
        """
        if self.depth >= self.waiting:
            seconds = self._seconds * (self.waiting + self.running) / self.slots
            raise Problem(503, f"{self.waiting} requests are waiting for a model; come back later", "busy", retry(seconds))
        item = _Item(function, argument, together, kind)
        self._line.append(item)
        self.peak = max(self.peak, self.depth)
        self._start()
        try:
            return await item.future
        finally:
            item.future.cancel()  # whoever hung up, or ran out of time, is skipped

    async def drain(self) -> None:
        """Wait until nothing runs or waits."""
        await self._idle.wait()

    def close(self) -> None:
        """End the threads when they have finished what they do."""
        self._pool.shutdown(wait=True)

    def _start(self) -> None:
        while self.running < self.slots and (items := self._next()):
            self.running += 1
            self._idle.clear()
            asyncio.get_running_loop().create_task(self._work(items))

    def _next(self) -> list[_Item]:
        while self._line:
            first = self._line.popleft()
            if first.future.done():
                continue
            items = [first]
            if first.together is not None and self.batch > 1:
                alike = [item for item in self._line if item.kind == first.kind and item.together and not item.future.done()][: self.batch - 1]
                items += alike
                for item in alike:
                    self._line.remove(item)
            return items
        return []

    async def _work(self, items: list[_Item]) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            answers = await loop.run_in_executor(self._pool, functools.partial(self._call, items))
            for item, (value, error) in zip(items, answers, strict=True):
                if item.future.done():
                    continue
                if error is None:
                    item.future.set_result(value)
                else:
                    item.future.set_exception(error)
        finally:
            self._seconds += 0.1 * ((loop.time() - start) / len(items) - self._seconds)
            self.running -= 1
            self._start()
            if not self.running and not self._line:
                self._idle.set()

    def _call(self, items: list[_Item]) -> list[tuple[Any, BaseException | None]]:
        """In a worker thread. A batch that fails is done again one by one: the error belongs to one of them."""
        with self._around():
            if len(items) > 1 and items[0].together is not None:
                with contextlib.suppress(Exception):  # an error is found out below, each for itself
                    return [(value, None) for value in items[0].together([item.argument for item in items])]
            return [self._single(item) for item in items]

    def _single(self, item: _Item) -> tuple[Any, BaseException | None]:
        try:
            return item.function(item.argument), None
        except Exception as error:  # noqa: BLE001 - it is raised where the caller waits
            return None, error
