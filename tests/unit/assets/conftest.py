"""A cache of its own for every test, and a local HTTP server that misbehaves on request."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faceworks.assets import download
from faceworks.cards import FileSpec


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in force for this process, its threads and its children; short waits."""
    empty = tmp_path / "settings.toml"
    empty.write_text("")
    monkeypatch.setenv("FACEWORKS_CONFIG", str(empty))
    monkeypatch.setenv("FACEWORKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FACEWORKS_MIRRORS", raising=False)
    monkeypatch.delenv("FACEWORKS_OFFLINE", raising=False)
    monkeypatch.setattr(download, "STALL", 0.4)
    monkeypatch.setattr(download, "BACKOFF", 0.01)
    return tmp_path / "cache"


@dataclass
class Page:
    """What the server does with one path. `mode`: ok, stall, truncate, drop (once), lie_short, lie_long, ignore_range, bad_range, chunked,
    packed, changing, slow, or an HTTP status (`503`, `503 once`), or `redirect ADDRESS`."""

    data: bytes
    mode: str = "ok"
    etag: str = '"one"'
    asked: list[str] = field(default_factory=list)


class Server:
    """Pages by path; `asked` of a page lists the Range headers of its requests ("" for none)."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.over = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def log_message(self, *_: object) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    outer.answer(self)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def put(self, path: str, data: bytes, mode: str = "ok", etag: str = '"one"') -> str:
        """Serve `data`; its address."""
        self.pages[path] = Page(data, mode, etag)
        return self.url + path

    def answer(self, to: http.server.BaseHTTPRequestHandler) -> None:
        page = self.pages[to.path]
        wanted = to.headers.get("Range", "")
        page.asked.append(wanted)
        first, mode = len(page.asked) == 1, page.mode
        if mode.startswith("redirect "):
            to.send_response(302)
            to.send_header("Location", mode.removeprefix("redirect "))
            to.end_headers()
            return
        if mode[:3].isdigit() and (first or not mode.endswith("once")):
            to.send_error(int(mode[:3]))
            return
        if mode == "changing":
            page.etag = f'"{len(page.asked)}"'
        begin = 0
        if wanted and mode != "ignore_range" and to.headers.get("If-Range") == page.etag:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
        body = page.data[begin:]
        to.send_response(206 if begin else 200)
        if begin:
            shown = begin + 1 if mode == "bad_range" else begin
            to.send_header("Content-Range", f"bytes {shown}-{len(page.data) - 1}/{len(page.data)}")
        announced = {"lie_short": len(body) // 2, "lie_long": len(body) * 2}.get(mode, len(body))
        if mode not in ("chunked", "endless"):
            to.send_header("Content-Length", str(announced))
        if mode == "packed":
            to.send_header("Content-Encoding", "gzip")
        if page.etag:
            to.send_header("ETag", page.etag)
        to.end_headers()
        half = len(body) // 2
        if mode == "truncate" or (mode in ("drop", "ignore_range", "bad_range", "changing") and first):
            to.wfile.write(body[:half])
        elif mode == "stall" or (mode == "stall once" and first):
            to.wfile.write(body[:half])
            to.wfile.flush()
            self.over.wait(5)
        elif mode == "trickle":
            for index in range(30):
                to.wfile.write(body[index : index + 1])
                to.wfile.flush()
                if self.over.wait(0.05):
                    return
        elif mode in ("slow", "slow once") and (first or mode == "slow"):
            step = max(len(body) // 40, 1)
            for index in range(0, len(body), step):
                to.wfile.write(body[index : index + step])
                to.wfile.flush()
                if self.over.wait(0.02):
                    return
        else:
            to.wfile.write(body)

    def close(self) -> None:
        self.over.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """The server, on a free port."""
    running = Server()
    yield running
    running.close()


@pytest.fixture
def spec() -> Callable[..., FileSpec]:
    """`spec(data, *sources, …)`: a file that must hold `data`."""

    def make(data: bytes, *sources: str, **more: object) -> FileSpec:
        keys: dict[str, object] = {"sha256": hashlib.sha256(data).hexdigest(), "name": "weights.onnx", **more}
        return FileSpec("model", tuple(sources), **keys)  # type: ignore[arg-type]

    return make
