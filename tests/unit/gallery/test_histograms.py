"""Galleries of histograms, compared by chi-square (LBPH): in memory and in files; databases refuse them and name the alternative."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from faceworks import similarity
from faceworks.errors import ConfigError, InputError, ModelMismatch
from faceworks.gallery import Gallery, RecipeWarning, open_gallery
from faceworks.gallery.backend import Binding, Change, Person, require_cosine, samples_of
from faceworks.gallery.hdf5 import Hdf5Backend
from faceworks.gallery.memory import MemoryBackend
from faceworks.gallery.transfer import export, import_
from gallery_tools import Unsynced

DIM = 48
BINDING = Binding("histograms@000000000000", "", DIM, metric="chi2")


def histograms(count: int, seed: int = 0) -> np.ndarray:
    """Cells of 16 counts that sum to 1, some empty, as LBPH has them."""
    random = np.random.default_rng(seed)
    cells = random.gamma(0.5, size=(count, DIM // 16, 16)) * (random.random((count, DIM // 16, 16)) > 0.3) + 1e-9
    return (cells / cells.sum(axis=2, keepdims=True)).reshape(count, DIM).astype(np.float32)


def change(vectors: np.ndarray) -> Change:
    people = [Person(f"p{i // 3}", f"Person {i // 3}") for i in range(0, len(vectors), 3)]
    ids = np.random.default_rng(5).permutation(len(vectors)) + 1
    return Change(binding=BINDING, people=people, samples=samples_of([p.id for p in people], np.arange(len(vectors)) // 3, vectors, ids))


def test_stores_answer_with_minus_the_chi_square_distance(tmp_path: Path) -> None:
    vectors, queries = histograms(300), histograms(4, 1)
    vectors[50] = vectors[70]
    queries[0] = vectors[70]
    made = change(vectors)
    ids = made.samples.id
    stores = [MemoryBackend(), Hdf5Backend(tmp_path / "p.h5", files=Unsynced())]
    truth = -similarity.chi2_matrix(queries, made.samples.vectors * made.samples.length[:, None])
    for store in stores:
        store.commit(made)
        gone = ids[np.argsort(-truth[1])[:2]]
        store.commit(Change(remove_samples=gone))
        store.compact()
        alive = ~np.isin(ids, gone)
        for query, expected, hits in zip(queries, truth, store.search(queries, 7, 0), strict=True):
            score = np.where(alive, expected, -np.inf).astype(np.float32)
            order = np.lexsort((ids, -score))[:7]
            assert len(query) == DIM
            assert hits.sample.tolist() == ids[order].tolist()
            np.testing.assert_allclose(hits.similarity, score[order], rtol=1e-6, atol=1e-6)
            assert hits.people[0] == f"p{order[0] // 3}"
        assert sorted(store.search(queries[:1], 2, 0)[0].sample.tolist()) == sorted([int(ids[50]), int(ids[70])])
    answers = [[hits.similarity.tolist() for hits in store.search(queries, 9, 0)] for store in stores]
    assert answers[0] == answers[1]


def test_negative_numbers_are_no_histogram() -> None:
    store = MemoryBackend()
    with pytest.raises(InputError, match="histograms"):
        store.commit(change(-histograms(3)))
    store.commit(change(histograms(3)))
    with pytest.raises(InputError, match="not negative"):
        store.search(-histograms(1), 1, 0)


@pytest.fixture(params=["memory:", "p.h5"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path) -> Gallery:
    where = request.param if request.param == "memory:" else tmp_path / request.param
    return open_gallery(where, embedder="lbph", detector="whole", metric="chi2")


def picture(person: int, shot: int) -> np.ndarray:
    """Faces of nobody: a texture for each person, a little noise for each shot."""
    texture = np.random.default_rng(person).normal(size=(28, 23))
    large = cv2.resize(texture, (92, 112), interpolation=cv2.INTER_CUBIC)
    noisy = large + 0.02 * np.random.default_rng(100 * person + shot).normal(size=large.shape)
    return np.repeat(np.clip(127 + 40 * noisy, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def test_lbph_from_enrollment_to_a_stranger(gallery: Gallery, tmp_path: Path) -> None:
    for person in range(3):
        done = gallery.enroll(f"Person {person}", picture(person, 0), picture(person, 1))
        assert [item.sample is not None for item in done] == [True, True]
    again = gallery.enroll("Person 0", picture(0, 0))[0]
    assert again.sample is None
    assert "nearly the same picture" in again.warnings[0]
    binding = gallery.binding
    assert binding is not None
    assert (binding.metric, binding.spec["embedder"], binding.spec["metric"]) == ("chi2", "lbph", "chi2")
    pipeline = gallery.pipeline
    own, other = (
        similarity.distance(a.embedding.vector, b.embedding.vector, "chi2")
        for (a,), (b,) in (pipeline.embed([picture(0, 0), picture(p, 2)]) for p in (0, 1))
    )
    assert own < other
    limit = (own + other) / 2
    for template in ("best", "mean", "weighted"):
        answers = gallery.identify([picture(1, 7), picture(9, 0)], threshold=limit, template=template)
        assert [group[0].person for group in answers] == ["Person 1", None]
        assert answers[0][0].threshold == pytest.approx(-limit)
        assert gallery.verify_person(picture(2, 7), "Person 2", threshold=limit, template=template).person == "Person 2"
        assert gallery.verify_person(picture(1, 7), "Person 2", threshold=limit, template=template).person is None
    same = gallery.identify([picture(0, 0)], threshold=0.0)[0][0]
    assert (same.person, same.candidates[0].similarity, same.candidates[0].probability) == ("Person 0", 0.0, None)
    assert gallery.identify([picture(0, 0)])[0][0].threshold == pytest.approx(-105.5)  # the card's, measured on LFW
    export(gallery, tmp_path / "all.jsonl")
    other_one = open_gallery("memory:", embedder="lbph", detector="whole", metric="chi2")
    assert import_(other_one, tmp_path / "all.jsonl") == 6
    assert other_one.identify([picture(1, 7)], threshold=limit)[0][0].person == "Person 1"
    assert gallery.check()["samples"] == 6


def test_a_gallery_of_histograms_is_compared_by_nothing_else(tmp_path: Path) -> None:
    with open_gallery(tmp_path / "p.h5", embedder="lbph", detector="whole", metric="chi2") as gallery:
        gallery.enroll("Ada", picture(0, 0))
        with pytest.raises(ConfigError, match="chi2"):
            gallery.build_index()
    with pytest.raises(ModelMismatch, match="compares by chi2"):
        open_gallery(tmp_path / "p.h5", metric="cosine")
    with open_gallery(tmp_path / "p.h5", "r") as gallery:
        assert gallery.pipeline.spec.metric == "chi2"
        assert gallery.info.metrics == ("cosine", "chi2")


def test_databases_name_the_alternative() -> None:
    with pytest.raises(ConfigError, match=r"chi2.*people\.h5"):
        require_cosine(BINDING, "postgresql://…")
    require_cosine(Binding("m", "", 4), "postgresql://…")


def test_another_detector_is_worth_a_warning(tmp_path: Path, recwarn: Any) -> None:
    with open_gallery(tmp_path / "p.h5", embedder="lbph", detector="whole") as gallery:
        gallery.enroll("Ada", picture(0, 0))
    with open_gallery(tmp_path / "p.h5", "r"):
        pass
    with open_gallery(tmp_path / "p.h5", "r", metric="angular"):
        assert not recwarn.list
    with pytest.warns(RecipeWarning, match="found by whole, now haar-frontalface looks"):
        open_gallery(tmp_path / "p.h5", "r", detector="haar-frontalface").close()
