"""What every request passes before a route sees it, and every answer on its way out.

In: request id, host, origin, key or session, rate and concurrency, size and time of the body, time of the whole. Out: secure headers, the access log
line, counters. It stands outside the framework because that reads a body before it asks who sent it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import sqlite3
import time
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import limits
from .body import Body, header, state_of
from .problems import PRIVATE, Problem, answer, retry, unwritable
from .security import headers, keys, sessions
from .security.keys import LOCAL, Key

if TYPE_CHECKING:
    from .state import State

__all__ = ["EVENT_SECONDS", "Guard"]

OPEN = frozenset({"/v1/health", "/v1/ready", "/v1/session", "/openapi.json"})
"""Paths below /v1 that answer without a key (`/v1/session` is where one is handed in)."""
EVENT_SECONDS = 600.0
"""Longest life of a stream of events; the client takes it up again."""
SAFE = ("GET", "HEAD", "OPTIONS")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
access = logging.getLogger("faceworks.server.access")
log = logging.getLogger("faceworks.server")


class Guard:
    """ASGI middleware around the application."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request; other scopes (lifespan) pass."""
        if scope["type"] != "http":
            await (self.app(scope, receive, send) if scope["type"] == "lifespan" else _close(send))
            return
        given = header(scope, b"x-request-id")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        options, start = self.state.options, time.monotonic()
        body = Body(receive, options.max_body, options.body_timeout, time.monotonic)
        state = state_of(scope)
        state["request_id"] = request_id
        scope["faceworks.body"] = body
        sent = _Sent(send, request_id, headers.cors(scope, options), body)
        admitted = False
        try:
            if scope["method"] == "OPTIONS" and header(scope, b"origin") in options.origins and header(scope, b"access-control-request-method"):
                headers.check_host(scope, options)
                await Response(status_code=204)(scope, _nothing, sent)  # a browser asks before it sends; without credentials, so before any key
                return
            admitted = await self._admit(scope, body, request_id, state)
            await self._run(scope, body, sent)
            if body.refusal is not None:
                raise body.refusal
        except Problem as problem:
            await sent.answer(scope, problem)
        except sqlite3.OperationalError as error:
            log.error("request %s: the store: %s", request_id, error)
            await sent.answer(scope, unwritable())
        except Exception:  # the last place where anybody can answer; what the framework made of a refusal comes here too
            if body.refusal is None:
                log.exception("request %s failed", request_id)
            await sent.answer(scope, body.refusal or Problem(500, PRIVATE))
        finally:
            if admitted:
                await asyncio.shield(self.state.store.call(self._release, state["ticket"]))
            self._note(scope, sent.status, time.monotonic() - start, state)

    async def _run(self, scope: Scope, body: Body, sent: _Sent) -> None:
        events = scope["path"].endswith("/events")
        try:
            async with asyncio.timeout(EVENT_SECONDS if events else self.state.options.timeout if scope["path"] not in self.state.uploads else None):
                await self.app(scope, body, sent)
        except TimeoutError:
            if not sent.started:
                raise Problem(504, f"no answer within {self.state.options.timeout:g} seconds", "timeout", retry(5)) from None

    async def _admit(self, scope: Scope, body: Body, request_id: str, state: dict[str, Any]) -> bool:
        """Raise what is refused; True where a place was taken that must be given back."""
        options = self.state.options
        headers.check_host(scope, options)
        headers.check_origin(scope, options)
        path: str = scope["path"]
        limit = options.max_upload if path in self.state.uploads else options.max_body
        if body.declared(scope) > limit:
            raise body.too_large()
        if not path.startswith("/v1/") or path in OPEN:
            return False
        if self.state.draining:
            raise Problem(503, "the service is stopping", "stopping", retry(options.drain))
        ticket = f"{self.state.worker}-{request_id}-{secrets.token_hex(4)}"
        key, refusal = await self.state.store.call(self._enter, scope, ticket, path.endswith("/events"))
        state.update(key=key, ticket=ticket)
        if refusal is not None:
            raise Problem(429, refusal.why, "too-many-requests", retry(refusal.seconds))
        return True

    def _enter(self, scope: Scope, ticket: str, events: bool) -> tuple[Key, limits.Refusal | None]:
        """In the store's thread: who asks, and may it now?"""
        options, now = self.state.options, time.time()
        key = self._who(self.state.store.connection, scope, now)  # before anything is written: strangers must not make the store work
        with self.state.store.write() as db:
            until = now + (EVENT_SECONDS if events else options.timeout) + options.drain
            return key, limits.admit(
                db, key.id, ticket, now, rate=options.rate, burst=options.burst, concurrency=options.concurrency, until=until
            )  # fmt: skip

    def _release(self, ticket: str) -> None:
        try:
            with self.state.store.write() as db:
                limits.release(db, ticket)
        except sqlite3.OperationalError as error:  # the request was answered; its place is free when the ticket runs out
            log.error("a place was not given back: %s", error)

    def _who(self, db: sqlite3.Connection, scope: Scope, now: float) -> Key:
        """The key, or that of the session, or the local user of a service that is reached from this machine alone and never had a key."""
        text = header(scope, b"authorization")
        if text:
            kind, _, token = text.partition(" ")
            key = keys.find(db, token.strip(), now) if kind.lower() == "bearer" else None
            if key is None:
                raise _unknown("this key is unknown, revoked or expired")
            return key
        cookie = cookie_of(scope)
        session = sessions.find(db, cookie, now) if cookie else None
        if session is not None:
            if scope["method"] not in SAFE and not session.allows(header(scope, b"x-csrf-token")):
                raise Problem(403, "a writing request of the page carries the session's token in X-CSRF-Token", "csrf")
            return session.key
        if keyless(db, scope, self.state):
            return LOCAL
        raise _unknown("send a key: Authorization: Bearer fw_…")

    def _note(self, scope: Scope, status: int, seconds: float, state: dict[str, Any]) -> None:
        route = getattr(scope.get("route"), "path", "") or ("/" if not scope["path"].startswith("/v1") else "other")
        key = state.get("key")
        self.state.metrics.request(scope["method"], route, status, seconds)
        # neither query, nor body, nor credentials; the template of the path, so that no name of a person is kept here
        line = {"request": state["request_id"], "method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1),
                "key": key.id if isinstance(key, Key) else None}  # fmt: skip
        access.info("%s", json.dumps(line))


def _unknown(detail: str) -> Problem:
    return Problem(401, detail, "no-key", {"WWW-Authenticate": 'Bearer realm="faceworks"'})


def cookie_of(scope: Scope) -> str:
    """The session cookie, "" where there is none."""
    try:
        found = SimpleCookie(header(scope, b"cookie")).get(sessions.COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def keyless(db: sqlite3.Connection, scope: Scope, state: State) -> bool:
    """Whether this request may do without a key: loopback, no key was ever made, and no proxy stands between.

    Raises:
        Problem: 403, a proxy forwards the world to a service that has no keys.
    """
    if not state.options.loopback or keys.any_key(db):
        return False
    if any(header(scope, name) for name in (b"forwarded", b"x-forwarded-for", b"via", b"x-real-ip")):
        raise Problem(403, "a proxy forwards to a service without keys; make one: faceworks serve keys add NAME --role admin", "no-key-behind-proxy")
    return True


async def _close(send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})


class _Sent:
    """`send` that adds headers and remembers what was answered."""

    def __init__(self, send: Send, request_id: str, more: list[tuple[bytes, bytes]], body: Body) -> None:
        self._send, self._more, self._body, self.request_id = send, more, body, request_id
        self.started, self.status, self._replaced = False, 0, False

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            if self._body.refusal is not None:  # the framework made an error of its own out of it: the guard answers instead
                self._replaced = True
                return
            self.started, self.status = True, message["status"]
            message["headers"] = self._with_defaults(list(message.get("headers", ())))
        await self._send(message)

    def _with_defaults(self, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        names = {name.lower() for name, _ in given}
        usual = [*headers.SECURE, (b"content-security-policy", headers.PAGE_POLICY.encode()), (b"cache-control", b"no-store"),
                 (b"x-request-id", self.request_id.encode())]  # fmt: skip
        return [*given, *(item for item in usual if item[0] not in names), *self._more]

    async def answer(self, scope: Scope, problem: Problem) -> None:
        """Send a problem, where nothing was sent yet."""
        if self.started:
            return
        self._replaced, self._body.refusal = False, None
        await answer(problem, self.request_id, scope["path"])(scope, _nothing, self)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
