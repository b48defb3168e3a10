"""The values that travel through faceworks, and the conventions they keep.

**Pictures** are `(H, W, 3)` uint8 **RGB** with the EXIF orientation applied.
**Coordinates** are float32 pixels of the original picture, x to the right, y down; an integer coordinate is a pixel's *center* (as in
`cv2.warpAffine`). A box is `[x1, y1, x2, y2]`, its width is x2 − x1, and it may leave the picture.
**Landmarks** are `(K, 2)` points with a scheme: `arcface5` (as the viewer sees them: left eye, right eye, nose tip, left and right mouth corner),
`dlib5` (four eye corners and the nose base), `blazeface6` (left eye, right eye, nose tip, mouth, left and right ear), `ibug68`, `mesh468`.
Sizes are `(height, width)`; scores lie in [0, 1]; angles are degrees; ages are years; valence and arousal lie in [−1, 1].

All values are frozen and their arrays are read-only; a step returns a new value. A misspelt attribute raises.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .display import as_html, as_rich
from .errors import InputError, ModelMismatch

__all__ = [
    "SCHEMES",
    "Box",
    "Categorical",
    "Crop",
    "Embedding",
    "Face",
    "FaceResult",
    "FloatArray",
    "Identification",
    "ImageArray",
    "Landmarks",
    "Match",
    "Metric",
    "Scalar",
    "Scheme",
    "Select",
    "Verification",
    "View",
    "frozen",
    "to_dict",
]

ImageArray: TypeAlias = NDArray[np.uint8]
"""A picture: (H, W, 3) uint8 RGB."""
FloatArray: TypeAlias = NDArray[np.float32]
Box: TypeAlias = NDArray[np.float32]
"""(4,) float32: x1, y1, x2, y2."""
Scheme: TypeAlias = Literal["arcface5", "dlib5", "blazeface6", "ibug68", "mesh468"]
Metric: TypeAlias = Literal["cosine", "euclidean", "euclidean_l2", "angular", "chi2"]
Select: TypeAlias = Literal["largest", "central", "all"]

SCHEMES: Mapping[str, int] = {"arcface5": 5, "dlib5": 5, "blazeface6": 6, "ibug68": 68, "mesh468": 468}
"""Number of points of each landmark scheme."""


def frozen(array: Any, dtype: Any, shape: tuple[int | None, ...], what: str) -> NDArray[Any]:
    """A read-only copy of `array` as `dtype`, checked against `shape` (None = any length).

    Raises:
        InputError: wrong shape, or a value that is not finite.
    """
    copy = np.array(array, dtype=dtype)
    if copy.shape != shape and (copy.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, copy.shape, strict=True))):
        raise InputError(f"{what} must have the shape ({', '.join('*' if n is None else str(n) for n in shape)}), got {copy.shape}")
    if not (all(map(isfinite, copy.ravel().tolist())) if copy.size <= 16 else np.isfinite(copy).all()):  # for a box, NumPy's calls cost tenfold
        raise InputError(f"{what} holds values that are not finite")
    copy.setflags(write=False)
    return copy


def _set(instance: object, name: str, value: object) -> None:
    object.__setattr__(instance, name, value)


class Shown:
    """How a value looks in a notebook and under `rich.print`: its JSON form as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return as_html(type(self).__name__, to_dict(self))

    def __rich__(self) -> Any:
        return as_rich(type(self).__name__, to_dict(self))


def _rebuild(value: Any) -> tuple[type, tuple[Any, ...]]:
    """`__reduce__` of values that hold arrays: a pickle or deep copy goes through the constructor, since a copied array would be writable."""
    return type(value), tuple(getattr(value, item.name) for item in dataclasses.fields(value))


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Points of one face.

    Attributes:
        points: (K, 2) float32, x and y in pixels of the picture.
        scheme: what the points are; K follows from it (`SCHEMES`).
        scores: (K,) float32 in [0, 1], or None.
    """

    points: FloatArray
    scheme: Scheme = "arcface5"
    scores: FloatArray | None = None

    __reduce__ = _rebuild

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise InputError(f"unknown landmark scheme {self.scheme!r}; known: {', '.join(SCHEMES)}")
        count = SCHEMES[self.scheme]
        _set(self, "points", frozen(self.points, np.float32, (count, 2), f"{self.scheme} landmarks"))
        if self.scores is not None:
            _set(self, "scores", frozen(self.scores, np.float32, (count,), "landmark scores"))


@dataclass(frozen=True, slots=True, eq=False)
class Face(Shown):
    """A face found in a picture.

    Attributes:
        box: (4,) float32 x1, y1, x2, y2; may leave the picture.
        score: the detector's confidence in [0, 1].
        landmarks: points, or None where the detector gives none.
        detector: name of the card that found it.
        found_by: the retry step that found it ("rotate90", "tile", …); "" for the plain run.
    """

    box: Box
    score: float
    landmarks: Landmarks | None = None
    detector: str = ""
    found_by: str = ""

    __reduce__ = _rebuild

    def __post_init__(self) -> None:
        _set(self, "box", frozen(self.box, np.float32, (4,), "a face box"))
        _set(self, "score", float(self.score))
        if not 0.0 <= self.score <= 1.0:
            raise InputError(f"a face score must lie in [0, 1], got {self.score}")

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Height of the box in pixels."""
        return float(self.box[3] - self.box[1])

    @property
    def area(self) -> float:
        """Area of the box in square pixels, 0 for an empty one."""
        return max(self.width, 0.0) * max(self.height, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A piece of a picture, resampled for a network.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        matrix: (2, 3) float64; maps picture coordinates to crop coordinates.
        template: the crop grammar that made it, as a card writes it.
    """

    pixels: ImageArray
    matrix: NDArray[np.float64]
    template: str

    __reduce__ = _rebuild

    def __post_init__(self) -> None:
        pixels = np.asarray(self.pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise InputError(f"a crop must be (h, w, 3) uint8, got {pixels.shape} {pixels.dtype}")
        view = pixels.view()
        view.setflags(write=False)
        _set(self, "pixels", view)
        _set(self, "matrix", frozen(self.matrix, np.float64, (2, 3), "a crop matrix"))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a model sees of one face: the crops its card asks for, in the card's order.

    Attributes:
        face: the face.
        image_size: (height, width) of the picture.
        n_faces: number of faces found in the picture.
        crops: one crop for each `[[input]]` of the card.
        embedding: the face's embedding, where a model builds on one.
    """

    face: Face
    image_size: tuple[int, int]
    n_faces: int
    crops: tuple[Crop, ...]
    embedding: Embedding | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A face as a vector.

    Attributes:
        vector: (D,) float32 as the network gives it (not normalized).
        norm: magnitude before normalizing, or None for a network that normalizes inside.
        model: recipe that made it; vectors of different recipes are never compared.
    """

    vector: FloatArray
    norm: float | None
    model: str

    __reduce__ = _rebuild

    def __post_init__(self) -> None:
        _set(self, "vector", frozen(self.vector, np.float32, (None,), "an embedding"))

    def require_same_model(self, other: Embedding) -> None:
        """Raise `ModelMismatch` unless both vectors come from the same recipe."""
        if self.model != other.model:
            raise ModelMismatch(f"cannot compare an embedding of {self.model} with one of {other.model}; embed both pictures with the same model")


@dataclass(frozen=True, slots=True, eq=False)
class Categorical(Shown):
    """A distribution over labels.

    Attributes:
        label: the most probable label, or "unsure" where abstaining was asked for.
        probabilities: label -> probability; they sum to 1.
        model: card that gave it.
    """

    label: str
    probabilities: Mapping[str, float]
    model: str = ""

    def __post_init__(self) -> None:
        values = {str(name): float(value) for name, value in self.probabilities.items()}
        total = sum(values.values())
        if not values or any(not 0.0 <= value <= 1.0 + 1e-6 for value in values.values()) or abs(total - 1.0) > 1e-4:
            raise InputError(f"probabilities must lie in [0, 1] and sum to 1, got {values}")
        _set(self, "probabilities", values)

    @property
    def entropy(self) -> float:
        """Shannon entropy in nats: 0 = sure, log(number of labels) = knows nothing."""
        p = np.array([value for value in self.probabilities.values() if value > 0])
        return float(-(p * np.log(p)).sum()) + 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Scalar(Shown):
    """A number with its unit and its doubt.

    Attributes:
        value: the estimate.
        unit: "years", "degrees", "1" …
        range: smallest and largest possible value.
        spread: standard deviation of the model's own distribution; for a model without one, of its measured error; None where neither is known.
        model: card that gave it.
        reasons: what lowers it, worst first (quality).
    """

    value: float
    unit: str
    range: tuple[float, float]
    spread: float | None = None
    model: str = ""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FaceResult(Shown):
    """One face with what was asked for."""

    face: Face
    embedding: Embedding | None = None
    attributes: Mapping[str, Categorical | Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Verification(Shown):
    """Whether two pictures show the same person.

    Attributes:
        verified: True same, False different, None needs review (only where a review margin was asked for).
        similarity: cosine of the two vectors, higher = closer, whatever the metric.
        distance: distance in `metric`, lower = closer.
        metric: cosine (1 − cos), euclidean, euclidean_l2 (on unit vectors), angular (angle / π), chi2 (of histograms).
        threshold: largest distance, in `metric`, that still counts as same.
        threshold_source: where the threshold was measured.
        probability: of being the same person at prior 0.5, or None without a calibration.
        fmr: false match rate at this score, or None without a calibration.
        faces: the two faces compared (None where a whole picture was used).
        models: role -> card name @ first twelve digits of the file's hash.
        timings: seconds by step.
    """

    verified: bool | None
    similarity: float
    distance: float
    metric: Metric
    threshold: float
    threshold_source: str
    probability: float | None
    fmr: float | None
    faces: tuple[Face, Face]
    models: Mapping[str, str]
    timings: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A candidate from a gallery.

    Attributes:
        person: name of the person.
        similarity: cosine, in [−1, 1]; of a chi2 gallery minus the distance.
        sample: the picture that was closest, or "" for a template made of several.
        person_id: key of the person; names may repeat.
        probability: of being this person, or None without a calibration.
    """

    person: str
    similarity: float
    sample: str
    person_id: str = ""
    probability: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Identification(Shown):
    """Who a face is: `person` is None for a stranger.

    Attributes:
        face: the face.
        person: name of the best candidate, if it is close enough.
        candidates: the closest people, best first, strangers' too.
        person_id: key of the person.
        threshold: smallest similarity that names somebody.
        threshold_source: where the threshold comes from.
    """

    face: Face
    person: str | None
    candidates: tuple[Match, ...]
    person_id: str | None = None
    threshold: float | None = None
    threshold_source: str = ""


def to_dict(value: Any) -> Any:
    """Turn a value (or a list, tuple, mapping of values) into plain JSON types. One form for the command line, the service and reports.

    float32 numbers are written with the digits that identify them; landmarks as their points; a range without an end has null there; bytes and pictures are refused.
    """
    if isinstance(value, Face):
        out = {"box": to_dict(value.box), "score": to_dict(np.float32(value.score)), "landmarks": None, "detector": value.detector}
        if value.landmarks is not None:
            out["landmarks"] = to_dict(value.landmarks.points)
            if value.landmarks.scheme != "arcface5":
                out["scheme"] = value.landmarks.scheme
        if value.found_by:
            out["found_by"] = value.found_by
        return out
    if isinstance(value, Scalar):
        out = {"value": value.value, "unit": value.unit, "range": [end if np.isfinite(end) else None for end in value.range]}
        out |= ({} if value.spread is None else {"spread": value.spread}) | ({"model": value.model} if value.model else {})
        return out | ({"reasons": list(value.reasons)} if value.reasons else {})
    if isinstance(value, Categorical):
        out = {"label": value.label, "probabilities": dict(value.probabilities), "entropy": value.entropy}
        return out | ({"model": value.model} if value.model else {})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_dict(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return [to_dict(item) for item in value]
    if isinstance(value, np.floating):
        return float(str(value))
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): to_dict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")
