"""What answers hold, for the OpenAPI document. Answers are made by `types.to_dict`, as the command line's are; tests check them against these models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from .forms import Strict

__all__ = ["ProblemOut"]

BOX = [25.1, 30.0, 120.5, 150.2]


class FaceOut(Strict):
    """A face: box x1, y1, x2, y2 in pixels of the upright picture, score in [0, 1], points or null."""

    box: Annotated[list[float], Field(min_length=4, max_length=4)] = Field(examples=[BOX])
    score: Annotated[float, Field(ge=0, le=1)]
    landmarks: list[list[float]] | None
    detector: str
    scheme: str | None = None
    found_by: str | None = None


class EmbeddingOut(Strict):
    """A vector as the network gives it; vectors of different `model` are never compared."""

    vector: list[float]
    norm: float | None
    model: str


class EmbeddedFaceOut(FaceOut):
    """A face with its vector."""

    embedding: EmbeddingOut


class CategoricalOut(Strict):
    """A distribution over labels; entropy in nats says how unsure it is."""

    label: str
    probabilities: dict[str, float]
    entropy: float
    model: str | None = None


class ScalarOut(Strict):
    """A number with unit, range and, where the model has one, its spread."""

    value: float
    unit: str
    range: list[float | None]
    spread: float | None = None
    model: str | None = None
    reasons: list[str] | None = None


class AnalyzedFaceOut(FaceOut):
    """A face with its attributes."""

    attributes: dict[str, CategoricalOut | ScalarOut]


class VerifyOut(Strict):
    """Whether two pictures show the same person. Accepted: distance ≤ threshold; `verified` null = within the review band."""

    verified: bool | None
    similarity: float = Field(description="Cosine of the two vectors, higher is closer.")
    distance: float
    metric: str
    threshold: float
    threshold_source: str
    probability: float | None = Field(description="Of the same person at the prior; null without a calibration of the recipe.")
    fmr: float | None = Field(description="Share of comparisons of different people that score this high; null without a calibration.")
    faces: Annotated[list[FaceOut], Field(min_length=2, max_length=2)]
    models: dict[str, str]
    timings: dict[str, float]


class DetectedPicture(Strict):
    """What was found in one picture, or why it could not be used."""

    source: str
    width: int | None = None
    height: int | None = None
    faces: list[FaceOut]
    error: str | None = None


class DetectOut(Strict):
    """An answer for each picture, in their order."""

    results: list[DetectedPicture]
    models: dict[str, str]


class EmbeddedPicture(Strict):
    """What was embedded of one picture."""

    source: str
    faces: list[EmbeddedFaceOut]
    error: str | None = None


class EmbedOut(Strict):
    """An answer for each picture, in their order; `recipe` is what thresholds belong to."""

    results: list[EmbeddedPicture]
    models: dict[str, str]
    recipe: str


class AnalyzedPicture(Strict):
    """What was estimated for the faces of one picture."""

    source: str
    faces: list[AnalyzedFaceOut]
    error: str | None = None


class AnalyzeOut(Strict):
    """An answer for each picture, in their order."""

    results: list[AnalyzedPicture]
    models: dict[str, str]


class LicenseOut(Strict):
    """Of the code and of the weights."""

    code: str
    weights: str
    commercial_use: bool
    note: str = ""


class ModelOut(Strict):
    """A model of the catalog."""

    name: str
    task: str
    summary: str
    reliability: str
    status: Literal["ready", "pull", "manual"]
    default: bool
    served: bool = Field(description="Whether a request may name it here.")
    license: LicenseOut
    paper: str


class ModelsOut(Strict):
    """The catalog."""

    items: list[ModelOut]


class HealthOut(Strict):
    """The process answers."""

    status: Literal["ok"]


class ReadyOut(Strict):
    """Whether the models are open and the service is not stopping."""

    status: Literal["ready", "waiting", "stopping"]
    detail: str


class SessionOut(Strict):
    """Who is signed in. `csrf` goes into `X-CSRF-Token` of writing requests."""

    name: str
    role: Literal["read", "enroll", "admin"]
    csrf: str
    keyless: bool
    version: str


class ProblemOut(BaseModel):
    """RFC 9457. `type` is `urn:faceworks:problem:` and the kind of error."""

    type: str = Field(examples=["urn:faceworks:problem:no-face-found"])
    title: str
    status: int
    detail: str
    instance: str | None = None
    request_id: str | None = None
    errors: list[dict[str, str]] | None = None


class GalleryOut(Strict):
    """A gallery. `model` is null until somebody is enrolled."""

    name: str
    people: int
    samples: int
    model: str | None
    recipe: str | None
    encrypted: bool
    audited: bool


class GalleriesOut(Strict):
    """Galleries by name."""

    items: list[GalleryOut]
    next: str | None


class PersonOut(Strict):
    """Somebody, with the number of samples. `quality` is the best of them."""

    id: str
    name: str
    metadata: dict[str, Any]
    created: str | None
    samples: int
    quality: float | None = None


class PeopleOut(Strict):
    """People by name."""

    items: list[PersonOut]
    next: str | None


class SampleOut(Strict):
    """One picture of a person. The picture itself is not kept, and its vector is not given out."""

    id: str
    quality: float | None
    norm: float | None
    box: list[float] | None
    time: str | None
    consent: str
    expires: str | None


class PersonDetailOut(Strict):
    """Somebody with all samples."""

    id: str
    name: str
    metadata: dict[str, Any]
    created: str | None
    samples: list[SampleOut]


class EnrolledOut(Strict):
    """What became of one picture. `sample` null without `error`: it is nearly the same as one that is here."""

    source: str
    sample: str | None
    quality: float | None
    warnings: list[str]
    error: str | None = None


class EnrollOut(Strict):
    """Who was enrolled, and what became of each picture."""

    person: PersonOut
    pictures: list[EnrolledOut]


class RemovedOut(Strict):
    """How many samples are gone, and for how long `restore` brings them back (0 = never)."""

    removed: int
    undo_seconds: int


class MatchOut(Strict):
    """A candidate."""

    person: str
    person_id: str
    similarity: float
    sample: str
    probability: float | None


class IdentificationOut(Strict):
    """Who a face is; `person` null = a stranger."""

    face: FaceOut
    person: str | None
    person_id: str | None
    candidates: list[MatchOut]
    threshold: float | None
    threshold_source: str


class IdentifiedPicture(Strict):
    """Who is in a picture."""

    source: str
    faces: list[IdentificationOut]
    error: str | None = None


class IdentifyOut(Strict):
    """An answer for each picture."""

    results: list[IdentifiedPicture]
    models: dict[str, str]


class AuditLine(Strict):
    """A line of a gallery's log. Tokens stand for people; after `forget` they lead to nobody."""

    n: int
    time: str | None
    actor: str
    action: str
    tokens: list[str]
    count: int
    people: list[str] = Field(description="Names behind the tokens, as far as they are still here.")


class AuditOut(Strict):
    """Newest first. `valid`: whether the chain of hashes holds."""

    items: list[AuditLine]
    next: str | None
    valid: bool


class EventLine(Strict):
    """A line of the service's own log. `actor` is the key's id, `name` its name; `target` what it was done to; `request` the request id."""

    n: int
    time: str | None
    actor: str
    name: str
    action: str
    target: str
    request: str


class EventsOut(Strict):
    """Newest first."""

    items: list[EventLine]
    next: str | None


class JobOut(Strict):
    """A job. `total` 0 = not known yet; `problem` says why one failed."""

    id: str
    kind: str
    state: Literal["queued", "running", "done", "failed", "canceled"]
    parameters: dict[str, Any]
    done: int
    total: int
    note: str
    problem: dict[str, Any] | None
    created: str | None
    started: str | None
    finished: str | None


class JobsOut(Strict):
    """Jobs, newest first."""

    items: list[JobOut]
    next: str | None


class EvaluationOut(Strict):
    """An evaluation: the job, its report (null until it is done) and files."""

    job: JobOut
    report: dict[str, Any] | None
    files: list[str]


class StudyOut(Strict):
    """A study: the job, and names of its files once it is done."""

    job: JobOut
    files: list[str]
