"""The reader of TensorFlow Lite files: what it takes in, and what it refuses by name. The networks' numbers are checked in tests/golden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from conftest import need
from faceworks import assets, cards
from faceworks.convert import Source, tflite_format
from faceworks.convert.tflite import tflite
from faceworks.convert.tflite_format import read
from faceworks.errors import ConversionError

pytestmark = pytest.mark.assets


@pytest.fixture
def published() -> Path:
    need("blazeface-short")
    return assets.fetch(cards.get("blazeface-short").file_for())


def test_what_a_published_file_holds(published: Path) -> None:
    network = read(published)
    assert [network.tensors[index].shape for index in network.inputs] == [(1, 128, 128, 3)]
    assert [(network.tensors[index].name, network.tensors[index].shape) for index in network.outputs] == [
        ("regressors", (1, 896, 16)),
        ("classificators", (1, 896, 1)),
    ]
    assert {step.name for step in network.operators} == {
        "DEQUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "RELU", "PAD", "MAX_POOL_2D", "RESHAPE", "CONCATENATION",
    }  # fmt: skip
    weights = [tensor.data for tensor in network.tensors if tensor.data is not None]
    assert {item.dtype for item in weights} == {np.dtype(np.float16), np.dtype(np.int32)}
    assert all(np.isfinite(item).all() for item in weights)


def test_the_graph_takes_any_number_of_pictures(published: Path) -> None:
    card = cards.get("blazeface-short")
    model = onnx.load_from_string(tflite(Source(published, card.file_for(), card)))
    (picture,) = model.graph.input
    assert [side.dim_param or side.dim_value for side in picture.type.tensor_type.shape.dim] == ["N", 3, 128, 128]
    assert {item.name for item in model.graph.output} == {"regressors", "classificators"}


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_refused(published: Path, tmp_path: Path, share: float) -> None:
    data = published.read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ConversionError, match=r"cut\.tflite"):
        read(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x08\x07\x12\x0c" + b"onnx" * 10)
    with pytest.raises(ConversionError, match="TFL3"):
        read(path)


def test_an_unknown_operator_is_named(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite_format, "_NAMES", {0: "ADD"})
    with pytest.raises(ConversionError, match=r"the operator \d+ of TensorFlow Lite is not known here; known: ADD"):
        read(published)
