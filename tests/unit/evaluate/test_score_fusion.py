"""Fusion of scores: against scikit-learn, and against what must hold by construction."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from faceworks.errors import ConfigError, InputError
from faceworks.evaluate import compare_reports, fuse_reports, fuse_scores, k_fold, logistic_weights, sigma_weights
from faceworks.evaluate.score_fusion import write_report


def two_systems(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (2, n) whose errors are independent, labels, and five folds."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2 == 0
    scores = np.stack([labels * 1.0 + rng.normal(0, 0.5, n), labels * 10.0 + rng.normal(0, 6, n)])
    return scores, labels, np.arange(n) * 5 // n + 1


def test_logistic_is_scikit_learns() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    scores, labels, _ = two_systems()
    z = (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)
    theirs = linear_model.LogisticRegression(C=1 / (1e-6 * len(labels)), tol=1e-12, max_iter=10_000).fit(z.T, labels)
    weights, intercept = logistic_weights(scores, labels)
    np.testing.assert_allclose(weights @ scores + intercept, theirs.decision_function(z.T), atol=2e-4)


def test_separated_classes_stay_finite() -> None:
    labels = np.array([True, False] * 20)
    weights, intercept = logistic_weights(np.stack([labels * 2.0, labels * 3.0 + 1]), labels)
    assert np.isfinite([*weights, intercept]).all()
    assert (weights > 0).all()


def test_sigma_weights_by_hand() -> None:
    impostors = np.array([[0.0, 2.0], [0.0, 6.0]])  # standard deviations √2 and √18: 1/σ are as 3 to 1
    scores = np.concatenate([impostors, [[9.0], [9.0]]], axis=1)
    np.testing.assert_allclose(sigma_weights(scores, [False, False, True]), [0.75, 0.25])
    with pytest.raises(InputError, match="that differ"):
        sigma_weights([[1.0, 1.0], [0.0, 1.0]], [False, False])


@pytest.mark.parametrize("method", ["logistic", "sigma"])
def test_two_independent_systems_beat_each(method: str) -> None:
    scores, labels, folds = two_systems(2000)
    fused = fuse_scores(scores, labels, folds, method=method)
    assert fused.result.mean > max(k_fold(row, labels, folds).mean for row in scores) + 0.01
    assert fused.weights.shape == (5, 2)
    # the score of a pair is made with the weights of its own fold
    np.testing.assert_allclose(fused.scores[folds == 3], fused.weights[2] @ scores[:, folds == 3] + fused.intercepts[2])


def test_a_system_of_noise_gets_no_say() -> None:
    scores, labels, folds = two_systems(2000)
    noise = np.random.default_rng(1).normal(size=labels.size)
    fused = fuse_scores(np.stack([scores[0], noise]), labels, folds)
    assert np.abs(fused.weights[:, 1]).max() < 0.1 * fused.weights[:, 0].min()


def test_no_fold_teaches_itself() -> None:
    """Turning the labels of a fold upside down changes neither its weights nor its threshold."""
    scores, labels, folds = two_systems()
    turned = np.where(folds == 2, ~labels, labels)
    a, b = fuse_scores(scores, labels, folds), fuse_scores(scores, turned, folds)
    np.testing.assert_array_equal(a.weights[1], b.weights[1])
    assert a.result.thresholds[1] == b.result.thresholds[1]
    assert a.weights[0].tolist() != b.weights[0].tolist()


def test_people_of_the_fold_teach_it_nothing() -> None:
    scores, labels, folds = two_systems()
    people = [(f"p{k}", f"p{k}" if same else f"q{k}") for k, same in enumerate(labels)]
    shared = next(k for k in range(len(labels)) if folds[k] == 2 and not labels[k])
    people[0] = people[shared]  # a pair of fold 1 shows people of fold 2
    spoiled = scores.copy()
    spoiled[:, 0] += 50
    a, b = fuse_scores(scores, labels, folds, people), fuse_scores(spoiled, labels, folds, people)
    np.testing.assert_array_equal(a.weights[1], b.weights[1])
    assert a.weights[2].tolist() != b.weights[2].tolist()


def test_an_undetected_pair_is_wrong_and_teaches_nothing() -> None:
    scores, labels, folds = two_systems()
    holed = scores.copy()
    holed[0, 7] = np.nan
    fused = fuse_scores(holed, labels, folds)
    assert fused.result.failures == 1
    assert not fused.result.correct[7]
    assert np.isnan(fused.scores[7])
    without = fuse_scores(np.delete(scores, 7, axis=1), np.delete(labels, 7), np.delete(folds, 7))
    np.testing.assert_allclose(fused.weights, without.weights)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"scores": np.zeros((1, 4))}, InputError, "K ≥ 2"),
        ({"folds": np.ones(4)}, InputError, "at least two"),
        ({"labels": np.ones(4, bool)}, InputError, "both kinds"),
        ({"method": "mean"}, ConfigError, "logistic, sigma"),
        ({"people": [("a", "b")] * 4}, InputError, "other people"),
        ({"people": [("a", "b")]}, InputError, "N"),
    ],
)
def test_bad_input_is_named(change: dict, error: type, words: str) -> None:
    good = {"scores": np.eye(2, 4), "labels": np.array([True, False, True, False]), "folds": np.array([1, 1, 2, 2])}
    with pytest.raises(error, match=words):
        fuse_scores(**(good | change))


def report_of(folder: Path, scores: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> Path:
    folder.mkdir()
    correct = k_fold(scores, labels, folds).correct
    with (folder / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["score", "label", "fold", "correct", "first", "second", "person_a", "person_b"])
        for k, score in enumerate(scores.tolist()):
            other = f"p{k}" if labels[k] else f"q{k}"
            writer.writerow([score, int(labels[k]), folds[k], int(correct[k]), f"p{k}/1.jpg", f"{other}/2.jpg", f"p{k}", other])
    return folder


def test_reports_are_fused_and_the_result_compares(tmp_path: Path) -> None:
    scores, labels, folds = two_systems(2000)
    a, b = (report_of(tmp_path / name, row, labels, folds) for name, row in zip("ab", scores, strict=True))
    found = fuse_reports([a, b])
    assert found.systems == ("a", "b")
    np.testing.assert_allclose(found.fusion.scores, fuse_scores(scores, labels, folds).scores)
    json.dumps(found.to_dict(), allow_nan=False)
    write_report(found, tmp_path / "fused")
    compared = compare_reports([tmp_path / "fused", a, b])
    assert [item.differences[0].a for item in compared] == [pytest.approx(found.fusion.result.mean)] * 2
    assert all(item.mcnemar.p_value < 0.01 for item in compared)
    with pytest.raises(InputError, match="at least two"):
        fuse_reports([a])
    other = report_of(tmp_path / "other", scores[0], ~labels, folds)
    with pytest.raises(InputError, match="same pairs"):
        fuse_reports([a, other])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from faceworks.cli import run

    scores, labels, folds = two_systems(400)
    folders = [str(report_of(tmp_path / name, row, labels, folds)) for name, row in zip("ab", scores, strict=True)]
    assert run(["evaluate", "fuse", *folders, "--method", "sigma", "--json", "--out", str(tmp_path / "out")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["method"] == "sigma"
    assert json.loads((tmp_path / "out" / "report.json").read_text())["accuracy"] == document["accuracy"]
    assert run(["evaluate", "fuse", *folders, "--quiet"]) == 0
    assert len(capsys.readouterr().out.split("\t")) == 2
    assert run(["evaluate", "fuse", folders[0]]) == 2
