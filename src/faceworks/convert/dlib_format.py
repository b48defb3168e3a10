"""dlib's serialization, read by our own code: what its `.dat` files are made of.

    integer   control byte (low nibble = number of bytes 1..8, 0x80 = negative), then the magnitude, little endian
    real      two integers: mantissa, exponent (value = mantissa · 2^exponent)
    boolean   ASCII "1" or "0"
    text      its length as an integer, then the bytes
    tensor    version 2, four sizes (samples, channels, rows, columns) as integers, then raw little-endian float32

A file is checked as it is read: every length against what is left of it, so that a truncated, foreign or hostile file is a `ConversionError` that
names the place, and never a large allocation. A network is a nest of layer types; its file holds one version number for each layer from the last to
the first, then the input layer, then the layers' contents from the first to the last, that is in execution order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError
from ..types import FloatArray

__all__ = ["Layer", "Reader", "integers", "read_layers"]


class Reader:
    """A cursor over the bytes of one file. Every method takes `what` is being read, for messages."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name
        self._at = 0

    def fail(self, what: str) -> NoReturn:
        """Raise ConversionError with the file's name and the place."""
        raise ConversionError(f"{self._name} is not the dlib file that was expected: at byte {self._at}: {what}")

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes."""
        if count > len(self._data) - self._at:
            self.fail(f"{what} needs {count} bytes, {len(self._data) - self._at} are left (a truncated file?)")
        piece = self._data[self._at : self._at + count]
        self._at += count
        return piece

    def integer(self, what: str, low: int = -(2**63), high: int = 2**63) -> int:
        """An integer within bounds."""
        control = self.take(1, what)[0]
        count = control & 0x0F
        if control & 0x70 or not 1 <= count <= 8:
            self.fail(f"{what}: {control:#04x} does not begin an integer")
        value = int.from_bytes(self.take(count, what), "little")
        value = -value if control & 0x80 else value
        if not low <= value <= high:
            self.fail(f"{what} is {value}, expected {low} to {high}")
        return value

    def real(self, what: str) -> float:
        """A floating point number; dlib writes infinities and NaN as exponents from 32000, which no weight file needs."""
        mantissa = self.integer(f"mantissa of {what}")
        return float(np.ldexp(float(mantissa), self.integer(f"exponent of {what}", -2000, 2000)))

    def boolean(self, what: str) -> bool:
        """ASCII 1 or 0."""
        letter = self.take(1, what)
        if letter not in (b"0", b"1"):
            self.fail(f"{what}: {letter!r} is no boolean")
        return letter == b"1"

    def text(self, what: str, limit: int = 64) -> str:
        """A short ASCII text."""
        piece = self.take(self.integer(f"length of {what}", 0, limit), what)
        if not piece.isascii():
            self.fail(f"{what}: {piece!r} is no name")
        return piece.decode("ascii")

    def expect(self, wanted: Sequence[str], what: str) -> str:
        """A text that must be one of a few."""
        got = self.text(what)
        if got not in wanted:
            self.fail(f"{what} is {got!r}, expected {' or '.join(map(repr, wanted))}")
        return got

    def sizes(self, what: str, version: int) -> tuple[int, int, int, int]:
        """Version and four sizes: samples, channels, rows, columns."""
        self.integer(f"version of {what}", version, version)
        samples, channels, rows, columns = (self.integer(f"size of {what}", 0, 1 << 24) for _ in range(4))
        return samples, channels, rows, columns

    def tensor(self, what: str) -> FloatArray:
        """A tensor, (samples, channels, rows, columns) float32."""
        shape = self.sizes(what, 2)
        count = shape[0] * shape[1] * shape[2] * shape[3]  # Python integers: no overflow
        values = np.frombuffer(self.take(4 * count, f"{what} of the shape {shape}"), dtype="<f4").reshape(shape)
        if not np.isfinite(values).all():
            self.fail(f"{what} holds values that are not finite")
        return values.astype(np.float32)

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            self.fail(f"{len(self._data) - self._at} bytes follow the network")


@dataclass(frozen=True, slots=True)
class Layer:
    """One computing layer: its kind ("con", "affine", "relu", …), its numbers and its weights."""

    kind: str
    numbers: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, FloatArray] = field(default_factory=dict)


_NAMES = {
    "con": ("con_4", "con_5", "con_6"),
    "affine": ("affine_", "affine_2", "bn_con2"),
    "relu": ("relu_", "relu_2"),
    "max_pool": ("max_pool_2",),
    "avg_pool": ("avg_pool_2",),
    "add_prev": ("add_prev_",),
    "fc": ("fc_2", "fc_3"),
}
"""Kind -> the names under which dlib's releases store it. An affine layer reads a batch normalization, as in dlib itself."""


def _reals(reader: Reader, count: int, what: str) -> None:
    for _ in range(count):
        reader.real(what)


def _filters(reader: Reader, what: str) -> tuple[int, int, int, int]:
    return reader.sizes(what, 1)


def _convolution(reader: Reader, name: str) -> Layer:
    flat = reader.tensor("filters").reshape(-1)
    count = reader.integer("number of filters", 1, 1 << 16)
    keys = ("rows", "columns", "stride_y", "stride_x", "pad_y", "pad_x")
    numbers = {key: reader.integer(key, 0, 1024) for key in keys}
    shape, bias = _filters(reader, "shape of filters"), _filters(reader, "shape of biases")
    _reals(reader, 4, "multipliers")
    uses_bias = reader.boolean("use of biases") if name != "con_4" else True
    if name == "con_6":
        reader.boolean("use of relu")
    size, extra = shape[0] * shape[1] * shape[2] * shape[3], bias[0] * bias[1] * bias[2] * bias[3]
    if shape[0] != count or shape[2:] != (numbers["rows"], numbers["columns"]) or size + extra != flat.size or extra not in (0, count):
        reader.fail(f"a convolution with {count} filters, shape {shape}, biases {bias} and {flat.size} weights contradicts itself")
    biases = flat[size:] if extra and uses_bias else np.zeros(count, np.float32)
    return Layer("con", numbers, {"filters": flat[:size].reshape(shape), "biases": biases})


def _scale(reader: Reader, name: str) -> Layer:
    """An affine layer, or the batch normalization that it comes from: y = gamma · x + beta for each channel."""
    flat = reader.tensor("scales").reshape(-1)
    shapes = _filters(reader, "shape of gamma"), _filters(reader, "shape of beta")
    count = flat.size // 2
    if flat.size % 2 or any(a * b * c * d != count for a, b, c, d in shapes):
        reader.fail(f"a scaling layer with {flat.size} numbers and shapes {shapes} contradicts itself")
    gamma, beta = flat[:count], flat[count:]
    if name == "bn_con2":
        reader.tensor("batch means")
        reader.tensor("batch deviations")
        means, variances = reader.tensor("running means").reshape(-1), reader.tensor("running variances").reshape(-1)
        reader.integer("number of updates", 0)
        reader.integer("window of statistics", 0)
        _reals(reader, 4, "multipliers")
        eps = reader.real("epsilon")
        if means.size != count or variances.size != count or variances.min(initial=0) < 0 or eps <= 0:
            reader.fail("a batch normalization contradicts itself")
        gamma = (gamma / np.sqrt(variances + np.float32(eps))).astype(np.float32)
        beta = (beta - gamma * means).astype(np.float32)
    else:
        reader.integer("mode", 0, 1)
        if name == "affine_2":
            reader.boolean("switch")
    return Layer("affine", {}, {"gamma": gamma, "beta": beta})


def _dense(reader: Reader, name: str) -> Layer:
    outputs, inputs = reader.integer("number of outputs", 1, 1 << 20), reader.integer("number of inputs", 1, 1 << 20)
    flat = reader.tensor("weights").reshape(-1)
    shapes = _filters(reader, "shape of weights"), _filters(reader, "shape of biases")
    reader.integer("bias mode", 0, 1)
    _reals(reader, 4, "multipliers")
    if name == "fc_3":
        reader.boolean("use of biases")
    if inputs * outputs > flat.size or flat.size not in (inputs * outputs, (inputs + 1) * outputs):
        reader.fail(f"a dense layer of {inputs} x {outputs} with {flat.size} weights and shapes {shapes} contradicts itself")
    weights = flat[: inputs * outputs].reshape(inputs, outputs)
    biases = flat[inputs * outputs :] if flat.size > inputs * outputs else np.zeros(outputs, np.float32)
    return Layer("fc", {}, {"weights": weights, "biases": biases})


def _details(reader: Reader, kind: str) -> Layer:
    name = reader.expect(_NAMES[kind], f"the name of a layer of the kind {kind}")
    if kind == "con":
        return _convolution(reader, name)
    if kind == "affine":
        return _scale(reader, name)
    if kind == "fc":
        return _dense(reader, name)
    if kind in ("max_pool", "avg_pool"):
        return Layer(kind, {key: reader.integer(key, 0, 1024) for key in ("rows", "columns", "stride_y", "stride_x", "pad_y", "pad_x")})
    if name == "relu_2":
        reader.boolean("switch")
    return Layer(kind)


def read_layers(reader: Reader, order: Sequence[str], inputs: Mapping[str, int]) -> list[Layer]:
    """The layers of a network in execution order.

    Args:
        reader: at the network's first version number (after the loss layer).
        order: kinds in execution order, with "tag" and "skip" where the network's type has them (they hold nothing but a version).
        inputs: name of the input layer -> how many integers follow its three color means.

    Raises:
        ConversionError: another network, or a damaged file.
    """
    for number, kind in enumerate(reversed(order)):
        last = number == len(order) - 1
        versions = (1, 1) if kind in ("tag", "skip") else (2, 3) if last else (2, 2)
        reader.integer(f"version of layer {len(order) - number} ({kind})", *versions)
    name = reader.expect(tuple(inputs), "the name of the input layer")
    _reals(reader, 3, "color means")
    for _ in range(inputs[name]):
        reader.integer("input size", 1, 1 << 16)
    layers = []
    for number, kind in enumerate(order):
        if kind in ("tag", "skip"):
            layers.append(Layer(kind))
            continue
        layers.append(_details(reader, kind))
        for what in ("set up", "gradient is stale", "gradient is off"):
            reader.boolean(what)
        for what in ("gradient", "output", "gradient of the weights"):
            reader.tensor(what)
        if number == 0:
            reader.integer("sample expansion", 0, 1 << 16)
    return layers


_PIECE = 1 << 23
_LANE = 2048
_WARM_UP = 256


def integers(data: bytes, name: str) -> NDArray[np.int32]:
    """All integers of a file that holds nothing else, as shape predictors do: (N,) int32.

    A hundred megabytes hold thirty million of them, so each piece of the file is read in many lanes at once. Where an integer begins follows from
    the one before; but a chain that is started anywhere soon falls in with the true one. So each lane starts a little before its part, and where it
    did not arrive at the place that the lane before it reached, it is run again from there.

    Raises:
        ConversionError: a byte that does not begin an integer, an integer beyond 32 bits, an end within an integer.
    """
    found: list[NDArray[np.int32]] = []
    at = 0
    while at < len(data):
        piece = np.frombuffer(data[at : at + _PIECE + 32] + bytes(32), dtype=np.uint8)
        values, used = _piece(piece, min(_PIECE, len(data) - at), f"{name} is not the dlib file that was expected: after byte {at}")
        found.append(values)
        at += used
    if at != len(data):
        raise ConversionError(f"{name} is not the dlib file that was expected: it ends within an integer (a truncated file?)")
    return np.concatenate(found) if found else np.zeros(0, np.int32)


def _piece(raw: NDArray[np.uint8], size: int, where: str) -> tuple[NDArray[np.int32], int]:
    """The integers that begin in the first `size` bytes, and how many bytes they take."""
    bounds = np.linspace(0, size, max(1, size // _LANE) + 1).astype(np.int32)
    starts = _advance(raw, np.maximum(bounds[:-1] - _WARM_UP, 0), bounds[:-1])[-1].copy()
    trace = _advance(raw, starts, bounds[1:])
    while (wrong := np.flatnonzero(starts[1:] != trace[-1, :-1]) + 1).size:
        starts[wrong] = trace[-1, wrong - 1]
        again = _advance(raw, starts[wrong], bounds[wrong + 1])
        longer = max(0, len(again) - len(trace))
        if longer:
            trace = np.concatenate([trace, np.repeat(trace[-1:], longer, axis=0)])
        trace[:, wrong] = again[-1]
        trace[: len(again), wrong] = again
    lanes = np.ascontiguousarray(trace.T)
    return _values(raw, lanes[lanes < bounds[1:, None]], where), int(trace[-1, -1])


def _advance(raw: NDArray[np.uint8], starts: NDArray[np.int32], ends: NDArray[np.int32]) -> NDArray[np.int32]:
    """Chains from `starts` until each reached its end: (steps, lanes) places; a finished lane stays where it is."""
    at = starts
    rows = [at]
    while (running := at < ends).any():
        at = at + ((raw[at] & 0x0F) + np.uint8(1)) * running
        rows.append(at)
    return np.asarray(np.stack(rows))


def _values(raw: NDArray[np.uint8], at: NDArray[np.int32], where: str) -> NDArray[np.int32]:
    control = raw[at]
    count = control & 0x0F
    words = np.ndarray((len(raw) - 4,), dtype="<u4", buffer=raw, strides=(1,))
    mask = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0x7FFFFFFF, *[0] * 11], dtype=np.uint32)
    magnitude = words[at + 1] & mask[count]
    bad = np.flatnonzero((control & 0x70 != 0) | (count < 1) | (count > 4) | (raw[at + 4] >= 0x80) & (count == 4))
    if bad.size:
        raise ConversionError(f"{where} + {int(at[bad[0]])}: {int(control[bad[0]]):#04x} does not begin an integer of at most 31 bits")
    values: NDArray[np.int32] = magnitude.astype(np.int32)
    np.negative(values, out=values, where=control >= 0x80)
    return np.asarray(values)
