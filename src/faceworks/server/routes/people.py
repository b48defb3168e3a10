"""/v1/galleries/{name}/people: enroll, list, change, remove with undo, forget; their samples."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from ...errors import UnknownPerson
from ...gallery import Enrolled, Entry, Gallery, NewFace
from ...gallery.names import clean_name, when
from ...gallery.removal import UNDO_SECONDS
from ...types import to_dict
from ..forms import EnrollForm, MergeIn, PersonIn, SamplesForm, parse
from ..openapi import form_body, problems
from ..paging import Cursor, Limit, page
from ..problems import Problem
from ..replays import once
from ..schemas import EnrollOut, PeopleOut, PersonDetailOut, PersonOut, RemovedOut
from ..security.keys import Key
from ..state import State
from ..uploads import Form
from .asking import Enroller, Reader, StateOf, as_json, picture_form

__all__ = ["router"]

router = APIRouter(prefix="/v1/galleries/{name}/people", tags=["people"], responses=problems(404, 409))
Reference = Annotated[str, Path(min_length=1, max_length=1000, description="The person's id (or name, where only one has it).")]
SampleId = Annotated[str, Path(pattern=r"^\d{1,19}$")]
FORMS = problems(404, 408, 409, 415)


def short(entry: Entry) -> dict[str, Any]:
    """A person with counts."""
    person, samples = entry.person, entry.samples
    best = [float(value) for value in samples.quality if value == value]
    return {"id": person.id, "name": person.name, "metadata": dict(person.metadata), "created": when(person.created), "samples": len(samples),
            "quality": max(best, default=None)}  # fmt: skip


def whole(entry: Entry) -> dict[str, Any]:
    """A person with samples. Their ids have 61 bits, more than a number of JavaScript holds: they travel as text."""
    rows = [
        {"id": str(row.id), "quality": row.quality, "norm": row.norm, "box": to_dict(row.box), "time": when(row.time), "consent": row.consent,
         "expires": when(row.expires)}
        for row in entry.samples
    ]  # fmt: skip
    found = short(entry) | {"samples": rows}
    del found["quality"]
    return found


async def change(
    request: Request, state: State, key: Key, name: str, content: bytes, work: Callable[[Gallery], Any], status: int = 200
) -> Response:  # fmt: skip
    """One change of a gallery, once for each idempotency key, with nobody else changing it meanwhile."""

    def locked(_: None) -> Any:
        with state.shelf.writing(name, key.id) as gallery:
            return work(gallery)

    async def run() -> Response:
        return as_json(await state.queue.run(locked, None), status)

    answer: Callable[[], Awaitable[Response]] = run
    return await once(request, state, key, hashlib.sha256(content).digest(), answer)


def enrolled(gallery: Gallery, form: Form, faces: Sequence[NewFace], **options: Any) -> dict[str, Any]:
    """Enroll pictures of one person; an error of all pictures is an error of the request."""
    done: list[Enrolled] = list(gallery.enroll_many(faces, **options))
    person = next((item.person for item in done if item.person is not None), None)
    if person is None or all(item.error for item in done):
        raise next(item.error for item in done if item.error is not None)
    rows = [
        {"source": source, "sample": None if item.sample is None else str(item.sample), "quality": item.quality.score if item.quality else None,
         "warnings": list(item.warnings)} | ({"error": str(item.error)} if item.error else {})
        for source, item in zip(form.names["pictures"], done, strict=True)
    ]  # fmt: skip
    return {"person": short(gallery.get(person.id)), "pictures": rows}


@router.get("", response_model=PeopleOut, summary="Everybody, by name.")
async def listing(
    name: str, state: StateOf, key: Reader, limit: Limit = 50, cursor: Cursor = None,
    q: Annotated[str | None, Query(max_length=200, description="Part of a name.")] = None,
) -> Response:  # fmt: skip
    """People in pages; the cursor survives changes between two of them."""

    def look(_: None) -> dict[str, Any]:
        entries = state.shelf.get(name, key.id).people()
        if q:
            entries = [entry for entry in entries if q.casefold() in entry.person.name.casefold()]
        found, following = page(entries, lambda entry: [entry.person.name, entry.person.id], cursor, limit)
        return {"items": [short(entry) for entry in found], "next": following}

    return as_json(await state.queue.run(look, None))


@router.post(
    "", response_model=EnrollOut, status_code=201, openapi_extra=form_body(EnrollForm, pictures=True), responses=FORMS, summary="Enroll a person."
)
async def enroll(name: str, request: Request, state: StateOf, key: Enroller) -> Response:
    """Enroll pictures of one person; of each picture the largest face counts. A name that is here already means that person. When the answer comes,
    the samples are on the disk."""
    form = await picture_form(request, state, many="pictures")
    asked = parse(EnrollForm, form.fields)

    def work(gallery: Gallery) -> Any:
        facts = {"id": asked.id, "metadata": asked.metadata, "consent": asked.consent, "expires": asked.expires}
        faces = [NewFace(asked.name, picture, **facts) for picture in form.files["pictures"]]  # type: ignore[arg-type]
        return enrolled(gallery, form, faces, min_quality=asked.min_quality, keep_duplicates=asked.keep_duplicates)

    return await change(request, state, key, name, form.digest, work, 201)


@router.get("/{person}", response_model=PersonDetailOut, summary="One person.")
async def show(name: str, person: Reference, state: StateOf, key: Reader) -> Response:
    """A person with all samples."""
    return as_json(await state.queue.run(lambda _: whole(state.shelf.get(name, key.id).get(person)), None))


@router.patch("/{person}", response_model=PersonOut, summary="Rename or describe a person.")
async def rename(name: str, person: Reference, request: Request, state: StateOf, key: Enroller, asked: PersonIn) -> Response:
    """Another name, other metadata; the id stays."""

    def work(gallery: Gallery) -> Any:
        found = gallery.person(person)
        if asked.name is not None:
            gallery.rename(found.id, clean_name(asked.name))
        if asked.metadata is not None:
            gallery.describe(found.id, asked.metadata)
        return short(gallery.get(found.id))

    return await change(request, state, key, name, asked.model_dump_json().encode(), work)


@router.delete("/{person}", response_model=RemovedOut, summary="Remove a person.")
async def remove(
    name: str, person: Reference, request: Request, state: StateOf, key: Enroller,
    forget: Annotated[bool, Query(description="Beyond recovery, from the disk too (role admin).")] = False,
) -> Response:  # fmt: skip
    """Undone by `restore` for 15 minutes; with `forget` never."""
    if forget and not key.may("admin"):
        raise Problem(403, "to forget a person for good needs the role admin", "role")

    def work(gallery: Gallery) -> Any:
        if not forget:
            return {"removed": gallery.remove(person), "undo_seconds": UNDO_SECONDS}
        try:
            count = len(gallery.get(person).samples)
        except UnknownPerson:  # one who was removed can be forgotten too
            count = 0
        gallery.forget(person)
        return {"removed": count, "undo_seconds": 0}

    return await change(request, state, key, name, b"", work)


@router.post("/{person}/restore", response_model=PersonOut, summary="Undo a removal.")
async def restore(name: str, person: Reference, request: Request, state: StateOf, key: Enroller) -> Response:
    """Bring back a person, or samples of a person, removed in the last 15 minutes."""
    return await change(request, state, key, name, b"", lambda gallery: short(gallery.get(gallery.restore(person).id)))


@router.post("/{person}/merge", response_model=PersonOut, summary="Two entries are one person.")
async def merge(name: str, person: Reference, request: Request, state: StateOf, key: Enroller, asked: MergeIn) -> Response:
    """Give all samples of `other` to this person; `other` is gone."""
    return await change(
        request, state, key, name, asked.model_dump_json().encode(), lambda gallery: short(gallery.get(gallery.merge(person, asked.other).id))
    )


@router.post("/{person}/samples", response_model=EnrollOut, status_code=201, openapi_extra=form_body(SamplesForm, pictures=True), responses=FORMS,
             summary="Further pictures of a person.")  # fmt: skip
async def add_samples(name: str, person: Reference, request: Request, state: StateOf, key: Enroller) -> Response:
    """Enroll pictures of somebody who is here."""
    form = await picture_form(request, state, many="pictures")
    asked = parse(SamplesForm, form.fields)

    def work(gallery: Gallery) -> Any:
        found = gallery.person(person)
        faces = [NewFace(found.name, picture, found.id, {}, asked.consent, asked.expires) for picture in form.files["pictures"]]
        return enrolled(gallery, form, faces, min_quality=asked.min_quality, keep_duplicates=asked.keep_duplicates)

    return await change(request, state, key, name, form.digest, work, 201)


@router.delete("/{person}/samples/{sample}", response_model=RemovedOut, summary="Remove one sample.")
async def remove_sample(name: str, person: Reference, sample: SampleId, request: Request, state: StateOf, key: Enroller) -> Response:
    """Undone by `restore` for 15 minutes."""
    number = int(sample)
    if number >= 1 << 63:
        raise Problem(404, "there is no such sample", "unknown-sample")
    return await change(request, state, key, name, b"", lambda gallery: {"removed": gallery.remove(person, [number]), "undo_seconds": UNDO_SECONDS})
