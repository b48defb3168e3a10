"""Tables, DET, d′, likelihood-ratio costs and open-set rates, against scikit-learn, SciPy and brute force; the seeds' worked tables to the digit."""

from __future__ import annotations

import csv
import itertools
import json
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.isotonic
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from faceworks import evaluate
from faceworks.errors import InputError, ManifestError
from faceworks.evaluate import metrics, rates

SAME = [0.99, 0.79, 0.89, 0.11, 0.92]
DIFFERENT = [0.02, 0.11, 0.39, 0.21, 0.01]
STEPS = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
VERIFICATION = [(0, 1), (0.4, 1), (0.6, 1), (0.8, 1), (0.8, 1), (0.8, 1), (0.8, 1), (0.8, 0.8), (0.8, 0.6), (1, 0.4), (1, 0)]
TRUTH, PREDICTED = list("ABCDE") + [""] * 5, list("ABDDE") + list("ABCDE")
ANSWERS = [0.99, 0.61, 0.71, 0.39, 0.98, 0.22, 0.31, 0.99, 0.71, 0.01]
IDENTIFICATION = [(0, 1), (0.4, 0.8), (0.4, 0.8), (0.4, 0.6), (0.6, 0.6), (0.6, 0.6), (0.6, 0.6), (0.8, 0.4), (0.8, 0.2), (0.8, 0.2), (0.8, 0)]

tied = st.lists(st.tuples(st.integers(-3, 3).map(lambda n: n / 4), st.booleans()), min_size=1, max_size=30)


def both(pairs):
    scores, labels = np.array([s for s, _ in pairs]), np.array([x for _, x in pairs])
    assume(labels.any() and not labels.all())
    return scores, labels


# --- the seeds' tables -----------------------------------------------------------------------------------------------------------------------


def test_the_verification_table_of_the_seed():
    scores, labels = SAME + DIFFERENT, [1] * 5 + [0] * 5
    table = evaluate.verification_table(scores, labels)
    assert [(row["threshold"], row["tar"], row["trr"]) for row in table] == [(t, *row) for t, row in zip(STEPS, VERIFICATION, strict=True)]
    assert evaluate.auc(scores, labels) == 0.9


def test_the_identification_table_of_the_seed():
    table = evaluate.identification_table(TRUTH, PREDICTED, ANSWERS)
    assert [(row["threshold"], row["tpir"], row["tnir"]) for row in table] == [(t, *row) for t, row in zip(STEPS, IDENTIFICATION, strict=True)]
    assert evaluate.identification_auc(TRUTH, PREDICTED, ANSWERS) == 0.58
    curve = evaluate.open_set(TRUTH, PREDICTED, ANSWERS)
    assert (curve.fpir[-1], curve.tpir[-1]) == (1.0, 0.8), "the curve ends at rank-1 accuracy"


def test_the_seeds_tables_through_files(tmp_path):
    with (tmp_path / "v.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["score", "label"], *[(s, 1) for s in SAME], *[(s, 0) for s in DIFFERENT]])
    with (tmp_path / "i.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["probe", "predicted", "score"], *zip(TRUTH, PREDICTED, ANSWERS, strict=True)])
    v, i = evaluate.evaluate_scores(tmp_path / "v.csv", STEPS), evaluate.evaluate_scores(tmp_path / "i.csv", STEPS)
    assert [(row["tar"], row["trr"]) for row in v["table"]] == VERIFICATION
    assert [(row["tpir"], row["tnir"]) for row in i["table"]] == IDENTIFICATION
    assert (v["auc"], i["auc"], i["rank1"]) == (0.9, 0.58, 0.8)
    assert v["independent"] is True
    json.dumps([v, i], allow_nan=False)
    (tmp_path / "wrong.csv").write_text("score,label\n0.5,1\nhigh,0\n")
    with pytest.raises(ManifestError, match="line 3"):
        evaluate.evaluate_scores(tmp_path / "wrong.csv")
    with pytest.raises(InputError, match="it takes 30000"):
        evaluate.evaluate_scores(tmp_path / "v.csv", fmrs=[1e-4])


def test_failures_in_a_score_file_are_counted(tmp_path):
    (tmp_path / "s.csv").write_text("score,label,person_a,person_b\n0.9,1,a,a\n,1,b,b\n0.2,0,a,b\n0.1,0,b,c\n")
    found = evaluate.evaluate_scores(tmp_path / "s.csv")
    assert (found["fta_genuine"], found["fta_impostor"], found["genuine"], found["people"]) == (0.5, 0.0, 1, 3)
    assert found["best_accuracy"] == 0.75


# --- verification ----------------------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(tied, st.lists(st.integers(-5, 5).map(lambda n: n / 5), min_size=1, max_size=5))
def test_rates_at_by_definition(pairs, thresholds):
    scores, labels = both(pairs)
    tar, trr = rates.rates_at(scores, labels, thresholds)
    for t, a, r in zip(thresholds, tar, trr, strict=True):
        assert a == np.mean(scores[labels] >= t)
        assert r == np.mean(scores[~labels] < t)


def test_rates_of_one_class_alone_and_infinite_thresholds():
    table = rates.verification_table([0.5, 0.7], [1, 1], [math.inf, 0.6, -math.inf])
    assert [(row["tar"], row["trr"]) for row in table] == [(0, None), (0.5, None), (1, None)]
    for bad in ([], [math.nan]):
        with pytest.raises(InputError):
            rates.rates_at([0.5], [1], bad)
    with pytest.raises(InputError, match="no comparison"):
        rates.verification_table([], [], [0.5])


@settings(deadline=None)
@given(tied)
def test_det_is_the_roc_on_normal_deviates(pairs):
    scores, labels = both(pairs)
    found = rates.det(scores, labels)
    fmr, tar, _ = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    inside = (fmr > 0) & (fmr < 1) & (tar > 0) & (tar < 1)
    np.testing.assert_allclose(found.fmr, fmr[inside])
    np.testing.assert_allclose(found.x, scipy.stats.norm.ppf(fmr[inside]), atol=1e-9)
    np.testing.assert_allclose(found.y, scipy.stats.norm.ppf(1 - tar[inside]), atol=1e-9)


def test_d_prime():
    random = np.random.default_rng(1)
    g, i = random.normal(2, 1, 300), random.normal(0, 2, 500)
    scores, labels = np.concatenate([g, i]), np.arange(800) < 300
    assert rates.d_prime(scores, labels) == pytest.approx((g.mean() - i.mean()) / math.sqrt((g.var(ddof=1) + i.var(ddof=1)) / 2))
    for bad in (([1.0, 2.0], [1, 0]), ([1, 1, 0, 0], [1, 1, 0, 0])):
        with pytest.raises(InputError):
            rates.d_prime(*bad)


@settings(deadline=None)
@given(tied)
def test_min_cllr_is_that_of_scikit_learns_isotonic_fit(pairs):
    scores, labels = both(pairs)
    n, m = labels.sum(), (~labels).sum()
    p = sklearn.isotonic.IsotonicRegression(y_min=0, y_max=1).fit_transform(scores, labels.astype(float))
    with np.errstate(divide="ignore"):
        llr = np.log(p) - np.log1p(-p) - np.log(n / m)
    cost = (np.log2(1 + np.exp(-llr[labels])).mean() + np.log2(1 + np.exp(llr[~labels])).mean()) / 2
    assert rates.min_cllr(scores, labels) == pytest.approx(cost, abs=1e-9)
    assert rates.cllr(llr, labels) == pytest.approx(cost, abs=1e-9)
    assert rates.min_cllr(scores, labels) <= 1 + 1e-12


def test_normal_deviates_are_scipys():
    p = np.concatenate([np.geomspace(1e-300, 0.5, 500), 1 - np.geomspace(1e-16, 0.5, 500), [0.075, 0.925, math.exp(-25)]])
    np.testing.assert_allclose(rates.probit(p), scipy.stats.norm.ppf(p), rtol=1e-13, atol=1e-15)
    assert rates.probit([0.0, 1.0]).tolist() == [-math.inf, math.inf]


@pytest.mark.parametrize("seed", range(6))
def test_isotonic_of_long_sequences_is_scikit_learns(seed):
    """Long enough for runs to be pooled at once: overlapping labels, ties, a descending and an ascending sequence."""
    random = np.random.default_rng(seed)
    n = 5000
    values = [
        (random.random(n) < np.linspace(0, 1, n)).astype(float),
        random.integers(0, 4, n).astype(float),
        np.arange(n, 0, -1.0),
        np.arange(n) * 1.0,
        random.normal(0, 1, n),
        np.ones(n),
    ][seed]
    weights = random.integers(1, 5, n).astype(float)
    expected = sklearn.isotonic.IsotonicRegression().fit(np.arange(n), values, weights).predict(np.arange(n))
    np.testing.assert_allclose(rates.isotonic(values, weights), expected, atol=1e-9)


def test_cllr_by_hand():
    assert rates.cllr([0.0, 0.0], [1, 0]) == 1.0
    assert rates.cllr([math.inf, -math.inf], [1, 0]) == 0.0
    assert rates.cllr([-math.inf, -math.inf], [1, 0]) == math.inf
    for bad in (([math.nan, 0], [1, 0]), ([0.0], [1]), ([], [])):
        with pytest.raises(InputError):
            rates.cllr(*bad)


def test_transactions():
    found = evaluate.transaction(fmr=0.1, fnmr=0.2, fta=0.05)
    assert (found.frr, found.far) == (pytest.approx(0.05 + 0.95 * 0.2), pytest.approx(0.095))
    assert (found.tar, found.trr) == (1 - found.frr, 1 - found.far)
    # by counting: 20 genuine transactions, 2 without a face, 3 of the 18 refused
    assert evaluate.transaction(0, 3 / 18, 2 / 20).frr == pytest.approx(5 / 20)
    with pytest.raises(InputError):
        evaluate.transaction(0.1, 1.2, 0)


def test_val_is_tar_at_far_and_its_curve_ends_at_one():
    random = np.random.default_rng(0)
    scores, labels = np.concatenate([random.normal(1, 1, 200), random.normal(-1, 1, 5000)]), np.arange(5200) < 200
    assert rates.val_at_far(scores, labels, 1e-2) == metrics.tar_at_fmr(scores, labels, 1e-2).tar
    curve = evaluate.val_curve(scores, labels)
    assert (curve[0]["val"], curve[0]["far"]) == (1.0, 1.0)
    for row in curve[::20]:
        assert row["val"] == np.mean(scores[:200] >= row["threshold"])
        assert row["far"] == pytest.approx(np.mean(scores[200:] >= row["threshold"]))


# --- identification --------------------------------------------------------------------------------------------------------------------------

answers = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.sampled_from("abc"), st.integers(0, 4).map(float)), min_size=2, max_size=25)


@settings(deadline=None)
@given(answers)
def test_open_set_by_definition(rows):
    truth, predicted, scores = (list(part) for part in zip(*rows, strict=True))
    table = evaluate.identification_table(truth, predicted, scores, [4.5, 3, 1.5, 0])
    known = [row for row in rows if row[0]]
    strangers = [row for row in rows if not row[0]]
    for row in table:
        t = row["threshold"]
        assert row["tpir"] == (sum(a == b and s >= t for a, b, s in known) / len(known) if known else None)
        assert row["tnir"] == (sum(s < t for _, _, s in strangers) / len(strangers) if strangers else None)
    if known and strangers:
        value = [(s if a == b else -math.inf) for a, b, s in known]
        wins = [(x > s) + (x == s) / 2 for x, (_, _, s) in itertools.product(value, strangers)]
        assert evaluate.identification_auc(truth, predicted, scores) == pytest.approx(np.mean(wins))
    else:
        with pytest.raises(InputError):
            evaluate.identification_auc(truth, predicted, scores)


def test_probes_without_a_face():
    truth, predicted, scores = ["a", "b", "", ""], ["a", "b", "a", "b"], [0.9, -math.inf, 0.5, -math.inf]
    (row,) = evaluate.identification_table(truth, predicted, scores, [-math.inf])
    assert (row["tpir"], row["tnir"]) == (0.5, 0.5), "an undetected stranger is rejected, an undetected friend is missed"
    assert evaluate.identification_auc(truth, predicted, scores) == 0.5
    for bad in ([math.nan, 0, 0, 0], [math.inf, 0, 0, 0]):
        with pytest.raises(InputError):
            evaluate.open_set(truth, predicted, bad)
    with pytest.raises(InputError, match="no probe"):
        evaluate.open_set([], [], [])


def test_tpir_at_fpir_keeps_its_promise():
    random = np.random.default_rng(3)
    truth = ["a"] * 300 + [""] * 400
    scores = np.concatenate([random.normal(1, 1, 300), random.normal(0, 1, 400)]).round(1)
    for fpir in (0.0, 0.01, 0.1, 1.0):
        at = evaluate.tpir_at_fpir(truth, ["a"] * 700, scores, fpir)
        assert at.fpir <= fpir
        assert at.tpir == np.mean(scores[:300] >= at.threshold)
        better = [t for t in np.unique(scores) if np.mean(scores[300:] >= t) <= fpir and np.mean(scores[:300] >= t) > at.tpir]
        assert not better


def test_ranks_and_cmc_by_brute_force():
    random = np.random.default_rng(5)
    enrolled = ["a", "b", "c", "a", "d"]
    matrix = random.integers(0, 4, (40, 5)).astype(float)
    truth = random.choice(list("abcdx"), 40).tolist()
    matrix[7] = np.nan
    expected = []
    for row, person in zip(matrix, truth, strict=True):
        best = {name: max(v for v, owner in zip(row, enrolled, strict=True) if owner == name) for name in "abcd"}
        expected.append(0 if person == "x" or np.isnan(row[0]) else sum(v >= best[person] for v in best.values()))
    found = evaluate.ranks(matrix, enrolled, truth)
    assert found.tolist() == expected
    np.testing.assert_allclose(evaluate.cmc(found, 4), [np.mean([1 <= r <= k for r in expected]) for k in range(1, 5)])
    assert evaluate.rank_k(found, 2) == evaluate.cmc(found, 4)[1]
    for bad in (([], 1), ([1.5], 1), ([1], 0), ([-1], 1)):
        with pytest.raises(InputError):
            evaluate.cmc(*bad)


def test_fpir_grows_with_the_gallery_as_independent_comparisons_would():
    """FPIR ≈ 1 − (1 − FMR)^N where the N comparisons of a stranger are independent."""
    random = np.random.default_rng(11)
    threshold = float(scipy.stats.norm.isf(1e-3))
    for n in (10, 100, 1000):
        best = random.standard_normal((4000, n)).max(axis=1)
        fpir = evaluate.open_set([""] * 4000, ["x"] * 4000, best)
        found = float(np.mean(best >= threshold))
        assert fpir.alarms[np.searchsorted(-fpir.thresholds, -threshold, side="right") - 1] == round(found * 4000)
        expected = 1 - (1 - 1e-3) ** n
        assert found == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 4000))


def test_plot_roc(tmp_path):
    path = evaluate.plot_roc(SAME + DIFFERENT, [1] * 5 + [0] * 5, tmp_path / "roc.svg")
    assert path.read_text().startswith("<svg")
    with pytest.raises(InputError):
        evaluate.plot_roc([1.0], [1], tmp_path / "roc.svg")
