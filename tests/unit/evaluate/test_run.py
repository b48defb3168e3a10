"""Runs and their report, with a pipeline whose networks are replaced.

The red value of a tiny picture is the angle of its vector in degrees; a black one has no face.
"""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from faceworks import settings
from faceworks.errors import ConfigError, InputError, ManifestError
from faceworks.evaluate import PairList, evaluate_pairs, metrics, read_lfw_pairs, read_pairs_csv
from faceworks.evaluate.provenance import write_whole
from faceworks.evaluate.vectors import SHARD, VectorStore, embed_pictures
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Embedding, Face, FaceResult

FACE = Face(np.array([0, 0, 4, 4]), 0.9)


@pytest.fixture
def calls(monkeypatch):
    """Replaces the networks; the list holds the red value of each picture embedded."""
    seen = []

    def embed(self, images, names=None):
        reds = [int(picture[0, 0, 0]) for picture in images]
        seen.extend(reds)
        vectors = [np.array([math.cos(math.radians(red)), math.sin(math.radians(red))], np.float32) * 3 for red in reds]
        return [[FaceResult(FACE, Embedding(vector, None, "toy"))] if red else [] for red, vector in zip(reds, vectors, strict=True)]

    monkeypatch.setattr(Pipeline, "embed", embed)
    return seen


def lfw(tmp_path, reds, folds=2):
    """People with two pictures each, red values as given, in LFW's tree and list: each fold has one pair of each kind per two people."""
    root = tmp_path / "pictures"
    for person, values in enumerate(reds):
        for number, red in enumerate(values, start=1):
            path = root / f"P{person}" / f"P{person}_{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (red, person, number)).save(path)
    size = len(reds) // folds
    lines = [f"{folds} {size}"]
    for fold in range(folds):
        people = range(fold * size, fold * size + size)
        lines += [f"P{p} 1 2" for p in people]
        lines += [f"P{p} 1 P{(p + 1) % len(reds)} 2" for p in people]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    return read_lfw_pairs(tmp_path / "pairs.txt", root, suffix=".png")


GOOD = [(10, 20), (60, 70), (110, 120), (160, 170), (210, 220), (255, 131)]  # the last person is not recognized


def test_the_report_says_what_a_calculation_by_hand_says(tmp_path, calls):
    pairs = lfw(tmp_path, GOOD)
    report = evaluate_pairs(pairs, out=tmp_path / "out", dataset="toy", progress=False)
    assert sorted(calls) == sorted(red for values in GOOD for red in values)
    angles = {path: Image.open(path).getpixel((0, 0))[0] for path in pairs.pictures}
    expected = [math.cos(math.radians(angles[p.first] - angles[p.second])) for p in pairs.pairs]
    np.testing.assert_allclose(report.scores, expected, atol=1e-6)
    # same: cos 10° = 0.985 five times and cos 124°; different: cos 60° at most. One pair of six is wrong in fold 2.
    assert report.accuracy.folds == (1.0, pytest.approx(5 / 6))
    assert report.accuracy.mean == pytest.approx(11 / 12)
    assert report.accuracy.stderr == pytest.approx(np.std([1, 5 / 6], ddof=1) / math.sqrt(2))
    assert report.correct.tolist() == [True] * 8 + [False] + [True] * 3
    assert report.auc == metrics.auc(report.scores, report.labels)
    assert report.tar_at_fmr == {}
    assert "it takes 3000" in report.summary.refused["0.001"], "six impostor pairs carry no rate"
    # cos 60° = 0.5, four times, is above SFace's 0.363
    accepted = np.array(expected) >= 0.363
    assert report.stock.accuracy == pytest.approx(np.mean(accepted == pairs.labels)) == pytest.approx(7 / 12)
    assert report.stock.threshold == pytest.approx(1 - 0.363)
    assert report.counts == {"pairs": 12, "genuine": 6, "impostor": 6, "people": 6, "pictures": 12, "embedded": 12, "repeated": 0, "identical": 0}

    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written == report.to_dict()
    assert {"accuracy", "auc", "eer", "tar_at_fmr", "failures_to_detect", "models", "recipe", "date", "software", "dataset"} <= set(written)
    assert written["accuracy"]["mean"] == report.accuracy.mean
    assert written["dataset"] == "toy"
    assert written["options"]["select"] == "central"
    assert len(written["models"]["embedder"]["files"]["model"]) == 64
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").open()))
    assert [float(row["score"]) for row in rows] == report.scores.tolist()
    assert [int(row["label"]) for row in rows] == pairs.labels.tolist()
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix == ".tmp"]


def test_missed_faces_and_unreadable_pictures_are_wrong_and_named(tmp_path, calls):
    pairs = lfw(tmp_path, [(10, 20), (60, 0), (110, 120), (160, 170)])
    broken = next(path for path in pairs.pictures if path.name == "P3_0001.png")
    broken.write_bytes(b"\x89PNG")
    report = evaluate_pairs(pairs, out=tmp_path / "out", progress=False)
    missed = {"P1_0002.png", "P3_0001.png"}
    spoiled = [p.first.name in missed or p.second.name in missed for p in pairs.pairs]
    assert report.undetected.tolist() == spoiled
    assert report.failures_to_detect.pictures == 2
    assert report.failures_to_detect.pairs == sum(spoiled) == 4
    assert list(report.failures_to_detect.errors) == [str(broken)]
    assert report.accuracy.mean == pytest.approx(np.mean(~np.array(spoiled)))
    assert report.stock.accuracy <= np.mean(~np.array(spoiled))
    assert [row["score"] for row in csv.DictReader((tmp_path / "out" / "scores.csv").open())].count("") == 4
    json.loads((tmp_path / "out" / "report.json").read_text(), parse_constant=pytest.fail)


def test_a_second_run_embeds_nothing(tmp_path, calls):
    pairs = lfw(tmp_path, GOOD)
    first = evaluate_pairs(pairs, out=tmp_path / "out", progress=False)
    done = len(calls)
    second = evaluate_pairs(pairs, out=tmp_path / "out", progress=False)
    assert len(calls) == done
    assert second.counts["embedded"] == 0
    assert second.scores.tolist() == first.scores.tolist()
    # another threshold needs no new vectors, another choice of face does
    evaluate_pairs(pairs, PipelineSpec(select="central", threshold=0.2, threads=1), out=tmp_path / "out", progress=False)
    assert len(calls) == done
    evaluate_pairs(pairs, PipelineSpec(select="largest"), out=tmp_path / "out", progress=False)
    assert len(calls) == 2 * done


def test_equal_pictures_are_embedded_once_and_moved_ones_are_found(tmp_path, calls):
    pairs = lfw(tmp_path, GOOD)
    copy = tmp_path / "copy.png"
    copy.write_bytes(pairs.pictures[0].read_bytes())
    found = embed_pictures([pairs.pictures[0], copy], PipelineSpec(), tmp_path / "store", progress=False)
    assert len(calls) == found.computed == 1
    assert found.vectors[copy] is found.vectors[pairs.pictures[0]]
    pairs.pictures[0].unlink()
    assert embed_pictures([copy], PipelineSpec(), tmp_path / "store", progress=False).computed == 0


def test_an_interrupted_run_keeps_what_it_has(tmp_path, calls, monkeypatch):
    pairs = lfw(tmp_path, GOOD)
    whole = Pipeline.embed

    def interrupted(self, images, names=None):
        if len(calls) >= 8:
            raise KeyboardInterrupt
        return whole(self, images, names)

    monkeypatch.setattr(Pipeline, "embed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate_pairs(pairs, out=tmp_path / "out", batch_size=2, progress=False)
    monkeypatch.setattr(Pipeline, "embed", whole)
    assert evaluate_pairs(pairs, out=tmp_path / "out", progress=False).counts["embedded"] == 4
    assert sorted(calls) == sorted(red for values in GOOD for red in values)


KILLED = """
import os, sys, time
import numpy as np
from pathlib import Path
from faceworks.evaluate import evaluate_pairs, read_lfw_pairs, vectors
from faceworks.pipeline import Pipeline
from faceworks.types import Embedding, Face, FaceResult

folder, log, last = Path(sys.argv[1]), open(sys.argv[2], "ab", buffering=0), int(sys.argv[4])
vectors.UNSAVED = 0.0
face = Face(np.array([0, 0, 4, 4]), 0.9)

def embed(self, images, names=None):
    reds = [int(picture[0, 0, 0]) for picture in images]
    log.write(b"".join(b"%d\\n" % red for red in reds))  # a picture stands here before it is kept
    if Path(sys.argv[2]).read_bytes().count(b"\\n") >= last:
        time.sleep(600)  # until it is killed
    return [[FaceResult(face, Embedding(np.array([np.cos(np.radians(r)), np.sin(np.radians(r))], np.float32), None, "toy"))] for r in reds]

Pipeline.embed = embed
pairs = read_lfw_pairs(folder / "pairs.txt", folder / "pictures", suffix=".png")
print(evaluate_pairs(pairs, out=folder / sys.argv[3], batch_size=2, progress=False).counts["embedded"])
"""


def test_a_run_killed_at_any_picture_goes_on_and_reports_the_same(tmp_path):
    """kill -9 again and again: at most the batch in flight is done twice, and the report is that of a run that nobody killed."""
    reds = [(5 * person, 5 * person + 3) for person in range(1, 41)]
    lfw(tmp_path, reds)

    def start(log, out, last=1000):
        words = [sys.executable, "-c", KILLED, str(tmp_path), str(tmp_path / log), out, str(last)]
        return subprocess.Popen(words, env=os.environ | {"PYTHONPATH": "src"}, stdout=subprocess.PIPE, text=True)

    def done(log):
        return (tmp_path / log).read_bytes().count(b"\n") if (tmp_path / log).exists() else 0

    kills = 0
    for goal in (6, 31, 54):
        run, deadline = start("killed.log", "killed", goal), time.monotonic() + 60
        while run.poll() is None and done("killed.log") < goal and time.monotonic() < deadline:
            time.sleep(0.02)
        run.kill()
        kills += run.wait() == -signal.SIGKILL
        run.stdout.close()
    assert kills == 3, "every run was killed before its end"
    last, before = start("killed.log", "killed"), done("killed.log")
    assert int(last.communicate()[0]) == done("killed.log") - before
    seen = (tmp_path / "killed.log").read_text().split()
    assert len(set(seen)) == 80
    assert len(seen) - 80 <= 2 * kills
    start("whole.log", "whole").communicate()
    reports = [json.loads((tmp_path / out / "report.json").read_text()) for out in ("killed", "whole")]
    for report in reports:
        del report["date"], report["seconds"], report["counts"]["embedded"]
    assert reports[0] == reports[1]
    assert (tmp_path / "killed" / "scores.csv").read_bytes() == (tmp_path / "whole" / "scores.csv").read_bytes()


def test_a_damaged_archive_is_embedded_again(tmp_path, calls):
    pairs = lfw(tmp_path, GOOD)
    evaluate_pairs(pairs, out=tmp_path / "out", progress=False)
    (shard,) = (tmp_path / "out" / "vectors").rglob("*.npz")
    shard.write_bytes(shard.read_bytes()[:100])
    assert evaluate_pairs(pairs, out=tmp_path / "out", progress=False).counts["embedded"] == 12


def test_the_store_writes_in_shards_and_is_private(tmp_path):
    store = VectorStore(tmp_path / "store")
    for index in range(SHARD + 3):
        store.add(f"{index:064d}", None if index % 7 == 0 else np.full(4, index, np.float32))
    assert len(list(store.folder.glob("*.npz"))) == 1
    store.flush()
    assert len(list(store.folder.iterdir())) == 2
    again = VectorStore(tmp_path / "store").vectors
    assert len(again) == SHARD + 3
    for key, vector in again.items():
        assert (vector is None) == (int(key) % 7 == 0)
        assert vector is None or vector.tolist() == [float(int(key))] * 4
    assert store.folder.stat().st_mode & 0o077 == 0


def test_without_out_vectors_go_to_the_cache(tmp_path, calls):
    pairs = lfw(tmp_path, GOOD)
    with settings.use(cache=tmp_path / "cache"):
        evaluate_pairs(pairs, progress=False)
    assert list((tmp_path / "cache" / "vectors").rglob("*.npz"))


@pytest.mark.parametrize("metric", ["euclidean_l2", "angular", "euclidean"])
def test_other_metrics_rank_alike_on_vectors_of_one_length(tmp_path, calls, metric):
    pairs = lfw(tmp_path, GOOD)
    cosine = evaluate_pairs(pairs, out=tmp_path / "out", progress=False)
    other = evaluate_pairs(pairs, PipelineSpec(select="central", metric=metric), out=tmp_path / "out", progress=False)
    assert other.accuracy.mean == cosine.accuracy.mean
    assert other.auc == cosine.auc
    assert other.correct.tolist() == cosine.correct.tolist()
    if metric == "euclidean":
        assert other.score == "-euclidean"
        assert other.scores.max() <= 0
    else:
        assert other.stock.accuracy == cosine.stock.accuracy


def test_no_face_anywhere(tmp_path, calls):
    pairs = lfw(tmp_path, [(0, 0)] * 4)
    with pytest.raises(InputError, match="undetected face"):
        evaluate_pairs(pairs, out=tmp_path / "out", progress=False)


def test_what_is_refused(tmp_path, calls):
    pairs = lfw(tmp_path, GOOD)
    with pytest.raises(ConfigError, match="one face of each picture"):
        evaluate_pairs(pairs, PipelineSpec(select="all"), out=tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="at least two folds"):
        evaluate_pairs(PairList(pairs.pairs, np.ones(len(pairs), int)), out=tmp_path / "out", progress=False)
    assert not calls


def test_layers():
    """`import faceworks.evaluate.metrics` and friends start no network runtime."""
    code = "import sys, faceworks.batch, faceworks.evaluate.metrics; print([m for m in ('onnxruntime', 'onnx', 'torch') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "src"}, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_repeated_pairs_and_copies_are_counted_and_said(tmp_path, calls):
    root = tmp_path / "pictures"
    lfw(tmp_path, GOOD)
    (root / "P0" / "P0_0003.png").write_bytes((root / "P0" / "P0_0001.png").read_bytes())
    names = [("P0/P0_0001", "P0/P0_0003", 1), ("P1/P1_0001", "P1/P1_0002", 1), ("P1/P1_0002", "P1/P1_0001", 1), ("P1/P1_0001", "P2/P2_0001", 0)]
    rows = [f"{a}.png,{b}.png,{same},{k % 2}" for k, (a, b, same) in enumerate([*names, ("P3/P3_0001", "P2/P2_0001", 0)], start=1)]
    (tmp_path / "list.csv").write_text("first,second,label,fold\n" + "\n".join(rows) + "\n")
    report = evaluate_pairs(read_pairs_csv(tmp_path / "list.csv", root), out=tmp_path / "out", progress=False)
    assert (report.counts["repeated"], report.counts["identical"]) == (1, 1)
    page = (tmp_path / "out" / "report.md").read_text()
    assert "Beware: 1 pairs stand in the list more than once; 1 pairs compare a file with a copy of itself." in page
    (tmp_path / "list.csv").write_text("first,second,label\nP0/P0_0001.png,P0/P0_0001.png,1\n")
    with pytest.raises(ManifestError, match="compared with itself"):
        read_pairs_csv(tmp_path / "list.csv", root)


def test_a_folder_that_cannot_be_written_is_said(tmp_path, calls):
    pairs = lfw(tmp_path, GOOD)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot keep vectors in .*name another folder"):
        evaluate_pairs(pairs, out=tmp_path / "file" / "out", progress=False)
    with pytest.raises(ConfigError, match="cannot write"):
        write_whole(tmp_path / "file" / "report.json", "{}")
    store = VectorStore(tmp_path / "store")
    (tmp_path / "store").rmdir()
    store.add("key", np.ones(2, np.float32))
    with pytest.raises(ConfigError, match="cannot keep vectors"):
        store.flush()
