"""Several processes at one gallery file: killed at random moments, writing side by side, reading while it is compacted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import faceworks
from faceworks.errors import GalleryLocked
from faceworks.gallery.files import locked
from faceworks.gallery.hdf5 import Hdf5Backend
from gallery_tools import binding, change_of

TESTS = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(faceworks.__file__).parent.parent), str(TESTS)])}

WRITER = """
import sys
from gallery_tools import change_of, binding
from faceworks.gallery.hdf5 import Hdf5Backend
from faceworks.gallery.backend import Change
from faceworks.errors import GalleryLocked
path, start, count, compact = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
store = Hdf5Backend(path, "a", binding(), wait=30)
print("ready", flush=True)
for n in range(start, start + count):
    store.commit(change_of([n]))
    print(n, flush=True)
    if n % 5 == 4:
        store.commit(Change(remove_people=[f"p{n - 1}"]))
        print(-(n - 1), flush=True)
    if compact and n % compact == 0:
        store.compact()
"""


def writer(path: Path, start: int, count: int, compact: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(start), str(count), str(compact)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )


def outcome(lines: list[str]) -> tuple[set[int], set[int]]:
    numbers = [int(line) for line in lines if line.strip().lstrip("-").isdigit()]
    return {n for n in numbers if n > 0}, {-n for n in numbers if n < 0}


def kill_once(folder: Path, seed: int) -> None:
    path, choose = folder / f"p{seed}.h5", random.Random(seed)
    process = writer(path, 1, 100_000, choose.choice([0, 3, 7]))
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    end = time.monotonic() + choose.uniform(0.0, 0.15)
    while time.monotonic() < end:
        lines.append(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.wait()
    added, removed = outcome(lines)
    store = Hdf5Backend(path, "r+")
    store.check()
    held = set(store.entries().samples.id.tolist())
    expected = added - removed
    last = max(added, default=0)
    assert held in (expected, expected | {last + 1}, expected - {last - 1}), (sorted(expected ^ held), last)
    store.commit(change_of([999_999]))
    assert 999_999 in Hdf5Backend(path, "r").entries().samples.id


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
    writers = [writer(path, 1, count, 11), writer(path, 1_000_001, count, 0)]
    stores, largest, looks = [Hdf5Backend(path, "r") for _ in range(readers)], [0] * readers, 0
    while any(process.poll() is None for process in writers):
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
    held = set(Hdf5Backend(path, "r").entries().samples.id.tolist())
    for process in writers:
        assert process.stdout is not None
        assert process.returncode == 0
        added, removed = outcome(process.stdout.read().splitlines())
        assert len(added) == count
        assert added - removed <= held, "a lost write"
        assert not removed & held
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
