"""Statistics against other implementations (pingouin, krippendorff, statsmodels, scikit-image) and published worked examples."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceworks.errors import InputError
from faceworks.study.blocks import make_blocks
from faceworks.study.stats import adjusted, alpha, bootstrap_by, fleiss, icc, mean_interval, power_tost, share, tost

stats = pytest.importorskip("scipy.stats", reason="the extra study")

SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
"""Six targets, four judges: table 2 of Shrout and Fleiss (1979), who find ICC(2,1) = .29 and ICC(2,4) = .62."""
NOMINAL = [
    "a a . a", "b b c b", "c c c c", "c c c c", "b b b b", "a b c d", "d d d d", "a a b a", "b b b b", ". e e e", ". . a a", ". . c .",
]  # fmt: skip
"""Krippendorff (2011), example C: four observers, twelve units; alpha nominal .743, ordinal .815, interval .849."""


def units() -> list[list[int]]:
    return [["abcde".index(letter) + 1 for letter in row.split() if letter != "."] for row in NOMINAL]


def test_icc_of_the_published_example() -> None:
    found = icc(SHROUT_FLEISS)
    assert found is not None
    assert found.single == pytest.approx(0.2898, abs=5e-5)
    assert found.average == pytest.approx(0.6201, abs=5e-5)
    # recorded from pingouin 0.7.0, which rounds intervals to two digits
    assert (round(found.single_low, 2), round(found.single_high, 2)) == (0.02, 0.76)
    assert (round(found.average_low, 2), round(found.average_high, 2)) == (0.07, 0.93)


def test_icc_equals_pingouin() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pingouin = pytest.importorskip("pingouin", reason="GPL: an oracle of the tests alone")
        import pandas

        random = np.random.default_rng(1)
        for _ in range(5):
            table = random.normal(size=(20, 1)) * 1.5 + random.normal(size=(1, 5)) + random.normal(size=(20, 5))
            frame = pandas.DataFrame([{"t": i, "r": j, "v": table[i, j]} for i in range(20) for j in range(5)])
            other = pingouin.intraclass_corr(frame, "t", "r", "v").set_index("Type")
            column = next(name for name in other.columns if "CI" in name)
            found = icc(table)
            assert found is not None
            names = {
                "single": next(n for n in other.index if n in ("ICC2", "ICC(A,1)")),
                "average": next(n for n in other.index if n in ("ICC2k", "ICC(A,k)")),
            }
            for name, index in names.items():
                assert getattr(found, name) == pytest.approx(float(other.loc[index, "ICC"]), abs=1e-6)
                low, high = other.loc[index, column]
                assert (getattr(found, f"{name}_low"), getattr(found, f"{name}_high")) == pytest.approx((float(low), float(high)), abs=0.0051)


def test_a_known_icc_is_recovered() -> None:
    """Var(person) = 1, Var(rater) = 0.2, Var(error) = 0.8: ICC(2,1) = 0.5."""
    random = np.random.default_rng(0)
    table = random.normal(size=(400, 1)) + np.sqrt(0.2) * random.normal(size=(1, 40)) + np.sqrt(0.8) * random.normal(size=(400, 40))
    found = icc(table)
    assert found is not None
    assert found.single == pytest.approx(0.5, abs=0.05)


def test_icc_has_no_value_where_it_is_not_defined() -> None:
    assert icc(np.ones((4, 3))) is None
    assert icc(np.ones((1, 3))) is None
    perfect = icc(np.repeat(np.arange(5.0)[:, None], 3, axis=1))
    assert perfect is not None
    assert perfect.single == pytest.approx(1.0)
    with pytest.raises(InputError, match="without gaps"):
        icc([[1.0, float("nan")], [1.0, 2.0]])


def test_alpha_of_the_published_example() -> None:
    # Krippendorff (2011) rounds to three digits
    for level, value in (("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)):
        assert alpha(units(), level) == pytest.approx(value, abs=6e-4)  # type: ignore[arg-type]


def test_alpha_equals_krippendorff() -> None:
    other = pytest.importorskip("krippendorff", reason="GPL: an oracle of the tests alone")
    random = np.random.default_rng(2)
    for _ in range(10):
        table = np.clip(np.round(random.normal(4, 2, (30, 1)) + random.normal(0, 1.2, (30, 6))), 1, 9)
        table[random.random(table.shape) < 0.3] = np.nan
        kept = [[float(v) for v in row if np.isfinite(v)] for row in table]
        for level in ("nominal", "ordinal", "interval"):
            assert alpha(kept, level) == pytest.approx(other.alpha(table.T, level_of_measurement=level), abs=1e-9)  # type: ignore[arg-type]
    assert alpha([["a", "a"], ["a", "a"]], "nominal") is None


def test_fleiss_of_the_published_example() -> None:
    """Fleiss (1971) as worked out on Wikipedia: ten subjects, fourteen raters, five categories; kappa 0.210."""
    counts = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2],
              [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip
    table = [[letter for letter, n in zip("abcde", row, strict=True) for _ in range(n)] for row in counts]
    assert fleiss(table) == pytest.approx(0.2099, abs=5e-4)


def test_tost_equals_statsmodels() -> None:
    from statsmodels.stats.weightstats import DescrStatsW

    random = np.random.default_rng(3)
    for margin in (0.2, 0.5, 1.0):
        x = random.normal(0.1, 0.6, 25)
        found = tost(x, margin)
        assert found.p == pytest.approx(DescrStatsW(x).ttost_mean(-margin, margin)[0], abs=1e-12)
        assert found.equivalent == (found.p is not None and found.p < 0.05)
        assert ((found.low > -margin) and (found.high < margin)) == found.equivalent
    assert tost([0.1, 0.1, 0.1], 0.5).equivalent


def test_power_is_what_a_simulation_finds() -> None:
    n = power_tost(sd=1.0, margin=0.5)
    random = np.random.default_rng(4)
    hits = np.mean([tost(random.normal(0, 1.0, n), 0.5).equivalent for _ in range(1500)])
    assert 0.77 <= hits <= 0.85
    with pytest.raises(InputError, match="margin"):
        power_tost(1.0, 0.5, true=0.6)


def test_intervals() -> None:
    found = mean_interval([1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"])
    low, high = stats.t.interval(0.95, 3, 2.5, stats.sem([1, 2, 3, 4]))
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert mean_interval([1.0, 3.0, 5.0], ["a", "a", "b"])["mean"] == 3.5  # the mean of the identities' means
    assert mean_interval([], [])["mean"] is None
    assert share(3, 10)["low"] == pytest.approx(stats.binomtest(3, 10).proportion_ci(method="exact").low)
    ends = bootstrap_by(list("abcdefgh"), lambda rows: float(np.arange(8.0)[rows].mean()), 400, 0)
    assert ends is not None
    assert ends[0] < 3.5 < ends[1]


def test_adjusted_leaves_gaps() -> None:
    assert adjusted([0.01, None, 0.04], "holm") == pytest.approx([0.02, None, 0.04])
    assert adjusted([None], "fdr_bh") == [None]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(2, 5), st.integers(1, 9), st.integers(0, 5))
def test_blocks_are_balanced_and_keep_identities_apart(identities: int, conditions: int, raters: int, seed: int) -> None:
    pictures = [f"{i}_{c}" for i in range(identities) for c in range(conditions)]
    owner = {name: name.split("_")[0] for name in pictures}
    per_rater = max(2, len(pictures) // 2)
    blocks = make_blocks(pictures, owner, per_rater, raters, seed)
    assert blocks == make_blocks(pictures, owner, per_rater, raters, seed)
    counts = [sum(name in block for block in blocks) for name in pictures]
    assert max(counts) - min(counts) <= 1
    for block in blocks:
        assert len(set(block)) == len(block) == per_rater
        assert all(owner[a] != owner[b] for a, b in pairwise(block))


def test_blocks_that_cannot_be() -> None:
    with pytest.raises(InputError, match="no order"):
        make_blocks(["a1", "a2", "a3", "b1"], {"a1": "a", "a2": "a", "a3": "a", "b1": "b"}, 0, 1, 0)
    with pytest.raises(InputError, match="per rater"):
        make_blocks(["a1"], {"a1": "a"}, 2, 1, 0)
