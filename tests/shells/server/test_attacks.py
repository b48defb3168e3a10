"""The list of attacks: each is tried, and nothing happens but a documented refusal."""

from __future__ import annotations

import io
import json
import logging
import statistics
import struct
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faceworks.errors import ConfigError
from faceworks.server import ServerOptions
from faceworks.server.app import create_app
from faceworks.server.security import keys
from faceworks.server.store import Store

from .conftest import RED, Client, fake_networks, pair, running  # noqa: F401

EVIL = [
    "/etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:8000/v1/health",
    "http://169.254.169.254/latest/meta-data",
    "\\\\host\\share\\x",
    "data:image/png;base64,AA",
]


def png(width: int, height: int, rows: int = 0) -> bytes:
    """A PNG that declares a size; its pixels compress a thousandfold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes((1 + 3 * width) * (rows or height)), 9))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("evil", EVIL)
def test_paths_and_urls_are_never_opened(client: Client, evil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.setattr("faceworks.image.reading._read_path", lambda *item, **_: opened.append(item), raising=False)
    text = client.post("/v1/verify", files={"a": (None, evil), "b": (None, evil)})
    assert (text.status_code, text.json()["type"]) == (422, "urn:faceworks:problem:no-file")
    content = client.post("/v1/verify", files=pair(evil.encode(), RED))
    assert (content.status_code, content.json()["type"]) == (422, "urn:faceworks:problem:image-error")
    name = client.post("/v1/detect", files={"pictures": (evil, RED)})
    assert name.status_code == 200
    assert client.post("/v1/verify", json={"a": evil, "b": evil}).status_code == 415
    assert client.post("/v1/verify", data={"a": evil, "b": evil}).status_code == 415
    assert client.post("/v1/verify", files=pair(), data={"calibration": evil}).status_code == 422
    assert client.post("/v1/verify", files=pair(), data={"device": evil}).status_code == 422
    assert not opened


def test_decompression_bombs_are_refused_before_they_are_decoded(client: Client) -> None:
    bomb = png(20_000, 10_000, 100)
    start = time.perf_counter()
    found = client.post("/v1/verify", files=pair(bomb, RED))
    assert (found.status_code, found.json()["type"]) == (422, "urn:faceworks:problem:image-error")
    assert "limit" in found.json()["detail"]
    lie = client.post("/v1/verify", files=pair(png(6000, 6000, 1), RED))
    assert lie.status_code == 422
    assert time.perf_counter() - start < 5


def declared(kind: str, side: int = 60_000) -> bytes:
    """A small picture of this format whose header says that it has `side` x `side` pixels (or as many as the format can say)."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 20, 20)).save(out, kind)
    data = bytearray(out.getvalue())
    if kind == "GIF":  # logical screen, and the image descriptor behind the color table
        at = data.index(b",", 13)
        data[6:10] = data[at + 5 : at + 9] = struct.pack("<2H", side, side)
    elif kind == "BMP":
        data[18:26] = struct.pack("<2i", side, side)
    elif kind == "JPEG":
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">2H", side, side)
    elif kind == "TIFF":
        count = struct.unpack("<H", data[(ifd := struct.unpack("<L", data[4:8])[0]) : ifd + 2])[0]
        for entry in range(ifd + 2, ifd + 2 + 12 * count, 12):
            if struct.unpack("<H", data[entry : entry + 2])[0] in (256, 257, 278):  # width, length, rows of a strip
                data[entry + 2 : entry + 12] = struct.pack("<HLL", 4, 1, side)
    elif kind == "PPM":
        data[:] = b"P6\n%d %d\n255\n" % (side, side) + bytes(1000)
    elif kind == "WEBP":
        at = data.index(b"\x9d\x01\x2a")  # the frame's start code; each side has 14 bits
        data[at + 3 : at + 7] = struct.pack("<2H", 16_383, 16_383)
    elif kind == "JPEG2000":
        at = data.index(b"\xff\x51")
        data[at + 6 : at + 14] = struct.pack(">2L", side, side)
        box = data.index(b"ihdr")
        data[box + 4 : box + 12] = struct.pack(">2L", side, side)
    return bytes(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "JPEG", "TIFF", "PPM", "WEBP", "JPEG2000"])
def test_a_header_of_any_format_that_declares_too_much_is_refused_unread(client: Client, kind: str) -> None:
    import resource

    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = client.post("/v1/detect", files={"pictures": ("a", declared(kind))})
    assert (found.status_code, found.json()["type"]) == (422, "urn:faceworks:problem:image-error"), found.text
    assert time.perf_counter() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "kilobytes: the pixels would take ten gigabytes"
    assert client.post("/v1/detect", files={"pictures": ("a", RED)}).status_code == 200


def test_an_endless_upload_ends_at_the_limit(fake_networks: None, tmp_path: Path) -> None:  # noqa: F811
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
        while sent < 10 << 30:
            sent += 65_536
            yield bytes(65_536)

    with running(ServerOptions(data=tmp_path / "d", batch=1, max_body=1_000_000, max_image_bytes=300_000)) as client:
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        found = client.post("/v1/verify", content=endless(), headers=kind)
        assert found.status_code == 413
        # told beforehand, not a byte is read; the declared length is believed only in this direction
        told = client.post("/v1/verify", content=b"", headers={**kind, "Content-Length": "10737418240"})
        assert told.status_code == 413
        many = client.post("/v1/galleries", content=iter_json(), headers={"Content-Type": "application/json"})
        assert many.status_code == 413
        assert client.get("/v1/health").status_code == 200


async def iter_json() -> AsyncIterator[bytes]:
    for _ in range(100):
        yield b"[" * 65_536


def test_a_slow_body_is_cut_off(fake_networks: None, tmp_path: Path) -> None:  # noqa: F811
    import asyncio

    async def slow() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.1)

    with running(ServerOptions(data=tmp_path / "d", batch=1, body_timeout=0.4)) as client:
        start = time.perf_counter()
        found = client.post("/v1/verify", content=slow(), headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert found.status_code == 408
        assert time.perf_counter() - start < 5


FORMS = {
    "no boundary": ("multipart/form-data", b""), "not a form": ("image/png", RED), "nothing": ("multipart/form-data; boundary=x", b""),
    "no end": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\nabc'),
    "no name": ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n"),
    "long head": ("multipart/form-data; boundary=x", b"--x\r\n" + b"A: " + b"b" * 20_000 + b"\r\n\r\nabc\r\n--x--\r\n"),
    "junk": ("multipart/form-data; boundary=x", b"\x00\xff" * 1000),
    "long boundary": ("multipart/form-data; boundary=" + "x" * 5000, b""),
    "bad name": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\nabc\r\n--x--\r\n'),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_broken_forms(client: Client, name: str) -> None:
    kind, body = FORMS[name]
    found = client.post("/v1/verify", content=body, headers={"Content-Type": kind})
    assert found.status_code in (400, 415, 422), found.text
    assert found.headers["content-type"] == "application/problem+json"


def test_too_many_parts(client: Client) -> None:
    assert client.post("/v1/detect", files=[("pictures", ("a.png", RED))] * 17).status_code == 422
    assert client.post("/v1/detect", files={f"f{index}": (None, "x") for index in range(100)}).status_code == 413
    twice = [("min_score", (None, "0.1")), ("min_score", (None, "0.2")), ("pictures", ("a.png", RED))]
    assert client.post("/v1/detect", files=twice).status_code == 422


def test_huge_and_deep_json(client: Client) -> None:
    for body in (b"[" * 500_000, b'{"name": ' * 100_000, b'{"name": "' + b"a" * 1_000_000 + b'"}', b"1e999999", b"\xff", b'"', b'{"name": NaN}'):
        found = client.post("/v1/galleries", content=body, headers={"Content-Type": "application/json"})
        assert found.status_code in (400, 413, 422), (body[:20], found.status_code)
        assert len(found.content) < 5000
    deep = "[" * 100_000 + "]" * 100_000
    client.post("/v1/galleries", json={"name": "staff"})
    found = client.post("/v1/galleries/staff/people", files={"pictures": ("a.png", RED)}, data={"name": "Ada", "metadata": deep})
    assert found.status_code == 422


@pytest.mark.parametrize("name", ["../x", "..", "%2e%2e%2fx", "a/b", "a\\b", "A", "a b", ".a", "a.", "café", "x" * 65, "con\0", "a%00"])
def test_gallery_names_stay_in_their_folder(client: Client, name: str) -> None:
    before = sorted(path.name for path in client.state.options.data.rglob("*"))
    assert client.post("/v1/galleries", json={"name": name}).status_code == 422
    path = name.replace("\0", "%00").replace(" ", "%20")
    assert client.get(f"/v1/galleries/{path}/people").status_code in (404, 422)
    assert client.delete(f"/v1/galleries/{path}").status_code in (404, 405, 422)
    assert sorted(path.name for path in client.state.options.data.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["김철수", "José", "نور", "😀", "a/../../b", "<script>alert(1)</script>", "'; DROP TABLE keys; --", "x\u202egpj.exe", "a" * 1000]
)
def test_people_may_be_called_anything(client: Client, name: str) -> None:
    client.post("/v1/galleries", json={"name": "staff"})
    made = client.post("/v1/galleries/staff/people", files={"pictures": ("a.png", RED)}, data={"name": name})
    assert made.status_code == 201, made.text
    listed = client.get("/v1/galleries/staff/people")
    assert listed.headers["content-type"] == "application/json"
    assert listed.headers["x-content-type-options"] == "nosniff"
    assert [item["name"] for item in listed.json()["items"]] == [__import__("unicodedata").normalize("NFC", name)]


def test_headers_cannot_be_injected(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "faceworks.server.access")
    for evil in (b"abcdefgh\r\nSet-Cookie: x=1", b"abcdefgh\n{}", b"<script>", b"x" * 1000, "한국어".encode()):
        found = client.get("/v1/health", headers=[(b"X-Request-ID", evil)])
        assert found.headers["x-request-id"] != evil.decode("latin-1")
        assert "set-cookie" not in found.headers
    kept = client.get("/v1/health", headers={"X-Request-ID": "trace-0123.abc"})
    assert kept.headers["x-request-id"] == "trace-0123.abc"
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_other_sites_cannot_call(client: Client) -> None:
    for headers in (
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:9999"}, {"Origin": "http://127.0.0.1:8000.evil.example"},
    ):  # fmt: skip
        for method, path in (("POST", "/v1/verify"), ("POST", "/v1/galleries"), ("POST", "/v1/session"), ("GET", "/v1/galleries")):
            found = client.request(method, path, headers=headers)
            assert (found.status_code, found.json()["type"]) == (403, "urn:faceworks:problem:cross-origin"), (headers, path)
            assert "access-control-allow-origin" not in found.headers
    assert client.post("/v1/verify", files=pair(), headers={"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert "access-control-allow-origin" not in client.request("OPTIONS", "/v1/verify", headers={"Origin": "https://evil.example"}).headers


def test_a_configured_origin_may_call(fake_networks: None, tmp_path: Path) -> None:  # noqa: F811
    with running(ServerOptions(data=tmp_path / "d", batch=1, origins=("https://lab.example",))) as client:
        origin = {"Origin": "https://lab.example"}
        assert client.post("/v1/verify", files=pair(), headers=origin).headers["access-control-allow-origin"] == "https://lab.example"
        before = client.request("OPTIONS", "/v1/verify", headers={**origin, "Access-Control-Request-Method": "POST"})
        assert before.headers["access-control-allow-origin"] == "https://lab.example"
        assert before.status_code < 300
        assert client.post("/v1/verify", files=pair(), headers={"Origin": "https://other.example"}).status_code == 403
    for wrong in ("*", "https://lab.example/", "lab.example"):
        with pytest.raises(ConfigError):
            ServerOptions(data=tmp_path, origins=(wrong,))


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:8000", "127.0.0.1@evil.example", "127.0.0.1:8000/x"])
def test_foreign_host_names_are_refused(client: Client, host: str) -> None:
    """A name that its owner points at 127.0.0.1 after the page was loaded (DNS rebinding)."""
    assert client.get("/v1/galleries", headers={"Host": host}).status_code == 421
    assert client.get("/v1/galleries", headers={"Host": "localhost:1234"}).status_code == 200


def test_a_page_cannot_be_framed(client: Client) -> None:
    for path in ("/", "/v1/health", "/v1/nothing", "/static/nothing.js"):
        found = client.get(path)
        assert found.headers["x-frame-options"] == "DENY"
        policy = found.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "server" not in found.headers


def test_beyond_this_machine_a_key_must_exist(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ConfigError, match="keys add"):
            create_app(ServerOptions(data=tmp_path / "d", host=host))
    store = Store(tmp_path / "d" / "service.db")
    keys.add(store, "first", "admin")
    store.close()
    create_app(ServerOptions(data=tmp_path / "d", host="0.0.0.0")).state.faceworks.close()


def test_a_proxy_before_a_service_without_keys(client: Client) -> None:
    """nginx on the same machine forwards the world to loopback."""
    found = client.get("/v1/galleries", headers={"X-Forwarded-For": "203.0.113.9"})
    assert (found.status_code, found.json()["type"]) == (403, "urn:faceworks:problem:no-key-behind-proxy")


def test_comparing_a_key_takes_the_same_time_however_wrong_it_is(tmp_path: Path) -> None:
    """Medians of interleaved rounds: first character wrong, last character wrong, id unknown."""
    store = Store(tmp_path / "service.db")
    _, text = keys.add(store, "k", "read")
    wrong = {
        "first": text[:16] + ("A" if text[16] != "A" else "B") + text[17:],
        "last": text[:-1] + ("A" if text[-1] != "A" else "B"),
        "unknown": f"fw_{'0' * 12}_{text[16:]}",
    }
    times: dict[str, list[float]] = {name: [] for name in wrong}
    db = store.connection
    assert keys.find(db, text, time.time()) is not None
    for _ in range(1500):
        for name, value in wrong.items():
            start = time.perf_counter()
            found = keys.find(db, value, 0.0)
            times[name].append(time.perf_counter() - start)
            assert found is None
    medians = {name: statistics.median(row) for name, row in times.items()}
    assert abs(medians["first"] - medians["last"]) < 0.25 * max(medians.values()), medians
    store.close()


def test_secrets_stand_in_no_log_and_not_in_the_store(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    headers = client.key("read", "spy")
    secret = headers["Authorization"].rpartition("_")[2]
    client.post("/v1/verify", files=pair(), headers=headers)
    client.get(f"/v1/galleries?cursor={secret}", headers=headers)
    client.post("/v1/session", json={"key": headers["Authorization"].partition(" ")[2]})
    client.get("/v1/models", headers={"Authorization": headers["Authorization"] + "x"})
    server = [record.getMessage() for record in caplog.records if record.name.startswith("faceworks")]
    assert server
    assert not any(secret in line for line in server)
    stored = b"".join(path.read_bytes() for path in client.state.options.data.glob("service.db*"))
    assert secret.encode() not in stored
    assert oct(client.state.options.database.stat().st_mode & 0o777) == "0o600"


def test_a_broken_picture_of_each_kind_is_no_fault_of_the_service(client: Client) -> None:
    from PIL import Image

    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        out = io.BytesIO()
        Image.new("RGB", (64, 64), (200, 20, 20)).save(out, kind)
        data = out.getvalue()
        for broken in (data[: len(data) // 2], data[:20], data[:10] + bytes(100)):
            assert client.post("/v1/verify", files=pair(broken, RED)).status_code in (200, 422), kind


def test_the_page_cannot_be_walked_out_of(client: Client) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/%00"):
        found = client.get(path)
        assert found.status_code in (404, 400), path
        assert "import" not in found.text


def test_options_that_cannot_hold(tmp_path: Path) -> None:
    good = ServerOptions(data=tmp_path)
    for name, value in (("queue", 0), ("timeout", 0), ("port", 70_000), ("slots", -1), ("rate", -1.0)):
        with pytest.raises(ConfigError):
            replace(good, **{name: value})
    assert json.dumps(str(good.database))
