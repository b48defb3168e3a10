"""Faces into people: average linkage on a graph of nearest neighbors, within what may and may not be joined.

Two groups are as close as their faces are on average, which for unit vectors is the product of the groups' mean vectors: no pair is ever looked at twice. The
closest groups are joined first, until none is closer than the threshold. Average linkage does not chain: one doubtful pair joins two faces, not two people,
which is what ruins DBSCAN and connected components on faces.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..similarity import unit
from ..types import FloatArray
from .graph import IntArray, neighbors

__all__ = ["Groups", "Suggestion", "group_faces"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Two groups that may be one person: not close enough to be joined, or kept apart by a picture that shows both.

    Attributes:
        first, second: labels. similarity: mean cosine of their faces. apart: whether a constraint keeps them apart.
    """

    first: int
    second: int
    similarity: float
    apart: bool


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Which faces are one person.

    Attributes:
        labels: (N,) int, 0 for the largest group and so on; with `known` those labels are kept and new ones follow.
        similarity: (N,) mean cosine of a face with the others of its group; NaN for a face alone.
        suggestions: groups that may be one person, closest first.
        threshold: smallest mean cosine at which groups were joined.
    """

    labels: IntArray
    similarity: FloatArray
    suggestions: tuple[Suggestion, ...]
    threshold: float

    def members(self) -> list[IntArray]:
        """Indices of the faces of each label."""
        order = np.argsort(self.labels, kind="stable")
        count = int(self.labels.max()) + 1 if len(self.labels) else 0
        return np.split(order, np.searchsorted(self.labels[order], np.arange(1, count)))


def group_faces(
    vectors: FloatArray,
    threshold: float,
    pictures: Sequence[str] | None = None,
    *,
    must: Iterable[tuple[int, int]] = (),
    cannot: Iterable[tuple[int, int]] = (),
    known: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    k: int = 64,
    suggest: float = 0.1,
) -> Groups:
    """Group faces into people.

    Args:
        vectors: (N, D), any length but zero.
        threshold: smallest mean cosine of two groups that are joined, in (−1, 1).
        pictures: the picture of each face: two faces of one picture are never joined. None: no such rule.
        must, cannot: pairs of faces that are, or are not, one person. A must-link joins the groups in which the two faces are found.
        known: label of each face from an earlier run, −1 for a new face. Groups of earlier runs stay as they are: new faces join them or form new groups, and
            what would join two old groups becomes a suggestion. A group within which `cannot` says two are different is grouped again; its label stays with
            the larger part.
        names: what errors call the faces; default: their numbers.
        k: neighbors of each face that are looked at first.
        suggest: groups up to this much below the threshold are suggested.

    Raises:
        InputError: shapes that do not fit, or a `must` that contradicts pictures, `cannot` or `known`.
    """
    if not -1 < threshold < 1:
        raise InputError(f"the threshold is a cosine in (-1, 1), got {threshold}")
    unit_vectors = unit(vectors) if len(vectors) else np.zeros((0, 1), np.float32)
    count = len(unit_vectors)
    for name, values in (("pictures", pictures), ("known", known), ("names", names)):
        if values is not None and len(values) != count:
            raise InputError(f"{name} has {len(values)} entries for {count} faces; it needs one for each")
    apart = [(int(a), int(b)) for a, b in cannot]
    old = np.full(count, -1) if known is None else np.array(known, np.int64)
    split = {int(old[a]): np.flatnonzero(old == old[a]) for a, b in apart if old[a] == old[b] >= 0}
    for faces in split.values():
        old[faces] = -1
    state = _State(unit_vectors, pictures, apart, old.tolist(), names)
    among = np.flatnonzero(old < 0) if (old >= 0).any() else None
    state.join(*neighbors(unit_vectors, threshold - suggest, k, among), threshold)
    for a, b in must:  # after the rest: "same" is said of two people as they were found, not of two faces
        state.require(int(a), int(b))
    for label, faces in split.items():
        state.keep(label, faces.tolist())
    return state.result(threshold, suggest)


class _State:
    """Groups while they grow: a forest of faces, with sums of vectors, pictures and forbidden partners at the roots."""

    def __init__(self, vectors: FloatArray, pictures: Sequence[str] | None, cannot: list[tuple[int, int]], known: list[int],
                 names: Sequence[str] | None) -> None:  # fmt: skip
        count = len(vectors)
        self.names = names if names is not None else [str(face) for face in range(count)]
        self.vectors, self.parent = vectors, list(range(count))
        self.sums = vectors.astype(np.float64)
        self.sizes = [1] * count
        self.pictures = [{picture} for picture in pictures] if pictures is not None else [set[str]() for _ in range(count)]
        self.old = known
        self.links: list[set[int]] = [set() for _ in range(count)]
        """Faces with an edge to the group: where to look for new neighbors after it has grown."""
        self.forbidden: list[set[int]] = [set() for _ in range(count)]
        first: dict[int, int] = {}
        for face, label in enumerate(self.old):
            if label >= 0:
                self._merge(first.setdefault(label, face), face)
        for a, b in cannot:
            if a == b:
                raise InputError(f"the face {self.names[a]} cannot differ from itself; a cannot-link names two faces")
            a, b = self.root(a), self.root(b)
            self.forbidden[a].add(b)
            self.forbidden[b].add(a)
        self.near: list[tuple[float, int, int, bool]] = []

    def root(self, face: int) -> int:
        while self.parent[face] != face:
            self.parent[face] = self.parent[self.parent[face]]
            face = self.parent[face]
        return face

    def allowed(self, a: int, b: int) -> bool:
        if self.old[a] >= 0 and self.old[b] >= 0 and self.old[a] != self.old[b]:
            return False
        small, large = (a, b) if len(self.forbidden[a]) < len(self.forbidden[b]) else (b, a)
        if any(self.root(item) == large for item in self.forbidden[small]):
            return False
        return self.pictures[a].isdisjoint(self.pictures[b])

    def require(self, a: int, b: int) -> None:
        """Join two faces by order."""
        x, y = self.root(a), self.root(b)
        if x == y:
            return
        if any(self.root(item) == y for item in self.forbidden[x]) or not self.pictures[x].isdisjoint(self.pictures[y]):
            raise InputError(
                f"the faces {self.names[a]} and {self.names[b]} must be one person by a must-link, but a cannot-link, or a picture that "
                "shows faces of both groups, keeps them apart; say which faces of the two groups are different"
            )
        if self.old[x] >= 0 and self.old[y] >= 0:
            self.old[y] = self.old[x]  # people who were two in an earlier run are one by feedback; the first's label stays
        self._merge(x, y)

    def keep(self, label: int, faces: list[int]) -> None:
        """Give the label of an old group that was split to that part of it which has no other and holds most of its faces (the first of equals)."""
        parts: dict[int, int] = {}
        for root in map(self.root, faces):
            if self.old[root] < 0:
                parts[root] = parts.get(root, 0) + 1
        if parts:
            self.old[max(parts, key=lambda root: parts[root])] = label

    def similarity(self, a: int, b: int) -> float:
        """Mean cosine between the faces of two groups."""
        return float(self.sums[a] @ self.sums[b]) / (self.sizes[a] * self.sizes[b])

    def _merge(self, a: int, b: int) -> int:
        if a == b:
            return a
        if len(self.links[a]) + self.sizes[a] < len(self.links[b]) + self.sizes[b]:
            a, b = b, a
        self.parent[b] = a
        self.sums[a] += self.sums[b]
        self.sizes[a] += self.sizes[b]
        self.pictures[a] |= self.pictures[b]
        self.forbidden[a] |= self.forbidden[b]
        self.links[a] |= self.links[b]
        self.old[a] = max(self.old[a], self.old[b])
        self.pictures[b], self.forbidden[b], self.links[b] = set(), set(), set()
        return a

    def join(self, first: IntArray, second: IntArray, score: FloatArray, threshold: float) -> None:
        """Join the closest groups until none is closer than the threshold; what is left over near it is kept for suggestions."""
        heap: list[tuple[float, int, int]] = []
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            x, y = self.root(a), self.root(b)
            if x != y:
                self.links[x].add(b)
                self.links[y].add(a)
                heap.append((-self.similarity(x, y), x, y))
        heapq.heapify(heap)
        while heap:
            closeness, a, b = heapq.heappop(heap)
            if self.parent[a] != a or self.parent[b] != b or a == b:
                continue
            now = self.similarity(a, b)
            if now < -closeness - 1e-9:  # one of them has grown since
                heapq.heappush(heap, (-now, a, b))
                continue
            if now < threshold:
                self.near.append((now, a, b, False))
                continue
            if not self.allowed(a, b):
                self.near.append((now, a, b, True))
                continue
            merged = self._merge(a, b)
            for other in {self.root(face) for face in self.links[merged]} - {merged}:
                heapq.heappush(heap, (-self.similarity(merged, other), min(merged, other), max(merged, other)))

    def result(self, threshold: float, suggest: float) -> Groups:
        roots = np.array([self.root(face) for face in range(len(self.parent))], np.int64)
        kept = {root: self.old[root] for root in set(roots.tolist()) if self.old[root] >= 0}
        first = {root: face for face, root in reversed(list(enumerate(roots.tolist())))}
        fresh = sorted(set(first) - set(kept), key=lambda root: (-self.sizes[root], first[root]))
        start = max(kept.values(), default=-1) + 1
        label = kept | {root: start + number for number, root in enumerate(fresh)}
        labels = np.array([label[root] for root in roots.tolist()], np.int64)
        sums, sizes = self.sums[roots], np.array([self.sizes[root] for root in roots.tolist()])
        inner = (np.einsum("nd,nd->n", self.vectors, sums) - 1) / np.where(sizes > 1, sizes - 1, np.nan) if len(roots) else np.zeros(0)
        found: dict[tuple[int, int], Suggestion] = {}
        for _, a, b, _ in self.near:
            x, y = self.root(a), self.root(b)
            pair = min(label[x], label[y]), max(label[x], label[y])
            if x != y and pair not in found and (value := self.similarity(x, y)) >= threshold - suggest:
                found[pair] = Suggestion(*pair, value, not self.allowed(x, y))
        ordered = sorted(found.values(), key=lambda item: (-item.similarity, item.first, item.second))
        return Groups(labels, np.asarray(inner, np.float32), tuple(ordered), threshold)
