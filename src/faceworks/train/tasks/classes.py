"""Classes and values of faces: emotion, age group, gender, age in years; several at once share one network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ... import networks
from ...cards import OutputSpec, Published
from ...errors import InputError
from ..config import TrainConfig
from ..cutting import Crops
from ..distributed import Group
from ..samplers import Shuffled
from . import Exported, Sampler
from .embedding import _tuples
from .faces import apply_network, batch_pixels, load_crops

__all__ = ["ClassesTask", "Target", "class_figures"]

_KEYS = {"age_group": "age_band"}
"""Labels of data sets that `analyze` knows by another name."""


@dataclass(frozen=True, slots=True)
class Target:
    """One label that is learned: columns `start` to `stop` of the network's output; a value has one column, in units of `spread` about `center`."""

    name: str
    start: int
    stop: int
    classes: tuple[str, ...] = ()
    center: float = 0.0
    spread: float = 1.0


def _targets(config: TrainConfig, crops: Crops) -> tuple[Target, ...]:
    found: list[Target] = []
    start = 0
    for name in config.data.targets:
        classes, values = crops.pictures.classes.get(name, ()), crops.pictures.labels[name]
        if classes:
            known = np.unique(values[values >= 0])
            if len(known) < 2:
                raise InputError(f"{crops.pictures.source}: the training pictures show {len(known)} class of {name}; two at least are learned")
            found.append(Target(name, start, start + len(classes), tuple(classes)))
        else:
            known = values[~np.isnan(values)]
            if len(known) < 2 or known.std() == 0:
                raise InputError(f"{crops.pictures.source}: {name} has no two different values to learn")
            found.append(Target(name, start, start + 1, (), float(known.mean()), float(known.std())))
        start = found[-1].stop
    return tuple(found)


class _Step(nn.Module):
    """Pixels and one column of labels for each target → sum of cross entropies (classes) and smooth L1 losses (values); unknown labels do not count."""

    def __init__(self, network: Any, targets: tuple[Target, ...]) -> None:
        super().__init__()
        self.network, self.targets = network, targets

    def forward(self, pixels: Any, *labels: Any) -> tuple[Any, dict[str, Any]]:
        outputs = self.network(pixels).float()
        total, terms = outputs.sum() * 0.0, {}
        for target, values in zip(self.targets, labels, strict=True):
            part = outputs[:, target.start : target.stop]
            known = values >= 0 if target.classes else ~torch.isnan(values)
            if not known.any():
                continue
            if target.classes:
                loss = nn.functional.cross_entropy(part[known], values[known])
            else:
                loss = nn.functional.smooth_l1_loss(part[known, 0], (values[known] - target.center) / target.spread)
            terms[target.name] = loss.detach()
            total = total + loss
        return total, terms


class _Parts(nn.Module):
    """The network's output, cut into one for each target."""

    def __init__(self, network: Any, targets: tuple[Target, ...]) -> None:
        super().__init__()
        self.network, self.targets = network, targets

    def forward(self, x: Any) -> Any:
        """(N, classes) logits or (N, 1) standardized value, for each target."""
        outputs = self.network(x)
        parts = tuple(outputs[:, target.start : target.stop] for target in self.targets)
        return parts if len(parts) > 1 else parts[0]


def class_figures(name: str, predicted: NDArray[np.int64], truth: NDArray[np.int64], trained_on: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy with its standard error, balanced accuracy, and the accuracy of always saying the commonest class of the training pictures."""
    known = truth >= 0
    right = (predicted == truth)[known]
    n, share = len(right), float(right.mean())
    recalls = [right[truth[known] == value].mean() for value in np.unique(truth[known])]
    common = np.bincount(trained_on[trained_on >= 0]).argmax()
    return {
        f"{name}_accuracy": share,
        f"{name}_stderr": float(np.sqrt(share * (1 - share) / n)),
        f"{name}_balanced": float(np.mean(recalls)),
        f"{name}_majority": float((truth[known] == common).mean()),
    }


class ClassesTask:
    """See `tasks.Task`. The best epoch has the highest `score`: the mean over targets of accuracy, or of 1 − error / error of the mean for values."""

    score = "score"

    def __init__(self, config: TrainConfig, folder: Path, group: Group, device: Any, report: Callable[[str], None]) -> None:
        self.config, self._device = config, device
        self._train, self._held = load_crops(config, folder, report, group.rank)
        self.skipped = tuple(dict.fromkeys((*self._train.skipped, *self._held.skipped)))
        self.targets = _targets(config, self._train)
        self.network = networks.build(config.network.name, classes=self.targets[-1].stop, **_tuples(config.network.arguments)).to(device)
        self.step = _Step(self.network, self.targets)

    def sampler(self, epoch: int) -> Sampler:
        """All pictures in a new order."""
        return Shuffled(len(self._train), self.config.run.batch, self.config.seed)

    def batch(self, places: NDArray[np.int64], rng: np.random.Generator) -> tuple[Any, ...]:
        """Pixels (N, C, H, W) and a column (N,) of labels for each target."""
        pixels = batch_pixels(self._train, places, self.config, rng, self._device)
        columns = [torch.from_numpy(np.asarray(self._train.pictures.labels[item.name])[places]) for item in self.targets]
        return (
            pixels,
            *(
                column.to(self._device) if item.classes else column.float().to(self._device)
                for item, column in zip(self.targets, columns, strict=True)
            ),
        )

    def evaluate(self) -> dict[str, float]:
        """For each class target accuracy, its standard error, balanced accuracy and the majority's; for each value the mean absolute error and that of the
        training mean."""
        outputs = apply_network(self.network, self._held, self.config.input, self._device).numpy()
        found: dict[str, float] = {}
        scores = []
        for target in self.targets:
            truth, before = self._held.pictures.labels[target.name], self._train.pictures.labels[target.name]
            part = outputs[:, target.start : target.stop]
            if target.classes:
                found |= class_figures(target.name, part.argmax(axis=1), np.asarray(truth, np.int64), np.asarray(before, np.int64))
                scores.append(found[f"{target.name}_accuracy"])
            else:
                known = ~np.isnan(truth)
                error = np.abs(part[known, 0] * target.spread + target.center - truth[known]).mean()
                flat = np.abs(target.center - truth[known]).mean()
                found |= {f"{target.name}_mae": float(error), f"{target.name}_mae_of_mean": float(flat)}
                scores.append(1 - error / flat)
        return {"score": float(np.mean(scores)), **found}

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing."""

    def exported(self) -> Exported:
        """An attribute model with an output for each target."""
        what = f"{len(self._held)} held-out pictures of the training data"
        published = tuple(Published(what, name, round(value, 6), "faceworks train") for name, value in self.evaluate().items() if name != "score")
        outputs = []
        for target in self.targets:
            if target.classes:
                outputs.append(
                    OutputSpec(
                        target.name,
                        "classes",
                        attribute=_KEYS.get(target.name, target.name),
                        tensor=target.name,
                        labels=target.classes,
                        activation="softmax",
                    )
                )
            else:
                outputs.append(
                    OutputSpec(target.name, "value", attribute=target.name, tensor=target.name, unit="years" if target.name == "age" else "",
                               scale=target.spread, offset=target.center)
                )  # fmt: skip
        module = _Parts(self.network, self.targets)
        return Exported(module, "attribute", "onnx", tuple(outputs), (), published, f"{len(self._train)} pictures")
