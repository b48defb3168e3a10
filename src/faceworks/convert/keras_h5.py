"""`keras_h5`: small Keras networks, saved whole in HDF5 (`model.save("x.h5")`), to ONNX by h5py, without TensorFlow.

The file's `model_config` (JSON; Keras 2 and Keras 3) says the layers, `model_weights` holds their arrays. Nothing of the file is executed: a layer that is
not in `keras_layers.LAYERS` is refused by name, Lambda included. The ONNX graph keeps Keras's picture layout (N, H, W, C) at its input, so a card
says layout = "NHWC"; inside it runs channels first. Output: the model's outputs, named by the card's `[[output]]` entries where their number agrees.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..errors import ConversionError
from . import Source, graph
from .keras_layers import LAYERS, Builder
from .keras_structures import structure

__all__ = ["build", "keras_h5", "read_file", "read_weights"]

Array = NDArray[Any]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _arrays(group: Any) -> dict[str, Array]:
    """The arrays of one layer by their last names ("kernel", "gamma" …), in the file's order."""
    names = [_text(name) for name in group.attrs.get("weight_names", [])]
    found: dict[str, Array] = {}
    for name in names:
        if name not in group:
            raise ConversionError(f"the layer {group.name.rpartition('/')[2]} lists the array {name!r}, which the file does not hold")
        short = name.rpartition("/")[2].partition(":")[0]
        if short in found:
            raise ConversionError(f"the layer {group.name.rpartition('/')[2]} has two arrays called {short!r}: models inside models are not read")
        found[short] = np.asarray(group[name])
    return found


def read_weights(path: Path) -> list[tuple[str, dict[str, Array]]]:
    """The arrays of a file of weights alone (`model.save_weights("x.h5")`): (layer, array name -> array) in the model's order, layers without arrays
    left out.

    Raises:
        ConversionError: no HDF5, or no such file.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ConversionError(f"{path.name} is no HDF5 file, or a damaged one ({error})") from error
    with file:
        groups = file.get("model_weights", file)
        if "layer_names" not in groups.attrs:
            raise ConversionError(f"{path.name} names no layers; a file of model.save_weights('x.h5') is expected")
        found = [(name, _arrays(groups[name])) for name in map(_text, groups.attrs["layer_names"])]
    return [(name, arrays) for name, arrays in found if arrays]


def _assigned(config: Mapping[str, Any], found: Sequence[tuple[str, dict[str, Array]]], where: str) -> dict[str, dict[str, Array]]:
    """The arrays under the names that the structure gives its layers, in order: what a training session called them does not matter."""
    wanted = [str(item["config"]["name"]) for item in config["config"]["layers"] if item["class_name"] in ("Conv2D", "Dense")]
    if len(wanted) != len(found):
        raise ConversionError(f"{where} has arrays for {len(found)} layers, the structure has {len(wanted)} with arrays")
    return {name: arrays for name, (_, arrays) in zip(wanted, found, strict=True)}


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Array]]]:
    """The model's configuration, and layer name -> array name -> array.

    Raises:
        ConversionError: no HDF5, or no whole model.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ConversionError(f"{path.name} is no HDF5 file, or a damaged one ({error}); Keras's own .keras archives are not read") from error
    with file:
        if "model_config" not in file.attrs or "model_weights" not in file:
            raise ConversionError(
                f"{path.name} holds no whole Keras model (model_config and model_weights), perhaps weights alone; save it with model.save('x.h5')"
            )
        try:
            config = json.loads(_text(file.attrs["model_config"]))
        except ValueError as error:
            raise ConversionError(f"{path.name}: its model_config is not valid JSON: {error}") from error
        groups = file["model_weights"]
        weights = {name: _arrays(group) for name, group in groups.items() if isinstance(group, h5py.Group) and name != "top_level_model_weights"}
    return config, weights


def _ancestors(value: Any) -> Iterator[str]:
    """Names of the layers that an `inbound_nodes` entry takes its tensors from: Keras 2 ([name, node, tensor, kwargs]) and Keras 3 (keras_history)."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            yield str(value["config"]["keras_history"][0])
        else:
            for item in value.values():
                yield from _ancestors(item)
    elif isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0]
        else:
            for item in value:
                yield from _ancestors(item)


def _names(value: Any) -> list[str]:
    """Names in input_layers and output_layers: ["x", 0, 0] or a list of such."""
    return list(_ancestors(value if value and isinstance(value[0], list) else [value]))


def _plan(config: Mapping[str, Any]) -> tuple[list[tuple[str, str, Mapping[str, Any], list[str]]], list[str], list[str]]:
    """Layers (name, class, config, names of what they eat), and the names of inputs and outputs."""
    kind, body = config.get("class_name"), config.get("config")
    layers = body.get("layers") if isinstance(body, Mapping) else body
    if kind not in ("Sequential", "Model", "Functional") or not isinstance(layers, list) or not layers:
        raise ConversionError(f"a Sequential or functional model is expected, the file holds {kind!r} without layers that could be read")
    found: list[tuple[str, str, Mapping[str, Any], list[str]]] = []
    for layer in layers:
        settings = layer["config"]
        name = str(layer.get("name") or settings.get("name"))
        nodes = layer.get("inbound_nodes", [])
        if len(nodes) > 1:
            raise ConversionError(f"the layer {name} is used {len(nodes)} times; shared layers are not converted")
        found.append((name, str(layer["class_name"]), settings, list(_ancestors(nodes))))
    if kind != "Sequential":
        assert isinstance(body, Mapping)
        return found, _names(body.get("input_layers", [])), _names(body.get("output_layers", []))
    if found[0][1] != "InputLayer":
        shape = found[0][2].get("batch_input_shape") or found[0][2].get("batch_shape")
        if shape is None:
            raise ConversionError("a Sequential model must say its input's shape (batch_input_shape of the first layer)")
        found.insert(0, ("input", "InputLayer", {"batch_shape": shape}, []))
    chain = [(name, kind, settings, [found[index - 1][0]] if index else []) for index, (name, kind, settings, _) in enumerate(found)]
    return chain, [chain[0][0]], [chain[-1][0]]


def _ordered(layers: Sequence[tuple[str, str, Mapping[str, Any], list[str]]]) -> list[tuple[str, str, Mapping[str, Any], list[str]]]:
    """The layers, each after what it eats."""
    waiting, done, result = list(layers), set[str](), []
    while waiting:
        ready = [item for item in waiting if done.issuperset(item[3])]
        if not ready:
            raise ConversionError(f"the layers {', '.join(item[0] for item in waiting)} eat what no layer gives")
        result += ready
        done.update(item[0] for item in ready)
        waiting = [item for item in waiting if item[0] not in done]
    return result


def build(config: Mapping[str, Any], weights: Mapping[str, Mapping[str, Array]], outputs: Sequence[str] = ()) -> Any:
    """The ONNX model of a configuration and its arrays; `outputs` are names for its outputs.

    Raises:
        ConversionError: a layer, an activation or a setting that is not known, or an array that is missing, superfluous or of a wrong shape.
    """
    layers, first, last = _plan(config)
    unknown = sorted({kind for _, kind, _, _ in layers if kind not in LAYERS and kind != "InputLayer"})
    if unknown:
        raise ConversionError(f"layers that are not converted: {', '.join(unknown)}; known: {', '.join(sorted(LAYERS))}")
    builder = Builder()
    for name, kind, settings, eaten in _ordered(layers):
        if kind == "InputLayer":
            shape = list(settings.get("batch_input_shape") or settings.get("batch_shape") or [])
            if len(shape) not in (2, 4) or shape[-1] is None:
                raise ConversionError(f"the input {name} has the shape {shape}; (None, height, width, channels) or (None, numbers) is expected")
            builder.enter(name, shape)
            continue
        arrays = dict(weights.get(name, {}))
        LAYERS[kind](builder, name, settings, [builder.tensors[item] for item in eaten], arrays)
        if arrays:
            raise ConversionError(f"the layer {name} ({kind}) has arrays that its configuration does not ask for: {', '.join(arrays)}")
    if not last or {*first} != {item.name for item in builder.inputs}:
        raise ConversionError(f"inputs {first} and outputs {last} do not agree with the model's layers")
    stray = sorted(name for name, arrays in weights.items() if arrays and name not in {item[0] for item in layers})
    if stray:
        raise ConversionError(f"the file holds arrays of layers that its configuration does not name: {', '.join(stray)}")
    names = list(outputs) if len(outputs) == len(last) else list(last)
    results = [builder.leave(item, name if name not in builder.used else f"{name}_output") for item, name in zip(last, names, strict=True)]
    return helper.make_model(
        helper.make_graph(
            builder.nodes, "keras", builder.inputs, results, [numpy_helper.from_array(value, name) for name, value in builder.constants.items()]
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )


def keras_h5(source: Source) -> bytes:
    """Convert a file; the outputs are named as the card names them (`tensor`, else `name`). A file of weights alone needs `convert_options.structure`."""
    name = source.option("structure")
    if name is None:
        config, weights = read_file(source.path)
    else:
        config = structure(str(name), {key: value for key, value in source.file.convert_options.items() if key != "structure"})
        weights = _assigned(config, read_weights(source.path), source.path.name)
    model = build(config, weights, [item.tensor or item.name for item in source.card.output])
    onnx.checker.check_model(model, full_check=True)
    return graph.serialize(model, source.card.name)
