"""The structures that are written here from published code: shapes, parameters, and the way from a file of weights."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from faceworks import cards
from faceworks.convert import Source
from faceworks.convert.keras_h5 import keras_h5
from faceworks.convert.keras_structures import structure
from faceworks.errors import ConversionError

SIDES = [44, 20, 18, 16, 7, 5, 3, 1]
SHAPES = [(5, 5, 1, 64), (3, 3, 64, 64), (3, 3, 64, 64), (3, 3, 64, 128), (3, 3, 128, 128), (128, 1024), (1024, 1024), (1024, 7)]


def arrays(seed: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    """A kernel and a bias for each layer that has them."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(0, (2 / np.prod(s[:-1])) ** 0.5, s).astype(np.float32), rng.normal(0, 0.1, s[-1]).astype(np.float32)) for s in SHAPES]


def save_weights(path: Path, values: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """A file as Keras 2's `save_weights` writes it, with the names of some later session."""
    kinds = ["conv2d", "conv2d", "conv2d", "conv2d", "conv2d", "dense", "dense", "dense"]
    names = [f"{kind}_{index + 7}" for index, kind in enumerate(kinds)]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"max_pooling2d_9", *(name.encode() for name in names)]
        file.create_group("max_pooling2d_9").attrs["weight_names"] = []
        for name, (kernel, bias) in zip(names, values, strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = kernel, bias


def published(values: list[tuple[np.ndarray, np.ndarray]]) -> nn.Sequential:
    """The same network written in torch, by hand."""
    layers: list[nn.Module] = []
    plan = ["c", "m", "c", "c", "a", "c", "c", "a"]
    given = iter(values)
    for kind in plan:
        if kind == "c":
            kernel, bias = next(given)
            layer = nn.Conv2d(kernel.shape[2], kernel.shape[3], kernel.shape[0])
            layer.weight.data, layer.bias.data = torch.tensor(kernel.transpose(3, 2, 0, 1)), torch.tensor(bias)
            layers += [layer, nn.ReLU()]
        else:
            layers.append(nn.MaxPool2d(5, 2) if kind == "m" else nn.AvgPool2d(3, 2))
    layers.append(nn.Flatten())
    for kernel, bias in given:
        dense = nn.Linear(*kernel.shape)
        dense.weight.data, dense.bias.data = torch.tensor(kernel.T.copy()), torch.tensor(bias)
        layers += [dense, nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Softmax(1))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    card = cards.get("emotion-deepface-h5")
    path = tmp_path / "facial_expression_model_weights.h5"
    save_weights(path, arrays())
    return Source(path, card.file_for(), card)


def test_the_emotion_network_is_the_one_that_deepface_prints(source: Source) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(keras_h5(source)))
    shapes = {item.name: [dim.dim_value for dim in item.type.tensor_type.shape.dim] for item in model.graph.value_info}
    sides = [shapes[node.output[0]][2] for node in model.graph.node if node.op_type in ("Conv", "MaxPool", "AveragePool")]
    assert sides == SIDES
    assert sum(int(np.prod(item.dims)) for item in model.graph.initializer if item.data_type == onnx.TensorProto.FLOAT) == 1_485_831


def test_its_numbers_are_those_of_the_same_network_in_torch(source: Source) -> None:
    import onnxruntime

    blob = np.random.default_rng(1).uniform(0, 1, (3, 48, 48, 1)).astype(np.float32)
    found = onnxruntime.InferenceSession(keras_h5(source), providers=["CPUExecutionProvider"]).run(None, {"input": blob})[0]
    with torch.no_grad():
        want = published(arrays())(torch.tensor(blob.transpose(0, 3, 1, 2).copy())).numpy()
    assert np.ptp(want) > 0.05, "a network that says the same of everything would prove nothing"
    np.testing.assert_allclose(found, want, atol=1e-5)


def test_another_file_is_refused(source: Source) -> None:
    save_weights(source.path, [*arrays()[:5], (np.zeros((64, 1024), np.float32), np.zeros(1024, np.float32)), *arrays()[6:]])
    with pytest.raises(ConversionError, match="dense_1"):
        keras_h5(source)
    with h5py.File(source.path, "a") as file:
        file.attrs["layer_names"] = file.attrs["layer_names"][:-1]
    with pytest.raises(ConversionError, match="arrays for 7 layers, the structure has 8"):
        keras_h5(source)
    source.path.write_bytes(b"no")
    with pytest.raises(ConversionError, match="no HDF5"):
        keras_h5(source)


def test_vgg_has_the_published_size_with_each_head() -> None:
    """Parameters by layer as the VGG-Face descriptor states them: 134,260,544 up to fc7."""
    for classes in (101, 2, 6):
        layers = structure("vgg-face", {"classes": classes})["config"]["layers"]
        channels, total = 3, 0
        for layer in layers:
            if layer["class_name"] == "Conv2D":
                config = layer["config"]
                total += (config["kernel_size"][0] ** 2 * channels + 1) * config["filters"]
                channels = config["filters"]
        assert total == 134_260_544 + 4097 * classes
    with pytest.raises(ConversionError, match="no structure"):
        structure("vgg", {})
    with pytest.raises(ConversionError, match="does not take"):
        structure("vgg-face", {"heads": 2})
