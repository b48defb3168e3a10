"""Where a picture changed: colors and structure against scikit-image, and controls whose answer is known."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from faceworks import image
from faceworks.study.color import delta_e2000, lab, ssim_map
from faceworks.study.locality import compare_pictures, hull
from faceworks.study.warps import composite, express, morph, move

spec = importlib.util.spec_from_file_location("study_conftest", Path(__file__).parent / "conftest.py")
assert spec is not None
assert spec.loader is not None
tools = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tools)

SIZE = 480


def portrait(seed: int = 0) -> np.ndarray:
    """Soft colors under fine lines, as of hair and cloth: detail that compression keeps and resampling does not."""
    random = np.random.default_rng(seed)
    picture = image.resize(random.integers(60, 200, (30, 30, 3), dtype=np.uint8), (SIZE, SIZE), "cubic").copy()
    for _ in range(500):
        x, y = random.integers(0, SIZE, 2)
        dx, dy = random.integers(-40, 41, 2)
        shade = int(random.integers(0, 256))
        cv2.line(picture, (int(x), int(y)), (int(x + dx), int(y + dy)), (shade, shade, shade), 1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.7))  # as a lens does


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out).convert("RGB"))


def test_colors_and_structure_equal_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    metrics = pytest.importorskip("skimage.metrics")
    a, b = (np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8) for seed in (0, 1))
    b[:5] = b[:5, :, :1]  # grays have no hue
    assert lab(a) == pytest.approx(color.rgb2lab(a), abs=1e-3)
    assert delta_e2000(lab(a), lab(b)) == pytest.approx(color.deltaE_ciede2000(lab(a), lab(b)), abs=1e-6)
    smooth = cv2.GaussianBlur(a, (0, 0), 2)
    noisy = np.clip(smooth + np.random.default_rng(2).normal(0, 8, a.shape), 0, 255).astype(np.uint8)
    x, y = (picture.astype(float) @ [0.299, 0.587, 0.114] for picture in (smooth, noisy))
    _, other = metrics.structural_similarity(x, y, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True)
    assert ssim_map(smooth, noisy)[5:-5, 5:-5] == pytest.approx(other[5:-5, 5:-5], abs=2e-3)


def test_ciede2000_of_the_published_pairs() -> None:
    """Sharma, Wu and Dalal (2005), table 1, pairs 1, 7, 13, 17 and 25."""
    first = np.array([[50, 2.6772, -79.7751], [50, 0, 0], [50, -0.001, 2.49], [50, 2.5, 0], [60.2574, -34.0099, 36.2677]])
    second = np.array([[50, 0, -82.7485], [50, -1, 2], [50, 0.0011, -2.49], [73, 25, -18], [60.4626, -34.1751, 39.4387]])
    assert delta_e2000(first, second) == pytest.approx([2.0425, 2.3669, 4.7461, 27.1492, 1.2644], abs=1e-4)


def test_controls() -> None:
    source, points = portrait(), tools.points(size=SIZE)
    other = portrait(1)
    k = 0.05
    corners = np.array([[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]], np.float32)
    turned = np.array([[0, 0], [SIZE * (1 - k), SIZE * k], [SIZE * (1 - k), SIZE * (1 - k)], [0, SIZE]], np.float32)
    small = image.resize(image.resize(source, (SIZE // 2, SIZE // 2)), (SIZE, SIZE))
    cases = {
        "local": [composite(source, other, points, points), express(source, points, "happy"), jpeg(source, 75), source],
        "global": [small, jpeg(small, 90), image.resize(source, (600, 600)), np.clip(source.astype(int) + 25, 0, 255).astype(np.uint8)],
        "unregistered": [cv2.warpPerspective(source, cv2.getPerspectiveTransform(corners, turned), (SIZE, SIZE)), other, np.full_like(source, 90)],
    }
    for verdict, pictures in cases.items():
        for number, picture in enumerate(pictures):
            scale = picture.shape[0] / SIZE
            found = compare_pictures(source, picture, points, (points + 0.5) * scale - 0.5)
            assert found.row["verdict"] == verdict, (verdict, number, found.row)
            assert (found.difference is None) == (verdict == "unregistered")
    same = compare_pictures(source, source, points, points).row
    assert same["delta_e_background"] == same["delta_e_face"] == 0.0
    assert same["same_background"] == same["ssim_background"] == 1.0


def test_warps_move_what_they_say() -> None:
    source, points = portrait(), tools.points(size=SIZE)
    assert np.abs(move(source, points, points).astype(int) - source).max() <= 1
    smiled = express(source, points, "happy")
    outside = ~hull(points, source.shape[:2], 0.12)
    assert np.array_equal(smiled[outside], source[outside])
    assert not np.array_equal(smiled, source)
    assert np.array_equal(express(source, points, "happy"), smiled)
    assert np.abs(morph(source, portrait(1), points, tools.points("happy", SIZE), 0.0).astype(int) - source).mean() < 1
