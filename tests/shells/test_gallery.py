"""`faceworks gallery` from the outside, with faces of nobody (textures) and the embedder that needs no download (LBPH)."""

from __future__ import annotations

import base64
import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from faceworks import open_gallery
from faceworks.cli import run
from gallery_tools import needed

MODEL = ["--embedder", "lbph", "--detector", "whole"]
Out = Callable[..., str]


@pytest.fixture
def out(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Out:
    """Runs `faceworks gallery WORDS` in an empty folder; gives stdout, or stderr where another exit code is expected."""
    monkeypatch.chdir(tmp_path)

    def call(*words: Any, code: int = 0) -> str:
        capsys.readouterr()
        got = run(["gallery", *map(str, words)])
        said = capsys.readouterr()
        assert got == code, said.err
        return said.out if code == 0 else said.err

    return call


def picture(path: Path, person: int, shot: int = 0, contrast: float = 40) -> Path:
    large = cv2.resize(np.random.default_rng(person).normal(size=(28, 23)), (92, 112), interpolation=cv2.INTER_CUBIC)
    noisy = large + 0.02 * np.random.default_rng(100 * person + shot).normal(size=large.shape)
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.clip(127 + contrast * noisy, 0, 255).astype(np.uint8))
    return path


def test_folders_of_people(out: Out, tmp_path: Path) -> None:
    root = tmp_path / "people"
    for person in range(3):
        (root / f"Person {person}").mkdir(parents=True)
        for shot in range(2):
            picture(root / f"Person {person}" / f"{shot}.png", person, shot)
    done = json.loads(out("enroll", root, *MODEL, "--json"))
    assert [item["person"] for item in done] == [f"Person {n}" for n in (0, 0, 1, 1, 2, 2)]
    assert all(item["sample"] and item["quality"] is not None for item in done)
    listed = json.loads(out("list", "--json"))
    assert [(item["name"], item["samples"]) for item in listed] == [(f"Person {n}", 2) for n in range(3)]
    assert all(len(item["head"]) == 4 and item["model"].startswith("lbph") for item in listed)
    probe = picture(tmp_path / "probe.png", 1, 9)
    found = json.loads(out("identify", probe, "--threshold", "0.05", "--json", "-k", "2"))
    assert found[0]["faces"][0]["person"] == "Person 1"
    assert out("identify", probe, "--threshold", "0.05", "--quiet").split("\t")[1].strip() == "Person 1"
    assert "stranger" in out("identify", picture(tmp_path / "other.png", 9), "--threshold", "0.001")
    assert json.loads(out("identify", probe, "--person", "Person 2", "--threshold", "0.001", "--json"))[0]["faces"][0]["person"] is None
    assert "threshold" in out("identify", probe, code=2), "nobody has measured one for LBPH"
    assert "faceworks: warning" not in out("stats")


def test_a_table_of_people(out: Out, tmp_path: Path) -> None:
    for person in range(3):
        picture(tmp_path / "in" / f"{person}.png", person)
    (tmp_path / "people.csv").write_text(
        "\ufeffname,source,id,metadata,consent,expires,Department\n"
        'Ada,in/0.png,ada-1,"{""Title"": ""Countess""}",signed,2099-01-31,engines\n'
        "Bob,in/1.png,,,,,\nKim,in/nowhere.png,,,,,\n",
        encoding="utf-8",
    )
    said = out("enroll", "people.csv", *MODEL, code=2)
    assert "nowhere.png" in said
    ada = json.loads(out("show", "ada-1", "--json"))
    assert (ada["name"], ada["metadata"]) == ("Ada", {"Department": "engines", "Title": "Countess"})
    assert (ada["samples"][0]["consent"], ada["samples"][0]["expires"][:10]) == ("signed", "2099-01-31")
    assert {item["name"] for item in json.loads(out("people", "--json"))} == {"Ada", "Bob"}
    for text, why in (
        ("name,picture\nAda,x.png\n", "columns name and source"),
        ("name,source,expires\nAda,in/0.png,tomorrow\n", "line 2: 'tomorrow' is no time"),
        ("name,source,metadata\nAda,in/0.png,{no json\n", "line 2"),
        ("name,source\n,in/0.png\n", "line 2: a name has"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        assert why in out("enroll", "bad.csv", *MODEL, code=2)


def test_names_in_file_names(out: Out, tmp_path: Path) -> None:
    for person, name in enumerate(["Ada_Lovelace_0001", "Ada_Lovelace_0002", "Kim_0001"]):
        picture(tmp_path / "flat" / f"{name}.png", person)
    done = json.loads(out("enroll", "flat", "--name-from", "{name}_{n:4d}", *MODEL, "--json"))
    assert [item["person"] for item in done] == ["Ada_Lovelace", "Ada_Lovelace", "Kim"]
    picture(tmp_path / "flat" / "oddname.png", 5)
    assert "oddname.png does not fit --name-from" in out("enroll", "flat", "--name-from", "{name}_{n:4d}", *MODEL, code=2)
    assert "needs {name}" in out("enroll", "flat", "--name-from", "{n:4d}", *MODEL, code=2)
    assert "not {x}" in out("enroll", "flat", "--name-from", "{name}{x}", *MODEL, code=2)
    assert "--person" in out("enroll", "flat/Kim_0001.png", *MODEL, code=2)


def test_faces_of_low_quality_are_refused_with_the_reasons(out: Out, tmp_path: Path) -> None:
    good, gray = picture(tmp_path / "good.png", 1), picture(tmp_path / "gray.png", 2, contrast=1)
    qualities = {item["source"]: item["quality"] for item in json.loads(out("enroll", good, gray, "--person", "Ada", *MODEL, "--json"))}
    low, high = qualities[str(gray)], qualities[str(good)]
    assert low < high
    said = out("enroll", good, gray, "--person", "Bob", "--min-quality", f"{(low + high) / 2:.1f}", *MODEL, code=2)
    assert "gray.png" in said
    assert f"quality {low:.0f} is below" in said
    assert "contrast" in said
    assert len(json.loads(out("show", "Bob", "--json"))["samples"]) == 1
    assert "100" in out("enroll", good, "--person", "Bob", "--min-quality", "101", *MODEL, code=2)


def test_duplicates(out: Out, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", 1)
    out("enroll", path, "--person", "Ada", *MODEL)
    again = json.loads(out("enroll", path, "--person", "Ada", *MODEL, "--json"))[0]
    assert again["sample"] is None
    assert "nearly the same picture" in again["warnings"][0]
    assert json.loads(out("enroll", path, "--person", "Ada", "--keep-duplicates", *MODEL, "--json"))[0]["sample"]


def test_sealed_audited_rekeyed(out: Out, tmp_path: Path) -> None:
    needed("cryptography")
    path = picture(tmp_path / "a.png", 1)
    where = ["--gallery", "sealed.h5", "--actor", "kim"]
    out("create", "--encrypt", "--audit", "--key-file", "key", *where)
    assert len(base64.b64decode((tmp_path / "key").read_bytes())) == 32
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    out("enroll", path, "--person", "Ada", "--key-file", "key", *where, *MODEL)
    assert "is encrypted: give its key" in out("people", *where, code=2)
    out("rekey", "--key-file", "key", "--new-key-file", "new", *where)
    assert "another key" in out("people", "--key-file", "key", *where, code=2)
    assert json.loads(out("people", "--key-file", "new", *where, "--json"))[0]["name"] == "Ada"
    assert "is not encrypted" in out("rekey", "--new-key-file", "third", "--gallery", _plain(out), code=2)
    assert not (tmp_path / "third").exists()
    out("forget", "Ada", "--yes", "--key-file", "new", *where)
    assert json.loads(out("audit", "verify", "--key-file", "new", *where, "--json")) == {"lines": 3, "valid": True}
    lines = json.loads(out("audit", "--key-file", "new", *where, "--json"))
    assert [(line["actor"], line["action"]) for line in lines] == [("kim", "enroll"), ("kim", "rotate key"), ("kim", "forget")]
    assert "audit" in out("audit", "--gallery", _plain(out), code=2)


def _plain(out: Out) -> str:
    if not Path("plain.h5").exists():
        out("create", "--gallery", "plain.h5")
    return "plain.h5"


def test_what_is_held_of_one_person(out: Out, tmp_path: Path) -> None:
    for person, name in enumerate(["Ada", "Bob"]):
        out("enroll", picture(tmp_path / f"{name}.png", person), "--person", name, "--meta", f"Department={name}'s", "--consent", "signed", *MODEL)
    out("export", "ada.jsonl", "--person", "Ada")
    text = (tmp_path / "ada.jsonl").read_text(encoding="utf-8")
    assert "Ada's" in text
    assert "Bob" not in text
    shown = json.loads(out("show", "Ada", "--json"))
    assert set(shown) == {"id", "name", "metadata", "samples", "created"}
    assert set(shown["samples"][0]) == {"id", "source", "quality", "norm", "box", "time", "consent", "expires", "vector"}
    assert len(shown["samples"][0]["vector"]) == 16384
    out("remove", "Ada")
    assert "nobody" in out("show", "Ada", code=2)
    out("restore", "Ada")
    out("show", "Ada")


def test_expired_people_are_purged(out: Out, tmp_path: Path) -> None:
    with open_gallery("people.h5", embedder="lbph", detector="whole", clock=lambda: 1) as long_ago:
        long_ago.enroll("Ada", picture(tmp_path / "a.png", 1), expires="2001-01-31")
    out("enroll", picture(tmp_path / "b.png", 2), "--person", "Bob", *MODEL)
    assert "purged 1 sample" in out("purge")
    assert [item["name"] for item in json.loads(out("people", "--json"))] == ["Bob"]
    assert "yesterday" in out("enroll", picture(tmp_path / "c.png", 3), "--person", "Cy", "--expires", "yesterday", *MODEL, code=2)


def test_another_detector_than_the_gallerys_is_said(out: Out, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = picture(tmp_path / "a.png", 1)
    out("enroll", path, "--person", "Ada", *MODEL)
    run(["gallery", "identify", str(path), "--detector", "haar-frontalface", "--threshold", "0.1", "--json"])
    assert "found by whole, now haar-frontalface looks" in capsys.readouterr().err
    assert "gallery reindex --embedder" in out("identify", path, "--embedder", "sface-2021dec-int8bq", code=2)


def test_a_table_of_faces_is_enrolled_without_embedding_again(out: Out, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needed("pyarrow")
    for person in range(3):
        for shot in range(2):
            (tmp_path / "in" / f"Person {person}").mkdir(parents=True, exist_ok=True)
            picture(tmp_path / "in" / f"Person {person}" / f"{shot}.png", person, shot)
    (tmp_path / "in" / "Person 2" / "bad.png").write_bytes(b"no picture")
    run(["batch", "embed", "in", "--out", "faces", *MODEL, "--executor", "serial", "--quiet"])
    said = out("enroll", "--from", "faces", *MODEL, code=2)
    assert "bad.png: the table has no face" in said
    assert [(item["name"], item["samples"]) for item in json.loads(out("people", "--json"))] == [(f"Person {n}", 2) for n in range(3)]
    shown = json.loads(out("show", "Person 1", "--json"))["samples"][0]
    assert shown["source"].endswith("0.png")
    assert len(shown["box"]) == 4
    found = json.loads(out("identify", picture(tmp_path / "probe.png", 1, 9), "--threshold", "0.05", "--json"))
    assert found[0]["faces"][0]["person"] == "Person 1"
    out("enroll", "--from", "faces", "--person", "Everybody", *MODEL, "--gallery", "one.h5", code=2)
    assert [item["samples"] for item in json.loads(out("people", "--gallery", "one.h5", "--json"))] == [6]
    assert "are of lbph" in out("enroll", "--from", "faces", "--gallery", "other.h5", code=2)
    assert "or a table" in out("enroll", "in", "--from", "faces", code=2)


def test_suggestions_name_the_gallery_they_are_about(out: Out, tmp_path: Path) -> None:
    out("enroll", picture(tmp_path / "1.png", 1), "--person", "Geoff Hoon", *MODEL, "--gallery", "my people.h5")
    said = out("show", "Geof Hoon", "--gallery", "my people.h5", code=2)
    assert "did you mean Geoff Hoon? see: faceworks gallery people --gallery 'my people.h5'" in said
    assert str(tmp_path) not in said, "the message of the library names no place: the service gives it away"
    undo = out("remove", "Geoff Hoon", "--gallery", "my people.h5").split("faceworks gallery ")[1]
    assert "Geoff Hoon" in out(*shlex.split(undo)), "the suggested command works as it stands"
    assert out("remove", "Geoff Hoon", "--gallery", "my people.h5").rstrip().endswith("--gallery 'my people.h5'")
    assert "restore" in out("undo", code=2), "an unknown verb lists them"


def test_what_is_not_confirmed_is_not_deleted(out: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what a command advises works as it stands, in this gallery."""
    out("enroll", picture(tmp_path / "a.png", 1), "--person", "Ada L", "--gallery", "my people.h5", *MODEL)
    for answer in ("n\n", ""):  # no, and nobody there to say so
        for words in (("forget", "Ada L"), ("clear",)):
            monkeypatch.setattr("sys.stdin", io.StringIO(answer))
            assert out(*words, "--gallery", "my people.h5", code=130).endswith("\nfaceworks: nothing was deleted (--yes does not ask)\n")
    assert "nobody in the gallery" in out("forget", "Bob", "--gallery", "my people.h5", code=2)
    advice = out("remove", "Ada L", "--gallery", "my people.h5")
    words = shlex.split(advice.split("undo within 15 minutes: ")[1])
    assert words[:2] == ["faceworks", "gallery"]
    assert "is back" in out(*words[2:])


def test_a_file_that_is_no_gallery_and_a_path_without_one(out: Out, tmp_path: Path) -> None:
    (tmp_path / "notes.h5").write_text("milk, bread")
    assert "notes.h5 is no gallery" in out("people", "--gallery", "notes.h5", code=2)
    assert "check the path" in out("people", "--gallery", "pepole.h5", code=2)
    (tmp_path / "text.jpg").write_text("no picture")
    said = out("enroll", "text.jpg", "--person", "Ada", *MODEL, code=2)
    assert said.count("text.jpg") == 1
