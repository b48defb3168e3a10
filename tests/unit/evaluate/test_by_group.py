"""Figures group by group: by hand, and the interval against scipy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from faceworks.errors import InputError, ManifestError
from faceworks.evaluate import evaluate_attributes
from faceworks.evaluate.by_group import figures, group_table, intervals


def test_labels_by_group() -> None:
    truth = ["a"] * 6 + ["b"] * 6
    said = ["a"] * 6 + ["b"] * 3 + ["a"] * 3
    found = group_table(truth, said, ["x"] * 6 + ["y"] * 6)
    assert found["worst"] == "y"
    assert found["table"]["x"]["figures"]["accuracy"] == 1.0
    assert found["table"]["y"]["figures"]["accuracy"] == 0.5
    want = binomtest(3, 6).proportion_ci(method="exact")
    assert found["table"]["y"]["intervals"]["accuracy"] == pytest.approx((want.low, want.high), abs=1e-9)
    small = group_table(truth, said, ["x"] * 9 + ["z"] * 3)
    assert "figures" not in small["table"]["z"]
    assert small["worst"] == "x"


def test_numbers_by_group() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(20, 60, 200)
    said = truth + np.where(np.arange(200) % 2, 8.0, 1.0)
    found = group_table(truth.tolist(), said.tolist(), ["odd" if i % 2 else "even" for i in range(200)])
    assert found["worst"] == "odd"
    assert found["table"]["even"]["figures"]["mae"] == pytest.approx(1.0)
    low, high = intervals(truth.tolist(), said.tolist())["mae"] or (0.0, 0.0)
    spread = np.abs(said - truth).std() / np.sqrt(200)
    assert (high - low) == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert low < 4.5 < high


def test_the_edges() -> None:
    assert figures([1.0] * 6, [2.0] * 6)["mae"] == 1.0
    assert figures(["a"] * 6, ["b"] * 6) == {"accuracy": 0.0, "macro_f1": 0.0}
    with pytest.raises(InputError, match="one length"):
        group_table(["a"], ["a"], [])


def test_a_file_with_groups(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [f"{'happy' if i % 2 else 'sad'},{'happy' if i % 3 else 'sad'},{'m' if i < 10 else 'f'}" for i in range(20)]
    path.write_text("truth,predicted,sex\n" + "\n".join(rows) + "\n", encoding="utf-8")
    document = evaluate_attributes(path, groups=["sex"])
    assert set(document["groups"]["sex"]["table"]) == {"m", "f"}
    assert document["intervals"]["accuracy"][0] < document["accuracy"] < document["intervals"]["accuracy"][1]
    with pytest.raises(ManifestError, match="lacks the column race"):
        evaluate_attributes(path, groups=["race"])
