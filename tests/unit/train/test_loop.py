"""The loop: a killed run ends in the weights of one that was not, checkpoints, early stopping, logs, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from train_tools import made_faces, write_config

torch = pytest.importorskip("torch", reason="training needs torch")

from faceworks.errors import ConfigError, InputError  # noqa: E402
from faceworks.train import checkpoint, read_config, train  # noqa: E402
from faceworks.train.logs import read_history  # noqa: E402

SOURCE = Path(__file__).resolve().parents[3] / "src"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(folder: Path) -> dict:
    return checkpoint.load(folder / "checkpoint.npz")["step"]


def assert_equal(one: dict, two: dict) -> None:
    assert one.keys() == two.keys()
    different = [name for name in one if not torch.equal(one[name], two[name])]
    assert not different, f"these differ: {different}"


KILLED = """
import os, signal, sys, torch
torch.set_num_threads(1)
from faceworks.train import checkpoint, loop, read_config, train
calls = 0
kept = checkpoint.save
def save(path, state):
    global calls
    if path.name == "checkpoint.npz":
        calls += 1
        if calls == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
    kept(path, state)
checkpoint.save = save
train(read_config(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.parametrize(
    ("loss", "run"),
    [("arcface", "checkpoint_every = 1"), ("triplet", "people = 4\npictures = 4\nsteps = 3\ncheckpoint_every = 1\naccumulate = 2\n")],
)
def test_a_run_killed_within_an_epoch_goes_on_to_identical_weights(tmp_path, loss, run):
    """SIGKILL in the second epoch, between its first checkpoint and its second."""
    config = write_config(tmp_path, loss=loss, run=run)
    whole = train(read_config(config), tmp_path / "whole")
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, str(config), str(tmp_path / "killed"), "4"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    state = checkpoint.load(tmp_path / "killed" / "checkpoint.npz")
    assert (state["epoch"], state["done"] > 0) == (1, True)
    lines: list[str] = []
    resumed = train(read_config(config), tmp_path / "killed", report=lines.append)
    assert any("going on at epoch 2" in line for line in lines)
    assert_equal(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    for one, two in zip(whole.history, resumed.history, strict=True):
        assert {key: value for key, value in one.items() if "seconds" not in key} == {k: v for k, v in two.items() if "seconds" not in k}


def test_the_same_seed_gives_the_same_weights_and_another_others(tmp_path):
    config = write_config(tmp_path)
    for name, changes in (("a", []), ("b", []), ("c", ["seed=4"])):
        train(read_config(config, ["run.epochs=1", *changes]), tmp_path / name)
    assert_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    with pytest.raises(AssertionError, match="differ"):
        assert_equal(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_a_run_can_be_made_longer(tmp_path):
    config = write_config(tmp_path)
    assert len(train(read_config(config, ["run.epochs=1"]), tmp_path / "run").history) == 1
    assert len(train(read_config(config, ["run.epochs=2"]), tmp_path / "run").history) == 2
    assert [row["epoch"] for row in read_history(tmp_path / "run" / "history.csv")] == [1, 2]


def test_another_configuration_does_not_go_on(tmp_path):
    config = write_config(tmp_path)
    train(read_config(config, ["run.epochs=1"]), tmp_path / "run")
    with pytest.raises(ConfigError, match="another configuration"):
        train(read_config(config, ["run.epochs=1", "optimizer.rate=0.5"]), tmp_path / "run")
    train(read_config(config, ["run.epochs=1", "optimizer.rate=0.02"]), tmp_path / "run", resume=False)


def test_a_checkpoint_of_other_people_is_refused(tmp_path):
    config = write_config(tmp_path)
    train(read_config(config, ["run.epochs=1"]), tmp_path / "run")
    made_faces(tmp_path / "faces", people=14)
    with pytest.raises(ConfigError, match="data had changed"):
        train(read_config(config, ["run.epochs=2"]), tmp_path / "run")


def test_accumulated_batches_are_one_large_batch(tmp_path):
    """With batch normalization held still, which would see the parts."""
    from faceworks.train import loop

    config = write_config(tmp_path, loss="normface")
    base = ["run.epochs=1", "augment.mirror=false", "augment.shift=0", 'optimizer.name="sgd"', "optimizer.rate=0.1", "data.most_pictures=4"]
    runs = []
    for changes in (["run.batch=28"], ["run.batch=7", "run.accumulate=4"]):
        run = loop._Run(read_config(config, [*base, *changes]), tmp_path / "x", loop.Group(), lambda line: None)
        run.task.step.eval()
        run.task.step.train = lambda mode=True, step=run.task.step: step  # batch normalization stays as it is
        run.run_epoch(lambda done, words: None)
        runs.append(run.task.step.state_dict())
    for name in runs[0]:
        np.testing.assert_allclose(runs[0][name], runs[1][name], rtol=1e-5, atol=1e-5, err_msg=name)  # float32: sums in another order


def test_early_stopping(tmp_path):
    result = train(read_config(write_config(tmp_path), ["run.epochs=20", "run.patience=1", "optimizer.rate=1e-9"]), tmp_path / "run")
    assert result.stopped_early
    assert len(result.history) < 20
    again = train(read_config(write_config(tmp_path), ["run.epochs=20", "run.patience=1", "optimizer.rate=1e-9"]), tmp_path / "run")
    assert len(again.history) == len(result.history), "a run that was stopped early stays stopped"


def test_a_loss_that_becomes_nan_ends_the_run_with_advice(tmp_path):
    config = read_config(write_config(tmp_path, loss="softmax"), ['optimizer.name="sgd"', "optimizer.rate=1e30"])
    with pytest.raises(ConfigError, match="rate"):
        train(config, tmp_path / "run")


def test_mixed_precision_learns_nearly_the_same(tmp_path):
    config = write_config(tmp_path)
    losses = [
        train(read_config(config, ["run.epochs=1", f'run.precision="{kind}"']), tmp_path / kind).history[0]["loss"]
        for kind in ("float32", "bfloat16")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="bfloat16"):
            train(read_config(config, ['run.precision="float16"']), tmp_path / "x")


def test_what_cannot_be_read_is_skipped_and_reported(tmp_path):
    config = write_config(tmp_path)
    (tmp_path / "faces" / "p01" / "bad.png").write_bytes(b"no picture at all")
    lines: list[str] = []
    train(read_config(config, ["run.epochs=1"]), tmp_path / "run", report=lines.append)
    assert any("1 pictures were skipped" in line and "bad.png" in line for line in lines)
    rows = (tmp_path / "run" / "skipped.csv").read_text().splitlines()
    assert rows[0] == "picture,reason"
    assert rows[1].startswith("p01/bad.png,")


def test_a_set_of_bad_pictures_is_refused(tmp_path):
    config = write_config(tmp_path)
    for path in (tmp_path / "faces").rglob("*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of"):
        train(read_config(config), tmp_path / "run")


def test_offline_mining_trains_and_goes_on_with_its_triplets(tmp_path):
    config = write_config(tmp_path, loss="triplet", run="checkpoint_every = 1", more="")
    changes = ['loss.arguments={miner="offline"}', "run.batch=15", "run.epochs=2"]
    result = train(read_config(config, changes), tmp_path / "run")
    assert result.history[0]["triplets"] == 5
    mined = checkpoint.load(tmp_path / "run" / "checkpoint.npz")["task"]
    assert mined["epoch"] == 1
    assert len(mined["triplets"]) == 3


def test_tensorboard_events_are_written(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is in the extra train")
    train(read_config(write_config(tmp_path), ["run.epochs=1", "run.tensorboard=true"]), tmp_path / "run")
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_a_pairs_protocol_judges_each_epoch(tmp_path):
    config = write_config(tmp_path)
    made_faces(tmp_path / "judge", people=6)
    lines = ["first,second,label"]
    for k in range(6):
        lines += [f"p{k:02d}/0.png,p{k:02d}/1.png,1", f"p{k:02d}/2.png,p{(k + 1) % 6:02d}/3.png,0"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "judge" / "p00" / "0.png").write_bytes(b"broken")
    result = train(
        read_config(config, ["run.epochs=1", 'pairs={list="pairs.csv", root="judge", format="csv"}']),
        tmp_path / "run",
    )
    assert {"pairs_accuracy", "pairs_auc", "auc"} <= set(result.history[0])
    assert result.history[0]["pairs_missed"] == 1
    assert result.best["score"] == result.history[0]["pairs_accuracy"]
