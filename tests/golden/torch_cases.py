"""Cases that prove a PyTorch loader without the published weights.

A state dict is filled by rule (`fill`: a value depends on key, shape and seed alone), wrapped as the publisher's file is, saved, and sent through
`convert.torch_state` with the options of the shipped card. The original implementations, filled by the same rule, gave the expected outputs:
whole in `../shared/golden`, a few figures of each in `torch_networks.json` beside this file (made by `tools/make_torch_golden.py`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from faceworks import cards, networks
from faceworks.cards import OutputSpec
from faceworks.convert import Source
from faceworks.convert.torch_state import torch_state
from faceworks.runtime import SessionOptions, open_file

SEED = 11


def fill(name: str, shape: tuple[int, ...], seed: int = SEED) -> np.ndarray:
    """Values of one parameter or buffer."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    leaf = name.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        values = rng.uniform(0.5, 1.5, shape)
    elif leaf == "running_mean":
        values = 0.1 * rng.standard_normal(shape)
    elif leaf == "bias":
        values = 0.05 * rng.standard_normal(shape)
    elif len(shape) <= 1:
        values = rng.uniform(0.4, 0.9, shape)
    else:
        values = rng.standard_normal(shape) / np.sqrt(int(np.prod(shape[1:])))
    return values.astype(np.float32)


def make_input(shape: tuple[int, ...], low: float, high: float, seed: int = SEED) -> np.ndarray:
    """The network's input tensor, already normalized."""
    return np.random.default_rng([seed, zlib.crc32(b"input")]).uniform(low, high, shape).astype(np.float32)


def bare(state: dict[str, Any]) -> dict[str, Any]:
    return state


def parallel(state: dict[str, Any]) -> dict[str, Any]:
    return {f"module.{key}": value for key, value in state.items()}


def lightning(state: dict[str, Any]) -> dict[str, Any]:
    inner = {f"model.{key}": value for key, value in state.items()}
    return {"epoch": 25, "state_dict": {**inner, "head.kernel": np.zeros((4, 3), np.float32)}, "hyper_parameters": {"arch": "ir"}}


def magface(state: dict[str, Any]) -> dict[str, Any]:
    inner = {f"features.module.{key}": value for key, value in state.items()}
    return {"epoch": 25, "arch": "iresnet", "state_dict": {**inner, "fc.weight": np.zeros((4, 3), np.float32)}}


def classifier(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "logits.weight": np.zeros((3, 512), np.float32), "logits.bias": np.zeros(3, np.float32)}


def net_state(state: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": 68, "net_state_dict": state}


def same(outputs: list[np.ndarray]) -> list[np.ndarray]:
    return outputs


def split_norm(outputs: list[np.ndarray]) -> list[np.ndarray]:
    norm = np.linalg.norm(outputs[0], axis=1, keepdims=True)
    return [outputs[0] / norm, norm]


@dataclass(frozen=True)
class Case:
    """One case: the card whose loader options are used, what is changed in them, how the file wraps the keys, and the input."""

    card: str
    outputs: tuple[str, ...]
    shape: tuple[int, ...]
    low: float
    high: float
    wrap: Callable[[dict[str, Any]], dict[str, Any]] = bare
    role: str = "model"
    options: dict[str, Any] = field(default_factory=dict)
    finish: Callable[[list[np.ndarray]], list[np.ndarray]] = same
    slow: bool = False

    def loader(self) -> dict[str, Any]:
        """The card's `convert_options` with this case's changes."""
        return {**cards.get(self.card).file_for(self.role).convert_options, **self.options}

    def network(self) -> Any:
        """A fresh network of the case."""
        options = self.loader()
        arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in dict(options.get("arguments", {})).items()}
        return networks.build(options["network"], **arguments)


def _face(card: str, network: str | None = None, **changes: Any) -> Case:
    settings = {"outputs": ("feature",), "shape": (2, 3, 112, 112), "low": -1, "high": 1, **changes}
    return Case(card, options={**({"network": network} if network else {}), **settings.pop("options", {})}, **settings)


_PAIR = ("feature", "norm")
_RETINA: dict[str, Any] = {"outputs": ("box_deltas", "scores", "landmark_deltas"), "shape": (1, 3, 160, 224), "low": -120, "high": 130}
_EMO: dict[str, Any] = {"outputs": ("expression", "valence", "arousal"), "shape": (1, 3, 256, 256), "low": 0, "high": 1, "wrap": parallel}
_FAS: dict[str, Any] = {"outputs": ("logits",), "shape": (2, 3, 80, 80), "low": 0, "high": 255, "wrap": parallel}

CASES: dict[str, Case] = {
    "arcface_iresnet18": _face("arcface-ms1mv3-r50", "iresnet-18"),
    "arcface_iresnet50": _face("arcface-ms1mv3-r50"),
    "arcface_iresnet100": _face("arcface-ms1mv3-r100", slow=True),
    "magface_iresnet50": _face("magface-ir50", low=0, wrap=magface, slow=True),
    "magface_iresnet100": _face("magface-ir100", low=0, wrap=magface, slow=True),
    "adaface_ir_18": _face("adaface-ir18", outputs=_PAIR, wrap=lightning, options={"arguments": {}}),
    "adaface_ir_50": _face("adaface-ir50", outputs=_PAIR, wrap=lightning, finish=split_norm),
    "adaface_ir_101": _face("adaface-ir101", outputs=_PAIR, wrap=lightning, finish=split_norm, slow=True),
    "mobilefacenet_xiaoccer": _face("mobilefacenet-068", shape=(2, 3, 112, 96), wrap=net_state),
    "facenet_inception_resnet_v1": _face("facenet-vggface2", outputs=("embedding",), shape=(2, 3, 160, 160), wrap=classifier),
    "retinaface_mobilenet025": Case("retinaface-mnet025-pth", **_RETINA, wrap=parallel),
    "retinaface_resnet50": Case("retinaface-r50", **_RETINA, slow=True),
    "emonet_8": Case("emonet-8", **_EMO),
    "emonet_5": Case("emonet-5", **_EMO, slow=True),
    "minifasnet_v2": Case("minifasnet-v2-v1se", **_FAS, role="v2"),
    "minifasnet_v1se": Case("minifasnet-v2-v1se", **_FAS, role="v1se"),
}


def save(content: Any, path: Path) -> Path:
    """Write a checkpoint as torch does, arrays as tensors."""
    import torch

    def tensors(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tensors(item) for key, item in value.items()}
        return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value

    torch.save(tensors(content), path)
    return path


def source(case: Case, path: Path, **options: Any) -> Source:
    """What the converter gets: the shipped card with the case's changes."""
    card = cards.get(case.card)
    changed = {**case.loader(), **options}
    if len(case.outputs) > 1 and case.finish is same:
        changed.setdefault("outputs", list(case.outputs))
    entry = card.input_for(case.role)
    if changed.get("free_sizes"):  # traced at another size than it is run at
        entry = replace(entry, size=(128, 128))
    file = replace(card.file_for(case.role), convert_options=changed)
    kept = tuple(item for item in card.output if item.role == case.role) or (OutputSpec("raw", "value"),)
    return Source(path, file, replace(card, file=(file,), input=(entry,), output=kept))


def run(name: str, folder: Path) -> dict[str, np.ndarray]:
    """Outputs of one case by our loader: {output name: array}. Files are made in `folder` and taken away."""
    case = CASES[name]
    keys = {key: tuple(value.shape) for key, value in case.network().state_dict().items()}
    path = save(case.wrap({key: fill(key, shape) for key, shape in keys.items()}), folder / f"{name}.pth")
    graph = folder / f"{name}.onnx"
    try:
        graph.write_bytes(torch_state(source(case, path)))
        session = open_file(graph, SessionOptions(device="cpu"))
        outputs = case.finish(session.run(make_input(case.shape, case.low, case.high)))
    finally:
        path.unlink()
        graph.unlink(missing_ok=True)
    return dict(zip(case.outputs, outputs, strict=True))


def error(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference in units of the expected output's largest magnitude."""
    return float(np.abs(got.reshape(expected.shape) - expected).max() / np.abs(expected).max())
