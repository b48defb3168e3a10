"""Several processes at one gallery file: killed at random moments, writing side by side, reading while it is compacted."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import time
from pathlib import Path

import numpy as np
import pytest

from faceworks.errors import GalleryLocked
from faceworks.gallery.files import locked
from faceworks.gallery.hdf5 import Hdf5Backend
from gallery_tools import binding, change_of, write_and_tell

CONTEXT = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")
if CONTEXT.get_start_method() == "forkserver":
    CONTEXT.set_forkserver_preload(["pytest", "faceworks.gallery.hdf5"])  # what takes long to import: a writer then starts in milliseconds


class Writer:
    """A process that enrolls and removes, and says through a pipe what was acknowledged."""

    def __init__(self, path: Path, start: int, count: int, compact: int) -> None:
        self._said, said = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=write_and_tell, args=(said, str(path), start, count, compact))
        self.process.start()
        said.close()

    def say(self, seconds: float | None = None) -> list[int]:
        """What it acknowledges within some seconds, or until it ends; 0 comes first, when it is ready."""
        out, end = [], None if seconds is None else time.monotonic() + seconds
        with contextlib.suppress(EOFError):
            while self._said.poll(None if end is None else max(0.0, end - time.monotonic())):
                out.append(self._said.recv())
        return out

    def ended(self) -> bool:
        return self.process.exitcode is not None

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def close(self) -> None:
        self.process.join()
        self._said.close()
        self.process.close()


def outcome(numbers: list[int]) -> tuple[set[int], set[int]]:
    """Numbers of samples that were added, and that were removed again."""
    return {n for n in numbers if n > 0}, {-n for n in numbers if n < 0}


def kill_once(folder: Path, seed: int) -> None:
    path, choose = folder / f"p{seed}.h5", random.Random(seed)
    writer = Writer(path, 1, 100_000, choose.choice([0, 3, 7]))
    said = []
    while 0 not in said and not writer.ended():
        said += writer.say(0.02)
    said += writer.say(choose.uniform(0.0, 0.15))
    writer.kill()
    said += writer.say()
    writer.close()
    added, removed = outcome(said)
    store = Hdf5Backend(path, "r+")
    store.check()
    held = set(store.entries().samples.id.tolist())
    expected = added - removed
    last = max(added, default=0)
    assert held in (expected, expected | {last + 1}, expected - {last - 1}), (sorted(expected ^ held), last)
    store.commit(change_of([999_999]))
    fresh = Hdf5Backend(path, "r")
    assert 999_999 in fresh.entries().samples.id
    for one in (store, fresh):
        one.close()


def test_killed_twice(tmp_path: Path) -> None:
    for seed in range(2):
        kill_once(tmp_path, seed)


@pytest.mark.slow
def test_killed_300_times_at_random(tmp_path: Path) -> None:
    for seed in range(300):
        kill_once(tmp_path, seed)


def test_a_writer_waits_and_then_says_who_is_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    store = Hdf5Backend(path, "a", binding(), wait=0.2)
    with locked(tmp_path / "p.h5.lock", 1.0):
        start = time.monotonic()
        with pytest.raises(GalleryLocked, match=r"p\.h5\.lock"):
            store.commit(change_of([1]))
        assert 0.15 < time.monotonic() - start < 5
        assert len(Hdf5Backend(path, "r")) == 0, "readers need no lock"
    store.commit(change_of([1]))
    assert len(store) == 1


def side_by_side(tmp_path: Path, count: int, readers: int) -> None:
    path = tmp_path / "p.h5"
    Hdf5Backend(path, "a", binding()).close()
    writers = [Writer(path, 1, count, 11), Writer(path, 1_000_001, count, 0)]
    said: list[list[int]] = [[], []]
    stores, largest, looks = [Hdf5Backend(path, "r") for _ in range(readers)], [0] * readers, 0
    while not all(writer.ended() for writer in writers):
        for heard, writer in zip(said, writers, strict=True):
            heard += writer.say(0)
        for place, store in enumerate(stores):
            found = store.entries()
            assert [row.person for row in found.samples] == [f"p{n}" for n in found.samples.id], "a torn read"
            np.testing.assert_allclose(np.linalg.norm(found.samples.vectors, axis=1), 1, atol=1e-5)
            newest = int(found.samples.id[found.samples.id < 1_000_001].max(initial=0))
            assert newest >= largest[place], "a reader went back in time"
            largest[place] = newest
            looks += 1
        if looks % 200 == 0:
            stores[0].close()
            stores[0] = Hdf5Backend(path, "r")
    fresh = Hdf5Backend(path, "r")
    held = set(fresh.entries().samples.id.tolist())
    for heard, writer in zip(said, writers, strict=True):
        added, removed = outcome(heard + writer.say())
        assert writer.process.exitcode == 0
        writer.close()
        assert len(added) == count
        assert added - removed <= held, "a lost write"
        assert not removed & held
    for store in (*stores, fresh):
        store.close()
    assert looks > readers


def test_two_writers_and_readers(tmp_path: Path) -> None:
    side_by_side(tmp_path, 25, 3)


@pytest.mark.slow
def test_two_writers_and_ten_readers_for_a_minute(tmp_path: Path) -> None:
    start = time.monotonic()
    round_ = 0
    while time.monotonic() - start < 60:
        round_ += 1
        folder = tmp_path / str(round_)
        folder.mkdir()
        side_by_side(folder, 150, 10)
