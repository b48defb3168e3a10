"""Draw docs/images/frontalize.png: the mean head turned by several angles, and what `align.frontalize` makes of each. No photograph is used.

The head is the smooth surface through the 68 points of `align.mean_face`, shaded by a lamp at the camera, with eyes, brows and mouth drawn on it from
the same points; a grid on the skin shows how it is carried. Its landmarks are exact, so the picture shows the method, not a landmarker.

    python tools/frontalize_picture.py [docs/images/frontalize.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from faceworks import image
from faceworks.align import frontalize
from faceworks.align.frontal import _depth
from faceworks.align.mean_face import MEAN_FACE
from faceworks.draw import grid
from faceworks.types import Landmarks

SIDE, SCALE, FINE = 360, 84.0, 700
ANGLES = (-45, -30, -15, 0, 15, 30, 45)


def skin() -> tuple[np.ndarray, np.ndarray]:
    """The head's surface (FINE, FINE, 3) and its colors: a grid, and filled shapes for eyes, brows and mouth."""
    x, y = np.meshgrid(np.linspace(-1.15, 1.15, FINE), np.linspace(-1.3, 1.95, FINE))
    surface = np.stack([x, y, _depth(MEAN_FACE, x, y)], axis=2)
    colors = np.full((FINE, FINE, 3), (222, 180, 150), np.uint8)
    lines = (np.abs((x / 0.2) % 1 - 0.5) > 0.47) | (np.abs((y / 0.2) % 1 - 0.5) > 0.47)
    colors[lines] = (198, 152, 122)
    colors[x > 0.75] = np.asarray(colors[x > 0.75] * 0.82, np.uint8)  # one cheek darker: left and right can be told apart
    places = (MEAN_FACE[:, :2] - [-1.15, -1.3]) / [2.3, 3.25] * FINE
    for points, color in (
        (range(17, 22), (80, 50, 40)), (range(22, 27), (80, 50, 40)), (range(36, 42), (250, 250, 250)), (range(42, 48), (250, 250, 250)),
        (range(48, 60), (170, 60, 70)), (range(60, 68), (110, 20, 30)),
    ):  # fmt: skip
        outline = np.round(places[list(points)]).astype(np.int32)[:, None]
        closed = len(points) != 5
        (cv2.fillPoly(colors, [outline], color) if closed else cv2.polylines(colors, [outline], False, color, 12))
    for eye in (range(36, 42), range(42, 48)):
        center = places[list(eye)].mean(axis=0)
        cv2.circle(colors, (round(center[0]), round(center[1])), 14, (40, 70, 90), -1)
    return surface, colors


def render(surface: np.ndarray, colors: np.ndarray, yaw: float) -> tuple[np.ndarray, Landmarks]:
    """The surface painted from back to front, lit from the camera, and the 68 points in the picture."""
    turn = np.radians(yaw)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    across, down = np.gradient(surface[..., 2], surface[0, :, 0], axis=1), np.gradient(surface[..., 2], surface[:, 0, 1], axis=0)
    normal = np.stack([-across, -down, np.ones_like(across)], axis=2)
    light = np.clip((normal / np.linalg.norm(normal, axis=2, keepdims=True)) @ rotation.T[:, 2], 0.15, 1)[..., None]
    lit = (colors * (0.35 + 0.65 * light)).astype(np.uint8).reshape(-1, 3)
    turned = surface.reshape(-1, 3) @ rotation.T
    order = np.argsort(turned[:, 2])
    places = np.floor(turned[:, :2] * SCALE + [SIDE / 2, SIDE / 2 - 24]).astype(int)[order]
    picture = np.full((SIDE, SIDE, 3), 245, np.uint8)
    for dx in (0, 1):
        for dy in (0, 1):
            picture[np.clip(places[:, 1] + dy, 0, SIDE - 1), np.clip(places[:, 0] + dx, 0, SIDE - 1)] = lit[order]
    points = (MEAN_FACE @ rotation.T)[:, :2] * SCALE + [SIDE / 2, SIDE / 2 - 24]
    return picture, Landmarks(points.astype(np.float32), "ibug68")


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/frontalize.png")
    surface, colors = skin()
    turned, fronts, bare = [], [], []
    for yaw in ANGLES:
        picture, landmarks = render(surface, colors, yaw)
        turned.append(picture)
        fronts.append(frontalize(picture, landmarks, 300).pixels)
        bare.append(frontalize(picture, landmarks, 300, symmetry=False).pixels)
    captions = [f"turned by {yaw}°" for yaw in ANGLES] + ["frontalize"] * len(ANGLES) + ["without symmetry"] * len(ANGLES)
    target.parent.mkdir(parents=True, exist_ok=True)
    image.save(target, grid([*turned, *fronts, *bare], captions, columns=len(ANGLES), cell=(180, 180)))


if __name__ == "__main__":
    main()
