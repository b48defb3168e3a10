"""The decision: two embeddings, a metric and a threshold in; same, different or "needs review" out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import similarity
from .calibration import Calibration
from .cards import Card
from .errors import ConfigError
from .types import Embedding, FaceResult, Metric, Verification

__all__ = ["Decision", "compare", "resolve_threshold", "threshold_for_fmr"]


@dataclass(frozen=True, slots=True)
class Decision:
    """How a score becomes a decision.

    Attributes:
        metric: the distance that is compared with the threshold.
        threshold: largest distance that counts as same, in `metric`.
        source: where the threshold comes from.
        review: half-width of the band about the threshold that is answered `verified=None`; None = always decide.
        calibration: what gives a score its probability and false match rate; None = neither is known.
        prior: probability of the same person before the pictures were seen.
    """

    metric: Metric
    threshold: float
    source: str
    review: float | None = None
    calibration: Calibration | None = None
    prior: float = 0.5

    def __post_init__(self) -> None:
        if self.metric not in similarity.METRICS:
            raise ConfigError(f"unknown metric {self.metric!r}; known: {', '.join(similarity.METRICS)}")
        if not 0 <= self.threshold < float("inf"):
            raise ConfigError(f"a threshold is a distance of 0 or more, got {self.threshold}")
        if self.review is not None and not 0 <= self.review < float("inf"):
            raise ConfigError(f"the review margin must be 0 or more, got {self.review}")
        if not 0 < self.prior < 1:
            raise ConfigError(f"a prior probability lies between 0 and 1, got {self.prior}")

    def decide(self, distance: float) -> bool | None:
        """True same, False different, None inside the review band."""
        if self.review is not None and abs(distance - self.threshold) <= self.review:
            return None
        return similarity.accepts(distance, self.threshold)


def resolve_threshold(card: Card, metric: Metric, given: float | None = None, review: float | None = None) -> Decision:
    """The threshold to use: the caller's, else the card's for this metric, else the one that follows from the card's cosine.

    Cosine, euclidean_l2 and angular distances are functions of each other, so a threshold on one gives the same decisions on all.

    Raises:
        ConfigError: nobody has measured one.
    """
    if given is not None:
        return Decision(metric, float(given), "given by the caller", review)
    own = card.threshold_for(metric)
    if own is not None:
        return Decision(metric, similarity.as_distance_threshold(own.value, own.kind, metric), own.source, review)
    cosine = card.threshold_for("cosine")
    if cosine is not None and metric in ("euclidean_l2", "angular"):
        largest = similarity.as_distance_threshold(cosine.value, cosine.kind, "cosine")
        return Decision(metric, similarity.from_cosine(1.0 - largest, metric), f"{cosine.source}; cosine {largest:g} as {metric}", review)
    known = ", ".join(item.metric for item in card.threshold) or "none"
    raise ConfigError(
        f"{card.name} has no threshold for the metric {metric!r} (it has: {known}); give one with threshold= or --threshold, or choose another metric"
    )


def threshold_for_fmr(calibration: Calibration | None, fmr: float, metric: Metric, recipe: str, review: float | None = None) -> Decision:
    """The threshold that was measured for a false match rate.

    Raises:
        ConfigError: no calibration for the recipe, or for raw euclidean distances.
        InputError: a rate that the calibration cannot carry.
    """
    if calibration is None:
        why = f"{metric} distances of raw vectors have none" if metric in similarity.RAW else f"none was measured for this recipe ({recipe})"
        raise ConfigError(
            f"fmr={fmr:g} needs a calibration, and {why}; measure one (faceworks evaluate calibrate DIR --keep), use "
            "a recipe that has one (the default pipeline), or give a threshold"
        )
    distance = similarity.from_cosine(calibration.threshold_at(fmr), metric)
    return Decision(metric, distance, calibration.source(fmr), review)


def compare(
    a: FaceResult, b: FaceResult, decision: Decision, models: Mapping[str, str] | None = None, timings: Mapping[str, float] | None = None
) -> Verification:
    """Compare two embedded faces.

    Raises:
        ModelMismatch: the vectors come from different models.
    """
    x, y = _vector(a), _vector(b)
    x.require_same_model(y)
    distance = similarity.distance(x.vector, y.vector, decision.metric)
    cosine, known = similarity.similarity(x.vector, y.vector), decision.calibration
    return Verification(
        verified=decision.decide(distance),
        similarity=cosine,
        distance=distance,
        metric=decision.metric,
        threshold=decision.threshold,
        threshold_source=decision.source,
        probability=None if known is None else known.probability(cosine, decision.prior),
        fmr=None if known is None else known.fmr_at(cosine),
        faces=(a.face, b.face),
        models=dict(models or {}),
        timings=dict(timings or {}),
    )


def _vector(result: FaceResult) -> Embedding:
    if result.embedding is None:
        raise ConfigError("a face without an embedding cannot be compared; embed it first")
    return result.embedding
