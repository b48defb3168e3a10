"""`run`: the service as processes, over uvicorn: one listening socket, one or several workers, an end that lets requests finish."""

from __future__ import annotations

import asyncio
import functools
import logging
import multiprocessing
import signal
import socket
import sys
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import ConfigError
from .app import create_app
from .options import ServerOptions

__all__ = ["Server", "configure", "run"]

LARGEST_HEAD = 16_384
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class Configuration(uvicorn.Config):
    """uvicorn's options, and how long the head of a request may take."""

    header_timeout: float = 10.0


class PatientProtocol(H11Protocol):
    """HTTP/1.1 whose patience ends: uvicorn waits without limit for the head of a request, so a few hundred idle connections would fill it (slowloris)."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """The clock runs from the first moment."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """It stops when a head is complete, and runs anew for the next request of the connection."""
        if self.cycle is None or self.cycle.response_complete:
            self._arm()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(getattr(self.config, "header_timeout", 10.0), self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server, that tells the application when it begins to stop: readiness turns to 503 and streams of events end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, finish what runs (at most `drain` seconds), then end."""
        state = getattr(getattr(self.config.loaded_app, "state", None), "faceworks", None)
        if state is not None:
            state.draining = True
        await super().shutdown(sockets)


def configure(options: ServerOptions) -> Configuration:
    """uvicorn's configuration: no headers of a proxy are believed, nothing names the software, the log is ours."""
    config = Configuration(
        functools.partial(create_app, options), factory=True, host=options.host, port=options.port, http=PatientProtocol, ws="none", lifespan="on",
        proxy_headers=False, server_header=False, access_log=False, log_config=None, limit_concurrency=options.connections, backlog=256,
        timeout_keep_alive=15, timeout_graceful_shutdown=max(1, round(options.drain)), h11_max_incomplete_event_size=LARGEST_HEAD,
    )  # fmt: skip
    config.header_timeout = options.header_timeout
    return config


def run(options: ServerOptions, workers: int = 1) -> None:
    """Serve until a signal to stop.

    Raises:
        ConfigError: the address cannot be listened on, or what `create_app` refuses.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=FORMAT)
    create_app(options).state.faceworks.close()  # what is wrong is said here, once, not by each worker
    listening = _listen(options)
    logging.getLogger("faceworks.server").info("listening on http://%s:%d", options.host, listening.getsockname()[1])
    try:
        if workers == 1:
            _work(options, listening)
        else:
            _supervise(options, listening, workers)
    finally:
        listening.close()


def _work(options: ServerOptions, listening: socket.socket) -> None:
    """One worker, until it is told to stop."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=FORMAT)
    Server(configure(options)).run(sockets=[listening])


def _supervise(options: ServerOptions, listening: socket.socket, workers: int) -> None:
    """Keep as many workers alive, and pass on the signal to stop. One that dies is replaced, not faster than once a second."""
    spawn = multiprocessing.get_context("spawn")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    crew: list[Any] = []
    while not stop.is_set():
        crew = [process for process in crew if process.is_alive()]
        while len(crew) < workers:
            process = spawn.Process(target=_work, args=(options, listening))
            process.start()
            crew.append(process)
        stop.wait(1)
    for process in crew:
        process.terminate()
    for process in crew:
        process.join(options.drain + 10)
        if process.is_alive():
            process.kill()


def _listen(options: ServerOptions) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise ConfigError(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}; choose another --port or --host") from error
    listening.setblocking(False)
    return listening
