"""`keras_h5`: against what Keras 3 itself answered (golden files), against an evaluation of the layers in NumPy, and what it refuses."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnxruntime
import pytest

from faceworks import settings
from faceworks.cards import parse
from faceworks.convert import prepare
from faceworks.convert.keras_h5 import build, read_file
from faceworks.errors import ConversionError
from made_cards import card_head

GOLDEN = Path(__file__).parent.parent / "golden"
Array = np.ndarray


def run(model: Any, picture: Array) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    found: list[Array] = session.run(None, {session.get_inputs()[0].name: picture.astype(np.float32)})
    return found


# --- an evaluation of the layers, channels last, float64 ---------------------------------------------------------------------------------------


def windows(x: Array, kernel: list[int], strides: list[int], padding: str, fill: float) -> Array:
    """(N, rows, columns, kh, kw, C), padded as TensorFlow documents "same": the odd pixel goes to the end."""
    for axis in (0, 1):
        if padding == "same":
            total = max((math.ceil(x.shape[1 + axis] / strides[axis]) - 1) * strides[axis] + kernel[axis] - x.shape[1 + axis], 0)
            pads = [(0, 0)] * 4
            pads[1 + axis] = (total // 2, total - total // 2)
            x = np.pad(x, pads, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))[:, :: strides[0], :: strides[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def evaluate(config: Mapping[str, Any], weights: Mapping[str, Mapping[str, Array]], picture: Array) -> Array:
    """A functional Keras 2 model with one output."""
    values: dict[str, Array] = {}
    for layer in config["config"]["layers"]:
        name, kind, options = layer["name"], layer["class_name"], layer["config"]
        eaten = [values[item[0]] for node in layer["inbound_nodes"] for item in node]
        arrays = {key: value.astype(np.float64) for key, value in weights.get(name, {}).items()}
        if kind == "InputLayer":
            values[name] = picture.astype(np.float64)
        elif kind == "Conv2D":
            view = windows(eaten[0], options["kernel_size"], options["strides"], options["padding"], 0)
            values[name] = np.einsum("nrcijk,ijko->nrco", view, arrays["kernel"]) + arrays.get("bias", 0)
        elif kind == "SeparableConv2D":
            view = windows(eaten[0], options["kernel_size"], options["strides"], options["padding"], 0)
            deep = np.einsum("nrcijk,ijkm->nrckm", view, arrays["depthwise_kernel"]).reshape(*view.shape[:3], -1)
            values[name] = deep @ arrays["pointwise_kernel"][0, 0] + arrays.get("bias", 0)
        elif kind == "BatchNormalization":
            scale = arrays["gamma"] / np.sqrt(arrays["moving_variance"] + options["epsilon"])
            values[name] = (eaten[0] - arrays["moving_mean"]) * scale + arrays["beta"]
        elif kind == "MaxPooling2D":
            values[name] = windows(eaten[0], options["pool_size"], options["strides"], options["padding"], -np.inf).max(axis=(3, 4))
        elif kind == "GlobalAveragePooling2D":
            values[name] = eaten[0].mean(axis=(1, 2))
        elif kind == "Add":
            values[name] = eaten[0] + eaten[1]
        elif kind == "Activation" and options["activation"] == "relu":
            values[name] = np.maximum(eaten[0], 0)
        elif kind == "Activation" and options["activation"] == "softmax":
            powers = np.exp(eaten[0] - eaten[0].max(axis=-1, keepdims=True))
            values[name] = powers / powers.sum(axis=-1, keepdims=True)
        else:
            raise AssertionError(kind)
    return values[config["config"]["output_layers"][0][0]]


@pytest.mark.shared
@pytest.mark.parametrize(("file", "labels"), [("fer2013_mini_XCEPTION.102-0.66.hdf5", 7), ("gender_mini_XCEPTION.21-0.95.hdf5", 2)])
def test_published_networks_equal_the_layers_in_numpy(shared: Path, file: str, labels: int) -> None:
    config, weights = read_file(shared / "weights" / file)
    picture = np.random.default_rng(3).uniform(-1, 1, (3, 64, 64, 1))
    (got,) = run(build(config, weights), picture)
    want = evaluate(config, weights, picture)
    assert got.shape == (3, labels)
    assert np.abs(got - want).max() <= 1e-5
    assert np.abs(run(build(config, weights), picture[:1])[0] - got[:1]).max() <= 1e-6


@pytest.mark.parametrize("name", ["functional", "sequential"])
def test_keras_3_itself_answers_the_same(name: str) -> None:
    golden = np.load(GOLDEN / "keras3.npz")
    answers = run(build(*read_file(GOLDEN / f"keras3-{name}.h5")), golden[f"{name}.input"])
    assert len(answers) == sum(key.startswith(name) for key in golden.files) - 1
    for index, got in enumerate(answers):
        assert got.shape == golden[f"{name}.{index}"].shape
        assert np.abs(got - golden[f"{name}.{index}"]).max() <= 2e-6, index


# --- what is refused ---------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def model() -> tuple[dict[str, Any], dict[str, dict[str, Array]]]:
    config, weights = read_file(GOLDEN / "keras3-sequential.h5")
    return copy.deepcopy(config), {name: dict(arrays) for name, arrays in weights.items()}


def layer_of(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return next(item for item in config["config"]["layers"] if item["class_name"] == kind)


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("Conv2D", {"padding": "causal"}, "padding 'causal'"),
        ("Conv2D", {"data_format": "channels_first"}, "channels_first"),
        ("Conv2D", {"filters": 5}, "has the shape"),
        ("Conv2D", {"activation": "gelu"}, "activation 'gelu'"),
        ("Dense", {"use_bias": False}, "arrays that its configuration does not ask for: bias"),
        ("Dense", {"units": 11}, "has the shape"),
        ("MaxPooling2D", {"pool_size": [0, 2]}, "two positive whole numbers"),
    ],
)
def test_settings_that_are_refused(model: Any, kind: str, change: dict[str, Any], words: str) -> None:
    config, weights = model
    layer_of(config, kind)["config"].update(change)
    with pytest.raises(ConversionError, match=words):
        build(config, weights)


def test_layers_and_arrays_that_are_refused(model: Any) -> None:
    config, weights = model
    strange = copy.deepcopy(config)
    layer_of(strange, "Dropout")["class_name"] = "Lambda"
    with pytest.raises(ConversionError, match=r"not converted: Lambda; known: .*Conv2D"):
        build(strange, weights)
    name = layer_of(config, "Dense")["config"]["name"]
    with pytest.raises(ConversionError, match=f"the layer {name} lacks the array 'kernel'; it has bias"):
        build(config, {**weights, name: {"bias": weights[name]["bias"]}})
    with pytest.raises(ConversionError, match="does not name: elsewhere"):
        build(config, {**weights, "elsewhere": {"kernel": np.zeros(3, np.float32)}})
    with pytest.raises(ConversionError, match="holds int64, expected floating-point"):
        build(config, {**weights, name: {**weights[name], "bias": weights[name]["bias"].astype(np.int64)}})
    with pytest.raises(ConversionError, match="without layers"):
        build({"class_name": "Sequential", "config": {"layers": []}}, {})


def test_files_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(b"no hdf5 at all")
    with pytest.raises(ConversionError, match="is no HDF5 file"):
        read_file(path)
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")
    with pytest.raises(ConversionError, match="weights alone"):
        read_file(path)
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = "{"
    with pytest.raises(ConversionError, match="not valid JSON"):
        read_file(path)
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps({})
        file["model_weights"].create_group("conv").attrs["weight_names"] = ["conv/kernel:0"]
    with pytest.raises(ConversionError, match="lists the array 'conv/kernel:0'"):
        read_file(path)
    path.write_bytes((GOLDEN / "keras3-sequential.h5").read_bytes()[:20000])
    with pytest.raises(ConversionError, match="is no HDF5 file, or a damaged one"):
        read_file(path)


def test_a_card_converts_and_names_the_output(empty_cache: Path) -> None:
    mirror = empty_cache.parent / "mirror"
    mirror.mkdir()
    (mirror / "small.h5").write_bytes((GOLDEN / "keras3-sequential.h5").read_bytes())
    text = (
        card_head("small", "attribute")
        + """[[file]]
role = "model"
pin = "first-use"
from = ["https://example.org/small.h5"]
convert = "keras_h5"
[[output]]
name = "emotion"
kind = "classes"
labels = ["a", "b", "c", "d", "e", "f", "g"]
"""
    )
    with settings.use(mirrors=(mirror,)):
        session = onnxruntime.InferenceSession(str(prepare(parse(text, "small"))))
    assert [item.name for item in session.get_outputs()] == ["emotion"]
    assert session.get_inputs()[0].shape == ["batch", 20, 20, 1]
