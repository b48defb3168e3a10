"""Metrics against scikit-learn, SciPy, and the definitions written out by brute force."""

from __future__ import annotations

import itertools
import math
import time
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from faceworks.errors import InputError
from faceworks.evaluate import metrics, rates

# Few distinct values, so that ties within and across the classes are the rule.
tied = st.lists(st.tuples(st.integers(-3, 3).map(lambda n: n / 4), st.booleans()), min_size=1, max_size=40)
spread = st.lists(st.tuples(st.floats(-1, 1, width=32), st.booleans()), min_size=1, max_size=40)
comparisons = tied | spread


def split(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in pairs]), np.array([label for _, label in pairs])


def both(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = split(pairs)
    assume(labels.any() and not labels.all())
    return scores, labels


@settings(deadline=None)
@given(comparisons)
def test_counts_by_definition(pairs):
    scores, labels = split(pairs)
    c = metrics.counts(scores, labels)
    assert c.thresholds.tolist() == sorted(set(scores.tolist()), reverse=True)
    for k, threshold in enumerate(c.thresholds):
        assert c.true_accepts[k] == sum(s >= threshold and same for s, same in zip(scores, labels, strict=True))
        assert c.false_accepts[k] == sum(s >= threshold and not same for s, same in zip(scores, labels, strict=True))
    assert (c.genuine, c.impostors) == (labels.sum(), (~labels).sum())
    assert metrics.counts(c) is c


@settings(deadline=None)
@given(comparisons, st.randoms())
def test_order_does_not_matter(pairs, random):
    scores, labels = both(pairs)
    shuffled = list(pairs)
    random.shuffle(shuffled)
    other = split(shuffled)
    for view in (metrics.auc, metrics.eer, metrics.best_threshold, metrics.tar_at_fmr):
        assert view(scores, labels) == view(*other)


@settings(deadline=None)
@given(comparisons)
def test_roc_and_auc_equal_scikit_learn(pairs):
    scores, labels = both(pairs)
    curve = metrics.roc(scores, labels)
    fmr, tar, thresholds = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.fmr, fmr, rtol=0, atol=1e-15)
    np.testing.assert_allclose(curve.tar, tar, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert metrics.auc(scores, labels) == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores), abs=1e-12)


@settings(deadline=None)
@given(comparisons)
def test_auc_is_the_chance_to_win_with_ties_half(pairs):
    scores, labels = both(pairs)
    won = sum(Fraction(int(g > i)) + Fraction(int(g == i), 2) for g in scores[labels] for i in scores[~labels])
    assert metrics.auc(scores, labels) == float(won / (labels.sum() * (~labels).sum()))


@settings(deadline=None)
@given(comparisons)
def test_eer_by_walking_the_curve_in_fractions(pairs):
    scores, labels = both(pairs)
    genuine, impostors = int(labels.sum()), int((~labels).sum())
    points = [(Fraction(0), Fraction(1))]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        points.append((Fraction(int((scores[~labels] >= threshold).sum()), impostors), Fraction(int((scores[labels] < threshold).sum()), genuine)))
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x1 >= y1:  # the segment (fmr, fnmr) crosses the diagonal
            t = (y0 - x0) / ((x1 - x0) + (y0 - y1))
            expected = x0 + t * (x1 - x0)
            break
    assert metrics.eer(scores, labels) == pytest.approx(float(expected), abs=1e-12)


@settings(deadline=None)
@given(comparisons, st.sampled_from([0.0, 0.05, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0]))
def test_tar_at_fmr_is_the_best_of_all_thresholds(pairs, rate):
    scores, labels = both(pairs)
    point = metrics.tar_at_fmr(scores, labels, rate)
    options = [(np.mean(scores[labels] >= t), t) for t in [np.inf, *scores] if np.mean(scores[~labels] >= t) <= rate]
    assert (point.tar, point.threshold) == max(options)
    assert point.fmr == np.mean(scores[~labels] >= point.threshold) <= rate
    assert point.false_accepts == (scores[~labels] >= point.threshold).sum()
    assert metrics.fnmr_at_fmr(scores, labels, rate) == 1 - point.tar


def test_tar_at_fmr_is_not_fooled_by_rounding():
    """29 false accepts of 100 are an FMR of 0.29, though 0.29 * 100 is 28.999…"""
    scores = np.arange(101.0)
    labels = scores == 71  # 29 impostors score higher
    assert metrics.tar_at_fmr(scores, labels, 0.29).tar == 1
    assert metrics.tar_at_fmr(scores, labels, 0.28).tar == 0


@settings(deadline=None)
@given(comparisons, st.floats(-1, 1) | st.sampled_from([-math.inf, math.inf, 0.25, 0.5]))
def test_accuracy_at_by_definition(pairs, threshold):
    scores, labels = split(pairs)
    assert metrics.accuracy_at(scores, labels, threshold) == pytest.approx(np.mean((scores >= threshold) == labels), abs=1e-15)


@settings(deadline=None)
@given(comparisons)
def test_best_threshold_is_best_and_the_highest_of_the_best(pairs):
    scores, labels = split(pairs)
    threshold = metrics.best_threshold(scores, labels)
    assert math.isfinite(threshold)
    reached = metrics.accuracy_at(scores, labels, threshold)
    for other in [math.inf, *scores.tolist()]:
        accuracy = metrics.accuracy_at(scores, labels, other)
        assert accuracy <= reached
        if accuracy == reached:
            assert (scores >= threshold).sum() <= (scores >= other).sum()
    accepted, refused = scores[scores >= threshold], scores[scores < threshold]
    if accepted.size and refused.size:
        assert refused.max() < threshold <= accepted.min()
        assert threshold == pytest.approx((accepted.min() + refused.max()) / 2, rel=1e-12)


def test_best_threshold_by_hand():
    assert metrics.best_threshold([0.2, 0.4, 0.6, 0.8], [0, 0, 1, 1]) == pytest.approx(0.5)
    assert metrics.best_threshold([0.2, 0.4], [1, 1]) == 0.2
    assert metrics.best_threshold([0.2, 0.4], [0, 0]) == np.nextafter(0.4, 1)
    # accept {0.9}, {0.9, 0.7, 0.5}: two wrong each way of three, so the smaller set; halfway between 0.9 and 0.7
    assert metrics.best_threshold([0.9, 0.7, 0.5], [1, 0, 1]) == pytest.approx(0.8)
    neighbors = [1.0, np.nextafter(1.0, 2)]
    assert metrics.best_threshold(neighbors, [0, 1]) == neighbors[1]


ALL = [metrics.counts, metrics.roc, metrics.auc, metrics.eer, metrics.tar_at_fmr, metrics.fnmr_at_fmr, metrics.accuracy_at, metrics.best_threshold]


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([], [], "no comparison"),
        ([0.1, math.nan], [0, 1], "1 of 2 scores are NaN or infinite"),
        ([0.1, math.inf], [0, 1], "1 of 2 scores are NaN or infinite"),
        ([0.1, 0.2], [0, 2], "True or False"),
        ([0.1, 0.2], ["a", "b"], "True or False"),
        ([0.1, 0.2], [True], "one shape"),
        ([[0.1, 0.2]], [[0, 1]], "shape"),
        (["a", "b"], [0, 1], "must be numbers"),
        ([0.1], None, "come with labels"),
    ],
)
def test_what_is_refused(function, scores, labels, message):
    with pytest.raises(InputError, match=message):
        function(scores, labels)


@pytest.mark.parametrize("function", [metrics.roc, metrics.auc, metrics.eer, metrics.tar_at_fmr, metrics.fnmr_at_fmr])
def test_one_class_alone_is_undefined(function):
    with pytest.raises(InputError, match="no genuine comparison among 2"):
        function([0.1, 0.2], [0, 0])
    with pytest.raises(InputError, match="no impostor comparison among 2"):
        function([0.1, 0.2], [1, 1])


def test_rates_and_thresholds_that_are_none():
    with pytest.raises(InputError, match=r"lies in \[0, 1\]"):
        metrics.tar_at_fmr([0.1, 0.2], [0, 1], 1.5)
    with pytest.raises(InputError, match=r"lies in \[0, 1\]"):
        metrics.tar_at_fmr([0.1, 0.2], [0, 1], math.nan)
    with pytest.raises(InputError, match="NaN"):
        metrics.accuracy_at([0.1, 0.2], [0, 1], math.nan)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64, np.uint8])
def test_number_types(kind):
    scores = np.array([1, 2, 2, 3, 4], dtype=kind)
    assert metrics.auc(scores, [0, 0, 1, 0, 1]) == 4.5 / 6
    assert metrics.tar_at_fmr(scores, [0, 0, 1, 0, 1], 0.0).threshold == 4


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_equals_the_binomial_test(pairs):
    a, b = np.array(pairs).T
    result = metrics.mcnemar(a, b)
    n = result.only_a + result.only_b
    assert result.only_a == sum(x and not y for x, y in pairs)
    expected = scipy.stats.binomtest(result.only_a, n).pvalue if n else 1.0
    assert result.p_value == pytest.approx(expected, rel=1e-9)
    mirrored = metrics.mcnemar(b, a)
    assert (mirrored.only_a, mirrored.only_b, mirrored.p_value) == (result.only_b, result.only_a, result.p_value)


def test_mcnemar_by_hand_and_at_size():
    a, b = np.zeros(6000, bool), np.zeros(6000, bool)
    a[:121], b[200:259] = True, True
    result = metrics.mcnemar(a, b)
    assert (result.only_a, result.only_b) == (121, 59)
    assert result.p_value == pytest.approx(2 * scipy.stats.binom.cdf(59, 180, 0.5), rel=1e-10)
    assert metrics.mcnemar([1, 0], [1, 0]).p_value == 1.0
    with pytest.raises(InputError, match="same comparisons"):
        metrics.mcnemar([1, 0], [1])


def test_arrays_are_read_only():
    c = metrics.counts([0.1, 0.2], [0, 1])
    with pytest.raises(ValueError, match="read-only"):
        c.thresholds[0] = 1


@pytest.mark.slow
def test_ten_million_scores_in_ten_seconds():
    random = np.random.default_rng(0)
    labels = random.random(10_000_000) < 0.1
    scores = random.normal(0, 0.1, labels.size) + 0.6 * labels
    start = time.process_time()  # one thread, so this is what it takes on a machine that is not shared
    c = metrics.counts(scores, labels)
    metrics.auc(c), metrics.eer(c), metrics.tar_at_fmr(c, fmr=1e-4), metrics.best_threshold(c)
    rates.det(c), rates.d_prime(scores, labels), rates.min_cllr(c), rates.verification_table(c)
    assert time.process_time() - start < 10
