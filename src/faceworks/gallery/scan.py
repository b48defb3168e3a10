"""Exact search: the k nearest rows of a matrix, at the speed at which the matrix can be read (one query) or multiplied (many).

float32 products choose the candidates with a margin for their rounding; float64 products, rounded to float32, give the answer. So every store
that rescores with `order` gives the same similarities, and equal ones are ordered by id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .. import similarity
from ..types import FloatArray

__all__ = ["MARGIN", "chi_squares", "cosines", "nearest", "order"]

Rows = NDArray[np.intp]
MARGIN = np.float32(4e-6)
"""More than float32 products of unit vectors err in 4,096 dimensions."""
BLOCK = 128
"""Rows whose best score is looked at first."""
CHUNK_SCORES, CHUNK_ROWS = 1 << 19, 1 << 16
"""Scores that are computed at once: 2 MB, which are still in the cache of a core when their maxima are taken."""
FEW = 32
"""Below, the scores of one query lie side by side (their maxima are taken along rows), from here on those of one row."""
CANDIDATES = 1 << 24
"""Kept at once for all queries; beyond (many equal vectors), the queries are answered in halves."""


def nearest(parts: Sequence[FloatArray], queries: FloatArray, k: int, dead: Rows) -> list[Rows]:
    """For each query (Q, D) the rows among which its k nearest are, unordered; rows count through the parts (N_i, D), `dead` (sorted) are left out."""
    k = min(k, sum(len(part) for part in parts) - len(dead))
    if k <= 0 or not len(queries):
        return [np.zeros(0, np.intp) for _ in queries]
    best, turned, offset = _Best(len(queries), k), np.ascontiguousarray(queries.T), 0
    step = min(CHUNK_ROWS, max(2048, CHUNK_SCORES // len(queries)))
    room = np.empty(step * len(queries), np.float32)  # one buffer for all chunks: fresh memory would cost more than the product
    for part in parts:
        for start in range(0, len(part), step):
            chunk = part[start : start + step]
            shape = (len(queries), len(chunk)) if len(queries) < FEW else (len(chunk), len(queries))
            scores = room[: shape[0] * shape[1]].reshape(shape)
            if len(queries) == 1:
                np.dot(chunk, queries[0], out=scores[0])
            elif len(queries) < FEW:
                np.matmul(queries, chunk.T, out=scores)
            else:
                np.matmul(chunk, turned, out=scores)
            first = offset + start
            gone = dead[np.searchsorted(dead, first) : np.searchsorted(dead, first + len(chunk))] - first
            if len(gone):
                scores[(slice(None), gone) if len(queries) < FEW else gone] = -np.inf
            best.take(scores, first)
            if len(queries) > 1 and best.held > CANDIDATES:
                half = len(queries) // 2
                return nearest(parts, queries[:half], k, dead) + nearest(parts, queries[half:], k, dead)
        offset += len(part)
    return best.rows()


class _Best:
    """The best rows so far of Q queries: what may be among the k best at the end, and for each query the k-th best score, below which nothing counts."""

    def __init__(self, queries: int, k: int) -> None:
        self.top = np.full((queries, k), -np.inf, np.float32)
        self.floor = np.full(queries, -np.inf, np.float32)
        self.pieces: list[tuple[Rows, Rows, FloatArray]] = []
        self.held = 0

    def take(self, scores: FloatArray, first: int) -> None:
        """Look at the scores of a chunk of rows that begins at row `first`: (Q, N) for few queries, (N, Q) for many."""
        few = len(self.floor) < FEW
        n = scores.shape[1] if few else scores.shape[0]
        whole = n // BLOCK * BLOCK
        if whole:
            blocks = scores[:, :whole].reshape(-1, whole // BLOCK, BLOCK) if few else scores[:whole].reshape(whole // BLOCK, BLOCK, -1)
            self._look(blocks, blocks.max(axis=2).T if few else blocks.max(axis=1), few, first)
        if whole < n:
            rest = scores[:, None, whole:] if few else scores[None, whole:]
            self._look(rest, rest.max(axis=2).T if few else rest.max(axis=1), few, first + whole)

    def _look(self, blocks: FloatArray, maxima: FloatArray, few: bool, first: int) -> None:
        """`maxima` (B, Q) of the blocks: only where one reaches the floor are single scores looked at."""
        k, size = self.top.shape[1], blocks.shape[2 if few else 1]
        if len(maxima) >= k and not np.isfinite(self.floor).all():  # the k-th best maximum is no better than the k-th best score
            self.floor = np.maximum(self.floor, np.partition(maxima, len(maxima) - k, axis=0)[len(maxima) - k])
        low = self.floor - MARGIN
        place, query = np.nonzero(maxima >= low)
        if not len(place):
            return
        near = blocks[query, place] if few else blocks[place, :, query]
        which, within = np.nonzero((near >= low[query, None]) & np.isfinite(near))
        sort = np.argsort(query[which], kind="stable")
        which, within = which[sort], within[sort]
        query, scores = query[which], near[which, within]
        self._keep(query, place[which] * size + within + first, scores)

    def _keep(self, query: Rows, rows: Rows, scores: FloatArray) -> None:
        if not len(query):
            return
        self.pieces.append((query, rows, scores))
        self.held += len(query)
        k = self.top.shape[1]
        used, start, counts = np.unique(query, return_index=True, return_counts=True)
        wide = np.full((len(used), k + counts.max()), -np.inf, np.float32)
        wide[:, :k] = self.top[used]
        group = np.repeat(np.arange(len(used)), counts)
        wide[group, k + np.arange(len(query)) - start[group]] = scores
        self.top[used] = np.partition(wide, -k, axis=1)[:, -k:]
        self.floor[used] = np.maximum(self.floor[used], self.top[used].min(axis=1))
        if self.held > CANDIDATES // 4 or len(self.pieces) > 1000:
            self._prune()

    def _prune(self) -> None:
        query, rows, scores = (np.concatenate(column) for column in zip(*self.pieces, strict=True))
        kept = scores >= self.floor[query] - MARGIN
        self.pieces, self.held = [(query[kept], rows[kept], scores[kept])], int(kept.sum())

    def rows(self) -> list[Rows]:
        """For each query what may be among the k best."""
        if not self.pieces:  # queries that are no numbers
            return [np.zeros(0, np.intp) for _ in self.floor]
        self._prune()
        ((query, rows, _),) = self.pieces
        sort = np.argsort(query, kind="stable")
        return np.split(rows[sort], np.searchsorted(query[sort], np.arange(1, len(self.floor))))


def cosines(query: FloatArray, vectors: FloatArray) -> FloatArray:
    """Cosines (N,) of a query (D,) with rows (N, D): float64, rounded to float32. Equal rows give equal numbers, wherever they stand."""
    q = query.astype(np.float64)
    out = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), 1 << 15):
        block = np.ascontiguousarray(vectors[start : start + (1 << 15)], dtype=np.float64)
        lengths = np.sqrt((block * block).sum(axis=1)) * np.sqrt((q * q).sum())
        out[start : start + len(block)] = np.clip((block * q).sum(axis=1) / lengths, -1.0, 1.0)
    return out


def chi_squares(query: FloatArray, vectors: FloatArray, lengths: FloatArray) -> FloatArray:
    """Minus the chi-square distances (N,) of a histogram (D,) to rows (N, D) of length 1 times their `lengths` (N,): float64, rounded to float32.

    Raises:
        InputError: negative numbers.
    """
    out, step = np.empty(len(vectors), np.float32), max(1, (1 << 20) // max(1, len(query)))
    for start in range(0, len(vectors), step):
        rows = slice(start, start + step)
        out[rows] = -similarity.chi2_matrix(query[None], vectors[rows] * lengths[rows, None])[0]
    return out


def order(query: FloatArray, rows: Rows, ids: NDArray[np.int64], take: Callable[[Rows], FloatArray], k: int) -> tuple[Rows, FloatArray]:
    """The k best of candidate rows, best first, ties by id; `ids` are the candidates' and `take` fetches vectors of rows."""
    scores = cosines(query, take(rows))
    best = np.lexsort((ids, -scores))[:k]
    return rows[best], scores[best]
