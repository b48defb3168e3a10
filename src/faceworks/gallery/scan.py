"""Exact search: the k nearest rows of a matrix, at the speed at which the matrix can be read (one query) or multiplied (many).

float32 products choose the candidates with a margin for their rounding; float64 products, rounded to float32, give the answer. So every store
that rescores with `order` gives the same similarities, and equal ones are ordered by id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..types import FloatArray

__all__ = ["MARGIN", "cosines", "nearest", "order"]

Rows = NDArray[np.intp]
MARGIN = np.float32(4e-6)
"""More than float32 products of unit vectors err in 4,096 dimensions."""
BLOCK = 1024
"""Rows whose best score is looked at first."""
CHUNK_SCORES = 1 << 21
"""Scores that a batch computes at once: 8 MB, which stay in the cache between the product and the maximum."""


def nearest(parts: Sequence[FloatArray], queries: FloatArray, k: int, dead: Rows) -> list[Rows]:
    """For each query (Q, D) the rows among which its k nearest are, unordered; rows count through the parts (N_i, D), `dead` (sorted) are left out."""
    k = min(k, sum(len(part) for part in parts) - len(dead))
    if k <= 0:
        return [np.zeros(0, np.intp) for _ in queries]
    found: list[list[tuple[Rows, FloatArray]]] = [[] for _ in queries]
    floor = np.full(len(queries), -np.inf, np.float32)
    offset, room = 0, None
    for part in parts:
        step = max(1, len(part)) if len(queries) == 1 else max(BLOCK, CHUNK_SCORES // len(queries))
        for start in range(0, len(part), step):
            chunk = part[start : start + step]
            gone = dead[np.searchsorted(dead, offset + start) : np.searchsorted(dead, offset + start + len(chunk))] - (offset + start)
            if len(queries) == 1:
                scores = (chunk @ queries[0])[None]
            else:  # one buffer for all chunks: fresh memory would cost more than the product
                room = np.empty(len(queries) * step, np.float32) if room is None else room
                scores = np.matmul(queries, chunk.T, out=room[: len(queries) * len(chunk)].reshape(len(queries), len(chunk)))
            if len(gone):
                scores[:, gone] = -np.inf
            promising = np.flatnonzero(scores.max(axis=1) >= floor - MARGIN) if len(queries) > 1 else [0]
            for q in promising:
                rows = _above(scores[q], k, floor[q])
                if len(rows):
                    found[q].append((rows + (offset + start), scores[q][rows]))
                    floor[q] = max(floor[q], _floor(found[q], k))
        offset += len(part)
    return [_cut(pieces, floor[q]) for q, pieces in enumerate(found)]


def _above(scores: FloatArray, k: int, floor: np.float32) -> Rows:
    """Rows that may be among the k best: the k-th best of the blocks' maxima is no better than the k-th best score."""
    if not np.isfinite(floor) and len(scores) > 4 * k:
        block = min(BLOCK, max(1, len(scores) // (4 * k)))
        whole = len(scores) // block
        maxima = scores[: whole * block].reshape(whole, block).max(axis=1)
        if whole >= k:
            floor = np.partition(maxima, whole - k)[whole - k]
    low = floor - MARGIN if np.isfinite(floor) else np.float32(-3)
    return np.flatnonzero(scores >= low)


def _floor(pieces: list[tuple[Rows, FloatArray]], k: int) -> np.float32:
    """The k-th best score so far; keeps only what can still win."""
    scores = np.concatenate([piece[1] for piece in pieces])
    if len(scores) < k:
        return np.float32(-np.inf)
    floor: np.float32 = np.partition(scores, len(scores) - k)[len(scores) - k]
    rows = np.concatenate([piece[0] for piece in pieces])
    kept = scores >= floor - MARGIN
    pieces[:] = [(rows[kept], scores[kept])]
    return floor


def _cut(pieces: list[tuple[Rows, FloatArray]], floor: np.float32) -> Rows:
    if not pieces:
        return np.zeros(0, np.intp)
    rows, scores = np.concatenate([piece[0] for piece in pieces]), np.concatenate([piece[1] for piece in pieces])
    return rows[scores >= floor - MARGIN]


def cosines(query: FloatArray, vectors: FloatArray) -> FloatArray:
    """Cosines (N,) of a query (D,) with rows (N, D): float64, rounded to float32. Equal rows give equal numbers, wherever they stand."""
    q = query.astype(np.float64)
    out = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), 1 << 15):
        block = np.ascontiguousarray(vectors[start : start + (1 << 15)], dtype=np.float64)
        lengths = np.sqrt((block * block).sum(axis=1)) * np.sqrt((q * q).sum())
        out[start : start + len(block)] = np.clip((block * q).sum(axis=1) / lengths, -1.0, 1.0)
    return out


def order(query: FloatArray, rows: Rows, ids: NDArray[np.int64], take: Callable[[Rows], FloatArray], k: int) -> tuple[Rows, FloatArray]:
    """The k best of candidate rows, best first, ties by id; `ids` are the candidates' and `take` fetches vectors of rows."""
    scores = cosines(query, take(rows))
    best = np.lexsort((ids, -scores))[:k]
    return rows[best], scores[best]
