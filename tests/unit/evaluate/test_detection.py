"""Detection by WIDER FACE's and FDDB's rules: against the authors' procedures written out, by hand, and on dlib's annotated photos."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from faceworks.errors import InputError, ManifestError
from faceworks.evaluate.annotations import by_name, read_faces
from faceworks.evaluate.detection import detection_ap, evaluate_detection
from faceworks.evaluate.fddb import fddb_curve, region_overlap
from faceworks.evaluate.wider import envelope_area, read_subset, wider_ap


def made(seed: int, pictures: int = 12) -> tuple[dict, dict, dict]:
    """Pictures with true boxes, found boxes near and off them with scores, and a list of the true boxes that count."""
    random = np.random.default_rng(seed)
    truth, found, subset = {}, {}, {}
    for number in range(pictures):
        name = f"event{number % 3}/picture{number}.jpg"
        corners = random.uniform(0, 400, (random.integers(0, 7), 2))
        boxes = np.concatenate([corners, corners + random.uniform(12, 80, corners.shape)], axis=1)
        near = np.repeat(boxes, random.integers(0, 3, len(boxes)), axis=0)
        near = near + random.normal(0, 5, near.shape)
        wild = random.uniform(0, 400, (random.integers(0, 4), 2))
        every = np.concatenate([near, np.concatenate([wild, wild + 40], axis=1)])
        every[:, 2:] = np.maximum(every[:, 2:], every[:, :2] + 1)
        scores = np.round(random.uniform(0.02, 1, len(every)), 2)
        truth[name] = [{"box": box.tolist()} for box in boxes]
        found[name] = [{"box": box.tolist(), "score": float(score)} for box, score in zip(every, scores, strict=True)]
        subset[name] = np.flatnonzero(random.random(len(boxes)) < 0.7).tolist()
    return truth, found, subset


def authors_ap(truth: dict, found: dict, subset: dict) -> float:
    """WIDER FACE's evaluation, step by step and threshold by threshold, as its MATLAB code goes."""
    scores = [face["score"] for faces in found.values() for face in faces]
    low, high = min(scores), max(scores)
    counts, faces_total = np.zeros((1000, 2)), 0
    for name, real in truth.items():
        keep = set(subset[name])
        faces_total += len(keep)
        rows = sorted(((face["score"] - low) / (high - low), face["box"]) for face in found[name])[::-1]
        if not rows or not real:
            continue
        recall_list, proposal_list, pred_recall = [0] * len(real), [1] * len(rows), []
        for h, (_, (x1, y1, x2, y2)) in enumerate(rows):
            best, where = -1.0, -1
            for g, face in enumerate(real):
                a, b, c, d = face["box"]
                w, height = min(x2, c) - max(x1, a) + 1, min(y2, d) - max(y1, b) + 1
                common = w * height if w > 0 and height > 0 else 0.0
                overlap = common / ((x2 - x1 + 1) * (y2 - y1 + 1) + (c - a + 1) * (d - b + 1) - common)
                if overlap > best:
                    best, where = overlap, g
            if best >= 0.5:
                if where not in keep:
                    recall_list[where], proposal_list[h] = -1, -1
                elif recall_list[where] == 0:
                    recall_list[where] = 1
            pred_recall.append(recall_list.count(1))
        for t in range(1000):
            reached = [h for h, (score, _) in enumerate(rows) if score >= 1 - (t + 1) / 1000]
            if reached:
                counts[t] += [proposal_list[: reached[-1] + 1].count(1), pred_recall[reached[-1]]]
    precision = [b / a if a else 0.0 for a, b in counts]
    recall = [b / faces_total for _, b in counts]
    area, x = 0.0, [0.0, *recall, 1.0]
    y = [0.0, *precision, 0.0]
    for i in range(len(y) - 2, -1, -1):
        y[i] = max(y[i], y[i + 1])
    for i in range(len(x) - 1):
        area += (x[i + 1] - x[i]) * y[i + 1]
    return area


@pytest.mark.parametrize("seed", range(8))
def test_wider_faces_own_procedure(seed: int) -> None:
    truth, found, subset = made(seed)
    result = wider_ap(found, truth, subset)
    assert result.ap == pytest.approx(authors_ap(truth, found, subset), abs=1e-12)
    assert 0.05 < result.ap < 0.95
    everything = {name: list(range(len(faces))) for name, faces in truth.items()}
    assert wider_ap(found, truth).ap == pytest.approx(authors_ap(truth, found, everything), abs=1e-12)


def test_wider_by_hand() -> None:
    """Two true boxes, one ignored; hits, a second box on a found one, a false alarm, a box on the ignored one."""
    truth = {"a.jpg": [{"box": [0, 0, 10, 10]}, {"box": [100, 0, 110, 10]}, {"box": [50, 50, 60, 60]}]}
    found = {
        "a.jpg": [
            {"box": [0, 0, 10, 10], "score": 1.0},
            {"box": [50, 50, 60, 60], "score": 0.9},  # ignored: neither
            {"box": [200, 0, 210, 10], "score": 0.8},  # false alarm
            {"box": [1, 0, 11, 10], "score": 0.7},  # second on the first: lowers the precision no less, adds nothing
            {"box": [100, 0, 110, 10], "score": 0.0},
        ]
    }
    result = wider_ap(found, truth, {"a.jpg": [0, 1]})
    assert result.faces == 2
    assert result.ap == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert wider_ap({}, truth).ap == 0
    with pytest.raises(InputError, match="no true box counts"):
        wider_ap(found, truth, {"a.jpg": []})
    with pytest.raises(InputError, match="no truth"):
        wider_ap({"b.jpg": []}, truth)


def test_the_envelope() -> None:
    assert envelope_area(np.array([0.5, 0.5, 1.0]), np.array([0.2, 0.4, 0.6])) == pytest.approx(0.6)


def test_overlap_with_an_ellipse() -> None:
    """A circle in its square: π/4; an ellipse turned by a quarter is the upright one; a box inside is its share of the area."""
    circle = {"ellipse": [40, 40, 0.3, 50, 50], "box": [10, 10, 90, 90]}
    assert region_overlap([10, 10, 90, 90], circle) == pytest.approx(math.pi / 4, abs=2e-3)
    upright = {"ellipse": [30, 18, math.pi / 2, 40, 50], "box": [22, 20, 58, 80]}
    flat = {"ellipse": [18, 30, 0, 40, 50], "box": [22, 20, 58, 80]}
    assert region_overlap([22, 20, 58, 80], upright) == pytest.approx(region_overlap([22, 20, 58, 80], flat), abs=1e-9)
    assert region_overlap([40, 50, 44, 54], upright) == pytest.approx(16 / (math.pi * 30 * 18), rel=0.02)
    assert region_overlap([200, 200, 210, 210], upright) == 0
    assert region_overlap([0, 0, 10, 10], {"box": [0, 0, 10, 5]}) == pytest.approx(0.5)


def test_fddb_by_hand() -> None:
    """One box on two faces takes one; the assignment is the best in sum, not the first; a tie of scores is one point."""
    pytest.importorskip("scipy", reason="the matching needs the extra study")
    truth = {"a": [{"box": [0, 0, 10, 10]}, {"box": [6, 0, 16, 10]}], "b": [{"box": [0, 0, 10, 10]}]}
    found = {
        "a": [{"box": [4, 0, 14, 10], "score": 0.9}, {"box": [6, 0, 16, 10], "score": 0.8}],
        "b": [{"box": [0, 0, 10, 8], "score": 0.8}, {"box": [50, 0, 60, 10], "score": 0.5}],
    }
    curve = fddb_curve(found, truth)
    first = 80 / 120
    assert curve.scores.tolist() == [0.9, 0.8, 0.5]
    # at 0.8 the first box moves to the other face, which it overlaps by 60 / 140: no hit any more
    np.testing.assert_allclose(curve.false_alarms, [0, 1, 2])
    np.testing.assert_allclose(curve.discrete, [1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(curve.continuous, [first / 3, (1 + 60 / 140 + 0.8) / 3, (1 + 60 / 140 + 0.8) / 3])
    assert curve.at(0) == pytest.approx((1 / 3, first / 3))
    assert fddb_curve({}, truth).at(10) == (0.0, 0.0)
    with pytest.raises(InputError, match="no true face"):
        fddb_curve({}, {"a": []})


def test_formats(tmp_path: Path) -> None:
    (tmp_path / "wider.txt").write_text(
        "0--Parade/a.jpg\n2\n10 20 30 40 0 0 0 0 0 0\n1 2 3 4 2 0 0 1 0 0\n0--Parade/none.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n1--Other/b.jpg\n1\n5 6 7 8 0 0 0 0 0 0\n"
    )
    wider = read_faces(tmp_path / "wider.txt")
    assert wider["0--Parade/a.jpg"] == [{"box": [10, 20, 40, 60], "ignore": False}, {"box": [1, 2, 4, 6], "ignore": True}]
    assert (wider["0--Parade/none.jpg"], len(wider)) == ([], 3)
    (tmp_path / "fddb.txt").write_text("2002/08/11/big/img_591\n1\n123.583300 85.549500 1.265839 269.693400 161.781200  1\n")
    (face,) = read_faces(tmp_path / "fddb.txt")["2002/08/11/big/img_591"]
    assert face["ellipse"] == [123.5833, 85.5495, 1.265839, 269.6934, 161.7812]
    angles = np.linspace(0, 2 * math.pi, 20_000)
    turn = face["ellipse"][2]
    edge = np.stack([123.5833 * np.cos(angles), 85.5495 * np.sin(angles)]).T @ np.array(
        [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]
    )
    edge += np.array([269.6934, 161.7812])
    np.testing.assert_allclose(face["box"], [*edge.min(axis=0), *edge.max(axis=0)], atol=1e-3)
    (tmp_path / "lab.xml").write_text(
        "<dataset><images><image file='x.jpg'><box top='1' left='2' width='3' height='4' ignore='1'/></image></images></dataset>"
    )
    assert read_faces(tmp_path / "lab.xml") == {"x.jpg": [{"box": [2, 1, 5, 5], "ignore": True}]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "x.jpg\nmany\n", "number of faces must follow"),
        ("a.txt", "x.jpg\n1\n1 2 3\n", "expected x y w h"),
        ("a.txt", "x.jpg\n3\n1 2 3 4\n", "expected x y w h"),
        ("a.xml", "<dataset>", "imglab"),
        ("a.xml", "<!DOCTYPE d [<!ENTITY e 'x'>]><dataset/>", "no place"),
        ("a.json", "[{}]", "expected"),
        ("a.json", '[{"source": "a", "faces": [{"box": [1, 2, 3]}]}]', "four numbers"),
        ("a.json", '[{"source": "a", "faces": [{"box": [1, 2, 3, NaN]}]}]', "four numbers"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_faces(tmp_path / name)


def test_found_boxes_need_scores(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text('[{"source": "a", "faces": [{"box": [1, 2, 3, 4]}]}]')
    with pytest.raises(ManifestError, match="score"):
        read_faces(tmp_path / "f.json", scored=True)
    with pytest.raises(ManifestError, match="need scores"):
        read_faces(tmp_path / "f.txt.xml" if (tmp_path / "f.txt.xml").write_text("<d/>") else "", scored=True)


def test_pictures_are_found_by_the_end_of_their_path() -> None:
    names = {"0--Parade/x.jpg": 0, "2002/08/img_5": 0, "x.jpg": 0}
    assert by_name({"/d/0--Parade/x.jpg": 1, "/d/2002/08/img_5.jpg": 2, "/elsewhere/x.jpg": 3}, names) == {
        "0--Parade/x.jpg": 1,
        "2002/08/img_5": 2,
        "x.jpg": 3,
    }
    with pytest.raises(ManifestError, match=r"1 pictures .* no truth: /d/y\.jpg"):
        by_name({"/d/y.jpg": 1}, names)
    with pytest.raises(ManifestError, match="two sources"):
        by_name({"/a/x.jpg": 1, "/b/x.jpg": 1}, names)


def test_wider_faces_own_lists(tmp_path: Path) -> None:
    """A .mat as the authors ship it: cells of events, of files, of columns of numbers that count from 1."""
    scipy_io = pytest.importorskip("scipy.io", reason=".mat needs the extra study")

    def cells(items: list) -> np.ndarray:
        out = np.empty((len(items), 1), object)
        for index, item in enumerate(items):
            out[index, 0] = item
        return out

    files = [cells(["a"]), cells(["b", "c"])]
    lists = [cells([np.array([[1], [3]])]), cells([np.array([[2]]), np.zeros((0, 1))])]
    scipy_io.savemat(tmp_path / "easy.mat", {"event_list": cells(["0--P", "1--Q"]), "file_list": cells(files), "gt_list": cells(lists)})
    assert read_subset(tmp_path / "easy.mat") == {"0--P/a.jpg": [0, 2], "1--Q/b.jpg": [1], "1--Q/c.jpg": []}
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(ManifestError, match="expected WIDER"):
        read_subset(tmp_path / "bad.json")


@pytest.mark.shared
@pytest.mark.assets
def test_dlibs_photos_by_every_protocol(shared: Path, tmp_path: Path) -> None:
    """YuNet on nine photos with 43 marked faces. IoU 0.5 is much to ask of dlib's tight boxes: a third of the right ones overlap by less."""
    from faceworks import image
    from faceworks.detect import load_detector

    folder = shared / "data/detection/dlib"
    truth = read_faces(folder / "training.xml") | read_faces(folder / "testing.xml")
    assert sum(map(len, truth.values())) == 43
    faces = load_detector("yunet-2023mar-int8bq", min_score=0.05).detect([image.load(folder / name) for name in truth])
    rows = [
        {"source": str(folder / name), "faces": [{"box": face.box.tolist(), "score": face.score} for face in group]}
        for name, group in zip(truth, faces, strict=True)
    ]
    (tmp_path / "found.json").write_text(json.dumps(rows))
    (tmp_path / "truth.json").write_text(json.dumps([{"source": name, "faces": group} for name, group in truth.items()]))
    loose = evaluate_detection(tmp_path / "found.json", tmp_path / "truth.json", iou=0.4)
    assert (loose["hits"], loose["faces"]) == (43, 43)
    assert loose["ap"] > 0.97
    strict = evaluate_detection(tmp_path / "found.json", tmp_path / "truth.json", "wider")["settings"]["all"]
    assert strict["faces"] == 43
    named = {name: rows[index]["faces"] for index, name in enumerate(truth)}
    assert strict["ap"] == pytest.approx(authors_ap(truth, named, {name: list(range(len(group))) for name, group in truth.items()}), abs=1e-12)
    assert 0.3 < strict["ap"] <= detection_ap(named, truth, 0.3).ap
    pytest.importorskip("scipy", reason="FDDB's matching needs the extra study")
    curve = evaluate_detection(tmp_path / "found.json", tmp_path / "truth.json", "fddb")
    assert curve["at_false_alarms"]["100"]["continuous"] > 0.5
    assert curve["curve"]["scores"] == sorted(curve["curve"]["scores"], reverse=True)
    assert curve["curve"]["discrete"][-1] == curve["at_false_alarms"]["2000"]["discrete"]
