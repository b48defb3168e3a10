"""/v1/jobs: what runs, its progress as events, its end. /v1/evaluations: measure error rates of an uploaded table or archive."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import FileResponse, Response, StreamingResponse

from ...gallery.names import when
from .. import jobs
from ..forms import EvaluationForm, parse
from ..jobs import ENDED, Job
from ..openapi import form_body, problems
from ..paging import Cursor, Limit, page
from ..problems import Problem
from ..replays import once
from ..schemas import EvaluationOut, JobOut, JobsOut
from ..security.headers import REPORT_POLICY
from ..security.keys import Key
from ..state import State
from ..uploads import FilePart, read_form
from .asking import Admin, Reader, StateOf, as_json

__all__ = ["JobId", "described", "found", "list_jobs", "results", "router", "upload_job"]

router = APIRouter(prefix="/v1", responses=problems(404, 409))
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{12,32}$")]
FILES = {"report.json": "application/json", "report.html": "text/html", "report.md": "text/markdown", "scores.csv": "text/csv"}
"""Files of an evaluation that may be read."""
LIST = "text/event-stream"


def described(job: Job) -> dict[str, Any]:
    """A job as it is answered."""
    times = {name: when(int(value * 1e6)) if (value := getattr(job, name)) else None for name in ("created", "started", "finished")}
    shown = {name: value for name, value in job.parameters.items() if name in ("kind", "dataset", "file", "name", "study")}
    return {"id": job.id, "kind": job.kind, "state": job.state, "parameters": shown, "done": job.done, "total": job.total, "note": job.note,
            "problem": job.problem, **times}  # fmt: skip


async def found(state: State, id: str, kind: str | None = None) -> Job:
    """The job.

    Raises:
        Problem: 404.
    """
    job = await state.store.call(jobs.get, state.store, id)
    if job is None or (kind is not None and job.kind != kind):
        raise Problem(404, f"there is no {kind or 'job'} {id}", "unknown-job")
    return job


async def upload_job(request: Request, state: State, key: Key, kind: str, model: Any, **more: str) -> Response:
    """Take an upload into a new job's folder, and put the job into the line. `model` says what the form may hold and what of it the job needs; `more`
    are further parameters of the job."""
    id = jobs.new_id()
    folder = state.folder(id)
    folder.mkdir(mode=0o700)
    kept = False
    try:
        form = await read_form(request, {"file": FilePart(bytes=state.options.max_upload, path=folder / "upload")})
        asked = parse(model, form.fields)
        file_name = form.names["file"][0][:200]
        parameters = {**asked.parameters(state), **more, "file": file_name, "suffix": ".json" if file_name.lower().endswith(".json") else ".csv"}

        async def work() -> Response:
            nonlocal kept
            job = await state.store.call(jobs.create, state.store, id, kind, key.id, parameters)
            await state.store.call(state.event, key.id, f"begin {kind}", id, request.state.request_id)
            kept = True
            return as_json(described(job), 202, {"Location": f"/v1/jobs/{id}"})

        return await once(request, state, key, form.digest, work)
    finally:
        if not kept:
            await asyncio.to_thread(shutil.rmtree, folder, True)


def results(state: State, id: str, name: str, allowed: dict[str, str]) -> Response:
    """A file of a job's results. Pages are answered under a policy that lets no script run.

    Raises:
        Problem: 404.
    """
    path = state.folder(id) / "out" / name if name in allowed else None
    if path is None or not path.is_file():
        raise Problem(404, "there is no such file", "unknown-file")
    headers = {"Content-Security-Policy": REPORT_POLICY} if allowed[name] == "text/html" else {}
    return FileResponse(path, media_type=allowed[name], headers=headers)


@router.get("/jobs", response_model=JobsOut, tags=["jobs"], summary="All jobs, newest first.")
async def listing(state: StateOf, key: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """What waits, runs and has ended."""
    return as_json(await list_jobs(state, None, limit, cursor))


async def list_jobs(state: State, kind: str | None, limit: int, cursor: str | None) -> dict[str, Any]:
    """A page of the jobs of a kind, or of all."""
    every = await state.store.call(jobs.listing, state.store, kind)
    items, following = page(every, lambda job: [-job.created, job.id], cursor, limit)
    return {"items": [described(job) for job in items], "next": following}


@router.get("/jobs/{id}", response_model=JobOut, tags=["jobs"], summary="One job.")
async def show(id: JobId, state: StateOf, key: Reader) -> Response:
    """State, progress, and the problem of one that failed."""
    return as_json(described(await found(state, id)))


@router.post("/jobs/{id}/cancel", response_model=JobOut, tags=["jobs"], summary="Stop a job.")
async def cancel(id: JobId, request: Request, state: StateOf, key: Admin) -> Response:
    """It stops within seconds; one that has ended stays as it is."""

    async def work() -> Response:
        await found(state, id)
        await state.store.call(jobs.cancel, state.store, id)
        await state.store.call(state.event, key.id, "cancel job", id, request.state.request_id)
        return as_json(described(await found(state, id)))

    return await once(request, state, key, b"", work)


@router.delete("/jobs/{id}", status_code=204, tags=["jobs"], summary="Forget a job and delete its files.")
async def delete(id: JobId, request: Request, state: StateOf, key: Admin) -> Response:
    """409 while it waits or runs: cancel it first."""

    async def work() -> Response:
        job = await found(state, id)
        if job.state not in ENDED:
            raise Problem(409, f"the job is {job.state}; cancel it first", "job-running")
        await asyncio.to_thread(shutil.rmtree, state.folder(id), True)
        await state.store.call(jobs.drop, state.store, id)
        await state.store.call(state.event, key.id, "delete job", id, request.state.request_id)
        return Response(status_code=204)

    return await once(request, state, key, b"", work)


@router.get("/jobs/{id}/events", tags=["jobs"], summary="Progress as server-sent events.", response_class=Response,
            responses={200: {"content": {LIST: {"schema": {"type": "string"}}}, "description": "Events `job`, each a job as JSON; the last is its end."}})  # fmt: skip
async def events(id: JobId, request: Request, state: StateOf, key: Reader) -> Response:
    """Every change until the end; a comment every ten seconds keeps the line open."""
    await found(state, id)
    seen = request.headers.get("last-event-id", "")
    return StreamingResponse(_events(state, id, int(seen) if re.fullmatch(r"\d{1,9}", seen) else 0), media_type=LIST)


async def _events(state: State, id: str, version: int) -> AsyncIterator[str]:
    quiet = 0.0
    while not state.draining:
        job = await state.store.call(jobs.get, state.store, id)
        if job is None:
            return
        if job.version != version:
            version, quiet = job.version, 0.0
            yield f"id: {version}\nevent: job\ndata: {json.dumps(described(job), ensure_ascii=False)}\n\n"
        if job.state in ENDED:
            return
        await asyncio.sleep(0.5)
        quiet += 0.5
        if quiet >= 10:
            quiet = 0.0
            yield ": still here\n\n"


@router.post("/evaluations", response_model=JobOut, status_code=202, tags=["evaluations"], openapi_extra=form_body(EvaluationForm, file=False),
             responses=problems(404, 408, 409, 415), summary="Measure error rates.")  # fmt: skip
async def evaluate(request: Request, state: StateOf, key: Admin) -> Response:
    """`scores`, `attributes`, `pad`: a CSV. `folder`: a zip with a folder of pictures for each person. `pairs`: a zip with pictures and pairs.csv
    (first, second, label) or LFW's pairs.txt."""
    return await upload_job(request, state, key, "evaluation", EvaluationForm)


@router.get("/evaluations", response_model=JobsOut, tags=["evaluations"], summary="All evaluations, newest first.")
async def evaluations(state: StateOf, key: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """As jobs."""
    return as_json(await list_jobs(state, "evaluation", limit, cursor))


@router.get("/evaluations/{id}", response_model=EvaluationOut, tags=["evaluations"], summary="One evaluation with its report.")
async def evaluation(id: JobId, state: StateOf, key: Reader) -> Response:
    """The job, the report once it is done, and the files that can be read."""
    job = await found(state, id, "evaluation")

    def read() -> tuple[Any, list[str]]:
        out = state.folder(id) / "out"
        files = [name for name in FILES if (out / name).is_file()] if job.state == "done" else []
        return (json.loads((out / "report.json").read_text(encoding="utf-8")) if files else None), files

    report, files = await asyncio.to_thread(read)
    return as_json({"job": described(job), "report": report, "files": files})


@router.get("/evaluations/{id}/{name}", tags=["evaluations"], summary="A file of an evaluation.", response_class=Response,
            responses={200: {"content": {kind: {"schema": {}} for kind in FILES.values()}}})  # fmt: skip
async def file(id: JobId, name: str, state: StateOf, key: Reader) -> Response:
    """report.json, report.html, report.md, scores.csv."""
    await found(state, id, "evaluation")
    return results(state, id, name, FILES)
