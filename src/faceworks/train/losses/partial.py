"""Partial FC: compare with a sampled share of the classes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ...errors import ConfigError
from .margin import Classified, Softmax

__all__ = ["PartialFC"]


class PartialFC(nn.Module):
    """A classification loss over the batch's own people and a random part of the others (An et al. 2022, https://arxiv.org/abs/2203.15565, section 3.2).

    With C people, the softmax of a step runs over ⌈r C⌉ rows: all those of the batch (even where they are more) and others drawn anew each step. The
    gradient reaches the drawn rows alone; memory and time of the logits fall by 1/r. In eval mode all rows count.

    Args:
        loss: a loss of `margin` or `adaptive`; softmax, which has a bias, cannot be sampled.
        rate: r, in (0, 1].
    """

    def __init__(self, loss: Classified, rate: float = 0.1) -> None:
        super().__init__()
        if not isinstance(loss, Classified) or isinstance(loss, Softmax):
            raise ConfigError(f"partial FC samples the rows of a margin loss, got {type(loss).__name__}")
        if not 0 < rate <= 1:
            raise ConfigError(f"partial FC's rate lies in (0, 1], got {rate}")
        self.loss, self.rate = loss, rate

    def sample(self, labels: Any) -> Any:
        """Sorted classes of this step, (S,) int64, drawn with torch's generator: every process of a group must hold it in the same state."""
        classes = len(self.loss.weight)
        chosen = torch.zeros(classes, dtype=torch.bool)
        chosen[labels.cpu()] = True
        wanted = max(math.ceil(self.rate * classes), int(chosen.sum()))
        order = torch.rand(classes)
        order[chosen] = 2.0
        return order.topk(wanted).indices.sort().values.to(labels.device)

    def forward(self, embeddings: Any, labels: Any) -> Any:
        """Scalar from (N, D) and (N,)."""
        if not self.training:
            return self.loss(embeddings, labels)
        drawn = self.sample(labels)
        return nn.functional.cross_entropy(
            self.loss.logits(embeddings, torch.searchsorted(drawn, labels), self.loss.weight[drawn]), torch.searchsorted(drawn, labels)
        ) + self.loss.extra(embeddings)
