"""The annotated picture: panels hide nothing, and letters can be read however small or large the picture is."""

from __future__ import annotations

import numpy as np
import pytest

from faceworks.attributes.picture import COLORS, annotate
from faceworks.types import Categorical, Face, FaceResult, Scalar


def result(box: list[float]) -> FaceResult:
    return FaceResult(
        Face(np.array(box, np.float32), 0.9),
        None,
        {"emotion": Categorical("happy", {"happy": 0.75, "sad": 0.2, "angry": 0.05}), "age": Scalar(30.0, "years", (0.0, 100.0), 5.0)},
    )


@pytest.mark.parametrize("side", [24, 60, 400, 2500])
def test_the_panel_stands_beside_the_picture_and_its_bars_tell_the_shares(side: int) -> None:
    picture = np.full((side, side, 3), 120, np.uint8)
    out = annotate(picture, [result([side * 0.2, side * 0.2, side * 0.8, side * 0.8])])
    height = out.shape[0]
    left = out.shape[1] - (out.shape[1] - height if side >= 400 else out.shape[1] - round(side * min(height / side, 8)))
    panel = out[:, left:]
    bars = (panel == COLORS[0]).all(axis=2).sum(axis=1)
    bars = bars[bars < bars.max() * 0.99]  # without the head of the panel, which is as wide as it
    assert len(set(bars[bars > 0].tolist())) >= 3, "happy, sad and age have bars of different lengths"
    assert (panel.std(axis=(0, 1)) > 10).all()
    assert height >= 100, "a tiny picture is enlarged so that letters of 13 pixels have room"
    assert picture.min() == picture.max() == 120


def test_no_face_is_the_picture_itself_and_a_crowd_is_brief() -> None:
    picture = np.full((300, 400, 3), 90, np.uint8)
    np.testing.assert_array_equal(annotate(picture, []), picture)
    crowd = [result([10 + 40 * i, 20, 40 + 40 * i, 60]) for i in range(9)]
    few = annotate(picture, crowd[:2])
    assert annotate(picture, crowd).shape[1] < few.shape[1] * 4
