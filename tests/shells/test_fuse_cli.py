"""faceworks analyze fuse: table, CSV, JSON, fitted weights, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from .conftest import Command


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    names = ["happy", "sad", "angry"]
    truth = rng.integers(0, 3, 60)
    for sense, strength in (("face", 3.0), ("voice", 1.0)):
        with (tmp_path / f"{sense}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", *(["행복", "슬픔", "화남"] if sense == "voice" else names)])
            for index, label in enumerate(truth):
                scores = np.exp(rng.normal(size=3) + strength * (np.arange(3) == label))
                if not (sense == "voice" and index == 0):
                    writer.writerow([index, *(scores / scores.sum()).round(4)])
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"{i},{names[k]}\n" for i, k in enumerate(truth)), encoding="utf-8")
    return {name: tmp_path / f"{name}.csv" for name in ("face", "voice", "labels")}


def test_fusing_with_a_missing_sense(command: Command, files: dict[str, Path], tmp_path: Path) -> None:
    words = ["analyze", "fuse", "--source", f"face={files['face']}", "--source", f"voice={files['voice']}"]
    result = command(*words, "--fit", files["labels"], "--json", "--csv", tmp_path / "out.csv")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document["weights"]["by_source"]["face"] > document["weights"]["by_source"]["voice"] > 0
    assert document["scores"]["fused"]["accuracy"] >= document["scores"]["voice"]["accuracy"]
    assert document["rows"][0]["fused"]["sources"] == ["face"]
    rows = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    assert len(rows) == 60
    assert rows[0]["moved_voice"] == ""
    table = command(*words)
    assert table.code == 0
    assert "missing" in table.out


def test_what_is_refused(command: Command, files: dict[str, Path]) -> None:
    for words, text in (
        (["--source", "face"], "NAME=VALUE"),
        (["--source", f"face={files['face']}", "--weights", "face=x"], "face=0.6,voice=0.4"),
        (["--source", f"face={files['face']}", "--weights", "voice=1"], "no weight is given for face"),
        (["--source", f"face={files['face']}", "--weights", "face=1", "--fit", files["labels"]], "not both"),
        (["--source", "face=/no/such.csv"], "cannot be read"),
    ):
        result = command("analyze", "fuse", *words)
        assert result.code == 2
        assert text in result.err
