"""Differences of pictures that follow the eye: CIEDE2000 and structural similarity. NumPy and OpenCV's Gaussian alone; checked against scikit-image."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import ImageArray

__all__ = ["delta_e2000", "lab", "ssim_map"]

Floats: TypeAlias = NDArray[np.float64]
_WHITE = np.array([0.95047, 1.0, 1.08883])
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_SEVEN = 25.0**7


def lab(picture: ImageArray) -> Floats:
    """CIE L*a*b* (H, W, 3) of sRGB (H, W, 3) uint8, white D65, 2° observer (IEC 61966-2-1)."""
    x = np.arange(256) / 255.0
    linear = np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)[picture]
    t = linear @ _XYZ.T / _WHITE
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def delta_e2000(first: Floats, second: Floats) -> Floats:
    """CIEDE2000 color difference of L*a*b* values (…, 3) with k_L = k_C = k_H = 1 (Sharma, Wu and Dalal 2005, equations 2 to 22)."""
    l1, a1, b1 = np.moveaxis(first, -1, 0)
    l2, a2, b2 = np.moveaxis(second, -1, 0)
    c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - np.sqrt(c7 / (c7 + _SEVEN)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.arctan2(b1, a1) % (2 * np.pi), np.arctan2(b2, a2) % (2 * np.pi)
    colored = c1 * c2 > 0
    dh = np.where(colored, h2 - h1, 0.0)
    dh = np.where(dh > np.pi, dh - 2 * np.pi, np.where(dh < -np.pi, dh + 2 * np.pi, dh))
    big_dh = 2 * np.sqrt(c1 * c2) * np.sin(dh / 2)
    far = np.abs(h1 - h2) > np.pi
    total = h1 + h2
    h = np.where(~colored, total, np.where(far, (total + np.where(total < 2 * np.pi, 2 * np.pi, -2 * np.pi)) / 2, total / 2))
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 - 0.17 * np.cos(h - np.pi / 6) + 0.24 * np.cos(2 * h) + 0.32 * np.cos(3 * h + np.pi / 30) - 0.20 * np.cos(4 * h - 63 * np.pi / 180)
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    turn = np.radians(60) * np.exp(-(((np.degrees(h) - 275) / 25) ** 2))
    r_t = -np.sin(turn) * 2 * np.sqrt(chroma**7 / (chroma**7 + _SEVEN))
    x, y, z = (l2 - l1) / s_l, (c2 - c1) / s_c, big_dh / s_h
    return np.asarray(np.sqrt(np.maximum(x**2 + y**2 + z**2 + r_t * y * z, 0.0)))


def ssim_map(first: ImageArray, second: ImageArray) -> Floats:
    """Structural similarity (H, W) of the luma of two pictures: Gaussian window 11 x 11 with σ = 1.5, K = (0.01, 0.03) (Wang et al. 2004)."""
    x, y = (image.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) for image in (first, second))

    def blur(values: Floats) -> Floats:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT), np.float64)

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return np.asarray((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)), np.float64)
