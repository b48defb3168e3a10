"""Fitting pictures into tensors: what is halved, and where a point of the tensor lies in the picture."""

from __future__ import annotations

import numpy as np
import pytest

from faceworks import geometry, image
from faceworks.cards import InputSpec
from faceworks.detect.letterbox import batches, grid

SPEC = InputSpec(role="model", crop="image", size=(160, 160), multiple=32)


def test_halving_takes_means_of_four() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (81, 123, 3), np.uint8)
    small, factor = image.halved(picture, (50, 50))
    assert factor == 2
    sums = picture[:80, :122].astype(int).reshape(40, 2, 61, 2, 3).sum(axis=(1, 3))
    assert np.array_equal(small, (sums + 2) // 4)


@pytest.mark.parametrize(("size", "factor"), [((160, 160), 1), ((320, 320), 1), ((321, 200), 2), ((900, 1281), 8), ((7, 3000), 4), ((1, 3000), 1)])
def test_it_is_halved_until_half_the_size_is_enough(size: tuple[int, int], factor: int) -> None:
    """Not further, nor to nothing where the picture is narrow."""
    picture = np.zeros((*size, 3), np.uint8)
    small, got = image.halved(picture, (160, 160))
    assert got == factor
    assert small.shape == (size[0] // factor, size[1] // factor, 3)
    assert (small is picture) == (factor == 1)


@pytest.mark.parametrize("size", [(150, 120), (161, 400), (1999, 3001), (960, 1280), (3000, 900)])
@pytest.mark.parametrize("free", [False, True])
def test_a_point_comes_back_to_its_place(size: tuple[int, int], free: bool) -> None:
    """The middle of a bright disc in the tensor, carried back, is its middle in the picture, to a small part of a tensor's pixel."""
    height, width = size
    pixel = max(1.0, height / 160, width / 160)
    x, y, radius = 0.62 * width, 0.37 * height, 8 * pixel
    down, right = np.mgrid[:height, :width]
    disc = np.clip(radius + 0.5 - np.hypot(right - x, down - y), 0, 1)
    inside = disc.sum()
    (batch,) = batches([np.repeat((disc * 255).astype(np.uint8)[..., None], 3, axis=2)], SPEC, free)
    light = batch.blob[0, 0].astype(np.float64)
    middle = np.array([(light.sum(axis=0) * np.arange(light.shape[1])).sum(), (light.sum(axis=1) * np.arange(light.shape[0])).sum()]) / light.sum()
    truth = np.array([(disc.sum(axis=0) * np.arange(width)).sum(), (disc.sum(axis=1) * np.arange(height)).sum()]) / inside
    assert np.abs(geometry.apply(batch.to_picture[0], middle) - truth).max() <= 0.05 * pixel


def test_the_grid_is_kept_and_cannot_be_written() -> None:
    assert grid((64, 96), 8) is grid((64, 96), 8)
    with pytest.raises(ValueError, match="read-only"):
        grid((64, 96), 8)[0] = 5
