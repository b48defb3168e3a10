"""faceworks evaluate lfw, on a small LFW of colors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from faceworks import image

from .conftest import Command

pytestmark = pytest.mark.usefixtures("fake_networks")
COLORS = {"Red": (200, 20, 20), "Green": (20, 200, 20), "Blue": (20, 20, 200), "Dark": (0, 0, 0)}


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    """Three folds of one same and one different pair; in the third, Dark has no face."""
    for name, color in COLORS.items():
        (tmp_path / "lfw" / name).mkdir(parents=True)
        for number in (1, 2):
            image.save(tmp_path / "lfw" / name / f"{name}_{number:04d}.jpg", np.full((64, 64, 3), color, np.uint8))
    lines = ["3\t1", "Red\t1\t2", "Red\t1\tBlue\t1", "Green\t1\t2", "Green\t1\tBlue\t2", "Blue\t1\t2", "Red\t1\tDark\t1"]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_lfw_report(command: Command, lfw: Path) -> None:
    words = ("evaluate", "lfw", "--root", lfw / "lfw", "--pairs", lfw / "pairs.txt", "--out", lfw / "report", "--dataset", "colors")
    result = command(*words, "--json")
    document = json.loads(result.out)
    assert result.code == 0
    assert document["accuracy"]["mean"] == pytest.approx(5 / 6), "the pair with an undetected face is wrong"
    assert document["failures_to_detect"]["pairs"] == 1
    assert json.loads((lfw / "report" / "report.json").read_text(encoding="utf-8"))["dataset"] == "colors"
    text = command(*words)
    assert text.out.startswith("colors: 83.33 ± 16.67 % accuracy\n")
    assert "1 pictures; they spoil 1 pairs" in text.out
    assert command(*words, "--quiet").out.split("\t")[0] == "0.833333"


def test_only_some_folds(command: Command, lfw: Path) -> None:
    words = ("evaluate", "lfw", "--root", lfw / "lfw", "--pairs", lfw / "pairs.txt", "--json")
    document = json.loads(command(*words, "--folds", "1,2").out)
    assert (document["accuracy"]["mean"], document["counts"]["pairs"]) == (1.0, 4)
    assert document["protocol"].endswith("only 1,2")
    assert "no fold 7" in command(*words, "--folds", "1,7").err
    assert command(*words, "--folds", "1").code == 2


def test_a_wrong_list_names_the_line(command: Command, lfw: Path) -> None:
    (lfw / "pairs.txt").write_text("1 1\nRed 1 2\nRed one Blue 1\n")
    result = command("evaluate", "lfw", "--root", lfw / "lfw", "--pairs", lfw / "pairs.txt")
    assert result.code == 2
    assert "line 3" in result.err
