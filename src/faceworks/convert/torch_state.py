"""`torch_state`: a published PyTorch checkpoint becomes ONNX.

The file is read opcode by opcode (`assets.read_tensors`), never unpickled, so that a checkpoint that carries code is inert. Its tensors are put
into a network of `faceworks.networks`; a parameter that is missing, has another shape or is not known is refused by name. `convert_options`:

    network    key of `networks.NETWORKS`, required
    arguments  table of the builder's keyword arguments
    unwrap     key, or path of keys joined by "/", under which the state dict lies: "state_dict", "net_state_dict"
    strip      prefixes that every key may carry and that are taken off: ["module."]
    prefix     only keys that begin so belong to the network; it is taken off: "model.", "features.module."
    outputs    names of the exported tensors; default the card's [[output]] of this role
    free_sizes height and width become free too (fully convolutional networks)
    prelu      rewrite PReLU for onnxruntime (default true)

and the card's `ignore` lists globs of keys that the network does not need (`head.*`, `logits.*`). Torch is optional, and spoken here and in
`networks` and `train` alone.
"""

from __future__ import annotations

import fnmatch
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import assets, networks
from ..errors import CardError, ConversionError
from ..optional import require
from . import Source

__all__ = ["OPSET", "export", "fit", "torch_state"]

OPSET = 17
_LISTED = 5


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _unwrap(content: Any, source: Source) -> dict[str, Any]:
    """The state dict inside a checkpoint: {key: array}, keys as the network calls them."""
    where = f"{source.card.name}: {source.path.name}"
    for step in filter(None, str(source.option("unwrap", "")).split("/")):
        if not isinstance(content, Mapping) or step not in content:
            have = _some([str(key) for key in content]) if isinstance(content, Mapping) else type(content).__name__
            raise ConversionError(f"{where}: no {step!r} in the checkpoint, which holds {have}; is it the file that the card names?")
        content = content[step]
    if not isinstance(content, Mapping) or not any(isinstance(value, np.ndarray) for value in content.values()):
        have = _some([str(key) for key in content]) if isinstance(content, Mapping) else type(content).__name__
        raise ConversionError(f"{where}: not a state dict of tensors, it holds {have}; expected the weights of {source.option('network')}")
    prefix, prefixes = str(source.option("prefix", "")), tuple(source.option("strip", ()))
    state: dict[str, Any] = {}
    strangers = []
    for key, value in content.items():
        name = str(key)
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in source.file.ignore):
            continue
        for item in prefixes:
            name = name.removeprefix(item)
        if not name.startswith(prefix):
            strangers.append(str(key))
            continue
        state[name.removeprefix(prefix)] = value
    if strangers:
        raise ConversionError(f"{where}: keys that do not begin with {prefix!r} and that the card does not list under ignore: {_some(strangers)}")
    return state


def _counter(name: str) -> bool:
    """Counters of batches matter to training alone: files old and new have them or not."""
    return name.rpartition(".")[2] == "num_batches_tracked"


def fit(network: Any, state: Mapping[str, Any], where: str, ignore: Sequence[str] = ()) -> None:
    """Put {key: array} into a network, all of it and nothing else.

    Args:
        network: an `nn.Module`; float tensors become float32.
        state: names as the network's own.
        where: stands in front of every message.
        ignore: globs of keys that may be left over.

    Raises:
        ConversionError: a key is missing or left over, a value is not a tensor, or a shape differs; the first few are named.
    """
    torch = require("torch", "torch", where)
    own = network.state_dict()
    extra = [name for name in state if name not in own and not _counter(name) and not any(fnmatch.fnmatchcase(name, item) for item in ignore)]
    missing = [name for name in own if name not in state and not _counter(name)]
    present = {name: state[name] for name in own if name in state}
    strange = [f"{name} ({type(value).__name__})" for name, value in present.items() if not isinstance(value, (np.ndarray, np.generic))]
    wrong = [
        f"{name} is {tuple(np.shape(value))}, expected {tuple(own[name].shape)}"
        for name, value in present.items()
        if isinstance(value, np.ndarray) and np.shape(value) != tuple(own[name].shape) and not _counter(name)
    ]
    problems = [
        f"{len(missing)} parameters are missing: {_some(missing)}" if missing else "",
        f"{len(extra)} keys are not the network's: {_some(extra)}" if extra else "",
        f"not tensors: {_some(strange)}" if strange else "",
        f"wrong shapes: {_some(wrong)}" if wrong else "",
    ]
    if any(problems):
        raise ConversionError(f"{where}: the file does not fit the network; {'; '.join(filter(None, problems))}")
    tensors = {name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in present.items() if not _counter(name)}
    network.load_state_dict(tensors, strict=False)


def export(
    network: Any,
    shape: tuple[int, int, int],
    names: Sequence[str],
    free_sizes: bool = False,
    current: bool = False,
) -> Any:
    """An `onnx.ModelProto` of a network in eval mode: input `input` (batch, C, H, W) float32, opset 17, free batch.

    Torch has two exporters. The older one (tracing) needs nothing but torch and gives the same graph for every version of it, so conversion uses
    it; `current = True` takes the newer one (`torch.export`), which needs onnxscript and is what `train` uses.

    Args:
        network: an `nn.Module` of one input.
        shape: (channels, height, width) of the example that is traced.
        names: output names.
        free_sizes: free height and width too.

    Raises:
        ConversionError: the network gives another number of outputs than `names` holds.
    """
    torch = require("torch", "torch", "exporting a network")
    import onnx

    from . import graph

    network.eval()
    example = torch.zeros((2 if current else 1, *shape), dtype=torch.float32)
    axes = {0: "batch", 2: "height", 3: "width"} if free_sizes else {0: "batch"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing and deprecation notes of torch that a user can do nothing about
        if current:
            require("onnxscript", "train", "torch's current exporter")
            # it says at each export which of torchvision's operators are not there; none is used here
            logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
            program = torch.onnx.export(
                network,
                (example,),
                input_names=["input"],
                dynamic_shapes=(dict.fromkeys(axes, torch.export.Dim.DYNAMIC),),
                opset_version=18,
                dynamo=True,
                verbose=False,
            )
            model = program.model_proto
        else:
            buffer = io.BytesIO()
            torch.onnx.export(
                network,
                (example,),
                buffer,
                input_names=["input"],
                dynamic_axes={"input": axes},
                opset_version=OPSET,
                dynamo=False,
            )
            model = onnx.load_from_string(buffer.getvalue())
    if len(model.graph.output) != len(names):
        raise ConversionError(f"the network gives {len(model.graph.output)} outputs, the card names {len(names)}: {', '.join(names)}")
    graph.name_outputs(model, names)
    for item in model.graph.output:
        if item.type.tensor_type.shape.dim:
            item.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def torch_state(source: Source) -> bytes:
    """Read a checkpoint and export its network. Options: see the module.

    Raises:
        MissingDependency: torch is not installed.
        ConversionError: the file is not a checkpoint of that network.
    """
    from . import graph  # here and not above: the version is asked for at every start, onnx is not

    where = f"{source.card.name}: {source.path.name}"
    name = source.option("network")
    if not isinstance(name, str):
        raise CardError(f"{source.card.name}: convert_options.network must name one of {', '.join(networks.NETWORKS)}")
    require("torch", "torch", f"converting {source.path.name} to ONNX")
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in dict(source.option("arguments", {})).items()}
    state = _unwrap(assets.read_tensors(source.path), source)
    network = networks.build(name, **arguments)
    fit(network, state, where, source.file.ignore)
    entry = source.card.input_for(source.file.role)
    if len(entry.size) != 2:
        raise CardError(f"{source.card.name}: the input of a converted network needs a size to be traced at")
    names = source.option("outputs") or [item.tensor or item.name for item in source.card.output if item.role == source.file.role]
    model = export(network, (1 if entry.color == "GRAY" else 3, *entry.size), names, bool(source.option("free_sizes", False)))
    graph.fold_constants(model)
    graph.remove_dropout(model)
    if source.option("prelu", True):
        graph.rewrite_prelu(model)
    graph.sweep(model)
    return graph.serialize(model, source.card.name)
