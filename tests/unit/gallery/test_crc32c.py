"""CRC-32C against the vectors of RFC 3720 and against the definition, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from faceworks.gallery.crc32c import crc32c

KNOWN = [
    (b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
]  # fmt: skip


def by_definition(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(("data", "expected"), KNOWN)
def test_published_vectors(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@pytest.mark.parametrize("size", [1, 16_383, 16_384, 16_385, 16_641, 20_001, 70_007])
def test_side_by_side_equals_the_definition(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == by_definition(data)
    assert crc32c(data[size // 3 :], crc32c(data[: size // 3])) == crc32c(data)
    assert crc32c(bytearray(data)) == crc32c(memoryview(data)) == crc32c(data)
