"""The queue in front of the models: bounded, fair, skips who hung up, and batches only where told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from faceworks.server.problems import Problem
from faceworks.server.queue import ModelQueue


def test_it_is_bounded_and_in_order() -> None:
    async def scene() -> None:
        queue, gate, seen = ModelQueue(1, 2), threading.Event(), []

        def work(item: int) -> int:
            gate.wait(5)
            seen.append(item)
            return item * 10

        tasks = [asyncio.create_task(queue.run(work, item)) for item in range(3)]
        await asyncio.sleep(0.05)
        assert (queue.running, queue.depth) == (1, 2)
        with pytest.raises(Problem) as refused:
            await queue.run(work, 9)
        assert refused.value.status == 503
        assert int(refused.value.headers["Retry-After"]) >= 1
        gate.set()
        assert await asyncio.gather(*tasks) == [0, 10, 20]
        assert seen == [0, 1, 2]
        await queue.drain()
        queue.close()

    asyncio.run(scene())


def test_who_hung_up_is_skipped() -> None:
    async def scene() -> None:
        queue, gate, seen = ModelQueue(1, 5), threading.Event(), []

        def work(item: int) -> None:
            gate.wait(5)
            seen.append(item)

        tasks = [asyncio.create_task(queue.run(work, item)) for item in range(3)]
        await asyncio.sleep(0.05)
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert queue.depth == 1
        gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert seen == [0, 2]
        queue.close()

    asyncio.run(scene())


def test_slots_work_at_the_same_time() -> None:
    async def scene() -> None:
        queue, both = ModelQueue(2, 5), threading.Barrier(2, timeout=5)
        await asyncio.gather(*[queue.run(lambda _: both.wait(), None) for _ in range(2)])
        queue.close()

    asyncio.run(scene())


def test_alike_calls_travel_together_and_errors_stay_with_their_owner() -> None:
    async def scene() -> None:
        queue, gate, sizes = ModelQueue(1, 20), threading.Event(), []
        queue.batch = 4

        def one(item: int) -> int:
            if item == 3:
                raise ValueError(item)
            return item

        def together(items: Sequence[int]) -> list[int]:
            sizes.append(len(items))
            return [one(item) for item in items]

        first = asyncio.create_task(queue.run(lambda _: gate.wait(5), None))
        await asyncio.sleep(0.02)
        calls = [asyncio.create_task(queue.run(one, item, together=together, kind="k")) for item in range(8)]
        other = asyncio.create_task(queue.run(one, 100, together=together, kind="other"))
        await asyncio.sleep(0.02)
        gate.set()
        await first
        answers = await asyncio.gather(*calls, other, return_exceptions=True)
        assert [a for a in answers if not isinstance(a, Exception)] == [0, 1, 2, 4, 5, 6, 7, 100]
        assert isinstance(answers[3], ValueError)
        assert max(sizes) == 4
        queue.close()

    asyncio.run(scene())


def test_without_a_gain_nothing_travels_together() -> None:
    async def scene() -> None:
        queue, start = ModelQueue(1, 20), time.monotonic()
        answers = await asyncio.gather(*[queue.run(lambda item: item, item, together=lambda _: 1 / 0, kind="k") for item in range(5)])
        assert answers == list(range(5))
        assert time.monotonic() - start < 5
        queue.close()

    asyncio.run(scene())
