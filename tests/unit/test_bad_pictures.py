"""The bad input table: malformed and hostile inputs, all made here, and what `image.load` says to them.

Every one gives an `ImageError` of one line that names the input, within a second, without a word on stdout. `guarded` runs the load in a thread,
so that a hang fails the test instead of the suite; the time is asserted with a margin of three for slow machines.
"""

from __future__ import annotations

import io
import os
import pickle
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from faceworks import image
from faceworks import settings as faceworks_settings
from faceworks.errors import ImageError

SECONDS = 3.0
"""The promise is 1 s; the guard leaves room for a loaded machine."""


# --- makers --------------------------------------------------------------------------------------------------------------------------------------


def scene(height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x * 7 + y * 13) % 256], axis=-1).astype(np.uint8)


def encode(kind: str, pixels: np.ndarray | None = None, mode: str | None = None, **options: Any) -> bytes:
    picture = Image.fromarray(scene() if pixels is None else pixels)
    out = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, idat: bytes, *extra: bytes, color: int = 2, interlaced: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def jpeg_size(height: int, width: int, **options: Any) -> bytes:
    data = encode("JPEG", **options)
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return patched(data, frame + 5, struct.pack(">HH", height, width))


def jpeg_segments(*segments: bytes) -> bytes:
    data = encode("JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def bmp_size(width: int, height: int) -> bytes:
    return patched(encode("BMP"), 18, struct.pack("<ii", width, height))


def tiff(width: int, height: int, offset: int = 8, counts: int = 3) -> bytes:
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 200), (277, 3, 1, 1),
            (278, 4, 1, height), (279, 4, 1, counts)]  # fmt: skip
    body = b"II*\0" + struct.pack("<I", offset) + struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + b"\0" * 4
    return body.ljust(210, b"\0")


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("picture.jpg", b"\0" * 5_000_000)
    return out.getvalue()


def many_scans(count: int = 5000) -> bytes:
    data = encode("JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + b"\xff\xd9"


def webp_canvas(width: int, height: int) -> bytes:
    body = b"VP8X" + struct.pack("<I", 10) + b"\0" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def gif_size(width: int, height: int) -> bytes:
    data = patched(encode("GIF"), 6, struct.pack("<HH", width, height))
    return patched(data, data.index(b"\x2c\0\0\0\0") + 5, struct.pack("<HH", width, height))


FILES: dict[str, Callable[[], bytes]] = {
    "zero bytes": lambda: b"",
    "one byte": lambda: b"\xff",
    "jpeg signature alone": lambda: b"\xff\xd8\xff",
    "jpeg cut in the header": lambda: encode("JPEG")[:100],
    "jpeg cut at the first scan": lambda: (d := encode("JPEG"))[: d.index(b"\xff\xda") + 14],
    "jpeg cut in the middle": lambda: (d := encode("JPEG"))[: (len(d) + d.index(b"\xff\xda")) // 2],
    "jpeg without its last byte": lambda: encode("JPEG")[:-1],
    "jpeg without its end marker": lambda: encode("JPEG")[:-2],
    "progressive jpeg cut": lambda: encode("JPEG", progressive=True)[:-200],
    "jpeg followed by nothing but its thumbnail's end": lambda: jpeg_segments(b"\xff\xe1\x00\x08\xff\xd9\xff\xd9\0\0")[:400],
    "jpeg of height 0": lambda: jpeg_size(0, 64),
    "jpeg that declares 65500x65500": lambda: jpeg_size(65500, 65500),
    "jpeg that declares 12000x12000 in 2 kB": lambda: jpeg_size(12000, 12000),
    "progressive jpeg that declares 13000x13000": lambda: jpeg_size(13000, 13000, progressive=True),
    "jpeg with 5000 scans": many_scans,
    "jpeg with 50000 comments": lambda: jpeg_segments(b"\xff\xfe\x00\x02" * 50_000),
    "jpeg with two frame headers": lambda: jpeg_segments(b"\xff\xc0\x00\x11\x08\x00\x30\x00\x40\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"),
    "jpeg without tables": lambda: (d := encode("JPEG"))[:2] + d[d.index(b"\xff\xc0") : d.index(b"\xff\xc4")] + d[d.index(b"\xff\xda") :],
    "jpeg of 0xff alone": lambda: b"\xff\xd8" + b"\xff" * 2_000_000,
    "jpeg with a segment beyond the file": lambda: jpeg_segments(b"\xff\xe5\xff\xff"),
    "png cut in the header": lambda: encode("PNG")[:20],
    "png cut in the pixels": lambda: (d := encode("PNG"))[: len(d) // 2],
    "png without its end": lambda: encode("PNG")[:-12],
    "png with a wrong header checksum": lambda: patched(encode("PNG"), 29, b"\0\0\0\0"),
    "png with a wrong pixel checksum": lambda: (d := encode("PNG"))[:-16] + b"\0\0\0\0" + d[-12:],
    "png with a wrong adler": lambda: png(4, 4, zlib.compress(b"\0" * 52)[:-6] + b"\1\2\3\4\5\6"),
    "png of too few rows": lambda: png(64, 64, zlib.compress(b"\0" * 193 * 3)),
    "png, interlaced, of too few rows": lambda: png(64, 64, zlib.compress(b"\0" + b"\xff" * 24), interlaced=1),
    "png of width 0": lambda: png(0, 10, zlib.compress(b"")),
    "png bomb, declared": lambda: png(40000, 40000, zlib.compress(b"\0" * 10_000_000, 9)),
    "png bomb, 2^31 wide": lambda: png(2**31 - 1, 2**31 - 1, zlib.compress(b"\0" * 1000)),
    "png that declares 13000x13000 in 100 bytes": lambda: png(13000, 13000, zlib.compress(b"\0" * 1000)),
    "png text bomb": lambda: png(4, 4, zlib.compress(b"\0" * 52), chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 90_000_000, 9))),
    "png without pixels": lambda: b"\x89PNG\r\n\x1a\n" + encode("PNG")[8:33] + chunk(b"IEND", b""),
    "png of an impossible color type": lambda: png(4, 4, zlib.compress(b"\0" * 52), color=5),
    "png with a million chunks": lambda: png(4, 4, zlib.compress(b"\0" * 52), chunk(b"tEXt", b"") * 1_000_000),
    "gif cut in the header": lambda: encode("GIF")[:11],
    "gif cut in the pixels": lambda: encode("GIF")[:-300],
    "gif that declares 65535x65535": lambda: gif_size(65535, 65535),
    "gif that declares 13000x13000": lambda: gif_size(13000, 13000),
    "gif without a frame": lambda: b"GIF89a\x10\0\x10\0\0\0\0;",
    "webp cut": lambda: encode("WEBP")[:-40],
    "webp lossless cut": lambda: encode("WEBP", lossless=True)[:60],
    "webp that declares 16383x16383": lambda: webp_canvas(16383, 16383),
    "webp that declares 2^24 wide": lambda: webp_canvas(1 << 24, 1 << 24),
    "webp of garbage": lambda: b"RIFF\x40\0\0\0WEBPVP8 " + b"\xaa" * 60,
    "tiff cut": lambda: encode("TIFF")[:200],
    "tiff compressed and cut": lambda: encode("TIFF", compression="tiff_lzw")[:-500],
    "tiff deflated and broken": lambda: patched(encode("TIFF", compression="tiff_adobe_deflate"), 20, b"\xff" * 40),
    "tiff that declares 2^31 wide": lambda: tiff(2**31 - 1, 2**31 - 1),
    "tiff that declares 13000x13000": lambda: tiff(13000, 13000),
    "tiff whose directory lies beyond the file": lambda: tiff(8, 8, offset=2**31),
    "tiff whose directory is its header": lambda: tiff(8, 8, offset=0),
    "tiff whose strip lies beyond the file": lambda: tiff(8, 8, counts=2**31),
    "bmp cut": lambda: encode("BMP")[:500],
    "bmp that declares 2^31 wide": lambda: bmp_size(2**31 - 1, 2**31 - 1),
    "bmp that declares 13000x13000": lambda: bmp_size(13000, 13000),
    "bmp of a negative width": lambda: bmp_size(-64, 48),
    "pgm that ends early": lambda: b"P5 64 64 255\n" + b"\0" * 100,
    "pgm of 2^62 pixels": lambda: b"P5 2147483647 2147483647 255\n\0",
    "pgm in text": lambda: b"P2 2 2 255\n1 2 3 4\n",
    "pgm of depth 1000": lambda: b"P5 2 2 1000\n" + b"\0" * 8,
    "avif of garbage": lambda: b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + b"\xaa" * 100,
    "text": lambda: b"this is not a picture\n",
    "html": lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "xml entity bomb": lambda: b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><svg>&c;</svg>',
    "pdf": lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj",
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(ls) run",
    "elf": lambda: b"\x7fELF\x02\x01\x01" + b"\0" * 60,
    "pickle": lambda: pickle.dumps({"pixels": [1, 2, 3]}, protocol=4),
    "zip bomb": zip_bomb,
    "gzip": lambda: b"\x1f\x8b\x08\0" + b"\0" * 40,
    "npy": lambda: (out := io.BytesIO(), np.save(out, scene()))[0].getvalue(),
    "git lfs pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "noise": lambda: np.random.default_rng(7).bytes(5000),
}  # fmt: skip


class Raising(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise RuntimeError("the disk is on fire")


class Endless(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        return b"\xff" * max(size, 1)


class BadPath:
    def __fspath__(self) -> str:
        raise RuntimeError("no path today")


def closed_file(folder: Path) -> Any:
    (folder / "a.png").write_bytes(encode("PNG"))
    file = open(folder / "a.png", "rb")  # noqa: SIM115
    file.close()
    return file


def closed_pil(folder: Path) -> Any:
    (folder / "b.png").write_bytes(encode("PNG"))
    picture = Image.open(folder / "b.png")
    picture.close()
    return picture


def truncated_pil(folder: Path) -> Any:
    return Image.open(io.BytesIO(encode("JPEG")[:-300]))


OBJECTS: dict[str, Callable[[Path], Any]] = {
    "None": lambda _: None,
    "an int": lambda _: 7,
    "a list": lambda _: [[1, 2, 3]],
    "a generator": lambda _: (x for x in b"abc"),
    "a set": lambda _: {1},
    "empty bytes": lambda _: b"",
    "empty memoryview": lambda _: memoryview(b""),
    "a closed file": closed_file,
    "a text file": lambda _: io.StringIO("text"),
    "a file that raises": lambda _: Raising(),
    "an endless file": lambda _: Endless(),
    "an empty file object": lambda _: io.BytesIO(),
    "a path object that raises": lambda _: BadPath(),
    "a PIL image whose file is closed": closed_pil,
    "a truncated PIL image": truncated_pil,
    "a PIL image without pixels": lambda _: Image.new("RGB", (0, 5)),
    "a PIL image of negative integers": lambda _: Image.new("I", (3, 3), -5),
    "a float PIL image beyond 1": lambda _: Image.new("F", (3, 3), 17.5),
    "array float 0..255": lambda _: scene().astype(np.float32),
    "array with NaN": lambda _: np.full((4, 4, 3), np.nan),
    "array with infinity": lambda _: np.full((4, 4, 3), np.inf, np.float32),
    "array below 0": lambda _: np.full((4, 4, 3), -0.5),
    "array int64": lambda _: scene().astype(np.int64),
    "array complex": lambda _: scene().astype(np.complex64),
    "array of objects": lambda _: scene().astype(object),
    "array of strings": lambda _: np.full((4, 4, 3), "a"),
    "array of dates": lambda _: np.zeros((4, 4, 3), "M8[s]"),
    "array channels first": lambda _: scene().transpose(2, 0, 1),
    "array batch": lambda _: scene()[None],
    "array 1-d": lambda _: np.zeros(9, np.uint8),
    "array 0-d": lambda _: np.array(3, np.uint8),
    "array of 2 channels": lambda _: np.zeros((4, 4, 2), np.uint8),
    "array of 0 rows": lambda _: np.zeros((0, 4, 3), np.uint8),
    "array of 0 columns float": lambda _: np.zeros((4, 0, 3)),
    "array above the pixel limit": lambda _: np.broadcast_to(np.zeros(3, np.uint8), (20_000, 20_000, 3)),
}  # fmt: skip

URLS = ["http://example.com/a.jpg", "https://example.com/a.jpg", "HTTPS://X.org", "ftp://h/a.png", "file:///etc/passwd", "file:/etc/passwd",
        "data:image/png;base64,iVBORw0KGgo=", "s3://bucket/a.jpg", "gs://bucket/a.jpg", Path("http://example.com/a.jpg")]  # fmt: skip


# --- the guard -----------------------------------------------------------------------------------------------------------------------------------


def guarded(source: Any) -> ImageError:
    """Load in a thread; return the ImageError, fail on anything else, on a hang and on slowness."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(image.load(source))
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    start = time.perf_counter()
    thread.start()
    thread.join(20)
    seconds = time.perf_counter() - start
    assert result, "load hangs"
    error = result[0]
    assert isinstance(error, ImageError), f"expected ImageError, got {error!r}"
    assert seconds < SECONDS, f"took {seconds:.2f} s"
    message = str(error)
    assert "\n" not in message
    assert 20 < len(message) < 600, message
    assert ";" in message or "expected" in message, f"says what is wrong, but not what to do: {message}"
    return error


@pytest.fixture(autouse=True)
def _silent(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", FILES)
def test_malformed_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name.replace('/', ' ')}.jpg"
    path.write_bytes(FILES[name]())
    assert path.name in str(guarded(path))


@pytest.mark.parametrize("name", FILES)
def test_malformed_bytes(name: str) -> None:
    data = FILES[name]()
    assert f"{len(data)} bytes" in str(guarded(data))


@pytest.mark.parametrize("name", OBJECTS)
def test_malformed_object(name: str, tmp_path: Path) -> None:
    assert image.describe(source := OBJECTS[name](tmp_path)) in str(guarded(source))


@pytest.mark.parametrize("url", URLS, ids=str)
def test_urls_are_refused(url: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("touched the network"))
    assert "never fetches" in str(guarded(url))


def test_bombs_name_the_limit() -> None:
    assert "40000x40000 pixels, the limit is" in str(guarded(FILES["png bomb, declared"]()))
    assert "cannot hold" in str(guarded(FILES["jpeg that declares 12000x12000 in 2 kB"]()))
    assert "an HTML page" in str(guarded(FILES["html"]()))
    assert "checksum of chunk 'IDAT'" in str(guarded(FILES["png with a wrong pixel checksum"]()))


# --- paths ---------------------------------------------------------------------------------------------------------------------------------------


def test_missing_paths(tmp_path: Path) -> None:
    assert "does not exist" in str(guarded(tmp_path / "nothing.jpg"))
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    assert "link to a file that does not exist" in str(guarded(tmp_path / "dangling.jpg"))
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert "loop.jpg" in str(guarded(tmp_path / "loop.jpg"))
    (tmp_path / "a.jpg").write_bytes(encode("JPEG"))
    assert "a.jpg/b.jpg" in str(guarded(tmp_path / "a.jpg" / "b.jpg"))


@pytest.mark.parametrize("path", ["", "with\0nul.jpg", "x" * 5000 + ".jpg", "a/" * 3000, "얼굴" * 2000, "\udcff\udcfe.jpg", " ", "~/no.jpg", "*.jpg"])
def test_strange_paths(path: str) -> None:
    guarded(path)


def test_not_a_file(tmp_path: Path) -> None:
    assert "is a folder" in str(guarded(tmp_path))
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes, sockets and devices here")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "is a pipe" in str(guarded(tmp_path / "pipe.jpg"))
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    assert "is a pipe" in str(guarded(tmp_path / "link.jpg"))
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.socket(socket.AF_UNIX) as server:  # socket paths are limited to 108 bytes
        server.bind(f"{short}/s.jpg")
        assert "is a socket" in str(guarded(f"{short}/s.jpg"))
    for device in ("/dev/zero", "/dev/null", "/dev/tty"):
        if Path(device).exists():
            assert "is a device" in str(guarded(device))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX rights")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(encode("JPEG"))
    path.chmod(0)
    if os.geteuid() != 0:
        assert "no permission to read" in str(guarded(path))
        return
    # root may read everything: ask a child that has given its rights up
    script = """
        import os, sys
        from faceworks import image
        from faceworks.errors import ImageError
        import numpy  # before the rights are gone
        os.chdir("/")
        os.setgid(65534); os.setuid(65534)
        try:
            image.load(sys.argv[1])
        except ImageError as error:
            assert "no permission to read" in str(error), error
            sys.exit(42)
    """
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path(tempfile.gettempdir()) and Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o011)
    home = {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": "/nonexistent", "PATH": os.environ.get("PATH", "")}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(path)], capture_output=True, text=True, env=home, timeout=60)
    if done.returncode != 42 and "Permission" in done.stderr and "ImageError" not in done.stderr:
        pytest.skip(f"an unprivileged child cannot run here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 42, done.stderr


# --- limits --------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_pixel_limit_comes_before_decoding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(kind)
    assert image.load(data, max_pixels=64 * 48).shape == (48, 64, 3)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr("cv2.imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=r"64x48 pixels, the limit is 3071"):
        image.load(data, max_pixels=64 * 48 - 1)


def test_byte_limit(tmp_path: Path) -> None:
    data = encode("PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for source in (path, data, memoryview(data), io.BytesIO(data)):
        with pytest.raises(ImageError, match=f"{len(data) - 1}"):
            image.load(source, max_bytes=len(data) - 1)
    with faceworks_settings.use(max_image_bytes=10), pytest.raises(ImageError, match="limit is 10"):
        image.load(path)
    with faceworks_settings.use(max_image_pixels=10), pytest.raises(ImageError, match="limit is 10"):
        image.load(path)


def test_host_settings_of_pillow_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our limits decide, whatever the host program did to Pillow; and we leave Pillow as it was."""
    data = encode("PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    assert image.load(data).shape == (48, 64, 3)
    assert Image.MAX_IMAGE_PIXELS == 10
    for name in ("jpeg cut in the middle", "png cut in the pixels", "progressive jpeg cut", "webp cut"):
        guarded(FILES[name]())


# --- broken EXIF: the picture is good, so it is read, upright ----------------------------------------------------------------------------------


def exif(value: bytes = b"\x06\0\0\0", kind: int = 3, count: int = 1, tag: int = 0x0112, entries: int = 1, offset: int = 8) -> bytes:
    return b"Exif\0\0II*\0" + struct.pack("<IH", offset, entries) + struct.pack("<HHI", tag, kind, count) + value + b"\0" * 4


BROKEN_EXIF = {
    "orientation 9": exif(b"\x09\0\0\0"),
    "orientation 0": exif(b"\0\0\0\0"),
    "orientation as text": exif(b"6\0\0\0", kind=2),
    "orientation as a fraction": exif(b"\xff\xff\xff\xff", kind=5),
    "orientation of unknown type": exif(kind=999),
    "offset beyond the block": exif(offset=2**31),
    "65535 entries": exif(tag=1, entries=65535),
    "no byte order": b"Exif\0\0XX*\0\x08\0\0\0",
    "cut": exif()[:15],
    "empty": b"Exif\0\0",
    "noise": b"Exif\0\0" + bytes(range(256)) * 20,
    "giant": exif(b"\x09\0\0\0") + b"\xaa" * 65_000,
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_EXIF)
def test_broken_exif_counts_as_upright(name: str) -> None:
    block = BROKEN_EXIF[name]
    data = jpeg_segments(b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block)
    assert np.array_equal(image.load(data), image.load(encode("JPEG")))
    good = encode("PNG")
    assert np.array_equal(image.load(good[:33] + chunk(b"eXIf", block[6:]) + good[33:]), scene())


# --- mutations -----------------------------------------------------------------------------------------------------------------------------------

SEEDS = {
    "jpeg": encode("JPEG"),
    "progressive": encode("JPEG", progressive=True),
    "cmyk": encode("JPEG", mode="CMYK"),
    "png": encode("PNG"),
    "palette": encode("PNG", mode="P"),
    "webp": encode("WEBP"),
    "lossless": encode("WEBP", lossless=True),
    "gif": encode("GIF"),
    "tiff": encode("TIFF", compression="tiff_lzw"),
    "bmp": encode("BMP"),
    "pgm": encode("PPM", mode="L"),
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutations_raise_nothing_else(kind: str, data: st.DataObject) -> None:
    seed = bytearray(SEEDS[kind])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(seed) - 1), st.integers(0, 255)), max_size=12)):
        seed[at] = value
    if data.draw(st.booleans()):
        del seed[data.draw(st.integers(0, len(seed))) :]
    try:
        pixels = image.load(bytes(seed), max_pixels=4_000_000)
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
