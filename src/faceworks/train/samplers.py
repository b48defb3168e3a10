"""Which pictures make a batch. A sampler is a function of (seed, epoch) alone: a run that goes on after a break draws what it would have drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

__all__ = ["PeoplePictures", "Shuffled", "TripletBatches"]

Places = NDArray[np.int64]


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch])


@dataclass(frozen=True, slots=True)
class Shuffled:
    """All n pictures in a new order each epoch, `batch` at a time; what is left over at the end waits for another epoch's order (a batch of one or two
    would spoil batch normalization), unless there is nothing else."""

    n: int
    batch: int
    seed: int

    def __len__(self) -> int:
        return max(1, self.n // self.batch)

    def batches(self, epoch: int) -> Iterator[Places]:
        """Places of each batch of an epoch."""
        order = _generator(self.seed, epoch).permutation(self.n)
        for k in range(len(self)):
            yield order[k * self.batch : (k + 1) * self.batch].astype(np.int64)


class PeoplePictures:
    """P people x K pictures: the batches of FaceNet and of batch-hard mining. Each batch draws P people without repetition, and K pictures of each,
    without repetition where the person has so many (else all, some of them twice).

    Args:
        labels: (N,) person of each picture.
        people, pictures: P and K.
        steps: batches of an epoch; 0: as many as go through N pictures.

    Raises:
        ConfigError: fewer than P people, or nobody with two pictures.
    """

    def __init__(self, labels: Places, people: int, pictures: int, seed: int, steps: int = 0) -> None:
        self._of = [np.flatnonzero(labels == person) for person in np.unique(labels)]
        if len(self._of) < people:
            raise ConfigError(f"a batch of {people} people needs as many to draw from, got {len(self._of)}")
        if max(map(len, self._of)) < 2:
            raise ConfigError("nobody has two pictures: no pair of one person can be drawn")
        self.people, self.pictures, self.seed = people, pictures, seed
        self._steps = steps or max(1, len(labels) // (people * pictures))

    def __len__(self) -> int:
        return self._steps

    def batches(self, epoch: int) -> Iterator[Places]:
        """Places of each batch of an epoch: K of the first person, K of the second, …"""
        rng = _generator(self.seed, epoch)
        for _ in range(len(self)):
            rows = []
            for person in rng.choice(len(self._of), self.people, replace=False):
                own = self._of[person]
                whole, rest = divmod(self.pictures, len(own))
                rows.append(np.concatenate([*[own] * whole, rng.choice(own, rest, replace=False)]))
            yield np.concatenate(rows).astype(np.int64)


class TripletBatches:
    """Triplets that were mined offline, shuffled, `batch` // 3 at a time; a batch is all its anchors, then its positives, then its negatives."""

    def __init__(self, triplets: Sequence[Places], batch: int, seed: int) -> None:
        self._triplets = np.stack([np.asarray(item, np.int64) for item in triplets], axis=1)
        self.size, self.seed = max(1, batch // 3), seed

    def __len__(self) -> int:
        return max(1, len(self._triplets) // self.size)

    def batches(self, epoch: int) -> Iterator[Places]:
        """Places of each batch of an epoch."""
        order = _generator(self.seed, epoch).permutation(len(self._triplets))
        for k in range(len(self)):
            yield self._triplets[order[k * self.size : (k + 1) * self.size]].T.reshape(-1)
