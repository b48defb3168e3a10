"""faceworks evaluate …: error rates of data sets, score files, calibrations, comparisons. `faceworks.evaluate` computes."""

from __future__ import annotations

from . import fusion  # noqa: F401 - it adds its command to the group
from .group import evaluate

__all__ = ["evaluate"]
