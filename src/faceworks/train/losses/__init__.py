"""Losses as plain modules: `forward(embeddings (N, D), labels (N,)) -> scalar`; each docstring is its equation. `LOSSES` holds strings, so that
importing this package imports no torch.

Notation: xᵢ an embedding, yᵢ its person, Wⱼ the row of person j (classification losses learn it), θⱼ the angle between xᵢ and Wⱼ, s the scale
(radius of the sphere), N the number of embeddings. Angular margins are in **radians**, cosine margins are differences of **cosines**.
"""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError
from ...optional import require
from ...plugins import resolve

__all__ = ["LOSSES", "LossKind", "build_loss"]


@dataclass(frozen=True, slots=True)
class LossKind:
    """Where a loss is, and whether it learns a row for each person (`classes`) or compares pictures with each other."""

    where: str
    classes: bool
    pairs: bool = False


LOSSES = {
    "contrastive": LossKind("faceworks.train.losses.pair:Contrastive", classes=False, pairs=True),
    "triplet": LossKind("faceworks.train.losses.pair:Triplet", classes=False, pairs=True),
    "circle": LossKind("faceworks.train.losses.pair:Circle", classes=False, pairs=True),
    "center": LossKind("faceworks.train.losses.center:SoftmaxCenter", classes=True),
    "softmax": LossKind("faceworks.train.losses.margin:Softmax", classes=True),
    "normface": LossKind("faceworks.train.losses.margin:NormFace", classes=True),
    "sphereface": LossKind("faceworks.train.losses.margin:SphereFace", classes=True),
    "cosface": LossKind("faceworks.train.losses.margin:CosFace", classes=True),
    "arcface": LossKind("faceworks.train.losses.margin:ArcFace", classes=True),
    "combined": LossKind("faceworks.train.losses.margin:CombinedMargin", classes=True),
    "curricularface": LossKind("faceworks.train.losses.adaptive:CurricularFace", classes=True),
    "magface": LossKind("faceworks.train.losses.adaptive:MagFace", classes=True),
    "adaface": LossKind("faceworks.train.losses.adaptive:AdaFace", classes=True),
}
"""Loss name → where it is. `partial` (a sampled share of the classes) is an argument of every loss that learns rows."""


def build_loss(name: str, classes: int, dim: int, partial: float = 1.0, **arguments: Any) -> Any:
    """A new loss module.

    Args:
        name: key of `LOSSES`.
        classes: number of people; used by losses that learn a row for each.
        dim: length of an embedding.
        partial: share of the classes that a step compares with (`PartialFC`); 1 means all.
        arguments: the loss's own (`margin`, `scale`, …).

    Raises:
        ConfigError: no such loss, arguments that it does not take, or `partial` for a loss without rows.
    """
    if name not in LOSSES:
        near = difflib.get_close_matches(name, LOSSES, n=3)
        raise ConfigError(f"no loss is called {name!r}; {'did you mean ' + ', '.join(near) + '?' if near else 'known: ' + ', '.join(LOSSES)}")
    require("torch", "train", f"the loss {name}")
    kind = LOSSES[name]
    builder = resolve(kind.where)
    known = set(inspect.signature(builder).parameters) - {"classes", "dim"}
    if unknown := set(arguments) - known:
        raise ConfigError(f"the loss {name} takes {', '.join(sorted(known))}, got {', '.join(sorted(unknown))}")
    loss = builder(classes, dim, **arguments) if kind.classes else builder(**arguments)
    if partial == 1.0:
        return loss
    if not kind.classes or name == "center":
        raise ConfigError(f"partial = {partial} samples the rows of a classification loss; {name} cannot be sampled")
    return resolve("faceworks.train.losses.partial:PartialFC")(loss, partial)
