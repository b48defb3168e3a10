"""`mtcnn`: the three small networks of MTCNN (Zhang et al., 2016) from published weights to ONNX.

Reads facenet-pytorch's state dicts (a mapping of names to arrays) and the `mtcnn` package's joblib lists (arrays in Keras order); both hold the same
layers. Each graph gives one output per window or crop: the face's log-odds (the difference of the two class logits), four box offsets and, for the
O-Net, five x and five y. Its input is the normalized picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .. import assets
from ..errors import ConversionError
from . import Source, graph

__all__ = ["mtcnn"]


Array = NDArray[Any]

# (convolution, its kernel, the max-pool after it or 0), the dense layer, its input (channels, height, width), the heads in their published orders
_NETWORKS: Mapping[str, dict[str, Any]] = {
    "pnet": {
        "convolutions": [("conv1", (10, 3, 3, 3), 2), ("conv2", (16, 10, 3, 3), 0), ("conv3", (32, 16, 3, 3), 0)],
        "torch": [("conv4_1", 2), ("conv4_2", 4)],
        "keras": [4, 2],
    },
    "rnet": {
        "convolutions": [("conv1", (28, 3, 3, 3), 3), ("conv2", (48, 28, 3, 3), 3), ("conv3", (64, 48, 2, 2), 0)],
        "dense": ("dense4", 128, (64, 3, 3)),
        "torch": [("dense5_1", 2), ("dense5_2", 4)],
        "keras": [4, 2],
    },
    "onet": {
        "convolutions": [("conv1", (32, 3, 3, 3), 3), ("conv2", (64, 32, 3, 3), 3), ("conv3", (64, 64, 3, 3), 2), ("conv4", (128, 64, 2, 2), 0)],
        "dense": ("dense5", 256, (128, 3, 3)),
        "torch": [("dense6_1", 2), ("dense6_2", 4), ("dense6_3", 10)],
        "keras": [4, 10, 2],
    },
}


def _from_torch(state: Mapping[str, Array], role: str) -> dict[str, Array]:
    """Names as below: LAYER.weight (out, in, …), LAYER.bias, LAYER.slope, head2, head4, head10 and their biases."""
    found = dict(state)
    plan = _NETWORKS[role]
    weights: dict[str, Array] = {}
    layers = [name for name, _, _ in plan["convolutions"]] + ([plan["dense"][0]] if "dense" in plan else [])
    sources = [(name, name, f"prelu{index + 1}.weight") for index, name in enumerate(layers)]
    sources += [(f"head{width}", name, "") for name, width in plan["torch"]]
    missing = [key for _, name, slope in sources for key in (f"{name}.weight", f"{name}.bias", slope) if key and key not in found]
    if missing:
        raise ConversionError(f"{role}: the state dict lacks {', '.join(missing)}")
    for target, name, slope in sources:
        weights[f"{target}.weight"], weights[f"{target}.bias"] = found.pop(f"{name}.weight"), found.pop(f"{name}.bias")
        if slope:
            weights[f"{target}.slope"] = found.pop(slope)
    if found:
        raise ConversionError(f"{role}: the state dict holds unexpected keys: {', '.join(sorted(found))}")
    return weights


def _from_keras(arrays: Sequence[Array], role: str) -> dict[str, Array]:
    """Kernel, bias and slope of each layer, then kernel and bias of each head; kernels are (height, width, in, out) or (in, out)."""
    plan = _NETWORKS[role]
    layers = [name for name, _, _ in plan["convolutions"]] + ([plan["dense"][0]] if "dense" in plan else [])
    if len(arrays) != 3 * len(layers) + 2 * len(plan["keras"]):
        raise ConversionError(f"{role}: expected {3 * len(layers) + 2 * len(plan['keras'])} arrays, got {len(arrays)}")
    rest = [np.asarray(item) for item in arrays]
    weights: dict[str, Array] = {}
    for name in layers:
        kernel, weights[f"{name}.bias"], slope, *rest = rest
        weights[f"{name}.weight"], weights[f"{name}.slope"] = _outward(kernel), slope.reshape(-1)
    for width in plan["keras"]:
        kernel, weights[f"head{width}.bias"], *rest = rest
        weights[f"head{width}.weight"] = _outward(kernel)
    return weights


def _outward(kernel: Array) -> Array:
    return kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.transpose()


def _check(weights: Mapping[str, Array], name: str, shape: tuple[int, ...], role: str) -> Array:
    if weights[name].shape != shape:
        raise ConversionError(f"{role}: {name} has the shape {weights[name].shape}, expected {shape}")
    return np.ascontiguousarray(weights[name], dtype=np.float32)


def _joined_heads(weights: Mapping[str, Array], role: str) -> tuple[Array, Array]:
    """One matrix (1 + 4 [+ 10], inputs) and bias for all heads: the log-odds of a face first."""
    widths = [width for _, width in _NETWORKS[role]["torch"]]
    rows = [weights[f"head{width}.weight"].reshape(width, -1) for width in widths]
    biases = [weights[f"head{width}.bias"] for width in widths]
    rows[0], biases[0] = rows[0][1:] - rows[0][:1], biases[0][1:] - biases[0][:1]
    return np.concatenate(rows).astype(np.float32), np.concatenate(biases).astype(np.float32)


def _build(weights: Mapping[str, Array], role: str) -> Any:
    plan = _NETWORKS[role]
    nodes: list[Any] = []
    constants: dict[str, Array] = {}
    last = "picture"

    def add(operator: str, inputs: Mapping[str, Array], **attributes: Any) -> None:
        nonlocal last
        constants.update(inputs)
        nodes.append(helper.make_node(operator, [last, *inputs], [f"{operator}{len(nodes)}"], **attributes))
        last = f"{operator}{len(nodes) - 1}"

    for name, shape, pool in plan["convolutions"]:
        kernel, bias = _check(weights, f"{name}.weight", shape, role), _check(weights, f"{name}.bias", shape[:1], role)
        add("Conv", {f"{name}.weight": kernel, f"{name}.bias": bias}, kernel_shape=shape[2:])
        add("PRelu", {f"{name}.slope": _check(weights, f"{name}.slope", shape[:1], role).reshape(-1, 1, 1)})
        if pool:
            add("MaxPool", {}, kernel_shape=[pool, pool], strides=[2, 2], ceil_mode=1)
    head, bias = _joined_heads(weights, role)
    if "dense" in plan:
        name, width, (channels, rows, columns) = plan["dense"]
        published = _check(weights, f"{name}.weight", (width, channels * rows * columns), role)
        # published for (width, height, channels), since the authors' MATLAB reads pictures column by column
        kernel = np.ascontiguousarray(published.reshape(width, columns, rows, channels).transpose(0, 3, 2, 1).reshape(width, -1))
        add("Flatten", {})
        add("Gemm", {f"{name}.weight": kernel, f"{name}.bias": _check(weights, f"{name}.bias", (width,), role)}, transB=1)
        add("PRelu", {f"{name}.slope": _check(weights, f"{name}.slope", (width,), role)})
        add("Gemm", {"head.weight": head, "head.bias": bias}, transB=1)
    else:
        add("Conv", {"head.weight": head.reshape(*head.shape, 1, 1), "head.bias": bias}, kernel_shape=[1, 1])
    nodes[-1].output[0] = "answer"
    side: Any = {"rnet": 24, "onet": 48}.get(role)
    return helper.make_model(
        helper.make_graph(
            nodes,
            f"mtcnn-{role}",
            [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["batch", 3, side or "height", side or "width"])],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", len(head), *([] if side else ["rows", "columns"])])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )


def mtcnn(source: Source) -> bytes:
    """Build the graph of the file's role (pnet, rnet, onet). Option: `prelu` (default true: rewrite PReLU as `fold` does)."""
    role = source.file.role
    if role not in _NETWORKS:
        raise ConversionError(f"{source.card.name}: a file of MTCNN has the role pnet, rnet or onet, not {role!r}")
    tensors = assets.read_tensors(source.path)
    weights = _from_torch(tensors, role) if isinstance(tensors, Mapping) else _from_keras(tensors, role)
    model = _build(weights, role)
    if source.option("prelu", True):
        graph.rewrite_prelu(model)
    onnx.checker.check_model(model)
    return graph.serialize(model, f"{source.card.name} {role}")
