"""faceworks evaluate lfw, on a small LFW of colors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from faceworks import image
from faceworks.errors import ConfigError
from faceworks.evaluate.vectors import embed_pictures, embed_with_each
from faceworks.pipeline import Pipeline, PipelineSpec

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


def test_scores_of_a_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("score,label\n" + "".join(f"{s},1\n" for s in (0.99, 0.79, 0.89, 0.11, 0.92)) + "0.11,0\n0.39,0\n")
    result = command("evaluate", "scores", tmp_path / "s.csv", "--thresholds", "0.9,0.3", "--json", "--out", tmp_path / "out")
    document = json.loads(result.out)
    assert [(row["tar"], row["trr"]) for row in document["table"]] == [(0.4, 1.0), (0.8, 0.5)]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == document
    assert "TAR" in command("evaluate", "scores", tmp_path / "s.csv", "--plot", tmp_path / "roc.svg").out
    assert (tmp_path / "roc.svg").is_file()
    refused = command("evaluate", "scores", tmp_path / "s.csv", "--rates", "1e-4")
    assert (refused.code, "it takes 30000" in refused.err) == (2, True)
    (tmp_path / "i.csv").write_text("probe,predicted,score\na,a,0.9\n,b,0.4\n")
    assert command("evaluate", "scores", tmp_path / "i.csv", "--quiet").out == "1\n"


def test_files_of_other_kinds(command: Command, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("score,species\n0.9,\n0.2,print\n0.8,replay\n")
    assert json.loads(command("evaluate", "pad", tmp_path / "p.csv", "--threshold", "0.5", "--json").out)["at_threshold"]["worst"] == "replay"
    assert "APCER replay" in command("evaluate", "pad", tmp_path / "p.csv").out
    (tmp_path / "a.csv").write_text("truth,predicted\nx,x\ny,x\n")
    assert "accuracy" in command("evaluate", "attributes", tmp_path / "a.csv").out
    boxes = [{"source": "a", "faces": [{"box": [0, 0, 9, 9], "score": 0.9}]}]
    (tmp_path / "b.json").write_text(json.dumps(boxes))
    assert command("evaluate", "detection", tmp_path / "b.json", "--truth", tmp_path / "b.json", "--quiet").out == "1.000000\n"
    (tmp_path / "c.json").write_text("{")
    assert command("evaluate", "detection", tmp_path / "c.json", "--truth", tmp_path / "b.json").code == 2


def test_compare_groups_and_hard_pairs(command: Command, lfw: Path) -> None:
    words = ("evaluate", "lfw", "--root", lfw / "lfw", "--pairs", lfw / "pairs.txt")
    (lfw / "people.csv").write_text("person,kind\nRed,warm\nGreen,cold\nBlue,cold\nDark,cold\n")
    assert command(*words, "--out", lfw / "a", "--group-by", "kind", "--manifest", lfw / "people.csv", "--quiet").code == 0
    assert [g["group"] for g in json.loads((lfw / "a" / "report.json").read_text())["groups"][0]["groups"]] == ["cold", "warm"]
    assert command(*words, "--group-by", "kind").code == 2
    assert command(*words, "--out", lfw / "b", "--center-crop", "0.5", "--quiet").code == 0
    assert "McNemar" in command("evaluate", "compare", lfw / "a", lfw / "b").out
    assert command("evaluate", "pairs", lfw / "pairs.txt", "--hard", "--root", lfw / "lfw", "--out", lfw / "h", "--quiet").code in (0, 2)


def test_a_rate_on_the_command_line(command: Command, colors: dict[str, Path]) -> None:
    document = json.loads(command("verify", colors["red"], colors["crimson"], "--fmr", "1e-4", "--json").out)
    assert "measured for FMR 0.0001" in document["threshold_source"]
    assert 0 < document["fmr"] < 1
    assert 0 < document["probability"] < 1
    assert "probability of the same person" in command("verify", colors["red"], colors["crimson"]).out
    both = command("verify", colors["red"], colors["crimson"], "--fmr", "1e-4", "--threshold", "0.5")
    assert both.code == 2
    assert command("verify", colors["red"], colors["crimson"], "--fmr", "1e-4", "--align", "square:1.3").code == 2


def test_several_embedders_share_a_detection(lfw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = sorted((lfw / "lfw").rglob("*.jpg"))
    spec = PipelineSpec(select="central")
    specs = [spec, spec.with_options(flip=True), spec.with_options(align="square:1.3")]
    alone = [embed_pictures(pictures, item, lfw / "alone", progress=False) for item in specs]
    seen: list[int] = []
    find = Pipeline.find
    monkeypatch.setattr(Pipeline, "find", lambda self, images, names=None: seen.append(len(images)) or find(self, images, names))
    together = embed_with_each(pictures, specs, lfw / "together", progress=False)
    assert sum(seen) == len(COLORS), "once for each content: both pictures of a person are alike"
    for one, other in zip(alone, together, strict=True):
        assert one.computed == other.computed == len(COLORS)
        for picture in pictures:
            np.testing.assert_array_equal(one.vectors[picture], other.vectors[picture])
    assert together[0].vectors[pictures[2]] is None, "Dark has no face"
    widths: list[int] = []
    embed = Pipeline.embed_faces
    monkeypatch.setattr(Pipeline, "embed_faces", lambda self, images, faces: widths.append(self.spec.crops) or embed(self, images, faces))
    again = embed_with_each(pictures, [*specs, spec.with_options(crops=5)], lfw / "together", progress=False)
    assert set(widths) == {5}, "embedders that have every picture do not run"
    assert (again[0].computed, again[3].vectors[pictures[0]] is not None) == (len(COLORS), True), "what one embedder lacks is done"
    assert embed_with_each(pictures, specs, lfw / "together", progress=False)[1].computed == 0
    with pytest.raises(ConfigError, match="share a detection"):
        embed_with_each(pictures, [spec, spec.with_options(min_score=0.5)], lfw / "together", progress=False)


def test_val_against_the_threshold(command: Command, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("score,label\n0.9,1\n0.6,1\n,1\n0.5,0\n0.1,0\n")
    document = json.loads(command("evaluate", "val", tmp_path / "s.csv", "--thresholds", "0.7,0.5,0.1", "--json", "--out", tmp_path / "out").out)
    assert [(row["val"], row["far"]) for row in document["table"]] == [(0.5, 0.0), (1.0, 0.5), (1.0, 1.0)]
    assert document["counts"] == {"genuine": 2, "impostor": 2, "missed": 1}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json", "report.md"]
    assert len(command("evaluate", "val", tmp_path / "s.csv", "--quiet").out.splitlines()) == 21
    assert "2 same and 2 different pairs, 1 without a score" in " ".join(command("evaluate", "val", tmp_path / "s.csv").out.split())
    (tmp_path / "one.csv").write_text("score,label\n0.9,1\n")
    assert command("evaluate", "val", tmp_path / "one.csv").code == 2


def test_experiments_write_reports(command: Command, lfw: Path) -> None:
    words = ("--root", lfw / "lfw", "--pairs", lfw / "pairs.txt")
    found = command("evaluate", "robustness", *words, "--jpeg", "90", "--pixels", "1024", "--out", lfw / "r", "--quiet")
    assert [line.split("\t")[0] for line in found.out.splitlines()] == ["untouched", "jpeg 90", "1024 pixels"]
    assert command("evaluate", "dimension", *words, "--dimensions", "1,2", "--out", lfw / "d", "--quiet").code == 0
    for folder in ("r", "d"):
        assert {"report.html", "report.json", "report.md"} <= {path.name for path in (lfw / folder).iterdir()}
    assert "undetected" in command("evaluate", "dimension", *words, "--dimensions", "3").out


def test_a_folder_by_group(command: Command, lfw: Path) -> None:
    rows = ["person,kind,age", "Red,warm,20", "Green,cold,70", "Blue,cold,35"]
    (lfw / "people.csv").write_text("\n".join(rows) + "\n")
    words = ("evaluate", "folder", lfw / "lfw", "--strangers", "0", "--split", "dependent", "--group-by", "kind")
    document = json.loads(command(*words, "--manifest", lfw / "people.csv", "--json").out)
    (found,) = document["groups"]
    assert found["column"] == "kind"
    assert {item["group"] for item in found["groups"]} <= {"cold", "warm"}
    assert all(item["rank1"] in (1.0, None) for item in found["groups"])
    assert "kind warm" in command(*words, "--manifest", lfw / "people.csv").out
    assert "--group-by needs --manifest" in command(*words).err
    wrong = command(*words[:-1], "hair", "--manifest", lfw / "people.csv")
    assert (wrong.code, "needs a column 'hair'" in wrong.err) == (2, True)
