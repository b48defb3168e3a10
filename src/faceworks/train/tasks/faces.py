"""What tasks on face crops share: reading, cutting, splitting, and making tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...cards import InputSpec
from ...runtime import to_blob
from ..augment import augment
from ..config import TrainConfig
from ..cutting import Crops, cut
from ..sources import read
from ..splits import limit, split

__all__ = ["apply_network", "load_crops", "tensor"]

_EVALUATION_BATCH = 128
_REPORTED = 5000


def load_crops(config: TrainConfig, folder: Path, report: Callable[[str], None], rank: int = 0) -> tuple[Crops, Crops]:
    """Training and held-out crops. The split is drawn before anything is left out, so that a part of the data (`most_people`) is judged on the same
    held-out pictures as the whole. Each process (`rank`) keeps crops that are too many for the memory in a file of its own: none reads what another is
    still writing."""
    pictures = read(config.data)
    held = split(pictures, config.data, config.seed)
    sides = []
    for name, part in (("train", limit(pictures.take(~held), config.data, config.seed)), ("held-out", pictures.take(held))):

        def moved(done: int, total: int, name: str = name) -> None:
            if done % _REPORTED == 0:
                report(f"{name}: {done} of {total} pictures cut")

        spoiled = {"jpeg_quality": config.data.jpeg_quality, "shrink": config.data.shrink}
        sides.append(cut(part, config.input, config.data.detector, folder=folder / f"crops-{name}-{rank}", report=moved, **spoiled))
    skipped = [item for side in sides for item in side.skipped]
    if pictures.variant:
        report(pictures.variant)
    report(f"{len(sides[0])} pictures to train on, {len(sides[1])} held out, {len(set(skipped))} skipped")
    return sides[0], sides[1]


def tensor(pixels: NDArray[np.uint8], entry: InputSpec, device: Any) -> Any:
    """(N, H, W, 3) uint8 RGB → (N, C, H, W) float32, as the card's `[[input]]` says."""
    return torch.from_numpy(to_blob(list(pixels), entry)).to(device)


def batch_pixels(crops: Crops, places: NDArray[np.int64], config: TrainConfig, rng: np.random.Generator, device: Any) -> Any:
    """Crops at these places, changed at random, as a tensor."""
    return tensor(augment(crops.pixels[places], config.augment, rng), config.input, device)


def apply_network(network: Any, crops: Crops, entry: InputSpec, device: Any, take: Callable[[Any], Any] = lambda output: output) -> Any:
    """Outputs (N, …) float32 on the CPU of the network in eval mode; its mode is as before afterwards. `take` picks one of several outputs."""
    training = network.training
    network.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(crops), _EVALUATION_BATCH):
            parts.append(take(network(tensor(crops.pixels[start : start + _EVALUATION_BATCH], entry, device))).float().cpu())
    network.train(training)
    return torch.cat(parts)
