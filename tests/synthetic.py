"""Pictures, faces and networks made by code: nothing here was photographed or trained, so everything can be derived by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from faceworks.types import Face, Landmarks

ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""The ArcFace template for 112x112, as published; written again here so that tests do not ask the code for its own answer."""


def gradient(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Red grows to the right, green grows downward, blue is their sum: every pixel tells its place."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / max(1, width - 1), y * 255 / max(1, height - 1), (x + y) % 256], axis=2).astype(np.uint8)


def noise(height: int = 64, width: int = 96, seed: int = 0) -> NDArray[np.uint8]:
    """Independent uniform pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def disk(height: int, width: int, center: tuple[float, float], radius: float) -> NDArray[np.uint8]:
    """A white disk on gray with soft edges; `center` is (x, y)."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    inside = np.clip(radius + 0.5 - np.hypot(x - center[0], y - center[1]), 0, 1)
    return np.repeat((60 + 195 * inside)[..., None], 3, axis=2).astype(np.uint8)


def dots(height: int, width: int, points: NDArray[np.float64], radius: float = 3.0) -> NDArray[np.uint8]:
    """Black ground with a Gaussian spot at each of five points, found again by `spot_center`."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    out = np.zeros((height, width))
    for px, py in points:
        out = np.maximum(out, 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2)))
    return np.repeat(out[..., None], 3, axis=2).astype(np.uint8)


def spot_center(picture: NDArray[np.uint8], near: NDArray[np.float64], radius: int = 8) -> NDArray[np.float64]:
    """Center of mass of the brightness within `radius` of a point, iterated: subpixel place of a spot."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float64)
    center = np.asarray(near, dtype=np.float64)
    for _ in range(20):
        weight = picture[..., 0].astype(np.float64) * (np.hypot(x - center[0], y - center[1]) <= radius)
        center = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    return center


def turned(degrees: float, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
    """A similarity (2, 3): rotation (x toward y), scale, shift."""
    angle = np.deg2rad(degrees)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def moved(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (K, 2) under a (2, 3) transform."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def face_at(points: NDArray[np.float64], margin: float = 30.0, score: float = 0.9) -> Face:
    """A face with five points and a box around them."""
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    return Face(np.concatenate([low, high]).astype(np.float32), score, Landmarks(points.astype(np.float32)), "drawn")


def drawn_face(size: int = 400) -> NDArray[np.uint8]:
    """A cartoon: head, eyes, brows, nose, mouth, with some shading. Not a person; only for shapes and sizes."""
    picture = np.full((size, size, 3), (120, 150, 170), np.uint8)
    u = size / 400

    def at(x: float, y: float) -> tuple[int, int]:
        return round(x * u), round(y * u)

    cv2.ellipse(picture, at(200, 210), at(95, 125), 0, 0, 360, (225, 180, 150), -1, cv2.LINE_AA)
    cv2.ellipse(picture, at(200, 120), at(98, 60), 0, 180, 360, (60, 40, 30), -1, cv2.LINE_AA)
    for x in (162, 238):
        cv2.ellipse(picture, at(x, 190), at(18, 9), 0, 0, 360, (250, 250, 250), -1, cv2.LINE_AA)
        cv2.circle(picture, at(x, 190), round(8 * u), (50, 35, 30), -1, cv2.LINE_AA)
        cv2.line(picture, at(x - 22, 168), at(x + 22, 166), (70, 45, 35), max(1, round(6 * u)), cv2.LINE_AA)
    cv2.line(picture, at(200, 195), at(192, 240), (200, 150, 120), max(1, round(4 * u)), cv2.LINE_AA)
    cv2.ellipse(picture, at(200, 244), at(16, 8), 0, 0, 180, (190, 135, 110), -1, cv2.LINE_AA)
    cv2.ellipse(picture, at(200, 278), at(34, 12), 0, 0, 360, (180, 80, 80), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 1.5 * u)


def linear_network(path: Path, channels: int = 3, out: int = 4, batch: int | str = "batch", seed: int = 0) -> Path:
    """An ONNX file: 1x1 convolution, global average, flatten to (N, out)."""
    weight = np.random.default_rng(seed).normal(size=(out, channels, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["a"]),
            helper.make_node("GlobalAveragePool", ["a"], ["b"]),
            helper.make_node("Flatten", ["b"], ["y"], axis=1),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, channels, "h", "w_"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, out])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path
