"""Write `tests/golden/torch_networks.json`: a few figures of each case of ../shared/golden, so that a plain clone can check the loaders.

    python tools/make_torch_golden.py [FOLDER]      FOLDER holds CASE.json and CASE.npz, default ../shared/golden
    python tools/make_torch_golden.py ir-se FILE    FILE is model.py of https://github.com/TreB1eN/InsightFace_Pytorch; writes torch_ir_se.json

The figures are the outputs of the original implementations (never ours), at evenly spaced places of the flattened array.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

PLACES = 12
ROOT = Path(__file__).resolve().parents[1]


def figures(path: Any) -> dict[str, dict[str, object]]:
    """{output: size, scale, places, values} of one npz file."""
    entries: dict[str, dict[str, object]] = {}
    for name, array in np.load(path).items():
        flat = array.reshape(-1)
        places = np.unique(np.linspace(0, flat.size - 1, PLACES).astype(int))
        scale = float(np.abs(flat).max())
        values = [float(f"{value:.8g}") for value in flat[places]]
        entries[name] = {"size": int(flat.size), "scale": float(f"{scale:.8g}"), "places": places.tolist(), "values": values}
    return entries


def ir_se(path: Path) -> None:
    """The original IR-SE-50, filled by the rule of `tests/golden/torch_cases.py`."""
    import torch

    sys.path.insert(0, str(ROOT / "tests"))
    from golden import torch_cases

    spec = importlib.util.spec_from_file_location("original", path)
    assert spec is not None
    assert spec.loader is not None
    original = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(original)
    network = original.Backbone(50, 0.6, "ir_se").eval()
    state = {key: torch.from_numpy(torch_cases.fill(key, tuple(value.shape))) for key, value in network.state_dict().items()}
    network.load_state_dict(state)
    with torch.no_grad():
        feature = network(torch.from_numpy(torch_cases.make_input((2, 3, 112, 112), -1, 1))).numpy()
    archive = io.BytesIO()
    np.savez(archive, feature=feature)
    archive.seek(0)
    keys = {key: list(value.shape) for key, value in network.state_dict().items()}
    text = json.dumps({"outputs": figures(archive), "keys": keys}, indent=None)
    (ROOT / "tests" / "golden" / "torch_ir_se.json").write_text(text + "\n")


def main() -> None:
    if sys.argv[1:2] == ["ir-se"]:
        ir_se(Path(sys.argv[2]))
        return
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "golden"
    table = {path.stem: figures(path) for path in sorted(folder.glob("*.npz"))}
    lines = [f'  "{case}": {json.dumps(entries)}' for case, entries in table.items()]
    (ROOT / "tests" / "golden" / "torch_networks.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(table)} cases")


if __name__ == "__main__":
    main()
