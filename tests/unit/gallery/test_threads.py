"""One `Gallery` used by many threads, and several at one file: every change arrives, none undoes another, nobody waits without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from faceworks.errors import GalleryLocked, UnknownPerson
from faceworks.gallery import Gallery, open_gallery
from faceworks.gallery.files import locked
from faceworks.gallery.hdf5 import store as stores

MODEL = "toy@000000000000"


@pytest.fixture(params=["memory", "one object", "an object each"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Gallery]:
    """Gives each thread its gallery: the same one, or another of the same file."""
    if request.param == "an object each":
        open_gallery(tmp_path / "p.h5").close()
        return lambda: open_gallery(tmp_path / "p.h5", "r+", wait=30)
    one = open_gallery("memory:" if request.param == "memory" else tmp_path / "p.h5", wait=30)
    return lambda: one


def vector(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(1, 16)).astype(np.float32)


def together(*works: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()


def test_changes_of_different_facts_do_not_undo_each_other(opened: Callable[[], Gallery]) -> None:
    opened().enroll_vectors(["Ada"], vector(0), MODEL)
    id = opened().people()[0].person.id

    def rename() -> None:
        for n in range(12):
            opened().rename(id, f"Ada {n}")

    def describe() -> None:
        for n in range(12):
            opened().describe(id, {"n": n})

    def enroll() -> None:
        for n in range(12):
            opened().enroll_vectors([f"Person {n}"], vector(n), MODEL)

    together(rename, describe, enroll, enroll)
    entry = opened().get(id)
    assert (entry.person.name, dict(entry.person.metadata)) == ("Ada 11", {"n": 11})
    people = opened().people()
    assert sorted(item.person.name for item in people) == sorted(["Ada 11", *(f"Person {n}" for n in range(12))]), "one person of each name"
    assert all(len(item.samples) == 2 for item in people if item.person.id != id), "a sample of each thread"


def test_the_first_model_wins(opened: Callable[[], Gallery]) -> None:
    from faceworks.errors import ModelMismatch

    refused: list[int] = []

    def enroll(number: int) -> None:
        try:
            opened().enroll_vectors([f"Person {number}"], vector(number), f"model-{number}")
        except ModelMismatch:
            refused.append(number)

    together(*(lambda n=n: enroll(n) for n in range(4)))  # type: ignore[misc]
    assert len(refused) == 3
    assert len(opened()) == 1


def test_searching_goes_on_while_people_come_and_go(opened: Callable[[], Gallery]) -> None:
    queries = np.concatenate([vector(n) for n in range(20)])
    opened().enroll_vectors([f"Person {n}" for n in range(20)], queries, MODEL)
    done = threading.Event()

    def search() -> None:
        mine = opened()
        while not done.is_set():
            found = mine.look_up(queries, 1)
            for place, row in enumerate(found):
                assert row[0][1] <= 1.0
                if place >= 10:
                    assert row[0][1] == 1.0, "somebody who was never touched was not found"

    def change() -> None:
        mine = opened()
        try:
            for n in range(10):
                mine.remove(f"Person {n}")
                mine.restore(f"Person {n}")
                mine.forget(f"Person {n}")
        finally:
            done.set()

    together(search, search, change)
    assert len(opened()) == 10


def test_a_writer_in_the_way_does_not_hold_up_readers(tmp_path: Path) -> None:
    gallery = open_gallery(tmp_path / "p.h5", wait=1.0)
    gallery.enroll_vectors(["Ada"], vector(0), MODEL)
    failed: list[Exception] = []

    def write() -> None:
        try:
            gallery.enroll_vectors(["Bob"], vector(1), MODEL)
        except GalleryLocked as error:
            failed.append(error)

    with locked(tmp_path / "p.h5.lock", 1.0):
        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.1)
        start = time.monotonic()
        assert gallery.look_up(vector(0), 1)[0][0][1] == 1.0
        assert time.monotonic() - start < 0.6, "a search waited for the lock of a writer"
        thread.join(20)
    assert len(failed) == 1


def test_a_process_that_was_forked_does_not_keep_the_lock(tmp_path: Path) -> None:
    import os

    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    read, write = os.pipe()
    with locked(tmp_path / "lock", 1.0):
        child = os.fork()
        if child == 0:
            os.read(read, 1)
            os._exit(0)
    with locked(tmp_path / "lock", 0.5):
        pass
    os.write(write, b"x")
    os.waitpid(child, 0)


def test_who_computes_anew_gives_up_in_the_end(tmp_path: Path) -> None:
    gallery, other = open_gallery(tmp_path / "p.h5"), open_gallery(tmp_path / "p.h5")
    gallery.enroll_vectors(["Ada"], vector(0), MODEL)
    tried: list[str] = []

    def work(since: str) -> None:
        from faceworks.gallery.backend import Change

        tried.append(since)
        other.enroll_vectors(["Somebody"], vector(len(tried)), MODEL)
        gallery.commit(Change(since=since), "nothing", [])

    with pytest.raises(GalleryLocked, match="another writer"):
        gallery.settle(work)
    assert 10 < len(set(tried)) == len(tried)
    with pytest.raises(UnknownPerson):
        gallery.remove("nobody")
    assert stores.ATTEMPTS > 3
