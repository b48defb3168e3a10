"""Another writer commits and compacts between any two looks that a reader, or a writer before its lock, takes at the files: nothing torn, nothing lost.

What a process may see is decided by when it opens and asks for the state of files. Here every such look of one store (`Path.open`, `Path.stat`) is
counted, and at the n-th, for every n, somebody else's work is put in between, as the scheduler of a busy machine would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faceworks.gallery.hdf5 import Hdf5Backend
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
