"""dlib's serialization: what is written is read, and nothing else is."""

from __future__ import annotations

import contextlib
import struct
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceworks.convert import dlib_shape
from faceworks.convert.dlib_format import Reader, integers
from faceworks.errors import ConversionError


def integer(value: int) -> bytes:
    magnitude = abs(value)
    body = magnitude.to_bytes(max(1, (magnitude.bit_length() + 7) // 8), "little")
    return bytes([len(body) | (0x80 if value < 0 else 0)]) + body


def real(value: float) -> bytes:
    fraction, exponent = np.frexp(np.float32(value))
    return integer(int(fraction * 2**24)) + integer(int(exponent) - 24)


def tensor(values: np.ndarray) -> bytes:
    return b"".join(map(integer, (2, *values.shape))) + values.astype("<f4").tobytes()


@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), max_size=300))
@settings(deadline=None, max_examples=60)
def test_integers_survive(values: list[int]) -> None:
    data = b"".join(map(integer, values))
    assert integers(data, "x").tolist() == values
    reader = Reader(data, "x")
    assert [reader.integer("n") for _ in values] == values
    reader.end()


def test_many_integers_in_lanes_equal_integers_one_by_one() -> None:
    """Lanes that start in the wrong place are run again: also where every byte looks like the start of an integer."""
    rng = np.random.default_rng(5)
    for low, high in ((-(2**24), 2**24), (1, 5), (0x01010101, 0x04040404)):
        values = rng.integers(low, high, 60_000)
        assert np.array_equal(integers(b"".join(integer(int(v)) for v in values), "x"), values)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_reals_survive(value: float) -> None:
    assert Reader(real(value), "x").real("r") == pytest.approx(value, rel=2**-23, abs=1e-44)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_integers_or_a_conversion_error(data: bytes) -> None:
    with contextlib.suppress(ConversionError):
        integers(data, "x")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "needs 1 bytes, 0 are left"),
        (b"\x03\x01", "needs 3 bytes, 1 are left"),
        (b"\x00\x01", "does not begin an integer"),
        (b"\x79\x01", "does not begin an integer"),
    ],
)
def test_a_damaged_integer_names_its_place(data: bytes, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        Reader(data, "file.dat").integer("version")


def test_a_hostile_tensor_is_refused_before_it_is_allocated() -> None:
    head = b"".join(map(integer, (2, 1 << 24, 1 << 24, 1 << 24, 1 << 24)))
    start = time.perf_counter()
    with pytest.raises(ConversionError, match="bytes, 4 are left"):
        Reader(head + struct.pack("<f", 1), "file.dat").tensor("weights")
    assert time.perf_counter() - start < 1
    with pytest.raises(ConversionError, match="not finite"):
        Reader(tensor(np.full((1, 1, 1, 1), np.nan)), "file.dat").tensor("weights")


def predictor(trees: int = 3, points: int = 2, cascades: int = 2) -> bytes:
    """A tiny shape predictor: trees of one split, five pixels."""
    rng = np.random.default_rng(1)

    def column(count: int) -> bytes:
        return integer(-count) + integer(-1) + b"".join(real(v) for v in rng.normal(size=count))

    tree = [integer(1) + integer(0) + integer(4) + real(0.5) + integer(2) + column(2 * points) + column(2 * points) for _ in range(trees)]
    out = integer(1) + column(2 * points) + integer(cascades) + (integer(trees) + b"".join(tree)) * cascades
    out += integer(cascades) + (integer(5) + integer(0) * 4 + integer(points - 1)) * cascades
    return out + integer(cascades) + (integer(5) + real(0.25) * 10) * cascades


def test_a_shape_predictor_is_taken_apart() -> None:
    arrays = dlib_shape.read(predictor(), "x")
    shapes = {"initial": (2, 2), "anchors": (2, 5), "deltas": (2, 5, 2), "pixels": (2, 3, 1, 2), "thresholds": (2, 3, 1), "leaves": (2, 3, 2, 2, 2)}
    assert {key: value.shape for key, value in arrays.items()} == shapes
    assert (arrays["deltas"] == 0.25).all()
    assert (arrays["thresholds"] == 0.5).all()


def test_every_truncation_of_a_shape_predictor_is_refused() -> None:
    data = predictor()
    for length in range(len(data)):
        with pytest.raises(ConversionError):
            dlib_shape.read(data[:length], "x")
    with pytest.raises(ConversionError, match="1 integers follow"):
        dlib_shape.read(data + integer(1), "x")


@given(st.integers(0, len(predictor()) - 1), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_gives_arrays_or_a_conversion_error(place: int, value: int) -> None:
    data = bytearray(predictor())
    data[place] = value
    try:
        arrays = dlib_shape.read(bytes(data), "x")
    except ConversionError:
        return
    assert arrays["anchors"].max() < 2
    assert arrays["pixels"].max() < 5
