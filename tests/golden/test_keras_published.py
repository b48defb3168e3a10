"""Published Keras files: ours in onnxruntime against Keras itself (`tools/keras_goldens.py` makes the file)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import need
from faceworks import cards
from faceworks.runtime import open_session
from golden import tfjs_cases

GOLDEN = json.loads((Path(__file__).parent / "keras_published.json").read_text(encoding="utf-8"))["outputs"]


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_converted_network_gives_the_original_numbers(name: str) -> None:
    if name != "emotion-mini-xception":  # the other file is at its publisher, or in ../shared/weights as a mirror
        from faceworks import assets

        if assets.locate(cards.get(name).file_for()) is None:
            pytest.skip(f"the file of {name} is not here")
    else:
        need(name)
    found = open_session(cards.get(name)).run(tfjs_cases.tensor(name))[0].reshape(-1)
    want = np.array(GOLDEN[name], np.float32)
    assert np.ptp(want) > 0.1
    np.testing.assert_allclose(found, want, atol=1e-4)
