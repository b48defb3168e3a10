"""Calibration: fitted numbers against scikit-learn and simulation, storage, lookup by recipe, and `verify(fmr=…)`."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
import sklearn.linear_model

from faceworks import calibration, settings
from faceworks.errors import ConfigError, InputError, ModelMismatch
from faceworks.evaluate import fit_calibration, realized, reliability
from faceworks.evaluate.all_pairs import compare_all, edge, false_matches
from faceworks.evaluate.calibrate import fit_logistic
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Embedding, Face, FaceResult
from faceworks.verification import compare, threshold_for_fmr

FACE = Face(np.array([0, 0, 4, 4]), 0.9)


def people_and_vectors(people: int, seed: int, pictures: int = 3, dim: int = 24, noise: float = 0.13):
    """People as random directions, pictures as directions near them."""
    random = np.random.default_rng(seed)
    centers = random.normal(0, 1, (people, dim))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    owner = np.repeat(np.arange(people), pictures)
    return centers[owner] + random.normal(0, noise, (len(owner), dim)), [f"p{k}" for k in owner]


@pytest.fixture(scope="module")
def fitted():
    vectors, names = people_and_vectors(400, 0)
    return fit_calibration(vectors, names, recipe="r1", dataset="made", models={"embedder": "toy"})


def test_all_pairs_by_brute_force():
    vectors, names = people_and_vectors(30, 5)
    owner = np.unique(names, return_inverse=True)[1]
    found = compare_all(vectors, owner)
    u = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    i, j = np.triu_indices(len(u), 1)
    scores, same = (u[i] * u[j]).sum(axis=1), owner[i] == owner[j]
    assert sorted(found.genuine) == pytest.approx(sorted(scores[same]), abs=1e-6)
    assert found.impostors == (~same).sum() == found.impostor_bins.sum()
    for fmr in (0.5, 0.1, 0.01):
        t = found.threshold(fmr)
        assert np.mean(scores[~same] >= t) <= fmr
        assert found.fmr(t) == pytest.approx(np.mean(scores[~same] >= t), abs=2 / found.impostors)
        who, values = false_matches(found, t)
        assert len(who) == round(found.fmr(t) * found.impostors)
        assert values.min() >= t - 1e-6
        assert (who[:, 0] != who[:, 1]).all()
    assert found.genuine_weights.sum() == pytest.approx(len(vectors) / 2), "each picture counts one half"
    assert edge(0) == -1.0
    for bad in (([[1.0, 0]], [0]), ([[1.0, 0], [0, 1]], [0, 1]), ([[1.0, 0], [0, 1]], [0])):
        with pytest.raises(InputError):
            compare_all(*bad)


def test_the_logistic_fit_is_scikit_learns():
    random = np.random.default_rng(1)
    x = np.linspace(-1, 1, 81)
    g, i = random.random(81) * np.exp(3 * x), random.random(81)
    slope, intercept = fit_logistic(x, g, i)
    model = sklearn.linear_model.LogisticRegression(C=1e9, tol=1e-10, max_iter=5000)
    model.fit(np.concatenate([x, x])[:, None], [1] * 81 + [0] * 81, np.concatenate([g, i]))
    assert (slope, intercept) == (pytest.approx(model.coef_[0, 0], rel=1e-4), pytest.approx(model.intercept_[0], abs=1e-4))
    assert math.isfinite(fit_logistic([-1, 1], [0, 1], [1, 0])[0]), "separated classes"


def test_what_a_calibration_says(fitted):
    found, checks = fitted
    assert (found.people, found.pictures, found.genuine, found.impostors) == (400, 1200, 1200, 1200 * 1199 // 2 - 1200)
    assert [row.fmr for row in found.rows] == [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
    for row in found.rows:
        assert row.low <= row.reached <= row.fmr <= row.high
        assert row.threshold_low <= row.threshold <= row.threshold_high
        assert found.threshold_at(row.fmr) == row.threshold
        assert found.fmr_at(row.threshold) == pytest.approx(max(row.reached, found.floor), rel=0.05)
    scores = np.linspace(-1, 1, 201)
    probabilities = [found.probability(s) for s in scores]
    assert probabilities == sorted(probabilities)
    rates = [found.fmr_at(s) for s in scores]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(found.floor)
    assert found.cllr["min"] <= found.cllr[found.method] == min(found.cllr["logistic"], found.cllr["isotonic"])
    assert found.llr(2.0) <= math.log(found.impostors / 3) + 1e-9
    assert found.probability(0.5, prior=0.01) < found.probability(0.5)
    between = found.threshold_at(3e-3)
    assert found.threshold_at(1e-2) < between < found.threshold_at(1e-3)
    for row in checks:
        assert row.low <= row.stated <= row.high
    with pytest.raises(InputError, match="is below what this calibration carries"):
        found.threshold_at(1e-9)
    for bad in (0, 1.5):
        with pytest.raises(InputError):
            found.threshold_at(bad)
    with pytest.raises(InputError, match="prior"):
        found.probability(0.5, prior=1.0)


def test_promised_rates_hold_on_other_people():
    """Ten splits of simulated people: the rate on the other half lies inside the promised interval, about as often as it should."""
    inside = total = 0
    for seed in range(10):
        vectors, names = people_and_vectors(400, 100 + seed, pictures=2)
        half = np.array([int(name[1:]) < 200 for name in names])
        found, _ = fit_calibration(vectors[half], np.array(names)[half], recipe="r", dataset="made", rates=(1e-2, 1e-3))
        for row, rate, _ in realized(found, vectors[~half], np.array(names)[~half]):
            low, high = row.promised(200, 200)
            inside += low <= rate <= high
            total += 1
    assert inside / total >= 0.85, f"{inside} of {total}"


def test_reliability_by_hand():
    rows = reliability([0.05, 0.05, 0.95, 0.95], [0, 1, 1, 1])
    assert [(row.n, row.true) for row in rows] == [(2, 0.5), (2, 1.0)]
    with pytest.raises(InputError):
        reliability([1.2], [1])


def test_too_few_people_are_refused():
    vectors, names = people_and_vectors(5, 1)
    with pytest.raises(InputError, match="at least 8"):
        fit_calibration(vectors, names, recipe="r", dataset="made")


# --- storage and lookup ----------------------------------------------------------------------------------------------------------------------


def test_storage(tmp_path, fitted):
    found, _ = fitted
    calibration.save(found, tmp_path / "c.json")
    assert dataclasses.asdict(calibration.load(tmp_path / "c.json")) == dataclasses.asdict(found)
    table = json.loads((tmp_path / "c.json").read_text())
    for change, word in (
        ({"slope": "steep"}, "slope must be float"),
        ({"people": True}, "people must be int"),
        ({"tail": [[0, 0.5], [1, 0.9]]}, "descend"),
        ({"mispelt": 1}, "mispelt"),
        ({"schema": 9}, "schema 9"),
        ({"method": "magic"}, "logistic or isotonic"),
    ):
        (tmp_path / "bad.json").write_text(json.dumps(table | change))
        with pytest.raises(ConfigError, match=word):
            calibration.load(tmp_path / "bad.json")
        (tmp_path / "bad.json").unlink()
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        calibration.load(tmp_path / "bad.json")
    with pytest.raises(ConfigError, match="No such file"):
        calibration.load(tmp_path / "none.json")


def test_lookup_prefers_the_argument_then_the_user_then_the_package(tmp_path, fitted, monkeypatch):
    found, _ = fitted
    monkeypatch.setattr(calibration, "PACKAGED", tmp_path / "packaged")
    with settings.use(cache=tmp_path / "cache"):
        assert calibration.find("r1") is None
        calibration.save(dataclasses.replace(found, dataset="packaged"), tmp_path / "packaged" / "r1.json")
        assert calibration.find("r1").dataset == "packaged"
        calibration.save(dataclasses.replace(found, dataset="user"), calibration.user_folder() / "r1.json")
        assert calibration.find("r1").dataset == "user"
        assert calibration.find("r1", found).dataset == "made"
        with pytest.raises(ModelMismatch, match="was measured for the recipe r1"):
            calibration.find("r2", found)


def shipped_recipes():
    """(detector, embedder, recipe) of tools/calibrate.py."""
    place = Path(__file__).resolve().parents[3] / "tools" / "calibrate.py"
    module = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("calibrate_tool", place))
    spec.loader.exec_module(module)
    return [(item.detector, item.embedder, Pipeline(item).recipe_id) for specs in module.recipes().values() for item in specs]


def test_every_shipped_recipe_has_its_calibration_and_no_other_is_packaged():
    """A card that changes makes another recipe: its thresholds hold no longer, and `python tools/calibrate.py` measures new ones."""
    wanted = {recipe: (detector, embedder) for detector, embedder, recipe in shipped_recipes()}
    there = {path.stem: path for path in calibration.PACKAGED.glob("*.json")}
    assert set(there) == set(wanted), "run tools/calibrate.py"
    assert Pipeline(PipelineSpec()).recipe_id in wanted, "the default recipe"
    for recipe, (detector, embedder) in wanted.items():
        known = calibration.load(there[recipe])
        assert known.recipe == recipe
        assert known.models["detector"].startswith(detector)
        assert known.models["embedder"].startswith(embedder)
        assert known.impostors > 29_000_000
        assert [row.fmr for row in known.rows] == [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
        assert Pipeline(PipelineSpec(detector=detector, embedder=embedder, fmr=1e-4)).decision().calibration is not None


def test_shipped_thresholds_hold_on_the_half_of_the_people_that_did_not_set_them():
    """Measured when they were made: the rate of each half's threshold on the other half, within what is promised for such halves."""
    inside = total = 0
    for path in calibration.PACKAGED.glob("*.json"):
        known = calibration.load(path)
        for row in known.rows:
            low, high = row.promised(3, 1)  # against `low` to `high`, of all people, each half has twice the variance: a width of √(2 + 2) = √(1 + 3)
            assert low < row.reached < high
            for rate in row.held_out:
                inside += low * 0.999 <= rate <= high * 1.001
                total += 1
    assert inside / total >= 0.9, f"{inside} of {total}"


@pytest.mark.parametrize("metric", ["cosine", "euclidean_l2", "angular"])
def test_a_threshold_for_a_rate(metric):
    pipeline = Pipeline(PipelineSpec(fmr=1e-4, metric=metric))
    known = pipeline.calibration
    decision = pipeline.decision(prior=0.01)
    assert "FMR 0.0001" in decision.source
    score = known.threshold_at(1e-4)
    for offset, same in ((1e-3, True), (-1e-3, False)):
        angle = math.acos(score + offset)
        a, b = (FaceResult(FACE, Embedding(np.array(v, np.float32), None, "m")) for v in ([1, 0], [math.cos(angle), math.sin(angle)]))
        answer = compare(a, b, decision)
        assert answer.verified is same
        assert answer.fmr == pytest.approx(known.fmr_at(score + offset), rel=1e-3)
        assert answer.probability == pytest.approx(known.probability(score + offset, 0.01), rel=1e-3)


def test_what_a_rate_needs():
    with pytest.raises(ConfigError, match="euclidean distances of raw vectors have none"):
        Pipeline(PipelineSpec(fmr=1e-4, metric="euclidean")).decision()
    with pytest.raises(ConfigError, match="none was measured for this recipe"):
        threshold_for_fmr(None, 1e-3, "cosine", "abc")
    with pytest.raises(InputError, match="carries"):
        Pipeline(PipelineSpec(fmr=1e-12)).decision()
    for bad in ({"fmr": 0.0}, {"fmr": 1e-3, "threshold": 0.4}):
        with pytest.raises(ConfigError, match="instead of a threshold"):
            PipelineSpec(**bad)
    with pytest.raises(ConfigError, match="prior"):
        Pipeline(PipelineSpec()).decision(prior=0)
    assert Pipeline(PipelineSpec(align="square:1.3")).calibration is None, "another crop is another recipe"
    assert Pipeline(PipelineSpec(align="square:1.3")).decision().calibration is None
