"""Network streams: real RTSP sessions with a server on this machine, ended, cut, opened again, and never answered."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

av = pytest.importorskip("av", reason="streams need the extra video")
pytest.importorskip("scipy", reason="tracking needs the extra video")

from faceworks.cli import run  # noqa: E402
from faceworks.errors import ImageError  # noqa: E402
from faceworks.image import frames  # noqa: E402
from unit.video.rtsp_server import RATE, RtspServer  # noqa: E402

pytestmark = pytest.mark.skipif("libx264" not in av.codecs_available, reason="the test's server sends H.264, and this PyAV has no encoder for it")


def shades(*values, size=(96, 128)):
    return [np.full((*size, 3), value, np.uint8) for value in values]


def levels(found):
    return [round(float(frame.pixels.mean()), -1) for frame in found]


@pytest.mark.parametrize("polite", [True, False])
def test_every_frame_of_a_stream_until_it_ends(polite):
    values = [10 * number for number in range(3, 21)]
    with RtspServer([shades(*values)], polite=polite) as address:
        found = list(frames.read(address))
    assert levels(found) == values
    assert [frame.index for frame in found] == list(range(18))
    assert [frame.time for frame in found] == pytest.approx([number / RATE for number in range(18)], abs=0.02)


def test_a_stream_is_opened_again_and_goes_on(monkeypatch):
    monkeypatch.setattr(frames, "PAUSE", 0.1)
    server = RtspServer([shades(*[50] * 12), shades(*[150] * 12), ()], pause=0.01)
    with server as address:
        stream = frames.read(address, reconnect=2)
        found = [next(stream) for _ in range(24)]
        assert next(stream, None) is None  # the third answer and the one after it bring no picture
    assert levels(found) == [50] * 12 + [150] * 12
    assert server.connections == 4
    indexes, times = [frame.index for frame in found], [frame.time for frame in found]
    assert sorted(set(indexes)) == indexes
    assert all(b > a for a, b in pairwise(times))
    gap = times[12] - times[11]
    assert gap > 0.1  # the pause is not left out
    assert indexes[12] - indexes[11] >= gap * RATE - 1  # tracks grow old meanwhile


def test_without_reconnect_one_session_is_all():
    server = RtspServer([shades(40, 80), shades(120)], pause=0.01)
    with server as address:
        assert len(list(frames.read(address))) == 2
    assert server.connections == 1


def test_nobody_there_and_nobody_answering(monkeypatch):
    with pytest.raises(ImageError, match="cannot be read as a video"):
        next(frames.read("rtsp://127.0.0.1:9/none", reconnect=5))  # what never worked is not tried again
    monkeypatch.setattr(frames, "PATIENCE", 1.0)
    start = time.monotonic()
    with RtspServer([], deaf=True) as address, pytest.raises(ImageError, match="cannot be read as a video"):
        next(frames.read(address))
    assert time.monotonic() - start < 10


def test_only_streams_are_opened_again(tmp_path):
    with frames.write(tmp_path / "film.mp4", 10) as add:
        for picture in shades(10, 20, 30):
            add(picture)
    assert len(list(frames.read(tmp_path / "film.mp4", reconnect=3))) == 3
    assert [frames.is_live(source) for source in ("rtsp://x/y", "/dev/video0", "film.mp4")] == [True, True, False]


def test_times_are_written_as_they_were(tmp_path):
    seconds = [0.0, 0.04, 0.5, 0.54, 2.0]
    with frames.write(tmp_path / "film.mp4") as add:
        for picture, time_ in zip(shades(10, 60, 110, 160, 210), seconds, strict=True):
            add(picture, time_)
    found = list(frames.read(tmp_path / "film.mp4"))
    assert [frame.time for frame in found] == pytest.approx(seconds, abs=0.0011)
    assert levels(found) == [10, 60, 110, 160, 210]


@pytest.mark.assets
def test_the_command_on_a_stream(pictures, tmp_path, capsys):
    """A face that stands still through two connections is one track; the annotated film opens again with both."""
    face = pictures["person_a_2"]
    small = np.ascontiguousarray(face[:: max(1, len(face) // 240), :: max(1, len(face) // 240)])[:240]
    small = small[: len(small) // 2 * 2, : small.shape[1] // 2 * 2]
    saved, table = tmp_path / "seen.mp4", tmp_path / "tracks.csv"
    with RtspServer([[small] * 6, [small] * 6], pause=0.02) as address:
        code = run(["video", address, "--save", str(saved), "--out", str(table), "--reconnect", "1", "--frames", "12", "--quiet"])
    assert code == 0, capsys.readouterr().err
    (row,) = csv.DictReader(table.open(encoding="utf-8-sig"))
    assert row["frames"] == "12"
    film = list(frames.read(saved))
    assert len(film) == 12
    assert film[-1].time == pytest.approx(float(row["last_seconds"]), abs=0.01)
    assert all((np.abs(frame.pixels.astype(int) - small) > 60).any() for frame in film[1:])  # the box is drawn, once the track is sure


@pytest.mark.assets
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_interrupting_a_stream_ends_it_well(pictures, tmp_path):
    face = np.ascontiguousarray(pictures["person_a_2"][::3, ::3])
    face = face[: len(face) // 2 * 2, : face.shape[1] // 2 * 2]
    saved, table = tmp_path / "seen.mp4", tmp_path / "tracks.csv"
    with RtspServer([[face] * 100], pause=0.1) as address:
        command = [
            sys.executable,
            "-m",
            "faceworks",
            "video",
            address,
            "--save",
            str(saved),
            "--out",
            str(table),
            "--best-shots",
            str(tmp_path / "s"),
            "--json",
        ]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            until = time.monotonic() + 60
            while time.monotonic() < until and not list(tmp_path.glob(".seen*")):
                time.sleep(0.1)
            time.sleep(9)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert '"track": 1' in out
    assert len(list(frames.read(saved))) > 3
    assert len(list(csv.DictReader(table.open(encoding="utf-8-sig")))) == 1
