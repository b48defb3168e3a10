"""Write `tests/golden/torch_networks.json`: a few figures of each case of ../shared/golden, so that a plain clone can check the loaders.

    python tools/make_torch_golden.py [FOLDER]      FOLDER holds CASE.json and CASE.npz, default ../shared/golden

The figures are the outputs of the original implementations (never ours), at evenly spaced places of the flattened array.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

PLACES = 12
ROOT = Path(__file__).resolve().parents[1]


def figures(path: Path) -> dict[str, dict[str, object]]:
    """{output: size, scale, places, values} of one npz file."""
    entries: dict[str, dict[str, object]] = {}
    for name, array in np.load(path).items():
        flat = array.reshape(-1)
        places = np.unique(np.linspace(0, flat.size - 1, PLACES).astype(int))
        scale = float(np.abs(flat).max())
        values = [float(f"{value:.8g}") for value in flat[places]]
        entries[name] = {"size": int(flat.size), "scale": float(f"{scale:.8g}"), "places": places.tolist(), "values": values}
    return entries


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "golden"
    table = {path.stem: figures(path) for path in sorted(folder.glob("*.npz"))}
    lines = [f'  "{case}": {json.dumps(entries)}' for case, entries in table.items()]
    (ROOT / "tests" / "golden" / "torch_networks.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(table)} cases")


if __name__ == "__main__":
    main()
