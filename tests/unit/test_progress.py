"""`batch.progress.watched`: progress for whoever is no terminal."""

from __future__ import annotations

import numpy as np
import pytest

from faceworks.batch import map_images
from faceworks.batch.progress import watched

PICTURES = [np.zeros((4, 4, 3), np.uint8)] * 5


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_every_picture_is_reported(executor: str) -> None:
    seen: list[tuple[int, int | None]] = []
    with watched(lambda done, total: seen.append((done, total))):
        assert len(list(map_images(lambda pictures: [0 for _ in pictures], PICTURES, executor))) == 5  # type: ignore[arg-type]
        list(map_images(lambda pictures: [0 for _ in pictures], iter(PICTURES[:2]), "serial"))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (1, None), (2, None)]
    list(map_images(lambda pictures: [0 for _ in pictures], PICTURES, "serial"))
    assert len(seen) == 7, "outside the block nothing is reported"


def test_what_the_watcher_raises_ends_the_run() -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with watched(stop), pytest.raises(KeyboardInterrupt):
        list(map_images(lambda pictures: [0 for _ in pictures], PICTURES, "serial"))
