"""faceworks analyze: JSON, table, CSV, exit codes."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from faceworks import image

from .conftest import Command

pytestmark = pytest.mark.assets


def test_json_is_one_document(command: Command, samples: Mapping[str, Path]) -> None:
    result = command("analyze", samples["person_a_1"], samples["person_b_1"], "--attributes", "emotion,age", "--json")
    assert result.code == 0
    document = json.loads(result.out)
    assert [entry["source"] for entry in document] == [str(samples["person_a_1"]), str(samples["person_b_1"])]
    said = document[0]["faces"][0]["attributes"]
    assert set(said) == {"emotion", "age"}
    assert sum(said["emotion"]["probabilities"].values()) == pytest.approx(1)
    assert said["age"]["unit"] == "years"
    assert said["age"]["spread"] > 0
    assert len(document[0]["faces"][0]["box"]) == 4


def test_csv_has_a_row_for_each_face_and_each_picture_without(command: Command, samples: Mapping[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("person_a_1", "person_b_1"):
        (folder / f"{name}.jpg").write_bytes(samples[name].read_bytes())
    image.save(folder / "black.png", np.zeros((50, 50, 3), np.uint8))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    target = tmp_path / "out.csv"
    result = command("analyze", folder, "--csv", target, "--attributes", "age,gender", "--quiet")
    assert result.code == 2
    assert "broken.jpg" in result.err
    rows = list(csv.DictReader(target.open(encoding="utf-8")))
    assert [Path(row["source"]).name for row in rows] == ["black.png", "broken.jpg", "person_a_1.jpg", "person_b_1.jpg"]
    assert [row["face"] for row in rows] == ["", "", "1", "1"]
    assert rows[1]["error"]
    assert rows[3]["gender"] == "female"
    assert float(rows[3]["gender_female"]) + float(rows[3]["gender_male"]) == pytest.approx(1, abs=1e-5)


def test_words_that_cannot_be_answered(command: Command, samples: Mapping[str, Path]) -> None:
    for arguments, word in (
        (["--attributes", "mood"], "unknown attribute 'mood'"),
        (["--model", "emotion"], "ATTRIBUTE=MODEL"),
        (["--model", "emotion=emonet8"], "did you mean emonet-8"),
        (["--abstain", "2"], "0<=x<=1"),
        (["--csv", "/no/such/folder/x.csv"], "cannot write"),
    ):
        result = command("analyze", samples["person_a_1"], *arguments)
        assert result.code == 2
        assert word in result.err
        assert "Traceback" not in result.err


def test_the_table_says_that_these_are_no_facts(command: Command, samples: Mapping[str, Path]) -> None:
    result = command("analyze", samples["person_b_1"], "--abstain", "1")
    assert result.code == 0
    assert "unsure" in result.out
    assert "not facts about a person" in result.out
