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
    """uvicorn's options, and how long the head of a request may take, and how long an answer may wait to be taken."""

    header_timeout: float = 10.0
    stall_timeout: float = 30.0
    most_connections: int = 512


CROWDED = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 122\r\n\r\n"
    b'{"type": "urn:faceworks:problem:busy", "title": "Busy", "status": 503, "detail": "as many connections as may be are open"}'
)
LINGER = 5.0
"""Seconds that a closed connection may take to bring its last bytes away."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 whose patience ends. uvicorn waits without limit for the head of a request, and for a client that asks and never reads the answer: a few
    hundred such connections would fill it (slowloris, slow read)."""

    _timer: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _crowded = False

    def connection_made(self, transport: Any) -> None:
        """The clock runs from the first moment."""
        super().connection_made(transport)
        self._crowded = len(self.connections) > getattr(self.config, "most_connections", 512)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """It stops when a head is complete, and runs anew for the next request of the connection."""
        if self._crowded:
            self._refuse(CROWDED)
            return
        if self.cycle is None or self.cycle.response_complete:
            self._arm()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._disarm()
        self._moving()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads more slowly than is sent: it has some time to take what waits."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(getattr(self.config, "stall_timeout", 30.0), self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken it."""
        self._moving()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection is closed, also where its last answer was never read."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(LINGER, self.transport.abort)

    def _moving(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(getattr(self.config, "header_timeout", 10.0), self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._refuse(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
            self.loop.call_later(LINGER, self.transport.abort)


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
        proxy_headers=False, server_header=False, access_log=False, log_config=None, backlog=256,
        timeout_keep_alive=15, timeout_graceful_shutdown=max(1, round(options.drain)), h11_max_incomplete_event_size=LARGEST_HEAD,
    )  # fmt: skip
    config.header_timeout, config.stall_timeout, config.most_connections = options.header_timeout, options.body_timeout, options.connections
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
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it. asyncio sets it by itself only where a socket names its protocol, and without it the body of an answer waits some 40 ms
        # for the client's acknowledgment of the head (Nagle's algorithm, RFC 896, against delayed acknowledgment, RFC 1122 4.2.3.2).
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind(address)
    except OSError as error:
        raise ConfigError(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}; choose another --port or --host") from error
    listening.setblocking(False)
    return listening
