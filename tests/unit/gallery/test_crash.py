"""A gallery is killed, starved and robbed of unsynced bytes at every operation; it must hold what it acknowledged, whole transactions, nothing else."""

from __future__ import annotations

import contextlib
import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from faceworks.errors import GalleryCorrupt, GalleryUnavailable
from faceworks.gallery.backend import Change
from faceworks.gallery.files import Files
from faceworks.gallery.hdf5 import Hdf5Backend
from faceworks.gallery.memory import MemoryBackend
from gallery_tools import FaultyFiles, Killed, Unsynced, binding, change_of, content

STEPS: list[Any] = [
    change_of([1, 2]), change_of([3]), Change(remove_people=["p2"]), "compact", change_of([4, 5]), Change(remove_samples=[4]), change_of([1]), "compact",
    Change(clear=True, binding=binding()), change_of([9]),
]  # fmt: skip
"""Enroll, remove, compact, clear: the life of a gallery."""


def run(backend: Any, step: Any) -> None:
    backend.compact() if step == "compact" else backend.commit(step)


def states() -> list[dict[str, Any]]:
    """What must be there after 0, 1, … steps."""
    model = MemoryBackend(binding())
    out = [content(model)]
    for step in STEPS:
        if step != "compact":
            model.commit(step)
        out.append(content(model))
    return out


STATES = states()


def life(folder: Path, files: Files) -> int:
    """Go through the steps until something is raised; the number of acknowledged ones, −1 before the gallery exists."""
    done = -1
    try:
        backend = Hdf5Backend(folder / "p.h5", "a", binding(), files=files)
        for done, step in enumerate(STEPS):  # noqa: B007
            run(backend, step)
        return len(STEPS)
    except Killed:
        return done


def operations() -> int:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        files = FaultyFiles(Path(name))
        assert life(Path(name), files) == len(STEPS)
        return files.count


OPERATIONS = operations()


def assert_holds(folder: Path, done: int) -> None:
    """The gallery opens, is sound, holds the acknowledged steps (and perhaps the one in flight), and can be written to."""
    if done < 0 and not (folder / "p.h5").exists():
        return
    backend = Hdf5Backend(folder / "p.h5", "r")
    backend.check()
    found = content(backend)
    done = max(done, 0)
    assert found in STATES[done : done + 2], f"after {done} acknowledged steps: {sorted(found['samples'])}"
    writer = Hdf5Backend(folder / "p.h5", "r+", files=Unsynced())
    extra = change_of([77])
    writer.commit(Change(binding=binding() if writer.info.binding is None else None, people=extra.people, samples=extra.samples))
    found["people"]["p77"], found["samples"][77] = content(writer)["people"]["p77"], content(writer)["samples"][77]
    assert content(Hdf5Backend(folder / "p.h5", "r")) == found
    if done % 3 == 0:
        writer.compact()
        assert content(Hdf5Backend(folder / "p.h5", "r")) == found


def test_there_are_many_places_to_be_killed_at() -> None:
    assert OPERATIONS > 60


@pytest.mark.parametrize("stop", range(1, OPERATIONS + 1))
def test_killed_at_every_operation(tmp_path: Path, stop: int) -> None:
    live = tmp_path / "live"
    live.mkdir()
    files = FaultyFiles(live, stop)
    done = life(live, files)
    assert files.dead
    for kind in ("nothing", ("bytes", "names", "mix")[stop % 3]):
        lost = tmp_path / kind
        lost.mkdir()
        files.power_loss(lost, kind, stop)
        assert_holds(lost, done)
    assert_holds(live, done)


@pytest.mark.slow
def test_any_mixture_of_old_and_new_blocks(tmp_path: Path) -> None:
    for stop in range(1, OPERATIONS + 1):
        live = tmp_path / f"live{stop}"
        live.mkdir()
        files = FaultyFiles(live, stop)
        done = life(live, files)
        for seed, kind in enumerate(("bytes", "names", "mix", "mix", "mix", "mix")):
            lost = tmp_path / "lost"
            lost.mkdir()
            files.power_loss(lost, kind, 10 * stop + seed)
            assert_holds(lost, done)
            shutil.rmtree(lost)


def test_nothing_is_lost_after_the_last_acknowledgment(tmp_path: Path) -> None:
    live, lost = tmp_path / "live", tmp_path / "lost"
    live.mkdir()
    lost.mkdir()
    files = FaultyFiles(live)
    assert life(live, files) == len(STEPS)
    files.power_loss(lost, "nothing")
    assert content(Hdf5Backend(lost / "p.h5", "r")) == STATES[-1]


@pytest.mark.parametrize(
    ("code", "step"),
    [(errno.ENOSPC, 7), (errno.EIO, 11), *(pytest.param(code, 1, marks=pytest.mark.slow) for code in (errno.ENOSPC, errno.EROFS, errno.EIO))],
)
def test_an_error_at_every_operation_changes_nothing_and_the_same_object_goes_on(tmp_path: Path, code: int, step: int) -> None:
    for stop in range(step, OPERATIONS + 1, step):
        folder = tmp_path / str(stop)
        folder.mkdir()
        files = FaultyFiles(folder, stop, OSError(code, "no"))
        try:
            backend = Hdf5Backend(folder / "p.h5", "a", binding(), files=files)
        except GalleryUnavailable:
            backend = Hdf5Backend(folder / "p.h5", "a", binding(), files=files)
        for place, step in enumerate(STEPS):
            try:
                run(backend, step)
            except GalleryUnavailable:
                assert content(backend) in STATES[place : place + 2]
                run(backend, step)
            assert content(backend) == STATES[place + 1]
        assert content(Hdf5Backend(folder / "p.h5", "r")) == STATES[-1]


def test_an_error_leaves_nothing_half_written_behind(tmp_path: Path) -> None:
    for stop in range(1, OPERATIONS + 1, 3):
        folder = tmp_path / str(stop)
        folder.mkdir()
        files = FaultyFiles(folder, stop, OSError(errno.ENOSPC, "no"))
        with contextlib.suppress(GalleryUnavailable):
            life(folder, files)
        assert {path.name for path in folder.iterdir()} <= {"p.h5", "p.h5.log", "p.h5.lock"}


def test_a_compaction_that_fails_does_not_take_the_change_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceworks.gallery.hdf5 import store as module

    def gallery(name: str, stop: int) -> tuple[Hdf5Backend, FaultyFiles]:
        (tmp_path / name).mkdir()
        backend = Hdf5Backend(tmp_path / name / "p.h5", "a", binding(), files=Unsynced())
        backend.commit(change_of([1]))
        files = backend._files = FaultyFiles(tmp_path / name, stop, OSError(errno.ENOSPC, "no"))
        return backend, files

    backend, files = gallery("whole", 0)
    backend.commit(change_of([2]))
    appending = files.count
    backend.compact()
    compacting = files.count - appending
    assert compacting > 10
    monkeypatch.setattr(module, "SMALLEST_LOG", 0)
    monkeypatch.setattr(module, "LOG_SHARE", 1 << 40)
    for stop in range(appending + 1, appending + compacting + 1, 4):
        backend, files = gallery(str(stop), stop)
        backend.commit(change_of([2]))
        assert files.count >= stop, "the failure was not met"
        assert sorted(content(backend)["samples"]) == [1, 2]
        backend.commit(change_of([3]))
        assert sorted(content(Hdf5Backend(backend.path, "r"))["samples"]) == [1, 2, 3]


def test_a_record_that_was_cut_back_after_it_was_read_is_not_kept(tmp_path: Path) -> None:
    """A writer whose fsync fails takes its record back; who read it meanwhile must notice, whatever is written in its place."""
    writer = Hdf5Backend(tmp_path / "p.h5", "a", binding(), files=Unsynced())
    writer.commit(change_of([1]))
    end = writer.log_path.stat().st_size
    reader, other = Hdf5Backend(tmp_path / "p.h5", "r"), Hdf5Backend(tmp_path / "p.h5", "r+", files=Unsynced())
    writer.commit(change_of([2]))
    for store in (reader, other):
        assert sorted(content(store)["samples"]) == [1, 2]
    with writer.log_path.open("r+b") as file:
        file.truncate(end)
    fresh = Hdf5Backend(tmp_path / "p.h5", "r+", files=Unsynced())
    fresh.commit(change_of([3]))
    assert sorted(content(reader)["samples"]) == [1, 3]
    other.commit(change_of([4]))
    for store in (reader, other, Hdf5Backend(tmp_path / "p.h5", "r")):
        assert sorted(content(store)["samples"]) == [1, 3, 4]


def test_the_messages_say_what_to_do(tmp_path: Path) -> None:
    files = FaultyFiles(tmp_path)
    backend = Hdf5Backend(tmp_path / "p.h5", "a", binding(), files=files)
    for code, text in ((errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "no permission")):
        files.stop, files.error = files.count + 2, OSError(code, "no")
        with pytest.raises(GalleryUnavailable, match=text):
            backend.commit(change_of([1]))


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_log_cut_at_every_byte(tmp_path: Path, step: int) -> None:
    backend = Hdf5Backend(tmp_path / "p.h5", "a", binding())
    ends = [0]
    steps = [change_of([1, 2]), change_of([3]), Change(remove_people=["p2"]), change_of([4])]
    model = MemoryBackend(binding())
    expected = [content(model)]
    for change in steps:
        backend.commit(change)
        model.commit(change)
        ends.append(backend.log_path.stat().st_size)
        expected.append(content(model))
    data = backend.log_path.read_bytes()
    for size in sorted({*range(0, len(data) + 1, step), *(end + near for end in ends for near in (-1, 0, 1) if 0 <= end + near <= len(data))}):
        folder = tmp_path / f"cut{size}"
        folder.mkdir()
        shutil.copy(tmp_path / "p.h5", folder)
        (folder / "p.h5.log").write_bytes(data[:size])
        whole = max(place for place, end in enumerate(ends) if end <= size)
        cut = Hdf5Backend(folder / "p.h5", "r")
        cut.check()
        assert content(cut) == expected[whole]
        if size % 7 == 0:
            writer = Hdf5Backend(folder / "p.h5", "r+", files=Unsynced())
            writer.commit(change_of([50]))
            assert set(content(Hdf5Backend(folder / "p.h5", "r"))["samples"]) == {*expected[whole]["samples"], 50}
        shutil.rmtree(folder)


def test_a_flipped_bit_in_what_was_acknowledged_is_noticed(tmp_path: Path) -> None:
    backend = Hdf5Backend(tmp_path / "p.h5", "a", binding())
    backend.commit(change_of([1]))
    first = backend.log_path.stat().st_size
    backend.commit(change_of([2]))
    data = backend.log_path.read_bytes()
    for place in range(0, first, 3):
        broken = bytearray(data)
        broken[place] ^= 0x10
        backend.log_path.write_bytes(bytes(broken))
        with pytest.raises(GalleryCorrupt, match=r"p\.h5"):
            Hdf5Backend(tmp_path / "p.h5", "r")


def test_logs_of_others_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Hdf5Backend(tmp_path / f"{name}.h5", "x", binding()).commit(change_of([1]))
    shutil.copy(tmp_path / "a.h5.log", tmp_path / "b.h5.log")
    with pytest.raises(GalleryCorrupt, match="another gallery"):
        Hdf5Backend(tmp_path / "b.h5", "r")
    (tmp_path / "b.h5.log").write_bytes(b"something else entirely, of a different kind")
    with pytest.raises(GalleryCorrupt, match="no gallery log"):
        Hdf5Backend(tmp_path / "b.h5", "r")
    (tmp_path / "a.h5").unlink()
    with pytest.raises(GalleryCorrupt, match="without"):
        Hdf5Backend(tmp_path / "a.h5", "a", binding())


def test_an_old_base_beside_a_newer_log_is_refused(tmp_path: Path) -> None:
    backend = Hdf5Backend(tmp_path / "p.h5", "a", binding())
    shutil.copy(tmp_path / "p.h5", tmp_path / "old.h5")
    backend.commit(change_of([1]))
    backend.compact()
    shutil.copy(tmp_path / "old.h5", tmp_path / "p.h5")
    with pytest.raises(GalleryCorrupt, match="newer than"):
        Hdf5Backend(tmp_path / "p.h5", "r")
