"""From vectors to people: the k nearest people of a gallery, and whether the nearest is near enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from .. import similarity
from ..errors import ConfigError
from ..types import FloatArray, Match
from . import scan
from .backend import Backend, Hits, Person, Samples

__all__ = ["Calibration", "Template", "Templates", "Threshold", "nearest_people", "templates", "threshold_at_fpir"]

Template = Literal["best", "mean", "weighted"]
"""How the samples of a person are compared: the closest one, their mean, or their mean weighted by quality."""


class Calibration(Protocol):
    """What a calibration of the recipe must know."""

    def probability(self, similarity: float) -> float:
        """Of being the same person, at prior 0.5."""

    def threshold_at(self, fmr: float) -> float:
        """Smallest similarity with at most this false match rate."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Smallest similarity that names somebody, and where it comes from."""

    similarity: float
    source: str

    @classmethod
    def from_distance(cls, distance: float, metric: str, source: str) -> Threshold:
        """From a largest distance in a metric that follows from the cosine.

        Raises:
            ConfigError: euclidean, which does not.
        """
        if metric == "cosine":
            return cls(1.0 - distance, source)
        if metric == "euclidean_l2":
            return cls(1.0 - distance * distance / 2, source)
        if metric == "angular":
            return cls(float(np.cos(np.pi * distance)), source)
        raise ConfigError(f"galleries compare by cosine, euclidean_l2 or angular, not by {metric}")


def threshold_at_fpir(calibration: Calibration | None, fpir: float, people: int) -> Threshold:
    """The threshold at which a stranger is taken for somebody in at most a share `fpir` of searches among `people`.

    With independent impostors FPIR = 1 − (1 − FMR)^N, so FMR = 1 − (1 − FPIR)^(1/N). ISO/IEC 19795-1 warns that this is a model: measure where
    you can (`docs/concepts/galleries.md`).

    Raises:
        ConfigError: nobody has measured the recipe's false match rates.
    """
    if not 0 < fpir < 1:
        raise ConfigError(f"a false positive identification rate lies between 0 and 1, got {fpir}")
    if calibration is None:
        raise ConfigError(
            "a threshold at a requested FPIR needs a calibration of this recipe, and there is none; give --threshold, or calibrate first"
        )
    fmr = -np.expm1(np.log1p(-fpir) / max(1, people))
    return Threshold(calibration.threshold_at(float(fmr)), f"FPIR {fpir:g} among {people} people, FMR {fmr:.3g} each")


def templates(people: Sequence[Person], samples: Samples, kind: Template) -> tuple[list[str], FloatArray]:
    """One unit vector for each person that has samples: ids and (P, D) float32. Quality weights are at least 1 of 100; unknown quality counts 50."""
    weight = np.ones(len(samples))
    if kind == "weighted":
        weight = np.maximum(np.nan_to_num(samples.quality.astype(np.float64), nan=50.0), 1.0)
    sums = np.zeros((len(people), samples.vectors.shape[1]))
    np.add.at(sums, samples.person, samples.vectors * weight[:, None])
    lengths = np.linalg.norm(sums, axis=1)
    kept = lengths > 1e-9
    return [person.id for person, keep in zip(people, kept, strict=True) if keep], similarity.unit(sums[kept]) if kept.any() else np.zeros(
        (0, 1), np.float32
    )


def nearest_people(backend: Backend, queries: FloatArray, k: int, now: int, exact: bool) -> list[list[tuple[str, float, int]]]:
    """For each query (Q, D) its k nearest people by their closest sample: (id, similarity, sample), best first, ties by sample id."""
    info = backend.info
    answers: dict[int, list[tuple[str, float, int]]] = {}
    todo, ask = list(range(len(queries))), min(info.samples, 4 * k)
    while todo and ask:
        again = []
        for place, hits in zip(todo, backend.search(queries[todo], ask, now, exact), strict=True):
            best = _distinct(hits, k)
            if len(best) >= min(k, info.people) or len(hits.sample) < ask or ask >= info.samples:
                answers[place] = best
            else:
                again.append(place)
        todo, ask = again, min(info.samples, 8 * ask)
    return [answers.get(place, []) for place in range(len(queries))]


def _distinct(hits: Hits, k: int) -> list[tuple[str, float, int]]:
    best: dict[str, tuple[str, float, int]] = {}
    for person, score, sample in zip(hits.people, hits.similarity, hits.sample, strict=True):
        if person not in best:
            best[person] = (person, float(score), int(sample))
            if len(best) == k:
                break
    return list(best.values())


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """One vector for each person, kept until the gallery changes.

    Attributes:
        kind, revision, until: of what, of which state of the store, and until when (the next expiry). ids: P people. matrix: (P, D) float32.
    """

    kind: Template = "best"
    revision: str = ""
    until: int = 0
    ids: Sequence[str] = ()
    matrix: FloatArray = field(default_factory=lambda: np.zeros((0, 1), np.float32))

    def renewed(self, backend: Backend, kind: Template, now: int) -> Templates:
        """These, or new ones where something has changed.

        Raises:
            ConfigError: no such kind.
        """
        if kind not in ("mean", "weighted"):
            raise ConfigError(f"template must be best, mean or weighted, got {kind!r}")
        revision = backend.info.revision
        if (self.kind, self.revision) == (kind, revision) and now < self.until:
            return self
        everything = backend.entries()
        later = everything.samples.expires[everything.samples.expires > now]
        samples = everything.samples.take(everything.samples.living(now))
        known = {person.id: person for person in everything.people}
        ids, matrix = templates([known[id] for id in samples.people], samples, kind)
        return Templates(kind, revision, int(later.min()) if len(later) else 1 << 62, ids, matrix)

    def nearest(self, queries: FloatArray, k: int) -> list[list[tuple[str, float, int]]]:
        """As `nearest_people`: ties by the order of `ids`; the sample is −1."""
        if not len(self.matrix):
            return [[] for _ in queries]
        out = []
        for query, rows in zip(queries, scan.nearest([self.matrix], queries, k, np.zeros(0, np.intp)), strict=True):
            best, scores = scan.order(query, rows, rows.astype(np.int64), lambda wanted: self.matrix[wanted], k)
            out.append([(self.ids[row], float(score), -1) for row, score in zip(best, scores, strict=True)])
        return out


def matches(found: Sequence[tuple[str, float, int]], names: dict[str, str], calibration: Calibration | None) -> tuple[Match, ...]:
    """Candidates as values."""
    return tuple(
        Match(names.get(id, id), score, "" if sample < 0 else str(sample), id, None if calibration is None else calibration.probability(score))
        for id, score, sample in found
    )
