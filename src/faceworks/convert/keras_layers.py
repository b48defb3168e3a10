"""The layers of Keras that `keras_h5` knows, each as ONNX nodes. Pictures are channels first inside; Flatten restores Keras's order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..errors import ConversionError

__all__ = ["LAYERS", "Builder", "Tensor"]

Array = NDArray[Any]
Settings: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph: its name, its channels, and whether it is a picture (N, C, H, W) or numbers (N, C)."""

    name: str
    channels: int
    picture: bool


@dataclass
class Builder:
    """The graph as it grows."""

    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    inputs: list[Any] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Append a node; the name of its only output."""
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        self.used.add(name)
        return name

    def constant(self, name: str, value: Array) -> str:
        """Keep an array as float32."""
        self.constants[name] = np.ascontiguousarray(value, dtype=np.float32)
        return name

    def enter(self, name: str, shape: Sequence[int | None]) -> None:
        """Declare an input in Keras's layout and bring it into ours."""
        sides = ["batch", *(side or f"{name}_{index}" for index, side in enumerate(shape[1:]))]
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sides))
        self.used.add(name)
        picture = len(shape) == 4
        inner = self.add("Transpose", [name], f"{name}/channels_first", perm=[0, 3, 1, 2]) if picture else name
        self.tensors[name] = Tensor(inner, int(shape[-1] or 0), picture)

    def flat_size(self, layer: str, tensor: Tensor) -> int:
        """Numbers of a picture of the graph so far, by onnx's shape inference."""
        target = helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, None)
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        model = helper.make_model(
            helper.make_graph(self.nodes, "part", self.inputs, [target], constants), opset_imports=[helper.make_opsetid("", 13)]
        )
        sides = [side.dim_value for side in onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape.dim[1:]]
        if len(sides) != 3 or not all(sides):
            raise ConversionError(f"the layer {layer} flattens a picture whose size is not fixed; the model must say its input's height and width")
        return math.prod(sides)

    def leave(self, layer: str, name: str) -> Any:
        """Make a layer's tensor an output of the model, in Keras's layout."""
        tensor = self.tensors[layer]
        if tensor.picture:
            self.add("Transpose", [tensor.name], name, perm=[0, 2, 3, 1])
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", f"{name}_height", f"{name}_width", tensor.channels])
        self.add("Identity", [tensor.name], name)
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", tensor.channels])


Arrays: TypeAlias = dict[str, Array]
Layer: TypeAlias = Callable[[Builder, str, Settings, Sequence[Tensor], Arrays], None]


def _take(arrays: Arrays, names: Sequence[str], shape: tuple[int, ...], layer: str) -> Array:
    """Remove and return the array that goes by one of the names, of that shape."""
    for name in names:
        if name in arrays:
            found = arrays.pop(name)
            if found.shape != shape:
                raise ConversionError(f"the array {name!r} of the layer {layer} has the shape {found.shape}, expected {shape}")
            if found.dtype.kind != "f":
                raise ConversionError(f"the array {name!r} of the layer {layer} holds {found.dtype}, expected floating-point numbers")
            return found
    raise ConversionError(f"the layer {layer} lacks the array {names[0]!r}; it has {', '.join(arrays) or 'none'}")


def _one(inputs: Sequence[Tensor], layer: str, picture: bool | None = None) -> Tensor:
    if len(inputs) != 1 or (picture is not None and inputs[0].picture != picture):
        kind = {True: "one picture", False: "one row of numbers", None: "one tensor"}[picture]
        raise ConversionError(f"the layer {layer} takes {kind}, it got {', '.join('a picture' if item.picture else 'numbers' for item in inputs)}")
    return inputs[0]


def _pair(value: Any, layer: str) -> list[int]:
    pair = [value, value] if isinstance(value, int) else list(value)
    if len(pair) != 2 or not all(isinstance(item, int) and item > 0 for item in pair):
        raise ConversionError(f"the layer {layer}: two positive whole numbers are expected, got {value!r}")
    return pair


def _window(settings: Settings, layer: str, size: Any) -> dict[str, Any]:
    """Attributes of a sliding window. "same" is TensorFlow's: of an odd number of padded pixels the last side has one more (SAME_UPPER)."""
    if settings.get("data_format") not in (None, "channels_last"):
        raise ConversionError(f"the layer {layer}: data_format {settings['data_format']!r} is not converted, only channels_last")
    padding = settings.get("padding", "valid")
    if padding not in ("valid", "same"):
        raise ConversionError(f"the layer {layer}: padding {padding!r} is not converted, only valid and same")
    kernel = _pair(size, layer)
    strides = settings.get("strides")
    return {
        "kernel_shape": kernel,
        "strides": _pair(kernel if strides is None else strides, layer),
        "auto_pad": "SAME_UPPER" if padding == "same" else "VALID",
    }


def _activate(builder: Builder, name: str, activation: Any, tensor: Tensor) -> Tensor:
    """An activation by its Keras name."""
    if isinstance(activation, Mapping):  # Keras 3 writes a table for what is not a plain name
        activation = activation.get("config", activation.get("class_name"))
    simple = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus", "softsign": "Softsign", "elu": "Elu"}
    if activation in (None, "linear"):
        return tensor
    if activation in simple:
        return Tensor(builder.add(simple[activation], [tensor.name], f"{name}/{activation}"), tensor.channels, tensor.picture)
    if activation == "relu6":
        zero, six = builder.constant(f"{name}/zero", np.array(0)), builder.constant(f"{name}/six", np.array(6))
        return Tensor(builder.add("Clip", [tensor.name, zero, six], f"{name}/relu6"), tensor.channels, tensor.picture)
    if activation == "softmax":
        return Tensor(builder.add("Softmax", [tensor.name], f"{name}/softmax", axis=1), tensor.channels, tensor.picture)
    raise ConversionError(
        f"the layer {name}: the activation {activation!r} is not converted; known: linear, relu, relu6, softmax, {', '.join(simple)}"
    )


def _finish(builder: Builder, name: str, settings: Settings, tensor: Tensor) -> None:
    builder.tensors[name] = _activate(builder, name, settings.get("activation"), tensor)


def _convolve(
    builder: Builder, name: str, settings: Settings, tensor: Tensor, kernel: Array, bias: Array | None, group: int, window: Mapping[str, Any]
) -> Tensor:
    """`kernel` is (out, in / group, height, width)."""
    inputs = [tensor.name, builder.constant(f"{name}/kernel", kernel)]
    if bias is not None:
        inputs.append(builder.constant(f"{name}/bias", bias))
    dilation = _pair(settings.get("dilation_rate", 1), name)
    if dilation != [1, 1] and window["strides"] != [1, 1]:
        raise ConversionError(f"the layer {name}: dilation with strides is not converted")
    if dilation != [1, 1] and window["auto_pad"] == "SAME_UPPER":  # onnxruntime wants the pads spelled out
        wide = [(side - 1) * step for side, step in zip(window["kernel_shape"], dilation, strict=True)]
        window = {**window, "auto_pad": "NOTSET", "pads": [*(n // 2 for n in wide), *(n - n // 2 for n in wide)]}
    return Tensor(builder.add("Conv", inputs, f"{name}/conv", group=group, dilations=dilation, **window), len(kernel), True)


def _bias(arrays: Arrays, settings: Settings, count: int, name: str) -> Array | None:
    return _take(arrays, ["bias"], (count,), name) if settings.get("use_bias", True) else None


def _conv(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    tensor = _one(inputs, name, picture=True)
    window = _window(settings, name, settings["kernel_size"])
    groups, filters = int(settings.get("groups", 1)), int(settings["filters"])
    kernel = _take(arrays, ["kernel"], (*window["kernel_shape"], tensor.channels // groups, filters), name)
    bias = _bias(arrays, settings, filters, name)
    _finish(builder, name, settings, _convolve(builder, name, settings, tensor, kernel.transpose(3, 2, 0, 1), bias, groups, window))


def _depthwise_kernel(tensor: Tensor, window: Mapping[str, Any], multiplier: int, arrays: Arrays, name: str) -> Array:
    kernel = _take(arrays, ["depthwise_kernel", "kernel"], (*window["kernel_shape"], tensor.channels, multiplier), name)
    return kernel.transpose(2, 3, 0, 1).reshape(tensor.channels * multiplier, 1, *window["kernel_shape"])


def _depthwise(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    tensor = _one(inputs, name, picture=True)
    window = _window(settings, name, settings["kernel_size"])
    kernel = _depthwise_kernel(tensor, window, int(settings.get("depth_multiplier", 1)), arrays, name)
    bias = _bias(arrays, settings, len(kernel), name)
    _finish(builder, name, settings, _convolve(builder, name, settings, tensor, kernel, bias, tensor.channels, window))


def _separable(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    tensor = _one(inputs, name, picture=True)
    window = _window(settings, name, settings["kernel_size"])
    filters = int(settings["filters"])
    deep = _depthwise_kernel(tensor, window, int(settings.get("depth_multiplier", 1)), arrays, name)
    point = _take(arrays, ["pointwise_kernel"], (1, 1, len(deep), filters), name).transpose(3, 2, 0, 1)
    bias = _bias(arrays, settings, filters, name)
    middle = _convolve(builder, f"{name}/depthwise", settings, tensor, deep, None, tensor.channels, window)
    plain = {"kernel_shape": [1, 1], "strides": [1, 1], "auto_pad": "VALID"}
    _finish(builder, name, settings, _convolve(builder, f"{name}/pointwise", {}, middle, point, bias, 1, plain))


def _normalize(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    tensor = _one(inputs, name)
    axis = settings.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, 3 if tensor.picture else 1):
        raise ConversionError(f"the layer {name}: normalizing along the axis {axis!r} is not converted, only along the channels")
    shape = (tensor.channels,)
    gamma = _take(arrays, ["gamma"], shape, name) if settings.get("scale", True) else np.ones(shape)
    beta = _take(arrays, ["beta"], shape, name) if settings.get("center", True) else np.zeros(shape)
    mean, variance = _take(arrays, ["moving_mean"], shape, name), _take(arrays, ["moving_variance"], shape, name)
    parts = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    constants = [builder.constant(f"{name}/{part}", value) for part, value in parts.items()]
    epsilon = float(settings.get("epsilon", 1e-3))
    found = builder.add("BatchNormalization", [tensor.name, *constants], f"{name}/normalized", epsilon=epsilon)
    builder.tensors[name] = Tensor(found, tensor.channels, tensor.picture)


def _dense(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    tensor = _one(inputs, name, picture=False)
    units = int(settings["units"])
    constants = [builder.constant(f"{name}/kernel", _take(arrays, ["kernel"], (tensor.channels, units), name))]
    bias = _bias(arrays, settings, units, name)
    if bias is not None:
        constants.append(builder.constant(f"{name}/bias", bias))
    _finish(builder, name, settings, Tensor(builder.add("Gemm", [tensor.name, *constants], f"{name}/dense"), units, False))


def _flatten(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    tensor = _one(inputs, name)
    if not tensor.picture:
        builder.tensors[name] = tensor
        return
    last = builder.add("Transpose", [tensor.name], f"{name}/channels_last", perm=[0, 2, 3, 1])
    builder.add("Flatten", [last], f"{name}/flat")
    builder.tensors[name] = Tensor(f"{name}/flat", builder.flat_size(name, tensor), False)


def _pool(operator: str) -> Layer:
    def layer(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
        tensor = _one(inputs, name, picture=True)
        more = {"count_include_pad": 0} if operator == "AveragePool" else {}
        found = builder.add(operator, [tensor.name], f"{name}/pooled", **_window(settings, name, settings["pool_size"]), **more)
        builder.tensors[name] = Tensor(found, tensor.channels, True)

    return layer


def _global(operator: str) -> Layer:
    def layer(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
        tensor = _one(inputs, name, picture=True)
        found = builder.add(operator, [tensor.name], f"{name}/pooled")
        if not settings.get("keepdims", False):
            found = builder.add("Flatten", [found], f"{name}/flat")
        builder.tensors[name] = Tensor(found, tensor.channels, bool(settings.get("keepdims", False)))

    return layer


def _sum(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    if len(inputs) < 2 or len({(item.channels, item.picture) for item in inputs}) != 1:
        raise ConversionError(f"the layer {name} adds tensors of one shape, it got {[(item.channels, item.picture) for item in inputs]}")
    found = inputs[0].name
    for index, item in enumerate(inputs[1:]):
        found = builder.add("Add", [found, item.name], f"{name}/sum{index}")
    builder.tensors[name] = Tensor(found, inputs[0].channels, inputs[0].picture)


def _activation(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    _finish(builder, name, settings, _one(inputs, name))


def _relu(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    tensor = _one(inputs, name)
    most, slope, threshold = settings.get("max_value"), settings.get("negative_slope") or 0.0, settings.get("threshold") or 0.0
    if threshold or (slope and most is not None):
        raise ConversionError(f"the layer {name}: ReLU with a threshold, or with both a slope and a maximum, is not converted")
    if slope:
        found = builder.add("LeakyRelu", [tensor.name], f"{name}/relu", alpha=float(slope))
    elif most is not None:
        limits = [builder.constant(f"{name}/zero", np.array(0)), builder.constant(f"{name}/most", np.array(float(most)))]
        found = builder.add("Clip", [tensor.name, *limits], f"{name}/relu")
    else:
        found = builder.add("Relu", [tensor.name], f"{name}/relu")
    builder.tensors[name] = Tensor(found, tensor.channels, tensor.picture)


def _softmax(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    if settings.get("axis", -1) != -1:
        raise ConversionError(f"the layer {name}: softmax along the axis {settings['axis']!r} is not converted, only along the channels")
    builder.tensors[name] = _activate(builder, name, "softmax", _one(inputs, name))


def _same(builder: Builder, name: str, settings: Settings, inputs: Sequence[Tensor], arrays: Arrays) -> None:
    """Layers that copy at inference."""
    builder.tensors[name] = _one(inputs, name)


LAYERS: Mapping[str, Layer] = {
    "Activation": _activation,
    "Add": _sum,
    "AveragePooling2D": _pool("AveragePool"),
    "BatchNormalization": _normalize,
    "Conv2D": _conv,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Dropout": _same,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global("GlobalAveragePool"),
    "GlobalMaxPooling2D": _global("GlobalMaxPool"),
    "MaxPooling2D": _pool("MaxPool"),
    "ReLU": _relu,
    "SeparableConv2D": _separable,
    "Softmax": _softmax,
    "SpatialDropout2D": _same,
}
