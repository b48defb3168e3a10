"""The service over real sockets, with networks that need no weights: what only the wire can do to it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from faceworks import settings
from faceworks.server import ServerOptions, jobs
from faceworks.server.running import Server, configure
from faceworks.server.security import keys

from .conftest import CRIMSON, RED, fake_networks, pair  # noqa: F401

HOST = b"Host: 127.0.0.1\r\n"


class Service:
    """A server in a thread of this process."""

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = self.socket.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.server = Server(configure(options))
        active = settings.current()

        def run() -> None:
            with settings.use(active):
                self.server.run(sockets=[self.socket])

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        end = time.monotonic() + 30
        while time.monotonic() < end and not self.ready():
            time.sleep(0.02)

    def ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/v1/ready").status_code == 200
        return False

    @property
    def state(self) -> Any:
        return self.server.config.loaded_app.state.faceworks

    def alive(self) -> bool:
        return httpx.get(f"{self.url}/v1/health", timeout=10).status_code == 200

    def raw(self, data: bytes, seconds: float = 10, silence: float = 0.5) -> bytes:
        """All that is answered to these bytes until the service closes, or falls silent."""
        with socket.create_connection(self.address, seconds) as item:
            with contextlib.suppress(ConnectionError):
                item.sendall(data)
            out = b""
            item.settimeout(seconds)
            with contextlib.suppress(TimeoutError, ConnectionError):
                while piece := item.recv(65_536):
                    out += piece
                    item.settimeout(silence)
            return out

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()


Serve = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def serve(fake_networks: None, tmp_path: Path) -> Serve:  # noqa: F811
    """`with serve(body_timeout=1) as service:`"""

    @contextmanager
    def begin(**options: Any) -> Iterator[Service]:
        service = Service(ServerOptions(data=tmp_path / "data", batch=1, attributes=(), rate=1e6, burst=1_000_000, **options))
        try:
            yield service
            assert service.alive()
        finally:
            service.stop()

    return begin


def form(boundary: bytes = b"x") -> bytes:
    head = b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="a"\r\n\r\n'
    parts = b"".join(head % (boundary, name) + data + b"\r\n" for name, data in ((b"a", RED), (b"b", CRIMSON)))
    return parts + b"--" + boundary + b"--\r\n"


def post(body: bytes, length: int | None = None, extra: bytes = b"") -> bytes:
    head = b"POST /v1/verify HTTP/1.1\r\n" + HOST + b"Content-Type: multipart/form-data; boundary=x\r\n" + extra
    return head + b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


def test_requests_in_one_packet_are_answered_in_their_order(serve: Serve) -> None:
    with serve() as service:
        one = b"GET /v1/health HTTP/1.1\r\n" + HOST + b"\r\n"
        answers = service.raw(one + post(form()) + b"GET /v1/nothing HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 30, 20)
        assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"200", b"200", b"404"]
        assert b'"verified": true' in answers
        many = service.raw(one * 300 + b"GET /v1/health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 30, 20)
        assert many.count(b"HTTP/1.1 200") == 301


def test_lengths_that_lie(serve: Serve) -> None:
    with serve(body_timeout=0.5, header_timeout=1) as service:
        start = time.monotonic()
        assert b" 408 " in service.raw(post(form()[:50], length=5000)).partition(b"\r\n")[0]
        assert time.monotonic() - start < 5
        longer = service.raw(post(form(), length=60))  # the rest is no request
        assert longer.partition(b"\r\n")[0].split(b" ")[1] in (b"400", b"422")
        assert b" 413 " in service.raw(post(b"", length=10 << 30, extra=b"Expect: 100-continue\r\n")).partition(b"\r\n")[0]
        for length in (b"-1", b"1e3", b"0x10", b"5, 6", b"9" * 500):
            found = service.raw(b"POST /v1/verify HTTP/1.1\r\n" + HOST + b"Content-Length: " + length + b"\r\n\r\n")
            assert found.partition(b"\r\n")[0].split(b" ")[1] in (b"400", b"413"), length


ODD = {
    "no version": b"GET /v1/health\r\n\r\n", "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n", "two hosts": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n",
    "nul": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"X-Request-Id: a\x00b\r\n\r\n", "folded": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"X-A: b\r\n c\r\n\r\n",
    "smuggled": b"POST /v1/verify HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "space in a name": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"Content-Length : 5\r\n\r\nhello", "negative chunk": b"POST /v1/verify HTTP/1.1\r\n" + HOST +
    b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", "method": b"BREW /v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "foreign target": b"GET http://evil.example/v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "websocket": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AA==\r\n\r\n",
}  # fmt: skip


PATHS = ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "//etc/passwd", "/static/..\\app.py", "/static/\x7f",
         "/static/text.js%00.html"]  # fmt: skip


def test_what_is_no_request_is_refused_and_nothing_else_happens(serve: Serve) -> None:
    with serve(header_timeout=1, body_timeout=1) as service:
        for name, data in ODD.items():
            line = service.raw(data).partition(b"\r\n")[0]
            taken = name in ("websocket", "folded")  # an upgrade that is not offered is ignored (RFC 9110 7.8), and a folded line is one
            assert line.split(b" ")[1:2] in ([b"400"], [b"404"], [b"405"], [b"408"], [b"415"], [b"421"], [b"501"], [b"200"] if taken else []), (
                name,
                line,
            )
        zipped = service.raw(post(b"\x1f\x8b" + bytes(100), extra=b"Content-Encoding: gzip\r\n"))
        assert zipped.partition(b"\r\n")[0].split(b" ")[1] == b"400", "nothing is unpacked on the way in"
        for path in PATHS:
            answer = service.raw(f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"Connection: close\r\n\r\n")
            assert answer.partition(b"\r\n")[0].split(b" ")[1] in (b"400", b"404"), path
            assert b"root:" not in answer
            assert b"create_app" not in answer


def test_who_asks_and_never_reads_is_cut_off(serve: Serve) -> None:
    with serve(body_timeout=1, header_timeout=1) as service:
        ask = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
        size = len(service.raw(ask))
        sockets = []
        for _ in range(8):
            item = socket.socket()
            item.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            item.settimeout(5)
            item.connect(service.address)
            with contextlib.suppress(OSError):
                item.sendall(ask * 200)
            sockets.append(item)
        assert service.alive(), "others are served meanwhile"
        end = time.monotonic() + 15
        while len(service.server.server_state.connections) > 1 and time.monotonic() < end:
            time.sleep(0.1)
        assert len(service.server.server_state.connections) <= 1
        for item in sockets:
            got = 0
            with contextlib.suppress(OSError):
                while piece := item.recv(65_536):
                    got += len(piece)
            assert got < 200 * size
            item.close()


def test_connections_above_the_limit_are_told_to_come_back(serve: Serve) -> None:
    with serve(connections=10, header_timeout=3) as service:
        idle = [socket.create_connection(service.address) for _ in range(10)]
        time.sleep(0.3)
        refused = service.raw(b"GET /v1/health HTTP/1.1\r\n" + HOST + b"\r\n")
        head, _, body = refused.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 5" in head
        assert json.loads(body)["type"] == "urn:faceworks:problem:busy"
        assert f"content-length: {len(body)}".encode() in head
        time.sleep(3.5)
        assert service.alive(), "idle ones are gone by now"
        for item in idle:
            item.close()


def test_streams_that_are_held_open_hurt_their_key_alone(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "claim", lambda *_: None)  # the job waits for ever
    with serve(concurrency=40, connections=300) as service:
        store = service.state.store
        greedy, other = (keys.add(store, name, "read")[1] for name in ("greedy", "other"))
        id = jobs.create(store, jobs.new_id(), "evaluation", "x", {}).id
        sockets = []
        head = f"GET /v1/jobs/{id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {greedy}\r\n\r\n".encode()
        for _ in range(120):
            item = socket.create_connection(service.address, 10)
            item.sendall(head)
            sockets.append(item)
        statuses = []
        for item in sockets:
            item.settimeout(10)
            statuses.append(item.recv(4096).split(b" ")[1])
        assert (statuses.count(b"200"), statuses.count(b"429")) == (40, 80)
        took = []
        for _ in range(5):
            start = time.monotonic()
            assert httpx.post(f"{service.url}/v1/verify", files=pair(), headers={"Authorization": f"Bearer {other}"}).status_code == 200
            took.append(time.monotonic() - start)
        assert min(took) < 1
        for item in sockets:
            item.close()
        end = time.monotonic() + 10
        while store.connection.execute("SELECT count(*) FROM running").fetchone()[0] and time.monotonic() < end:
            time.sleep(0.1)
        assert store.connection.execute("SELECT count(*) FROM running").fetchone()[0] == 0, "a stream that is closed gives its place back"


def test_an_answer_does_not_wait_for_an_acknowledgment(serve: Serve, tmp_path: Path) -> None:
    """Head and body are two packets: without TCP_NODELAY the second waits some 40 ms for the client's delayed acknowledgment."""
    from faceworks.server.running import _listen

    listening = _listen(ServerOptions(data=tmp_path / "other", port=0))
    listening.listen()
    listening.setblocking(True)
    with listening, socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert accepted.proto == socket.IPPROTO_TCP, "asyncio looks at this before it sets the option"
