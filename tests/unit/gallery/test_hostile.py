"""What somebody might do to a gallery, with intent or by accident."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from faceworks.errors import ConfigError, FaceworksError, GalleryCorrupt, GalleryUnavailable, InputError
from faceworks.gallery import open_gallery
from faceworks.gallery.backend import Change, Person, samples_of
from faceworks.gallery.hdf5 import Hdf5Backend
from faceworks.gallery.memory import MemoryBackend
from faceworks.gallery.transfer import export
from gallery_tools import Unsynced, binding, change_of

MODEL = "toy@000000000000"


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_very_many_samples_of_one_person(tmp_path: Path, count: int) -> None:
    """They are all nearer than anybody else, and the others are found behind them all the same; in a file too."""
    random = np.random.default_rng(0)
    vectors = np.concatenate([np.eye(1, 16) + 0.02 * random.normal(size=(count, 16)), np.eye(3, 16, 1)]).astype(np.float32)
    with open_gallery(tmp_path / "p.h5") as gallery:
        gallery.enroll_vectors(["Ada"] * count + ["Bob", "Cy", "Di"], vectors, MODEL)
        gallery.backend.compact()
        start = time.process_time()
        found = gallery.look_up(np.eye(1, 16), 4)[0]
        assert time.process_time() - start < 30
        names = [gallery.backend.entries([id]).people[0].name for id, _, _ in found]
        assert names[0] == "Ada"
        assert sorted(names) == ["Ada", "Bob", "Cy", "Di"]
        assert len(gallery.get("Ada").samples) == count
        assert gallery.remove("Ada") == count
        assert gallery.look_up(np.eye(1, 16), 1)[0][0][0] != found[0][0]
        gallery.forget("Ada")
        assert len(gallery.backend) == 3


@pytest.mark.parametrize("queries", [1, 3, 40])
def test_very_many_equal_vectors(queries: int) -> None:
    store = MemoryBackend(binding())
    ids = np.random.default_rng(0).permutation(30_000) + 1
    store.commit(Change(people=[Person("p", "P")], samples=samples_of(["p"], np.zeros(30_000), np.tile([[1.0, 2, 3, 4]], (30_000, 1)), ids)))
    asked = np.tile(store.entries(samples=[1]).samples.vectors, (queries, 1))
    for hits in store.search(asked, 5, 0):
        assert hits.sample.tolist() == [1, 2, 3, 4, 5]


def test_more_candidates_than_memory_should_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    from faceworks.gallery import scan

    store = MemoryBackend(binding())
    store.commit(change_of(list(range(1, 200))))
    store.commit(Change(samples=samples_of(["p1"], np.zeros(500), np.tile([[1.0, 2, 3, 4]], (500, 1)), np.arange(1000, 1500))))
    asked = np.concatenate([store.entries(samples=[i]).samples.vectors for i in (1000, 5, 6, 1001, 7)])
    expected = [hits.sample.tolist() for hits in store.search(asked, 6, 0)]
    monkeypatch.setattr(scan, "CANDIDATES", 100)
    assert [hits.sample.tolist() for hits in store.search(asked, 6, 0)] == expected
    assert expected[0] == expected[3] == list(range(1000, 1006))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_queries_that_are_no_vectors(bad: float) -> None:
    gallery = open_gallery("memory:")
    gallery.enroll_vectors(["Ada"], np.eye(1, 4), MODEL)
    for query in ([[bad, 0, 0, 1]], [[0, 0, 0, 0]]):
        with pytest.raises(InputError, match=r"no direction|finite"):
            gallery.look_up(np.array(query, np.float32))
    with pytest.raises(InputError, match="4 numbers, got 5"):
        gallery.look_up(np.eye(1, 5))
    with pytest.raises(InputError, match="k must"):
        gallery.look_up(np.eye(1, 4), 0)
    assert gallery.look_up(np.zeros((0, 4), np.float32)) == []


def damaged(path: Path, what: str) -> None:
    """A gallery file whose HDF5 is whole and whose content lies."""
    with h5py.File(path, "r+") as file:
        match what:
            case "nan":
                file["vectors"][1] = np.nan
            case "zero":
                file["vectors"][1] = 0
            case "person":
                file["samples/person"][0] = 99
            case "negative":
                file["samples/person"][0] = -1
            case "short":
                rows = file["samples/expires"][:-1]
                del file["samples/expires"]
                file["samples/expires"] = rows
            case "kind":
                rows = file["vectors"][()].astype(np.float64)
                del file["vectors"]
                file["vectors"] = rows
            case "flat":
                rows = file["vectors"][()].ravel()
                del file["vectors"]
                file["vectors"] = rows
            case "metadata":
                file["people/metadata"][0] = "{no json"
            case "uuid":
                file.attrs["uuid"] = "zz"
            case "binding":
                file.attrs["binding"] = json.dumps({"dim": 8})
            case "group":
                del file["people"]
            case "later":
                file.attrs["version"] = 99


KINDS = ["nan", "zero", "person", "negative", "short", "kind", "flat", "metadata", "uuid", "binding", "group", "later"]


@pytest.mark.parametrize("what", KINDS)
def test_files_that_lie(tmp_path: Path, what: str) -> None:
    path = tmp_path / "p.h5"
    with open_gallery(path) as gallery:
        gallery.enroll_vectors(["Ada", "Ada", "Bob"], np.random.default_rng(0).normal(size=(3, 8)), MODEL)
        gallery.backend.compact()
    damaged(path, what)
    with pytest.raises((GalleryCorrupt, GalleryUnavailable), match=r"p\.h5"), open_gallery(path, "r") as gallery:
        gallery.check()


def test_files_of_others(tmp_path: Path) -> None:
    """Folders, devices, links to nowhere, other formats: errors of ours, and nothing of theirs is touched."""
    (tmp_path / "folder.h5").mkdir()
    (tmp_path / "link.h5").symlink_to(tmp_path / "nowhere.h5")
    (tmp_path / "text.h5").write_text("hello")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = np.arange(3)
    before = (tmp_path / "other.h5").read_bytes()
    for name in ("folder.h5", "text.h5", "other.h5"):
        for mode in ("r", "r+", "a", "x"):
            with pytest.raises(FaceworksError, match=name):
                open_gallery(tmp_path / name, mode)  # type: ignore[arg-type]
    with pytest.raises(GalleryUnavailable):
        open_gallery(tmp_path / "link.h5", "r")
    for address in ("", "milvus:", "postgresql:", "file://"):
        with pytest.raises(FaceworksError):
            open_gallery(address, "r")
    assert (tmp_path / "other.h5").read_bytes() == before


def test_a_file_that_is_moved_away_or_replaced_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    store = Hdf5Backend(path, "a", binding(), files=Unsynced())
    store.commit(change_of([1]))
    shutil.move(path, tmp_path / "q.h5")
    with pytest.raises(GalleryUnavailable, match="deleted or moved"):
        len(store)
    with pytest.raises(GalleryUnavailable, match="deleted or moved"):
        store.commit(change_of([2]))
    shutil.move(tmp_path / "q.h5", path)
    assert len(store) == 1
    Hdf5Backend(tmp_path / "other.h5", "a", binding(), files=Unsynced()).commit(change_of([7]))
    shutil.move(tmp_path / "other.h5", path)
    with pytest.raises(GalleryCorrupt, match="another gallery"):
        store.commit(change_of([3]))
    shutil.move(tmp_path / "other.h5.log", tmp_path / "p.h5.log")
    assert [person.id for person in store.entries().people] == ["p7"]


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", ".", "..", "Feature Map", "😀", "x" * 10_000, "'; DROP TABLE people; --", "\N{RIGHT-TO-LEFT OVERRIDE}"]
)
def test_hostile_names_and_metadata_go_out_in_the_layout_of_the_course_notes(tmp_path: Path, name: str) -> None:
    from faceworks.gallery.hdf5.seed import read_seed

    gallery = open_gallery("memory:")
    gallery.enroll_vectors([name, "Bob"], np.eye(2, 4), MODEL)
    metadata: dict[str, Any] = {
        name: name,
        "a/b": 1,
        "a_b": 2,
        ".": 3,
        "Name": "x",
        "big": 10**30,
        "list": [1, {"x": None}],
        "yes": True,
        "none": None,
    }
    gallery.describe(name, metadata)
    export(gallery, tmp_path / "seed.h5")
    found = {person: facts for person, facts, _ in read_seed(tmp_path / "seed.h5")}
    assert set(found) == {name, "Bob"}
    assert found[name]["big"] == str(10**30)
    assert {path.name for path in tmp_path.iterdir()} == {"seed.h5"}


def test_closing_while_others_search(tmp_path: Path) -> None:
    gallery = open_gallery(tmp_path / "p.h5")
    gallery.enroll_vectors(["Ada"] * 50, np.random.default_rng(0).normal(size=(50, 16)), MODEL)
    gallery.backend.compact()
    said: list[Exception] = []

    def search() -> None:
        try:
            while True:
                gallery.look_up(np.eye(1, 16), 1)
        except Exception as error:
            said.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    gallery.close()
    for thread in threads:
        thread.join(10)
    assert len(said) == 3
    assert all(isinstance(error, GalleryUnavailable) and "closed" in str(error) for error in said)
    gallery.close()
    with pytest.raises(ConfigError, match="mode"):
        Hdf5Backend(tmp_path / "q.h5", "w")
