"""TensorFlow.js networks: ours in onnxruntime against the original runtime, number by number (`tools/tfjs_goldens.py` makes the file)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import need
from faceworks import cards
from faceworks.runtime import open_session
from golden import tfjs_cases

GOLDEN = json.loads((Path(__file__).parent / "tfjs.json").read_text(encoding="utf-8"))["outputs"]


@pytest.mark.parametrize("name", [*tfjs_cases.GRAPHS, *tfjs_cases.FACE_API])
def test_the_converted_network_gives_the_original_numbers(name: str) -> None:
    need(name)
    session = open_session(cards.get(name))
    blob = tfjs_cases.tensor(name)
    if name in tfjs_cases.FACE_API:
        blob = np.ascontiguousarray(blob.transpose(0, 3, 1, 2))
    assert GOLDEN[name]
    for tensor, values in GOLDEN[name].items():
        found = session.run(blob, [tensor])[0].reshape(-1)
        want = np.array(values, np.float32)
        assert want.shape == found.shape
        worst = float(np.abs(found - want).max())
        assert worst <= 1e-4, f"{name}, {tensor}: {worst:.2e} off"


def test_every_network_of_this_kind_has_a_golden() -> None:
    kinds = {name for name in cards.names("attribute") for file in cards.get(name).file if file.convert in ("tfjs", "face_api")}
    assert kinds == set(GOLDEN)
