"""POST /v1/verify, /v1/detect, /v1/embed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ... import api
from ...types import FaceResult, to_dict
from ..openapi import form_body, problems
from ..schemas import DetectForm, DetectOut, EmbedForm, EmbedOut, VerifyForm, VerifyOut, parse
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


def embedded(found: Sequence[FaceResult]) -> dict[str, Any]:
    """Faces with their vectors, as `faceworks embed --json` writes them."""
    return {"faces": [{**to_dict(item.face), "embedding": to_dict(item.embedding)} for item in found]}
