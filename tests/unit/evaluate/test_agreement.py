"""Agreement, presentation attacks, detection and groups, against scikit-learn, SciPy, pingouin and the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from faceworks.errors import InputError, ManifestError
from faceworks.evaluate import agreement, bpcer_at_apcer, comparison, detection, evaluate_attributes, evaluate_pad, groups, metrics, pad_rates, rates

numbers = st.lists(st.tuples(st.integers(-3, 3).map(float), st.integers(-3, 3).map(float)), min_size=1, max_size=20)
labels = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=30)


@settings(deadline=None)
@given(numbers)
def test_numbers(pairs):
    x, y = np.array(pairs).T
    assert agreement.mae(x, y) == pytest.approx(sklearn.metrics.mean_absolute_error(x, y))
    assert agreement.rmse(x, y) == pytest.approx(math.sqrt(sklearn.metrics.mean_squared_error(x, y)))
    assert agreement.sagr(x, y) == np.mean([math.copysign(1, a) * (a != 0) == math.copysign(1, b) * (b != 0) for a, b in pairs])
    if len(set(x)) > 1 and len(set(y)) > 1:
        r = scipy.stats.pearsonr(x, y).statistic
        assert agreement.pearson(x, y) == pytest.approx(r, abs=1e-12)
        assert agreement.ccc(x, y) == pytest.approx(2 * r * x.std() * y.std() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2), abs=1e-12)
    else:
        with pytest.raises(InputError, match="not defined"):
            agreement.pearson(x, y)


@pytest.mark.parametrize("name", ["mae", "rmse", "pearson", "ccc", "sagr"])
def test_what_numbers_refuse(name):
    for bad in (([], []), ([1, 2], [1]), ([math.nan, 1], [1, 2]), ([1, math.inf], [1, 2])):
        with pytest.raises(InputError):
            getattr(agreement, name)(*bad)
    with pytest.raises(InputError, match="constant"):
        agreement.ccc([1, 1], [1, 1])
    assert agreement.ccc([1, 1], [2, 2]) == 0


@settings(deadline=None)
@given(labels)
def test_labels(pairs):
    truth, predicted = (list(part) for part in zip(*pairs, strict=True))
    table = agreement.confusion(truth, predicted)
    if len(table.labels) > 1:
        assert table.matrix.tolist() == sklearn.metrics.confusion_matrix(truth, predicted, labels=list(table.labels)).tolist()
    assert table.accuracy == sklearn.metrics.accuracy_score(truth, predicted)
    assert agreement.macro_f1(table) == pytest.approx(sklearn.metrics.f1_score(truth, predicted, average="macro", zero_division=0))
    for weights in ("none", "linear", "quadratic"):
        if len(table.labels) == 1:
            with pytest.raises(InputError, match="not defined"):
                agreement.kappa(table, weights)
        else:
            expected = sklearn.metrics.cohen_kappa_score(truth, predicted, weights=None if weights == "none" else weights)
            assert agreement.kappa(table, weights) == pytest.approx(expected, abs=1e-12)
    for name, rate in agreement.unbiased_hit_rate(table).items():
        hits = sum(a == b == name for a, b in pairs)
        if name not in truth:
            assert rate is None
        else:
            said = predicted.count(name)
            assert rate == pytest.approx(hits / truth.count(name) * (hits / said) if said else 0)


def test_kappa_by_hand():
    """(0.70 observed − 0.41 expected) / 0.59."""
    table = agreement.Confusion(np.array([[44, 5, 1], [7, 20, 3], [9, 5, 6]]), ("a", "b", "c"))
    assert agreement.kappa(table) == pytest.approx(0.4915, abs=1e-3)


def test_labels_refuse_what_is_not_listed():
    with pytest.raises(InputError, match="not listed: z"):
        agreement.confusion(["a"], ["z"], ["a", "b"])
    with pytest.raises(InputError):
        agreement.confusion([], [])


def test_attributes_from_a_file(tmp_path):
    (tmp_path / "a.csv").write_text("truth,predicted\n1,1.5\n2,2.5\n3,\n4,3\n")
    found = evaluate_attributes(tmp_path / "a.csv")
    assert (found["kind"], found["mae"], found["counts"]) == ("numbers", pytest.approx(2 / 3), {"rows": 3, "left_out": 1})
    (tmp_path / "b.csv").write_text("shown,said\nhappy,happy\nsad,happy\n")
    found = evaluate_attributes(tmp_path / "b.csv", "shown", "said")
    assert (found["accuracy"], found["unbiased_hit_rate"]) == (0.5, {"happy": 0.5, "sad": 0.0})
    with pytest.raises(ManifestError, match="lacks the column truth"):
        evaluate_attributes(tmp_path / "b.csv")


# --- presentation attacks --------------------------------------------------------------------------------------------------------------------

attacks = st.lists(st.tuples(st.integers(0, 6).map(lambda n: n / 6), st.sampled_from(["", "print", "replay", "mask"])), min_size=2, max_size=40)


@settings(deadline=None)
@given(attacks, st.sampled_from([0.0, 0.05, 0.3, 1.0]))
def test_pad_by_definition(rows, allowed):
    scores, species = [s for s, _ in rows], [k for _, k in rows]
    real = [s for s, k in rows if not k]
    kinds = {k for k in species if k}
    if not real or not kinds:
        with pytest.raises(InputError, match="both needed"):
            pad_rates(scores, species, 0.5)
        return
    found = pad_rates(scores, species, 0.5)
    expected = {k: np.mean([s >= 0.5 for s, other in rows if other == k]) for k in kinds}
    assert dict(found.apcer) == pytest.approx(expected)
    assert found.apcer_max == max(expected.values())
    assert found.bpcer == np.mean([s < 0.5 for s in real])
    assert found.acer == (found.apcer_max + found.bpcer) / 2
    best = bpcer_at_apcer(scores, species, allowed)
    assert best.apcer_max <= allowed
    every = [pad_rates(scores, species, t) for t in {*scores, 2.0}]
    assert best.bpcer == min(item.bpcer for item in every if item.apcer_max <= allowed)


def test_pad_from_a_file(tmp_path):
    (tmp_path / "p.csv").write_text("score,species\n0.9,\n0.8,\n0.2,\n0.1,print\n0.85,replay\n0.1,replay\n")
    found = evaluate_pad(tmp_path / "p.csv", 0.5)
    assert found["at_threshold"]["apcer"] == {"print": 0.0, "replay": 0.5}
    assert found["at_threshold"]["worst"] == "replay"
    assert found["bpcer_at_apcer"]["bpcer"] == pytest.approx(2 / 3)
    with pytest.raises(InputError, match="NaN"):
        pad_rates([math.nan, 1], ["", "print"], 0.5)


# --- detection -------------------------------------------------------------------------------------------------------------------------------


def test_average_precision_is_scikit_learns():
    random = np.random.default_rng(0)
    for _ in range(30):
        hits = random.random(40) < 0.4
        scores = (random.random(40) + hits).round(1)
        if hits.any():
            assert detection.average_precision(scores, hits, int(hits.sum())) == pytest.approx(sklearn.metrics.average_precision_score(hits, scores))
            assert detection.average_precision(scores, hits, 2 * int(hits.sum())) == pytest.approx(
                sklearn.metrics.average_precision_score(hits, scores) / 2
            )
    assert detection.average_precision([], [], 3) == 0
    for bad in (([1.0], [True], 0), ([math.nan], [False], 1), ([1.0, 1.0], [True, True], 1)):
        with pytest.raises(InputError):
            detection.average_precision(*bad)


def test_boxes_are_matched_once_best_first_and_ignored_ones_do_not_count():
    truth = {"a": [{"box": [0, 0, 10, 10]}, {"box": [20, 0, 22, 2], "ignore": True}], "b": [{"box": [0, 0, 4, 4]}], "c": []}
    found = {
        "a": [{"box": [0, 0, 10, 9], "score": 0.9}, {"box": [0, 0, 10, 10], "score": 0.8}, {"box": [20, 0, 22, 2], "score": 0.95}],
        "c": [{"box": [0, 0, 1, 1], "score": 0.1}],
    }
    result = detection.detection_ap(found, truth)
    assert (result.faces, result.found, result.hits, result.false_alarms) == (2, 3, 1, 2)
    assert result.ap == pytest.approx(0.5)
    np.testing.assert_allclose(detection.iou_matrix([[0, 0, 2, 2]], [[1, 1, 3, 3], [5, 5, 5, 9]]), [[1 / 7, 0]])
    with pytest.raises(InputError, match="no truth"):
        detection.detection_ap({"z": []}, truth)


# --- groups ----------------------------------------------------------------------------------------------------------------------------------


def test_groups_by_hand(tmp_path):
    people = [("a", "a"), ("b", "b"), ("c", "c"), ("a", "b"), ("c", "d"), ("a", "c"), ("a", "z")]
    of = {"a": "F", "b": "F", "c": "M", "d": "M"}
    scores, same = [0.9, 0.2, 0.9, 0.8, 0.1, 0.7, 0.9], [1, 1, 1, 0, 0, 0, 0]
    found = groups.group_rates(scores, same, [(of.get(x), of.get(y)) for x, y in people], people, 0.5, "gender")
    f, m = found.groups
    assert (f.group, f.genuine, f.fnmr, f.impostors, f.fmr) == ("F", 2, 0.5, 1, 1.0)
    assert (m.fnmr, m.fmr) == (0.0, 0.0)
    assert f.fnmr_interval[0] <= 0.5 <= f.fnmr_interval[1]
    assert (found.across, found.unknown, found.fnmr_ratio) == ({"F x M": (1, 1)}, 1, None)
    assert found.fnmr_gini == groups.gini([0.5, 0.0]) == 1.0
    assert groups.gini([0.2, 0.2, 0.2]) == pytest.approx(0)
    assert groups.gini([0, 0]) is None
    (tmp_path / "m.csv").write_text("person,gender,age\na,F,17\nb,F,30\nc,M,x\n")
    assert groups.read_groups(tmp_path / "m.csv", "gender") == {"a": "F", "b": "F", "c": "M"}
    assert groups.bands(groups.read_groups(tmp_path / "m.csv", "age"), [18, 30]) == {"a": "<18", "b": "30+"}
    with pytest.raises(ManifestError, match="it has: person, gender, age"):
        groups.read_groups(tmp_path / "m.csv", "ethnicity")


# --- other people's statistics packages ------------------------------------------------------------------------------------------------------


def test_mcnemar_is_statsmodels():
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables", reason="statsmodels is not installed")
    random = np.random.default_rng(0)
    for _ in range(20):
        a, b = random.random(80) < 0.8, random.random(80) < 0.7
        table = [[int((a & b).sum()), int((a & ~b).sum())], [int((~a & b).sum()), int((~a & ~b).sum())]]
        assert metrics.mcnemar(a, b).p_value == pytest.approx(contingency.mcnemar(table, exact=True).pvalue, rel=1e-9)


def test_holm_is_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    random = np.random.default_rng(3)
    for p_values in ([0.04], [0.01, 0.01, 0.5], random.random(9).round(2).tolist(), [1.0, 0.0]):
        assert comparison.holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1].tolist())


def test_kappa_is_statsmodels():
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater", reason="statsmodels is not installed")
    matrix = np.random.default_rng(1).integers(0, 20, (4, 4))
    table = agreement.Confusion(matrix, ("a", "b", "c", "d"))
    for ours, theirs in (("none", None), ("linear", "linear"), ("quadratic", "quadratic")):
        expected = inter_rater.cohens_kappa(matrix, wt=theirs, return_results=False)
        assert agreement.kappa(table, ours) == pytest.approx(expected, abs=1e-12)


def test_d_prime_and_pearson_are_pingouins():
    pingouin = pytest.importorskip("pingouin", reason="pingouin is not installed", exc_type=ImportError)
    random = np.random.default_rng(2)
    x, y = random.normal(1, 1, 200), random.normal(0, 2, 200)
    d = pingouin.compute_effsize(x, y, eftype="cohen")
    assert rates.d_prime(np.concatenate([x, y]), np.arange(400) < 200) == pytest.approx(d), "equal classes: Cohen's d"
    assert agreement.pearson(x, x + y) == pytest.approx(float(pingouin.corr(x, x + y)["r"].iloc[0]))
