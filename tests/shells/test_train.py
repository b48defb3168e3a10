"""faceworks train, experiment, datasets."""

from __future__ import annotations

import json

import pytest

from train_tools import write_config

from .conftest import Command


def test_datasets_list_has_eleven_rows_with_license_and_status(command: Command) -> None:
    found = json.loads(command("datasets", "list", "--json").out)
    assert len(found) == 11
    assert set(found[0]) == {"name", "published", "photos", "subjects", "per_subject", "features", "license", "status"}
    assert sum("withdrawn" in row["status"] for row in found) >= 5
    assert "Microsoft" in command("datasets", "list").out
    assert command("datasets", "list", "--quiet").out.splitlines()[3] == "MegaFace"


def test_training_from_the_command_line_gives_a_model_by_name(command: Command, tmp_path, monkeypatch) -> None:
    pytest.importorskip("onnxscript", reason="torch's current exporter needs onnxscript")
    pytest.importorskip("torch", reason="training needs torch")
    monkeypatch.setenv("FACEWORKS_CACHE", str(tmp_path / "cache"))
    config = write_config(tmp_path)
    done = command("train", str(config), "--data", str(tmp_path / "faces"), "--out", str(tmp_path / "run"), "--set", "run.epochs=1", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["name"], found["epochs"], found["registered"]) == ("made-embedding", 1, True)
    assert "epoch 1/1" in done.err
    assert "made-embedding" in command("models", "list", "--task", "embed", "--quiet").out
    # the name is refused before the work where another model has it
    refused = command("train", str(config), "--set", 'name="lbph"', "--out", str(tmp_path / "other"))
    assert refused.code == 2
    assert "another name" in refused.err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("train", "gone.toml"), "cannot be read"),
        (("train", "CONFIG", "--set", "run.epoch=1"), "unknown key"),
        (("train", "CONFIG", "--data", "nowhere", "--no-register"), "no folder"),
        (("experiment", "mining", "CONFIG", "--out", "x"), "triplet"),
        (("experiment", "dimension", "CONFIG", "--out", "x", "--values", "a"), "numbers"),
    ],
)
def test_mistakes_are_one_line_and_code_two(command: Command, tmp_path, monkeypatch, words, why) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path)
    done = command(*(str(config) if word == "CONFIG" else word for word in words))
    assert done.code == 2
    assert why in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("name", "values"), [("mining", "semi-hard,all"), ("dimension", "4,8"), ("amount", "0.5,1.0"), ("jpeg", "5,90"), ("size", "8,16")]
)
def test_each_experiment_is_one_command_with_a_table_and_a_plot(command: Command, tmp_path, name, values) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    config = write_config(tmp_path, loss="triplet", run="people = 4\npictures = 4\nsteps = 2")
    base = ("experiment", name, str(config), "--out", str(tmp_path / "out"), "--values", values, "--set", "run.epochs=2")
    done = command(*base, "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)["rows"]
    assert len(rows) == 2
    assert all(0 <= row["auc"] <= 1 for row in rows)
    assert (tmp_path / "out" / f"{name}.svg").read_text().startswith("<svg")
    assert len((tmp_path / "out" / f"{name}.csv").read_text().splitlines()) == 3
    again = command(*base, "--json")
    assert json.loads(again.out)["rows"] == rows
