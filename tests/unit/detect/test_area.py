"""The area resampler against its definition: plain means over whole pixels."""

from __future__ import annotations

import numpy as np
import pytest

from faceworks.cards import InputSpec
from faceworks.detect.area import Integral, bins

RAW = InputSpec(crop="image")
NETWORK = InputSpec(crop="image", mean=(127.5, 127.5, 127.5), std=(128.0, 128.0, 128.0))


def means(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Adaptive average pooling by its formula, one bin after the other, in float64."""
    height, width = picture.shape[:2]
    out = np.empty((3, *size))
    for i in range(size[0]):
        for j in range(size[1]):
            top, bottom = i * height // size[0], -((-(i + 1) * height) // size[0])
            left, right = j * width // size[1], -((-(j + 1) * width) // size[1])
            out[:, i, j] = picture[top:bottom, left:right].reshape(-1, 3).astype(np.float64).mean(axis=0)
    return out


@pytest.mark.parametrize(("size", "target"), [((37, 53), (11, 17)), ((12, 12), (12, 12)), ((5, 7), (13, 9)), ((1, 1), (24, 24)), ((240, 8), (7, 3))])
def test_whole_picture(size: tuple[int, int], target: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert np.abs(Integral.of(picture, RAW).resampled(target) - means(picture, target)).max() < 2e-5
    normalized = (means(picture, target) - 127.5) / 128
    assert np.abs(Integral.of(picture, NETWORK).resampled(target) - normalized).max() < 1e-6


def test_crops() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    boxes = [(0, 0, 83, 61), (5, 7, 29, 31), (80, 58, 83, 61), (10, 10, 11, 60)]
    got = Integral.of(picture, RAW).crops(boxes, 24)
    for crop, (x1, y1, x2, y2) in zip(got, boxes, strict=True):
        assert np.abs(crop - means(picture[y1:y2, x1:x2], (24, 24))).max() < 2e-5


def test_no_crops() -> None:
    assert Integral.of(np.zeros((4, 4, 3), np.uint8), RAW).crops([], 24).shape == (0, 3, 24, 24)


def test_color_order() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[..., 0] = 200
    assert Integral.of(picture, InputSpec(crop="image", color="BGR")).resampled((2, 2))[:, 0, 0].tolist() == [0, 0, 200]


def test_tables_that_overflow_give_exact_means() -> None:
    """25 million white pixels sum to three times 2³¹: the tables wrap, the means do not."""
    picture = np.full((5000, 5000, 3), 255, np.uint8)
    picture[4000:, 4000:] = 7
    small = Integral.of(picture, RAW).resampled((5, 5))
    assert (small[:, :4] == 255).all()
    assert (small[:, 4, 4] == 7).all()


def test_bins_cover_all_pixels() -> None:
    for pixels in range(1, 60):
        for count in (1, 2, 7, 24, 48):
            first, after = bins(pixels, count)
            assert (after > first).all()
            assert first[0] == 0
            assert after[-1] == pixels
            assert (first[1:] <= after[:-1]).all()
