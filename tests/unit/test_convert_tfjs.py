"""TensorFlow.js files that are not what they should be are refused by name; operators do what TensorFlow's do (NumPy by hand)."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import onnxruntime
import pytest

from faceworks.convert import graph
from faceworks.convert.tfjs import build
from faceworks.convert.tfjs_files import attribute, read_weights
from faceworks.errors import ConversionError


def node(name: str, op: str, inputs: list[str] | None = None, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "op": op, "input": inputs or [], "attr": attributes}


def text(value: str) -> dict[str, str]:
    return {"s": base64.b64encode(value.encode()).decode()}


def run(nodes: list[dict[str, Any]], weights: dict[str, np.ndarray], output: str, x: np.ndarray) -> np.ndarray:
    shape = {"shape": {"dim": [{"size": str(side)} for side in (-1, *x.shape[1:])]}}
    consts = [node(name, "Const") for name in weights]
    model = build({"node": [node("x", "Placeholder", shape=shape), *consts, *nodes]}, weights, [output])
    graph.infer_outputs(model)
    session = onnxruntime.InferenceSession(graph.serialize(model, "t"), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_a_convolution_with_same_padding_and_a_bias() -> None:
    rng = np.random.default_rng(0)
    x, kernel, bias = (
        rng.normal(size=(2, 5, 4, 3)).astype(np.float32),
        rng.normal(size=(3, 3, 3, 2)).astype(np.float32),
        np.array([1.0, -1.0], np.float32),
    )
    conv = node("y", "_FusedConv2D", ["x", "k", "b"], strides={"list": {"i": ["1", "2", "2", "1"]}}, padding=text("SAME"),
                fused_ops={"list": {"s": [text("BiasAdd")["s"], text("Relu")["s"]]}})  # fmt: skip
    found = run([conv], {"k": kernel, "b": bias}, "y", x)
    padded = np.pad(x, ((0, 0), (1, 1), (0, 1), (0, 0)))  # TensorFlow: 5 rows at stride 2 need one above and one below, 4 columns one at the right
    want = np.zeros((2, 3, 2, 2))
    for i in range(3):
        for j in range(2):
            want[:, i, j] = np.einsum("nhwc,hwco->no", padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3], kernel) + bias
    np.testing.assert_allclose(found, np.maximum(want, 0), atol=1e-5)


def test_reshape_keeps_the_layout_of_tensorflow() -> None:
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    found = run([node("y", "Reshape", ["x", "s"])], {"s": np.array([-1, 24], np.int32)}, "y", x)
    np.testing.assert_array_equal(found, x.reshape(1, 24))


def test_a_strided_slice_with_a_shrunk_axis() -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    weights = {"b": np.array([0, 2], np.int32), "e": np.array([0, 3], np.int32), "t": np.array([1, 1], np.int32)}
    cut = node("y", "StridedSlice", ["x", "b", "e", "t"], begin_mask={"i": "1"}, end_mask={"i": "1"}, shrink_axis_mask={"i": "2"})
    np.testing.assert_array_equal(run([cut], weights, "y", x), x[:, 2])


def test_means_over_height_and_width() -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype(np.float32)
    found = run([node("y", "Mean", ["x", "a"], keep_dims={"b": False})], {"a": np.array([1, 2], np.int32)}, "y", x)
    np.testing.assert_allclose(found, x.mean(axis=(1, 2)), atol=1e-6)


def test_what_is_not_known_is_refused_by_name() -> None:
    shape = {"shape": {"dim": [{"size": "-1"}, {"size": "4"}]}}
    entered = node("x", "Placeholder", shape=shape)
    with pytest.raises(ConversionError, match="operators that are not converted: PyFunc"):
        build({"node": [entered, node("y", "PyFunc", ["x"])]}, {}, ["y"])
    with pytest.raises(ConversionError, match="no node 'z' for an output"):
        build({"node": [entered, node("y", "Relu", ["x"])]}, {}, ["z"])
    with pytest.raises(ConversionError, match="no node w"):
        build({"node": [entered, node("y", "Relu", ["w"])]}, {}, ["y"])
    with pytest.raises(ConversionError, match="cycle"):
        build({"node": [node("a", "Relu", ["b"]), node("b", "Relu", ["a"])]}, {}, ["a"])
    with pytest.raises(ConversionError, match="the weights lack k"):
        build({"node": [entered, node("k", "Const")]}, {}, ["k"])


def test_weights_are_read_as_the_manifest_says() -> None:
    manifest = [{"weights": [
        {"name": "a", "shape": [2], "dtype": "float32"},
        {"name": "h", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16", "original_dtype": "float32"}},
        {"name": "q", "shape": [3], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
    ]}]  # fmt: skip
    data = np.array([1.5, -2], "<f4").tobytes() + np.array([0.25, 8], "<f2").tobytes() + bytes([0, 2, 255])
    found = read_weights(manifest, data)
    assert {name: values.tolist() for name, values in found.items()} == {"a": [1.5, -2.0], "h": [0.25, 8.0], "q": [-1.0, 0.0, 126.5]}
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}
    with pytest.raises(ConversionError, match="end in the middle of q"):
        read_weights(manifest, data[:-1])
    with pytest.raises(ConversionError, match="accounts for 15"):
        read_weights(manifest, data + b"x")
    with pytest.raises(ConversionError, match="stored as string"):
        read_weights([{"weights": [{"name": "s", "shape": [1], "dtype": "string"}]}], b"")
    assert attribute({"attr": {"v": {"list": {"i": ["1", "2"]}}}}, "v") == [1, 2]
