"""Pair lists of other formats, and runs over them with a toy pipeline (see test_run)."""

from __future__ import annotations

import io
import json
import math
import pickle
import re

import numpy as np
import pytest
from PIL import Image

from faceworks.errors import ConfigError, InputError, ManifestError
from faceworks.evaluate import (
    Degraded,
    FixedCrop,
    compare_reports,
    dimension_levels,
    evaluate_folder,
    evaluate_pairs,
    mine_hard,
    quality_levels,
    read_fglfw_pairs,
    read_labeled_pairs,
    read_lfw_pairs,
    read_pairs_csv,
    read_template_pairs,
    read_view1,
    read_youtube_faces,
    write_fglfw_pairs,
)
from faceworks.evaluate.bins import read_bin
from faceworks.evaluate.folder import split_probes
from faceworks.evaluate.folder_groups import folder_groups
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Embedding, Face, FaceResult

FACE = Face(np.array([0, 0, 4, 4]), 0.9)
REDS = [(10, 20, 14), (60, 70, 66), (110, 120, 118), (160, 170, 161), (210, 220, 222), (240, 250, 255)]


def result(red: int) -> list[FaceResult]:
    vector = np.array([math.cos(math.radians(red)), math.sin(math.radians(red)), 0.1], np.float32)
    return [FaceResult(FACE, Embedding(vector, None, "toy"))] if red else []


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """Pictures are angles: the red value of the middle pixel in degrees; black has no face."""

    def embed(self, images, names=None):
        return [result(int(picture[picture.shape[0] // 2, picture.shape[1] // 2, 0])) for picture in images]

    def embed_faces(self, images, faces):
        return [[result(max(1, int(picture[0, 0, 0])))[0].embedding] for picture in images]

    monkeypatch.setattr(Pipeline, "embed", embed)
    monkeypatch.setattr(Pipeline, "embed_faces", embed_faces)


@pytest.fixture
def root(tmp_path):
    for person, values in enumerate(REDS):
        for number, red in enumerate(values, start=1):
            path = tmp_path / "lfw" / f"P{person}" / f"P{person}_{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (red, person, number)).save(path)
    return tmp_path / "lfw"


def lfw_list(tmp_path, root):
    lines = ["2 3"]
    for fold in (range(3), range(3, 6)):
        lines += [f"P{p} 1 2" for p in fold] + [f"P{p} 1 P{(p + 2) % 6} 3" for p in fold]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    return read_lfw_pairs(tmp_path / "pairs.txt", root, ".png")


def test_fglfws_format_is_written_and_read(tmp_path, root):
    pairs = lfw_list(tmp_path, root)
    write_fglfw_pairs(tmp_path / "f.txt", pairs.pairs, root)
    assert len((tmp_path / "f.txt").read_text().splitlines()) == 2 * len(pairs)
    again = read_fglfw_pairs(tmp_path / "f.txt", root, 2)
    assert again.pairs == pairs.pairs
    assert again.folds.tolist() == pairs.folds.tolist()
    lines = (tmp_path / "f.txt").read_text().splitlines()
    (tmp_path / "g.txt").write_text("\n".join(lines[:2][::-1] + lines[6:8] + lines[4:]))
    with pytest.raises(ManifestError, match="lines 3 and 4 must show the same person"):
        read_fglfw_pairs(tmp_path / "g.txt", root, 2)
    (tmp_path / "h.txt").write_text("\n".join(lines[:-1]))
    with pytest.raises(ManifestError, match="multiple of 8"):
        read_fglfw_pairs(tmp_path / "h.txt", root, 2)
    (tmp_path / "i.txt").write_text("\n".join(["../x.png", *lines[1:]]))
    with pytest.raises(ManifestError, match="no path below"):
        read_fglfw_pairs(tmp_path / "i.txt", root, 2)


def test_hard_pairs_are_harder(tmp_path, root):
    pairs = lfw_list(tmp_path, root)
    plain = evaluate_pairs(pairs, out=tmp_path / "a", progress=False)
    vectors = {p: result(Image.open(p).getpixel((0, 0))[0])[0].embedding.vector for p in pairs.pictures}
    hard = mine_hard(pairs, vectors)
    assert hard.labels.tolist() == pairs.labels.tolist()
    assert [p for p in hard.pairs if p.same] == [p for p in pairs.pairs if p.same]
    found = evaluate_pairs(hard, out=tmp_path / "b", progress=False)
    assert np.mean(found.scores[~hard.labels]) > np.mean(plain.scores[~pairs.labels])
    assert "mined to be hard" in found.protocol


def test_calfws_format(tmp_path, root):
    lines = []
    for p in range(6):
        lines += [f"P{p}/P{p}_0001.png {p + 1}", f"P{p}/P{p}_0002.png {p + 1}"]
        lines += [f"P{p}/P{p}_0001.png 0", f"P{(p + 1) % 6}/P{(p + 1) % 6}_0002.png 0"]
    (tmp_path / "c.txt").write_text("\n".join(lines))
    found = read_labeled_pairs(tmp_path / "c.txt", root, 3)
    assert found.labels.tolist() == [True, False] * 6
    assert found.folds.tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    (tmp_path / "c.txt").write_text("\n".join([lines[0], lines[2], *lines[2:]]))
    with pytest.raises(ManifestError, match="one label"):
        read_labeled_pairs(tmp_path / "c.txt", root)


def test_any_pairs_of_a_csv(tmp_path, root):
    rows = ["first,second,label,fold"]
    for p in range(6):
        rows += [f"P{p}/P{p}_0001.png,P{p}/P{p}_0002.png,1,{p % 2 + 1}", f"P{p}/P{p}_0001.png,P{(p + 1) % 6}/P{(p + 1) % 6}_0002.png,0,{p % 2 + 1}"]
    (tmp_path / "p.csv").write_text("\n".join(rows))
    found = read_pairs_csv(tmp_path / "p.csv", root)
    assert found.pairs[0].people == ("P0", "P0")
    assert found.folds.tolist()[:4] == [1, 1, 2, 2]
    report = evaluate_pairs(found, out=tmp_path / "out", progress=False)
    assert report.accuracy.mean == pytest.approx(11 / 12), "one threshold of two lies too low"
    (tmp_path / "q.csv").write_text("\n".join(["first,second,label", "a.png,b.png,maybe"]))
    with pytest.raises(ManifestError, match="line 2, column label"):
        read_pairs_csv(tmp_path / "q.csv", root)
    (tmp_path / "r.csv").write_text("\n".join(["first,second,label", "a.png,b.png,1", "a.png,c.png,0"]))
    with pytest.raises(ManifestError, match="3 of 3 pictures are not below"):
        read_pairs_csv(tmp_path / "r.csv", root)


def test_view_1_chooses_on_one_list_and_judges_on_the_other(tmp_path, root):
    for name, people in (("train", range(3)), ("test", range(3, 6))):
        lines = ["3", *[f"P{p} 1 2" for p in people], *[f"P{p} 1 P{(p + 1) % 6} 3" for p in people]]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    found = read_view1(tmp_path / "train.txt", tmp_path / "test.txt", root, ".png")
    report = evaluate_pairs(found, out=tmp_path / "out", progress=False)
    train = np.asarray(report.scores)[:6]
    assert len(report.accuracy.folds) == 1
    assert train[3:].max() < report.accuracy.thresholds[0] <= train[:3].min()
    assert report.summary.genuine == 3, "the training list is not judged"
    assert report.accuracy.stderr == pytest.approx(math.sqrt(report.accuracy.mean * (1 - report.accuracy.mean) / 6))


def test_videos_are_means_of_their_frames(tmp_path):
    lines = ["split number, first name, second name, is same"]
    for person, base in enumerate((20, 80, 140, 200)):
        for video, shift in enumerate((0, 10)):
            folder = tmp_path / "ytf" / f"P{person}" / str(video)
            folder.mkdir(parents=True)
            for frame, red in enumerate((base + shift - 8, base + shift, base + shift + 8, 0)):
                Image.new("RGB", (4, 4), (red, frame, person)).save(folder / f"{frame}.png")
        lines += [f"{person % 2 + 1}, P{person}/0, P{person}/1, 1", f"{person % 2 + 1}, P{person}/0, P{(person + 1) % 4}/1, 0"]
    (tmp_path / "splits.txt").write_text("\n".join(lines))
    found = read_youtube_faces(tmp_path / "splits.txt", tmp_path / "ytf")
    assert len(found.pictures) == 32
    report = evaluate_pairs(found, out=tmp_path / "out", progress=False)
    unit = [np.array([math.cos(math.radians(a)), math.sin(math.radians(a)), 0.1]) for a in (12, 20, 28, 22, 30, 38)]
    means = [np.mean([v / np.linalg.norm(v) for v in part], axis=0) for part in (unit[:3], unit[3:])]
    expected = means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])
    assert report.scores[0] == pytest.approx(expected, abs=1e-6), "frames without a face take no part"
    assert report.failures_to_detect.pairs == 0
    assert len(read_youtube_faces(tmp_path / "splits.txt", tmp_path / "ytf", frames=2).pictures) == 16


def test_templates(tmp_path, root):
    rows = ["template,person,picture"] + [f"t{p}{n},P{p},P{p}/P{p}_{n:04d}.png" for p in range(6) for n in (1, 2, 3)]
    rows.append("t01,P0,P0/P0_0003.png")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    pairs = ["first,second,fold"] + [f"t{p}1,t{p}2,{p % 2}1" for p in range(6)] + [f"t{p}1,t{(p + 1) % 6}2,{p % 2}1" for p in range(6)]
    (tmp_path / "m.csv").write_text("\n".join(pairs))
    found = read_template_pairs(tmp_path / "t.csv", tmp_path / "m.csv", root)
    assert found.labels.tolist() == [True] * 6 + [False] * 6
    assert len(found.members[found.pairs[0].first]) == 2
    assert evaluate_pairs(found, out=tmp_path / "out", progress=False).auc == 1.0


def test_insightface_bin_is_read_without_unpickling(tmp_path):
    def encoded(red):
        data = io.BytesIO()
        Image.new("RGB", (8, 8), (red, 0, 0)).save(data, "PNG")
        return data.getvalue()

    pictures, labels = [], []
    for p in range(4):
        pictures += [encoded(20 + 60 * p), encoded(26 + 60 * p), encoded(20 + 60 * p), encoded((26 + 60 * (p + 1)) % 250)]
        labels += [True, False]
    (tmp_path / "made.bin").write_bytes(pickle.dumps((pictures, labels)))
    found = read_bin(tmp_path / "made.bin", tmp_path / "pictures", 2)
    assert found.labels.tolist() == labels
    assert found.folds.tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert [pair.first.read_bytes() for pair in found.pairs] == pictures[0::2]
    report = evaluate_pairs(found, PipelineSpec(), out=tmp_path / "out", task=FixedCrop(PipelineSpec()), progress=False)
    assert report.accuracy.mean == 1.0
    (tmp_path / "bad.bin").write_bytes(pickle.dumps((pictures, labels[:-1])))
    with pytest.raises(ManifestError, match="7 labels need 14 pictures"):
        read_bin(tmp_path / "bad.bin", tmp_path / "pictures")


def test_facenets_protocols_center_crop_and_fallback(tmp_path, root):
    pairs = lfw_list(tmp_path, root)
    Image.new("RGB", (8, 8), (0, 0, 0)).save(pairs.pairs[0].first)
    plain = evaluate_pairs(pairs, out=tmp_path / "a", progress=False)
    assert plain.failures_to_detect.pictures == 1
    saved = evaluate_pairs(pairs, out=tmp_path / "b", fallback=FixedCrop(PipelineSpec(), 0.5), progress=False)
    assert (saved.failures_to_detect.pictures, saved.failures_to_detect.fallbacks) == (0, 1)
    assert "center crop 0.5" in saved.options["fallback"]
    cropped = evaluate_pairs(pairs, out=tmp_path / "c", task=FixedCrop(PipelineSpec(), 0.5), progress=False)
    assert cropped.failures_to_detect.fallbacks == 0
    picture = np.arange(10 * 8 * 3, dtype=np.uint8).reshape(10, 8, 3)
    assert (FixedCrop(PipelineSpec(), 0.5).cut(picture) == picture[3:7, 2:6]).all()
    with pytest.raises(ConfigError):
        FixedCrop(PipelineSpec(), 0.0)


def test_pictures_made_worse():
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    assert Degraded(PipelineSpec(), pixels=600).worsen(picture).shape == (20, 30, 3)
    assert Degraded(PipelineSpec(), pixels=60 * 40).worsen(picture).shape == picture.shape
    errors = [np.abs(Degraded(PipelineSpec(), jpeg=q).worsen(picture).astype(int) - picture).mean() for q in (10, 50, 95)]
    assert errors == sorted(errors, reverse=True)
    for bad in ({"jpeg": 0}, {"pixels": 3}):
        with pytest.raises(ConfigError):
            Degraded(PipelineSpec(), **bad)


def test_experiments(tmp_path, root):
    pairs = lfw_list(tmp_path, root)
    levels = quality_levels(pairs, PipelineSpec(), jpeg=(50,), pixels=(64,), out=tmp_path / "out", progress=False)
    assert [level.setting for level in levels] == ["untouched", "jpeg 50", "64 pixels"]
    vectors = {p: result(Image.open(p).getpixel((0, 0))[0])[0].embedding.vector for p in pairs.pictures}
    full = evaluate_pairs(pairs, out=tmp_path / "a", progress=False).accuracy.mean
    for how in ("pca", "truncate"):
        found = dimension_levels(pairs, vectors, PipelineSpec(), [1, 3], how)
        assert found[-1].accuracy == full, "all dimensions change nothing"
        assert found[0].accuracy <= full
    with pytest.raises(InputError, match=re.escape("1..3")):
        dimension_levels(pairs, vectors, PipelineSpec(), [4])


def test_reports_are_compared_pair_by_pair(tmp_path, root):
    pairs = lfw_list(tmp_path, root)
    evaluate_pairs(pairs, out=tmp_path / "a", progress=False)
    evaluate_pairs(pairs, out=tmp_path / "b", task=FixedCrop(PipelineSpec(), 0.5), progress=False)
    (same,) = compare_reports([tmp_path / "a", tmp_path / "a"])
    assert (same.mcnemar.p_value, same.p_holm) == (1.0, 1.0)
    assert all(item.difference == 0 == item.interval[0] == item.interval[1] for item in same.differences)
    (other,) = compare_reports([tmp_path / "a", tmp_path / "b"])
    assert other.pairs == len(pairs)
    assert [item.measure for item in other.differences] == ["accuracy", "AUC"]
    with pytest.raises(InputError, match="at least two"):
        compare_reports([tmp_path / "a"])


def test_a_report_is_one_page_that_needs_nothing_else(tmp_path, root):
    pairs = lfw_list(tmp_path, root)
    groups = {"row": {f"P{p}": "ab"[p % 2] for p in range(6)}}
    evaluate_pairs(pairs, out=tmp_path / "out", dataset="<toy>", groups=groups, pictures=True, progress=False)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "&lt;toy&gt;" in page
    assert "<toy>" not in page
    assert page.count("<svg") >= 3
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page), "nothing is fetched"
    assert "<script" not in page
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    for word in ("FNMR", "TAR", "Methods", "By row", "SHA-256"):
        assert word in text
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"accuracy", "auc", "eer", "tar_at_fmr", "failures_to_detect", "intervals", "groups", "worst"} <= set(document)
    assert document["groups"][0]["column"] == "row"


def test_identification_on_a_folder(tmp_path, root):
    closed = evaluate_folder(root, out=tmp_path / "c", strangers=0, split="dependent", progress=False)
    assert (closed.rank1, closed.auc) == (1.0, None)
    found = evaluate_folder(root, out=tmp_path / "o", strangers=0.34, split="independent", progress=False)
    assert found.counts["strangers"] > 0
    assert 0 <= found.auc <= found.rank1 <= found.rank5 <= 1
    assert (tmp_path / "o" / "report.html").is_file()
    again = evaluate_folder(root, strangers=0.34, store=tmp_path / "o" / "vectors", progress=False)
    assert again.table == found.table
    assert again.counts["embedded"] == 0
    with pytest.raises(InputError):
        evaluate_folder(root, strangers=1.0)
    with pytest.raises(InputError, match="no folder"):
        evaluate_folder(tmp_path / "none")


def test_a_folder_by_group(tmp_path, root):
    groups = {"row": {f"P{p}": "ab"[p % 2] for p in range(5)}}
    found = evaluate_folder(root, out=tmp_path / "o", strangers=0.34, split="dependent", groups=groups, progress=False)
    (by,) = found.groups
    sizes = {item.group: (item.probes, item.strangers) for item in by.groups}
    assert set(sizes) == {"a", "b"}
    assert sum(p + s for p, s in sizes.values()) + by.unknown == found.counts["probes"] + found.counts["strangers"]
    assert "By row" in (tmp_path / "o" / "report.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "o" / "report.json").read_text())["groups"][0]["column"] == "row"
    with pytest.raises(InputError, match="known row"):
        evaluate_folder(root, groups={"row": {"nobody": "a"}}, store=tmp_path / "o" / "vectors", progress=False)


def test_identification_by_group_by_hand():
    groups = ["f", "f", "m", "m", None, "f", "m", "m", "m"]  # five probes of enrolled people, then four strangers
    ranks = np.array([1, 2, 1, 1, 1])
    scores, owners = [0.9, 0.9, 0.9, 0.4, 0.9, 0.8, 0.2, 0.5, 0.1], np.array(list("abcdexyzw"))
    found = folder_groups("gender", groups, ranks, scores, owners, 0.5)
    f, m = found.groups
    assert (f.group, f.probes, f.rank1, f.fnir, f.strangers, f.fpir) == ("f", 2, 0.5, 0.5, 1, 1.0)
    assert (m.group, m.probes, m.rank1, m.fnir, m.strangers, m.fpir) == ("m", 2, 1.0, 0.5, 3, pytest.approx(1 / 3)), "ties are accepted"
    assert (found.unknown, found.fnir_ratio, found.fpir_ratio) == (1, 1.0, pytest.approx(3))
    assert (found.fnir_gini, found.fpir_gini) == (0.0, pytest.approx(0.5))
    assert all(low <= rate <= high for rate, (low, high) in ((f.fnir, f.fnir_interval), (m.fpir, m.fpir_interval), (m.rank1, m.rank1_interval)))
    assert m.rank1_interval[0] == pytest.approx(0.025 ** (1 / 2)), "two of two right: the exact bound"
    closed = folder_groups("gender", groups[:5], ranks, scores[:5], owners[:5], None)
    assert (closed.groups[0].fnir, closed.groups[0].fpir, closed.fnir_ratio) == (None, None, None)
    with pytest.raises(InputError, match="one length"):
        folder_groups("gender", groups[:4], ranks, scores, owners, 0.5)


def test_the_split_of_a_folder():
    owners = [f"p{k}" for k in range(20) for _ in range(1 + k % 3)]
    found = split_probes(owners, 0.25, 1, 3)
    people = {name: {owners[k] for k in part.tolist()} for name, part in (("e", found.enrolled), ("p", found.probes), ("s", found.strangers))}
    assert len(people["s"]) == 5
    assert not people["s"] & people["e"]
    assert people["p"] <= people["e"]
    assert sorted([*found.enrolled, *found.probes, *found.strangers]) == list(range(len(owners)))
    assert split_probes(owners, 0.25, 1, 3).probes.tolist() == found.probes.tolist()
