"""What requests may hold and what answers hold, for the OpenAPI document. Answers are made by `types.to_dict`, as the command line's are; a test
checks every answer against these models."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .problems import Problem

__all__ = ["parse"]

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """Unknown members are refused, in requests and (by the tests) in answers."""

    model_config = ConfigDict(extra="forbid")


def parse(model: type[M], fields: dict[str, str]) -> M:
    """A form's text fields as a model.

    Raises:
        Problem: 422 naming the fields; values are not echoed.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False, include_input=False)) from None


def invalid(errors: Any) -> Problem:
    """Errors of pydantic as a problem."""
    rows = [{"field": ".".join(str(part) for part in item["loc"])[:100], "message": str(item["msg"])[:300]} for item in errors][:20]
    return Problem(422, "; ".join(f"{row['field']}: {row['message']}" for row in rows), "invalid-request", errors=rows)


# --- requests --------------------------------------------------------------------------------------------------------------------------------

Text = Annotated[str, Field(max_length=200)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Steps = Annotated[tuple[str, ...], BeforeValidator(lambda value: tuple(value.split(",")) if isinstance(value, str) else value)]
Words = Annotated[tuple[str, ...], BeforeValidator(lambda value: tuple(value.split(",")) if isinstance(value, str) else value)]


NO_OPTIONS = frozenset({"review", "prior", "attributes", "models", "abstain", "bpcer"})
"""Fields of forms that are arguments of the functions, not options of the pipeline."""


class DetectForm(Strict):
    """How faces are found."""

    detector: Text | None = Field(None, description="A served detector; see /v1/models.", examples=["yunet-2023mar-int8bq"])
    min_score: Annotated[Finite, Field(ge=0, le=1)] | None = Field(None, description="Lowest detection score that counts as a face.")
    retry: Steps | None = Field(
        None, description="Tried in this order where no face is found: pad,rotate90,rotate180,rotate270,tile,larger.", max_length=6
    )

    def options(self) -> dict[str, Any]:
        """What was given, as options of a pipeline."""
        return {name: value for name, value in self.model_dump().items() if value is not None and name not in NO_OPTIONS}


class EmbedForm(DetectForm):
    """How faces are found and embedded."""

    embedder: Text | None = Field(None, description="A served embedder; see /v1/models.", examples=["sface-2021dec-int8bq"])
    landmarker: Text | None = None
    align: Text | None = Field(None, description="similarity5 (the embedder's own crop), none, or a crop such as square:1.3.")
    select: Literal["largest", "central", "all"] | None = None
    on_no_face: Literal["raise", "empty", "whole"] | None = None
    flip: bool | None = Field(None, description="Embed the mirrored crop too and add both vectors.")
    crops: Annotated[int, Field(ge=1, le=5)] | None = None


Pairs = Annotated[dict[str, str], BeforeValidator(lambda value: _pairs(value) if isinstance(value, str) else value)]


def _pairs(text: str) -> dict[str, str]:
    found = [item.partition("=") for item in text.split(",") if item]
    if not all(equals and name and value for name, equals, value in found):
        raise ValueError("write attribute=model, separated by commas")
    return {name.strip(): value.strip() for name, _, value in found}


class AnalyzeForm(DetectForm):
    """What is asked about faces."""

    attributes: Words | None = Field(
        None, max_length=20, description="Of emotion, intensity, valence, arousal, age, gender, race, liveness, pose, quality, separated by commas."
    )
    models: Pairs = Field({}, description="Who answers an attribute instead of its default: emotion=emonet-8,… (served models).")
    abstain: Annotated[Finite, Field(ge=0, le=1)] = Field(0.0, description='A label less probable than this is given as "unsure".')
    bpcer: Annotated[Finite, Field(ge=0, le=1)] | None = Field(None, description="Liveness: share of living faces that may be called fake.")


class VerifyForm(EmbedForm):
    """How two faces are compared."""

    metric: Literal["cosine", "euclidean", "euclidean_l2", "angular", "chi2"] | None = None
    threshold: Annotated[Finite, Field(ge=0)] | None = Field(None, description="Largest distance that counts as same. Default: the model card's.")
    fmr: Annotated[Finite, Field(gt=0, le=1)] | None = Field(None, description="Take the threshold measured for this false match rate instead.")
    review: Annotated[Finite, Field(ge=0)] | None = Field(None, description="Half-width of the band about the threshold that is answered null.")
    prior: Annotated[Finite, Field(gt=0, lt=1)] = Field(0.5, description="Probability of the same person before the pictures were seen.")


# --- values ----------------------------------------------------------------------------------------------------------------------------------

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
    range: list[float]
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


class SessionIn(Strict):
    """A key, handed in once."""

    key: Annotated[str, Field(min_length=1, max_length=200)]


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
