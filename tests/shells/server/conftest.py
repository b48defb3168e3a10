"""The service in this process: the whole application with guard and life cycle, spoken to through httpx, no socket."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra server is not installed")
pytest.importorskip("python_multipart", reason="the extra server is not installed")
pytest.importorskip("prometheus_client", reason="the extra server is not installed")
httpx = pytest.importorskip("httpx", reason="the extra server is not installed")

from faceworks.server import ServerOptions  # noqa: E402
from faceworks.server.app import Application, create_app  # noqa: E402
from faceworks.server.security import keys  # noqa: E402

from ..conftest import fake_networks  # noqa: E402, F401 - a fixture

URL = "http://127.0.0.1:8000"


class Client:
    """`client.get("/v1/…")`: an httpx client whose requests run in the application's own event loop."""

    def __init__(self, app: Application, loop: asyncio.AbstractEventLoop) -> None:
        self.app, self.state, self._loop = app, app.state.faceworks, loop
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.inner = httpx.AsyncClient(transport=transport, base_url=URL, timeout=60)

    def wait(self, awaitable: Any) -> Any:
        """Run something in the loop."""
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result(60)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """One request."""
        return self.wait(self.inner.request(method, path, **options))

    def get(self, path: str, **options: Any) -> Any:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> Any:
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Any:
        return self.request("DELETE", path, **options)

    def key(self, role: str, name: str = "test") -> dict[str, str]:
        """Headers with a new key of this role."""
        return {"Authorization": f"Bearer {keys.add(self.state.store, name, role)[1]}"}


@contextlib.contextmanager
def running(options: ServerOptions) -> Iterator[Client]:
    """The application with its life cycle, in a loop of its own thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    app = create_app(options)
    client = Client(app, loop)
    life = app.router.lifespan_context(app)
    client.wait(life.__aenter__())
    try:
        end = time.monotonic() + 30
        while not client.state.warm and time.monotonic() < end and "cannot be opened" not in client.state.trouble:
            time.sleep(0.005)
        yield client
    finally:
        client.wait(client.inner.aclose())
        client.wait(life.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def options(tmp_path: Path) -> ServerOptions:
    """Options of a service in a temporary folder; batches are not probed."""
    return ServerOptions(data=tmp_path / "data", batch=1, slots=2)


@pytest.fixture
def client(fake_networks: None, options: ServerOptions) -> Iterator[Client]:  # noqa: F811
    """A service on loopback without keys, with networks that need no weights."""
    with running(options) as found:
        yield found


def picture(color: tuple[int, int, int] = (200, 20, 20), size: tuple[int, int] = (80, 64)) -> bytes:
    """A PNG of one color: one color is one person, black has no face (see `FakeDetector`)."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.full((*size, 3), color, np.uint8)).save(out, "PNG")
    return out.getvalue()


RED, CRIMSON, BLUE, GREEN, BLACK = (picture(color) for color in ((200, 20, 20), (180, 20, 20), (20, 20, 200), (20, 200, 20), (0, 0, 0)))


def pair(a: bytes = RED, b: bytes = CRIMSON) -> dict[str, Any]:
    """The files of /verify."""
    return {"a": ("a.png", a), "b": ("b.png", b)}


Make = Callable[..., Client]
