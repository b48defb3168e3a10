"""faceworks detect and embed: folders, globs, JSON, files, bad pictures among good ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from faceworks import image
from faceworks.errors import AssetUnavailable

from .conftest import Command, FakeDetector

pytestmark = pytest.mark.usefixtures("fake_networks")


def test_detect_gives_one_document_in_the_order_of_the_paths(command: Command, colors: dict[str, Path]) -> None:
    result = command("detect", colors["red"], colors["black"], colors["blue"], "--json")
    document = json.loads(result.out)
    assert (result.code, result.err) == (0, "")
    assert [item["source"] for item in document] == [str(colors[name]) for name in ("red", "black", "blue")]
    assert [len(item["faces"]) for item in document] == [1, 0, 1]
    face = document[0]["faces"][0]
    assert set(face) == {"box", "score", "landmarks", "detector"}
    assert face["box"] == [16.0, 20.0, 48.0, 60.0]
    assert np.array(face["landmarks"]).shape == (5, 2)


def test_folders_and_quoted_globs(command: Command, colors: dict[str, Path]) -> None:
    folder = colors["red"].parent
    whole = json.loads(command("detect", folder, "--json").out)
    assert [Path(item["source"]).name for item in whole] == ["black.png", "blue.png", "crimson.png", "red.png"]
    assert [Path(item["source"]).name for item in json.loads(command("detect", f"{folder}/b*.png", "--json").out)] == ["black.png", "blue.png"]
    assert command("detect", folder, "--quiet").out.splitlines()[0] == f"{folder}/black.png\t0"
    assert command("detect", f"{folder}/*.gif").code == 2


def test_the_table_counts(command: Command, colors: dict[str, Path]) -> None:
    result = command("detect", colors["red"], colors["black"])
    assert "no face found" in result.out
    assert result.out.splitlines()[-1] == "1 face in 2 pictures; detector yunet-2023mar-int8bq"


@pytest.mark.parametrize("words", [("detect",), ("embed",)], ids=" ".join)
def test_a_bad_picture_among_good_ones_is_named_the_rest_is_done(words: tuple[str, ...], command: Command, colors: dict[str, Path]) -> None:
    bad = colors["red"].with_name("bad.png")
    bad.write_bytes(b"no picture")
    result = command(*words, colors["red"], bad, colors["blue"], "--json")
    document = json.loads(result.out)
    assert result.code == 2
    assert [len(item["faces"]) for item in document] == [1, 0, 1]
    assert "bad.png" in document[1]["error"]
    assert result.err.count("\n") == 1
    assert "bad.png" in result.err


def test_on_no_face_raise_names_the_picture(command: Command, colors: dict[str, Path]) -> None:
    result = command("detect", colors["red"], colors["black"], "--on-no-face", "raise")
    assert result.code == 2
    assert "black.png" in result.err


def test_save_one_picture_or_a_folder(command: Command, colors: dict[str, Path], tmp_path: Path) -> None:
    assert command("detect", colors["red"], "--save", tmp_path / "one.png").code == 0
    assert image.load(tmp_path / "one.png").shape == (80, 64, 3)
    twin = tmp_path / "other" / "red.png"
    twin.parent.mkdir()
    twin.write_bytes(colors["blue"].read_bytes())
    assert command("detect", colors["red"], twin, "--save", tmp_path / "many").code == 0
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["red-2.png", "red.png"]
    refused = command("detect", colors["red"], twin, "--save", tmp_path / "one-for-two.png")
    assert refused.code == 2
    assert "need a folder" in refused.err


def test_embed_writes_an_archive_without_pickle(command: Command, colors: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "v.npz"
    result = command("embed", colors["red"], colors["black"], colors["blue"], "--out", out)
    assert result.code == 0
    assert "wrote 2 vectors of sface-2021dec-int8bq@fb143eea0783" in result.err
    with np.load(out, allow_pickle=False) as archive:
        assert set(archive) == {"names", "boxes", "scores", "vectors", "model", "recipe"}
        assert archive["names"].tolist() == [str(colors["red"]), str(colors["blue"])]
        assert archive["boxes"].tolist() == [[16, 20, 48, 60]] * 2
        assert archive["vectors"].shape == (2, 3)
        assert archive["vectors"].dtype == np.float32
        assert str(archive["model"]).startswith("sface-2021dec-int8bq@")
    document = json.loads(command("embed", colors["red"], "--json").out)
    assert document[0]["faces"][0]["embedding"]["vector"] == pytest.approx([200.001, 20.001, 20.001], abs=1)


@pytest.mark.parametrize("name", ["v.csv", "no/such/folder/v.npz"])
def test_embed_says_what_is_wrong_with_out(name: str, command: Command, colors: dict[str, Path], tmp_path: Path) -> None:
    result = command("embed", colors["red"], "--out", tmp_path / name)
    assert result.code == 2
    assert name.rpartition("/")[2] in result.err
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".npz", ".csv", ".tmp")] == []


def test_embed_without_any_face_writes_an_empty_archive(command: Command, colors: dict[str, Path], tmp_path: Path) -> None:
    assert command("embed", colors["black"], "--out", tmp_path / "v.npz").code == 0
    with np.load(tmp_path / "v.npz", allow_pickle=False) as archive:
        assert len(archive["names"]) == len(archive["vectors"]) == 0


def test_all_detectors_on_a_sheet(command: Command, colors: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, *_: object) -> FakeDetector:
        if name == "broken":
            raise AssetUnavailable("broken: nowhere to be had")
        return FakeDetector()

    monkeypatch.setattr("faceworks.contact.load_detector", load)
    monkeypatch.setattr("faceworks.contact.ready_detectors", lambda: ["yunet-2023mar-int8bq", "broken"])
    result = command("detect", colors["red"], "--all", "--save", tmp_path / "sheet.png", "--json")
    (entry,) = json.loads(result.out)
    assert [(one["detector"], len(one["faces"]), "error" in one) for one in entry["detectors"]] == [
        ("yunet-2023mar-int8bq", 1, False),
        ("broken", 0, True),
    ]
    assert image.load(tmp_path / "sheet.png").shape[1] > 400
    shown = command("detect", colors["red"], colors["blue"], "--all", "--save", tmp_path / "sheets")
    assert "drawn: " in shown.out
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["blue.png", "red.png"]


def test_what_could_not_be_read_does_not_count_and_what_was_written_is_said(command: Command, colors: dict[str, Path], tmp_path: Path) -> None:
    bad = colors["red"].with_name("bad.png")
    bad.write_bytes(b"no picture")
    result = command("detect", colors["red"], bad, colors["blue"], "--save", tmp_path / "drawn")
    assert result.out.splitlines()[-1].startswith("2 faces in 2 pictures (1 could not be used); ")
    assert f"faceworks: wrote 2 pictures to {tmp_path / 'drawn'}\n" in result.err
    alone = command("detect", colors["red"], "--save", tmp_path / "one.png")
    assert alone.err == f"faceworks: wrote {tmp_path / 'one.png'}\n"
    assert command("detect", colors["red"], "--save", tmp_path / "one.png", "--json").err == ""


def test_too_many_faces_name_the_picture(command: Command, colors: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    one = FakeDetector.detect
    monkeypatch.setattr(FakeDetector, "detect", lambda self, images: [2 * found for found in one(self, images)])
    result = command("verify", colors["red"], colors["blue"], "--max-faces", "1")
    assert result.code == 2
    assert f"{colors['red']} shows 2 faces, the limit (max_faces) is 1" in result.err
