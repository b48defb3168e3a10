"""Classes and values: figures by hand, unknown labels, and a trained model that `analyze` asks by name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from train_tools import made_faces

torch = pytest.importorskip("torch", reason="training needs torch")

from faceworks import settings  # noqa: E402
from faceworks.cli.app import run as command  # noqa: E402
from faceworks.errors import InputError  # noqa: E402
from faceworks.train import read_config, train  # noqa: E402
from faceworks.train.tasks import classes  # noqa: E402

CONFIG = """
name = "made-labels"
task = "classes"
[data]
kind = "csv"
source = "labels.csv"
root = "faces"
targets = ["gender", "age", "age_group"]
people = "person"
held_out = 0.3
[input]
crop = "box:1"
size = [48, 48]
color = "GRAY"
mean = [127.5]
std = [127.5]
[network]
name = "mini-xception"
[optimizer]
name = "adam"
rate = 0.01
[run]
epochs = 2
batch = 14
[license]
weights = "MIT"
commercial_use = true
"""


@pytest.fixture
def labeled(tmp_path):
    """People 0 to 9: the even ones are female; a label is missing here and there."""
    made_faces(tmp_path / "faces", side=48)
    rows = ["picture,person,gender,age,age_group"]
    for person in range(10):
        for k in range(6):
            gender = "" if k == 5 else "female" if person % 2 == 0 else "male"
            age = "" if k == 4 else 20 + 3 * person
            rows.append(f"p{person:02d}/{k}.png,p{person},{gender},{age},{'15-20' if person < 5 else '25-32'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def test_figures_are_their_definitions():
    truth, said = np.array([0, 0, 0, 1, 2, -1]), np.array([0, 0, 1, 1, 0, 1])
    found = classes.class_figures("x", said, truth, np.array([0, 0, 1, -1, -1, -1]))
    assert found["x_accuracy"] == pytest.approx(3 / 5)
    assert found["x_stderr"] == pytest.approx(np.sqrt(0.6 * 0.4 / 5))
    assert found["x_balanced"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["x_majority"] == pytest.approx(3 / 5)


def test_the_step_sums_cross_entropy_and_smooth_l1_and_leaves_out_what_is_unknown():
    network = torch.nn.Linear(3, 4)
    targets = (classes.Target("a", 0, 3, ("x", "y", "z")), classes.Target("v", 3, 4, (), 30.0, 10.0))
    step = classes._Step(network, targets)
    x = torch.randn(4, 3)
    a, v = torch.tensor([0, 2, -1, 1]), torch.tensor([20.0, float("nan"), 45.0, 30.0])
    total, terms = step(x, a, v)
    out = network(x).detach().numpy()
    log = out[:, :3] - np.log(np.exp(out[:, :3]).sum(axis=1, keepdims=True))
    cross = -np.mean([log[0, 0], log[1, 2], log[3, 1]])
    apart = out[[0, 2, 3], 3] - (np.array([20, 45, 30]) - 30) / 10
    smooth = np.mean(np.where(np.abs(apart) < 1, apart**2 / 2, np.abs(apart) - 0.5))
    assert float(terms["a"]) == pytest.approx(cross, rel=1e-5)
    assert float(terms["v"]) == pytest.approx(smooth, rel=1e-5)
    assert float(total.detach()) == pytest.approx(cross + smooth, rel=1e-5)
    total, terms = step(x, torch.full((4,), -1), torch.full((4,), float("nan")))
    assert float(total.detach()) == 0
    assert not terms


def test_one_class_is_not_learned(labeled):
    text = (labeled / "labels.csv").read_text().replace("female", "male")
    (labeled / "labels.csv").write_text(text)
    with pytest.raises(InputError, match="two at least"):
        train(read_config(labeled / "config.toml"), labeled / "run")


@pytest.mark.slow
@pytest.mark.assets
def test_analyze_asks_a_trained_model_by_name(labeled, monkeypatch, capsys):
    """`analyze` asks for points where the detector gives none, so the default models are needed: their files serve as a mirror."""
    pytest.importorskip("onnxscript", reason="torch's current exporter needs onnxscript")
    monkeypatch.setenv("FACEWORKS_OFFLINE", "1")
    monkeypatch.setenv("FACEWORKS_MIRRORS", str(settings.current().cache / "files"))
    monkeypatch.setenv("FACEWORKS_CACHE", str(labeled / "cache"))
    assert command(["train", str(labeled / "config.toml"), "--out", str(labeled / "run"), "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "attribute"
    assert {"gender_accuracy", "age_mae", "age_group_balanced"} <= set(found["best"])
    words = ["analyze", str(labeled / "faces" / "p00" / "0.png"), "--detector", "whole", "--attributes", "gender,age", "--json"]
    assert command([*words, "--model", "gender=made-labels", "--model", "age=made-labels"]) == 0
    (item,) = json.loads(capsys.readouterr().out)
    attributes = item["faces"][0]["attributes"]
    assert set(attributes["gender"]["probabilities"]) == {"male", "female"}
    assert sum(attributes["gender"]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert attributes["age"]["unit"] == "years"
    assert 0 < attributes["age"]["value"] < 100
    assert attributes["age_band"]["label"] in ("15-20", "25-32")
