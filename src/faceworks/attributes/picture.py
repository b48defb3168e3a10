"""The picture of an analysis: every face numbered and framed, and beside the picture a panel for each with its bars.

The panels stand on ground of their own, so that they hide nothing and can be read on any picture; letters never become smaller than can be read: a
picture too small for its panels is enlarged, or stands alone beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import image as pictures
from ..draw import Color, draw, text_tag
from ..types import Categorical, FaceResult, ImageArray, Scalar
from .table import words

__all__ = ["COLORS", "annotate"]

COLORS: tuple[Color, ...] = (
    (0, 200, 110),
    (255, 170, 30),
    (70, 150, 255),
    (240, 90, 120),
    (180, 120, 255),
    (0, 190, 200),
    (200, 200, 60),
    (255, 120, 60),
)
"""Frames and panels of the first, second, … face; then again from the first."""
_GROUND: Color = (24, 26, 30)
_TRACK: Color = (58, 62, 70)
_LETTERS = (13, 60)  # pixels, smallest and largest
_CROWD = 6  # with more faces than this a panel is brief
_SHOWN = 8  # labels of a distribution, the most probable ones


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a panel: text, and how far its bar reaches (None = no bar)."""

    text: str
    share: float | None = None


def annotate(image: ImageArray, results: Sequence[FaceResult], *, font: str | None = None) -> ImageArray:
    """A new picture with numbered frames, and to its right one panel for each face.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        results: what `analyze` gave for it.
        font: font file for the letters.
    """
    picture = pictures.load(image)
    if not results:
        return np.array(picture)
    crowd = len(results) > _CROWD
    size = int(np.clip(round((picture.shape[0] * picture.shape[1]) ** 0.5 / (80 if crowd else 48)), *_LETTERS))
    panels = [_panel(number, result, size, font, crowd) for number, result in enumerate(results, start=1)]
    tall = max(panel.shape[0] for panel in panels)
    picture, scale = _enlarged(picture, tall)
    faces = [_scaled(result, scale) for result in results]
    colors = [COLORS[index % len(COLORS)] for index in range(len(results))]
    many = len(results) > 1
    marked = draw(
        picture, [item.face for item in faces], [str(n) if many else None for n in range(1, len(faces) + 1)], color=colors, landmarks=False, font=font
    )
    return _beside(marked, panels, max(4, size // 2))


def _enlarged(picture: ImageArray, tall: int) -> tuple[ImageArray, float]:
    """A picture lower than its panels, enlarged to their height (at most eightfold)."""
    scale = min(tall / picture.shape[0], 8.0)
    if scale <= 1.0:
        return picture, 1.0
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    return pictures.resize(picture, (height, width)), scale


def _scaled(result: FaceResult, scale: float) -> FaceResult:
    if scale == 1.0:
        return result
    face = result.face
    box = (face.box + 0.5) * scale - 0.5
    return FaceResult(type(face)(box, face.score, None, face.detector), None, result.attributes)


def _lines(attributes: Mapping[str, Categorical | Scalar], brief: bool) -> list[_Line]:
    """What a panel says; `brief`: a distribution is its label with one bar."""
    if brief:
        shares = {name: max(item.probabilities.values()) if isinstance(item, Categorical) else None for name, item in attributes.items()}
        return [_Line(words(item), shares[name]) for name, item in attributes.items()]
    lines: list[_Line] = []
    for name, item in attributes.items():
        lines.append(_Line(f"{name}: {words(item)}"))
        if isinstance(item, Categorical):
            ranked = sorted(item.probabilities.items(), key=lambda entry: -entry[1])[:_SHOWN]
            if len(ranked) > 2:
                lines += [_Line(label, value) for label, value in ranked]
            else:
                lines.append(_Line(ranked[0][0], ranked[0][1]))
        elif np.isfinite(item.range).all() and item.range[1] > item.range[0]:
            lines.append(_Line("", (item.value - item.range[0]) / (item.range[1] - item.range[0])))
    return lines


def _panel(number: int, result: FaceResult, size: int, font: str | None, brief: bool) -> ImageArray:
    """One face's panel: a colored head, then a line or a bar for each answer."""
    lines = _lines(result.attributes, brief) or [_Line("nothing was asked")]
    wide, pad = size * 17, max(3, size // 3)
    rows: list[ImageArray] = [
        _wide(text_tag(f"face {number}", size, COLORS[(number - 1) % len(COLORS)], wide, font), wide, COLORS[(number - 1) % len(COLORS)])
    ]
    for line in lines:
        text = text_tag(line.text, size, _GROUND, wide if line.share is None else wide // 2, font) if line.text else None
        tall = text.shape[0] if text is not None else max(4, size // 2)
        row = np.full((tall + pad // 2, wide, 3), _GROUND, np.uint8)
        if text is not None:
            row[: text.shape[0], : text.shape[1]] = text
        if line.share is not None:
            left = wide // 2 if line.text else pad
            right, top, bottom = wide - pad, tall // 4, max(tall // 4 + 2, tall - tall // 4)
            row[top:bottom, left:right] = _TRACK
            reach = left + round(float(np.clip(line.share, 0, 1)) * (right - left))
            row[top:bottom, left:reach] = COLORS[(number - 1) % len(COLORS)]
        rows.append(row)
    return np.concatenate(rows)


def _wide(piece: ImageArray, wide: int, ground: Color) -> ImageArray:
    out = np.full((piece.shape[0], wide, 3), ground, np.uint8)
    out[:, : piece.shape[1]] = piece[:, :wide]
    return out


def _beside(picture: ImageArray, panels: Sequence[ImageArray], gap: int) -> ImageArray:
    """The picture, and its panels in columns to its right."""
    height = max(picture.shape[0], max(panel.shape[0] for panel in panels))
    columns: list[list[ImageArray]] = [[]]
    for panel in panels:
        if columns[-1] and sum(item.shape[0] + gap for item in columns[-1]) + panel.shape[0] > height:
            columns.append([])
        columns[-1].append(panel)
    wide = max(panel.shape[1] for panel in panels)
    out = np.full((height, picture.shape[1] + len(columns) * (wide + gap), 3), _GROUND, np.uint8)
    out[: picture.shape[0], : picture.shape[1]] = picture
    for index, column in enumerate(columns):
        x, y = picture.shape[1] + gap + index * (wide + gap), 0
        for panel in column:
            out[y : y + panel.shape[0], x : x + wide] = panel
            y += panel.shape[0] + gap
    return out
