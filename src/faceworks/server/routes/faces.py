"""POST /v1/verify, /v1/detect, /v1/embed, /v1/analyze."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ... import api
from ...analysis import Analyzer
from ...errors import AssetUnavailable
from ...types import FaceResult, to_dict
from ..forms import AnalyzeForm, DetectForm, EmbedForm, VerifyForm, parse
from ..openapi import form_body, problems
from ..problems import Problem
from ..schemas import AnalyzeOut, DetectOut, EmbedOut, VerifyOut
from .asking import Reader, StateOf, as_json, each_picture, picture_form

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["faces"], responses=problems(408, 415, 501))


@router.post(
    "/verify", response_model=VerifyOut, openapi_extra=form_body(VerifyForm, a=False, b=False), summary="Do two pictures show the same person?"
)
async def verify(request: Request, state: StateOf, key: Reader) -> Response:
    """Compare the largest face of picture `a` with that of picture `b`."""
    form = await picture_form(request, state, "a", "b")
    asked = parse(VerifyForm, form.fields)
    spec = state.spec(**asked.options())

    def decide(pair: tuple[bytes, bytes]) -> Any:
        return api.verify(*pair, spec, review=asked.review, prior=asked.prior)

    return as_json(await state.queue.run(decide, (form.files["a"][0], form.files["b"][0])))


@router.post("/detect", response_model=DetectOut, openapi_extra=form_body(DetectForm, pictures=True), summary="Find the faces in pictures.")
async def detect(request: Request, state: StateOf, key: Reader) -> Response:
    """All faces of each picture, best score first; a picture without a face has an empty list."""
    form = await picture_form(request, state, many="pictures")
    spec = state.spec(**parse(DetectForm, form.fields).options())

    def together(pictures: Sequence[bytes]) -> Sequence[Any]:
        return api.detect(pictures, spec)

    results = await each_picture(state, form, lambda picture: api.detect(picture, spec), together, ("detect", spec))
    return as_json({"results": results, "models": {"detector": api.get_pipeline(spec).models["detector"]}})


@router.post("/embed", response_model=EmbedOut, openapi_extra=form_body(EmbedForm, pictures=True), summary="Turn faces into vectors.")
async def embed(request: Request, state: StateOf, key: Reader) -> Response:
    """All faces of each picture (see `select`) with their vectors, as the network gives them."""
    form = await picture_form(request, state, many="pictures")
    spec = state.spec(**{"select": "all", "on_no_face": "empty", **parse(EmbedForm, form.fields).options()})

    def together(pictures: Sequence[bytes]) -> Sequence[Any]:
        return api.embed(pictures, spec)

    results = await each_picture(state, form, lambda picture: api.embed(picture, spec), together, ("embed", spec), entry=embedded)
    pipeline = api.get_pipeline(spec)
    return as_json({"results": results, "models": pipeline.models, "recipe": pipeline.recipe_id})


@router.post("/analyze", response_model=AnalyzeOut, openapi_extra=form_body(AnalyzeForm, pictures=True), summary="What do faces show?")
async def analyze(request: Request, state: StateOf, key: Reader) -> Response:
    """Emotion, age and more of all faces, as distributions and numbers with their spread; each names its model. None is a fact about a person."""
    form = await picture_form(request, state, many="pictures")
    asked = parse(AnalyzeForm, form.fields)
    for name in asked.models.values():
        if name not in state.models:
            raise Problem(422, f"the model {name[:80]!r} is not served here; served: {', '.join(state.models)}", "model-not-served")
    spec = state.spec(**{"select": "all", "on_no_face": "empty", **asked.options()})
    names = asked.attributes or state.options.attributes

    def analyzer() -> Analyzer:
        return api.get_analyzer(names, asked.models, spec, abstain=asked.abstain, bpcer=asked.bpcer)

    def one(picture: bytes) -> Any:
        return api.analyze(picture, names, asked.models, spec, abstain=asked.abstain, bpcer=asked.bpcer)

    try:
        results = await each_picture(state, form, one, entry=described)
        models = await state.queue.run(lambda _: analyzer().models_used, None)
    except AssetUnavailable:  # requests fetch nothing: what is not on the machine is not served
        raise Problem(
            422, f"a model for {', '.join(names)} is not on this machine; the operator fetches it: faceworks models pull", "model-not-served"
        ) from None
    return as_json({"results": results, "models": {"detector": api.get_pipeline(spec).models["detector"], **models}})


def described(found: Sequence[FaceResult]) -> dict[str, Any]:
    """Faces with their attributes, as `faceworks analyze --json` writes them."""
    return {"faces": [{**to_dict(item.face), "attributes": to_dict(item.attributes)} for item in found]}


def embedded(found: Sequence[FaceResult]) -> dict[str, Any]:
    """Faces with their vectors, as `faceworks embed --json` writes them."""
    return {"faces": [{**to_dict(item.face), "embedding": to_dict(item.embedding)} for item in found]}
