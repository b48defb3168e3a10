"""dlib's two face networks as ONNX graphs: `dlib_face_recognition_resnet_model_v1.dat` and `mmod_human_face_detector.dat`.

Scales and batch normalizations are folded into the convolutions before them. Color means and the division by 256 stay outside: the card owns them.
What dlib's files leave to the program that reads them is the order of the layers, which stands here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..errors import ConversionError
from . import Source, graph
from .dlib_format import Layer, Reader, read_layers

__all__ = ["mmod", "resnet"]

_OPSET, _IR = 17, 8

_CONVOLUTION = ["con", "affine", "relu"]
_SAME = ["tag", "con", "affine", "relu", "con", "affine", "add_prev", "relu"]
_DOWN = ["tag", "con", "affine", "relu", "con", "affine", "tag", "skip", "avg_pool", "add_prev", "relu"]
_RESNET = [*_CONVOLUTION, "max_pool", *_SAME * 3, *_DOWN, *_SAME * 3, *(_DOWN + _SAME * 2) * 2, *_DOWN, "avg_pool", "fc"]
"""32 filters in three blocks, 64 in four, 128 in three, 256 in three, 256 in one."""
_MMOD = [*_CONVOLUTION * 6, "con"]


class _Builder:
    """Nodes and weights of a graph under construction; `channels` and `size` follow the tensor `at` ((0, 0) = not known)."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.at, self.channels, self.size = "image", 3, size

    def constant(self, values: NDArray[Any]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def window(self, layer: Layer) -> tuple[dict[str, list[int]], tuple[int, int]]:
        """Attributes of a layer's windows, and the size (rows, columns) that they leave of the tensor."""
        n = layer.numbers
        attributes = {
            "kernel_shape": [n["rows"], n["columns"]],
            "strides": [n["stride_y"], n["stride_x"]],
            "pads": [n["pad_y"], n["pad_x"]] * 2,
        }
        height, width = self.size
        if not height:
            return attributes, self.size
        size = 1 + (height + 2 * n["pad_y"] - n["rows"]) // n["stride_y"], 1 + (width + 2 * n["pad_x"] - n["columns"]) // n["stride_x"]
        return attributes, size

    def convolve(self, layer: Layer, scale: Layer | None) -> None:
        filters, biases = layer.weights["filters"], layer.weights["biases"]
        if filters.shape[1] != self.channels or min(layer.numbers["stride_y"], layer.numbers["stride_x"]) < 1:
            raise ConversionError(f"a convolution of {filters.shape[1]} channels meets a tensor of {self.channels}")
        if scale is not None:
            gamma, beta = scale.weights["gamma"], scale.weights["beta"]
            if gamma.size != len(filters):
                raise ConversionError(f"a scale of {gamma.size} channels follows a convolution of {len(filters)}")
            filters, biases = filters * gamma[:, None, None, None], biases * gamma + beta
        attributes, self.size = self.window(layer)
        self.at = self.node("Conv", [self.at, self.constant(filters), self.constant(biases)], **attributes)
        self.channels = len(filters)

    def pool(self, layer: Layer) -> None:
        n = layer.numbers
        if not n["rows"] and not n["columns"]:  # dlib: everything
            self.at, self.size = self.node("GlobalAveragePool", [self.at]), (1, 1)
            return
        kind = "MaxPool" if layer.kind == "max_pool" else "AveragePool"
        attributes, self.size = self.window(layer)
        self.at = self.node(kind, [self.at], **attributes)

    def skip(self, pool: Layer | None, channels: int, size: tuple[int, int]) -> None:
        """What stands beside a block's convolutions: the tensor, averaged by `pool` if there is one, and extended by zeros to `channels` and `size`.

        Pooling and new channels are one convolution (1 / area on the diagonal): onnxruntime keeps its blocked layout through it and adds in place,
        where a Pad would send this and every later block back to the plain layout.
        """
        if pool is not None and self.channels < channels and not pool.numbers["pad_y"] and not pool.numbers["pad_x"]:
            attributes, self.size = self.window(pool)
            rows, columns = attributes["kernel_shape"]
            diagonal = np.eye(channels, self.channels, dtype=np.float32)[:, :, None, None] / np.float32(rows * columns)
            self.at = self.node("Conv", [self.at, self.constant(np.tile(diagonal, (1, 1, rows, columns)))], **attributes)
            self.channels = channels
        elif pool is not None:
            self.pool(pool)
        self.widen(channels, size)

    def widen(self, channels: int, size: tuple[int, int]) -> None:
        """Extend channels, rows and columns by zeros at their ends, as a convolution with 1x1 windows (see `skip`)."""
        growth = size[0] - self.size[0], size[1] - self.size[1]
        if channels == self.channels and not any(growth):
            return
        alone = channels == self.channels
        weights = np.ones((channels, 1, 1, 1), np.float32) if alone else np.eye(channels, self.channels, dtype=np.float32)[:, :, None, None]
        inputs = [self.at, self.constant(weights)]
        self.at = self.node("Conv", inputs, kernel_shape=[1, 1], pads=[0, 0, *growth], group=channels if alone else 1)
        self.channels, self.size = channels, size

    def model(self, inputs: list[Any], output: tuple[str, list[Any]], name: str) -> bytes:
        self.nodes[-1].output[0] = output[0]
        tensors = [helper.make_tensor_value_info("image", TensorProto.FLOAT, inputs)]
        results = [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])]
        body = helper.make_graph(self.nodes, "dlib", tensors, results, self.weights)
        return graph.serialize(helper.make_model(body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR), name)


def _next_is(layers: list[Layer], index: int, kind: str) -> bool:
    return index + 1 < len(layers) and layers[index + 1].kind == kind


def _block(build: _Builder, layers: list[Layer]) -> None:
    """One residual block: two convolutions, and beside them nothing, or a pooling where the block halves the size. The smaller ends in zeros."""
    start = build.at, build.channels, build.size
    convolutions = [index for index, layer in enumerate(layers) if layer.kind == "con"]
    pools = [layer for layer in layers if layer.kind == "avg_pool"]
    build.convolve(layers[convolutions[0]], layers[convolutions[0] + 1])
    build.at = build.node("Relu", [build.at])
    build.convolve(layers[convolutions[1]], layers[convolutions[1] + 1])
    branch = build.at, build.channels, build.size
    build.at, build.channels, build.size = start
    pooled = build.window(pools[0])[1] if pools else build.size
    channels = max(build.channels, branch[1])
    size = max(pooled[0], branch[2][0]), max(pooled[1], branch[2][1])
    build.skip(pools[0] if pools else None, channels, size)
    skip = build.at
    build.at, build.channels, build.size = branch
    build.widen(channels, size)
    build.at = build.node("Relu", [build.node("Add", [build.at, skip])])


def resnet(source: Source) -> bytes:
    """The recognizer: image (batch, 3, 150, 150) → embedding (batch, 128).

    He et al., 2015, in 29 convolutions; a block that halves the size pools its input (average, 2x2), and sums are extended by zeros in channels and
    space. Checked against dlib's own vectors of the same chips.
    """
    reader = Reader(source.path.read_bytes(), source.path.name)
    reader.integer("version of the loss layer", 1, 1)
    reader.expect(("loss_metric_", "loss_metric_2"), "the name of the loss layer")
    reader.real("margin")
    reader.real("distance threshold")
    layers = read_layers(reader, _RESNET, {"input_rgb_image_sized": 2})
    reader.end()
    build = _Builder((150, 150))
    build.convolve(layers[0], layers[1])
    build.at = build.node("Relu", [build.at])
    build.pool(layers[3])
    position = 4
    while layers[position].kind == "tag":
        end = next(index for index in range(position, len(layers)) if layers[index].kind == "add_prev") + 2
        _block(build, layers[position:end])
        position = end
    build.pool(layers[position])
    dense = layers[position + 1].weights
    if len(dense["weights"]) != build.channels:
        raise ConversionError(f"{source.path.name}: the last layer takes {len(dense['weights'])} numbers, the network gives {build.channels}")
    build.at = build.node("Flatten", [build.at], axis=1)
    build.node("Gemm", [build.at, build.constant(dense["weights"]), build.constant(dense["biases"])])
    return build.model(["batch", 3, 150, 150], ("embedding", ["batch", dense["weights"].shape[1]]), source.card.name)


def _mmod_options(reader: Reader) -> None:
    """The loss layer of the detector: windows and overlaps, which the card repeats under `[decode]`."""
    reader.integer("version of the options", 1, 1)
    for what in ("width of a window", "height of a window"):
        reader.integer(what, 80, 80)
    for what in ("loss of a false alarm", "loss of a miss", "overlap of a match"):
        reader.real(what)
    for what in ("suppression", "ignoring"):
        reader.real(f"overlap for {what}")
        reader.real(f"cover for {what}")


def mmod(source: Source) -> bytes:
    """The detector: image (batch, 3, height, width) → scores (batch, 1, rows, columns), one for each window of 80x80 at a stride of 8.

    King, arXiv:1502.00046: fully convolutional; a cell is a face where its score is above 0.
    """
    reader = Reader(source.path.read_bytes(), source.path.name)
    reader.integer("version of the loss layer", 1, 1)
    reader.expect(("loss_mmod_",), "the name of the loss layer")
    _mmod_options(reader)
    layers = read_layers(reader, _MMOD, {"input_rgb_image_pyramid": 0, "input_rgb_image_pyramid2": 2})
    reader.end()
    build = _Builder((0, 0))
    for index, layer in enumerate(layers):
        if layer.kind == "con":
            build.convolve(layer, layers[index + 1] if _next_is(layers, index, "affine") else None)
        elif layer.kind == "relu":
            build.at = build.node("Relu", [build.at])
    if build.channels != 1:
        raise ConversionError(f"{source.path.name}: the network ends in {build.channels} channels, expected 1")
    return build.model(["batch", 3, "height", "width"], ("scores", ["batch", 1, "rows", "columns"]), source.card.name)
