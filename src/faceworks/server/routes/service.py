"""GET /v1/models, /v1/health, /v1/ready, /v1/metrics; the page's session."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ... import __version__, assets, cards
from .. import ledger
from ..forms import SessionIn
from ..guard import cookie_of, keyless
from ..openapi import problems
from ..paging import Cursor, Limit, foreign, read, write
from ..problems import Problem
from ..schemas import EventsOut, HealthOut, ModelsOut, ReadyOut, SessionOut
from ..security import keys, sessions
from ..security.keys import LOCAL, Key
from ..state import State
from .asking import Admin, Reader, StateOf, as_json

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["service"], responses=problems())
ORDER = ("ready", "pull", "manual")


@router.get("/health", response_model=HealthOut, summary="Does the process answer?")
async def health() -> Response:
    """Always `ok`: for a supervisor that restarts what hangs. Needs no key."""
    return as_json({"status": "ok"})


@router.get("/ready", response_model=ReadyOut, summary="Are the models open?")
async def ready(state: StateOf) -> Response:
    """503 until the models are open and while the service stops: for a load balancer. Needs no key."""
    status = "stopping" if state.draining else "ready" if state.warm else "waiting"
    if status != "ready":
        raise Problem(503, "the service is stopping" if state.draining else state.trouble, "not-ready", {"Retry-After": "2"})
    return as_json({"status": status, "detail": ""})


@router.get("/models", response_model=ModelsOut, summary="The model catalog, with licenses.")
async def models(state: StateOf, key: Reader) -> Response:
    """Every model that faceworks knows: license, state of its files, and whether a request may name it here."""
    return as_json({"items": await state.queue.run(catalog, state)})


def catalog(state: State) -> list[dict[str, Any]]:
    """The lines of `/models`, those that are served first."""
    rows = []
    for name in cards.names():
        card = cards.get(name)
        if card.task == "data":
            continue
        status = max((assets.status(file) for member in cards.members(card) for file in member.file), key=ORDER.index, default="ready")
        rows.append(
            {"name": name, "task": card.task, "summary": card.summary, "reliability": card.reliability, "status": status, "default": name in state.models[:2],
             "served": name in state.models, "license": card.license, "paper": card.paper}
        )  # fmt: skip
    return sorted(rows, key=lambda row: (not row["served"], ORDER.index(row["status"]), row["task"], row["name"]))


@router.get(
    "/metrics",
    summary="Counters for Prometheus.",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(state: StateOf, key: Reader) -> Response:
    """Requests, seconds and queue of all workers."""
    state.metrics.gauges.update(queue_waiting=state.queue.depth, queue_running=state.queue.running)
    return Response(await state.store.call(state.metrics.text), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/audit", response_model=EventsOut, summary="Who did what to the service.")
async def audit(state: StateOf, key: Admin, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Galleries made and deleted, jobs begun, stopped and deleted, sign-ins, keys made and ended; newest first. What was done inside a gallery stands in its
    own log (`/v1/galleries/{name}/audit`)."""
    try:
        before = None if cursor is None else int(read(cursor)[0])
    except (IndexError, TypeError, ValueError, OverflowError):
        raise foreign() from None
    if before is not None and abs(before) >= 1 << 63:
        raise foreign()
    items = await state.store.call(ledger.listing, state.store, before, limit + 1)
    return as_json({"items": items[:limit], "next": write([items[limit - 1]["n"]]) if len(items) > limit else None})


@router.post("/session", response_model=SessionOut, summary="Sign in: hand in a key, get a cookie.", responses=problems(415))
async def sign_in(request: Request, state: StateOf, asked: SessionIn) -> Response:
    """For the page. The cookie cannot be read by scripts and is not sent by other sites; `csrf` goes into `X-CSRF-Token` of writing requests."""
    now, options = time.time(), state.options

    def enter() -> tuple[Key, str, str]:
        key = keys.find(state.store.connection, asked.key.strip(), now)  # whoever guesses keys makes the store write nothing
        if key is None:
            raise Problem(401, "this key is unknown, revoked or expired", "no-key")
        with state.store.write() as db:
            return key, *sessions.open_session(db, key, now, options.sessions)

    key, cookie, token = await state.store.call(enter)
    await state.store.call(state.event, key.id, "sign in", "", request.state.request_id)
    answer = as_json(_session(key, token, False))
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    answer.set_cookie(sessions.COOKIE, cookie, max_age=int(options.sessions), path="/", secure=secure, httponly=True, samesite="strict")
    return answer


@router.get("/session", response_model=SessionOut, summary="Who am I?")
async def who(request: Request, state: StateOf) -> Response:
    """The session of the cookie with its token; or the local user, where the service needs no keys. 401: sign in."""

    def look() -> tuple[Key, str] | None:
        cookie, db = cookie_of(request.scope), state.store.connection
        session = sessions.find(db, cookie, time.time()) if cookie else None
        if session is not None:
            return session.key, session.token
        return (LOCAL, "") if keyless(db, request.scope, state) else None

    found = await state.store.call(look)
    if found is None:
        raise Problem(401, "sign in with a key", "no-key", {"WWW-Authenticate": 'Bearer realm="faceworks"'})
    return as_json(_session(*found, found[0] is LOCAL))


@router.delete("/session", status_code=204, summary="Sign out.")
async def sign_out(request: Request, state: StateOf) -> Response:
    """End the session of the cookie."""

    def leave() -> None:
        with state.store.write() as db:
            sessions.close(db, cookie_of(request.scope))

    await state.store.call(leave)
    answer = Response(status_code=204)
    answer.delete_cookie(sessions.COOKIE, path="/")
    return answer


def _session(key: Key, token: str, without: bool) -> dict[str, Any]:
    return {"name": key.name, "role": key.role, "csrf": token, "keyless": without, "version": __version__}
