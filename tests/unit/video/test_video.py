"""Made films: sample pictures that move over a gray ground."""

from __future__ import annotations

import csv
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("av", reason="videos need the extra video")
pytest.importorskip("scipy", reason="tracking needs the extra video")

import faceworks
from faceworks import api, image
from faceworks.cli import run
from faceworks.errors import ConfigError, ImageError
from faceworks.hiding import MODES, hide
from faceworks.image import frames
from faceworks.types import Face
from faceworks.video import FaceTracker, VideoOptions, anonymize, follow, motion

pytestmark = pytest.mark.assets
SIZE = (240, 480)


def face_of(pictures, name, side=150):
    """The head of a sample picture, at `side` pixels."""
    (face,) = api.get_pipeline().find([pictures[name]])[0]
    x1, y1, x2, y2 = (
        int(v) for v in (face.box[0] - face.width / 2, face.box[1] - face.height / 2, face.box[2] + face.width / 2, face.box[3] + face.height / 2)
    )
    return image.resize(np.ascontiguousarray(pictures[name][max(0, y1) : y2, max(0, x1) : x2]), (side, side))


@pytest.fixture(scope="module")
def film(pictures, tmp_path_factory):
    """24 frames: a from left to right, b from right to left below her from frame 6 on."""
    a, b = face_of(pictures, "person_a_2", 110), face_of(pictures, "person_b_2", 110)
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with frames.write(path, 12) as add:
        for number in range(24):
            ground = np.full((*SIZE, 3), 120, np.uint8)
            ground[5:115, 10 + 12 * number : 120 + 12 * number] = a
            if number >= 6:
                ground[125:235, 360 - 12 * number + 60 : 470 - 12 * number + 60] = b
            add(ground)
    return path


@pytest.fixture(scope="module")
def people(samples, tmp_path_factory):
    path = tmp_path_factory.mktemp("gallery") / "people.h5"
    with faceworks.open_gallery(str(path), "a") as gallery:
        gallery.enroll("A", samples["person_a_1"])
        gallery.enroll("B", samples["person_b_1"])
    return path


def test_two_tracks_with_names(film, people):
    with faceworks.open_gallery(str(people), "r") as gallery:
        tracker = FaceTracker(gallery=gallery)
        shown = [(frame.index, sorted(item.track.number for item in seen)) for frame, seen in follow(film, tracker)]
        tracks = [*tracker.ended(), *tracker.close()]
    assert [track.answer.person for track in tracks] == ["A", "B"]
    assert [track.number for track in tracks] == [1, 2]
    assert tracks[0].first[0] == 0
    assert tracks[1].first[0] == 6
    assert tracks[1].first[1] == pytest.approx(0.5, abs=1e-6)
    assert all(track.last[0] == 23 for track in tracks)
    assert shown[-1] == (23, [1, 2])
    assert all(len(track.vectors) <= 5 and track.qualities == sorted(track.qualities, reverse=True) for track in tracks)
    assert all(track.best_shot.shape[0] > 1.5 * track.best.height for track in tracks)
    with pytest.raises(ConfigError, match="one video"):
        next(follow(film, tracker))


def test_every_nth_frame_finds_the_same_people(film, people):
    with faceworks.open_gallery(str(people), "r") as gallery:
        tracker = FaceTracker(gallery=gallery, options=VideoOptions(every=3))
        assert [frame.index for frame, _ in follow(film, tracker)] == list(range(0, 24, 3))
        assert [track.answer.person for track in tracker.close()] == ["A", "B"]


def test_the_command(film, people, tmp_path, capsys):
    out, saved, shots = tmp_path / "t.csv", tmp_path / "a.mp4", tmp_path / "shots"
    code = run(["video", str(film), "--gallery", str(people), "--out", str(out), "--save", str(saved), "--best-shots", str(shots)])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "similarity" in said.out.splitlines()[0] + said.out.splitlines()[1]
    assert [line for line in said.err.splitlines() if "wrote" in line] == [f"faceworks: wrote {path}" for path in (out, saved, shots)]
    rows = list(csv.DictReader(out.open(encoding="utf-8-sig")))
    assert [(row["track"], row["person"], row["first_frame"], row["last_frame"]) for row in rows] == [("1", "A", "0", "23"), ("2", "B", "6", "23")]
    assert len(list(frames.read(saved))) == 24
    assert sorted(path.name for path in shots.iterdir()) == ["0001-A.png", "0002-B.png"]
    assert not list(tmp_path.glob(".*part*"))
    assert run(["video", str(tmp_path / "none.mp4"), "--quiet"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_faces_are_hidden_in_every_frame_and_cannot_be_recognized(film, people, tmp_path):
    target = tmp_path / "hidden.mp4"
    assert anonymize(film, target, "pixelate") == 24
    for before, after in zip(frames.read(film), frames.read(target), strict=True):
        for face in api.detect(before.pixels):
            x1, y1, x2, y2 = (int(v) for v in np.clip(face.box, 0, [479, 239, 479, 239]))
            assert np.abs(before.pixels[y1:y2, x1:x2].astype(int) - after.pixels[y1:y2, x1:x2]).mean() > 8
        found = api.identify(after.pixels, str(people))  # a blob among hair may still look like a face, but nobody's
        assert [item.person for item in found] == [None] * len(found)


def test_frames_in_which_a_face_was_missed_are_hidden_too(film, tmp_path, monkeypatch):
    """The detector is blind in frames 0 to 2 and 10 to 13; what it would have found there is changed all the same."""
    from faceworks.pipeline import Pipeline

    truth = {frame.index: api.detect(frame.pixels) for frame in frames.read(film)}
    real, count = Pipeline.detect, iter(range(100))
    monkeypatch.setattr(Pipeline, "detect", lambda self, images: [[]] if next(count) in (0, 1, 2, 10, 11, 12, 13) else real(self, images))
    anonymize(film, tmp_path / "h.mp4", "fill", color=(0, 0, 0))
    monkeypatch.undo()
    for after in frames.read(tmp_path / "h.mp4"):
        for face in truth[after.index]:
            x, y = int((face.box[0] + face.box[2]) / 2), int((face.box[1] + face.box[3]) / 2)
            assert after.pixels[y, x].max() < 40, after.index


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", ["ellipse", "box"])
def test_hiding_changes_the_region_alone_and_forgets_what_was_there(mode, shape):
    rng = np.random.default_rng(1)
    one, two = (rng.integers(0, 256, (100, 120, 3), np.uint8) for _ in range(2))
    face = Face([30, 20, 70, 70], 1.0, None, "x")
    hidden = hide(one, [face], mode, margin=0.0, shape=shape)
    changed = (hidden != one).any(-1)
    assert not changed[:, :30].any()
    assert not changed[:20].any()
    assert not changed[72:].any()
    inside = changed[21:70, 31:70]
    assert inside.mean() > (0.7 if shape == "ellipse" else 0.95)
    # At most 16 levels of 7 x 7 cells: noise with the same cells looks the same.
    assert len(np.unique(hidden[changed].reshape(-1, 3), axis=0)) <= (64 if mode == "pixelate" else 1 if mode == "fill" else 10**6)
    outside = hide(two, [Face([-500, -500, -400, -400], 1.0, None, "x")], mode)
    assert np.array_equal(outside, two)


def test_hidden_faces_are_strangers(pictures):
    """Vectors of a hidden face do not find its person: the crop is cut with the original's points."""
    pipeline = api.get_pipeline()
    (face,) = pipeline.find([pictures["person_a_1"]])[0]
    (other,) = api.embed(pictures["person_a_2"], select="largest")
    for mode in MODES:
        (vector,) = pipeline.embed_faces([hide(pictures["person_a_1"], [face], mode)], [[face]])[0]
        assert faceworks.similarity.similarity(vector.vector, other.embedding.vector) < 0.3, mode


def test_memory_stays_flat(monkeypatch, tmp_path):
    """400 frames with a face in each, a new one every 40: nothing of the past is held."""
    import tracemalloc

    from faceworks.video import faces as module

    class Toy:
        def __init__(self, spec=None):
            self.spec = spec or faceworks.PipelineSpec()
            self.least_score = 0.5

        def detect(self, images):
            place = int(images[0][0, 0, 0])
            return [[Face([10 + 300 * (place % 2), 10, 60 + 300 * (place % 2), 60], 0.9, None, "toy")]]

        def embed_faces(self, images, faces):
            return [[faceworks.Embedding(np.ones(8, np.float32), None, "toy") for _ in faces[0]]]

    monkeypatch.setattr(module, "Pipeline", Toy)
    tracker = FaceTracker(options=VideoOptions(tracker=motion.TrackerOptions(keep=3)))
    sizes, ended = [], 0
    tracemalloc.start()
    for number in range(400):
        pixels = np.zeros((120, 400, 3), np.uint8)
        pixels[0, 0, 0] = (number // 40) % 10
        tracker.update(frames.Frame(number, number / 25, pixels))
        ended += len(tracker.ended())
        if number % 100 == 99:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert ended == 9
    assert sizes[-1] < 1.2 * sizes[1]


def test_what_is_no_video(tmp_path):
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(ImageError, match="cannot be read as a video"):
        next(follow(tmp_path / "x.mp4", FaceTracker()))
    with pytest.raises(ImageError, match="not read"):
        next(frames.read("https://example.org/film.mp4"))


LONG = """
import sys
from pathlib import Path
import numpy as np
from faceworks.cli.video import _drawn
from faceworks.image import frames
from faceworks.video import FaceTracker, follow

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

tracker, levels, ended = FaceTracker(), [], 0
with frames.write(sys.argv[2]) as add:
    for frame, seen in follow(sys.argv[1], tracker):
        add(_drawn(frame.pixels, seen), frame.time)
        for track in tracker.ended():
            ended += 1
        if frame.index % 500 == 499:
            levels.append(resident())
print(frame.index + 1, ended + len(tracker.close()), *levels)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat_over_5000_frames(pictures, tmp_path):
    """A face that comes and goes every hundred frames, the shipped models, the annotated film written: resident memory of frames 1,000 and 5,000 differs by 5 %."""
    face = face_of(pictures, "person_a_2", 110)
    with frames.write(tmp_path / "long.mp4", 25) as add:
        for number in range(5000):
            ground = np.full((160, 240, 3), 120, np.uint8)
            if number % 100 < 60:
                ground[20:130, number % 100 : number % 100 + 110] = face
            add(ground)
    done = subprocess.run([sys.executable, "-c", LONG, str(tmp_path / "long.mp4"), str(tmp_path / "saved.mp4")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, tracks, *levels = map(float, done.stdout.split())
    assert (count, tracks) == (5000, 50)
    assert len(levels) == 10
    assert max(levels[2:]) < 1.05 * levels[1], levels
    times = [frame.time for frame in frames.read(tmp_path / "saved.mp4")]
    assert len(times) == 5000
    assert times[-1] == pytest.approx(4999 / 25, abs=0.01)
