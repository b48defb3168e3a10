"""The training loop: one function. It knows no network, no loss and no data; a task (`tasks`) holds them.

Every random draw is a function of (seed, epoch, batch): the order of pictures, their changes, dropout, sampled classes. A run that was killed goes on
from its last checkpoint and, on one thread of a processor, ends in the same weights to the last bit as one that was not.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import assets
from ..errors import ConfigError
from . import checkpoint
from .config import TrainConfig, dump_config, fingerprint
from .cutting import write_skipped
from .distributed import Group, join
from .logs import Board, epoch_bar, write_history
from .optimizing import build_optimizer, rate_at
from .tasks import Task, build_task

__all__ = ["TrainResult", "train"]

CHECKPOINT, BEST = "checkpoint.npz", "best.npz"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What came of a run.

    Attributes:
        folder: where checkpoint, best weights, history, configuration and, after `export_run`, model and card lie.
        history: a row for each epoch: epoch, step, rate, seconds, loss and its terms, figures on held-out pictures.
        best: the row of the epoch whose weights are exported.
        stopped_early: whether `run.patience` ended it.
        first: whether this process is the one that writes (always, without torchrun).
    """

    folder: Path
    history: tuple[dict[str, float], ...]
    best: dict[str, float]
    stopped_early: bool
    first: bool = True


def _device(config: TrainConfig, group: Group) -> Any:
    wanted, there = config.run.device, torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise ConfigError('run.device = "cuda", but torch finds no GPU here; take "cpu" or "auto"')
    device = torch.device(f"cuda:{group.local}" if there and wanted != "cpu" else "cpu")
    if config.run.precision == "float16" and device.type == "cpu":
        raise ConfigError('run.precision = "float16" needs a GPU; on a processor take "bfloat16" or "float32"')
    return device


class _Run:
    """State of a run between two batches: what a checkpoint keeps."""

    def __init__(self, config: TrainConfig, folder: Path, group: Group, report: Callable[[str], None]) -> None:
        self.config, self.folder, self.group, self.report = config, folder, group, report
        self.device = _device(config, group)
        torch.manual_seed(config.seed)  # the beginning of the weights
        self.task: Task = build_task(config, folder, group, self.device, report)
        self.optimizer = build_optimizer(config.optimizer, self.task.step)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.run.precision == "float16")
        self.module: Any = self.task.step
        if group.size > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            self.module = nn.parallel.DistributedDataParallel(self.task.step, device_ids=ids)
        self.epoch, self.done, self.stale, self.stopped, self.seconds, self.top = 0, 0, 0, False, 0.0, 0.0
        self.sums: dict[str, float] = {}
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}

    def save(self) -> None:
        """Write the checkpoint (the first process does)."""
        if self.group.first:
            state = {
                "fingerprint": fingerprint(self.config),
                "step": self.task.step.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "task": self.task.state(),
                **{key: getattr(self, key) for key in ("epoch", "done", "stale", "stopped", "seconds", "top", "sums", "history", "best")},
            }
            checkpoint.save(self.folder / CHECKPOINT, state)

    def restore(self) -> None:
        """Go on from the checkpoint.

        Raises:
            ConfigError: it is damaged, or of another configuration.
        """
        state = checkpoint.load(self.folder / CHECKPOINT)
        if state["fingerprint"] != fingerprint(self.config):
            raise ConfigError(
                f"{self.folder} holds a run with another configuration (its config.toml says which); give another folder, or do not resume (--fresh)"
            )
        try:
            self.task.step.load_state_dict(state["step"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"{self.folder}: the checkpoint does not fit, as if the data had changed (more or fewer people?): {str(error).splitlines()[-1].strip()}; "
                "begin anew (--fresh) or in another folder"
            ) from error
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.task.restore(state["task"])
        for key in ("epoch", "done", "stale", "stopped", "seconds", "top", "sums", "history", "best"):
            setattr(self, key, state[key])
        over = self.stopped or self.epoch >= self.config.run.epochs
        self.report(
            f"the run is finished after epoch {self.epoch}; nothing is trained again"
            if over
            else f"going on at epoch {self.epoch + 1}, batch {self.done + 1}"
        )

    def _batch(self, places: Any, weight: float) -> None:
        """Forward and backward of one batch; `weight` shares the loss out over accumulated batches."""
        config, group = self.config, self.group
        seed = np.random.SeedSequence([config.seed, self.epoch, self.done]).generate_state(2)
        torch.manual_seed(int(seed[0]))  # dropout, sampled classes: the same at all processes, which see different pictures
        if len(places) % group.size:
            raise ConfigError(f"{group.size} processes share a batch: its size must be a multiple of it, got {len(places)}")
        tensors = self.task.batch(group.share(places), np.random.default_rng([int(seed[1]), group.rank]))
        kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        mixed = torch.autocast(self.device.type, kinds[config.run.precision], enabled=config.run.precision != "float32")
        with mixed:
            loss, terms = self.module(*tensors)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ConfigError(
                f"the loss became {value} in epoch {self.epoch + 1}, batch {self.done + 1}; lower optimizer.rate, set run.clip, or add warmup"
            )
        self.scaler.scale(loss * weight).backward()
        for key, item in {"loss": value, **terms}.items():
            self.sums[key] = self.sums.get(key, 0.0) + float(item)

    def _update(self) -> None:
        """One step of the optimizer."""
        if self.config.run.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.task.step.parameters(), self.config.run.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def run_epoch(self, move: Callable[[int, str], None]) -> None:
        """The rest of the present epoch, from batch `done` on."""
        run, options = self.config.run, self.config.optimizer
        began = time.perf_counter()
        before = self.seconds
        self.task.step.train()
        sampler = self.task.sampler(self.epoch)
        batches, total = sampler.batches(self.epoch), len(sampler)
        waiting: list[Any] = []
        for place, places in enumerate(batches):
            if place < self.done:
                continue
            waiting.append(places)
            if len(waiting) < run.accumulate and place + 1 < total:
                continue
            rate = rate_at(options, self.epoch + (place + 1 - len(waiting)) / total, run.epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            for number, item in enumerate(waiting):
                last = number + 1 == len(waiting)
                quiet = contextlib.nullcontext() if last or self.group.size == 1 else self.module.no_sync()
                with quiet:
                    self._batch(item, 1 / len(waiting))
                self.done += 1
            waiting = []
            self._update()
            self.seconds = before + time.perf_counter() - began
            move(self.epoch * total + self.done, f"epoch {self.epoch + 1}/{run.epochs}, loss {self.sums['loss'] / self.done:.4f}")
            if run.checkpoint_every and self.done // run.accumulate % run.checkpoint_every == 0 and self.done < total:
                self.save()

    def finish_epoch(self) -> None:
        """Evaluate, note, keep the best, save."""
        run = self.config.run
        count, rate = max(self.done, 1), self.optimizer.param_groups[0]["lr"]
        row: dict[str, float] = {"epoch": self.epoch + 1, "rate": rate, "seconds": round(self.seconds, 3)}
        row |= {key: value / count for key, value in self.sums.items()}
        last = self.epoch + 1 == run.epochs
        if (self.epoch + 1) % run.evaluate_every == 0 or last:
            began = time.perf_counter()
            row |= self.task.evaluate() if self.group.first else {}
            row["evaluation_seconds"] = round(time.perf_counter() - began, 3)
            score = self.group.agree(row.get(self.task.score, -math.inf))
            better = not self.best or score > self.top
            if better or run.keep == "last":
                self.best = {**row, "score": score}
                if self.group.first:
                    checkpoint.save(self.folder / BEST, {"step": self.task.step.state_dict(), "epoch": self.epoch + 1})
            self.top, self.stale = (score, 0) if better else (self.top, self.stale + run.evaluate_every)
            self.stopped = bool(run.patience) and self.stale >= run.patience
        self.history.append(row)
        self.epoch, self.done, self.sums = self.epoch + 1, 0, {}
        self.save()
        if self.group.first:
            write_history(self.folder / "history.csv", self.history)
        figures = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key not in ("epoch", "evaluation_seconds"))
        self.report(f"epoch {self.epoch}/{run.epochs}: {figures}")


def _train(config: TrainConfig, folder: Path, resume: bool, progress: bool, report: Callable[[str], None], group: Group) -> TrainResult:
    if group.first:
        assets.atomic_write(folder / "begun", lambda out: out.write(b""))  # a folder that cannot be written is found before the work
        (folder / "begun").unlink()
    saved = resume and (folder / CHECKPOINT).is_file()
    run = _Run(config, folder, group, report)
    group.wait()
    if saved:
        run.restore()
    if group.first:
        assets.atomic_write(folder / "config.toml", lambda out: out.write(dump_config(config).encode()))
        write_skipped(folder / "skipped.csv", run.task.skipped)
        if run.task.skipped:
            report(f"{len(run.task.skipped)} pictures were skipped, the first: {': '.join(run.task.skipped[0])}; all: {folder / 'skipped.csv'}")
    board = Board(folder / "tensorboard", config.run.tensorboard and group.first, run.epoch + 1)
    try:
        with epoch_bar(config.run.epochs * len(run.task.sampler(run.epoch)), progress and group.first) as move:
            while run.epoch < config.run.epochs and not run.stopped:
                run.run_epoch(move)
                run.finish_epoch()
                board.add(run.history[-1])
    finally:
        board.close()
    group.wait()
    return TrainResult(folder, tuple(run.history), dict(run.best), run.stopped, group.first)


def train(
    config: TrainConfig, out: str | Path, *, resume: bool = True, progress: bool = False, report: Callable[[str], None] = lambda line: None
) -> TrainResult:
    """Train, or go on with a run that was interrupted.

    Args:
        config: see `read_config`.
        out: folder of the run; made. What it holds: config.toml, checkpoint.npz, best.npz, history.csv, skipped.csv, tensorboard/.
        resume: go on from the folder's checkpoint, if there is one; else begin anew over it.
        progress: a bar on stderr, where that is a terminal.
        report: takes lines: what was skipped, each epoch's figures.

    Raises:
        ConfigError: a configuration that cannot hold, a folder with another run, a loss that became NaN.
        InputError: the data.
        MissingDependency: torch is not installed.
    """
    folder = Path(out)
    threads = torch.get_num_threads()
    with join() as group, torch.random.fork_rng(devices=[]):
        try:
            if config.run.threads:
                torch.set_num_threads(config.run.threads)
            return _train(config, folder, resume, progress, report if group.first else (lambda line: None), group)
        finally:
            torch.set_num_threads(threads)
