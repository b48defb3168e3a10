"""Similarities on vectors made from angles: every value can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from faceworks import similarity
from faceworks.cards import get
from faceworks.errors import ConfigError, InputError, ModelMismatch
from faceworks.types import Embedding, Face, FaceResult
from faceworks.verification import Decision, compare, resolve_threshold

EMBEDDER = "sface-2021dec-int8bq"
SIGNED = tuple(metric for metric in similarity.METRICS if metric != "chi2")  # chi2 compares histograms: tests/reference/test_lbph.py


def at(degrees: float, length: float = 1.0) -> np.ndarray:
    """A 2-D vector by its angle."""
    return length * np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])


angles = st.floats(0, 180)
lengths = st.floats(0.01, 1000)
vectors = arrays(np.float32, 128, elements=st.floats(-10, 10, width=32)).filter(lambda v: np.linalg.norm(v) > 1e-3)


@given(angles, angles, lengths, lengths)
def test_formulas_on_angles(a: float, b: float, la: float, lb: float) -> None:
    x, y = at(a, la), at(b, lb)
    angle = abs(a - b)
    cosine = math.cos(math.radians(angle))
    assert similarity.similarity(x, y) == pytest.approx(cosine, abs=1e-9)
    assert similarity.distance(x, y, "cosine") == pytest.approx(1 - cosine, abs=1e-9)
    assert similarity.distance(x, y, "angular") == pytest.approx(angle / 180, abs=1e-6)
    assert similarity.distance(x, y, "euclidean_l2") == pytest.approx(2 * math.sin(math.radians(angle) / 2), abs=1e-6)
    assert similarity.distance(x, y, "euclidean") == pytest.approx(math.sqrt(max(0, la**2 + lb**2 - 2 * la * lb * cosine)), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("degrees", "cosine", "euclidean_l2", "angular"),
    [(0, 0.0, 0.0, 0.0), (60, 0.5, 1.0, 1 / 3), (90, 1.0, math.sqrt(2), 0.5), (120, 1.5, math.sqrt(3), 2 / 3), (180, 2.0, 2.0, 1.0)],
)
def test_by_hand(degrees: float, cosine: float, euclidean_l2: float, angular: float) -> None:
    x, y = at(10), at(10 + degrees)
    found = [similarity.distance(x, y, metric) for metric in ("cosine", "euclidean_l2", "angular")]
    assert found == pytest.approx([cosine, euclidean_l2, angular], abs=1e-7)


@given(vectors)
def test_a_vector_is_at_distance_zero_from_itself(x: np.ndarray) -> None:
    for metric in SIGNED:
        assert 0 <= similarity.distance(x, x, metric) <= 1e-6
        assert 0 <= similarity.distance(x, x.copy(), metric) <= 1e-6
    assert similarity.similarity(x, x) == 1.0


@given(vectors, vectors)
def test_laws(x: np.ndarray, y: np.ndarray) -> None:
    for metric in SIGNED:
        assert similarity.distance(x, y, metric) >= 0
        assert similarity.distance(x, y, metric) == similarity.distance(y, x, metric)
    assert -1 <= similarity.similarity(x, y) <= 1
    assert similarity.distance(x, -x) == pytest.approx(2)


@given(vectors, vectors, st.floats(0.01, 100))
def test_only_the_raw_euclidean_sees_length(x: np.ndarray, y: np.ndarray, factor: float) -> None:
    for metric in ("cosine", "euclidean_l2", "angular"):
        assert similarity.distance(x * np.float64(factor), y, metric) == pytest.approx(similarity.distance(x, y, metric), abs=1e-5)


@pytest.mark.parametrize("bad", [np.zeros(4), np.array([1, np.nan, 0, 0]), np.array([np.inf, 0, 0, 0])])
@pytest.mark.parametrize("metric", ["cosine", "euclidean_l2", "angular"])
def test_a_vector_without_direction_is_refused(bad: np.ndarray, metric: str) -> None:
    good = np.ones(4)
    for pair in ((bad, good), (good, bad), (bad, bad)):
        with pytest.raises(InputError):
            similarity.distance(*pair, metric)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        similarity.unit(np.stack([good, bad]))


@pytest.mark.parametrize(("a", "b"), [(np.ones(3), np.ones(4)), (np.ones((2, 2)), np.ones((2, 2))), (np.float64(1), np.float64(1))])
def test_shapes_must_agree(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(InputError, match="two vectors of one length"):
        similarity.similarity(a, b)


def test_unknown_metric_names_the_known() -> None:
    with pytest.raises(InputError, match="cosine, euclidean, euclidean_l2, angular"):
        similarity.from_cosine(0.5, "manhattan")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no euclidean distance follows"):
        similarity.from_cosine(0.5, "euclidean")


def test_unit_and_matrix() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 128)), rng.normal(size=(5, 128))
    assert np.abs(np.linalg.norm(similarity.unit(a), axis=1) - 1).max() < 1e-6
    table = similarity.cosine_matrix(a, b)
    for i in range(7):
        for j in range(5):
            assert table[i, j] == pytest.approx(similarity.similarity(a[i], b[j]), abs=1e-6)


# --- decisions -------------------------------------------------------------------------------------------------------------------------------


def test_ties_are_accepted() -> None:
    assert similarity.accepts(0.4, 0.4)
    assert not similarity.accepts(math.nextafter(0.4, 1), 0.4)
    assert Decision("cosine", 0.4, "here").decide(0.4) is True


@given(st.floats(-1, 1))
def test_similarity_at_the_threshold_is_accepted_as_a_distance_too(t: float) -> None:
    """similarity ≥ t and distance ≤ 1 − t are one decision, also for a score that equals t to the last bit."""
    largest = similarity.as_distance_threshold(t, "similarity", "cosine")
    assert similarity.accepts(similarity.from_cosine(t, "cosine"), largest)
    assert similarity.accepts(similarity.from_cosine(min(1.0, math.nextafter(t, 2)), "cosine"), largest)


@given(angles, angles)
def test_metrics_agree_in_their_decision(a: float, b: float) -> None:
    card = get(EMBEDDER)
    cosine = similarity.similarity(at(a), at(b))
    if abs(cosine - 0.363) < 1e-9:
        return
    answers = {
        metric: resolve_threshold(card, metric).decide(similarity.distance(at(a), at(b), metric)) for metric in ("cosine", "euclidean_l2", "angular")
    }
    assert set(answers.values()) == {cosine >= 0.363}, answers


def test_metrics_agree_on_a_tie() -> None:
    """A cosine that equals the card's threshold is accepted in each metric: thresholds and distances go through the same function."""
    card = get(EMBEDDER)
    threshold = card.threshold_for("cosine")
    assert threshold is not None
    for metric in ("cosine", "euclidean_l2", "angular"):
        assert resolve_threshold(card, metric).decide(similarity.from_cosine(threshold.value, metric)) is True, metric


def test_a_threshold_has_an_origin() -> None:
    card = get(EMBEDDER)
    assert resolve_threshold(card, "cosine", 0.5).source == "given by the caller"
    assert "OpenCV zoo" in resolve_threshold(card, "cosine").source
    assert "cosine 0.637 as angular" in resolve_threshold(card, "angular").source
    with pytest.raises(ConfigError, match="'euclidean'"):
        resolve_threshold(card, "euclidean")


@pytest.mark.parametrize("kind", ["", "score", "Similarity"])
def test_the_direction_of_a_threshold_is_never_guessed(kind: str) -> None:
    with pytest.raises(InputError, match="'similarity' or a 'distance'"):
        similarity.as_distance_threshold(0.5, kind, "cosine")
    with pytest.raises(InputError, match="is a cosine"):
        similarity.as_distance_threshold(0.5, "similarity", "euclidean_l2")
    assert similarity.as_distance_threshold(1.1, "distance", "euclidean_l2") == 1.1


@pytest.mark.parametrize(("distance", "answer"), [(0.30, True), (0.34, True), (0.36, None), (0.40, None), (0.44, None), (0.46, False)])
def test_review_band(distance: float, answer: bool | None) -> None:
    assert Decision("cosine", 0.4, "here", review=0.05).decide(distance) is answer


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_thresholds_that_cannot_hold(bad: float) -> None:
    with pytest.raises(ConfigError):
        Decision("cosine", bad, "here")
    with pytest.raises(ConfigError):
        Decision("cosine", 0.4, "here", review=bad)
    with pytest.raises(ConfigError):
        Decision("hamming", 0.4, "here")  # type: ignore[arg-type]


def result(vector: np.ndarray, model: str = "m") -> FaceResult:
    return FaceResult(Face(np.array([0, 0, 1, 1]), 1.0), Embedding(vector, None, model))


def test_compare_fills_the_verification() -> None:
    answer = compare(result(at(0)), result(at(60)), Decision("euclidean_l2", 1.0 + 1e-6, "here"), {"embedder": "m"}, {"load": 0.25})
    assert answer.verified is True
    assert answer.similarity == pytest.approx(0.5)
    assert answer.distance == pytest.approx(1.0)
    assert (answer.metric, answer.threshold_source, answer.models, answer.timings) == ("euclidean_l2", "here", {"embedder": "m"}, {"load": 0.25})
    assert (answer.probability, answer.fmr) == (None, None)


def test_compare_refuses_two_models_and_faces_without_vectors() -> None:
    decision = Decision("cosine", 0.4, "here")
    with pytest.raises(ModelMismatch):
        compare(result(at(0), "a"), result(at(0), "b"), decision)
    with pytest.raises(ConfigError, match="without an embedding"):
        compare(FaceResult(Face(np.zeros(4), 0.5)), result(at(0)), decision)
