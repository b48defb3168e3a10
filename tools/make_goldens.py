"""Make `tests/golden/*.json` again, with other people's implementations: OpenCV's detector and decoder, scikit-image's transform, onnx's evaluator.

    python tools/make_goldens.py [yunet] [sface]

Nothing of faceworks takes part but the cards and the files that they name. Only numbers are written, no pictures. The reference evaluator needs about
three seconds a face.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import skimage
from onnx.reference import ReferenceEvaluator
from skimage.transform import SimilarityTransform

from faceworks import assets, cards

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden"
PORTRAITS = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")
TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
SIDE = 640


def picture(role: str) -> np.ndarray:
    """A sample picture, BGR, as OpenCV decodes it."""
    loaded = cv2.imread(str(assets.fetch(cards.get("samples").file_for(role))))
    assert loaded is not None
    return loaded


def halved(bgr: np.ndarray) -> np.ndarray:
    """The mean of 2x2 pixels, halves up, as long as the picture is more than twice too large."""
    fit = SIDE / max(bgr.shape[:2])
    while fit < 0.5:
        height, width = bgr.shape[0] // 2, bgr.shape[1] // 2
        sums = bgr[: 2 * height, : 2 * width].astype(np.uint16).reshape(height, 2, width, 2, 3).sum(axis=(1, 3))
        bgr, fit = ((sums + 2) // 4).astype(np.uint8), 2 * fit
    return bgr


def scale_of(shape: tuple[int, ...]) -> float:
    """Shrunk to fit 640 x 640; a picture below 512 is enlarged to it, at most twofold."""
    longer = max(shape[:2])
    return SIDE / longer if longer > SIDE else max(1.0, min(512 / longer, 2.0))


def letterboxed(bgr: np.ndarray) -> np.ndarray:
    """Halved, then at the scale of `scale_of` (bilinear), at the top left on black."""
    bgr = halved(bgr)
    scale = scale_of(bgr.shape)
    size = (round(bgr.shape[1] * scale), round(bgr.shape[0] * scale))
    small = bgr if scale == 1.0 else cv2.resize(bgr, size, interpolation=cv2.INTER_LINEAR)
    return cv2.copyMakeBorder(small, 0, SIDE - size[1], 0, SIDE - size[0], cv2.BORDER_CONSTANT)


def numbers(array: np.ndarray, digits: int) -> Any:
    """Nested lists with so many digits after the point."""
    return np.round(np.asarray(array, dtype=np.float64), digits).tolist()


def write(name: str, card: str, tool: str, body: dict[str, Any]) -> None:
    """One JSON file: who made it, from what, and the numbers."""
    made = {"by": tool, "date": datetime.date.today().isoformat(), "card": card, "sha256": cards.get(card).file_for().sha256}
    path = FOLDER / f"{name}.json"
    text = json.dumps({"made": made, **body}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path}: {len(text)} bytes")


def yunet(card: str = "yunet-2023mar-int8bq") -> dict[str, np.ndarray]:
    """Rows of x, y, width, height, ten point coordinates, score, in pixels of the letterboxed picture."""
    decode = cards.get(card).decode
    model = str(assets.fetch(cards.get(card).file_for()))
    detector = cv2.FaceDetectorYN.create(model, "", (SIDE, SIDE), decode["min_score"], decode["iou"], decode["candidates"])
    rows: dict[str, np.ndarray] = {}
    for role in (*PORTRAITS, "group"):
        _, found = detector.detect(letterboxed(picture(role)))
        rows[role] = np.zeros((0, 15)) if found is None else found
    write(f"{card}-cv2", card, f"cv2.FaceDetectorYN {cv2.__version__} on the published file", {"faces": {k: numbers(v, 4) for k, v in rows.items()}})
    return rows


def sface(rows: dict[str, np.ndarray], card: str = "sface-2021dec-int8bq") -> None:
    """Cosines of the portraits' best faces: five points of OpenCV, transform of scikit-image, warp of OpenCV, graph as published.

    The vectors themselves are not kept: they are biometric data of people.
    """
    evaluator = ReferenceEvaluator(str(assets.fetch(cards.get(card).file_for())))
    vectors: list[np.ndarray] = []
    points_used: dict[str, Any] = {}
    for role in PORTRAITS:
        bgr = picture(role)
        scale = scale_of(bgr.shape)
        exact = np.array([round(bgr.shape[1] * scale) / bgr.shape[1], round(bgr.shape[0] * scale) / bgr.shape[0]])
        points = (rows[role][0, 4:14].reshape(5, 2) + 0.5) / exact - 0.5
        matrix = SimilarityTransform.from_estimate(points, TEMPLATE).params[:2]
        crop = cv2.warpAffine(bgr, matrix, (112, 112))[..., ::-1]
        blob = crop.astype(np.float32).transpose(2, 0, 1)[None]
        vectors.append(np.asarray(evaluator.run(None, {"data": blob})[0], dtype=np.float64)[0])
        points_used[role] = numbers(points, 4)
        print(role, flush=True)
    unit = np.array([vector / np.linalg.norm(vector) for vector in vectors])
    tool = f"onnx.reference {onnx.__version__} on the published file; scikit-image {skimage.__version__} transform, OpenCV {cv2.__version__} warp"
    write(f"{card}-onnx-reference", card, tool, {"points": points_used, "cosines": numbers(unit @ unit.T, 6)})


def main() -> None:
    """Make what is named, or all."""
    wanted = sys.argv[1:] or ["yunet", "sface"]
    rows = yunet()
    if "sface" in wanted:
        sface(rows)


if __name__ == "__main__":
    main()
