"""What requests may hold: the text fields of forms, and JSON bodies. For parsing and for the OpenAPI document."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from .problems import Problem
from .shelf import NAME

__all__ = ["Strict", "invalid", "parse"]

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


Text = Annotated[str, Field(max_length=200)]


Finite = Annotated[float, Field(allow_inf_nan=False)]


Words = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: tuple(value.split(",")) if isinstance(value, str) else value), WithJsonSchema({"type": "string"})
]
"""Several words, separated by commas: a form has one part for each field."""


NO_OPTIONS = frozenset({"review", "prior", "attributes", "models", "abstain", "bpcer"})
"""Fields of forms that are arguments of the functions, not options of the pipeline."""


class DetectForm(Strict):
    """How faces are found."""

    detector: Text | None = Field(None, description="A served detector; see /v1/models.", examples=["yunet-2023mar-int8bq"])
    min_score: Annotated[Finite, Field(ge=0, le=1)] | None = Field(None, description="Lowest detection score that counts as a face.")
    retry: Words | None = Field(
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


Pairs = Annotated[
    dict[str, str],
    BeforeValidator(lambda value: _pairs(value) if isinstance(value, str) else value),
    WithJsonSchema({"type": "string", "default": ""}),
]


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


class SessionIn(Strict):
    """A key, handed in once."""

    key: Annotated[str, Field(min_length=1, max_length=200)]


class GalleryIn(Strict):
    """A new gallery."""

    name: Annotated[str, Field(pattern=f"^{NAME}$", description="a-z, 0-9, - and _, at most 64.", examples=["staff"])]


class EnrollForm(Strict):
    """Somebody who is enrolled. A name that is here already means that person."""

    name: Annotated[str, Field(min_length=1, max_length=1000)]
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}$")] | None = Field(None, description="Your own key of the person.")
    metadata: Annotated[dict[str, Any], BeforeValidator(lambda value: _object(value) if isinstance(value, str) else value)] = Field(
        {}, description="A JSON object, kept with a new person."
    )
    consent: Annotated[str, Field(max_length=2000)] = Field("", description="On what ground the pictures are held.")
    expires: Annotated[str, Field(max_length=40)] | None = Field(None, description="When they stop being found: 2027-01-31.")
    min_quality: Annotated[Finite, Field(ge=0, le=100)] | None = Field(None, description="Refuse faces of a lower quality.")
    keep_duplicates: bool = Field(False, description="Enroll pictures that are nearly the same as one that is here.")


class SamplesForm(Strict):
    """Further pictures of a person."""

    consent: Annotated[str, Field(max_length=2000)] = ""
    expires: Annotated[str, Field(max_length=40)] | None = None
    min_quality: Annotated[Finite, Field(ge=0, le=100)] | None = None
    keep_duplicates: bool = False


class IdentifyForm(Strict):
    """How people are looked for."""

    k: Annotated[int, Field(ge=1, le=50)] = Field(5, description="Candidates for each face.")
    threshold: Annotated[Finite, Field(ge=0)] | None = Field(None, description="Largest distance that names somebody. Default: the model card's.")
    fpir: Annotated[Finite, Field(gt=0, lt=1)] | None = Field(None, description="Share of strangers that may be taken for somebody, instead of it.")
    template: Literal["best", "mean", "weighted"] = "best"
    exact: bool = Field(True, description="False lets an index answer, where there is one.")


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


class PersonIn(Strict):
    """What is to be changed."""

    name: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    metadata: dict[str, Any] | None = None


class MergeIn(Strict):
    """Who is the same person."""

    other: Annotated[str, Field(min_length=1, max_length=1000)]


class EvaluationForm(Strict):
    """What is measured."""

    kind: Literal["scores", "attributes", "pad", "folder", "pairs"]
    dataset: Annotated[str, Field(max_length=200)] = Field("", description="Its name and variant, as it shall stand in the report.")
    detector: Text | None = None
    embedder: Text | None = None
    flip: bool | None = None

    def parameters(self, state: Any) -> dict[str, Any]:
        """What the job needs. Refuses models that are not served."""
        spec = {name: value for name in ("detector", "embedder", "flip") if (value := getattr(self, name)) is not None}
        state.spec(**spec)
        return {"kind": self.kind, "dataset": self.dataset, "spec": spec}


class StudyForm(Strict):
    """A study."""

    name: Annotated[str, Field(max_length=200)] = Field("", description="What it is called in lists.")
    language: Literal["en", "ko"] = Field("en", description="Of the report, where the archive brings no study.toml.")

    def parameters(self, state: Any) -> dict[str, Any]:
        """What the job needs."""
        return {"name": self.name, "language": self.language}


class RatingsForm(Strict):
    """Ratings: a file and nothing else."""

    def parameters(self, state: Any) -> dict[str, Any]:
        """What the job needs."""
        return {}
