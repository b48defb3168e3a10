"""Grouping on made people: unit centers with noise around them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceworks.cluster import bcubed, group_faces, pairwise
from faceworks.cluster.graph import neighbors
from faceworks.errors import InputError
from faceworks.similarity import unit


def people(count, each, noise=0.5, dim=64, seed=0):
    rng = np.random.default_rng(seed)
    centers = unit(rng.normal(size=(count, dim)))
    truth = np.repeat(np.arange(count), each)
    return unit(centers[truth] + noise * unit(rng.normal(size=(len(truth), dim)))), truth


def test_people_are_found():
    vectors, truth = people(30, 8)
    groups = group_faces(vectors, 0.45)
    assert bcubed(groups.labels, truth).f == 1.0
    assert sorted(np.bincount(groups.labels)) == [8] * 30
    inside = [vectors[members] @ vectors[members].T for members in groups.members()]
    for members, cosines in zip(groups.members(), inside, strict=True):
        assert groups.similarity[members] == pytest.approx((cosines.sum(1) - 1) / 7, abs=1e-5)


def brute(vectors, threshold, pictures):
    """Average linkage with cannot-links, re-derived: all pairs of groups, every time."""
    groups = [[i] for i in range(len(vectors))]
    while True:
        best = None
        for a, b in itertools.combinations(range(len(groups)), 2):
            if {pictures[i] for i in groups[a]} & {pictures[i] for i in groups[b]}:
                continue
            mean = float((vectors[groups[a]].astype(float) @ vectors[groups[b]].astype(float).T).mean())
            if mean >= threshold and (best is None or mean > best[0]):
                best = (mean, a, b)
        if best is None:
            labels = np.empty(len(vectors), int)
            for number, members in enumerate(groups):
                labels[members] = number
            return labels
        groups[best[1]] += groups.pop(best[2])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.1, 0.7), st.integers(1, 30))
def test_it_is_average_linkage(seed, threshold, pictures):
    rng = np.random.default_rng(seed)
    vectors, _ = people(4, 5, noise=1.0, dim=6, seed=seed)
    shown = [str(value) for value in rng.integers(0, pictures, len(vectors))]
    # Every pair is a candidate here (`suggest` reaches down to −1), so that the graph leaves nothing out.
    groups = group_faces(vectors, threshold, shown, suggest=threshold + 1)
    assert bcubed(groups.labels, brute(vectors, threshold, shown)).f == 1.0
    for members in groups.members():
        assert len({shown[i] for i in members}) == len(members)


def test_must_and_cannot():
    vectors, _truth = people(3, 6)
    groups = group_faces(vectors, 0.45, must=[(0, 6)], cannot=[(12, 13)])
    assert groups.labels[0] == groups.labels[6]
    assert groups.labels[12] != groups.labels[13]
    assert len(set(groups.labels[:12])) == 1
    apart = [item for item in groups.suggestions if item.apart]
    assert {frozenset((item.first, item.second)) for item in apart} == {frozenset((groups.labels[12], groups.labels[13]))}
    with pytest.raises(InputError, match="must-link"):
        group_faces(vectors, 0.45, must=[(0, 1)], cannot=[(0, 1)])
    with pytest.raises(InputError, match="must-link"):
        group_faces(vectors, 0.45, ["p"] * 2 + [str(i) for i in range(16)], must=[(0, 1)])


def test_incremental_keeps_people_and_adds():
    vectors, truth = people(10, 8, seed=3)
    order = np.random.default_rng(1).permutation(len(truth))
    vectors, truth = vectors[order], truth[order]
    first = group_faces(vectors[:50], 0.45)
    known = [*first.labels.tolist(), *[-1] * 30]
    second = group_faces(vectors, 0.45, known=known)
    assert second.labels[:50].tolist() == first.labels.tolist()
    assert bcubed(second.labels, truth).f == 1.0
    assert group_faces(vectors, 0.45, known=second.labels.tolist()).labels.tolist() == second.labels.tolist()


def test_old_people_are_joined_by_a_person_alone():
    vectors, _truth = people(2, 8, seed=5)
    split = [0] * 4 + [1] * 4 + [2] * 8
    groups = group_faces(vectors, 0.45, known=[*split[:15], -1])
    assert groups.labels[:8].tolist() == split[:8]
    assert groups.labels[15] == 2
    joined = group_faces(vectors, 0.45, known=split, must=[(0, 4)])
    assert joined.labels[:8].tolist() == [0] * 8


def test_a_cannot_link_splits_an_old_group_and_its_label_stays_with_the_larger_part():
    vectors, _truth = people(3, 8, seed=5)
    wrong = [0] * 8 + [0] * 3 + [1] * 5 + [2] * 8  # three faces of the second person were taken for the first
    groups = group_faces(vectors, 0.45, known=wrong, cannot=[(0, 9)])
    assert groups.labels[:8].tolist() == [0] * 8
    assert groups.labels[8:11].tolist() == [1] * 3  # let free, they are found to be the second
    assert groups.labels[11:].tolist() == wrong[11:]
    alone = group_faces(vectors, 0.45, known=[0] * 8 + [1] * 8 + [2] * 8, cannot=[(0, 1)])
    assert sorted(np.bincount(alone.labels[:8])[[0, 3]].tolist()) == [1, 7]  # one of the two stands alone, under a new label
    assert np.bincount(alone.labels)[0] == 7
    assert alone.labels[8:].tolist() == [1] * 8 + [2] * 8


def test_contradictions_are_told_by_name():
    vectors, _truth = people(2, 3, seed=5)
    names = [f"a.jpg#{i}" for i in range(6)]
    with pytest.raises(InputError, match=r"a\.jpg#0 and a\.jpg#1 must be one person"):
        group_faces(vectors, 0.45, must=[(0, 1)], cannot=[(0, 1)], names=names, known=[0, 0, 0, 1, 1, 1])
    with pytest.raises(InputError, match=r"a\.jpg#2 cannot differ from itself"):
        group_faces(vectors, 0.45, cannot=[(2, 2)], names=names)


def test_neighbors_against_all_pairs():
    vectors, _ = people(5, 7, noise=1.0)
    first, second, score = neighbors(vectors, 0.3, k=100)
    cosines = vectors @ vectors.T
    expected = {(i, j) for i, j in itertools.combinations(range(35), 2) if cosines[i, j] >= 0.3}
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert (np.diff(score) <= 0).all()
    assert score == pytest.approx(cosines[first, second], abs=1e-6)


def test_bcubed_and_pairs_against_their_definitions():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels, truth = rng.integers(0, 5, 30), rng.integers(0, 4, 30)
        precision = np.mean([(truth[labels == labels[i]] == truth[i]).mean() for i in range(30)])
        recall = np.mean([(labels[truth == truth[i]] == labels[i]).mean() for i in range(30)])
        found = bcubed(labels, truth)
        assert (found.precision, found.recall) == pytest.approx((precision, recall))
        assert found.f == pytest.approx(2 * precision * recall / (precision + recall))
        pairs = list(itertools.combinations(range(30), 2))
        joined = [(i, j) for i, j in pairs if labels[i] == labels[j]]
        same = [(i, j) for i, j in pairs if truth[i] == truth[j]]
        both = len(set(joined) & set(same))
        assert (pairwise(labels, truth).precision, pairwise(labels, truth).recall) == pytest.approx((both / len(joined), both / len(same)))


def test_edges_of_the_input():
    empty = group_faces(np.zeros((0, 4), np.float32), 0.4)
    assert len(empty.labels) == 0
    assert empty.members() == [] or [len(item) for item in empty.members()] == [0]
    one = group_faces(np.ones((1, 4), np.float32), 0.4)
    assert one.labels.tolist() == [0]
    assert np.isnan(one.similarity[0])
    for wrong, message in (
        ({"threshold": 2.0}, "cosine"),
        ({"threshold": 0.4, "pictures": ["a"]}, "one for each"),
        ({"threshold": 0.4, "known": [1]}, "one for each"),
    ):
        with pytest.raises(InputError, match=message):
            group_faces(np.ones((3, 4), np.float32), **wrong)
    with pytest.raises(InputError, match="no direction"):
        group_faces(np.zeros((3, 4), np.float32), 0.4)
    with pytest.raises(InputError, match="one length"):
        bcubed([1], [1, 2])
