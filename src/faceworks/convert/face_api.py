"""`face_api`: the networks of face-api.js, published as a manifest (.json) and weights (.bin, the card's file of the role "weights") without a graph.

The structures below follow the package's sources (FaceFeatureExtractor, TinyXception and their heads); which one a file holds is
`convert_options.network`. Checked against the original runtime on the same tensors (`tools/tfjs_goldens.mjs`, `tests/golden`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..errors import ConversionError
from . import Source, graph
from .tfjs_files import read_json, read_weights

__all__ = ["NETWORKS", "face_api"]

Array = NDArray[Any]
SIDE = 112


class _Net:
    """Nodes under construction; arrays are taken by name, and what is never taken is an error."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = dict(arrays)
        self.nodes: list[Any] = []
        self.initial: list[Any] = []

    def take(self, name: str, shape: tuple[int | None, ...]) -> Array:
        if name not in self.arrays:
            raise ConversionError(f"the weights lack {name}; they have {', '.join(list(self.arrays)[:4])} …")
        value = self.arrays.pop(name)
        if value.ndim != len(shape) or any(want is not None and want != got for want, got in zip(shape, value.shape, strict=True)):
            raise ConversionError(f"the weight {name} has the shape {value.shape}, {shape} is expected")
        return np.asarray(value, dtype=np.float32)

    def constant(self, value: Array) -> str:
        name = f"constant{len(self.initial)}"
        self.initial.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def conv(self, x: str, name: str, stride: int = 1) -> str:
        """A convolution with TensorFlow's SAME padding."""
        kernel = self.take(f"{name}/filters", (None, None, None, None))
        bias = self.take(f"{name}/bias", (kernel.shape[3],))
        weights = self.constant(kernel.transpose(3, 2, 0, 1))
        shape = {"kernel_shape": list(kernel.shape[:2]), "strides": [stride, stride], "auto_pad": "SAME_UPPER"}
        return self.add("Conv", x, weights, self.constant(bias), **shape)

    def separable(self, x: str, name: str, stride: int = 1) -> str:
        """Depthwise 3x3, then 1x1 with a bias."""
        kernel = self.take(f"{name}/depthwise_filter", (3, 3, None, 1))
        channels = kernel.shape[2]
        point = self.take(f"{name}/pointwise_filter", (1, 1, channels, None))
        shape = {"kernel_shape": [3, 3], "strides": [stride, stride], "auto_pad": "SAME_UPPER", "group": channels}
        deep = self.add("Conv", x, self.constant(kernel.transpose(2, 3, 0, 1)), **shape)
        bias = self.constant(self.take(f"{name}/bias", (point.shape[3],)))
        return self.add("Conv", deep, self.constant(point.transpose(3, 2, 0, 1)), bias, kernel_shape=[1, 1])

    def dense(self, x: str, name: str) -> str:
        """A fully connected layer on 1x1 pictures."""
        weights = self.take(f"{name}/weights", (None, None))
        flat = self.add("Flatten", self.add("AveragePool", x, kernel_shape=[7, 7], strides=[2, 2]))
        return self.add("Gemm", flat, self.constant(weights), self.constant(self.take(f"{name}/bias", (weights.shape[1],))))


def _block(net: _Net, x: str, name: str, first: bool) -> str:
    """Four layers; each eats the sum of all before it."""
    out = [net.relu(net.conv(x, f"{name}/conv0", 2) if first else net.separable(x, f"{name}/conv0", 2))]
    total = out[0]
    for index in (1, 2, 3):
        total = net.add("Add", total, net.separable(net.relu(total) if index > 1 else total, f"{name}/conv{index}"))
    return net.relu(total)


def _expression(net: _Net, x: str) -> list[str]:
    for index in range(4):
        x = _block(net, x, f"dense{index}", index == 0)
    return [net.add("Softmax", net.dense(x, "fc"), axis=-1)]


def _reduce(net: _Net, x: str, name: str, activate: bool = True) -> str:
    out = net.separable(net.relu(x) if activate else x, f"{name}/separable_conv0")
    out = net.separable(net.relu(out), f"{name}/separable_conv1")
    out = net.add("MaxPool", out, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    return net.add("Add", out, net.conv(x, f"{name}/expansion_conv", 2))


def _age_gender(net: _Net, x: str) -> list[str]:
    x = net.relu(net.conv(x, "entry_flow/conv_in", 2))
    x = _reduce(net, x, "entry_flow/reduction_block_0", activate=False)
    x = _reduce(net, x, "entry_flow/reduction_block_1")
    for index in (0, 1):
        out = x
        for layer in (0, 1, 2):
            out = net.separable(net.relu(out), f"middle_flow/main_block_{index}/separable_conv{layer}")
        x = net.add("Add", out, x)
    x = _reduce(net, x, "exit_flow/reduction_block")
    x = net.relu(net.separable(x, "exit_flow/separable_conv"))
    return [net.dense(x, "fc/age"), net.add("Softmax", net.dense(x, "fc/gender"), axis=-1)]


NETWORKS: Mapping[str, tuple[Callable[[_Net, str], list[str]], tuple[str, ...]]] = {
    "expression": (_expression, ("emotion",)),
    "age-gender": (_age_gender, ("age", "gender")),
}
"""Network -> (how it is built, names of its outputs)."""


def face_api(source: Source) -> bytes:
    """Convert one network; its input is (N, 3, 112, 112), RGB minus the card's mean, divided by 255."""
    name = str(source.option("network", ""))
    if name not in NETWORKS:
        raise ConversionError(f"{source.card.name}: convert_options.network must be one of {', '.join(NETWORKS)}, got {name!r}")
    manifest = read_json(source.path)
    if not isinstance(manifest, list):
        raise ConversionError(f"{source.path.name} is no weights manifest of face-api: a list is expected")
    net = _Net(read_weights(manifest, source.sibling("weights").read_bytes()))
    make, outputs = NETWORKS[name]
    for made, output in zip(make(net, "input"), outputs, strict=True):
        net.nodes.append(helper.make_node("Identity", [made], [output]))
    if net.arrays:
        raise ConversionError(f"{source.path.name} holds arrays that {name} has no place for: {', '.join(net.arrays)}")
    entered = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    given = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs]
    model = helper.make_model(
        helper.make_graph(net.nodes, "face-api", [entered], given, net.initial), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    graph.infer_outputs(model)
    return graph.serialize(model, source.card.name)
