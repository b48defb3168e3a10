"""Autoencoder: a network that draws its input from a short code; the code is used as an embedding, to see what it is worth as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ... import networks
from ...cards import Published
from ...errors import ConfigError
from ..config import TrainConfig
from ..distributed import Group
from ..samplers import Shuffled
from ..verification import all_pairs, figures, threshold_at
from . import Exported, Sampler
from .embedding import Raw, _first, _tuples, embedding_output, today
from .faces import apply_network, batch_pixels, load_crops, tensor

__all__ = ["AutoencoderTask"]


class _Step(nn.Module):
    """Pixels → mean squared error of the drawing. Labels play no part."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Any) -> tuple[Any, dict[str, Any]]:
        _, drawn = self.network(pixels)
        return nn.functional.mse_loss(drawn.float(), pixels), {}


class AutoencoderTask:
    """See `tasks.Task`. The best epoch is the one that draws held-out pictures best: people's labels are not used even there."""

    score = "drawing"

    def __init__(self, config: TrainConfig, folder: Path, group: Group, device: Any, report: Callable[[str], None]) -> None:
        self.config, self._device = config, device
        self._train, self._held = load_crops(config, folder, report, group.rank)
        self.skipped = tuple(dict.fromkeys((*self._train.skipped, *self._held.skipped)))
        self.network = networks.build(config.network.name, **_tuples(config.network.arguments)).to(device)
        found = self.network(tensor(self._held.pixels[:2], config.input, device))
        if not isinstance(found, tuple) or len(found) != 2:
            raise ConfigError(f"the task autoencoder needs a network that gives code and drawing (lenet-autoencoder), not {config.network.name}")
        self.dim = int(found[0].shape[1])
        self.step = _Step(self.network)

    def sampler(self, epoch: int) -> Sampler:
        """All pictures in a new order."""
        return Shuffled(len(self._train), self.config.run.batch, self.config.seed)

    def batch(self, places: NDArray[np.int64], rng: np.random.Generator) -> tuple[Any, ...]:
        """Pixels (N, C, H, W)."""
        return (batch_pixels(self._train, places, self.config, rng, self._device),)

    def _scores(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        codes = apply_network(self.network, self._held, self.config.input, self._device, _first)
        return all_pairs(codes.numpy(), np.asarray(self._held.pictures.labels[self.config.data.people or self.config.data.targets[0]], np.int64))

    def evaluate(self) -> dict[str, float]:
        """`drawing`: minus the mean squared error on held-out pictures; AUC, EER and TAR of their codes."""
        drawn = apply_network(self.network, self._held, self.config.input, self._device, lambda output: output[1])
        wanted = tensor(self._held.pixels, self.config.input, torch.device("cpu"))
        return {"drawing": -float(nn.functional.mse_loss(drawn, wanted)), **figures(*self._scores())}

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing."""

    def exported(self) -> Exported:
        """The encoder, as an embedder."""
        scores, same = self._scores()
        what = f"all pairs of held-out people ({len(self._held)} pictures) of the training data"
        published = tuple(Published(what, name, round(value, 6), "faceworks train") for name, value in figures(scores, same).items())
        threshold = threshold_at(scores, same, what, today())
        module = Raw(self.network)
        return Exported(
            module, "embed", "onnx", (embedding_output(self.dim, False),), (threshold,), published, f"{len(self._train)} pictures, no labels"
        )
