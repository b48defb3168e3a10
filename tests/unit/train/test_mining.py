"""Miners against brute force over three loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs torch")

from faceworks.errors import ConfigError  # noqa: E402
from faceworks.train import mining  # noqa: E402

batches = st.integers(1, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
        # eighths: distances that can be equal, and that floats hold exactly
        st.lists(st.tuples(st.integers(-8, 8), st.integers(-8, 8)), min_size=n, max_size=n),
    )
)


def prepare(batch):
    labels, points = batch
    x = np.array(points, np.float64) / 8
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    return x, squared, np.array(labels), list(range(len(labels)))


def rows(triplets):
    return sorted(zip(*(item.tolist() for item in triplets), strict=True))


def mined(name, squared, labels, margin=0.2):
    return rows(mining.mine(name, torch.tensor(squared), torch.tensor(labels), margin))


@settings(max_examples=40, deadline=None)
@given(batches)
def test_all_is_every_valid_triplet(batch):
    _, squared, y, n = prepare(batch)
    assert mined("all", squared, y) == [(a, p, k) for a in n for p in n for k in n if a != p and y[a] == y[p] and y[a] != y[k]]


@settings(max_examples=40, deadline=None)
@given(batches)
def test_batch_hard_is_the_farthest_positive_and_the_nearest_negative(batch):
    _, squared, y, n = prepare(batch)
    wanted = []
    for a in n:
        positives, negatives = [p for p in n if p != a and y[p] == y[a]], [k for k in n if y[k] != y[a]]
        if positives and negatives:
            wanted.append((a, max(positives, key=lambda p: squared[a, p]), min(negatives, key=lambda k: squared[a, k])))
    assert mined("batch-hard", squared, y) == wanted


@settings(max_examples=60, deadline=None)
@given(batches, st.sampled_from([0.2, 0.5, 2.0]))
def test_semi_hard_is_facenets_rule(batch, margin):
    _, squared, y, n = prepare(batch)
    wanted = []
    for a in n:
        for p in n:
            if a == p or y[a] != y[p]:
                continue
            fits = [k for k in n if y[k] != y[a] and squared[a, p] < squared[a, k] < squared[a, p] + margin]
            if fits:
                wanted.append((a, p, min(fits, key=lambda k: squared[a, k])))
    assert mined("semi-hard", squared, y, margin) == wanted


@settings(max_examples=40, deadline=None)
@given(batches, st.sampled_from([1, 3, 100]))
def test_offline_is_the_argmax_and_the_argmin_of_the_whole_set(batch, block):
    x, squared, y, n = prepare(batch)
    found = rows(mining.mine_offline(torch.tensor(x), torch.tensor(y), block=block))
    anchors = [a for a in n if (y == y[a]).sum() > 1 and (y != y[a]).any()]
    assert [a for a, _, _ in found] == anchors
    for a, p, k in found:
        assert p != a
        assert y[p] == y[a] != y[k]
        assert squared[a, p] == max(squared[a, j] for j in n if j != a and y[j] == y[a])
        assert squared[a, k] == min(squared[a, j] for j in n if y[j] != y[a])


def test_offline_searches_the_drawn_part_alone():
    x, y = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 6
    generator = torch.Generator().manual_seed(4)
    drawn = set(torch.randperm(60, generator=torch.Generator().manual_seed(4))[:20].tolist())
    found = mining.mine_offline(x, y, subset=20, generator=generator)
    assert set(found.positives.tolist()) | set(found.negatives.tolist()) <= drawn
    assert len(found.anchors) > 20


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [0, 0, 0]])
@pytest.mark.parametrize("name", list(mining.MINERS))
def test_no_valid_triplet_gives_none(name, labels):
    assert mined(name, np.zeros((len(labels), len(labels))), np.array(labels)) == []


def test_an_unknown_miner_is_refused():
    with pytest.raises(ConfigError, match="batch-hard"):
        mining.mine("hard", torch.zeros(1, 1), torch.zeros(1), 0.2)
