"""/v1/studies: one zip in; a job, a report and a page for raters out; ratings in, the report anew."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..forms import RatingsForm, StudyForm
from ..openapi import form_body, problems
from ..paging import Cursor, Limit
from ..problems import Problem
from ..schemas import JobOut, JobsOut, StudyOut
from ..security.headers import RATING_POLICY
from ..state import State
from .asking import Admin, Enroller, Reader, StateOf, as_json
from .jobs import JobId, described, found, list_jobs, results, upload_job

__all__ = ["router"]

router = APIRouter(prefix="/v1/studies", tags=["studies"], responses=problems(404, 409))
UPLOADS = problems(404, 408, 409, 415)
KINDS = {".html": "text/html", ".json": "application/json", ".csv": "text/csv", ".svg": "image/svg+xml", ".png": "image/png", ".md": "text/markdown"}


@router.post("", response_model=JobOut, status_code=202, openapi_extra=form_body(StudyForm, file=False), responses=UPLOADS, summary="Run a study.")
async def begin(request: Request, state: StateOf, key: Admin) -> Response:
    """A zip with pictures and manifest.csv (and study.toml), or with pictures whose names say identity and condition. Names are resolved inside it alone;
    models that are not here are left out, and the report says which."""
    return await upload_job(request, state, key, "study", StudyForm)


@router.get("", response_model=JobsOut, summary="All studies, newest first.")
async def listing(state: StateOf, key: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """As jobs."""
    return as_json(await list_jobs(state, "study", limit, cursor))


def files(state: State, id: str) -> dict[str, str]:
    """Names of a study's files below its folder, and their types."""
    out = state.folder(id) / "out"
    places = [*out.glob("*.*"), *out.glob("tables/*.csv"), *out.glob("figures/*.*")]
    return {path.relative_to(out).as_posix(): KINDS[path.suffix] for path in sorted(places) if path.suffix in KINDS and path.is_file()}


@router.get("/{id}", response_model=StudyOut, summary="One study with its files.")
async def show(id: JobId, state: StateOf, key: Reader) -> Response:
    """The job, and the files that can be read once it is done: report.html, rating.html, run.json, tables, figures."""
    job = await found(state, id, "study")
    names = await asyncio.to_thread(files, state, id) if job.state == "done" else {}
    return as_json({"job": described(job), "files": list(names)})


@router.post("/{id}/ratings", response_model=JobOut, status_code=202, openapi_extra=form_body(RatingsForm, file=False), responses=UPLOADS,
             summary="Add ratings.")  # fmt: skip
async def rate(id: JobId, request: Request, state: StateOf, key: Enroller) -> Response:
    """A file that the rating page gave (CSV or JSON). The report is made again with all ratings so far."""
    job = await found(state, id, "study")
    if job.state != "done":
        raise Problem(409, f"the study is {job.state}; ratings are added to one that is done", "study-not-done")
    return await upload_job(request, state, key, "ratings", RatingsForm, study=id)


@router.get(
    "/{id}/{name:path}",
    summary="A file of a study.",
    response_class=Response,
    responses={200: {"content": {kind: {"schema": {}} for kind in KINDS.values()}}},
)
async def file(id: JobId, name: str, state: StateOf, key: Reader) -> Response:
    """report.html and rating.html come with a policy that lets them reach nobody; the rating page runs its own script, in an origin of its own."""
    await found(state, id, "study")
    answer = await asyncio.to_thread(lambda: results(state, id, name, files(state, id)))
    if name == "rating.html":
        answer.headers["Content-Security-Policy"] = RATING_POLICY
    return answer
