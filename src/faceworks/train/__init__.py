"""Training: from an equation to a model that `verify --embedder my-model` runs. PyTorch (`pip install 'faceworks[train]'`) is spoken here.

    from faceworks.train import read_config, train
    result = train(read_config("examples/train/triplet.toml"), out="runs/triplet")

Importing this package imports no torch: names are resolved when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..optional import require

if TYPE_CHECKING:
    from .config import TrainConfig, read_config
    from .experiments import run_experiment
    from .export import export_run, refuse_taken
    from .loop import TrainResult, train

__all__ = ["TrainConfig", "TrainResult", "export_run", "read_config", "refuse_taken", "run_experiment", "train"]

_PLACES = {
    "TrainConfig": "config",
    "TrainResult": "loop",
    "export_run": "export",
    "read_config": "config",
    "refuse_taken": "export",
    "run_experiment": "experiments",
    "train": "loop",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        if _PLACES[name] != "config":
            require("torch", "train", "training")
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
