"""Write `tests/golden/dlib.json`: what dlib itself gives for the sample pictures. Needs the dlib wheel (`pip install dlib-bin`).

    python tools/dlib_goldens.py > tests/golden/dlib.json

For each picture: the boxes of both detectors (first and last pixels inside) with scores, and for the best HOG face the 5 and 68 points, every
15th pixel of the 150-pixel chip by either, and the vector of the five-point chip. Numbers only: no picture leaves this script.
"""

from __future__ import annotations

import json
import sys

import dlib
import numpy as np

from faceworks import assets, cards, image


def main() -> None:
    def path(name: str) -> str:
        return str(assets.fetch(cards.get(name).file[0], progress=False))

    hog = dlib.get_frontal_face_detector()
    mmod = dlib.cnn_face_detection_model_v1(path("dlib-mmod"))
    predictors = {"dlib5": dlib.shape_predictor(path("dlib-5")), "ibug68": dlib.shape_predictor(path("dlib-68"))}
    recognizer = dlib.face_recognition_model_v1(path("dlib-resnet-v1"))
    out: dict[str, object] = {"dlib": dlib.__version__, "pictures": {}}
    for file in cards.get("samples").file:
        if not file.name.endswith(".jpg"):
            continue
        picture = image.load(assets.fetch(file, progress=False))
        rectangles, scores, _ = hog.run(picture, 0, 0.0)
        found = mmod(picture, 0)
        entry: dict[str, object] = {
            "size": list(picture.shape[:2]),
            "hog": [[[r.left(), r.top(), r.right(), r.bottom()], round(s, 6)] for r, s in zip(rectangles, scores, strict=True)],
            "mmod": [[[d.rect.left(), d.rect.top(), d.rect.right(), d.rect.bottom()], round(d.confidence, 6)] for d in found],
        }
        if len(rectangles):
            best = rectangles[int(np.argmax(scores))]
            for scheme, predictor in predictors.items():
                shape = predictor(picture, best)
                chip = dlib.get_face_chip(picture, shape, 150, 0.25)
                entry[scheme] = [[p.x, p.y] for p in shape.parts()]
                entry[f"chip-{scheme}"] = chip[::15, ::15].reshape(-1).tolist()
                if scheme == "dlib5":
                    entry["vector"] = [round(v, 7) for v in recognizer.compute_face_descriptor(chip)]
            entry["face"] = [best.left(), best.top(), best.right(), best.bottom()]
        out["pictures"][file.name] = entry  # type: ignore[index]
    json.dump(out, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
