"""The contact sheet of all detectors: one cell each, legible for pictures of any size, and one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from conftest import need
from faceworks.contact import CELL, Sighting, contact_sheet, ready_detectors, sightings
from faceworks.errors import InputError
from faceworks.types import Face, Landmarks

SIZES = [(1, 1), (7, 5), (480, 640), (2000, 90), (60, 3000)]


def seen(height: int, width: int, count: int = 5) -> list[Sighting]:
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * [width / 2, height / 2]
    face = Face(np.array([0, 0, width / 2, height / 2], np.float32), 0.9, Landmarks(points.astype(np.float32)), "made")
    return [Sighting(f"made-{index}", (face,) * (index % 3), 12.3) for index in range(count)]


@pytest.mark.parametrize("size", SIZES)
def test_the_sheet_is_legible_whatever_the_pictures_size(size: tuple[int, int]) -> None:
    """Cells of one size for all pictures of a shape: three columns for five detectors, and room for two lines of text below each."""
    sheet = contact_sheet(np.full((*size, 3), 128, np.uint8), seen(*size))
    assert 3 * CELL / 2 <= sheet.shape[1] <= 3 * CELL * 1.3
    assert sheet.shape[0] <= 2 * CELL * 1.6
    dark = (sheet < 60).all(axis=2)
    assert dark.sum() > 500, "no letters"
    tall = np.flatnonzero(dark.any(axis=1))
    assert len(tall) >= 4 * 8, "letters of two lines in two rows, at least 8 pixels high"


def test_boxes_are_drawn_where_the_faces_are() -> None:
    picture = np.zeros((960, 960, 3), np.uint8)
    face = Face(np.array([480, 240, 720, 720], np.float32), 0.9, None, "made")
    sheet = contact_sheet(picture, [Sighting("one", (face,), 1.0)])
    green = np.argwhere((sheet == (0, 220, 110)).all(axis=2))
    ground = np.argwhere((sheet == 0).all(axis=2)).min(axis=0)
    (top, left), (bottom, right) = green.min(axis=0) - ground, green.max(axis=0) - ground
    assert (np.abs(np.array([left, top, right, bottom]) - [240, 120, 360, 360]) <= 3).all()


def test_who_fails_is_named_and_left_out() -> None:
    failed = Sighting("broken", (), 0.0, "why it broke")
    sheet = contact_sheet(np.zeros((50, 50, 3), np.uint8), [failed, *seen(50, 50, 1)])
    assert sheet.shape[1] < 1.3 * CELL
    with pytest.raises(InputError, match="broken: why it broke"):
        contact_sheet(np.zeros((50, 50, 3), np.uint8), [failed])
    with pytest.raises(InputError, match="models pull"):
        contact_sheet(np.zeros((50, 50, 3), np.uint8), [])


@pytest.mark.assets
def test_detectors_side_by_side(pictures: Mapping[str, np.ndarray]) -> None:
    need("haar-frontalface", "yunet-2023mar-int8bq")
    names = ["haar-frontalface", "no-such-detector", "yunet-2023mar-int8bq"]
    found = sightings(pictures["person_b_1"], names)
    assert [item.detector for item in found] == names
    assert [len(item.faces) for item in found] == [1, 0, 1]
    assert "no-such-detector" in found[1].error
    assert all((item.milliseconds > 0) != bool(item.error) for item in found)
    ready = ready_detectors()
    assert {"haar-frontalface", "yunet-2023mar-int8bq"} <= set(ready)
    assert "whole" not in ready
