"""`tflite`: TensorFlow Lite networks (MediaPipe's BlazeFace and face mesh) to ONNX, so that onnxruntime runs them and no second runtime is needed.

TensorFlow Lite keeps maps as (N, height, width, channels), ONNX as (N, channels, height, width): every map of four axes is held in ONNX's order,
and turned back where the graph flattens one. The batch axis becomes free. Weights in float16 are widened. With
`convert_options = { prelu = true }` PReLU is rewritten (`graph.rewrite_prelu`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..errors import ConversionError
from . import Source, graph
from .tflite_format import Network, Operator, read

__all__ = ["tflite"]

Array = NDArray[Any]

_OPSET = 13


class _Builder:
    """The ONNX graph on its way."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self.widened: dict[int, Array] = {}
        """Constants that come out of a DEQUANTIZE."""

    def name(self, index: int) -> str:
        """ONNX name of a tensor."""
        return f"t{index}"

    def shape(self, index: int) -> tuple[int, ...]:
        """TensorFlow Lite's shape of a tensor."""
        return self.network.tensors[index].shape

    def array(self, index: int) -> Array:
        """A constant tensor."""
        data = self.widened.get(index, self.network.tensors[index].data)
        if data is None:
            raise ConversionError(f"the tensor {self.network.tensors[index].name!r} must be a constant")
        return data

    def constant(self, name: str, value: Array) -> str:
        """An initializer."""
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """A node."""
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))

    def finish(self, step: Operator, activation: int, made: str) -> None:
        """The fused activation of a step whose raw result is called `made`."""
        target = self.name(step.outputs[0])
        if activation == 0:
            self.nodes[-1].output[0] = target
        elif activation == 1:
            self.add("Relu", [made], target)
        elif activation == 3:
            limits = [self.constant("zero", np.array(0, np.float32)), self.constant("six", np.array(6, np.float32))]
            self.add("Clip", [made, *limits], target)
        else:
            raise ConversionError(f"the activation {activation} is not known here; known: 1 ReLU, 3 ReLU6")

    def pads(self, index: int, same: int, kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int] = (1, 1)) -> list[int]:
        """ONNX pads (top, left, bottom, right) of TensorFlow's SAME (0) or VALID (1) padding: what is odd goes to the bottom and the right."""
        if same == 1:
            return [0, 0, 0, 0]
        starts, ends = [], []
        for side, width, step, spread in zip(self.shape(index)[1:3], kernel, strides, dilations, strict=True):
            missing = max((-(-side // step) - 1) * step + (width - 1) * spread + 1 - side, 0)
            starts.append(missing // 2)
            ends.append(missing - missing // 2)
        return starts + ends


def _convolution(build: _Builder, step: Operator) -> None:
    deep = step.name == "DEPTHWISE_CONV_2D"
    weight = build.array(step.inputs[1]).astype(np.float32)  # (out, height, width, in) or, depthwise, (1, height, width, out)
    kernel = (weight.shape[1], weight.shape[2])
    turned = weight.transpose(3, 0, 1, 2) if deep else weight.transpose(0, 3, 1, 2)
    strides, first = (step.option(2, "i", 1), step.option(1, "i", 1)), 5 if deep else 4
    dilations = (step.option(first + 1, "i", 1), step.option(first, "i", 1))
    made = f"{build.name(step.outputs[0])}_raw"
    inputs = [build.name(step.inputs[0]), build.constant(f"{made}_weight", turned)]
    if len(step.inputs) > 2 and step.inputs[2] >= 0:
        inputs.append(build.constant(f"{made}_bias", build.array(step.inputs[2]).astype(np.float32)))
    pads = build.pads(step.inputs[0], step.option(0), kernel, strides, dilations)
    group = build.shape(step.inputs[0])[3] if deep else 1
    build.add("Conv", inputs, made, kernel_shape=kernel, strides=strides, dilations=dilations, pads=pads, group=group)
    build.finish(step, step.option(4 if deep else 3), made)


def _pool(build: _Builder, step: Operator) -> None:
    strides, kernel = (step.option(2, "i", 1), step.option(1, "i", 1)), (step.option(4, "i", 1), step.option(3, "i", 1))
    made = f"{build.name(step.outputs[0])}_raw"
    operator = "MaxPool" if step.name == "MAX_POOL_2D" else "AveragePool"  # both ignore what pads
    build.add(operator, [build.name(step.inputs[0])], made, kernel_shape=kernel, strides=strides,
              pads=build.pads(step.inputs[0], step.option(0), kernel, strides))  # fmt: skip
    build.finish(step, step.option(5), made)


def _pad(build: _Builder, step: Operator) -> None:
    amounts = build.array(step.inputs[1])[[0, 3, 1, 2]]  # rows for N, height, width, channels
    output = build.name(step.outputs[0])
    pads = build.constant(f"{output}_pads", amounts.T.reshape(-1).astype(np.int64))
    build.add("Pad", [build.name(step.inputs[0]), pads], output)


def _reshape(build: _Builder, step: Operator) -> None:
    source, output, shape = build.name(step.inputs[0]), build.name(step.outputs[0]), build.shape(step.outputs[0])
    if len(shape) == 4:
        raise ConversionError("a reshape to four axes is not known here")
    if len(build.shape(step.inputs[0])) == 4:
        build.add("Transpose", [source], f"{output}_turned", perm=[0, 2, 3, 1])
        source = f"{output}_turned"
    build.add("Reshape", [source, build.constant(f"{output}_shape", np.array([0, *shape[1:]], np.int64))], output)


def _joined(build: _Builder, step: Operator) -> None:
    axis, rank = step.option(0, "i"), len(build.shape(step.outputs[0]))
    axis = (0, 2, 3, 1)[axis % 4] if rank == 4 else axis
    made = f"{build.name(step.outputs[0])}_raw"
    build.add("Concat", [build.name(index) for index in step.inputs], made, axis=axis)
    build.finish(step, step.option(1), made)


def _enlarged(build: _Builder, step: Operator) -> None:
    rows, columns = (int(side) for side in build.array(step.inputs[1]))
    before, output = build.shape(step.inputs[0]), build.name(step.outputs[0])
    mode = "align_corners" if step.option(2) else "half_pixel" if step.option(3) else "asymmetric"
    scales = build.constant(f"{output}_scales", np.array([1, 1, rows / before[1], columns / before[2]], np.float32))
    build.add("Resize", [build.name(step.inputs[0]), "", scales], output, mode="linear", coordinate_transformation_mode=mode)


def _step(build: _Builder, step: Operator) -> None:
    first, output = step.inputs[0], build.name(step.outputs[0])
    match step.name:
        case "DEQUANTIZE":
            build.widened[step.outputs[0]] = build.array(first).astype(np.float32)
        case "CONV_2D" | "DEPTHWISE_CONV_2D":
            _convolution(build, step)
        case "MAX_POOL_2D" | "AVERAGE_POOL_2D":
            _pool(build, step)
        case "PAD":
            _pad(build, step)
        case "RESHAPE":
            _reshape(build, step)
        case "CONCATENATION":
            _joined(build, step)
        case "RESIZE_BILINEAR":
            _enlarged(build, step)
        case "ADD":
            build.add("Add", [build.name(index) for index in step.inputs], f"{output}_raw")
            build.finish(step, step.option(0), f"{output}_raw")
        case "RELU":
            build.add("Relu", [build.name(first)], output)
        case "LOGISTIC":
            build.add("Sigmoid", [build.name(first)], output)
        case "PRELU":
            slope = build.array(step.inputs[1]).astype(np.float32)
            build.add("PRelu", [build.name(first), build.constant(f"{output}_slope", slope.reshape(-1, 1, 1))], output)
        case _:
            raise ConversionError(f"the operator {step.name} is not known here")


def tflite(source: Source) -> bytes:
    """A serialized ONNX model with the free batch axis; inputs of four axes are (N, channels, height, width), outputs keep their published shape.

    Raises:
        ConversionError: see `tflite_format.read`; a step that is not known here.
    """
    network = read(source.path)
    build = _Builder(network)
    for step in network.operators:
        _step(build, step)
    inputs = []
    for index in network.inputs:
        shape = network.tensors[index].shape
        sides = [shape[3], shape[1], shape[2]] if len(shape) == 4 else list(shape[1:])
        inputs.append(helper.make_tensor_value_info(build.name(index), TensorProto.FLOAT, ["N", *sides]))
    outputs = []
    for index in network.outputs:
        tensor = network.tensors[index]
        name, shape = tensor.name, tensor.shape
        if len(shape) == 4:
            build.add("Transpose", [build.name(index)], name, perm=[0, 2, 3, 1])
        else:
            build.add("Identity", [build.name(index)], name)
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape[1:]]))
    constants = [numpy_helper.from_array(value, name) for name, value in build.constants.items()]
    body = helper.make_graph(build.nodes, source.path.stem, inputs, outputs, constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    if source.option("prelu", False):
        graph.rewrite_prelu(model)
        graph.sweep(model)
    return graph.serialize(model, source.path.name)
