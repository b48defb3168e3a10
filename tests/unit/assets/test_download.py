"""Downloads from a server that stalls, drops, lies and misleads."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faceworks import assets
from faceworks.assets import download as module
from faceworks.cards import FileSpec
from faceworks.errors import AssetUnavailable, ChecksumMismatch

from .conftest import Server

DATA = os.urandom(400_000)
Spec = Callable[..., FileSpec]


def no_leftovers(cache: Path) -> bool:
    """Nothing under a final name, nothing temporary."""
    files = [path for path in cache.rglob("*") if path.is_file() and path.parent.name != "locks"]
    return not [path for path in files if "files" in path.parts or path.name.endswith(".tmp")]


def test_plain(server: Server, spec: Spec, cache: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    url = server.put("/a", DATA)
    assert module.download(url, cache / "p" / "x.part", progress=lambda done, total: seen.append((done, total))) == hashlib.sha256(DATA).hexdigest()
    assert seen[-1] == (len(DATA), len(DATA))
    assert [path.name for path in (cache / "p").iterdir()] == ["x.part"]
    path = assets.fetch(spec(DATA, url))
    assert path.read_bytes() == DATA
    assert path == cache / "files" / hashlib.sha256(DATA).hexdigest() / "weights.onnx"
    assert not list((cache / "partial").iterdir())
    assets.fetch(spec(DATA, url))
    assert len(server.pages["/a"].asked) == 2, "the second fetch came from the cache"


@pytest.mark.parametrize("mode", ["drop", "bad_range", "changing", "ignore_range", "503 once", "429 once", "stall once", "chunked"])
def test_recovers(server: Server, spec: Spec, mode: str) -> None:
    assert assets.fetch(spec(DATA, server.put("/a", DATA, mode))).read_bytes() == DATA


def test_drop_resumes_where_it_stopped(server: Server, spec: Spec) -> None:
    assets.fetch(spec(DATA, server.put("/a", DATA, "drop")))
    assert server.pages["/a"].asked == ["", f"bytes={len(DATA) // 2}-"]


def test_without_validator_it_starts_again(server: Server, spec: Spec) -> None:
    assets.fetch(spec(DATA, server.put("/a", DATA, "drop", etag="")))
    assert server.pages["/a"].asked == ["", ""]


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("stall", r"no byte came for 0.4 s"),
        ("trickle", r"only \d+ bytes came within 0.4 s|no byte came"),
        ("truncate", r"announced \d+ bytes and closed after \d+"),
        ("lie_long", r"announced 800000 bytes and closed after 400000|changed its size from 800000 to 400000"),
        ("404", "answered 404"),
        ("503", r"answered 503 .*4 tries"),
        ("packed", "packs the file as gzip"),
    ],
)
def test_gives_up(server: Server, spec: Spec, cache: Path, mode: str, why: str) -> None:
    begin = time.monotonic()
    with pytest.raises(AssetUnavailable, match=why) as caught:
        assets.fetch(spec(DATA, server.put("/a", DATA, mode)))
    assert caught.value.tried[0].startswith(server.url)
    assert "\n" not in str(caught.value)
    assert "FACEWORKS_MIRRORS" in str(caught.value)
    assert time.monotonic() - begin < 5
    assert no_leftovers(cache)


def test_wrong_bytes_and_short_lie(server: Server, spec: Spec, cache: Path) -> None:
    for mode, data in (("ok", DATA[::-1]), ("lie_short", DATA)):
        with pytest.raises(ChecksumMismatch, match=r"sha256 is .* expected"):
            assets.fetch(spec(DATA, server.put("/a", data, mode)))
    assert no_leftovers(cache)
    assert assets.fetch(spec(DATA, server.url + "/a", server.put("/b", DATA))).read_bytes() == DATA, "the next source is asked"


def test_size_is_an_upper_limit(server: Server, spec: Spec, cache: Path) -> None:
    for mode in ("ok", "chunked"):
        with pytest.raises(AssetUnavailable, match="more than the 1000"):
            assets.fetch(spec(DATA, server.put("/a", DATA, mode), bytes=1000))
    assert no_leftovers(cache)
    assert not list((cache / "partial").iterdir())


def test_redirects(server: Server, spec: Spec) -> None:
    server.put("/a", DATA)
    assert assets.fetch(spec(DATA, server.put("/r", b"", f"redirect {server.url}/a"))).read_bytes() == DATA
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x", "http://192.0.2.1/x", "http://example.invalid/x"):
        with pytest.raises(AssetUnavailable, match="redirects to"):
            assets.fetch(spec(b"x", server.put("/r", b"", f"redirect {target}")))
    with pytest.raises(AssetUnavailable, match="answered 302"):
        assets.fetch(spec(b"x", server.put("/r", b"", f"redirect {server.url}/r")))


def test_nobody_listens(spec: Spec) -> None:
    with pytest.raises(AssetUnavailable, match="no connection"):
        assets.fetch(spec(DATA, "http://127.0.0.1:9/a"))


def test_part_of_another_file_is_found_out(server: Server, spec: Spec, cache: Path) -> None:
    """The bytes on the disk rotted between two tries: the hash tells, and the file is fetched afresh."""
    url = server.put("/a", DATA, "truncate")
    with pytest.raises(AssetUnavailable):
        assets.fetch(spec(DATA, url))
    (part,) = (cache / "partial").glob("*.part")
    rotten = bytearray(part.read_bytes())
    rotten[:10] = b"0123456789"
    part.write_bytes(rotten)
    server.pages["/a"].mode = "ok"
    assert assets.fetch(spec(DATA, url)).read_bytes() == DATA
    assert server.pages["/a"].asked[-2:] == [f"bytes={len(rotten)}-", ""]


CHILD = """
import sys
from faceworks import assets
from faceworks.cards import FileSpec
print(assets.fetch(FileSpec("model", (sys.argv[1],), sha256=sys.argv[2], name="w.onnx"), progress=False))
"""


def child(url: str) -> subprocess.Popen[str]:
    source = str(Path(assets.__file__).parents[2])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r})\n{CHILD}", url, hashlib.sha256(DATA).hexdigest()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_download_once(server: Server, cache: Path) -> None:
    url = server.put("/a", DATA, "slow")
    processes = [child(url) for _ in range(2)]
    answers = [process.communicate(timeout=20) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    assert Path(answers[0][0].strip()).read_bytes() == DATA
    assert server.pages["/a"].asked == [""]


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a thing of Unix")
def test_kill_and_resume(server: Server, spec: Spec, cache: Path) -> None:
    url = server.put("/a", DATA, "slow once")
    process = child(url)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        parts = list((cache / "partial").glob("*.part")) if cache.exists() else []
        if parts and parts[0].stat().st_size > 50_000:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    have = parts[0].stat().st_size
    assert 0 < have < len(DATA)
    assert no_leftovers(cache)
    assert assets.fetch(spec(DATA, url)).read_bytes() == DATA
    assert server.pages["/a"].asked == ["", f"bytes={have}-"]
