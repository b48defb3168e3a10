"""Idempotency keys: a writing request that is sent again with the same key is answered again, not done again.

The answer is kept for a day under the API key and the idempotency key, with a fingerprint of what was asked: the same key with another request is an
error of the client. While the first one runs, a second is told to wait; where its worker dies, the place is free again after the longest time that a
request may take. An enrollment that was stored but not answered is then done again, and the gallery knows its picture.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from fastapi import Request
from starlette.responses import Response

from .problems import Problem, retry

if TYPE_CHECKING:
    from .security.keys import Key
    from .state import State

__all__ = ["once"]

KEPT = 86_400.0
TOKEN = re.compile(r"[\x21-\x7e]{1,128}")


async def once(request: Request, state: State, key: Key, content: bytes, work: Callable[[], Awaitable[Response]]) -> Response:
    """`await work()`, or the kept answer of the request that had the same `Idempotency-Key`. `content` is the digest or the bytes of the body.

    Raises:
        Problem: 400 no such key; 409 the first one is still at work; 422 another request had the key.
    """
    token = request.headers.get("idempotency-key")
    if token is None:
        return await work()
    if not TOKEN.fullmatch(token):
        raise Problem(400, "an Idempotency-Key has 1 to 128 printable ASCII characters", "idempotency-key")
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + content
    fingerprint = hashlib.sha256(asked).digest()
    kept = await state.store.call(_begin, state, key.id, token, fingerprint)
    if kept is not None:
        return kept
    try:
        answer = await work()
    except BaseException:
        await state.store.call(_forget, state, key.id, token)
        raise
    await state.store.call(_keep, state, key.id, token, answer)
    return answer


def _begin(state: State, key: str, token: str, fingerprint: bytes) -> Response | None:
    now = time.time()
    with state.store.write() as db:
        db.execute("DELETE FROM replays WHERE until <= ?", (now,))
        row = db.execute("SELECT * FROM replays WHERE key = ? AND token = ?", (key, token)).fetchone()
        if row is None:
            until = now + state.options.timeout + state.options.drain
            db.execute("INSERT INTO replays VALUES (?, ?, ?, ?, NULL, NULL, NULL)", (key, token, fingerprint, until))
            return None
    if bytes(row["fingerprint"]) != fingerprint:
        raise Problem(422, "this Idempotency-Key was used for another request", "idempotency-key-reused")
    if row["status"] is None:
        raise Problem(409, "the first request with this Idempotency-Key is still at work", "idempotency-in-progress", retry(2))
    return Response(bytes(row["body"]), row["status"], {**json.loads(row["headers"]), "Idempotent-Replayed": "true"})


def _keep(state: State, key: str, token: str, answer: Response) -> None:
    headers = {name: value for name, value in answer.headers.items() if name in ("content-type", "location")}
    with state.store.write() as db:
        db.execute("UPDATE replays SET status = ?, body = ?, headers = ?, until = ? WHERE key = ? AND token = ?",
                   (answer.status_code, bytes(answer.body), json.dumps(headers), time.time() + KEPT, key, token))  # fmt: skip


def _forget(state: State, key: str, token: str) -> None:
    with state.store.write() as db:
        db.execute("DELETE FROM replays WHERE key = ? AND token = ? AND status IS NULL", (key, token))
