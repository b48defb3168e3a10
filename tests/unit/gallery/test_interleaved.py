"""Another writer commits and compacts between any two looks that a reader, or a writer before its lock, takes at the files: nothing torn, nothing lost.

What a process may see is decided by when it opens and asks for the state of files. Here every such look of one store (`Path.open`, `Path.stat`) is
counted, and at the n-th, for every n, somebody else's work is put in between, as the scheduler of a busy machine would.
Embedding anew takes hours between its look and its commit: there somebody else's work is put between any two pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceworks import image
from faceworks.errors import GalleryUnavailable, ModelMismatch
from faceworks.gallery import Gallery, enrolling, open_gallery
from faceworks.gallery.hdf5 import Hdf5Backend
from faceworks.gallery.transfer import reindex
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Embedding, Face
from gallery_tools import Unsynced, binding, change_of, content

LOOKS = 24
"""More than any call takes; that the last places are never reached is asserted."""


@contextmanager
def between(monkeypatch: pytest.MonkeyPatch, place: int, work: Callable[[], None]) -> Iterator[list[int]]:
    """Carry out `work` before the look number `place` (from 1); what is yielded counts the looks."""
    count, inside = [0], [False]

    def counted(original: Any) -> Any:
        def call(self: Path, *args: Any, **kwargs: Any) -> Any:
            if not inside[0] and self.name.startswith("p.h5"):
                count[0] += 1
                if count[0] == place:
                    inside[0] = True
                    try:
                        work()
                    finally:
                        inside[0] = False
            return original(self, *args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "stat"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        yield count


def others(path: Path, scheme: str) -> Callable[[], None]:
    """What another process does meanwhile: c compacts, a digit enrolls that many (with numbers from 100), x removes p1."""

    def work() -> None:
        store, number = Hdf5Backend(path, "r+", files=Unsynced()), 100
        for letter in scheme:
            if letter == "c":
                store.compact()
            else:
                for _ in range(int(letter)):
                    store.commit(change_of([number]))
                    number += 1
        store.close()

    return work


def begun(folder: Path) -> Path:
    path = folder / "p.h5"
    store = Hdf5Backend(path, "a", binding(), files=Unsynced())
    for number in (1, 2, 3):
        store.commit(change_of([number]))
    store.close()
    return path


SCHEMES = ["1", "c", "c1", "1c", "c3", "c5", "cc2", "1c1c1", "ccc"]


def samples(store: Any) -> list[int]:
    return sorted(content(store)["samples"])


def legal(scheme: str) -> list[list[int]]:
    total = sum(int(letter) for letter in scheme if letter.isdigit())
    return [[1, 2, 3, *range(100, 100 + n)] for n in range(total + 1)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_readers_see_whole_states_and_never_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    reached = 0
    for place in range(1, LOOKS + 1):
        for opened in (False, True):
            folder = tmp_path / f"{place}-{opened}"
            folder.mkdir()
            path = begun(folder)
            reader = Hdf5Backend(path, "r") if opened else None
            if reader is not None:  # there is something new to be seen, so that it looks at the log again
                writer = Hdf5Backend(path, "r+", files=Unsynced())
                writer.commit(change_of([2]))
                writer.close()
            with between(monkeypatch, place, others(path, scheme)) as count:
                reader = reader or Hdf5Backend(path, "r")
                first = samples(reader)
            reached = max(reached, count[0])
            assert first in legal(scheme)
            if count[0] >= place:
                assert samples(reader) == legal(scheme)[-1], f"look {place}: it goes on with an old state"
            reader.close()
    assert 4 < reached < LOOKS


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_writer_that_looked_meanwhile_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    for place in range(1, LOOKS + 1):
        folder = tmp_path / str(place)
        folder.mkdir()
        path = begun(folder)
        with between(monkeypatch, place, others(path, scheme)) as count:
            mine = Hdf5Backend(path, "r+", files=Unsynced())
            samples(mine)
        if count[0] < place:
            mine.close()
            break
        mine.commit(change_of([50]))
        expected = sorted([*legal(scheme)[-1], 50])
        assert samples(mine) == expected, f"look {place}"
        with_fresh_eyes = Hdf5Backend(path, "r")
        with_fresh_eyes.check()
        assert samples(with_fresh_eyes) == expected, f"look {place}: acknowledged samples are gone"
        mine.close()
        with_fresh_eyes.close()
    else:
        pytest.fail("LOOKS is too small")


class Shades(Pipeline):
    """Every picture is one gray face, and its vector says how gray; `meanwhile` is what others do before the picture number `place` is embedded."""

    def __init__(self, spec: PipelineSpec, place: int = 0, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(spec)
        self.place, self.meanwhile, self.seen = place, meanwhile, Counter[int]()

    def detect(self, images: Sequence[Any]) -> list[list[Face]]:
        return [[Face(np.array([0, 0, 40, 40]), 0.9)] for _ in images]

    def embed_faces(self, images: Sequence[Any], faces: Sequence[Sequence[Face]]) -> list[list[Embedding]]:
        out = []
        for picture, group in zip(images, faces, strict=True):
            shade = int(picture[0, 0, 0])
            self.seen[shade] += 1
            if self.seen.total() == self.place:
                self.meanwhile()
            out.append([Embedding(shaded(shade, self.spec.flip), None, self.embedding_id) for _ in group])
        return out


OLD, NEW = PipelineSpec(), PipelineSpec(flip=True)
SHADES = {"Ada": 10, "Bob": 20, "Cyd": 30}


def shaded(shade: int, anew: bool) -> np.ndarray:
    return np.random.default_rng([shade, anew]).normal(size=128).astype(np.float32)


def pictured(folder: Path, shade: int) -> str:
    path = folder / f"{shade}.png"
    image.save(path, np.full((40, 40, 3), shade, np.uint8))
    return str(path)


def add(gallery: Gallery, folder: Path, name: str, shade: int) -> None:
    gallery.enroll_vectors([name], shaded(shade, False)[None], Pipeline(OLD).embedding_id, source=[pictured(folder, shade)])


def held(gallery: Gallery) -> dict[str, list[int]]:
    """Who has pictures of which shades; all vectors must be the new network's."""
    out = {}
    for entry in gallery.people():
        out[entry.person.name] = sorted(int(Path(sample.source).stem) for sample in entry.samples)
        for sample in entry.samples:
            expected = shaded(int(Path(sample.source).stem), True)
            np.testing.assert_allclose(sample.vector * sample.length, expected, rtol=1e-5, atol=1e-6)
    return out


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Gallery, Gallery]]:
    """One file opened by two, with three people."""
    with open_gallery(tmp_path / "p.h5", spec=OLD) as mine, open_gallery(tmp_path / "p.h5", spec=OLD) as other:
        for name, shade in SHADES.items():
            add(mine, tmp_path, name, shade)
        yield mine, other


MEANWHILE: dict[str, tuple[Callable[[Gallery, Path], Any], dict[str, list[int]]]] = {
    "a new person": (lambda other, folder: add(other, folder, "Dov", 40), {"Ada": [10], "Bob": [20], "Cyd": [30], "Dov": [40]}),
    "a new sample": (lambda other, folder: add(other, folder, "Ada", 40), {"Ada": [10, 40], "Bob": [20], "Cyd": [30]}),
    "rename": (lambda other, folder: other.rename("Ada", "Eve"), {"Eve": [10], "Bob": [20], "Cyd": [30]}),
    "merge": (lambda other, folder: other.merge("Ada", "Cyd"), {"Ada": [10, 30], "Bob": [20]}),
    "remove": (lambda other, folder: other.remove("Ada"), {"Bob": [20], "Cyd": [30]}),
    "forget": (lambda other, folder: other.forget("Ada"), {"Bob": [20], "Cyd": [30]}),
    "compact": (lambda other, folder: other.backend.compact(), {"Ada": [10], "Bob": [20], "Cyd": [30]}),
    "clear": (lambda other, folder: other.clear(), {}),
}


@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("what", MEANWHILE)
def test_embedding_anew_keeps_what_others_did_meanwhile(tmp_path: Path, pair: tuple[Gallery, Gallery], what: str, place: int) -> None:
    mine, other = pair
    work, expected = MEANWHILE[what]
    pipeline = Shades(NEW, place, lambda: work(other, tmp_path))
    told: list[int] = []
    assert reindex(mine, pipeline, progress=told.append) == (sum(map(len, expected.values())), [])
    assert set(pipeline.seen.values()) == {1}, "no picture is embedded twice"
    assert sum(told) == pipeline.seen.total()
    with open_gallery(tmp_path / "p.h5", "r") as reader:
        assert held(reader) == expected
        assert reader.binding is not None
        assert reader.binding.model == pipeline.embedding_id


def test_a_sample_whose_picture_is_gone_and_that_came_meanwhile_is_told(tmp_path: Path, pair: tuple[Gallery, Gallery]) -> None:
    mine, other = pair

    def meanwhile() -> None:
        add(other, tmp_path, "Dov", 40)
        (tmp_path / "40.png").unlink()

    with pytest.raises(GalleryUnavailable, match="1 of 4 samples cannot be embedded anew"):
        reindex(mine, Shades(NEW, 3, meanwhile))
    with open_gallery(tmp_path / "p.h5", "r") as reader:
        assert reader.binding is not None
        assert (len(reader), reader.binding.model) == (4, Pipeline(OLD).embedding_id)
    count, lost = reindex(mine, Shades(NEW), drop_missing=True)
    assert (count, len(lost)) == (3, 1)
    assert held(mine) == {"Ada": [10], "Bob": [20], "Cyd": [30], "Dov": []}


def test_who_was_embedded_with_the_old_network_is_not_mixed_in(tmp_path: Path, pair: tuple[Gallery, Gallery]) -> None:
    mine, other = pair
    other.model._held = (other.binding, Shades(OLD, 1, lambda: reindex(mine, Shades(NEW))))
    with pytest.raises(ModelMismatch, match="embedded anew meanwhile"):
        list(enrolling.enroll(other, [enrolling.NewFace("Dov", pictured(tmp_path, 40))]))
    assert held(mine) == {"Ada": [10], "Bob": [20], "Cyd": [30]}


def test_an_open_handle_follows_a_gallery_that_was_embedded_anew(tmp_path: Path, pair: tuple[Gallery, Gallery]) -> None:
    mine, _ = pair
    with open_gallery(tmp_path / "p.h5", "r+") as plain, open_gallery(tmp_path / "p.h5", "r", threads=1) as tuned:
        assert plain.pipeline.embedding_id == Pipeline(OLD).embedding_id
        assert plain.pipeline is plain.pipeline, "made once"
        reindex(mine, Shades(NEW))
        for handle in (plain, tuned):
            assert handle.pipeline.embedding_id == Pipeline(NEW).embedding_id
            assert handle.threshold().source == Pipeline(NEW).decision().source
        assert tuned.pipeline.spec.threads == 1, "its own options stay"


def test_a_handle_of_a_given_model_refuses_a_gallery_that_was_embedded_anew(tmp_path: Path, pair: tuple[Gallery, Gallery]) -> None:
    mine, _ = pair
    with open_gallery(tmp_path / "p.h5", "r+", OLD) as given, open_gallery(tmp_path / "p.h5", "r", flip=False) as named:
        reindex(mine, Shades(NEW))
        for handle in (given, named):
            with pytest.raises(ModelMismatch, match="leave out the options that choose another model"):
                handle.identify([pictured(tmp_path, 10)])
        with pytest.raises(ModelMismatch):
            list(given.enroll_many([enrolling.NewFace("Eve", pictured(tmp_path, 50))]))
