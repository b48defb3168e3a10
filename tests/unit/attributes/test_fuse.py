"""Several senses as one: the weights that made the rows are found again, and the pool is no worse than its best source."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from faceworks.attributes.fuse import Weights, fit, fuse
from faceworks.attributes.labels import SEVEN
from faceworks.attributes.pool import log_pool
from faceworks.attributes.senses import fuse_files, read_labels, read_sense
from faceworks.errors import InputError, ManifestError
from faceworks.types import Categorical


def categorical(values: np.ndarray) -> Categorical:
    shares = values / values.sum()
    return Categorical(SEVEN[int(shares.argmax())], dict(zip(SEVEN, shares.tolist(), strict=True)))


def simulated(count: int, weights: dict[str, float], missing: float = 0.0, seed: int = 0) -> tuple[list[dict[str, Categorical | None]], list[str]]:
    """Rows whose labels are drawn from the pool itself, so that its weights are the truth."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Categorical | None]] = []
    truth = []
    for _ in range(count):
        given = {name: rng.dirichlet(np.full(7, 0.6)) * 0.98 + 0.02 / 7 for name in weights}
        there = {name: values for name, values in given.items() if rng.random() >= missing} or dict(list(given.items())[:1])
        pooled = log_pool(list(there.values()), [weights[name] for name in there])
        truth.append(SEVEN[int(rng.choice(7, p=pooled))])
        rows.append({name: categorical(there[name]) if name in there else None for name in weights})
    return rows, truth


def test_the_weights_are_recovered() -> None:
    weights = {"face": 0.9, "voice": 0.5, "text": 0.2}
    found = fit(*simulated(4000, weights, missing=0.1))
    assert found.fitted == 4000
    for name, value in weights.items():
        assert found.by_source[name] == pytest.approx(value, abs=0.05), found


def test_a_source_that_knows_nothing_gets_nothing() -> None:
    rows, truth = simulated(1000, {"face": 1.0})
    rng = np.random.default_rng(1)
    noisy = [{**row, "voice": categorical(rng.dirichlet(np.ones(7))), "text": None} for row in rows]
    found = fit(noisy, truth, names=("face", "voice", "text"))
    assert found.by_source["voice"] == pytest.approx(0.0, abs=0.08)
    assert found.by_source["text"] == pytest.approx(0.0, abs=0.05)
    assert min(found.by_source.values()) >= 0


def test_the_fit_is_the_maximum_that_scipy_finds() -> None:
    from scipy.optimize import minimize

    rows, truth = simulated(300, {"face": 0.8, "voice": 0.4}, seed=4)
    logs = np.array([[np.log(list(row[name].probabilities.values())) for name in ("face", "voice")] for row in rows])  # type: ignore[union-attr]
    right = np.array([SEVEN.index(label) for label in truth])

    def loss(w: np.ndarray) -> float:
        scores = np.einsum("nsk,s->nk", logs, w)
        return float((np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(right)), right]).sum() + 1e-3 * w @ w)

    want = minimize(loss, [0.5, 0.5], tol=1e-10).x
    assert list(fit(rows, truth).by_source.values()) == pytest.approx(want.tolist(), abs=1e-4)


def test_the_pool_is_at_least_as_good_as_its_best_source() -> None:
    weights = {"face": 0.9, "voice": 0.6}
    rows, truth = simulated(1500, weights)
    found = fit(rows[:1000], truth[:1000])
    judged = [fuse(row, found).emotion.label == label for row, label in zip(rows[1000:], truth[1000:], strict=True)]
    single = [np.mean([row[name].label == label for row, label in zip(rows[1000:], truth[1000:], strict=True)]) for name in weights]  # type: ignore[union-attr]
    assert np.mean(judged) >= max(single)


def test_what_each_sense_moved() -> None:
    happy, angry = categorical(np.array([1, 1, 1, 30, 1, 1, 1.0])), categorical(np.array([9, 1, 1, 1, 1, 1, 1.0]))
    alone = fuse({"face": happy, "voice": None})
    assert alone.sources == ("face",)
    assert alone.emotion.label == "happy"
    both = fuse({"face": happy, "voice": angry}, {"face": 1.0, "voice": 1.0})
    assert both.decisive == ("face",)
    assert both.moved["face"] > both.moved["voice"] > 0
    silent = fuse({"face": happy, "voice": angry}, {"face": 1.0, "voice": 0.0})
    assert silent.moved["voice"] == 0.0
    np.testing.assert_allclose(list(silent.emotion.probabilities.values()), list(happy.probabilities.values()), atol=1e-9)


def test_wrong_questions_are_refused() -> None:
    one = categorical(np.ones(7))
    with pytest.raises(InputError, match="no source says anything"):
        fuse({"face": None})
    with pytest.raises(InputError, match="no weight is given for voice"):
        fuse({"face": one, "voice": one}, {"face": 1.0})
    with pytest.raises(InputError, match="0 or more"):
        Weights({"face": -1.0})
    with pytest.raises(InputError, match="at least ten"):
        fit([{"face": one}] * 3, ["happy"] * 3)
    with pytest.raises(InputError, match="outside the space"):
        fit([{"face": one}] * 12, ["contempt"] * 12)


def write(path: Path, head: str, *lines: str) -> Path:
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def test_files_with_korean_words_and_missing_senses(tmp_path: Path) -> None:
    face = write(tmp_path / "face.csv", "source,face,emotion_happy,emotion_angry,emotion_neutral", "a.jpg,1,0.8,0.1,0.1", "b.jpg,1,0.2,0.7,0.1")
    voice = write(tmp_path / "voice.csv", "id,행복,화남,평범", "a.jpg,2,1,1", "c.jpg,0,0,1")
    text = write(tmp_path / "text.csv", "id,happy,angry", "a.jpg,,", "b.jpg,0.5,0.5")
    found = fuse_files({"face": face, "voice": voice, "text": text})
    assert list(found.rows) == ["a.jpg", "b.jpg", "c.jpg"]
    assert found.rows["a.jpg"].sources == ("face", "voice")
    assert found.rows["b.jpg"].sources == ("face", "text")
    assert found.rows["c.jpg"].emotion.label == "neutral"
    assert read_sense(voice)["a.jpg"].probabilities["happy"] == pytest.approx(0.5)  # type: ignore[union-attr]
    assert read_labels(write(tmp_path / "l.csv", "id,label", "a.jpg,행복")) == {"a.jpg": "happy"}


@pytest.mark.parametrize(
    ("head", "line", "message"),
    [("name,happy,sad", "a,1,0", "a column id or source"), ("id,hungry,tired", "a,1,0", "names of emotions"), ("id,happy,sad", "a,x,0", "line 2: .*numbers"),
     ("id,happy,sad", "a,-1,0", "0 or more"), ("id,happy,joy", "a,1,0", "are both happy"), ("id,happy,sad", ",1,0", "is empty")],
)  # fmt: skip
def test_a_wrong_file_is_named(tmp_path: Path, head: str, line: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_sense(write(tmp_path / "x.csv", head, line))


def test_a_fit_on_files_measures_every_source(tmp_path: Path) -> None:
    rows, truth = simulated(400, {"face": 1.0, "voice": 0.5}, missing=0.1, seed=2)
    for name in ("face", "voice"):
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", *SEVEN])
            writer.writerows([index, *row[name].probabilities.values()] for index, row in enumerate(rows) if row[name] is not None)  # type: ignore[union-attr]
    labels = write(tmp_path / "labels.csv", "id,label", *(f"{index},{label}" for index, label in enumerate(truth)))
    found = fuse_files({"face": tmp_path / "face.csv", "voice": tmp_path / "voice.csv"}, labels)
    assert set(found.scores) == {"face", "voice", "fused"}
    assert found.scores["fused"]["log_loss"] <= min(found.scores["face"]["log_loss"], found.scores["voice"]["log_loss"])
    assert found.weights is not None
    assert found.weights.fitted == 400
    with pytest.raises(InputError, match="not both"):
        fuse_files({"face": tmp_path / "face.csv"}, labels, {"face": 1.0})
