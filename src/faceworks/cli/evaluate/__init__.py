"""faceworks evaluate …: error rates of data sets, score files, calibrations, comparisons. `faceworks.evaluate` computes."""

from __future__ import annotations

from . import experiments, files, fusion, pairs, people  # noqa: F401 - they add their commands to the group
from .group import evaluate

__all__ = ["evaluate"]
