"""The laws of map_images, on toy functions over small text files (`load=read`), so that no network is needed."""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from faceworks import batch, settings
from faceworks.batch import Item, expand, map_images
from faceworks.batch.sources import Content
from faceworks.errors import AssetUnavailable, ConfigError, FaceworksError, InputError, ManifestError
from unit.batch_toys import count_all, no_weights, process, read, same, shout, strange, suicide, too_few

EXECUTORS = ["serial", "threads", "processes"]


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{index:02d}.txt" for index in range(21)]
    for index, path in enumerate(paths):
        path.write_text({3: "bad", 7: "unreadable"}.get(index, f"text {index}"))
    return [*paths[:12], tmp_path / "absent.txt", *paths[12:]]


def plain(items):
    return [(item.index, item.source, item.result, type(item.error).__name__, str(item.error)) for item in items]


def test_serial_threads_and_processes_agree(files):
    runs = [plain(map_images(shout, files, executor, 2, 4, load=read)) for executor in EXECUTORS]
    assert runs[0] == runs[1] == runs[2] == plain(map_images(shout, files, batch_size=1, load=read))
    assert [row[0] for row in runs[0]] == list(range(22))
    assert [row[1] for row in runs[0]] == files
    errors = {row[0]: row[3:] for row in runs[0] if row[3] != "NoneType"}
    assert set(errors) == {3, 7, 12}
    assert errors[3] == ("InputError", "RuntimeError: bad is bad")
    assert errors[7] == ("ImageError", f"{files[7]} is not a picture")
    assert errors[12][1].startswith("FileNotFoundError: ")
    assert all(row[2] == read(row[1]).upper() for row in runs[0] if row[0] not in errors)


def test_batches_have_the_size_asked_for(files):
    good = files[13:]
    assert [item.result for item in map_images(count_all, good, batch_size=4, load=read)] == [4] * 8 + [1]


def test_a_foreign_error_keeps_its_traceback(files):
    for executor in EXECUTORS:
        (item,) = map_images(shout, files[3:4], executor, 1, load=read)
        assert "shout" in item.error.__notes__[0]


def test_errors_that_do_not_travel(files):
    for executor in EXECUTORS:
        (item,) = map_images(strange, files[:1], executor, 1, load=read)
        assert str(item.error) == "Unpicklable: 1"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_on_error_raise(files, executor):
    items = map_images(shout, files, executor, 2, 2, on_error="raise", load=read)
    assert [next(items).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="bad is bad"):
        next(items)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_is_nobodys_picture_ends_the_run(files, executor):
    with pytest.raises(AssetUnavailable, match="no source"):
        list(map_images(no_weights, files, executor, 2, load=read))
    with pytest.raises(ConfigError, match="2 results for 3 pictures"):
        list(map_images(too_few, files[:3], executor, 2, load=read))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("size", [1, 3])
def test_the_window_is_bounded_and_the_source_may_be_endless(executor, size):
    drawn = 0

    def endless():
        nonlocal drawn
        for number in itertools.count():
            drawn += 1
            yield number

    workers = 2
    items = map_images(same, endless(), executor, workers, size, load=same)
    bound = size if executor == "serial" else 2 * workers * size
    for seen, item in enumerate(items, start=1):
        assert item.result == seen - 1
        assert drawn - seen < bound
        if seen == 10 or seen == 40:
            time.sleep(0.05)  # a slow consumer: nobody runs ahead
            assert drawn - seen < bound
        if seen == 60:
            break
    items.close()
    assert not multiprocessing.active_children()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("faceworks")]


def test_settings_and_context_reach_every_worker(files, tmp_path):
    with settings.use(cache=tmp_path / "here"):
        iterators = {executor: map_images(process, files[:1] + files[13:16], executor, 2, 1, load=read) for executor in EXECUTORS}
    for executor, items in iterators.items():  # consumed outside of the block: what counts is where the call stood
        results = [item.result for item in items]
        assert {cache for _, _, cache in results} == {str(tmp_path / "here")}
        processes = {pid for pid, _, _ in results}
        assert (processes == {os.getpid()}) == (executor != "processes")


def test_a_killed_worker_is_an_error_and_no_hang():
    start = time.monotonic()
    with pytest.raises(FaceworksError, match="a worker process died"):
        list(map_images(suicide, range(1000), "processes", 2, 1, load=same))
    assert time.monotonic() - start < 30
    assert not multiprocessing.active_children()


def test_a_task_that_cannot_travel():
    with pytest.raises(ConfigError, match="can be pickled"):
        list(map_images(lambda texts: texts, ["x"], "processes", load=same))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "slurm"}, "serial, threads, processes, ray"),
        ({"on_error": "ignore"}, "collect"),
        ({"step": "guess"}, "embed"),
        ({"workers": 0, "executor": "threads"}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_options_are_checked_at_the_call(options, message):
    with pytest.raises(ConfigError, match=message):
        map_images(same, [], load=same, **options)


def test_nothing_in_nothing_out():
    for executor in EXECUTORS:
        assert list(map_images(same, [], executor, load=same)) == []


def test_portions_for_a_cluster_are_bounded_by_what_they_carry(monkeypatch):
    monkeypatch.setattr(batch, "PORTION", 4)
    monkeypatch.setattr(batch, "PORTION_BYTES", 100)
    frame = np.zeros((6, 5, 3), np.uint8)  # 90 bytes
    sources = [*"abcde", frame, frame, Content("f", frame), b"x" * 200, Content("g", b"y" * 10), *"hi"]
    portions = list(batch._portions(enumerate(sources)))
    assert [len(portion) for portion in portions] == [4, 3, 2, 3]
    assert [index for portion in portions for index, _ in portion] == list(range(12))
    drawn = itertools.count()
    next(batch._portions((index, index) for index in drawn))
    assert next(drawn) == 4  # nothing is drawn ahead


# Journals


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_second_run_does_nothing_twice(files, tmp_path, executor):
    journal = tmp_path / "deep" / "journal.jsonl"
    first = list(map_images(shout, files, executor, 2, 4, journal, load=read))
    second = list(map_images(shout, files, executor, 2, 4, journal, load=read))
    assert plain(first) == plain(second) == plain(map_images(shout, files, load=read))
    assert [item.resumed for item in first] == [False] * 22
    assert [item.resumed for item in second] == [item.error is None for item in first]  # errors are tried again
    assert len(journal.read_bytes().splitlines()) == 19


def test_the_key_is_content_and_task(files, tmp_path):
    journal = tmp_path / "journal.jsonl"
    list(map_images(shout, files[:2], resume=journal, load=read))
    (tmp_path / "moved.txt").write_text(files[0].read_text())
    files[1].write_text("changed")
    assert [item.resumed for item in map_images(shout, [tmp_path / "moved.txt", files[1]], resume=journal, load=read)] == [True, False]
    assert [item.resumed for item in map_images(count_all, files[:2], resume=journal, load=read)] == [False, False]


@pytest.mark.parametrize("cut", [1, 5, 20, 60])
def test_a_torn_last_line_is_done_again(files, tmp_path, cut):
    journal = tmp_path / "journal.jsonl"
    list(map_images(shout, files[:3], resume=journal, load=read))
    whole = journal.read_bytes()
    line = whole.splitlines(keepends=True)[-1]
    journal.write_bytes(whole[: -min(cut, len(line) - 1)])
    again = list(map_images(shout, files[:3], resume=journal, load=read))
    assert [item.resumed for item in again] == [True, True, False]
    assert journal.read_bytes() == whole


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0 a picture", b"a,b\n1,2\n", b'{"key": "' + b"0" * 32 + b'", "result": 1}\nrubbish\n{}\n'])
def test_another_file_is_not_touched(files, tmp_path, content):
    journal = tmp_path / "precious.jpg"
    journal.write_bytes(content)
    with pytest.raises(ManifestError, match="not a journal"):
        list(map_images(shout, files, resume=journal, load=read))
    assert journal.read_bytes() == content


CHILD = """
import os, sys, time
from pathlib import Path
from faceworks.batch import map_images

def slow(texts):
    with open(sys.argv[2], "a") as log:
        log.write("".join(f"{text}\\n" for text in texts))
    time.sleep(0.02)
    return [text.upper() for text in texts]

if __name__ == "__main__":
    for item in map_images(slow, sorted(Path(sys.argv[1]).iterdir()), sys.argv[4], 2, 2, resume=sys.argv[3], load=Path.read_text):
        print(item.result, flush=True)
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_killed_and_resumed(tmp_path, executor):
    folder, log, journal, script = tmp_path / "in", tmp_path / "log", tmp_path / "journal.jsonl", tmp_path / "child.py"
    folder.mkdir()
    for index in range(60):
        (folder / f"{index:02d}.txt").write_text(f"text {index}")
    script.write_text(CHILD)
    command = [sys.executable, str(script), str(folder), str(log), str(journal), executor]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    for _ in range(20):
        child.stdout.readline()
    workers = [int(p) for p in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()] if sys.platform == "linux" else []
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers)), "workers outlive a killed parent"

    done = [json.loads(line)["result"] for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    assert 20 <= len(done) < 60
    before = log.read_text().splitlines()
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert finished.stdout.splitlines() == [f"TEXT {index}" for index in range(60)]
    after = log.read_text().splitlines()[len(before) :]
    assert not {text.upper() for text in after} & set(done), "what stood in the journal was done again"
    assert len(after) == 60 - len(done)
    assert len(set(before + after)) == 60


def _heeds_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what a shell starts in the background ignores them, and so would its children


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT to a process group")
@pytest.mark.parametrize("executor", EXECUTORS)
def test_interrupt_stops_cleanly(tmp_path, executor):
    folder, script = tmp_path / "in", tmp_path / "child.py"
    folder.mkdir()
    for index in range(300):
        (folder / f"{index:03d}.txt").write_text(f"text {index}")
    caught = "    except KeyboardInterrupt:\n        print('interrupted', flush=True)\n"
    head, body = CHILD.split('if __name__ == "__main__":\n')
    script.write_text(head + 'if __name__ == "__main__":\n    try:\n' + textwrap.indent(body, "    ") + caught)
    command = [sys.executable, str(script), str(folder), str(tmp_path / "log"), str(tmp_path / "journal.jsonl"), executor]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_heeds_interrupts
    ) as child:
        for _ in range(10):
            child.stdout.readline()
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does
        out, err = child.communicate(timeout=20)
    assert out.splitlines()[-1] == "interrupted"
    assert child.returncode == 0
    assert err == ""
    deadline = time.monotonic() + 10  # multiprocessing's resource tracker ends a moment after the workers
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(child.pid, 0)
            time.sleep(0.02)
        pytest.fail("a worker is left over")


# expand


def test_expand(tmp_path, monkeypatch):
    for name in ("b.jpg", "a.PNG", "note.txt", ".hidden.jpg", "._b.jpg", "deep/c.webp", "deep/deeper/d.jpeg", "얼굴/e.jpg", "odd[1].jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)

    def names(*sources, **options):
        return [path.relative_to("in").as_posix() for path in expand(sources, **options)]

    everything = ["a.PNG", "b.jpg", "deep/c.webp", "deep/deeper/d.jpeg", "odd[1].jpg", "얼굴/e.jpg"]
    assert names("in") == everything
    assert names("in", recursive=False) == ["a.PNG", "b.jpg", "odd[1].jpg"]
    assert names("in/b.jpg", Path("in/a.PNG")) == ["b.jpg", "a.PNG"]
    assert names("in/note.txt", "in/deep") == ["note.txt", "deep/c.webp", "deep/deeper/d.jpeg"]
    assert names("in/*.jpg") == ["b.jpg", "odd[1].jpg"]
    assert names("in/**/*") == everything
    assert names("in/odd[1].jpg") == ["odd[1].jpg"]
    for wrong, message in (("in/absent.jpg", "does not exist"), ("empty", "no picture in empty"), ("in/*.gif", "no picture in")):
        with pytest.raises(InputError, match=message):
            expand([wrong])


def test_items_are_frozen():
    with pytest.raises(AttributeError):
        Item(0, "a").result = 1
