"""Pose normalization: a face turned to the front, after Hassner et al., "Effective face frontalization in unconstrained images", CVPR 2015.

A mean head (`mean_face`, our own) is posed under a scaled orthographic camera so that its points meet the face's; every pixel of a frontal
picture is fetched from where its point of the head lies in the picture; what the pose hides is taken from the other half, which the pose shows.
Two things differ from the paper: the head's surface is a thin-plate spline through the points instead of a mesh, and its points are adapted to
the person as far as a symmetric head can be told from one picture (so a frontal face keeps its own proportions).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import InputError
from ..types import FloatArray, ImageArray, Landmarks, frozen
from .mean_face import FOREHEAD, MEAN_FACE, MIDDLE, PAIRS

__all__ = ["MESH_TO_IBUG", "Frontal", "Pose", "fit_pose", "frontalize", "similarity_to_front"]

Array = NDArray[np.float64]
MESH_TO_IBUG = np.array(
    [127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356, 70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4,
     75, 97, 2, 326, 305, 33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13,
     312, 308, 317, 14, 87]
)  # fmt: skip
"""The vertices of the 468-point mesh that stand for the 68 iBUG points."""

_INNER = np.arange(17, 68)  # the contour 0..16 slides over the head as it turns
_FIVE = np.stack([MEAN_FACE[36:42].mean(axis=0), MEAN_FACE[42:48].mean(axis=0), MEAN_FACE[30], MEAN_FACE[48], MEAN_FACE[54]])  # as `arcface5`
_EYE_ROW, _EYE_SPAN = 0.38, 0.30  # of the frontal picture: height of the eyes, distance of their centers
_GRID = 56
_PRIOR = np.diag([0.02, 0.02, 0.25])  # how firmly a point keeps to the mean head, against one pixel pair seen under scale 1
_TURNED = (8.0, 20.0)  # degrees of yaw between which the hidden half fades to the other one
_FACING = (0.15, 0.50)  # cosine of surface and view between which a pixel counts as seen


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """A scaled orthographic camera and the head before it.

    Attributes:
        rotation: (3, 3); its third row looks from the head to the camera.
        scale: pixels for one unit (the distance of the eye centers).
        offset: (2,) pixels.
        points: (68, 3) the head's points, adapted to the person.
        yaw, pitch, roll: degrees. Positive yaw turns the face to the viewer's right, pitch downward, roll clockwise.
    """

    rotation: Array
    scale: float
    offset: Array
    points: Array
    yaw: float
    pitch: float
    roll: float

    def project(self, points: Array) -> Array:
        """Points (…, 3) of the head to pixels (…, 2)."""
        return np.asarray(self.scale * points @ self.rotation[:2].T + self.offset)


@dataclass(frozen=True, slots=True, eq=False)
class Frontal:
    """A frontalized face.

    Attributes:
        pixels: (size, size, 3) uint8 RGB; what lies outside the picture is black.
        points: (68, 2) float32, where the 68 points stand in it.
        pose: of the face in the picture.
        seen: (size, size) float32 in [0, 1]: how far a pixel comes from its own side of the face.
    """

    pixels: ImageArray
    points: FloatArray
    pose: Pose
    seen: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", frozen(self.points, np.float32, (68, 2), "frontal points"))


def _points68(landmarks: Landmarks | None) -> Array:
    if landmarks is None or landmarks.scheme not in ("ibug68", "mesh468"):
        have = "none" if landmarks is None else landmarks.scheme
        raise InputError(f"frontalizing needs ibug68 or mesh468 landmarks, the face has {have}; ask a landmarker such as dlib-68 or pfld-68 for them")
    points = landmarks.points.astype(np.float64)
    return points if len(points) == 68 else points[MESH_TO_IBUG]


def _camera(head: Array, points: Array) -> tuple[Array, float, Array]:
    """Rotation, scale, offset by least squares over the inner points; the affine solution is made orthogonal by its singular values."""
    if len(points) == 68:
        head, points = head[_INNER], points[_INNER]
    return _affine_camera(head, points)


def _affine_camera(source: Array, target: Array) -> tuple[Array, float, Array]:
    affine, *_ = np.linalg.lstsq(np.column_stack([source, np.ones(len(source))]), target, rcond=None)
    u, s, vt = np.linalg.svd(affine[:3].T, full_matrices=False)
    if not np.isfinite(s).all() or s[1] < 1e-6:
        raise InputError("the landmarks lie on one point or line: no pose fits them")
    rows = u @ vt
    scale = float(s.mean())
    rotation = np.vstack([rows, np.cross(rows[0], rows[1])])
    return rotation, scale, np.asarray(target.mean(axis=0) - scale * rows @ source.mean(axis=0))


def _adapt(points: Array, rotation: Array, scale: float, offset: Array) -> Array:
    """The symmetric head nearest to the mean one whose points project onto `points`; the contour keeps its depth.

    For a pair, (±x, y, z) project by the rows of the camera: four equations for three numbers, plus the prior.
    """
    seen = (points - offset) / scale
    head = MEAN_FACE.copy()
    rows = rotation[:2]
    for a, b in PAIRS.tolist():
        prior = _PRIOR * (1.0 if a >= 17 else 20.0)
        system = np.vstack([rows, rows * [-1, 1, 1]])  # of the viewer's right point (b); its mirror is a
        target = np.concatenate([seen[b], seen[a]])
        x, y, z = np.linalg.solve(system.T @ system + prior, system.T @ target + prior @ MEAN_FACE[b])
        head[b], head[a] = (x, y, z), (-x, y, z)
    for index in MIDDLE.tolist():
        prior = (_PRIOR * (1.0 if index >= 17 else 20.0))[1:, 1:]
        system = rows[:, 1:]
        y, z = np.linalg.solve(system.T @ system + prior, system.T @ seen[index] + prior @ MEAN_FACE[index, 1:])
        head[index] = (0.0, y, z)
    return head


def fit_pose(landmarks: Landmarks | None) -> Pose:
    """Pose of a face from its `ibug68` or `mesh468` landmarks, or roughly from the five of `arcface5` (the head is then the mean one).

    Raises:
        InputError: other landmarks, or points that no pose fits.
    """
    head = MEAN_FACE
    if landmarks is not None and landmarks.scheme == "arcface5":
        rotation, scale, offset = _camera(_FIVE, landmarks.points.astype(np.float64))
    else:
        points = _points68(landmarks)
        rotation, scale, offset = _camera(head, points)
        for _ in range(3):
            head = _adapt(points, rotation, scale, offset)
            rotation, scale, offset = _camera(head, points)
    # rotation = roll about z · pitch about x · yaw about y
    angles = [
        np.arctan2(-rotation[2, 0], rotation[2, 2]),
        np.arctan2(-rotation[2, 1], np.hypot(rotation[2, 0], rotation[2, 2])),
        np.arctan2(-rotation[0, 1], rotation[1, 1]),
    ]
    yaw, pitch, roll = (float(np.degrees(angle)) for angle in angles)
    return Pose(rotation, scale, offset, head, yaw, pitch, roll)


def _kernel(squared: Array) -> Array:
    return np.asarray(np.where(squared > 0, squared * np.log(np.maximum(squared, 1e-12)), 0.0))


def _depth(head: Array, x: Array, y: Array) -> Array:
    """Depth of the head's surface at frontal coordinates: a thin-plate spline through its points and the forehead's."""
    knots = np.vstack([head, FOREHEAD])
    count = len(knots)
    squared = ((knots[:, None, :2] - knots[None, :, :2]) ** 2).sum(axis=2)
    plane = np.column_stack([np.ones(count), knots[:, :2]])
    system = np.block([[_kernel(squared) + 1e-4 * np.eye(count), plane], [plane.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.concatenate([knots[:, 2], np.zeros(3)]))
    apart = (x[..., None] - knots[:, 0]) ** 2 + (y[..., None] - knots[:, 1]) ** 2
    depth = _kernel(apart) @ weights[:count] + weights[count] + weights[count + 1] * x + weights[count + 2] * y
    return np.asarray(np.clip(depth, knots[:, 2].min() - 0.3, 0.2))


def _ramp(values: Array, low: float, high: float) -> Array:
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0))


def _visible(pose: Pose, surface: Array) -> Array:
    """How far each point of the surface (G, G, 3) is seen, in [0, 1]: it must face the camera, and no other part may stand before it."""
    along = np.gradient(surface[..., 2], surface[0, :, 0], axis=1)
    down = np.gradient(surface[..., 2], surface[:, 0, 1], axis=0)
    normal = np.stack([-along, -down, np.ones_like(along)], axis=2)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    facing = _ramp(normal @ pose.rotation[2], *_FACING)
    flat = surface.reshape(-1, 3) @ pose.rotation.T
    step = float(surface[0, 1, 0] - surface[0, 0, 0]) * 1.5
    cells = np.floor((flat[:, :2] - flat[:, :2].min(axis=0)) / step).astype(np.intp)
    where = cells[:, 1] * (cells[:, 0].max() + 1) + cells[:, 0]
    nearest = np.full(where.max() + 1, -np.inf)
    np.maximum.at(nearest, where, flat[:, 2])
    hidden = (nearest[where] - flat[:, 2] > 0.15).reshape(surface.shape[:2])
    return np.asarray(facing * ~hidden)


def frontalize(picture: ImageArray, landmarks: Landmarks | None, size: int = 224, symmetry: bool = True) -> Frontal:
    """Turn a face to the front: (H, W, 3) uint8 RGB in, a square of `size` pixels out, eyes level at 0.38 of its height and 0.30 of it apart.

    Args:
        landmarks: `ibug68` or `mesh468` points of the face.
        symmetry: fill what the pose hides from the other half of the face.

    Raises:
        InputError: other landmarks, points that no pose fits, or a size below 16.
    """
    import cv2

    if size < 16:
        raise InputError(f"a frontal picture needs at least 16 pixels, got {size}")
    pose = fit_pose(landmarks)
    unit = _EYE_SPAN * size
    edges = (np.arange(_GRID) / (_GRID - 1)) * (size - 1)
    x, y = np.meshgrid((edges - (size - 1) / 2) / unit, (edges - _EYE_ROW * (size - 1)) / unit)
    surface = np.stack([x, y, _depth(pose.points, x, y)], axis=2)
    fine = np.array([[(_GRID - 1) / (size - 1), 0, 0], [0, (_GRID - 1) / (size - 1), 0]])

    def enlarge(values: Array) -> FloatArray:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out: FloatArray = cv2.warpAffine(values.astype(np.float32), fine, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return out

    places = enlarge(pose.project(surface))
    shrink = pose.scale / unit
    low = np.floor(np.clip(places.reshape(-1, 2).min(axis=0) - 2, 0, None)).astype(int)
    high = np.ceil(places.reshape(-1, 2).max(axis=0) + 3).astype(int)
    piece = np.ascontiguousarray(picture[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)])
    if piece.size == 0:
        raise InputError("the landmarks lie outside the picture")
    if shrink > 2:
        piece = cv2.GaussianBlur(piece, (0, 0), shrink / 3)
    places = places - low.astype(np.float32)
    front = cv2.remap(piece, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    seen = enlarge(_visible(pose, surface))
    seen = np.clip(cv2.GaussianBlur(seen, (0, 0), size / 56), 0, 1)
    turned = float(_ramp(np.array(abs(pose.yaw)), *_TURNED)) if symmetry else 0.0
    share = 1 - turned * (1 - seen) * seen[:, ::-1]
    mixed = front * share[..., None] + front[:, ::-1] * (1 - share[..., None])
    points = pose.points[:, :2] * unit + [(size - 1) / 2, _EYE_ROW * (size - 1)]
    return Frontal(np.clip(mixed + 0.5, 0, 255).astype(np.uint8), points.astype(np.float32), pose, share.astype(np.float32))


def similarity_to_front(landmarks: Landmarks | None, frontal: Frontal) -> Array:
    """The (2, 3) similarity from picture to frontal picture that fits the points best: what a crop's matrix can say of a turned face."""
    return geometry.similarity_transform(_points68(landmarks)[_INNER], frontal.points[_INNER])
