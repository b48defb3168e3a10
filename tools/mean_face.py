"""Derive the mean face of `faceworks.align.mean_face`: 68 points in three dimensions, and five on the forehead.

Width and height: the 68 points that dlib-68 finds in the neutral pictures of the Face Research Lab London Set (DeBruine and Jones, 2017,
CC BY 4.0), brought together by generalized Procrustes analysis, averaged, and made symmetric. Frontal pictures say nothing about depth, so depth
is stated by us below, in millimeters behind the tip of the nose for a face whose eye centers are 62 mm apart: rounded values of an adult's
profile (tip of the nose some 15 mm before its base, 20 mm before the wings; nasion 22 mm, eye corners 30 to 37 mm behind it; chin 17 mm behind
it; the jaw's contour falling back to 92 mm before the ears). One unit is the distance of the eye centers; the origin is their middle, in the
depth of the tip of the nose; x right, y down, z to the viewer.

    python tools/mean_face.py ../shared/data/london > src/faceworks/align/mean_face.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from faceworks import geometry, image
from faceworks.detect import load_detector
from faceworks.landmarks import load_landmarker

EYE_DISTANCE = 62.0
PAIRS = [
    *((i, 16 - i) for i in range(8)), (17, 26), (18, 25), (19, 24), (20, 23), (21, 22), (31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42),
    (40, 47), (41, 46), (48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65),
]  # fmt: skip
MIDDLE = [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
DEPTH = {
    0: 92, 1: 89, 2: 84, 3: 76, 4: 63, 5: 48, 6: 34, 7: 22, 8: 17, 17: 40, 18: 30, 19: 24, 20: 21, 21: 20, 27: 22, 28: 15, 29: 7, 30: 0,
    31: 19, 32: 16, 33: 14, 36: 37, 37: 31, 38: 29, 39: 31, 40: 30, 41: 32, 48: 27, 49: 18, 50: 13, 51: 13, 57: 16, 58: 17, 59: 21, 60: 25, 61: 16,
    62: 15, 66: 17, 67: 18,
}  # fmt: skip
FOREHEAD = [(0.0, -1.25, 27), (-0.5, -1.2, 32), (0.5, -1.2, 32), (-1.0, -0.95, 58), (1.0, -0.95, 58)]


def main() -> None:
    detector, landmarker = load_detector("yunet-2023mar-int8bq"), load_landmarker("dlib-68")
    shapes = []
    for path in sorted(Path(sys.argv[1], "neutral_front").glob("*.jpg")):
        picture = image.load(path)
        faces = detector.detect([picture])[0][:1]
        if faces:
            shapes.append(landmarker.locate([picture], [faces])[0][0].points.astype(np.float64))
    mean = shapes[0]
    for _ in range(10):
        mean = np.mean([geometry.apply(geometry.similarity_transform(shape, mean), shape) for shape in shapes], axis=0)
    mirrored = np.empty_like(mean)
    for a, b in PAIRS:
        mirrored[a], mirrored[b] = mean[b], mean[a]
    mirrored[MIDDLE] = mean[MIDDLE]
    mirrored = mirrored * [-1, 1]
    mean = (mean + geometry.apply(geometry.similarity_transform(mirrored, mean), mirrored)) / 2
    left, right = mean[36:42].mean(axis=0), mean[42:48].mean(axis=0)
    mean = geometry.apply(geometry.similarity_transform([left, right], [[-0.5, 0], [0.5, 0]]), mean)
    depth = np.zeros(68)
    for index, value in DEPTH.items():
        depth[index] = value
        for a, b in PAIRS:
            if index == a:
                depth[b] = value
    rows = np.column_stack([mean, -depth / EYE_DISTANCE])
    extra = np.array([[x, y, -z / EYE_DISTANCE] for x, y, z in FOREHEAD])
    print('"""The mean face: 68 points in the iBUG order and five on the forehead. Made by `tools/mean_face.py`, which says how."""\n')
    print("from __future__ import annotations\n\nimport numpy as np\n")
    print('__all__ = ["FOREHEAD", "MEAN_FACE", "MIDDLE", "PAIRS"]\n')
    print("MEAN_FACE = np.array(\n    [")
    for row in rows:
        print("        [" + ", ".join(f"{value:.4f}" for value in row) + "],")
    print('    ]\n)\n"""(68, 3): x right, y down, z to the viewer; one unit is the distance of the eye centers, whose middle is x = y = 0."""')
    print("FOREHEAD = np.array(\n    [")
    for row in extra:
        print("        [" + ", ".join(f"{value:.4f}" for value in row) + "],")
    print("    ]\n)")
    print("PAIRS = np.array(\n    [\n        " + ",\n        ".join(f"[{a}, {b}]" for a, b in PAIRS) + ",\n    ]\n)")
    print('"""Points that mirror each other: the viewer\'s left one first."""')
    print(f"MIDDLE = np.array({MIDDLE})")


if __name__ == "__main__":
    main()
