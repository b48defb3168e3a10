"""Fitting pictures into a detector's input, and carrying its answers back. Shared by the one-shot detectors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import geometry, image
from ..cards import Card, InputSpec, options
from ..errors import ConfigError
from ..runtime import Session, SessionOptions, bucket, open_session, to_blob
from ..types import SCHEMES, Face, FloatArray, ImageArray, Landmarks

__all__ = ["Batch", "Decoded", "batches", "check_min_score", "faces_from", "grid", "one_shot", "opened"]

_TOGETHER = 16
"""Pictures in one run. On a processor one at a time is fastest: a picture's share of a batch of 8 costs 8 to 35 % more time than the picture alone
(YuNet 10.0 → 13.5 ms, SCRFD-500M 18.4 → 22.0, RetinaFace 21.9 → 24.0, 640x480, one thread), since one picture's maps stay in the cache."""

_SPREAD = 8
"""From so many pictures on, a processor's threads take a picture each instead of sharing one: nothing waits between layers, and fitting and decoding
use every core, too. For fewer, opening a second session would not pay."""

Decoded: TypeAlias = "tuple[FloatArray, FloatArray, FloatArray | None]"
"""Boxes (N, 4), scores (N,) and points (N, K, 2) or None, in tensor coordinates, after suppression."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures of one tensor size: their places in the caller's list, the tensor, and the way back to each picture."""

    indices: tuple[int, ...]
    blob: FloatArray
    to_picture: tuple[NDArray[np.float64], ...]


def batches(images: Sequence[ImageArray], spec: InputSpec, free: bool, limit: int = 16, reuse: bool = False) -> Iterator[Batch]:
    """Fit each picture into the card's input, group equal tensor sizes, and make tensors of at most `limit` pictures.

    A larger picture is shrunk; one whose longer side is below the card's `enlarge` is enlarged (at most `enlarge_most`-fold); others stay as they are.

    With `free` the tensor is only as large as the shrunk picture, rounded up to the card's `multiple`: the size depends on the picture alone, so
    that a picture's answer is the same in any batch. Otherwise every tensor has the card's size. With `reuse` a tensor holds until the next is made.
    A card with `crop = "whole"` stretches every
    picture to its size, and its coordinates are shares of the sides: they count from the picture's edge, without a half-pixel shift.
    """
    groups: dict[tuple[int, int], list[tuple[int, ImageArray, NDArray[np.float64]]]] = {}
    target = (spec.size[0], spec.size[1])
    for index, picture in enumerate(images):
        factor = 1
        if spec.crop == "whole":
            size = (picture.shape[0], picture.shape[1])
            forward, fitted = np.array([[target[1] / size[1], 0, 0], [0, target[0] / size[0], 0]]), target
        else:
            picture, factor = image.halved(picture, target)
            size = (picture.shape[0], picture.shape[1])
            side = min(spec.enlarge, round(max(size) * spec.enlarge_most))
            small = max(size) < side
            forward = geometry.letterbox_matrix(size, (side, side) if small else target, enlarge=small)
            fitted = (round(size[0] * forward[1, 1]) or 1, round(size[1] * forward[0, 0]) or 1)
        # down to half the size four neighbors see every pixel; the average over areas would cost a third of the network's own time. It is left to
        # pictures so narrow that halving them further would leave no pixel of the shorter side
        kind = "linear" if spec.crop == "whole" or min(forward[0, 0], forward[1, 1]) >= 0.5 else "area"
        shrunk = picture if fitted == size else image.resize(picture, fitted, kind)
        groups.setdefault(bucket(fitted, spec.multiple) if free else target, []).append(
            (index, shrunk, geometry.compose(_doubled(factor), geometry.invert(forward)))
        )
    for tensor, members in groups.items():
        for start in range(0, len(members), limit):
            part = members[start : start + limit]
            yield Batch(tuple(m[0] for m in part), to_blob([m[1] for m in part], spec, tensor, reuse), tuple(m[2] for m in part))


def _doubled(factor: int) -> NDArray[np.float64]:
    """From a picture whose sides were divided by `factor` back to the picture, about pixel centers."""
    shift = (factor - 1) / 2
    return np.array([[factor, 0.0, shift], [0.0, factor, shift]])


def faces_from(
    card: Card, boxes: FloatArray, scores: FloatArray, points: FloatArray | None, matrix: NDArray[np.float64], scheme: str = "arcface5"
) -> list[Face]:
    """Values from arrays in tensor coordinates: boxes (N, 4), scores (N,), points (N, K, 2), carried to the picture by `matrix`, best first."""
    order = np.argsort(-scores, kind="stable")
    corners = geometry.apply(matrix, boxes[order].reshape(-1, 2, 2)).reshape(-1, 4).astype(np.float32)
    values = np.clip(scores[order], 0.0, 1.0).tolist()
    if points is None:
        return [Face(box, score, None, card.name) for box, score in zip(corners, values, strict=True)]
    places = geometry.apply(matrix, points[order].reshape(-1, 2)).reshape(len(boxes), SCHEMES[scheme], 2).astype(np.float32)
    return [
        Face(box, score, Landmarks(place, scheme), card.name)  # type: ignore[arg-type]
        for box, score, place in zip(corners, values, places, strict=True)
    ]


def check_min_score(value: float | None, default: float) -> float:
    """The score below which nothing is reported: the caller's, else the card's."""
    score = default if value is None else float(value)
    if not 0.0 <= score <= 1.0:
        raise ConfigError(f"min_score must lie in [0, 1], got {score}")
    return score


class _Scored(Protocol):
    """Any `[decode]` table of a detector."""

    @property
    def min_score(self) -> float: ...


T = TypeVar("T", bound=_Scored)


def opened(card: Card, kind: type[T], session_options: SessionOptions, min_score: float | None) -> tuple[T, float, Session]:
    """What a detector of one network starts with: the card's `[decode]` as `kind`, the score in force, and the session."""
    decode = options(card, kind)
    return decode, check_min_score(min_score, decode.min_score), open_session(card, options=session_options)


def one_shot(
    card: Card,
    session: Session,
    images: Sequence[ImageArray],
    decode: Callable[[list[FloatArray], tuple[int, int]], Decoded],
    outputs: Sequence[str] | None = None,
    min_size: float = 0.0,
) -> list[list[Face]]:
    """Detect with one network that looks once at each picture: fit, run, decode, carry back.

    Accelerators run pictures of equal tensor size together; a processor with several threads gives each thread its own pictures.

    Args:
        card: its first input says how tensors are made.
        session: what runs; its device and number of threads decide how several pictures are dealt with.
        images: (H, W, 3) uint8 RGB each.
        decode: gets one picture's outputs (with the batch axis, of length 1) and the tensor's (height, width).
        outputs: names of the outputs wanted, in `decode`'s order; default all.
        min_size: drops boxes whose longer side is shorter, in pixels of the picture.
    """

    def look(net: Session, some: Sequence[ImageArray], limit: int) -> list[list[Face]]:
        found: list[list[Face]] = [[] for _ in some]
        for batch in batches(some, spec, net.input_shape[2] is None, limit, reuse=True):
            tensors = net.run(batch.blob, outputs)
            size = (batch.blob.shape[2], batch.blob.shape[3])
            for row, index in enumerate(batch.indices):
                one = tensors if len(batch.indices) == 1 else [tensor[row : row + 1] for tensor in tensors]
                faces = faces_from(card, *decode(one, size), batch.to_picture[row], scheme)
                found[index] = [face for face in faces if max(face.width, face.height) >= min_size]
        return found

    spec = card.input_for()
    scheme = next((item.scheme for item in card.output if item.scheme), "arcface5")
    if session.provider != "CPUExecutionProvider":
        return look(session, images, _TOGETHER if session.dynamic_batch else 1)
    if session.threads == 1 or len(images) < _SPREAD:
        return look(session, images, 1)
    single = open_session(card, options=SessionOptions("cpu", 1))
    with ThreadPoolExecutor(session.threads) as pool:
        return [faces for (faces,) in pool.map(lambda picture: look(single, [picture], 1), images)]


@functools.lru_cache(maxsize=16)
def grid(size: tuple[int, int], stride: int) -> FloatArray:
    """(rows · columns, 2) float32 x and y of the cells of a map at `stride`, in cells, row by row; `size` is the tensor's (height, width).

    It is kept for the next picture of this size, and read-only.
    """
    rows, columns = -(-size[0] // stride), -(-size[1] // stride)
    cells = np.empty((rows, columns, 2), np.float32)
    cells[..., 0] = np.arange(columns, dtype=np.float32)
    cells[..., 1] = np.arange(rows, dtype=np.float32)[:, None]
    cells.setflags(write=False)
    return cells.reshape(-1, 2)
