"""From vectors to people: the k nearest people of a gallery, and whether the nearest is near enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from .. import similarity
from ..errors import ConfigError, ModelMismatch
from ..types import FaceResult, FloatArray, Identification, Match
from . import scan
from .backend import Backend, Binding, Hits, Person, Samples

if TYPE_CHECKING:
    from .policy import Gallery

__all__ = ["Calibration", "Crowd", "Template", "Templates", "Threshold", "decide", "nearest_people", "prepared", "templates", "threshold_at_fpir"]

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
        """From a largest distance in a metric that follows from the cosine; of chi2, whose similarity is minus the distance.

        Raises:
            ConfigError: euclidean, of raw vectors, which galleries do not compare by.
        """
        if metric == "cosine":
            return cls(1.0 - distance, source)
        if metric == "euclidean_l2":
            return cls(1.0 - distance * distance / 2, source)
        if metric == "angular":
            return cls(float(np.cos(np.pi * distance)), source)
        if metric == "chi2":
            return cls(-distance, source)
        raise ConfigError(f"galleries compare by cosine, euclidean_l2, angular or chi2, not by {metric}")


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


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many people a search is among: those with a sample that it finds. Kept until the gallery changes.

    Attributes:
        people: how many. revision, until: of which state of the store, and until when (the next expiry).
    """

    people: int = 0
    revision: str = ""
    until: int = 0

    def renewed(self, backend: Backend, now: int) -> Crowd:
        """This, or a new one where something has changed."""
        revision = backend.info.revision
        if self.revision == revision and now < self.until:
            return self
        people, until = backend.findable(now)
        return Crowd(people, revision, until)


def prepared(binding: Binding | None, vectors: FloatArray) -> FloatArray:
    """Queries (Q, D) as the store wants them: of length 1, or a chi2 gallery's histograms, rounded as stored ones are (equal ones have distance 0).

    Raises:
        InputError: a zero vector, or one that is not finite.
    """
    unit = similarity.unit(vectors)
    if binding is None or binding.metric != "chi2":
        return unit
    lengths = np.linalg.norm(np.asarray(vectors, np.float32).astype(np.float64), axis=1).astype(np.float32)
    raw: FloatArray = unit * lengths[:, None]
    return raw


def scores(binding: Binding | None, query: FloatArray, samples: Samples) -> FloatArray:
    """Similarities (N,) of a prepared query (D,) with samples."""
    if binding is not None and binding.metric == "chi2":
        return scan.chi_squares(query, samples.vectors, samples.length)
    return scan.cosines(query, samples.vectors)


def templates(people: Sequence[Person], samples: Samples, kind: Template, binding: Binding | None) -> tuple[list[str], FloatArray]:
    """One vector for each person that has samples, of length 1 (of histograms: their mean): ids and (P, D) float32.

    Quality weights are at least 1 of 100; unknown quality counts 50.
    """
    weight, histograms = np.ones(len(samples)), binding is not None and binding.metric == "chi2"
    if kind == "weighted":
        weight = np.maximum(np.nan_to_num(samples.quality.astype(np.float64), nan=50.0), 1.0)
    sums = np.zeros((len(people), samples.vectors.shape[1]))
    np.add.at(sums, samples.person, samples.vectors * (weight * samples.length if histograms else weight)[:, None])
    kept = np.linalg.norm(sums, axis=1) > 1e-9
    ids = [person.id for person, keep in zip(people, kept, strict=True) if keep]
    if not ids:
        return [], np.zeros((0, 1), np.float32)
    if histograms:
        total = np.bincount(samples.person, weight, minlength=len(people))
        return ids, np.asarray(sums[kept] / total[kept, None], np.float32)
    return ids, similarity.unit(sums[kept])


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
        binding: how they are compared.
    """

    kind: Template = "best"
    revision: str = ""
    until: int = 0
    ids: Sequence[str] = ()
    matrix: FloatArray = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    binding: Binding | None = None

    def renewed(self, backend: Backend, kind: Template, now: int) -> Templates:
        """These, or new ones where something has changed.

        Raises:
            ConfigError: no such kind.
        """
        if kind not in ("mean", "weighted"):
            raise ConfigError(f"template must be best, mean or weighted, got {kind!r}")
        info = backend.info
        if (self.kind, self.revision) == (kind, info.revision) and now < self.until:
            return self
        everything = backend.entries()
        later = everything.samples.expires[everything.samples.expires > now]
        samples = everything.samples.take(everything.samples.living(now))
        known = {person.id: person for person in everything.people}
        ids, matrix = templates([known[id] for id in samples.people], samples, kind, info.binding)
        return Templates(kind, info.revision, int(later.min()) if len(later) else 1 << 62, ids, matrix, info.binding)

    def nearest(self, queries: FloatArray, k: int) -> list[list[tuple[str, float, int]]]:
        """As `nearest_people`, for prepared queries: ties by the order of `ids`; the sample is −1."""
        if not len(self.matrix):
            return [[] for _ in queries]
        if self.binding is not None and self.binding.metric == "chi2":
            every = [scan.chi_squares(query, self.matrix, np.ones(len(self.matrix), np.float32)) for query in queries]
            order = [np.argsort(-found, kind="stable")[:k] for found in every]
            return [[(self.ids[row], float(found[row]), -1) for row in rows] for found, rows in zip(every, order, strict=True)]
        out = []
        for query, rows in zip(queries, scan.nearest([self.matrix], queries, k, np.zeros(0, np.intp)), strict=True):
            best, found = scan.order(query, rows, rows.astype(np.int64), lambda wanted: self.matrix[wanted], k)
            out.append([(self.ids[row], float(score), -1) for row, score in zip(best, found, strict=True)])
        return out


def matches(found: Sequence[tuple[str, float, int]], names: dict[str, str], calibration: Calibration | None) -> tuple[Match, ...]:
    """Candidates as values."""
    return tuple(
        Match(names.get(id, id), score, "" if sample < 0 else str(sample), id, None if calibration is None else calibration.probability(score))
        for id, score, sample in found
    )


def decide(
    gallery: Gallery, results: Sequence[FaceResult], k: int, limit: Threshold, template: Template, exact: bool, only: str | None
) -> list[Identification]:  # fmt: skip
    """See `Gallery.identify_results`."""
    if not results:
        return []
    binding = gallery.binding
    for item in results:
        if item.embedding is None or (binding is not None and item.embedding.model != binding.model):
            made = "nothing" if item.embedding is None else item.embedding.model
            holds = binding.model if binding else "no model"
            raise ModelMismatch(f"the gallery holds vectors of {holds}, the face was embedded by {made}: embed it with the gallery's pipeline")
    vectors = np.stack([item.embedding.vector for item in results if item.embedding is not None])
    if only is None:
        found = gallery.look_up(vectors, k, template=template, exact=exact)
    else:
        samples = gallery.get(only).samples
        if template == "best":
            rows = [scores(binding, query, samples) for query in prepared(binding, vectors)] if len(samples) else []
            found = [[(only, float(row.max()), int(samples.id[row.argmax()]))] for row in rows] or [[] for _ in results]
        else:
            ids, matrix = templates([gallery.person(only)], samples, template, binding)
            found = Templates(template, ids=ids, matrix=matrix, binding=binding).nearest(prepared(binding, vectors), 1)
    people = {person.id: person for person in gallery.backend.entries(sorted({id for row in found for id, _, _ in row})).people}
    gallery.note("verify" if only else "search", [people[only]] if only in people else [], len(results))
    out = []
    for item, row in zip(results, found, strict=True):
        shown = matches(row, {id: person.name for id, person in people.items()}, gallery.calibration)
        best = shown[0] if shown and shown[0].similarity >= limit.similarity else None
        out.append(Identification(item.face, best.person if best else None, shown, best.person_id if best else None, limit.similarity, limit.source))
    return out
