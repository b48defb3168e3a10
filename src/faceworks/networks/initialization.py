"""How fresh networks begin."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

__all__ = ["he", "normal"]


def _norms(module: Any) -> None:
    """Scale 1 and shift 0 for every normalization layer that has them."""
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d)) and module.affine:
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def he(network: Any, slope: float = 0.0, fan: Literal["fan_in", "fan_out"] = "fan_out") -> None:
    """He et al. 2015 (https://arxiv.org/abs/1502.01852): normal with variance 2 / ((1 + slope²) · fan), biases 0.

    `fan_in` (eq. 10) keeps the size of the activations from layer to layer, `fan_out` (eq. 14) that of the gradients. They differ most at both ends: by fan out a
    one-channel picture all but vanishes in the first layer, and the few classes of the last one get weights of 0.5. Normalization layers undo
    both; a plain stack needs `fan_in`.
    """
    for module in network.modules():
        _norms(module)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, a=slope, mode=fan)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def normal(network: Any, std: float) -> None:
    """Normal with a fixed deviation for convolutions and linear layers, biases 0."""
    for module in network.modules():
        _norms(module)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
