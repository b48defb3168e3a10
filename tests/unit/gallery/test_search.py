"""Exact search against a plain sort; the index against exact search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faceworks.errors import ConfigError
from faceworks.gallery import open_gallery, scan
from faceworks.gallery.backend import Change
from faceworks.gallery.hdf5 import Hdf5Backend
from faceworks.gallery.index import Index, recall
from gallery_tools import Unsynced, binding, change_of, people_of


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("many", [1, 3, 40])
def test_nearest_holds_the_k_best(seed: int, many: int) -> None:
    random = np.random.default_rng(seed)
    sizes, dim, k = random.integers(0, 4000, 3), int(random.integers(2, 40)), int(random.integers(1, 60))
    parts = [random.normal(size=(n, dim)).astype(np.float32) for n in sizes]
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    whole = np.concatenate(parts)
    whole[random.integers(0, len(whole), 50)] = whole[0]
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    queries = np.concatenate([whole[:1], random.normal(size=(many, dim))])[:many].astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    dead = np.sort(random.choice(len(whole), len(whole) // 5, replace=False))
    alive = np.setdiff1d(np.arange(len(whole)), dead)
    ids = random.permutation(len(whole)).astype(np.int64)
    for query, rows in zip(queries, scan.nearest(parts, queries, k, dead), strict=True):
        assert len(set(rows)) == len(rows)
        assert not set(rows) & set(dead)
        best, scores = scan.order(query, rows, ids[rows], lambda wanted: whole[wanted], k)
        truth = scan.cosines(query, whole[alive])
        expected = alive[np.lexsort((ids[alive], -truth))[:k]]
        assert best.tolist() == expected.tolist()
        np.testing.assert_allclose(scores, whole[best].astype(np.float64) @ query, atol=2e-7)


def test_equal_vectors_have_exactly_equal_similarities_anywhere() -> None:
    vector = np.random.default_rng(0).normal(size=129).astype(np.float32)
    rows = np.tile(vector, (70_001, 1))
    assert len(np.unique(scan.cosines(np.random.default_rng(1).normal(size=129).astype(np.float32), rows))) == 1
    assert scan.cosines(vector, rows[:3]).tolist() == [1.0] * 3


def test_the_index_proposes_and_the_tail_is_scanned(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    people, samples = people_of(600, 5, 64)
    store = Hdf5Backend(tmp_path / "p.h5", "a", binding(64), files=Unsynced())
    store.commit(Change(people=people, samples=samples))
    store.index = Index(tmp_path / "p.h5.index")
    queries = people_of(600, 6, 64)[1].vectors[5::6][:200]
    exact = store.search(queries, 3, 0)
    assert [hits.sample.tolist() for hits in store.search(queries, 3, 0, exact=False)] == [hits.sample.tolist() for hits in exact], (
        "no index yet: exact"
    )
    store.compact()
    store.index.build(store.table.base, store.base.uuid, store.base.generation)
    assert recall(store.table, store.index, queries, 3, 0) >= 0.99
    assert (tmp_path / "p.h5.index").stat().st_mode & 0o077 == 0
    more, later = people_of(3, 1, 64, seed=9, first=1_000_000)
    store.commit(Change(people=more, samples=later))
    assert store.search(later.vectors, 1, 0, exact=False)[0].sample[0] == 1_000_000
    gone = store.search(queries[:1], 1, 0, exact=False)[0].sample
    store.commit(Change(remove_samples=gone))
    assert store.search(queries[:1], 1, 0, exact=False)[0].sample[0] != gone[0]
    other = Index(tmp_path / "p.h5.index")
    assert other.for_base(store.base.uuid, store.base.generation) is other, "opened from the file"
    assert other.for_base(store.base.uuid, store.base.generation + 1) is None, "an old stamp is no index"
    (tmp_path / "p.h5.index").write_bytes(b"rubbish")
    assert Index(tmp_path / "p.h5.index").for_base(store.base.uuid, store.base.generation) is None


def test_check_reports_recall_and_an_encrypted_index_stays_in_memory(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    pytest.importorskip("cryptography")
    for name, options in (("plain", {}), ("sealed", {"encrypt": True, "key": b"k" * 32})):
        with open_gallery(tmp_path / f"{name}.h5", **options) as gallery:
            vectors = people_of(100, 3, 32)[1].vectors
            gallery.enroll_vectors([f"P{i // 3}" for i in range(300)], vectors, "toy")
            assert gallery.build_index() == 300
            assert gallery.check()["index_recall"] >= 0.99
            assert gallery.look_up(vectors[:1], 1, exact=False)[0][0][1] == 1.0
    assert (tmp_path / "plain.h5.index").exists()
    assert not (tmp_path / "sealed.h5.index").exists()
    with pytest.raises(ConfigError, match="no index file"):
        open_gallery("memory:").build_index()


def test_a_large_log_is_folded_into_the_base_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceworks.gallery.hdf5 import store as module

    monkeypatch.setattr(module, "SMALLEST_LOG", 2000)
    store = Hdf5Backend(tmp_path / "p.h5", "a", binding(), files=Unsynced())
    for n in range(1, 60):
        store.commit(change_of([n]))
    assert store.base.generation > 2
    assert len(Hdf5Backend(tmp_path / "p.h5", "r")) == 59
