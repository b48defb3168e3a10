"""Two processes that torchrun starts learn what one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from train_tools import write_config

torch = pytest.importorskip("torch", reason="training needs torch")

from faceworks.train import checkpoint, read_config, train  # noqa: E402

SOURCE = Path(__file__).resolve().parents[3] / "src"

# batch normalization sees a process's own part of a batch: it is held at its beginning, so that both ways compute the same
SCRIPT = """
import os
import sys, torch
torch.set_num_threads(1)
from torch import nn
kept = nn.Module.train
def train_mode(self, mode=True):
    kept(self, mode)
    for part in self.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            kept(part, False)
    return self
nn.Module.train = train_mode
from faceworks.train import read_config, train
result = train(read_config(sys.argv[1], sys.argv[3:]), sys.argv[2], report=print)
os.write(1, f"{'first' if result.first else 'other'} {len(result.history)}\\n".encode())  # one write: two processes share the pipe
"""


def run(folder: Path, out: Path, processes: int, *changes: str) -> str:
    (folder / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    start = (
        [sys.executable] if processes == 1 else [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    )
    command = [*start, str(folder / "script.py"), str(folder / "config.toml"), str(out), *changes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "more"),
    [
        ("arcface", ()),
        ("triplet", ("run.people=4", "run.pictures=4", "run.steps=3", 'loss.arguments.miner="all"')),
        ("arcface", ("run.accumulate=2",)),
    ],
)
def test_two_processes_learn_what_one_does(tmp_path, loss, more):
    """Gathered embeddings: the gradient is that of the whole batch. Equal to rounding."""
    write_config(tmp_path, loss=loss)
    changes = ("augment.mirror=false", "augment.shift=0", 'optimizer.name="sgd"', "optimizer.rate=0.01", "run.epochs=2", *more)
    run(tmp_path, tmp_path / "one", 1, *changes)
    shown = run(tmp_path, tmp_path / "two", 2, *changes)
    assert shown.count("first 2") == shown.count("other 2") == 1
    one, two = (checkpoint.load(tmp_path / name / "checkpoint.npz")["step"] for name in ("one", "two"))
    began = None
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=2e-5, rtol=1e-4, err_msg=name)
        began = began or name
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(path.name for path in (tmp_path / "one").iterdir())


@pytest.mark.slow
def test_a_batch_that_cannot_be_dealt_out_is_refused(tmp_path):
    write_config(tmp_path)
    with pytest.raises(AssertionError, match="multiple"):
        run(tmp_path, tmp_path / "two", 2, "run.batch=7", "run.epochs=1")


def test_without_torchrun_there_is_one_process(tmp_path):
    assert train(read_config(write_config(tmp_path), ["run.epochs=1"]), tmp_path / "run").first
