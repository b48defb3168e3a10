"""The optimizer and its learning rate, which is a function of how far the run is and nothing else: there is no schedule to save."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .config import OptimizerConfig

__all__ = ["build_optimizer", "rate_at"]


def rate_at(options: OptimizerConfig, progress: float, epochs: int) -> float:
    """Learning rate after `progress` epochs (with a fraction) of `epochs`: warmup first, then the schedule over what is left."""
    if options.warmup and progress < options.warmup:
        return options.rate * (progress + 1e-3) / (options.warmup + 1e-3)
    if options.schedule == "cosine":
        span = max(epochs - options.warmup, 1e-9)
        return options.rate * (1 + math.cos(math.pi * min((progress - options.warmup) / span, 1.0))) / 2
    if options.schedule == "steps":
        return float(options.rate * options.factor ** sum(progress >= milestone for milestone in options.milestones))
    return options.rate


def build_optimizer(options: OptimizerConfig, module: Any) -> Any:
    """Optimizer over a module; biases, normalization and PReLU are not decayed (they are few and set a scale)."""
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.PReLU, nn.InstanceNorm2d)
    bare = {id(item) for part in module.modules() if isinstance(part, norms) for item in part.parameters()}
    decayed: list[Any] = []
    plain: list[Any] = []
    for item in module.parameters():
        if item.requires_grad:
            (plain if id(item) in bare or item.ndim <= 1 else decayed).append(item)
    groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if options.name == "sgd":
        return torch.optim.SGD(groups, lr=options.rate, momentum=options.momentum)
    kind = torch.optim.Adam if options.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=options.rate)
