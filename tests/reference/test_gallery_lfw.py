"""The example of the course notes with its own four people, from `../shared/data/lfw`: enrolled, found again, and a fifth refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import faceworks
from faceworks.cli import run
from faceworks.gallery import open_gallery
from faceworks.gallery.transfer import reindex
from faceworks.pipeline import Pipeline, PipelineSpec

LFW = Path(__file__).resolve().parents[3] / "shared" / "data" / "lfw" / "images"
FOUR = ["Abdel_Nasser_Assidi", "Abdoulaye_Wade", "Abdullah", "Adam_Sandler"]
STRANGER = "Tony_Blair"

pytestmark = [pytest.mark.shared, pytest.mark.assets, pytest.mark.skipif(not LFW.is_dir(), reason=f"{LFW} is not here (see its SOURCE.md)")]


def picture(name: str, number: int) -> str:
    return str(LFW / name / f"{name}_{number:04d}.jpg")


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "gallery.hdf"
    with open_gallery(path, select="central") as gallery:
        for name in FOUR:
            gallery.enroll(name, picture(name, 1), metadata={"Department": "LFW"}, consent="research")
    return path


def test_the_four_are_found_in_other_pictures(enrolled: Path) -> None:
    for name in FOUR:
        with open_gallery(enrolled, "r") as gallery:
            answer = gallery.verify_person(picture(name, 2), name)
        assert answer.person == name
        found = faceworks.identify(picture(name, 2), enrolled)
        assert name in {item.person for item in found}
        # the default recipe ships with a calibration
        assert all(item.candidates[0].probability is not None and 0 <= item.candidates[0].probability <= 1 for item in found)


def test_a_fifth_is_a_stranger(enrolled: Path) -> None:
    pictures = sorted((LFW / STRANGER).glob("*.jpg"))[:3]
    assert pictures
    for path in pictures:
        assert {item.person for item in faceworks.identify(path, enrolled)} == {None}
    assert faceworks.verify_person(picture("Abdullah", 2), "Adam_Sandler", enrolled).person is None


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--gallery", str(tmp_path / "p.h5")]

    def out(*words: str, code: int = 0) -> str:
        assert run(["gallery", *words, *where]) == code, capsys.readouterr().err
        return capsys.readouterr().out

    made = json.loads(out("enroll", *(picture(name, 1) for name in FOUR), "--name-from", "{name}_{n:4d}", "--json"))
    assert [item["person"] for item in made] == FOUR
    assert all(0 <= item["quality"] <= 100 for item in made)
    listed = json.loads(out("list", "--json"))
    assert [item["name"] for item in listed] == FOUR
    assert set(listed[0]) == {"id", "name", "metadata", "samples", "created", "head", "model"}
    found = json.loads(out("identify", picture("Abdoulaye_Wade", 2), "--json", "-k", "2"))
    assert found[0]["source"] == picture("Abdoulaye_Wade", 2)
    face = next(item for item in found[0]["faces"] if item["person"])
    assert face["person"] == "Abdoulaye_Wade"
    assert len(face["candidates"]) == 2
    assert {"box", "person", "candidates"} <= set(face)
    again = json.loads(out("enroll", picture("Abdullah", 1), "--person", "Abdullah", "--json"))
    assert again[0]["sample"] is None
    assert "nearly the same picture" in again[0]["warnings"][0]
    other = json.loads(out("enroll", picture("Abdullah", 2), "--person", "Somebody Else", "--json"))
    assert any("looks like Abdullah" in text for text in other[0]["warnings"])
    assert json.loads(out("merge", "Abdullah", "Somebody Else", "--json"))["samples"] == 2
    out("rename", "Abdullah", "King Abdullah")
    assert json.loads(out("show", "King Abdullah", "--json"))["name"] == "King Abdullah"
    out("delete", "Adam_Sandler")
    out("restore", "Adam_Sandler")
    assert "sound" in out("check")
    assert json.loads(out("stats", "--json"))["samples"] == 5
    out("export", str(tmp_path / "all.jsonl"))
    assert run(["gallery", "import", str(tmp_path / "all.jsonl"), "--gallery", str(tmp_path / "q.h5")]) == 0
    capsys.readouterr()
    out("forget", "Adam_Sandler", "--yes")
    out("clear", "--yes")
    assert json.loads(out("list", "--json")) == []
    for words in (["show", "Nobody"], ["identify", "nowhere.jpg"], ["identify", picture("Abdullah", 1), "--fpir", "2"], ["audit"]):
        assert run(["gallery", *words, *where]) == 2
        assert capsys.readouterr().err.startswith("faceworks: error: ")


def test_embedding_anew(enrolled: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    path.write_bytes(enrolled.read_bytes())
    log = enrolled.with_name(enrolled.name + ".log")
    path.with_name("p.h5.log").write_bytes(log.read_bytes())
    with open_gallery(path, "r+") as gallery:
        before = gallery.backend.entries().samples
        assert reindex(gallery, Pipeline(PipelineSpec(flip=True))) == (4, [])
        after = gallery.backend.entries().samples
        assert gallery.binding.model.endswith("+flip")
        assert after.id.tolist() == before.id.tolist()
        assert 0.8 < (after.vectors * before.vectors).sum(axis=1).min() < 0.9999
    with open_gallery(path, "r") as gallery:
        assert gallery.pipeline.spec.flip
