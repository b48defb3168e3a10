"""Small edits of ONNX graphs, shared by the converters. The only modules that import onnx are in this package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..errors import ConversionError

__all__ = [
    "attribute",
    "constants",
    "drop_stale_inputs",
    "dynamic_batch",
    "fold_constants",
    "free_sizes",
    "infer_outputs",
    "name_outputs",
    "remove_dropout",
    "rewrite_prelu",
    "serialize",
    "sweep",
]

Array = NDArray[Any]
Model = Any  # onnx ships no types
Node = Any


def attribute(node: Node, name: str, default: Any = None) -> Any:
    """Value of a node's attribute."""
    for item in node.attribute:
        if item.name == name:
            return helper.get_attribute_value(item)
    return default


def constants(model: Model) -> dict[str, Array]:
    """Initializers and outputs of Constant nodes, by name."""
    values = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and attribute(node, "value") is not None:
            values[node.output[0]] = numpy_helper.to_array(attribute(node, "value"))
    return values


def drop_stale_inputs(model: Model) -> None:
    """Remove graph inputs that name an initializer or nothing at all: onnxruntime refuses some of them, and none is fed."""
    used = {name for node in model.graph.node for name in node.input}
    known = {item.name for item in model.graph.initializer}
    kept = [item for item in model.graph.input if item.name not in known and item.name in used]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def _dequantize(x: Array, scale: Array, zero: Array | None, axis: int, block: int) -> Array:
    """ONNX DequantizeLinear: per tensor, per axis, or in blocks along an axis.

    A per-tensor scale with a block size (which onnxruntime refuses) has only one reading: one scale for all.
    """
    if scale.size > 1:
        if scale.ndim == 1 and not block:
            shape = [1] * x.ndim
            shape[axis] = -1
            scale = scale.reshape(shape)
            zero = None if zero is None else zero.reshape(shape)
        elif block:
            scale = np.repeat(scale, block, axis=axis)[tuple(slice(n) for n in x.shape)]
            zero = None if zero is None else np.repeat(zero, block, axis=axis)[tuple(slice(n) for n in x.shape)]
    else:
        scale = scale.reshape(())
        zero = None if zero is None else zero.reshape(())
    return np.asarray((x.astype(np.float32) - (0 if zero is None else zero.astype(np.float32))) * scale, dtype=np.float32)


def fold_constants(model: Model) -> int:
    """Replace DequantizeLinear, Reshape and Constant nodes whose inputs are constants by fp32 initializers; returns how many."""
    values = constants(model)
    initial = {item.name for item in model.graph.initializer}
    kept, folded = [], 0
    for node in model.graph.node:
        inputs = [values.get(name) for name in node.input]
        result: Array | None = None
        if node.op_type == "Constant" and node.output[0] in values:
            result = values[node.output[0]]
        elif node.op_type == "DequantizeLinear" and all(item is not None for item in inputs):
            zero = inputs[2] if len(inputs) > 2 else None
            assert inputs[0] is not None
            assert inputs[1] is not None
            result = _dequantize(inputs[0], inputs[1], zero, attribute(node, "axis", 1), attribute(node, "block_size", 0))
        elif node.op_type == "Reshape" and inputs[0] is not None and inputs[1] is not None:
            shape = [inputs[0].shape[i] if n == 0 else int(n) for i, n in enumerate(inputs[1])]
            result = inputs[0].reshape(shape)
        if result is None:
            kept.append(node)
            continue
        folded += 1
        values[node.output[0]] = result
        if node.output[0] not in initial:
            model.graph.initializer.append(numpy_helper.from_array(np.array(result, order="C"), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return folded


def remove_dropout(model: Model) -> None:
    """Take out Dropout and Identity nodes: at inference they copy."""
    outputs = {item.name for item in model.graph.output}
    renamed: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
        if node.op_type in ("Dropout", "Identity") and node.output[0] not in outputs:
            renamed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def rewrite_prelu(model: Model) -> int:
    """Write PReLU in operators that onnxruntime runs in its blocked layout; returns how many were rewritten.

    With one slope a per channel, PReLU(x) = x + (1 − a) · Relu(−x), where −x and the product are depthwise 1x1 convolutions: both fuse with
    their neighbors, so a PReLU costs two passes over the data and no change of layout (SFace runs in 0.45 of the exported graph's time;
    Relu(x) − a · Relu(−x) with plain Mul and Sub needs 0.70). Values agree to float32 rounding. Other slopes are left alone.
    """
    values = constants(model)
    kept, count = [], 0
    for node in model.graph.node:
        slope = values.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1) or slope.shape[0] == 1:
            kept.append(node)
            continue
        x, base, channels = node.input[0], node.output[0], slope.shape[0]
        negate = np.full((channels, 1, 1, 1), -1, np.float32)
        rest = (1 - slope.astype(np.float32)).reshape(channels, 1, 1, 1)
        model.graph.initializer.append(numpy_helper.from_array(negate, f"{base}/negate"))
        model.graph.initializer.append(numpy_helper.from_array(rest, f"{base}/rest"))
        depthwise = {"group": channels, "kernel_shape": [1, 1]}
        kept += [
            helper.make_node("Conv", [x, f"{base}/negate"], [f"{base}/negated"], **depthwise),
            helper.make_node("Relu", [f"{base}/negated"], [f"{base}/negative"]),
            helper.make_node("Conv", [f"{base}/negative", f"{base}/rest"], [f"{base}/scaled"], **depthwise),
            helper.make_node("Add", [f"{base}/scaled", x], [base]),
        ]
        count += 1
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return count


def dynamic_batch(model: Model) -> bool:
    """Free the first axis of all inputs and outputs; constant Reshape targets that begin with 1 keep the input's batch instead.

    Returns False, and changes nothing, where a Reshape would mix pictures: its result must have one row a picture.
    """
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    values = {item.name: item for item in freed.graph.initializer}
    reshapes = [node for node in freed.graph.node if node.op_type == "Reshape" and node.input[1] in values]
    shapes = {node.input[1]: numpy_helper.to_array(values[node.input[1]]).copy() for node in reshapes}
    if any(shape[0] not in (0, 1, -1) for shape in shapes.values()):
        return False
    for name, shape in shapes.items():
        if shape[0] == 1:
            shape[0] = 0
            values[name].CopyFrom(numpy_helper.from_array(shape, name))
    del freed.graph.value_info[:]
    # a target that begins with -1 is the batch axis only where the other sides hold exactly one picture
    joined = [node.output[0] for node in reshapes if shapes[node.input[1]][0] == -1]
    if any(_rows(freed, pictures, joined) != [pictures] * len(joined) for pictures in (1, 2) if joined):
        return False
    _set_batch(freed, None)
    model.CopyFrom(freed)
    return True


def _scale_by_factors(model: Model) -> None:
    """Resize nodes that name the size of their result get the factor instead, where it is whole."""
    sized = {node.input[3]: node for node in model.graph.node if node.op_type == "Resize" and len(node.input) > 3 and node.input[3]}
    values = constants(model)
    if not sized.keys() & values.keys():
        return
    shapes = {
        item.name: [dim.dim_value for dim in item.type.tensor_type.shape.dim] for item in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    for name, node in sized.items():
        if name not in values:
            continue
        before, after = shapes.get(node.input[0], []), [int(n) for n in values[name]]
        pairs = list(zip(before[1:], after[1:], strict=False))
        if len(before) != len(after) or any(n <= 0 or m % n for n, m in pairs):
            raise ConversionError(f"the sizes of this graph cannot be freed: {node.name or 'Resize'} goes from {before} to {after}")
        factors = np.array([1, *(m / n for n, m in pairs)], np.float32)  # the batch, whose length is free already, stays
        model.graph.initializer.append(numpy_helper.from_array(factors, f"{node.output[0]}/factors"))
        node.input[2] = f"{node.output[0]}/factors"
        del node.input[3:]


def _set_batch(model: Model, pictures: int | None) -> None:
    for item in [*model.graph.input, *([] if pictures else model.graph.output)]:
        dims = item.type.tensor_type.shape.dim
        if dims and pictures:
            dims[0].dim_value = pictures
        elif dims:
            dims[0].dim_param = "batch"


def _rows(model: Model, pictures: int, names: list[str]) -> list[int | None]:
    """Length of the first axis of some tensors when the batch holds that many pictures, by onnx's shape inference; None where it cannot tell."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    _set_batch(probe, pictures)
    for item in probe.graph.output:
        item.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(probe, data_prop=True)
    known = {item.name: item.type.tensor_type.shape.dim for item in [*inferred.graph.value_info, *inferred.graph.output]}
    return [known[name][0].dim_value or None if known.get(name) else None for name in names]


def free_sizes(model: Model) -> None:
    """Free height and width of a fully convolutional graph's inputs; outputs lose their fixed sizes, Resize nodes their fixed targets."""
    _scale_by_factors(model)
    for item in model.graph.input:
        dims = item.type.tensor_type.shape.dim
        if len(dims) == 4:
            dims[2].dim_param, dims[3].dim_param = "height", "width"
    for item in model.graph.output:
        for index, dim in enumerate(item.type.tensor_type.shape.dim):
            if index and dim.dim_value > 1:
                dim.dim_param = f"{item.name}_{index}"
    del model.graph.value_info[:]


def infer_outputs(model: Model) -> None:
    """Give the outputs the shapes that onnx infers; their first axis is the batch."""
    shapes = {item.name: item.type.tensor_type.shape for item in onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output}
    for item in model.graph.output:
        item.type.tensor_type.shape.CopyFrom(shapes[item.name])
        dims = item.type.tensor_type.shape.dim
        if dims:
            dims[0].dim_param = "batch"


def name_outputs(model: Model, names: Sequence[str]) -> None:
    """Call the graph's outputs `names`, in order."""
    renamed = {item.name: name for item, name in zip(model.graph.output, names, strict=True)}
    for item in model.graph.output:
        item.name = renamed[item.name]
    for node in model.graph.node:
        for names_of_node in (node.input, node.output):
            for index, name in enumerate(names_of_node):
                names_of_node[index] = renamed.get(name, name)


def sweep(model: Model) -> None:
    """Remove nodes and initializers that no output needs."""
    needed = {item.name for item in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if any(name in needed for name in node.output):
            needed.update(node.input)
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    initializers = [item for item in model.graph.initializer if item.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(initializers)


def serialize(model: Model, what: str) -> bytes:
    """Check the graph and turn it into bytes."""
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ConversionError(f"{what}: the converted graph is not valid ONNX: {str(error).splitlines()[0]}") from error
    data: bytes = model.SerializeToString()
    return data
