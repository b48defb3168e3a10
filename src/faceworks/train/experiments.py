"""FaceNet's experiments (Schroff et al. 2015, sections 5.1 to 5.4) on any data set: each trains what it must, and leaves a table and a plot.

`mining`, `dimension` and `amount` train a network for each value; `jpeg` and `size` train one and spoil the held-out pictures, as the paper does: its
networks saw good pictures alone.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import assets
from ..errors import ConfigError
from ..evaluate.svg import Axis, Series, line_chart
from . import checkpoint
from .config import NamedConfig, TrainConfig
from .cutting import cut
from .distributed import Group
from .loop import BEST, train
from .sources import read
from .splits import split
from .tasks import build_task
from .tasks.embedding import EmbeddingTask

__all__ = ["EXPERIMENTS", "ExperimentRow", "run_experiment"]


@dataclass(frozen=True, slots=True)
class _Experiment:
    """What varies; `trains`: a network for each value."""

    label: str
    values: tuple[Any, ...]
    trains: bool
    note: str


EXPERIMENTS = {
    "mining": _Experiment("miner", ("semi-hard", "batch-hard", "all"), True, "triplets: semi-hard against hard against all (section 3.2)"),
    "dimension": _Experiment("embedding dimension", (64, 128, 256, 512), True, "table 5: dimension of the embedding"),
    "amount": _Experiment("training people", (0.1, 0.25, 0.5, 1.0), True, "table 6: amount of training data, as shares of the training people"),
    "jpeg": _Experiment("JPEG quality", (10, 20, 30, 50, 70, 90), False, "table 4, left: quality of the judged pictures"),
    "size": _Experiment("longer side, pixels", (16, 24, 32, 48, 64, 96), False, "table 4, right: size of the judged pictures"),
}


@dataclass(frozen=True, slots=True)
class ExperimentRow:
    """Figures on held-out people for one value: mean over seeds and, of more than one, their standard deviation; `curve` is the mean AUC of each epoch."""

    value: Any
    auc: float
    auc_std: float
    tar: float
    tar_std: float
    runs: int
    curve: tuple[float, ...] = ()


def _changed(config: TrainConfig, name: str, value: Any, seed: int, people: int) -> TrainConfig:
    config = dataclasses.replace(config, seed=seed, run=dataclasses.replace(config.run, keep="last"))
    if name == "mining":
        return dataclasses.replace(config, loss=NamedConfig(config.loss.name, {**config.loss.arguments, "miner": value}))
    if name == "dimension":
        return dataclasses.replace(config, network=NamedConfig(config.network.name, {**config.network.arguments, "dim": int(value)}))
    if name == "amount":
        return dataclasses.replace(config, data=dataclasses.replace(config.data, most_people=max(2, round(float(value) * people))))
    return config


def _training_people(config: TrainConfig) -> int:
    pictures = read(config.data)
    held = split(pictures, config.data, config.seed)
    return len(np.unique(pictures.labels[config.data.people or config.data.targets[0]][~held]))


def _fit_batch(config: TrainConfig, people: int) -> TrainConfig:
    """A batch of no more people than there are."""
    if config.run.people > people:
        return dataclasses.replace(config, run=dataclasses.replace(config.run, people=people))
    return config


def _spoiled(config: TrainConfig, folder: Path, name: str, values: Sequence[Any]) -> list[tuple[float, float]]:
    """(AUC, TAR) of the trained network on held-out pictures spoiled in each way."""
    with torch.random.fork_rng(devices=[]):
        task = build_task(config, folder, Group(), torch.device("cpu"), lambda line: None)
        assert isinstance(task, EmbeddingTask)
        task.step.load_state_dict(checkpoint.load(folder / BEST)["step"])
        pictures = read(config.data)
        held = pictures.take(split(pictures, config.data, config.seed))
        found = []
        for value in values:
            options = {"jpeg_quality" if name == "jpeg" else "shrink": int(value)}
            judged = task.judge(cut(held, config.input, config.data.detector, **options))  # type: ignore[arg-type]
            found.append((judged["auc"], judged["tar_at_fmr_1%"]))
        return found


def _row(value: Any, figures: Sequence[tuple[float, float]], curves: Sequence[Sequence[float]] = ()) -> ExperimentRow:
    auc, tar = np.array(figures, np.float64).T
    spread = 1 if len(auc) > 1 else 0
    curve = tuple(float(item) for item in np.mean(np.array(curves, np.float64), axis=0)) if curves else ()
    return ExperimentRow(value, float(auc.mean()), float(auc.std(ddof=spread)), float(tar.mean()), float(tar.std(ddof=spread)), len(auc), curve)


def run_experiment(
    name: str,
    config: TrainConfig,
    out: str | Path,
    values: Sequence[Any] = (),
    seeds: Sequence[int] = (1,),
    report: Callable[[str], None] = lambda line: None,
) -> tuple[ExperimentRow, ...]:
    """Run one of `EXPERIMENTS`; `out` gets `NAME.csv`, `NAME.svg` and the runs. A run that is there already, whole, is not trained again.

    Args:
        config: a run of the task embedding; its last epoch counts, so that no figure was chosen on the people it is measured on.
        values: instead of the paper's.
        seeds: each value is trained with each; a seed draws weights, batches, and which people are held out.

    Raises:
        ConfigError: no such experiment, or a configuration that is not for embeddings (for `mining`: not of the triplet loss).
    """
    if name not in EXPERIMENTS:
        raise ConfigError(f"no experiment is called {name!r}; known: {', '.join(EXPERIMENTS)}")
    if config.task != "embedding" or (name == "mining" and config.loss.name != "triplet"):
        wanted = "the triplet loss" if name == "mining" else "the task embedding"
        raise ConfigError(f"the experiment {name} needs {wanted}, the configuration has task {config.task}, loss {config.loss.name or 'none'}")
    folder, kind = Path(out), EXPERIMENTS[name]
    wanted_values, people = tuple(values) or kind.values, _training_people(config)
    rows = []
    if kind.trains:
        for value in wanted_values:
            figures, curves = [], []
            for seed in seeds:
                changed = _fit_batch(_changed(config, name, value, seed, people), round(float(value) * people) if name == "amount" else people)
                result = train(changed, folder / f"{name}-{value}-seed{seed}")
                judged = [row for row in result.history if "auc" in row]
                figures.append((judged[-1]["auc"], judged[-1]["tar_at_fmr_1%"]))
                curves.append([row["auc"] for row in judged])
            rows.append(_row(value, figures, curves))
            report(f"{kind.label} {value}: AUC {rows[-1].auc:.4f} ± {rows[-1].auc_std:.4f}, TAR at FMR 1 % {rows[-1].tar:.3f}")
    else:
        found = []
        for seed in seeds:
            changed = _changed(config, name, None, seed, people)
            train(changed, folder / f"base-seed{seed}", report=report)
            found.append(_spoiled(changed, folder / f"base-seed{seed}", name, wanted_values))
        rows = [_row(value, [one[k] for one in found]) for k, value in enumerate(wanted_values)]
        for row in rows:
            report(f"{kind.label} {row.value}: AUC {row.auc:.4f} ± {row.auc_std:.4f}, TAR at FMR 1 % {row.tar:.3f}")
    _write(folder, name, kind, rows, people)
    return tuple(rows)


def _write(folder: Path, name: str, kind: _Experiment, rows: Sequence[ExperimentRow], people: int) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((kind.label, "auc", "auc_std", "tar_at_fmr_1%", "tar_std", "runs"))
    writer.writerows((row.value, f"{row.auc:.6f}", f"{row.auc_std:.6f}", f"{row.tar:.6f}", f"{row.tar_std:.6f}", row.runs) for row in rows)
    assets.atomic_write(folder / f"{name}.csv", lambda out: out.write(text.getvalue().encode()))
    low = min(0.5, *(value for row in rows for value in (row.auc - row.auc_std, *row.curve)))
    y = Axis("AUC on held-out people", max(0.0, np.floor(low * 20) / 20), 1.0)
    if name == "mining":
        series = [Series(str(row.value), [(k + 1.0, value) for k, value in enumerate(row.curve)]) for row in rows]
        x = Axis("evaluated epochs", 1.0, float(max(len(row.curve) for row in rows)) if max(len(row.curve) for row in rows) > 1 else 2.0)
    else:
        places = [float(row.value) * (people if name == "amount" else 1) for row in rows]
        band = [(at, row.auc - row.auc_std, row.auc + row.auc_std) for at, row in zip(places, rows, strict=True)]
        series = [Series("AUC", [(at, row.auc) for at, row in zip(places, rows, strict=True)], band, dots=True)]
        ends = (min(places), max(places)) if len(places) > 1 else (places[0] / 2, places[0] * 2)
        x = Axis(kind.label, *ends, scale="linear" if name == "jpeg" else "log", ticks=tuple(places))
    chart = line_chart(kind.note, series, x, y)
    assets.atomic_write(folder / f"{name}.svg", lambda out: out.write(chart.encode()))
