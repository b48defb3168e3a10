"""Embeddings: a network, a loss of `losses`, and held-out people."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ... import networks
from ...cards import OutputSpec, Published
from ...errors import ConfigError
from ..config import TrainConfig
from ..cutting import Crops
from ..distributed import Group, gather
from ..losses import LOSSES, build_loss
from ..mining import Triplets, mine_offline
from ..samplers import PeoplePictures, Shuffled, TripletBatches
from ..verification import PairsProtocol, all_pairs, figures, threshold_at
from . import Exported, Sampler
from .faces import apply_network, batch_pixels, load_crops

__all__ = ["EmbeddingTask", "Raw", "embedding_output", "today"]


def today() -> str:
    """The date, for cards."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


class Raw(nn.Module):
    """The network's first output alone."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Any) -> Any:
        """Embeddings (N, D)."""
        found = self.network(x)
        return found[0] if isinstance(found, tuple) else found


def embedding_output(dim: int, unit: bool) -> OutputSpec:
    """The card's output of an embedder; `unit`: the network divides by the length itself."""
    return OutputSpec("embedding", "embedding", tensor="embedding", dim=dim, normalize="inside" if unit else "l2")


class _Step(nn.Module):
    """Pixels and people → loss. Embeddings of all processes are gathered before they are compared, except triplets that were mined offline: each
    process has whole ones."""

    def __init__(self, network: Any, loss: Any, offline: bool) -> None:
        super().__init__()
        self.network, self.loss, self.offline = Raw(network), loss, offline

    def forward(self, pixels: Any, people: Any) -> tuple[Any, dict[str, Any]]:
        embeddings = self.network(pixels).float()
        if self.offline:
            n = len(embeddings) // 3
            places = torch.arange(n, device=embeddings.device)
            loss = self.loss(embeddings, people, Triplets(places, places + n, places + 2 * n))
        else:
            loss = self.loss(gather(embeddings), gather(people))
        terms = {"norm": embeddings.detach().norm(dim=1).mean()}
        if hasattr(self.loss, "mined"):
            terms["triplets"] = torch.tensor(float(self.loss.mined))
        return loss, terms


class EmbeddingTask:
    """See `tasks.Task`."""

    def __init__(self, config: TrainConfig, folder: Path, group: Group, device: Any, report: Callable[[str], None]) -> None:
        self.config, self._device, self._group = config, device, group
        self._train, self._held = load_crops(config, folder, report, group.rank)
        self.skipped = (*self._train.skipped, *(item for item in self._held.skipped if item not in self._train.skipped))
        target = config.data.targets[0]
        everyone = np.asarray(self._train.pictures.labels[target], np.int64)
        self._people = np.unique(everyone, return_inverse=True)[1].astype(np.int64)
        self._offline = config.loss.arguments.get("miner") == "offline"
        self.network = networks.build(config.network.name, **_tuples(config.network.arguments)).to(device)
        probe = apply_network(self.network, self._held.take(np.arange(1)), config.input, device, _first)
        self.dim = int(probe.shape[1])
        arguments = {key: value for key, value in config.loss.arguments.items() if not (self._offline and key == "miner")}
        if self._offline and config.loss.name != "triplet":
            raise ConfigError(f"triplets are mined offline for the loss triplet, not for {config.loss.name}")
        loss = build_loss(config.loss.name, int(self._people.max()) + 1, self.dim, **arguments)
        self.step = _Step(self.network, loss.to(device), self._offline).to(device)
        self._mined: tuple[int, Triplets] | None = None
        self._protocol = (
            PairsProtocol(config.pairs, config.input, config.data.detector, folder / f"crops-pairs-{group.rank}") if config.pairs else None
        )
        self.score = "pairs_accuracy" if self._protocol else "auc"

    def sampler(self, epoch: int) -> Sampler:
        """People x pictures where the configuration has them (or the loss compares pictures), else all in a new order."""
        run = self.config.run
        if self._offline:
            return TripletBatches([item.numpy() for item in self._offline_triplets(epoch)], run.batch, self.config.seed)
        if run.people:
            return PeoplePictures(self._people, run.people, run.pictures, self.config.seed, run.steps)
        if LOSSES[self.config.loss.name].pairs:
            pictures = 4
            return PeoplePictures(self._people, max(2, run.batch // pictures), pictures, self.config.seed, run.steps)
        return Shuffled(len(self._train), run.batch, self.config.seed)

    def _offline_triplets(self, epoch: int) -> Triplets:
        if self._mined is None or self._mined[0] != epoch:
            vectors = nn.functional.normalize(apply_network(self.network, self._train, self.config.input, self._device, _first))
            generator = torch.Generator().manual_seed(self.config.seed * 100_003 + epoch)
            # half the set: the farthest positive of all would be a mislabeled picture again and again (FaceNet, section 3.2)
            self._mined = epoch, mine_offline(vectors, torch.from_numpy(self._people), len(self._people) // 2, generator)
        return self._mined[1]

    def batch(self, places: NDArray[np.int64], rng: np.random.Generator) -> tuple[Any, ...]:
        """Pixels (N, C, H, W) and people (N,)."""
        pixels = batch_pixels(self._train, places, self.config, rng, self._device)
        return pixels, torch.from_numpy(self._people[places]).to(self._device)

    def _embed(self, crops: Crops) -> Any:
        return apply_network(self.network, crops, self.config.input, self._device, _first)

    def _scores(self, crops: Crops) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        label = self.config.data.people or self.config.data.targets[0]
        return all_pairs(self._embed(crops).numpy(), np.asarray(crops.pictures.labels[label], np.int64))

    def judge(self, crops: Crops) -> dict[str, float]:
        """AUC, EER and TAR at FMR 1 % of all pairs of these crops."""
        return figures(*self._scores(crops))

    def evaluate(self) -> dict[str, float]:
        """AUC, EER and TAR at FMR 1 % of all pairs of held-out people; the pairs protocol's accuracy and AUC where there is one."""
        found = self.judge(self._held)
        return found | self._protocol.evaluate(self._embed) if self._protocol else found

    def state(self) -> dict[str, Any]:
        """The triplets of this epoch, where they were mined offline."""
        return {} if self._mined is None else {"epoch": self._mined[0], "triplets": list(self._mined[1])}

    def restore(self, state: dict[str, Any]) -> None:
        """See `state`."""
        if state:
            self._mined = state["epoch"], Triplets(*state["triplets"])

    def exported(self) -> Exported:
        """An embedder: raw means before normalizing, unless the network normalizes itself."""
        scores, same = self._scores(self._held)
        people = len(np.unique(self._held.pictures.labels[self.config.data.people or self.config.data.targets[0]]))
        what = f"all pairs of {people} held-out people ({len(self._held)} pictures) of the training data"
        lengths = self._embed(self._held.take(np.arange(min(32, len(self._held))))).norm(dim=1)
        output = embedding_output(self.dim, bool(((lengths - 1).abs() < 1e-4).all()))
        published = tuple(Published(what, name, round(value, 6), "faceworks train") for name, value in figures(scores, same).items())
        data = f"{len(self._train)} pictures of {int(self._people.max()) + 1} people"
        return Exported(Raw(self.network), "embed", "onnx", (output,), (threshold_at(scores, same, what, today()),), published, data)


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def _tuples(arguments: Any) -> dict[str, Any]:
    """TOML's lists are tuples to networks (sizes)."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
