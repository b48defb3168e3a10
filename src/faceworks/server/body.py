"""Reading a request's body: counted while it streams, and never waited for without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.types import Message, Receive, Scope

from .problems import Problem

__all__ = ["Body", "header"]


def header(scope: Scope, name: bytes) -> str:
    """A request header as text, "" where it is absent; of several the first."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


class Body:
    """`receive` with a limit on bytes and on time.

    `allowed` may be raised by a route that takes larger uploads, before it reads. The first refusal is kept in `refusal`: frameworks between here and
    the answer turn exceptions of `receive` into errors of their own.
    """

    def __init__(self, receive: Receive, allowed: int, seconds: float, clock: Callable[[], float]) -> None:
        self._receive, self.allowed, self._seconds, self._clock = receive, allowed, seconds, clock
        self.taken = 0
        self.refusal: Problem | None = None
        self._end: float | None = None
        self._complete = False

    def declared(self, scope: Scope) -> int:
        """The Content-Length, 0 where there is none.

        Raises:
            Problem: 400, no number.
        """
        text = header(scope, b"content-length")
        if text and not (text.isascii() and text.isdigit()):
            raise Problem(400, "Content-Length is no number")
        return int(text) if text else 0

    def too_large(self) -> Problem:
        """The refusal of a body above the limit; the connection is closed, for the rest is not read."""
        return Problem(413, f"the body has more than {self.allowed} bytes", "too-large", {"Connection": "close"})

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            Problem: 413, 408.
        """
        if self._complete:
            return await self._receive()
        loop_now = self._clock()
        if self._end is None:
            # a sender may take `seconds`, and longer only as long as it brings a reasonable 64 kB a second on the average
            self._end = loop_now + self._seconds
        left = self._end + self.taken / 65_536 - loop_now
        try:
            message: Message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except TimeoutError:
            self.refusal = Problem(408, f"the body did not arrive within {self._seconds:g} seconds", "too-slow", {"Connection": "close"})
            raise self.refusal from None
        if message["type"] == "http.request":
            self.taken += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self.taken > self.allowed:
                self.refusal = self.too_large()
                raise self.refusal
        return message


def state_of(scope: Scope) -> dict[str, Any]:
    """The request's own dictionary."""
    found: dict[str, Any] = scope.setdefault("state", {})
    return found
