"""`tfjs`: TensorFlow.js graph models (a .json of the topology, a .bin of the weights as the card's file of the role "weights") as ONNX.

The operators below are known, others are refused by name. Pictures run channels first inside; the input keeps TensorFlow's layout (N, H, W, C), so a
card says layout = "NHWC". Outputs are named as the card's `tensor`; each names a node of the graph. Checked against the original runtime on the same
tensors (`tools/tfjs_goldens.mjs`, `tests/golden`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..errors import ConversionError
from . import Source, graph
from .tfjs_files import attribute, read_json, read_weights

__all__ = ["build", "tfjs"]

Array = NDArray[Any]
Node = Mapping[str, Any]
_ACTIVATIONS = {"Relu": "Relu", "Elu": "Elu", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "LeakyRelu": "LeakyRelu"}


@dataclass
class _Builder:
    """The ONNX graph as it grows. `pictures` names the tensors that hold (N, C, H, W) where TensorFlow has (N, H, W, C)."""

    constants: dict[str, Array]
    nodes: list[Any] = field(default_factory=list)
    initial: list[Any] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    pictures: set[str] = field(default_factory=set)

    def add(self, operator: str, inputs: Sequence[str], picture: bool = False, **attributes: Any) -> str:
        """Append a node; its output."""
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        if picture:
            self.pictures.add(name)
        return name

    def constant(self, value: Array) -> str:
        """A new initializer."""
        name = f"constant{len(self.initial)}"
        self.initial.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def value(self, name: str, node: Node) -> Array:
        """An input that must be known beforehand."""
        if name not in self.constants:
            raise ConversionError(f"node {node['name']} ({node['op']}): its input {name} must be a constant")
        return self.constants[name]

    def tensor(self, name: str, picture: bool) -> str:
        """An input as an ONNX tensor in the layout of its neighbor."""
        if name in self.constants:
            value = self.constants[name]
            if picture and value.ndim == 4:
                value = value.transpose(0, 3, 1, 2)
            elif picture and value.ndim == 1 and value.size > 1:
                value = value.reshape(-1, 1, 1)
            elif picture and value.ndim > 1:
                raise ConversionError(f"the constant {name} of shape {value.shape} does not go with a picture")
            return self.constant(value)
        inner = self.names[name]
        if picture and inner not in self.pictures:
            raise ConversionError(f"{name} is no picture, and what it is combined with is one")
        return inner

    def flat(self, name: str) -> str:
        """An input in TensorFlow's layout."""
        inner = self.names[name]
        return self.add("Transpose", [inner], perm=[0, 2, 3, 1]) if inner in self.pictures else inner


Rule = Callable[[_Builder, Node, list[str]], str]


def _padding(node: Node) -> dict[str, Any]:
    kind = attribute(node, "padding", "VALID")
    if kind == "EXPLICIT":
        sides = attribute(node, "explicit_paddings")
        return {"pads": [sides[2], sides[4], sides[3], sides[5]]}
    return {"auto_pad": "SAME_UPPER" if kind == "SAME" else "VALID"}  # TensorFlow pads the odd pixel at the end


def _spatial(node: Node, name: str, default: int = 1) -> list[int]:
    values = attribute(node, name) or [1, default, default, 1]
    if attribute(node, "data_format", "NHWC") != "NHWC":
        raise ConversionError(f"node {node['name']}: only the layout NHWC is read")
    return [int(values[1]), int(values[2])]


def _activate(build: _Builder, node: Node, name: str, operations: Sequence[str], picture: bool) -> str:
    for kind in operations:
        if kind == "Relu6":
            low, high = (build.constant(np.array(bound, np.float32)) for bound in (0, 6))
            name = build.add("Clip", [name, low, high], picture)
        elif kind in _ACTIVATIONS:
            name = build.add(_ACTIVATIONS[kind], [name], picture)
        else:
            raise ConversionError(f"node {node['name']}: the fused operation {kind} is not known")
    return name


def _convolution(build: _Builder, node: Node, inputs: list[str]) -> str:
    kernel = build.value(inputs[1], node).astype(np.float32)
    depthwise = "Depthwise" in str(node["op"])
    if depthwise:  # (H, W, C, M) -> (C · M, 1, H, W)
        height, width, channels, times = kernel.shape
        weights, groups = kernel.transpose(2, 3, 0, 1).reshape(channels * times, 1, height, width), channels
    else:
        weights, groups = kernel.transpose(3, 2, 0, 1), 1
    fused = list(attribute(node, "fused_ops", []))
    arguments = [build.tensor(inputs[0], True), build.constant(weights)]
    if fused and fused[0] == "BiasAdd":
        arguments.append(build.constant(build.value(inputs[2], node).astype(np.float32).reshape(-1)))
        fused = fused[1:]
    shape = {"kernel_shape": list(kernel.shape[:2]), "strides": _spatial(node, "strides"), "dilations": _spatial(node, "dilations")}
    if max(shape["dilations"]) > 1 and attribute(node, "padding") == "SAME":
        raise ConversionError(f"node {node['name']}: a dilated convolution with SAME padding is not converted")
    return _activate(build, node, build.add("Conv", arguments, True, group=groups, **shape, **_padding(node)), fused, True)


def _pool(build: _Builder, node: Node, inputs: list[str]) -> str:
    operator = "MaxPool" if node["op"] == "MaxPool" else "AveragePool"
    shape = {"kernel_shape": _spatial(node, "ksize"), "strides": _spatial(node, "strides")}
    return build.add(operator, [build.tensor(inputs[0], True)], True, **shape, **_padding(node))


def _matmul(build: _Builder, node: Node, inputs: list[str]) -> str:
    flags: dict[str, Any] = {"transA": int(attribute(node, "transpose_a", False)), "transB": int(attribute(node, "transpose_b", False))}
    fused = list(attribute(node, "fused_ops", []))
    right = build.constant(build.value(inputs[1], node).astype(np.float32)) if inputs[1] in build.constants else build.flat(inputs[1])
    arguments = [build.flat(inputs[0]), right]
    if fused and fused[0] == "BiasAdd":
        arguments.append(build.constant(build.value(inputs[2], node).astype(np.float32)))
        fused = fused[1:]
    return _activate(build, node, build.add("Gemm", arguments, **flags), fused, False)


def _binary(operator: str) -> Rule:
    def rule(build: _Builder, node: Node, inputs: list[str]) -> str:
        picture = any(name in build.names and build.names[name] in build.pictures for name in inputs[:2])
        return build.add(operator, [build.tensor(name, picture) for name in inputs[:2]], picture)

    return rule


def _unary(operator: str) -> Rule:
    def rule(build: _Builder, node: Node, inputs: list[str]) -> str:
        inner = build.names[inputs[0]]
        return build.add(operator, [inner], inner in build.pictures)

    return rule


def _softmax(build: _Builder, node: Node, inputs: list[str]) -> str:
    return build.add("Softmax", [build.flat(inputs[0])], axis=-1)


def _reduce(operator: str) -> Rule:
    def rule(build: _Builder, node: Node, inputs: list[str]) -> str:
        inner, keep = build.names[inputs[0]], bool(attribute(node, "keep_dims", False))
        axes = [int(n) for n in np.atleast_1d(build.value(inputs[1], node))]
        picture = inner in build.pictures
        axes = [(0, 2, 3, 1)[n % 4] for n in axes] if picture else axes
        if picture and not keep and sorted(axes) != [2, 3]:
            raise ConversionError(f"node {node['name']}: {node['op']} of a picture over other axes than height and width is not converted")
        return build.add(operator, [inner], picture and keep, axes=axes, keepdims=int(keep))

    return rule


def _reshape(build: _Builder, node: Node, inputs: list[str]) -> str:
    target = [int(n) for n in build.value(inputs[1], node)]
    name = build.add("Reshape", [build.flat(inputs[0]), build.constant(np.array([0 if target[0] == -1 else target[0], *target[1:]], np.int64))])
    if len(target) == 4:
        raise ConversionError(f"node {node['name']}: a Reshape into a picture is not converted")
    return name


def _expand(build: _Builder, node: Node, inputs: list[str]) -> str:
    axes = build.constant(np.atleast_1d(build.value(inputs[1], node)).astype(np.int64))
    return build.add("Unsqueeze", [build.flat(inputs[0]), axes])


def _slice(build: _Builder, node: Node, inputs: list[str]) -> str:
    if attribute(node, "ellipsis_mask", 0) or attribute(node, "new_axis_mask", 0):
        raise ConversionError(f"node {node['name']}: StridedSlice with an ellipsis or a new axis is not converted")
    begin, end, step = (build.value(name, node).astype(np.int64).copy() for name in inputs[1:4])
    shrink = attribute(node, "shrink_axis_mask", 0)
    for axis in range(len(begin)):
        if attribute(node, "begin_mask", 0) >> axis & 1:
            begin[axis] = 0 if step[axis] > 0 else np.iinfo(np.int64).max
        if attribute(node, "end_mask", 0) >> axis & 1:
            end[axis] = np.iinfo(np.int64).max if step[axis] > 0 else np.iinfo(np.int64).min
        if shrink >> axis & 1:
            end[axis] = begin[axis] + 1 if begin[axis] != -1 else np.iinfo(np.int64).max
            step[axis] = 1
    axes = np.arange(len(begin), dtype=np.int64)
    name = build.add("Slice", [build.flat(inputs[0]), *(build.constant(item) for item in (begin, end, axes, step))])
    gone = [axis for axis in range(len(begin)) if shrink >> axis & 1]
    return build.add("Squeeze", [name, build.constant(np.array(gone, np.int64))]) if gone else name


def _identity(build: _Builder, node: Node, inputs: list[str]) -> str:
    return build.names[inputs[0]]


RULES: Mapping[str, Rule] = {
    "Conv2D": _convolution, "_FusedConv2D": _convolution, "DepthwiseConv2dNative": _convolution, "FusedDepthwiseConv2dNative": _convolution,
    "MaxPool": _pool, "AvgPool": _pool, "MatMul": _matmul, "_FusedMatMul": _matmul,
    "Add": _binary("Add"), "AddV2": _binary("Add"), "BiasAdd": _binary("Add"), "Sub": _binary("Sub"), "Mul": _binary("Mul"),
    "RealDiv": _binary("Div"), "Minimum": _binary("Min"), "Maximum": _binary("Max"),
    "Relu": _unary("Relu"), "Sigmoid": _unary("Sigmoid"), "Tanh": _unary("Tanh"), "Softmax": _softmax,
    "Mean": _reduce("ReduceMean"), "Max": _reduce("ReduceMax"), "Reshape": _reshape, "ExpandDims": _expand, "StridedSlice": _slice,
    "Identity": _identity,
}  # fmt: skip
"""TensorFlow's operator -> how it is written in ONNX."""


def _ordered(nodes: Sequence[Node]) -> list[Node]:
    """The nodes, each after what it eats (depth first, without recursion: graphs are deep)."""
    table = {str(node["name"]): node for node in nodes}
    done: dict[str, Node] = {}
    for start in table:
        stack = [start]
        while stack:
            name = stack[-1]
            if name not in table:
                raise ConversionError(f"the graph has no node {name}")
            missing = [item for item in _inputs(table[name]) if item not in done and item != name]
            if name in done or not missing:
                done.setdefault(name, table[name])
                stack.pop()
            elif len(stack) > len(table):
                raise ConversionError("the graph has a cycle")
            else:
                stack += missing
    return list(done.values())


def _inputs(node: Node) -> list[str]:
    return [str(name).partition(":")[0] for name in node.get("input", []) if not str(name).startswith("^")]


def build(topology: Mapping[str, Any], weights: Mapping[str, Array], outputs: Sequence[str]) -> Any:
    """The ONNX model of a graph and its arrays; `outputs` are names of nodes.

    Raises:
        ConversionError: an operator or setting that is not known, or a node that is missing.
    """
    nodes = topology.get("node") or []
    known = {*RULES, "Const", "Placeholder"}
    if unknown := sorted({str(node["op"]) for node in nodes} - known):
        raise ConversionError(f"operators that are not converted: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    builder = _Builder(dict(weights))
    entered, given = [], []
    for node in _ordered(nodes):
        name = str(node["name"])
        if node["op"] == "Const":
            if name not in weights:
                raise ConversionError(f"the weights lack {name}")
        elif node["op"] == "Placeholder":
            sides = ["batch", *attribute(node, "shape", [])[1:]]
            entered.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sides))
            builder.names[name] = name
            if len(sides) == 4:
                builder.names[name] = builder.add("Transpose", [name], True, perm=[0, 3, 1, 2])
        else:
            builder.names[name] = RULES[str(node["op"])](builder, node, _inputs(node))
    for name in dict.fromkeys(outputs):
        if name not in builder.names:
            raise ConversionError(f"the graph has no node {name!r} for an output; its last ones: {', '.join(list(builder.names)[-6:])}")
        builder.nodes.append(helper.make_node("Identity", [builder.flat(name)], [f"{name}:out" if name in {item.name for item in entered} else name]))
        given.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return helper.make_model(
        helper.make_graph(builder.nodes, "tfjs", entered, given, builder.initial), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )


def tfjs(source: Source) -> bytes:
    """Convert a graph model; the outputs are the nodes that the card names."""
    document = read_json(source.path)
    if not isinstance(document, Mapping) or "modelTopology" not in document or "weightsManifest" not in document:
        raise ConversionError(f"{source.path.name} is no TensorFlow.js graph model: modelTopology and weightsManifest are expected")
    weights = read_weights(document["weightsManifest"], source.sibling("weights").read_bytes())
    model = build(document["modelTopology"], weights, [item.tensor or item.name for item in source.card.output])
    graph.sweep(model)
    graph.infer_outputs(model)
    return graph.serialize(model, source.card.name)
