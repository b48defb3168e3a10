"""Published checkpoints of the mirror, as they are: our reader, loader and onnxruntime against torch's own reader and torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from faceworks import cards, convert, networks, settings
from golden.torch_cases import make_input

torch = pytest.importorskip("torch")

FILES = {
    ("mobilefacenet-068", "model"): (-1, 1, lambda content: content["net_state_dict"]),
    ("minifasnet-v2-v1se", "v2"): (0, 255, lambda content: {key.removeprefix("module."): value for key, value in content.items()}),
    ("minifasnet-v2-v1se", "v1se"): (0, 255, lambda content: {key.removeprefix("module."): value for key, value in content.items()}),
    ("retinaface-mnet025-pth", "model"): (-120, 130, lambda content: {key.removeprefix("module."): value for key, value in content.items()}),
}


@pytest.mark.shared
@pytest.mark.parametrize("key", FILES, ids=lambda key: "-".join(key))
def test_published_file_converts_and_agrees_with_torch(key, shared: Path, tmp_path: Path) -> None:
    (name, role), (low, high, unwrap) = key, FILES[key]
    card = cards.get(name)
    with settings.use(cache=tmp_path, mirrors=(shared / "weights",), offline=True):
        session = onnxruntime.InferenceSession(convert.prepare(card, role).read_bytes(), providers=["CPUExecutionProvider"])
    options = card.file_for(role).convert_options
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in options.get("arguments", {}).items()}
    network = networks.build(options["network"], **arguments).eval()
    content = torch.load(shared / "weights" / card.file_for(role).name, map_location="cpu", weights_only=True)
    network.load_state_dict(unwrap(content))
    height, width = card.input_for(role).size
    x = make_input((2, 3, height // 2, width // 2) if options.get("free_sizes") else (2, 3, height, width), low, high)
    with torch.no_grad():
        expected = network(torch.from_numpy(x))
    for got, want in zip(session.run(None, {"input": x}), expected if isinstance(expected, tuple) else [expected], strict=True):
        scale = float(want.abs().max())
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=3e-5 * scale)
