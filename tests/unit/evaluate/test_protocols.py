"""Pair lists and folds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from faceworks.errors import InputError, ManifestError
from faceworks.evaluate import k_fold, read_lfw_pairs

GOOD = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nBob\t1\t12\nBob\t12\tAnn\t2\n"


@pytest.fixture
def root(tmp_path):
    for name, number in (("Ann", 1), ("Ann", 2), ("Bob", 1), ("Bob", 12)):
        (tmp_path / "lfw" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "lfw" / name / f"{name}_{number:04d}.jpg").write_bytes(b"")
    return tmp_path / "lfw"


def read(root, text):
    path = root.parent / "pairs.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_lfw_pairs(path, root)


@pytest.mark.parametrize("text", [GOOD, GOOD.replace("\n", "\r\n"), GOOD.replace("\t", " "), GOOD + "\n \n", GOOD.rstrip()])
def test_a_good_list(root, text):
    found = read(root, text)
    assert [(p.first.name, p.second.name, p.same, p.people) for p in found.pairs] == [
        ("Ann_0001.jpg", "Ann_0002.jpg", True, ("Ann", "Ann")),
        ("Ann_0001.jpg", "Bob_0001.jpg", False, ("Ann", "Bob")),
        ("Bob_0001.jpg", "Bob_0012.jpg", True, ("Bob", "Bob")),
        ("Bob_0012.jpg", "Ann_0002.jpg", False, ("Bob", "Ann")),
    ]
    assert found.folds.tolist() == [1, 1, 2, 2]
    assert found.labels.tolist() == [True, False, True, False]
    assert [p.name for p in found.pictures] == ["Ann_0001.jpg", "Ann_0002.jpg", "Bob_0001.jpg", "Bob_0012.jpg"]
    assert len(found) == 4
    assert len(found.sha256) == 64


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "header must be two numbers"),
        ("10\n", 1, "header must be two numbers"),
        ("0 300\n", 1, "header must be two numbers"),
        ("ten 300\n", 1, "header must be two numbers"),
        (GOOD.removesuffix("Bob\t12\tAnn\t2\n"), 5, "5 lines in all; got 4"),
        (GOOD + "Ann\t1\t2\n", 6, "5 lines in all; got 6"),
        (GOOD.replace("Ann\t1\t2\n", "Ann\t1\tBob\t1\n", 1), 2, "'Name i j' \\(same person\\), got 4 fields"),
        (GOOD.replace("Ann\t1\tBob\t1", "Ann\t1\t2"), 3, "'Name i Other j' \\(two people\\), got 3 fields"),
        (GOOD.replace("Bob\t1\t12", "Bob\t1\tx"), 4, "count from 1, got 'x'"),
        (GOOD.replace("Bob\t1\t12", "Bob\t1\t0"), 4, "count from 1, got '0'"),
        (GOOD.replace("Bob\t1\t12", "Bob\t-1\t12"), 4, "count from 1, got '-1'"),
        (GOOD.replace("Bob\t1\t12", "Bob\t1\t1"), 4, "compared with itself"),
        (GOOD.replace("Ann\t1\tBob\t1", "Ann\t1\tAnn\t2"), 3, "as both of them"),
        (GOOD.replace("Bob\t1\t12", "../x\t1\t2"), 4, "not a person's name"),
        (GOOD.replace("Bob\t1\t12\n", "\n"), 4, "got 0 fields"),
        (b"\xff\xfe", None, "cannot be read"),
    ],
)
def test_bad_lists_name_the_line(root, text, line, message):
    with pytest.raises(ManifestError, match=message) as caught:
        read(root, text)
    assert caught.value.line == line


def test_missing_pictures_are_counted_and_named(root):
    (root / "Bob" / "Bob_0012.jpg").unlink()
    (root / "Ann" / "Ann_0002.jpg").unlink()
    with pytest.raises(ManifestError, match=r"2 of 4 pictures are not below .*Ann/Ann_0002.jpg, Bob/Bob_0012.jpg$"):
        read(root, GOOD)


def test_no_list(root):
    with pytest.raises(ManifestError, match="cannot be read"):
        read_lfw_pairs(root / "nothing.txt", root)


def made(seed=0, n=600, folds=10, gap=0.4):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2 == 0
    scores = np.round(random.normal(0.1, 0.1, n) + gap * labels, 2)  # rounded: ties
    return scores, labels, np.arange(n) * folds // n + 1


def brute(scores, labels, folds, undetected):
    """Thresholds from all midpoints, no sorting, no counts; accuracy from scikit-learn."""
    thresholds, accuracies = [], []
    for fold in sorted(set(folds.tolist())):
        train = (folds != fold) & ~undetected
        distinct = sorted(set(scores[train].tolist()))
        options = [distinct[0], *((a + b) / 2 for a, b in itertools.pairwise(distinct)), np.nextafter(distinct[-1], 9)]
        best = max(options, key=lambda t: (accuracy_score(labels[train], scores[train] >= t), t))
        inside = folds == fold
        decided = np.where(undetected, ~labels, scores >= best)  # an undetected pair: the wrong answer
        thresholds.append(best)
        accuracies.append(accuracy_score(labels[inside], decided[inside]))
    return thresholds, accuracies


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.0, 0.05])
def test_k_fold_against_brute_force(seed, share):
    scores, labels, folds = made(seed, n=200)
    undetected = np.random.default_rng(seed + 100).random(len(scores)) < share
    hidden = np.where(undetected, np.nan, scores)
    found = k_fold(hidden, labels, folds, undetected)
    thresholds, accuracies = brute(scores, labels, folds, undetected)
    np.testing.assert_allclose(found.thresholds, thresholds, atol=1e-12)
    np.testing.assert_allclose(found.accuracies, accuracies, atol=1e-12)
    assert found.mean == pytest.approx(np.mean(accuracies))
    assert found.stderr == pytest.approx(np.std(accuracies, ddof=1) / np.sqrt(10))
    assert found.failures == undetected.sum()
    assert found.correct.mean() == pytest.approx(found.mean)  # folds of one size
    assert not found.correct[undetected].any()


def test_undetected_pairs_are_wrong_whatever_their_label():
    scores, labels, folds = made(gap=5.0)
    assert k_fold(scores, labels, folds).mean == 1.0
    undetected = np.zeros(len(scores), bool)
    undetected[:60:6] = True  # 10 of the 60 pairs of fold 1, all genuine
    found = k_fold(scores, labels, folds, undetected)
    assert found.accuracies.tolist() == [pytest.approx(50 / 60)] + [1.0] * 9
    assert found.failures == 10


@settings(deadline=None)
@given(st.permutations(range(40)))
def test_k_fold_does_not_depend_on_the_order_of_pairs(order):
    scores, labels, folds = made(n=40, folds=4)
    a, b = k_fold(scores, labels, folds), k_fold(scores[order], labels[order], folds[order])
    assert a.thresholds.tolist() == b.thresholds.tolist()
    assert a.correct[order].tolist() == b.correct.tolist()


def test_what_k_fold_refuses():
    scores, labels, folds = made(n=20, folds=2)
    with pytest.raises(InputError, match="at least two"):
        k_fold(scores, labels, np.ones(20, int))
    with pytest.raises(InputError, match="one shape"):
        k_fold(scores, labels[:5], folds)
    with pytest.raises(InputError, match="NaN or infinite"):
        k_fold(np.full(20, np.nan), labels, folds)
    with pytest.raises(InputError, match="every pair outside it"):
        k_fold(scores, labels, folds, np.ones(20, bool))
