"""faceworks models add: a user's checkpoint gets a card, or a clear refusal that leaves nothing behind."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from faceworks import assets, cards, settings
from faceworks.cards.writing import dump
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Face

from .conftest import Command

LIKE = "sface-2021dec-int8bq"


@pytest.mark.parametrize("name", cards.names())
def test_a_card_survives_being_written(name: str) -> None:
    card = cards.get(name)
    assert dataclasses.replace(cards.parse(dump(card), name), path=card.path) == card


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A network that eats SFace's crop: the mean of each channel in 14 x 14 cells, 3 x 8 x 8 numbers."""
    nodes = [
        helper.make_node("AveragePool", ["data"], ["small"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["small"], ["fc1"]),
    ]
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", 3, 112, 112])],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, ["batch", 192])],
    )
    path = tmp_path / "My Net 7.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString())
    onnx.checker.check_model(onnx.load(path))
    return path


@pytest.fixture
def wide(empty_cache: Path) -> str:
    """A card of the user's own: SFace's, for 192 numbers."""
    model = cards.get(LIKE)
    folder = empty_cache / "cards" / "embed"
    folder.mkdir(parents=True)
    (folder / "wide.toml").write_text(dump(dataclasses.replace(model, name="wide", output=(dataclasses.replace(model.output[0], dim=192),))))
    return "wide"


def test_a_registered_file_is_a_model_like_any_other(command: Command, checkpoint: Path, wide: str, empty_cache: Path) -> None:
    done = command("models", "add", checkpoint, "--like", wide, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    name = document["name"]
    assert name == "wide-my-net-7"
    assert Path(document["card"]).parent == empty_cache / "cards" / "embed"
    rows = {row["name"]: row for row in json.loads(command("models", "list", "--task", "embed", "--json").out)}
    assert rows[name]["status"] == "ready"
    assert name not in command("models", "list", "--license", "commercial", "--quiet").out.split()
    card, model = cards.get(name), cards.get(LIKE)
    assert (card.input, card.adapter, card.file[0].convert) == (model.input, model.adapter, model.file[0].convert)
    assert (card.threshold, card.published, card.license.weights) == ((), (), "unknown")
    checkpoint.unlink()
    assert assets.verify(card.file[0]), "the cache has its own copy"
    again = command("models", "verify", name, "--json")
    assert json.loads(again.out) == [{"name": name, "role": "model", "result": "ok"}]


def test_it_embeds(command: Command, checkpoint: Path, wide: str) -> None:
    assert command("models", "add", checkpoint, "--like", wide, "--name", "own").out.startswith("own\tembed\t")
    picture = np.random.default_rng(1).integers(0, 256, (112, 112, 3), np.uint8)
    face = Face(np.array([0, 0, 112, 112], np.float32), 1.0, None, "whole")
    (embedding,) = Pipeline(PipelineSpec(embedder="own", align="none")).embed_faces([picture], [[face]])[0]
    want = picture.astype(np.float64).reshape(8, 14, 8, 14, 3).mean(axis=(1, 3)).transpose(2, 0, 1).ravel()
    assert np.abs(embedding.vector - want).max() <= 1e-3


@pytest.mark.parametrize(
    ("content", "like", "words"),
    [
        (b"no network", LIKE, "is not a file like that of"),
        (b"no network", "dlib-resnet-v1", "is not a file like that of dlib-resnet-v1"),
        (b"no network", "mobilefacenet-068", "is not a file like that of mobilefacenet-068"),
        (b"no network", "mtcnn", "has not exactly one file (its files: pnet"),
        (b"no network", "fusion-sface-dlib", "has not exactly one file (its files: none)"),
        (b"no network", "sface", "did you mean"),
    ],
)
@pytest.mark.usefixtures("empty_cache")
def test_a_wrong_file_is_refused_and_leaves_nothing(command: Command, tmp_path: Path, content: bytes, like: str, words: str) -> None:
    path = tmp_path / "own.bin"
    path.write_bytes(content)
    done = command("models", "add", path, "--like", like, "--name", "own")
    assert done.code == 2
    assert words in done.err
    assert done.err.count("\n") == 1
    assert "own" not in cards.names()
    left = [item for item in settings.current().cache.rglob("*") if item.is_file() and item.parent.name != "locks"]
    assert left == []


@pytest.mark.usefixtures("empty_cache")
def test_another_number_of_outputs_is_refused(command: Command, checkpoint: Path) -> None:
    done = command("models", "add", checkpoint, "--like", LIKE, "--name", "own")
    assert done.code == 2
    assert "it gives 192 numbers, that one 128" in done.err


def test_names(command: Command, checkpoint: Path, wide: str) -> None:
    assert "is no file" in command("models", "add", checkpoint.with_name("absent"), "--like", wide).err
    assert "cannot be a model's name" in command("models", "add", checkpoint, "--like", wide, "--name", "../up").err
    assert "called 'yunet-2023mar' already" in command("models", "add", checkpoint, "--like", wide, "--name", "yunet-2023mar").err
    assert command("models", "add", checkpoint, "--like", wide, "--name", "own").code == 0
    assert "called 'own' already" in command("models", "add", checkpoint, "--like", wide, "--name", "own").err
