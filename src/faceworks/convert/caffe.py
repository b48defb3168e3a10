"""`caffe`: a Caffe network (weights .caffemodel, structure .prototxt as the card's file of the role "structure") as ONNX.

Only the layers that the wanted outputs need are read: what has no counterpart in a network (PriorBox, DetectionOutput, Python layers) stays out, and
is done in NumPy by whoever uses the outputs. Checked layer by layer against OpenCV 4's Caffe reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from ..errors import ConversionError
from . import Source, graph
from .caffe_files import Message, read_structure, read_weights

__all__ = ["caffe"]


Array = NDArray[np.float32]


def _one(message: Message, name: str, default: Any = None) -> Any:
    values = message.get(name)
    return values[-1] if values else default


def _sides(parameters: Message, name: str, default: int, single: str = "") -> list[int]:
    """[vertical, horizontal] of a geometric parameter: NAME (once or twice), or NAME_h and NAME_w."""
    both = parameters.get(single or name, [])
    short = name.removesuffix("_size")
    vertical = _one(parameters, f"{short}_h", both[0] if both else default)
    return [int(vertical), int(_one(parameters, f"{short}_w", both[-1] if both else default))]


class _Builder:
    """Nodes and constants under construction; `names` maps Caffe's blobs to ONNX values (layers may write in place)."""

    def __init__(self, weights: Mapping[str, list[Array]]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.names: dict[str, str] = {}

    def blobs(self, layer: Message, least: int) -> list[Array]:
        """The layer's weights, at least so many."""
        name = str(_one(layer, "name", ""))
        found = self.weights.get(name, [])
        if len(found) < least:
            raise ConversionError(f"layer {name!r} needs {least} blobs of weights, the caffemodel has {len(found)}")
        return list(found)

    def constant(self, value: Any) -> str:
        """A new initializer's name."""
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """A new node's output."""
        output = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def _convolution(build: _Builder, layer: Message, inputs: list[str]) -> str:
    parameters = _one(layer, "convolution_param", {})
    kernel, pad = _sides(parameters, "kernel_size", 1), _sides(parameters, "pad", 0)
    bias = _one(parameters, "bias_term", True)
    weight, *rest = build.blobs(layer, 2 if bias else 1)
    operands = [*inputs, build.constant(weight.reshape(weight.shape[0], -1, *kernel)), *([build.constant(rest[0].reshape(-1))] if bias else [])]
    return build.node(
        "Conv", operands, kernel_shape=kernel, strides=_sides(parameters, "stride", 1), pads=pad + pad,
        dilations=_sides(parameters, "dilation", 1), group=int(_one(parameters, "group", 1)),
    )  # fmt: skip


def _batch_norm(build: _Builder, layer: Message, inputs: list[str]) -> str:
    mean, variance, factor = (blob.reshape(-1) for blob in build.blobs(layer, 3)[:3])
    share = 0 if factor[0] == 0 else 1 / factor[0]
    values = [np.ones_like(mean), np.zeros_like(mean), mean * share, variance * share]
    epsilon = float(_one(_one(layer, "batch_norm_param", {}), "eps", 1e-5))
    return build.node("BatchNormalization", [*inputs, *(build.constant(value) for value in values)], epsilon=epsilon)


def _scale(build: _Builder, layer: Message, inputs: list[str]) -> str:
    parameters = _one(layer, "scale_param", {})
    bias = bool(_one(parameters, "bias_term", False))
    if int(_one(parameters, "axis", 1)) != 1 or len(inputs) != 1:
        raise ConversionError(f"layer {_one(layer, 'name')!r}: only scales per channel are understood")
    factor, *rest = (blob.reshape(-1, 1, 1) for blob in build.blobs(layer, 2 if bias else 1))
    out = build.node("Mul", [*inputs, build.constant(factor)])
    return build.node("Add", [out, build.constant(rest[0])]) if bias else out


def _relu(build: _Builder, layer: Message, inputs: list[str]) -> str:
    slope = float(_one(_one(layer, "relu_param", {}), "negative_slope", 0.0))
    return build.node("LeakyRelu", inputs, alpha=slope) if slope else build.node("Relu", inputs)


def _pooling(build: _Builder, layer: Message, inputs: list[str]) -> str:
    parameters = _one(layer, "pooling_param", {})
    kind = str(_one(parameters, "pool", "MAX"))
    if kind not in ("MAX", "AVE"):
        raise ConversionError(f"layer {_one(layer, 'name')!r}: pooling {kind} is not understood")
    if _one(parameters, "global_pooling", False):
        return build.node("GlobalMaxPool" if kind == "MAX" else "GlobalAveragePool", inputs)
    pad = _sides(parameters, "pad", 0)
    ceil = str(_one(parameters, "round_mode", "CEIL")) == "CEIL" and bool(_one(parameters, "ceil_mode", True))
    more = {} if kind == "MAX" else {"count_include_pad": 1}
    return build.node(
        "MaxPool" if kind == "MAX" else "AveragePool", inputs, kernel_shape=_sides(parameters, "kernel_size", 1),
        strides=_sides(parameters, "stride", 1), pads=pad + pad, ceil_mode=int(ceil), **more,
    )  # fmt: skip


def _inner_product(build: _Builder, layer: Message, inputs: list[str]) -> str:
    parameters = _one(layer, "inner_product_param", {})
    bias = bool(_one(parameters, "bias_term", True))
    weight, *rest = build.blobs(layer, 2 if bias else 1)
    count = int(_one(parameters, "num_output", weight.shape[-2]))
    flat = build.node("Flatten", inputs, axis=int(_one(parameters, "axis", 1)))
    operands = [flat, build.constant(weight.reshape(count, -1)), *([build.constant(rest[0].reshape(-1))] if bias else [])]
    return build.node("Gemm", operands, transB=0 if _one(parameters, "transpose", False) else 1)


def _lrn(build: _Builder, layer: Message, inputs: list[str]) -> str:
    parameters = _one(layer, "lrn_param", {})
    if str(_one(parameters, "norm_region", "ACROSS_CHANNELS")) != "ACROSS_CHANNELS":
        raise ConversionError(f"layer {_one(layer, 'name')!r}: only normalization across channels is understood")
    return build.node(
        "LRN", inputs, size=int(_one(parameters, "local_size", 5)), alpha=float(_one(parameters, "alpha", 1.0)),
        beta=float(_one(parameters, "beta", 0.75)), bias=float(_one(parameters, "k", 1.0)),
    )  # fmt: skip


def _normalize(build: _Builder, layer: Message, inputs: list[str]) -> str:
    """SSD's layer: each place's channel vector to unit length, times a learned factor per channel."""
    parameters = _one(layer, "norm_param", {})
    factor = build.blobs(layer, 1)[0].reshape(-1, 1, 1)
    axes = [1, 2, 3] if _one(parameters, "across_spatial", True) else [1]
    squares = build.node("Mul", [inputs[0], inputs[0]])
    total = build.node("ReduceSum", [squares, build.constant(np.array(axes, np.int64))], keepdims=1)
    epsilon = build.constant(np.array(float(_one(parameters, "eps", 1e-10)), np.float32))
    length = build.node("Sqrt", [build.node("Add", [total, epsilon])])
    return build.node("Mul", [build.node("Div", [inputs[0], length]), build.constant(factor)])


def _reshape(build: _Builder, layer: Message, inputs: list[str]) -> str:
    parameters = _one(layer, "reshape_param", {})
    if int(_one(parameters, "axis", 0)) != 0 or int(_one(parameters, "num_axes", -1)) != -1:
        raise ConversionError(f"layer {_one(layer, 'name')!r}: only a Reshape of all axes is understood")
    dims = [int(n) for n in _one(parameters, "shape", {}).get("dim", [])]
    return build.node("Reshape", [*inputs, build.constant(np.array(dims, np.int64))])


def _eltwise(build: _Builder, layer: Message, inputs: list[str]) -> str:
    parameters = _one(layer, "eltwise_param", {})
    operation = str(_one(parameters, "operation", "SUM"))
    factors = [float(n) for n in parameters.get("coeff", [])]
    if operation == "SUM" and factors:
        inputs = [build.node("Mul", [name, build.constant(np.array(f, np.float32))]) for name, f in zip(inputs, factors, strict=True)]
    out = inputs[0]
    for other in inputs[1:]:
        out = build.node({"SUM": "Add", "PROD": "Mul", "MAX": "Max"}[operation], [out, other])
    return out


def _permute(build: _Builder, layer: Message, inputs: list[str]) -> str:
    order = [int(n) for n in _one(layer, "permute_param", {}).get("order", [])]
    return build.node("Transpose", inputs, perm=order + [axis for axis in range(4) if axis not in order])


_LAYERS: Mapping[str, Callable[[_Builder, Message, list[str]], str]] = {
    "convolution": _convolution,
    "batchnorm": _batch_norm,
    "scale": _scale,
    "relu": _relu,
    "pooling": _pooling,
    "innerproduct": _inner_product,
    "lrn": _lrn,
    "normalize": _normalize,
    "reshape": _reshape,
    "eltwise": _eltwise,
    "permute": _permute,
    "dropout": lambda build, layer, inputs: inputs[0],
    "sigmoid": lambda build, layer, inputs: build.node("Sigmoid", inputs),
    "tanh": lambda build, layer, inputs: build.node("Tanh", inputs),
    "flatten": lambda build, layer, inputs: build.node("Flatten", inputs, axis=int(_one(_one(layer, "flatten_param", {}), "axis", 1))),
    "softmax": lambda build, layer, inputs: build.node("Softmax", inputs, axis=int(_one(_one(layer, "softmax_param", {}), "axis", 1))),
    "concat": lambda build, layer, inputs: build.node(
        "Concat", inputs, axis=int(_one(_one(layer, "concat_param", {}), "axis", _one(_one(layer, "concat_param", {}), "concat_dim", 1)))
    ),
}


def _kind(layer: Message) -> str:
    """Layer type in both generations' spelling: InnerProduct, INNER_PRODUCT."""
    return str(_one(layer, "type", "")).replace("_", "").lower()


def _inputs(structure: Message) -> dict[str, list[int]]:
    """The network's inputs and their shapes, from `input` fields or an Input layer."""
    shapes = [[int(n) for n in shape.get("dim", [])] for shape in structure.get("input_shape", [])]
    legacy = [int(n) for n in structure.get("input_dim", [])]
    shapes = shapes or [legacy[start : start + 4] for start in range(0, len(legacy), 4)]
    found = dict(zip([str(name) for name in structure.get("input", [])], shapes, strict=False))
    for layer in structure.get("layer", []):
        if _kind(layer) == "input":
            found[str(_one(layer, "top"))] = [int(n) for n in _one(_one(layer, "input_param", {}), "shape", {}).get("dim", [])]
    if len(found) != 1 or any(len(shape) != 4 for shape in found.values()):
        raise ConversionError(f"the prototxt must declare one input of four axes, got {found}")
    return found


def _needed(layers: list[Message], outputs: list[str]) -> list[Message]:
    """The layers that the outputs depend on, in order."""
    wanted, kept = set(outputs), []
    for layer in reversed(layers):
        if wanted.intersection(layer.get("top", [])):
            wanted.update(layer.get("bottom", []))
            kept.append(layer)
    return kept[::-1]


def caffe(source: Source) -> bytes:
    """Convert. Option: `outputs` (names of blobs; default: what the last layer gives). The batch axis is free."""
    structure = read_structure(source.sibling("structure").read_text(encoding="utf-8", errors="replace"))
    build = _Builder(read_weights(source.path.read_bytes()))
    (entry, shape), *_ = _inputs(structure).items()
    layers = [item for item in [*structure.get("layer", []), *structure.get("layers", [])] if _kind(item) not in ("input", "data")]
    layers = [item for item in layers if not any("TRAIN" in rule.get("phase", []) for rule in item.get("include", []))]
    if not layers:
        raise ConversionError(f"{source.card.name}: the prototxt has no layers")
    outputs = [str(name) for name in source.option("outputs", [])] or [str(_one(layers[-1], "top"))]
    build.names[entry] = entry
    for layer in _needed(layers, outputs):
        kind, name = _kind(layer), _one(layer, "name")
        if kind not in _LAYERS:
            raise ConversionError(f"{source.card.name}: layer {name!r} has the type {_one(layer, 'type')!r}; known: {', '.join(sorted(_LAYERS))}")
        missing = [blob for blob in layer.get("bottom", []) if blob not in build.names]
        if missing:
            raise ConversionError(f"{source.card.name}: layer {name!r} reads {missing[0]!r}, which no layer before it writes")
        build.names[str(_one(layer, "top"))] = _LAYERS[kind](build, layer, [build.names[blob] for blob in layer.get("bottom", [])])
    for output in outputs:
        if output not in build.names:
            raise ConversionError(f"{source.card.name}: no layer gives {output!r}")
        build.nodes.append(helper.make_node("Identity", [build.names[output]], [f"{output}_out" if output == entry else output]))
    model = helper.make_model(
        helper.make_graph(
            build.nodes,
            source.card.name,
            [helper.make_tensor_value_info(entry, TensorProto.FLOAT, ["batch", *shape[1:]])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs],
            build.constants,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    return graph.serialize(shape_inference.infer_shapes(model), source.card.name)
