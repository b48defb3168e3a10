"""MTCNN's converter on random weights: the two published forms give the same graph, and the graph computes what NumPy computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from faceworks import assets, cards
from faceworks.convert import Source
from faceworks.convert.mtcnn import mtcnn
from faceworks.errors import ConversionError

CARD = cards.get("mtcnn-facenet")
rng = np.random.default_rng(3)
CONVOLUTIONS = {
    "pnet": [(10, 3, 3), (16, 10, 3), (32, 16, 3)],
    "rnet": [(28, 3, 3), (48, 28, 3), (64, 48, 2)],
    "onet": [(32, 3, 3), (64, 32, 3), (64, 64, 3), (128, 64, 2)],
}
POOLS = {"pnet": [2, 0, 0], "rnet": [3, 3, 0], "onet": [3, 3, 2, 0]}
HEADS = {"pnet": ("conv4", 32, (2, 4)), "rnet": ("dense5", 128, (2, 4)), "onet": ("dense6", 256, (2, 4, 10))}


def random_state(role: str) -> dict[str, np.ndarray]:
    state: dict[str, np.ndarray] = {}
    for index, (out, into, side) in enumerate(CONVOLUTIONS[role], 1):
        state[f"conv{index}.weight"] = rng.normal(0, (into * side * side) ** -0.5, (out, into, side, side))
        state[f"conv{index}.bias"], state[f"prelu{index}.weight"] = rng.normal(0, 0.1, out), rng.uniform(-0.3, 0.6, out)
    name, width, heads = HEADS[role]
    if role != "pnet":
        count, inputs = len(CONVOLUTIONS[role]) + 1, CONVOLUTIONS[role][-1][0] * 9
        state[f"dense{count}.weight"], state[f"dense{count}.bias"] = rng.normal(0, inputs**-0.5, (width, inputs)), rng.normal(0, 0.1, width)
        state[f"prelu{count}.weight"] = rng.uniform(-0.3, 0.6, width)
    for index, size in enumerate(heads, 1):
        shape = (size, width, 1, 1) if role == "pnet" else (size, width)
        state[f"{name}_{index}.weight"], state[f"{name}_{index}.bias"] = rng.normal(0, width**-0.5, shape), rng.normal(0, 0.1, size)
    return {key: value.astype(np.float32) for key, value in state.items()}


def keras_list(state: dict[str, np.ndarray], role: str) -> list[np.ndarray]:
    """The same weights as the package `mtcnn` stores them."""
    turned = lambda w: w.transpose(2, 3, 1, 0) if w.ndim == 4 else w.T  # noqa: E731
    layers = [f"conv{index + 1}" for index in range(len(CONVOLUTIONS[role]))]
    layers += [] if role == "pnet" else [f"dense{len(layers) + 1}"]
    out = []
    for index, name in enumerate(layers, 1):
        slope = state[f"prelu{index}.weight"]
        out += [turned(state[f"{name}.weight"]), state[f"{name}.bias"], slope.reshape(1, 1, -1) if name.startswith("conv") else slope]
    head = HEADS[role][0]
    for index in {"pnet": (2, 1), "rnet": (2, 1), "onet": (2, 3, 1)}[role]:
        out += [turned(state[f"{head}_{index}.weight"]), state[f"{head}_{index}.bias"]]
    return out


def convert(tensors: Any, role: str, monkeypatch: pytest.MonkeyPatch) -> onnxruntime.InferenceSession:
    monkeypatch.setattr(assets, "read_tensors", lambda path: tensors)
    data = mtcnn(Source(Path("weights"), CARD.file_for(role), CARD))
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def forward(state: dict[str, np.ndarray], role: str, x: np.ndarray) -> np.ndarray:
    """The authors' network in NumPy, float64."""
    x = x.astype(np.float64)
    for index, pool in enumerate(POOLS[role], 1):
        kernel = state[f"conv{index}.weight"].astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(2, 3))
        x = np.einsum("ncijkl,ockl->noij", windows, kernel) + state[f"conv{index}.bias"][:, None, None]
        x = np.where(x > 0, x, x * state[f"prelu{index}.weight"][:, None, None])
        if pool:
            rows, columns = (-(-(n - pool) // 2) + 1 for n in x.shape[2:])
            x = np.stack(
                [np.stack([x[:, :, 2 * i : 2 * i + pool, 2 * j : 2 * j + pool].max(axis=(2, 3)) for j in range(columns)], -1) for i in range(rows)],
                -2,
            )
    name, _, heads = HEADS[role]
    if role != "pnet":
        count = len(CONVOLUTIONS[role]) + 1
        x = x.transpose(0, 3, 2, 1).reshape(len(x), -1) @ state[f"dense{count}.weight"].T.astype(np.float64) + state[f"dense{count}.bias"]
        x = np.where(x > 0, x, x * state[f"prelu{count}.weight"])
        x = x[:, :, None, None]
    out = [
        np.einsum("nchw,oc->nohw", x, state[f"{name}_{i}.weight"].reshape(n, -1)) + state[f"{name}_{i}.bias"][:, None, None]
        for i, n in enumerate(heads, 1)
    ]
    joined = np.concatenate([out[0][:, 1:] - out[0][:, :1], *out[1:]], axis=1)
    return joined if role == "pnet" else joined[:, :, 0, 0]


@pytest.mark.parametrize(("role", "size"), [("pnet", (29, 40)), ("pnet", (12, 12)), ("rnet", (24, 24)), ("onet", (48, 48))])
def test_both_forms_compute_the_network(role: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    state, x = random_state(role), rng.normal(size=(3, 3, *size)).astype(np.float32)
    want = forward(state, role, x)
    for tensors in (state, keras_list(state, role)):
        got = convert(tensors, role, monkeypatch).run(None, {"picture": x})[0]
        assert got.shape == want.shape
        assert np.abs(got - want).max() < 2e-5


def test_wrong_files_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_state("rnet")
    for change, message in (
        ({"conv2.bias": None}, "lacks conv2.bias"),
        ({"extra": np.zeros(1)}, "unexpected keys: extra"),
        ({"conv1.weight": np.zeros((28, 3, 5, 5))}, r"conv1.weight has the shape \(28, 3, 5, 5\)"),
    ):
        broken = {key: value for key, value in {**state, **change}.items() if value is not None}
        with pytest.raises(ConversionError, match=message):
            convert(broken, "rnet", monkeypatch)
    with pytest.raises(ConversionError, match="expected 16 arrays, got 3"):
        convert([np.zeros(1)] * 3, "rnet", monkeypatch)
