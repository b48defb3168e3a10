"""What is learned: embeddings, classes, drawing (autoencoder), detection. A task holds network, data and loss; the loop knows none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...cards import OutputSpec, Published, Threshold
from ...plugins import resolve
from ..config import TrainConfig
from ..distributed import Group

__all__ = ["TASKS", "Exported", "Sampler", "Task", "build_task"]

TASKS = {
    "embedding": "faceworks.train.tasks.embedding:EmbeddingTask",
    "classes": "faceworks.train.tasks.classes:ClassesTask",
    "autoencoder": "faceworks.train.tasks.autoencoder:AutoencoderTask",
    "detection": "faceworks.train.tasks.detection:DetectionTask",
}


class Sampler(Protocol):
    """Draws batches; see `samplers`."""

    def __len__(self) -> int: ...
    def batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """Places of each batch of an epoch."""
        ...


@dataclass(frozen=True, slots=True)
class Exported:
    """What the exporter needs: a module of one input, its card's entries, and what the data were in a line.

    `free_sizes`: height and width may vary. `decode`: the card's `[decode]`.
    """

    module: Any
    task: str
    adapter: str
    outputs: tuple[OutputSpec, ...]
    thresholds: tuple[Threshold, ...] = ()
    published: tuple[Published, ...] = ()
    data: str = ""
    free_sizes: bool = False
    decode: Any = None


class Task(Protocol):
    """`step` is an `nn.Module`: batch tensors → (loss scalar, {name of a term: scalar}). `network` lies inside it. `score` names the figure of `evaluate`
    that tells which epoch is best, higher is better. `skipped` are (name, reason) of pictures left out."""

    step: Any
    network: Any
    score: str
    skipped: tuple[tuple[str, str], ...]

    def sampler(self, epoch: int) -> Sampler:
        """What draws the batches of an epoch."""
        ...

    def batch(self, places: NDArray[np.int64], rng: np.random.Generator) -> tuple[Any, ...]:
        """Tensors of a batch, changed at random."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Figures on held-out pictures."""
        ...

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep besides weights."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        ...

    def exported(self) -> Exported:
        """What the exporter needs."""
        ...


def build_task(config: TrainConfig, folder: Path, group: Group, device: Any, report: Callable[[str], None]) -> Task:
    """Read and cut the data, build network and loss.

    Args:
        folder: of the run.
        group: the processes; all build the same.
        device: torch's.
        report: takes lines for the user.
    """
    task: Task = resolve(TASKS[config.task])(config, folder, group, device, report)
    return task
