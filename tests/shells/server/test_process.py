"""The service as a process: a slow head, the signal to stop, kill −9 during an enrollment, several workers, an address in use."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from faceworks.gallery import open_gallery

SOURCE = Path(__file__).resolve().parents[3] / "src"
FAKES = """
import sys
sys.path[:0] = [{tests!r}]
from shells.conftest import FakeDetector, FakeEmbedder
from faceworks import pipeline
pipeline.load_detector = lambda *_: FakeDetector()
pipeline.load_embedder = lambda *_: FakeEmbedder()
from faceworks.server import ServerOptions
from faceworks.server.running import run
run(ServerOptions(data={data!r}, port=0, batch=1, attributes=(), header_timeout=1.0, rate=10000, burst=10000))
"""


@contextmanager
def process(arguments: list[str], ready: bool = True) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """A process, its address, and the lines of its log so far."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen([sys.executable, *arguments], env=environment, stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    assert running.stderr is not None
    stream = running.stderr
    reader = threading.Thread(target=lambda: lines.extend(iter(stream.readline, "")), daemon=True)
    reader.start()
    try:
        end, url = time.monotonic() + 60, ""
        while time.monotonic() < end and running.poll() is None:
            match = next((found for line in list(lines) if (found := re.search(r"listening on (http://\S+)", line))), None)
            if match:
                url = match[1]
                try:
                    if not ready or httpx.get(f"{url}/v1/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
            time.sleep(0.05)
        assert url, lines
        yield running, url, lines
    finally:
        running.kill()
        running.wait(10)
        reader.join(5)
        stream.close()


def fakes(tmp_path: Path) -> list[str]:
    script = tmp_path / "fakes.py"
    script.write_text(FAKES.format(tests=str(SOURCE.parent / "tests"), data=str(tmp_path / "data")))
    return [str(script)]


def test_a_slow_head_is_cut_off_and_the_signal_lets_work_finish(tmp_path: Path) -> None:
    from .conftest import CRIMSON, RED

    with process(fakes(tmp_path)) as (running, url, lines):
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        sockets = [socket.create_connection(address) for _ in range(20)]
        start = time.monotonic()
        for item in sockets:
            item.sendall(b"POST /v1/verify HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert httpx.get(f"{url}/v1/health").status_code == 200, "others are served meanwhile"
        for item in sockets:
            item.settimeout(10)
            assert b" 408 " in item.recv(200)
            item.close()
        assert time.monotonic() - start < 8
        with socket.create_connection(address) as item:
            item.settimeout(10)
            with contextlib.suppress(ConnectionError):  # closed while we are still sending: as good as an answer
                item.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"a" * 2_000_000 + b"\r\n\r\n")
                assert item.recv(200).split(b" ")[1:2] in ([], [b"400"], [b"431"]), "a head without end is not taken in"
        assert httpx.get(f"{url}/v1/health").status_code == 200
        with socket.create_connection(address) as item:  # two lengths: what smuggles a second request past a proxy
            item.sendall(
                b"POST /v1/verify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n"
            )
            item.settimeout(10)
            assert item.recv(200).split(b" ")[1] in (b"400", b"415")
        with httpx.Client(base_url=url) as client:  # a connection that is kept is as patient with its second head
            assert client.post("/v1/verify", files={"a": ("a", RED), "b": ("b", CRIMSON)}).json()["verified"] is True
            assert client.get("/v1/health").status_code == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) in (0, -signal.SIGTERM)
    assert not [line for line in lines if "Traceback" in line]


def test_kill_during_enrollment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    from .conftest import picture

    acknowledged: list[str] = []
    with process(fakes(tmp_path)) as (running, url, _):
        assert httpx.post(f"{url}/v1/galleries", json={"name": "staff"}).status_code == 201

        def enroll(start: int) -> None:
            with httpx.Client(base_url=url, timeout=10) as client:
                for index in range(start, 4000, 4):
                    color = (60 + index % 190, 60 + (index * 7) % 190, 60 + (index * 13) % 190)
                    try:
                        made = client.post("/v1/galleries/staff/people", files={"pictures": ("a.png", picture(color))}, data={"name": f"p{index}"})
                    except httpx.TransportError:
                        return
                    if made.status_code == 201:
                        acknowledged.append(made.json()["pictures"][0]["sample"] or f"duplicate of {made.json()['person']['id']}")

        threads = [threading.Thread(target=enroll, args=(start,)) for start in range(4)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 30
        while len(acknowledged) < 25 and time.monotonic() < end:
            time.sleep(0.01)
        running.kill()
        running.wait(10)
        for thread in threads:
            thread.join(20)
    assert len(acknowledged) >= 25
    with open_gallery(tmp_path / "data" / "galleries" / "staff" / "people.h5", "r") as gallery:
        kept = {str(item) for entry in gallery.people() for item in entry.samples.id}
        gallery.check()
    lost = [item for item in acknowledged if not item.startswith("duplicate") and item not in kept]
    assert not lost, lost
    with process(fakes(tmp_path)) as (_, url, _):  # and the service goes on where it was
        assert httpx.get(f"{url}/v1/galleries/staff").json()["samples"] == len(kept)


def test_an_address_in_use_is_one_line_and_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = [sys.executable, "-m", "faceworks", "serve", "--port", str(taken.getsockname()[1]), "--data", str(tmp_path / "d")]
        done = subprocess.run(arguments, env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "cannot listen" in done.stderr.splitlines()[-1]


def test_other_addresses_need_a_key_and_the_command_makes_one(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "faceworks", "serve", *words, "--data", str(tmp_path / "d")]
        return subprocess.run(arguments, env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=False, timeout=60)

    refused = run("--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2
    assert "keys add" in refused.stderr
    made = run("keys", "add", "door", "--role", "enroll", "--days", "30")
    assert re.fullmatch(r"fw_[0-9a-f]{12}_[\w-]{43}\n", made.stdout)
    listed = run("keys", "list", "--json")
    assert made.stdout.strip().split("_", 2)[2] not in listed.stdout
    assert '"role": "enroll"' in listed.stdout
    id = made.stdout.split("_")[1]
    assert run("keys", "revoke", id).returncode == 0
    assert run("keys", "revoke", "nothing").returncode == 2


@pytest.mark.slow
@pytest.mark.assets
def test_two_workers_over_one_socket(tmp_path: Path, samples: Mapping[str, Path]) -> None:
    words = ["-m", "faceworks", "serve", "--port", "0", "--workers", "2", "--data", str(tmp_path / "d")]
    with process(words) as (running, url, _):
        a, b = samples["person_a_1"].read_bytes(), samples["person_a_2"].read_bytes()

        def ask() -> Any:
            return httpx.post(f"{url}/v1/verify", files={"a": ("a", a), "b": ("b", b)}, timeout=60).json().get("verified")

        assert all(ask() for _ in range(12))
        total = 'faceworks_requests_total{method="POST",route="/v1/verify",status="200"} 12.0'
        assert total in httpx.get(f"{url}/v1/metrics").text or total in _later(url)
        running.send_signal(signal.SIGTERM)
        running.wait(60)


def _later(url: str) -> str:
    """The other worker writes its counters every ten seconds."""
    time.sleep(12)
    return httpx.get(f"{url}/v1/metrics").text
