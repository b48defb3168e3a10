"""Write tests/golden/keras_published.json: what Keras itself gives for the published .h5 files that cards name, on fixed tensors.

KERAS_BACKEND=torch python tools/keras_goldens.py        # needs Keras 3 with any backend
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "golden")]

import tfjs_cases  # noqa: E402

from faceworks import assets, cards  # noqa: E402

CARDS = ("emotion-mini-xception", "gender-mini-xception")


def main() -> None:
    """Load each file with Keras and ask it."""
    found = {}
    for name in CARDS:
        model = keras.models.load_model(assets.fetch(cards.get(name).file_for()), compile=False)
        found[name] = [float(value) for value in np.asarray(model.predict(tfjs_cases.tensor(name), verbose=0)).reshape(-1)]
    document = {"made": {"by": "tools/keras_goldens.py", "keras": keras.__version__, "backend": keras.backend.backend()}, "outputs": found}
    (ROOT / "tests" / "golden" / "keras_published.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
