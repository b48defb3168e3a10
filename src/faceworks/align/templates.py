"""Where facial points lie: in the templates that networks were trained on, and in each landmark scheme."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..types import Landmarks

__all__ = ["DLIB5", "DLIB68", "DLIB68_POINTS", "EYES", "TEMPLATES", "eye_centers"]

_ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""Reference points for 112x112 (height x width), pixel centers: published with SphereFace for 112x96 and widened by 8 px in ArcFace."""

_CHIP = np.array([[19.052, 18.774], [43.842, 18.290], [31.505, 33.360], [21.171, 44.879], [42.578, 44.611]])
"""Where YuNet's five points lie in dlib's chip of 64 pixels with a padding of 0.2: medians over 1,600 faces (LFW, London Set). A chip without dlib."""

TEMPLATES: Mapping[str, tuple[NDArray[np.float64], tuple[int, int], str]] = {
    "arcface-112x112": (_ARCFACE, (112, 112), "arcface5"),
    "arcface-112x96": (_ARCFACE - [8.0, 0.0], (112, 96), "arcface5"),
    "chip-64x64": (_CHIP, (64, 64), "arcface5"),
}
"""Template name -> (points (K, 2), size (height, width) they are given for, landmark scheme)."""

DLIB5 = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
"""Where the dlib chip puts the `dlib5` points, in fractions of an unpadded chip (dlib 19.4 and later, `get_face_chip_details`)."""

DLIB68_POINTS = np.array([*range(27, 55), *range(60, 65)])
"""The `ibug68` points that place the dlib chip: nose, eyes and upper lip, neither brows nor chin nor lower lip."""

_X = """.490127 .490127 .490127 .490127 .36688 .426036 .490127 .554217 .613373 .121737 .187122 .265825 .334606 .260918 .182743 .645647 .714428
    .793132 .858516 .79751 .719335 .254149 .340985 .428858 .490127 .551395 .639268 .726104 .290379 .428096 .490127 .552157 .689874"""
_Y = """.203352 .307009 .409805 .515625 .587326 .609345 .628106 .609345 .587326 .216423 .178758 .179852 .231733 .245099 .244077 .231733 .179852
    .178758 .216423 .244077 .245099 .780233 .745405 .727388 .742578 .727388 .745405 .780233 .784792 .778746 .785343 .778746 .784792"""
DLIB68 = np.array([[float(item) for item in text.split()] for text in (_X, _Y)]).T
"""Where the dlib chip puts `DLIB68_POINTS`, in fractions of an unpadded chip (the mean face of the iBUG points, as dlib gives it)."""

EYES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "arcface5": ((0,), (1,)),
    "dlib5": ((2, 3), (0, 1)),
    "blazeface6": ((0,), (1,)),
    "ibug68": ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47)),
    "mesh468": ((33, 133), (362, 263)),
}
"""Scheme -> the points of the viewer's left eye, of the right eye."""


def eye_centers(landmarks: Landmarks | None) -> NDArray[np.float64]:
    """Centers (2, 2) of the two eyes, the viewer's left one first.

    Raises:
        InputError: no landmarks.
    """
    if landmarks is None:
        raise InputError(
            f"this crop needs landmarks with both eyes ({', '.join(EYES)}), the face has none; use a detector or landmarker that gives them"
        )
    points = landmarks.points.astype(np.float64)
    left, right = EYES[landmarks.scheme]
    return np.stack([points[list(left)].mean(axis=0), points[list(right)].mean(axis=0)])
