"""/v1/galleries: make, list, delete; identify; the audit log."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...errors import GalleryCorrupt
from ...gallery import Gallery
from ...gallery.names import when
from ...types import to_dict
from ..forms import GalleryIn, IdentifyForm, parse
from ..openapi import form_body, problems
from ..paging import Cursor, Limit, page
from ..replays import once
from ..schemas import AuditOut, GalleriesOut, GalleryOut, IdentifyOut
from .asking import Admin, Reader, StateOf, as_json, each_picture, picture_form

__all__ = ["router"]

router = APIRouter(prefix="/v1/galleries", tags=["galleries"], responses=problems(404, 409))


def described(name: str, found: Gallery) -> dict[str, Any]:
    """A gallery without the paths of the machine."""
    facts = found.stats()
    return {"name": name, **{key: facts[key] for key in ("people", "samples", "model", "recipe", "encrypted", "audited")}}


@router.get("", response_model=GalleriesOut, summary="All galleries.")
async def listing(state: StateOf, key: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Galleries by name, with counts."""

    def look(_: None) -> dict[str, Any]:
        names, following = page(state.shelf.names(), lambda name: [name], cursor, limit)
        return {"items": [described(name, state.shelf.get(name, key.id)) for name in names], "next": following}

    return as_json(await state.queue.run(look, None))


@router.post("", response_model=GalleryOut, status_code=201, summary="Make a gallery.")
async def create(request: Request, state: StateOf, key: Admin, asked: GalleryIn) -> Response:
    """A new gallery with an audit log, encrypted where the operator has set a gallery key. The first enrollment decides its model."""

    async def work() -> Response:
        found = await state.queue.run(lambda _: described(asked.name, state.shelf.create(asked.name, key.id)), None)
        await state.store.call(state.event, key.id, "create gallery", asked.name, request.state.request_id)
        return as_json(found, 201, {"Location": f"/v1/galleries/{asked.name}"})

    return await once(request, state, key, asked.model_dump_json().encode(), work)


@router.get("/{name}", response_model=GalleryOut, summary="One gallery.")
async def show(name: str, state: StateOf, key: Reader) -> Response:
    """Counts and model."""
    return as_json(await state.queue.run(lambda _: described(name, state.shelf.get(name, key.id)), None))


@router.delete("/{name}", status_code=204, summary="Delete a gallery for good.")
async def delete(name: str, request: Request, state: StateOf, key: Admin) -> Response:
    """Everybody in it, its log and its files. It cannot be undone."""

    async def work() -> Response:
        await state.queue.run(lambda _: state.shelf.delete(name), None)
        await state.store.call(state.event, key.id, "delete gallery", name, request.state.request_id)
        return Response(status_code=204)

    return await once(request, state, key, b"", work)


@router.post("/{name}/identify", response_model=IdentifyOut, openapi_extra=form_body(IdentifyForm, pictures=True), responses=problems(404, 408, 409, 415),
             summary="Who is in a picture?")  # fmt: skip
async def identify(name: str, request: Request, state: StateOf, key: Reader) -> Response:
    """For each face the closest people, and the name of the closest if it is close enough."""
    form = await picture_form(request, state, many="pictures")
    asked = parse(IdentifyForm, form.fields)

    def one(picture: bytes) -> Any:
        return state.shelf.get(name, key.id).identify([picture], **asked.model_dump())[0]

    results = await each_picture(state, form, one, entry=lambda found: {"faces": to_dict(found)})
    models = await state.queue.run(lambda _: state.shelf.get(name, key.id).pipeline.models, None)
    return as_json({"results": results, "models": models})


@router.get("/{name}/audit", response_model=AuditOut, summary="Who did what in a gallery.")
async def audit(name: str, state: StateOf, key: Admin, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The gallery's log, newest first, with the names of those who are still here; `valid` says whether its chain of hashes holds."""

    def look(_: None) -> dict[str, Any]:
        found = state.shelf.get(name, key.id)
        if found.audit is None:
            return {"items": [], "next": None, "valid": True}
        lines, valid = found.audit.lines(), True
        try:
            found.audit.verify()
        except GalleryCorrupt:
            valid = False
        shown, following = page(lines[::-1], lambda line: [-int(line["n"])], cursor, limit)
        names = {person.token: person.name for person in found.backend.entries().people}
        rows = [
            {"n": line["n"], "time": when(line["time"]), "people": [names[token] for token in line["tokens"] if token in names],
             **{part: line[part] for part in ("actor", "action", "tokens", "count")}}
            for line in shown
        ]  # fmt: skip
        return {"items": rows, "next": following, "valid": valid}

    return as_json(await state.queue.run(look, None))
