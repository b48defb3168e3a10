"""A trained model is used through its card as a shipped one is: verify, evaluate, gallery."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from train_tools import write_config

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("onnxscript", reason="torch's current exporter needs onnxscript")

from faceworks import cards, settings  # noqa: E402
from faceworks.cli.app import run as command  # noqa: E402
from faceworks.embed import load_embedder  # noqa: E402
from faceworks.errors import CardError, ConfigError, ConversionError  # noqa: E402
from faceworks.train import export, export_run, read_config, train  # noqa: E402


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run on made faces, registered in a cache of its own."""
    folder = tmp_path_factory.mktemp("trained")
    with settings.use(cache=folder / "cache", offline=True, mirrors=()):
        train(read_config(write_config(folder), ["run.epochs=4"]), folder / "run")
        export_run(folder / "run", registered=True)
    return folder


@pytest.fixture
def at_home(trained, monkeypatch):
    monkeypatch.setenv("FACEWORKS_CACHE", str(trained / "cache"))
    monkeypatch.setenv("FACEWORKS_OFFLINE", "1")
    monkeypatch.delenv("FACEWORKS_MIRRORS", raising=False)
    return trained


def answer(capsys, *arguments: str):
    code = command(list(arguments))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_the_card_says_where_the_model_comes_from(at_home):
    card = cards.get("made-embedding")
    assert card.license.weights == "MIT"
    assert card.license.commercial_use
    assert "loss arcface" in card.notes
    assert "seed 3" in card.notes
    assert card.input[0].crop == "box:1"
    assert {item.metric for item in card.published} == {"auc", "eer", "tar_at_fmr_1%"}
    assert card.threshold[0].fmr == 0.01
    assert card.threshold[0].pairs == 18 * 17 // 2


def test_the_file_gives_what_the_network_gives(at_home):
    """Free batch; equal to torch, from the same checkpoint, on real crops."""
    from faceworks import image
    from faceworks.align import crop
    from faceworks.train import checkpoint
    from faceworks.train.distributed import Group
    from faceworks.train.tasks import build_task
    from faceworks.train.tasks.faces import tensor
    from faceworks.types import Face, View

    paths = sorted((at_home / "faces" / "p00").glob("*.png"))
    pixels = [image.load(path) for path in paths]
    faces = [Face(np.array([0, 0, 16, 16], np.float32), 1.0, None, "whole") for _ in pixels]
    crops = [crop(picture, face, "box:1", (16, 16)) for picture, face in zip(pixels, faces, strict=True)]
    views = [View(face, (16, 16), 1, (item,)) for face, item in zip(faces, crops, strict=True)]
    vectors, norms = load_embedder("made-embedding").embed(views)
    task = build_task(read_config(at_home / "run" / "config.toml"), at_home / "run", Group(), torch.device("cpu"), lambda line: None)
    task.step.load_state_dict(checkpoint.load(at_home / "run" / "best.npz")["step"])
    with torch.no_grad():
        wanted = task.network.eval()(tensor(np.stack([item.pixels for item in crops]), task.config.input, torch.device("cpu")))
    np.testing.assert_allclose(vectors, wanted, atol=1e-4)
    assert norms is not None


def test_verify_takes_it_by_name(at_home, capsys):
    faces = at_home / "faces"
    base = ("verify", "--embedder", "made-embedding", "--detector", "whole", "--json")
    code, out, err = answer(capsys, *base, str(faces / "p00" / "0.png"), str(faces / "p00" / "0.png"))
    assert code == 0, err
    found = json.loads(out)
    assert found["similarity"] == pytest.approx(1, abs=1e-4)
    assert "faceworks train" in found["threshold_source"]
    code, out, _ = answer(capsys, *base, str(faces / "p00" / "0.png"), str(faces / "p05" / "0.png"))
    assert code in (0, 1)
    assert json.loads(out)["similarity"] < 0.999


def test_evaluate_takes_it_by_name(at_home, capsys):
    code, out, err = answer(
        capsys,
        "evaluate",
        "folder",
        str(at_home / "faces"),
        "--embedder",
        "made-embedding",
        "--detector",
        "whole",
        "--json",
        "--out",
        str(at_home / "e"),
    )
    assert code == 0, err
    assert json.loads(out)


def test_gallery_takes_it_by_name(at_home, capsys):
    where = str(at_home / "people.h5")
    code, _, err = answer(
        capsys, "gallery", "enroll", str(at_home / "faces"), "--gallery", where, "--embedder", "made-embedding", "--detector", "whole"
    )
    assert code == 0, err
    code, out, err = answer(capsys, "gallery", "identify", str(at_home / "faces" / "p03" / "2.png"), "--gallery", where, "--json")
    assert code == 0, err
    assert json.loads(out)[0]["faces"][0]["person"] == "p03"


def test_training_again_replaces_the_model_and_hides_no_other(at_home, tmp_path):
    before = cards.get("made-embedding").file[0].sha256
    config = read_config(write_config(tmp_path), ["run.epochs=1", "seed=8"])
    train(config, tmp_path / "run")
    with settings.use(cache=at_home / "cache", offline=True, mirrors=()):
        kept = (Path(cards.get("made-embedding").path)).read_text()
        card = export_run(tmp_path / "run", registered=True)
        assert card.file[0].sha256 != before
        Path(card.path).write_text(kept)  # as it was, for other tests
        train(read_config(write_config(tmp_path), ["run.epochs=1", 'name="lbph"']), tmp_path / "other")
        with pytest.raises(CardError, match="another name"):
            export_run(tmp_path / "other", registered=True)


def test_a_file_that_differs_is_refused(at_home, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 1e-12)
    with pytest.raises(ConversionError, match="differ"):
        export_run(at_home / "run")


def test_without_an_epoch_there_is_nothing_to_export(tmp_path):
    with pytest.raises(ConfigError, match="train first"):
        export_run(tmp_path)
