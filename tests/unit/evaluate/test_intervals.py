"""Exact intervals against SciPy; the vertex bootstrap against simulation: it covers, the naive one does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from faceworks.errors import InputError
from faceworks.evaluate import bootstrap, clopper_pearson, metrics, require_support, rule_of_three, summarize
from faceworks.evaluate.intervals import hull, incomplete_beta, student_t


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 3), (12, 2), (300, 4000), (3, 29_000_000)])
def test_incomplete_beta(a, b):
    middle = a / (a + b)
    for x in (0, middle / 100, middle / 2, middle, min(1, middle * 2), 1):
        assert incomplete_beta(x, a, b) == pytest.approx(scipy.special.betainc(a, b, x), rel=1e-6, abs=1e-13)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 10), (3, 3000), (10, 10), (500, 3000), (9, 29_000_000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_clopper_pearson(k, n, confidence):
    expected = scipy.stats.binomtest(k, n).proportion_ci(confidence, "exact")
    assert clopper_pearson(k, n, confidence) == pytest.approx((expected.low, expected.high), rel=1e-5, abs=1e-14)


def test_what_intervals_refuse():
    for bad in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(InputError):
            clopper_pearson(*bad)
    with pytest.raises(InputError):
        clopper_pearson(1, 2, 1.0)


def test_rule_of_three_is_the_one_sided_bound():
    assert rule_of_three(3000) == pytest.approx(1 - 0.05 ** (1 / 3000), rel=2e-3)
    assert rule_of_three(1) == 1.0


def test_a_rate_that_the_data_cannot_carry_is_refused_with_the_number_it_takes():
    require_support(1e-3, 3000)
    with pytest.raises(InputError, match="it takes 30000"):
        require_support(1e-4, 3000)
    with pytest.raises(InputError, match=r"\(0, 1\]"):
        require_support(0, 10**9)


def test_few_errors_widen():
    assert hull((0.001, 0.002), 3, 3000) == (pytest.approx(0.000206, rel=0.01), pytest.approx(0.00292, rel=0.01))
    assert hull((0.1, 0.2), 10, 3000) == (0.1, 0.2)
    low, high = hull((1.0, 1.0), 0, 100, of_successes=True)
    assert (high, low) == (1.0, pytest.approx(0.05**0 - clopper_pearson(0, 100)[1]))


# --- the bootstrap ---------------------------------------------------------------------------------------------------------------------------


def test_weights_by_hand():
    people = bootstrap.index_people([("a", "a"), ("a", "b"), ("c", "b")])
    assert people.tolist() == [[0, 0], [0, 1], [2, 1]]
    assert bootstrap.weights_of(np.array([[2.0, 3.0, 0.0]]), people).tolist() == [[2.0, 6.0, 0.0]]


def test_curves_with_weights_one_are_the_metrics():
    random = np.random.default_rng(2)
    labels = random.random(300) < 0.4
    scores = (random.normal(0, 1, 300) + labels).round(1)
    people = np.stack([np.arange(300), np.where(labels, np.arange(300), (np.arange(300) + 1) % 300)], axis=1)
    fmrs = [0.01, 0.1, 0.5]
    found = bootstrap.curves(scores, labels, people, fmrs, np.ones((2, 300)))
    assert found.auc == pytest.approx([metrics.auc(scores, labels)] * 2)
    assert found.eer == pytest.approx([metrics.eer(scores, labels)] * 2)
    assert found.tar[1] == pytest.approx([metrics.tar_at_fmr(scores, labels, f).tar for f in fmrs])


def test_curves_with_integer_weights_are_the_metrics_of_repeated_comparisons():
    random = np.random.default_rng(4)
    labels = np.array([True] * 20 + [False] * 40)
    scores = (random.normal(0, 1, 60) + labels).round(1)
    people = np.concatenate([np.stack([np.arange(20)] * 2, axis=1), random.integers(0, 20, (40, 2))])
    people[20:][people[20:, 0] == people[20:, 1]] = (0, 1)
    for row in bootstrap.vertex_weights(20, 5, 9):
        times = bootstrap.weights_of(row[None], people)[0].astype(int)
        s, x = np.repeat(scores, times), np.repeat(labels, times)
        found = bootstrap.curves(scores, labels, people, [0.1], row[None])
        assert found.auc[0] == pytest.approx(metrics.auc(s, x))
        assert found.eer[0] == pytest.approx(metrics.eer(s, x))
        assert found.tar[0, 0] == pytest.approx(metrics.tar_at_fmr(s, x, 0.1).tar)


def test_matrix_rates_equal_the_list():
    random = np.random.default_rng(6)
    samples = random.integers(1, 4, 12)
    upper = np.triu(random.integers(0, 2, (12, 12)), 1) * np.outer(samples, samples)
    weights = bootstrap.vertex_weights(12, 7, 1)
    found = bootstrap.matrix_rates(upper + upper.T, samples, weights)
    for w, rate in zip(weights, found, strict=True):
        pairs = [(i, j) for i in range(12) for j in range(i)]
        total = sum(w[i] * w[j] * samples[i] * samples[j] for i, j in pairs)
        assert rate == pytest.approx(sum(w[i] * w[j] * upper[j, i] for i, j in pairs) / total)


def simulate(people: int, spread: float, rate: float, seed: int):
    """Everybody against everybody: two people's own levels and chance; errors (P, P) at the threshold whose true FMR is `rate`."""
    random = np.random.default_rng(seed)
    level = random.normal(0, spread, people)
    i, j = np.triu_indices(people, 1)
    wrong = level[i] + level[j] + random.normal(0, 1, len(i)) >= scipy.stats.norm.isf(rate) * math.sqrt(2 * spread**2 + 1)
    errors = np.zeros((people, people), np.float32)
    errors[i, j] = errors[j, i] = wrong
    return errors


def test_the_interval_of_a_list_is_that_of_the_matrix():
    errors = simulate(30, 0.6, 0.1, 1)
    i, j = np.triu_indices(30, 1)
    weights = bootstrap.vertex_weights(30, 200, 3)
    rate = float(errors[i, j].mean())
    expected = bootstrap.rate_span(rate, bootstrap.matrix_rates(errors, np.ones(30), weights), 30)
    assert bootstrap.rate_interval(errors[i, j], np.stack([i, j], axis=1), weights=weights) == pytest.approx(expected)
    assert expected[0] < rate < expected[1]


def test_a_span_by_hand():
    """logit(0.2) ± t · s / (0.2 · 0.8), s with the people's n / (n − 1)."""
    found = bootstrap.rate_span(0.2, [0.1, 0.2, 0.3, np.nan], 10)
    step = scipy.stats.t.ppf(0.975, 9) * 0.1 * math.sqrt(10 / 9) / 0.16
    assert found == pytest.approx(scipy.special.expit([math.log(0.25) - step, math.log(0.25) + step]))
    assert bootstrap.rate_span(0.0, [0.0, 0.0], 10) == (0.0, 0.0), "no log-odds: the caller's hull gives the exact interval"
    assert bootstrap.rate_span(1e-9, [1e-9, 1.0], 3)[1] == pytest.approx(1.0), "no overflow"
    assert all(math.isnan(end) for end in bootstrap.rate_span(0.5, [], 10))


@pytest.mark.parametrize("df", [1, 2, 39, 5000])
def test_student_t(df):
    assert student_t(0.975, df) == pytest.approx(scipy.stats.t.ppf(0.975, df), rel=1e-9)
    for bad in ((0.5, df), (1.0, df), (0.9, 0)):
        with pytest.raises(InputError):
            student_t(*bad)


def test_differences_have_percentiles():
    gap = np.array([1.0, 0.0, -1.0, 1.0, 1.0, 0.0])
    people = np.stack([np.arange(6)] * 2, axis=1)
    low, high = bootstrap.rate_interval(gap, people, 500, difference=True)
    assert -1 <= low < gap.mean() < high <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("people", "spread", "rate"), [(80, 0.6, 0.1), (80, 0.6, 0.01), (150, 1.0, 0.05)])
def test_the_interval_of_fmr_covers_and_the_naive_one_does_not(people, spread, rate):
    """500 simulated data sets with people who are confused with everybody ("wolves")."""
    covered = naive = 0
    n = people * (people - 1) // 2
    for run in range(500):
        errors = simulate(people, spread, rate, run)
        share, count = float(errors.sum() / 2 / n), int(errors.sum() / 2)
        replicates = bootstrap.matrix_rates(errors, np.ones(people), bootstrap.vertex_weights(people, 300, run).astype(np.float32))
        low, high = hull(bootstrap.rate_span(share, replicates, people), count, n)
        covered += low <= rate <= high
        naive += abs(share - rate) <= 1.96 * math.sqrt(share * (1 - share) / n)  # what resampling pairs one by one comes to
    print(f"FMR {rate}, {people} people: covered {covered / 500:.3f}, naive {naive / 500:.3f}")
    assert 0.92 <= covered / 500 <= 0.98, covered / 500
    assert naive / 500 < 0.85, naive / 500


@pytest.mark.slow
@pytest.mark.parametrize(("people", "each", "spread", "rate"), [(150, 4, 1.0, 0.144), (150, 4, 1.0, 0.02), (60, 6, 1.5, 0.05), (40, 10, 1.0, 0.1)])
def test_the_interval_of_fnmr_covers(people, each, spread, rate):
    """Genuine comparisons, several of each person, who differ in how well they are recognized."""
    covered = naive = 0
    owner = np.repeat(np.arange(people), each)
    pairs, n = np.stack([owner, owner], axis=1), people * each
    threshold = scipy.stats.norm.ppf(rate) * math.sqrt(1 + spread**2)
    for run in range(500):
        random = np.random.default_rng(run)
        errors = random.normal(0, 1, n) + random.normal(0, spread, people)[owner] < threshold
        low, high = hull(bootstrap.rate_interval(errors, pairs, replicates=400, seed=run), int(errors.sum()), n)
        covered += low <= rate <= high
        naive += abs(errors.mean() - rate) <= 1.96 * math.sqrt(errors.mean() * (1 - errors.mean()) / n)
    print(f"FNMR {rate}, {people} people: covered {covered / 500:.3f}, naive {naive / 500:.3f}")
    assert 0.92 <= covered / 500 <= 0.98, covered / 500
    assert naive / 500 < 0.92, naive / 500


# --- the summary -----------------------------------------------------------------------------------------------------------------------------


def test_a_summary_counts_failures_and_says_what_it_cannot():
    random = np.random.default_rng(0)
    labels = np.arange(1000) < 500
    scores = random.normal(0, 1, 1000) + 3 * labels
    missed = np.zeros(1000, bool)
    missed[:5] = missed[500:510] = True
    scores[missed] = np.nan
    people = [(k // 2, k // 2) if same else (k, k + 1) for k, same in enumerate(labels)]
    found = summarize(scores, labels, people, missed)
    assert (found.genuine, found.impostors, found.fta_genuine, found.fta_impostor) == (495, 490, 0.01, 0.02)
    point = found.tar_at_fmr["0.01"]
    assert point.frr == pytest.approx(np.mean(~(np.nan_to_num(scores[:500], nan=-9) >= point.threshold)))
    assert point.far == pytest.approx(np.mean(np.nan_to_num(scores[500:], nan=-9) >= point.threshold))
    assert point.tar_interval[0] < point.tar < point.tar_interval[1]
    assert found.intervals["auc"][0] < found.auc < found.intervals["auc"][1]
    assert set(found.refused) == {"0.001", "0.0001", "1e-05", "1e-06"}
    assert sum(found.histogram["genuine"]) == 495
    with pytest.raises(InputError, match="it takes 3000 "):
        summarize(scores, labels, people, missed, fmrs=[1e-3])


def test_a_summary_of_one_class_alone_has_no_rates():
    found = summarize([0.1, 0.2], [True, True], [("a", "a"), ("b", "b")])
    assert (found.auc, found.eer, found.tar_at_fmr, found.roc) == (None, None, {}, ())
    with pytest.raises(InputError, match="no comparison"):
        summarize([], [])
    with pytest.raises(InputError, match="NaN"):
        summarize([0.1, np.nan], [True, False])
