"""`create_app`: the ASGI application of one worker."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..errors import FaceworksError
from .crew import Crew
from .forms import invalid
from .guard import Guard
from .openapi import describe
from .options import ServerOptions
from .problems import PRIVATE, Problem, answer, problem_of, unwritable
from .routes import faces, galleries, jobs, people, service, studies
from .state import State

__all__ = ["create_app"]

log = logging.getLogger("faceworks.server")
DESCRIPTION = """Face detection, comparison, attributes and galleries over HTTP. Pictures are sent as file parts of a form; there is no parameter that
names a path or a URL. Errors are RFC 9457 documents. Every writing request may carry an `Idempotency-Key`."""


class Application(FastAPI):
    """FastAPI inside the guard. `app.state.faceworks` is the worker's `State`."""

    def __init__(self, state: State) -> None:
        super().__init__(
            title="faceworks", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None, openapi_url=None, lifespan=_life
        )
        self.state.faceworks = state
        self._guard = Guard(super().__call__, state)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        await self._guard(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return describe(self)


def create_app(options: ServerOptions) -> Application:
    """The application.

    Raises:
        ConfigError: the data folder cannot be used, or the service would be open to other machines without a key.
    """
    app = Application(State(options))
    for router in (faces.router, galleries.router, people.router, jobs.router, studies.router, service.router):
        app.include_router(router)
    static = Path(__file__).parent / "static"
    app.mount("/static", StaticFiles(directory=static))
    app.add_api_route("/", lambda: FileResponse(static / "index.html"), include_in_schema=False)
    document = functools.cache(lambda: json.dumps(app.openapi(), ensure_ascii=False).encode())  # anybody may ask: it is made once

    app.add_api_route("/openapi.json", lambda: Response(document(), media_type="application/json"), include_in_schema=False)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(FaceworksError, _error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(sqlite3.OperationalError, _store)
    app.add_exception_handler(Exception, _unforeseen)
    return app


@contextlib.asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    """Wake the models in the background, beat every few seconds, and at the end let what runs finish."""
    state: State = app.state.faceworks
    waking = asyncio.create_task(state.queue.run(lambda _: state.wake(), None))
    beating = asyncio.create_task(_beat(state))
    crew = asyncio.create_task(Crew(state).run())
    try:
        yield
    finally:
        state.draining = True
        beating.cancel()
        crew.cancel()
        await asyncio.gather(beating, crew, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(state.options.drain):
                await asyncio.gather(waking, return_exceptions=True)
                await state.queue.drain()
        state.close()


async def _beat(state: State) -> None:
    while True:
        await asyncio.sleep(10)
        state.metrics.gauges.update(queue_waiting=state.queue.depth, queue_running=state.queue.running)
        try:
            await state.store.call(state.metrics.flush)
        except sqlite3.OperationalError as error:  # the counters are written with the next beat
            log.warning("the counters were not written: %s", error)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return answer(error, request.state.request_id, request.url.path)


async def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FaceworksError)
    problem = problem_of(error)
    if problem.status >= 500:
        log.error("request %s: %s: %s", request.state.request_id, type(error).__name__, error)
    return answer(problem, request.state.request_id, request.url.path)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _problem(request, invalid(error.errors()))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {404: "there is nothing here", 405: "this path does not take that method", 400: "the body cannot be read"}
    problem = Problem(error.status_code, details.get(error.status_code, str(error.detail)), headers=error.headers)
    return await _problem(request, problem)


async def _store(request: Request, error: Exception) -> Response:
    log.error("request %s: the store: %s", request.state.request_id, error)
    return await _problem(request, unwritable())


async def _unforeseen(request: Request, error: Exception) -> Response:
    """The framework raises it again after this answer, and the guard logs it."""
    return await _problem(request, Problem(500, PRIVATE))
