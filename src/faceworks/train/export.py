"""A trained run to ONNX and a card: what `faceworks verify --embedder my-model` and every other command take.

Torch's current exporter (`torch.export`, by onnxscript) writes the graph, with a free batch and a pinned opset; the file is run by onnxruntime beside the
network and must agree before it is kept.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import assets, cards
from ..assets.store import digest
from ..cards import Card, FileSpec, License
from ..cards.writing import dump
from ..convert import graph
from ..convert.torch_state import export
from ..errors import CardError, ConfigError, ConversionError
from ..runtime import open_file
from . import checkpoint
from .config import TrainConfig, read_config
from .distributed import Group
from .loop import BEST
from .tasks import Exported, build_task
from .tasks.embedding import today

__all__ = ["TOLERANCE", "check", "export_run", "refuse_taken", "register"]

TOLERANCE = 1e-4
"""Largest difference between torch and onnxruntime, of the output's scale (at least 1)."""
MARK = "trained by `faceworks train`"


def check(module: Any, path: Path, shape: tuple[int, int, int], free_sizes: bool = False) -> float:
    """Run network and file on the same noise (and another batch size, and another picture size where it is free); the largest difference.

    Raises:
        ConversionError: more than `TOLERANCE`.
    """
    session = open_file(path)
    rng = np.random.default_rng(0)
    worst = 0.0
    module.eval()
    for batch, grown in ((1, 0), (3, 0), *([(2, 64)] if free_sizes else [])):
        x = rng.standard_normal((batch, shape[0], shape[1] + grown, shape[2] + grown)).astype(np.float32)
        with torch.no_grad():
            wanted = module(torch.from_numpy(x))
        for own, got in zip(wanted if isinstance(wanted, tuple) else (wanted,), session.run(x), strict=True):
            expected = own.numpy()
            worst = max(worst, float(np.abs(expected - got).max() / max(1.0, np.abs(expected).max())))
    if not worst <= TOLERANCE:
        raise ConversionError(f"{path.name}: onnxruntime and torch differ by {worst:.2g} of the scale, at most {TOLERANCE} is expected")
    return worst


def _model(exported: Exported, shape: tuple[int, int, int]) -> bytes:
    module = exported.module.cpu().eval()
    names = [item.tensor or item.name for item in exported.outputs]
    if exported.task == "detect":
        names = ["loc", "conf", "landmarks"]
    model = export(module, shape, names, free_sizes=exported.free_sizes, current=True)
    graph.sweep(model)
    data: bytes = graph.serialize(model, "faceworks")
    return data


def _card(config: TrainConfig, exported: Exported, path: Path, difference: float, epoch: int) -> Card:
    loss = f"loss {config.loss.name}{dict(config.loss.arguments) or ''}" if config.loss.name else f"task {config.task}"
    data = f"{config.data.kind}: {exported.data}" if exported.data else config.data.kind
    file = FileSpec(
        "model", (f"manual:the file that `faceworks train` wrote for {config.name}",), digest(path, fresh=True), bytes=path.stat().st_size
    )
    return Card(
        schema=1,
        name=config.name,
        task=exported.task,  # type: ignore[arg-type]
        adapter=exported.adapter,
        summary=config.summary or f"{config.network.name}, {loss}",
        paper="none",
        code="none",
        license=License("MIT", config.license.weights, config.license.commercial_use, config.license.note or "as its trainer states"),
        file=(dataclasses.replace(file, name=path.name),),
        reliability="low",
        input=(config.input,),
        output=exported.outputs,
        threshold=exported.thresholds,
        published=exported.published,
        decode=exported.decode or {},
        notes=(
            f"{MARK} on {today()}: network {config.network.name}{dict(config.network.arguments) or ''}, {loss}, data {data}, seed {config.seed}, "
            f"weights of epoch {epoch}; onnxruntime and torch agree to {difference:.1g}. Figures are of held-out pictures of the same data set."
        ),
    )


def refuse_taken(name: str) -> None:
    """Refuse a name under which a model could not be registered: to be asked before hours of training.

    Raises:
        CardError: the name is that of a model that was not trained here.
    """
    if name in cards.names():
        there = cards.get(name)
        if not (there.notes.startswith(MARK) and Path(there.path).is_relative_to(cards.user_folder())):
            raise CardError(f"a model is called {name!r} already ({there.path}); give the run another name")


def register(card: Card, path: Path) -> Card:
    """Copy model and card to where the user's models lie, so that every command finds the name. A model that was registered so before is replaced.

    Raises:
        CardError: the name is that of another model.
    """
    refuse_taken(card.name)
    if card.name in cards.names():
        Path(cards.get(card.name).path).unlink()  # it may lie in another task's folder
    assets.adopt(card.file[0], path)
    target = cards.user_folder() / card.task / f"{card.name}.toml"
    assets.atomic_write(target, lambda out: out.write(dump(card).encode()))
    return cards.get(card.name)


def export_run(folder: str | Path, *, registered: bool = False) -> Card:
    """Write NAME.onnx and NAME.toml into a run's folder, from its best epoch; `registered`: for use by name as well (`register`).

    Raises:
        ConfigError: the folder holds no finished epoch.
        ConversionError: the file and the network disagree.
        MissingDependency: onnxscript is not installed.
    """
    base = Path(folder)
    if not (base / BEST).is_file():
        raise ConfigError(f"{base} holds no finished epoch ({BEST}); train first")
    config = read_config(base / "config.toml")
    if registered:
        refuse_taken(config.name)
    with torch.random.fork_rng(devices=[]):
        task = build_task(config, base, Group(), torch.device("cpu"), lambda line: None)
        best = checkpoint.load(base / BEST)
        task.step.load_state_dict(best["step"])
        exported = task.exported()
    channels = 1 if config.input.color == "GRAY" else 3
    shape = (channels, config.input.size[0], config.input.size[1])
    path = base / f"{config.name}.onnx"
    data = _model(exported, shape)
    assets.atomic_write(path, lambda out: out.write(data))
    difference = check(exported.module, path, shape, exported.free_sizes)
    card = _card(config, exported, path, difference, int(best["epoch"]))
    text = dump(card)
    cards.parse(text, f"{config.name}.toml")
    assets.atomic_write(base / f"{config.name}.toml", lambda out: out.write(text.encode()))
    return register(card, path) if registered else card
