"""faceworks verify: decisions, exit codes, JSON, steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import faceworks
from faceworks import geometry, image, steps
from faceworks.types import to_dict

from .conftest import Command


@pytest.mark.usefixtures("fake_networks")
@pytest.mark.parametrize(
    ("other", "options", "code", "word"),
    [
        ("crimson", (), 0, "same"),
        ("blue", (), 1, "different"),
        ("blue", ("--threshold", "0.95"), 0, "same"),
        ("crimson", ("--threshold", "0"), 1, "different"),
        ("blue", ("--review", "0.3"), 3, "review"),
        ("red", ("--threshold", "0"), 0, "same"),
        ("blue", ("--metric", "angular", "--threshold", "0.49"), 0, "same"),
    ],
)
def test_exit_codes_and_words(other: str, options: tuple[str, ...], code: int, word: str, command: Command, colors: dict[str, Path]) -> None:
    result = command("verify", colors["red"], colors[other], "--quiet", *options)
    assert (result.code, result.out, result.err) == (code, f"{word}\n", "")
    full = command("verify", colors["red"], colors[other], "--json", *options)
    assert full.code == code
    assert json.loads(full.out)["verified"] is {"same": True, "different": False, "review": None}[word]


@pytest.mark.usefixtures("fake_networks")
def test_the_table_says_who_decided_under_which_license_and_how_sure(command: Command, colors: dict[str, Path]) -> None:
    result = command("verify", colors["red"], colors["blue"])
    assert result.err == ""
    assert result.out.startswith("different people\n")
    for words in (
        "threshold   0.6370   from: OpenCV zoo, LFW",
        "yunet-2023mar-int8bq   weights: MIT, commercial use allowed",
        "sface-2021dec-int8bq   weights: Apache-2.0",
        "probability of the same person 0.0",
        "of comparisons of different people score this high (LFW",
        "blue.png   largest face at 16,20 48,60, score 0.90",
    ):
        assert words in result.out


@pytest.mark.usefixtures("fake_networks")
def test_json_is_the_value_of_the_library(command: Command, colors: dict[str, Path]) -> None:
    document = json.loads(command("verify", colors["red"], colors["blue"], "--json").out)
    value = to_dict(faceworks.verify(colors["red"], colors["blue"]))
    assert set(document) == set(value)
    for key in set(value) - {"timings"}:
        assert document[key] == value[key], key


@pytest.mark.usefixtures("fake_networks")
def test_no_face_and_its_three_answers(command: Command, colors: dict[str, Path]) -> None:
    refused = command("verify", colors["red"], colors["black"])
    assert refused.code == 2
    assert "no face found in" in refused.err
    assert "black.png" in refused.err
    assert command("verify", colors["red"], colors["black"], "--on-no-face", "empty").code == 2
    assert command("verify", colors["red"], colors["black"], "--on-no-face", "whole", "--quiet").out in ("same\n", "different\n")


@pytest.mark.usefixtures("fake_networks")
def test_save_and_names_of_every_script(command: Command, colors: dict[str, Path], tmp_path: Path) -> None:
    odd = tmp_path / "얼굴 é.png"
    odd.write_bytes(colors["red"].read_bytes())
    result = command("verify", odd, colors["blue"], "--save", tmp_path / "pair.png")
    assert result.code == 1
    assert "얼굴 é.png" in result.out
    assert image.load(tmp_path / "pair.png").shape[1] > 64
    assert command("verify", odd, colors["blue"], "--save", tmp_path / "pair.doc").code == 2
    assert command("verify", odd, colors["blue"], "--save", tmp_path / "no" / "pair.png").code == 2


@pytest.mark.usefixtures("fake_networks")
def test_steps_write_what_a_teacher_shows(command: Command, colors: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "new" / "steps"
    result = command("verify", colors["red"], colors["blue"], "--steps", folder, "--json")
    assert result.code == 1
    assert "wrote 11 files" in result.err
    names = [f"{step}-{side}.png" for step in ("1-detect", "2-crop", "3-rotate", "4-input") for side in "ab"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "5-vectors.json", "6-decision.json", "6-decision.txt"])
    table = json.loads((folder / "5-vectors.json").read_text(encoding="utf-8"))
    f1, f2 = np.array(table["F1"]["vector"], np.float64), np.array(table["F2"]["vector"], np.float64)
    assert table["F1·F2"] == pytest.approx(sum(x * y for x, y in zip(f1, f2, strict=True)), rel=1e-6)
    assert table["|F1|"] == pytest.approx(sum(x * x for x in f1) ** 0.5, rel=1e-6)
    assert table["cosine"] == pytest.approx(table["F1·F2"] / (table["|F1|"] * table["|F2|"]), abs=1e-9)
    assert abs(table["distance"] - json.loads(result.out)["distance"]) <= 1e-6
    assert json.loads((folder / "6-decision.json").read_text(encoding="utf-8"))["verified"] is False
    assert (folder / "6-decision.txt").read_text(encoding="utf-8").startswith("different people: the cosine distance ")
    assert command("verify", colors["red"], colors["blue"], "--steps", colors["red"]).code == 2, "a file is no folder"


@pytest.mark.usefixtures("fake_networks")
def test_the_turned_crop_has_level_eyes_and_black_corners(colors: dict[str, Path]) -> None:
    side = steps.explain(colors["red"], colors["blue"]).a
    assert side.face.landmarks is not None
    before = geometry.apply(side.square.matrix, side.face.landmarks.points[:2])
    left, right = geometry.apply(side.rotated.matrix, side.face.landmarks.points[:2])
    assert abs(left[1] - right[1]) < 1e-6
    assert right[0] > left[0]
    assert np.hypot(*(right - left)) == pytest.approx(np.hypot(*(before[1] - before[0])), abs=1e-6), "turned, not stretched"
    assert side.angle == pytest.approx(np.degrees(np.arctan2(before[1][1] - before[0][1], before[1][0] - before[0][0])), abs=1e-4)
    corners = side.rotated.pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert not corners.any()
    assert side.square.pixels[0, 0].any()
    assert np.linalg.norm(side.square.matrix[:, 0]) == pytest.approx(np.linalg.norm(side.square.matrix[:, 1])), "nothing is flattened"


@pytest.mark.assets
@pytest.mark.parametrize(
    "options", [{}, {"metric": "euclidean_l2"}, {"flip": True}, {"select": "all"}, {"align": "square:1.2", "threshold": 0.5}], ids=str
)
def test_steps_by_hand_give_the_distance_of_verify(options: dict[str, object], samples: Mapping[str, Path]) -> None:
    for a, b in (("person_a_1", "person_a_2"), ("person_b_1", "impostor_1")):
        by_hand = steps.explain(samples[a], samples[b], **options)
        answer = faceworks.verify(samples[a], samples[b], **options)
        assert abs(by_hand.decision.distance - answer.distance) <= 1e-6
        assert by_hand.decision.verified is answer.verified


@pytest.mark.assets
def test_the_sample_people_are_told_apart(command: Command, samples: Mapping[str, Path]) -> None:
    people = {name: name[:8] if name.startswith("person") else name for name in samples}
    for a, b in combinations(samples, 2):
        result = command("verify", samples[a], samples[b], "--quiet")
        assert (result.code, result.out) == ((0, "same\n") if people[a] == people[b] else (1, "different\n")), (a, b)


@pytest.mark.usefixtures("fake_networks")
def test_steps_run_each_network_once(colors: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from faceworks.pipeline import Pipeline

    runs: list[str] = []

    def counted(name: str) -> None:
        real = getattr(Pipeline, name)
        monkeypatch.setattr(Pipeline, name, lambda *arguments: (runs.append(name), real(*arguments))[1])

    for name in ("detect", "crop", "embed_views"):
        counted(name)
    steps.explain(colors["red"], colors["blue"])
    assert sorted(runs) == ["crop", "crop", "detect", "detect", "embed_views"]
