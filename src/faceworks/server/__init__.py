"""The service: REST and a page over the functions that the command line calls (extra `server`).

    faceworks serve                          # 127.0.0.1:8000, this machine alone
    faceworks serve keys add lab --role enroll

`create_app(ServerOptions(data=…))` is the ASGI application. A request passes `Guard` (host, origin, key, rate, size, time), then a route, which
reads the form, waits in the bounded `ModelQueue` and calls `faceworks.api` or a `Gallery`. Everything that several worker processes must agree on
(keys, sessions, limits, idempotency keys, jobs, counters) lies in one SQLite file (`docs/decisions/0100-service.md`).
"""

from __future__ import annotations

from .options import ServerOptions

__all__ = ["ServerOptions"]
