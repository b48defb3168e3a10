"""`faceworks.image`: every good format, orientation, colors against Pillow, arrays, saving, hashing, resampling."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, features

from faceworks import image
from faceworks.errors import ImageError, InputError, MissingDependency

SCENE = np.stack([*np.meshgrid(np.linspace(0, 255, 90), np.linspace(255, 0, 61)), np.full((61, 90), 90)], axis=-1).astype(np.uint8)
"""(61, 90, 3): smooth, so that JPEG changes it little, and different in every corner and channel."""


def encode(kind: str, picture: Image.Image | np.ndarray = SCENE, **options: Any) -> bytes:
    out = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(out, kind, **options)
    return out.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def assert_close(got: np.ndarray, want: np.ndarray, tolerance: int) -> None:
    assert got.shape == want.shape
    difference = np.abs(got.astype(int) - want)
    worst = np.unravel_index(difference.argmax(), difference.shape)
    assert difference.max() <= tolerance, f"worst at {worst}: {got[worst]} instead of {want[worst]}"


def assert_picture(pixels: np.ndarray) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.flags.c_contiguous
    assert not pixels.flags.writeable


# --- formats -------------------------------------------------------------------------------------------------------------------------------------

EXACT = {
    "png": lambda: encode("PNG"),
    "png interlaced source": lambda: encode("PNG", SCENE[:1, :1]),
    "png palette": lambda: encode("PNG", Image.fromarray(SCENE).quantize(200)),
    "png 1 bit": lambda: encode("PNG", Image.fromarray(SCENE).convert("1")),
    "png gray": lambda: encode("PNG", Image.fromarray(SCENE).convert("L")),
    "png all black": lambda: encode("PNG", np.zeros((40, 30, 3), np.uint8)),
    "png gray black": lambda: encode("PNG", Image.new("L", (31, 7))),
    "gif": lambda: encode("GIF", Image.fromarray(SCENE).quantize(200)),
    "webp lossless": lambda: encode("WEBP", lossless=True),
    "webp": lambda: encode("WEBP", quality=80),
    "tiff": lambda: encode("TIFF"),
    "tiff lzw": lambda: encode("TIFF", compression="tiff_lzw"),
    "tiff jpeg": lambda: encode("TIFF", compression="jpeg"),
    "tiff cmyk": lambda: encode("TIFF", Image.fromarray(SCENE).convert("CMYK")),
    "bmp": lambda: encode("BMP"),
    "bmp palette": lambda: encode("BMP", Image.fromarray(SCENE).quantize(16)),
    "ppm": lambda: encode("PPM"),
    "pgm": lambda: encode("PPM", Image.fromarray(SCENE).convert("L")),
    "jpeg": lambda: encode("JPEG", quality=90),
    "jpeg 4:4:4": lambda: encode("JPEG", quality=90, subsampling=0),
    "jpeg progressive": lambda: encode("JPEG", progressive=True),
    "jpeg gray": lambda: encode("JPEG", Image.fromarray(SCENE).convert("L")),
    "jpeg restart markers": lambda: encode("JPEG", restart_marker_blocks=3),
    "jpeg cmyk (Adobe, inverted)": lambda: encode("JPEG", Image.fromarray(SCENE).convert("CMYK")),
    "jpeg with a picture after it": lambda: encode("JPEG") + b"MotionPhoto" + encode("JPEG", SCENE[:9]),
    "jpeg rgb": lambda: encode("JPEG", keep_rgb=True),
}


@pytest.mark.parametrize("name", EXACT)
def test_formats_equal_pillow(name: str, tmp_path: Path) -> None:
    """Pillow's own reading is the reference; JPEG may differ by the rounding of another libjpeg build."""
    data = EXACT[name]()
    want = by_pillow(data)
    path = tmp_path / "picture with a wrong suffix.txt"
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), Image.open(io.BytesIO(data))):
        pixels = image.load(source)
        assert_picture(pixels)
        assert_close(pixels, want, 2 if name.startswith("jpeg") else 0)
    with open(path, "rb") as file:
        assert_close(image.load(file), want, 2)


def test_cmyk_has_the_right_colors() -> None:
    data = encode("JPEG", Image.fromarray(SCENE).convert("CMYK"), quality=95)
    assert_close(image.load(data), SCENE, 24)  # naive CMYK and back, through JPEG
    assert np.abs(image.load(data).astype(int) - SCENE).mean() < 4


def test_animations_give_the_first_frame() -> None:
    frames = [Image.fromarray(np.full((8, 9, 3), value, np.uint8)) for value in (200, 100, 0)]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        data = encode(kind, frames[0], save_all=True, append_images=frames[1:], **options)
        assert_close(image.load(data), np.full((8, 9, 3), 200), 0)


def test_interlaced_png() -> None:
    """Adam7 made by hand: an 8x8 gray picture whose pixel is 10 x + y."""
    import struct
    import zlib

    y, x = np.mgrid[:8, :8]
    pixels = (10 * x + y + 1).astype(np.uint8)
    raw = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        raw += b"".join(b"\0" + row.tobytes() for row in pixels[y0::dy, x0::dx])

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1))
    assert_close(image.load(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))[..., 0], pixels, 0)
    black = header + chunk(b"IDAT", zlib.compress(bytes(len(raw)))) + chunk(b"IEND", b"")
    assert image.load(b"\x89PNG\r\n\x1a\n" + black).max() == 0
    short = header + chunk(b"IDAT", zlib.compress(bytes(len(raw) - 1))) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="truncated or damaged PNG"):
        image.load(b"\x89PNG\r\n\x1a\n" + short)


def test_avif() -> None:
    if "avif" not in features.modules or not features.check("avif"):
        with pytest.raises(ImageError, match="AVIF"):
            image.load(b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + b"\xaa" * 100)
        pytest.skip("this Pillow reads no AVIF")
    data = encode("AVIF", quality=90)
    assert_close(image.load(data), by_pillow(data), 0)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100


def test_heic_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingDependency, match=r"pip install 'faceworks\[heic\]'"):
        image.load(HEIC)


def test_heic() -> None:
    heif = pytest.importorskip("pillow_heif", reason="extra heic is not installed")
    out = io.BytesIO()
    heif.from_pillow(Image.fromarray(SCENE)).save(out, quality=95)
    assert_close(image.load(out.getvalue()), SCENE, 24)
    with pytest.raises(ImageError, match="HEIC"):
        image.load(out.getvalue()[:-300])
    with pytest.raises(ImageError, match="HEIC"):
        image.load(HEIC)


# --- transparency and depth ----------------------------------------------------------------------------------------------------------------------


def test_alpha_is_composited_over_white() -> None:
    alpha = np.linspace(0, 255, 90).astype(np.uint8)[None, :].repeat(61, axis=0)
    rgba = np.dstack([SCENE, alpha])
    want = np.round(SCENE * (alpha[..., None] / 255) + 255 * (1 - alpha[..., None] / 255))
    for source in (encode("PNG", rgba), encode("TIFF", rgba), encode("WEBP", rgba, lossless=True, exact=True), Image.fromarray(rgba), rgba):
        assert_close(image.load(source), want, 1)
    assert np.array_equal(image.load(np.dstack([SCENE, np.full((61, 90), 255, np.uint8)])), SCENE)
    gray = image.load(encode("PNG", Image.fromarray(rgba).convert("LA")))
    assert (gray[:, 0] == 255).all()
    assert (gray[..., 0] == gray[..., 2]).all()


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
def test_transparent_color_is_white(mode: str) -> None:
    picture = Image.new(mode, (4, 3))
    transparency = (0, 0, 0) if mode == "RGB" else 0
    assert image.load(encode("PNG", picture, transparency=transparency)).min() == 255
    assert image.load(encode("PNG", picture)).max() == 0


def test_16_bit_is_scaled() -> None:
    values = np.array([[0, 127, 128, 257, 32768, 65407, 65535]], np.uint16)
    want = np.round(values / 257.0)[..., None].repeat(3, axis=2)
    picture, pgm = Image.fromarray(values), b"P5 7 1 65535\n" + values.astype(">u2").tobytes()
    for source in (encode("PNG", picture), encode("TIFF", picture), pgm, picture, values, values[..., None], values.astype(">u2")):
        assert_close(image.load(source), want, 0)
    deep = cv2.imencode(".png", SCENE[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    assert_close(image.load(deep), SCENE, 1)


# --- arrays --------------------------------------------------------------------------------------------------------------------------------------


def test_arrays() -> None:
    own = SCENE.copy()
    pixels = image.load(own)
    assert_picture(pixels)
    assert np.shares_memory(pixels, own)
    assert own.flags.writeable
    gray = SCENE[..., 0]
    for source in (gray, gray[..., None]):
        assert np.array_equal(image.load(source), np.dstack([gray] * 3))
    for dtype in (np.float16, np.float32, np.float64):
        assert_close(image.load((SCENE / 255).astype(dtype)), SCENE, 0)
    assert np.array_equal(image.load(gray > 100)[..., 1], (gray > 100) * 255)
    backward = image.load(SCENE[..., ::-1])
    assert_picture(backward)
    assert np.array_equal(backward, SCENE[..., ::-1])


def test_pil_images_are_not_changed() -> None:
    picture = Image.fromarray(SCENE)
    picture.info["exif"] = by_orientation(6)
    assert image.load(picture).shape == (90, 61, 3)
    assert picture.size == (90, 61)


# --- orientation ---------------------------------------------------------------------------------------------------------------------------------


def by_orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "progressive", "CMYK"])
@pytest.mark.parametrize("value", range(1, 9))
def test_exif_orientation(kind: str, value: int) -> None:
    """The stored picture is turned so that undoing `value` gives the scene; Pillow's exif_transpose agrees."""
    undo = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1], 5: lambda a: a.transpose(1, 0, 2),
            6: lambda a: np.rot90(a, 1), 7: lambda a: a[::-1, ::-1].transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1)}[value]  # fmt: skip
    stored = Image.fromarray(np.ascontiguousarray(undo(SCENE)))
    options: dict[str, Any] = {"progressive": {"progressive": True}, "WEBP": {"lossless": True}}.get(kind, {})
    if kind == "CMYK":
        stored = stored.convert("CMYK")
    if kind == "TIFF":
        options["tiffinfo"] = {0x0112: value}
    else:
        options["exif"] = by_orientation(value)
    data = encode({"progressive": "JPEG", "CMYK": "JPEG"}.get(kind, kind), stored, **options)
    assert_close(image.load(data), SCENE, 30 if kind == "CMYK" else 12 if kind in ("JPEG", "progressive") else 0)
    assert_close(image.load(data), by_pillow(data), 2)
    assert_close(image.load(Image.open(io.BytesIO(data))), SCENE, 30)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(("kind", "width"), [(1, 1), (3, 2), (4, 4)])
def test_exif_byte_orders_and_types(order: Any, kind: int, width: int) -> None:
    number = lambda value, size: value.to_bytes(size, order)  # noqa: E731
    other = number(0x010F, 2) + number(2, 2) + number(4, 4) + b"abc\0"
    entry = number(0x0112, 2) + number(kind, 2) + number(1, 4) + number(6, width).ljust(4, b"\0")
    block = b"Exif\0\0" + (b"II*\0" if order == "little" else b"MM\0*") + number(8, 4) + number(2, 2) + other + entry + bytes(4)
    assert_close(image.load(encode("JPEG", np.rot90(SCENE).copy(), exif=block)), SCENE, 12)


# --- paths, threads, imports -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_non_ascii_paths(form: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = tmp_path / unicodedata.normalize(form, "사진") / unicodedata.normalize("NFC", "얼굴 é 😀.png")
    stored.parent.mkdir()
    image.save(stored, SCENE)
    assert np.array_equal(image.load(stored), SCENE)
    monkeypatch.chdir(tmp_path)
    for asked in ("NFC", "NFD"):  # a list written elsewhere spells the same name otherwise
        name = unicodedata.normalize(asked, str(stored.relative_to(tmp_path)))
        assert np.array_equal(image.load(name), SCENE)
        assert np.array_equal(image.load(tmp_path / name), SCENE)
    with pytest.raises(ImageError, match="얼굴"):
        image.load(unicodedata.normalize("NFC", "사진/다른 얼굴.png"))


def test_threads_agree() -> None:
    sources = [make() for make in EXACT.values()] * 6
    want = [image.load(data) for data in sources]
    gate = threading.Barrier(8)

    def work(offset: int) -> bool:
        gate.wait()
        order = sources[offset:] + sources[:offset]
        expected = want[offset:] + want[:offset]
        return all(np.array_equal(image.load(data), pixels) for data, pixels in zip(order, expected, strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_import_is_light() -> None:
    code = "import sys, faceworks.image; print([name for name in ('cv2', 'PIL', 'onnxruntime', 'onnx') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout.strip() == "[]"


# --- saving and hashing ----------------------------------------------------------------------------------------------------------------------------


def test_save(tmp_path: Path) -> None:
    for suffix, tolerance in ((".png", 0), (".PNG", 0), (".jpg", 4), (".jpeg", 4), (".webp", 12)):
        path = tmp_path / f"얼굴{suffix}"
        image.save(path, SCENE)
        image.save(str(path), SCENE)  # again, over itself
        assert_close(image.load(path), SCENE, tolerance)
        path.unlink()
    image.save(tmp_path / "low.jpg", SCENE, quality=20)
    image.save(tmp_path / "high.jpg", SCENE)
    assert (tmp_path / "low.jpg").stat().st_size < (tmp_path / "high.jpg").stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["high.jpg", "low.jpg"]


def test_save_errors(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_bytes(b"")
    cases = {"a.bmp": "use .png", "a": "unknown suffix ''", "no/a.png": "No such file", "folder.png": "directory", "file/a.png": "Not a"}
    for name, message in cases.items():
        with pytest.raises(ImageError, match=message) as caught:
            image.save(tmp_path / name, SCENE)
        assert name in str(caught.value)
    with pytest.raises(ImageError, match="cannot write"):
        image.save(tmp_path / "wide.webp", np.zeros((1, 20000, 3), np.uint8))
    with pytest.raises(ImageError, match="float64"):
        image.save(tmp_path / "a.png", SCENE * 1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image.save(tmp_path / "a.png", SCENE)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(ImageError, match="disk full"):
        image.save(tmp_path / "a.png", SCENE[::-1].copy())
    assert np.array_equal(image.load(tmp_path / "a.png"), SCENE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_content_hash(tmp_path: Path) -> None:
    data = encode("PNG")
    (tmp_path / "a.png").write_bytes(data)
    want = hashlib.sha256(data).hexdigest()
    stream = io.BytesIO(data)
    assert {image.content_hash(source) for source in (tmp_path / "a.png", str(tmp_path / "a.png"), data, bytearray(data), stream)} == {want}
    assert np.array_equal(image.load(stream), SCENE)  # put back
    pixels = image.content_hash(SCENE)
    assert pixels == image.content_hash(Image.fromarray(SCENE)) != want
    assert pixels == hashlib.sha256(b"RGB 61x90:" + SCENE.tobytes()).hexdigest()
    assert pixels != image.content_hash(SCENE.reshape(90, 61, 3))
    with pytest.raises(ImageError, match="does not exist"):
        image.content_hash(tmp_path / "b.png")


# --- resampling ----------------------------------------------------------------------------------------------------------------------------------


def test_warp_maps_pixel_centers() -> None:
    """One bright pixel at (7, 5), moved by (+3, −2), stands at (10, 3) exactly; a half-pixel shift spreads it over two."""
    dot = np.zeros((20, 30, 3), np.uint8)
    dot[5, 7] = 200
    moved = image.warp(dot, [[1, 0, 3], [0, 1, -2]], (20, 30))
    assert moved[3, 10].tolist() == [200] * 3
    assert moved.sum() == 600
    half = image.warp(dot, [[1, 0, 0.5], [0, 1, 0]], (20, 30))
    assert half[5, 7:9, 0].tolist() == [100, 100]


def bilinear(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int], replicate: bool) -> np.ndarray:
    """The definition, in float64: target pixel p shows the source at matrix⁻¹ p."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[: size[0], : size[1]]
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    u, v, _ = np.tensordot(inverse, np.stack([x, y, np.ones_like(x)]), axes=1)
    u0, v0 = np.floor(u).astype(int), np.floor(v).astype(int)
    out = np.zeros((*size, 3))
    for j in (0, 1):
        for i in (0, 1):
            weight = (1 - abs(u - u0 - i)) * (1 - abs(v - v0 - j))
            inside = (u0 + i >= 0) & (u0 + i < width) & (v0 + j >= 0) & (v0 + j < height)
            value = picture[np.clip(v0 + j, 0, height - 1), np.clip(u0 + i, 0, width - 1)].astype(float)
            out += (weight * (inside | replicate))[..., None] * value
    return out


@pytest.mark.parametrize("border", ["black", "replicate"])
@pytest.mark.parametrize("angle", [0, 17, 90, -135])
def test_warp_is_bilinear(border: str, angle: int) -> None:
    c, s = 1.3 * np.cos(np.radians(angle)), 1.3 * np.sin(np.radians(angle))
    matrix = np.array([[c, -s, 20.25], [s, c, 11.5]])
    got = image.warp(SCENE, matrix, (70, 80), border=border)
    assert_close(got, bilinear(SCENE, matrix, (70, 80), border == "replicate"), 9)  # OpenCV 4 rounds positions to 1/32 pixel
    assert np.abs(got - bilinear(SCENE, matrix, (70, 80), border == "replicate")).mean() < 0.7


@pytest.mark.parametrize("border", ["black", "replicate"])
@pytest.mark.parametrize("turned", [False, True])
def test_warp_of_a_huge_picture(border: str, turned: bool) -> None:
    """40000 x 50 pixels: more than OpenCV 4 warps. Cuts from it, beside it, and the whole of it made small."""
    x = np.arange(40000)
    wide = np.repeat(np.stack([x % 251, x // 160, 255 - x // 160], axis=-1).astype(np.uint8)[None], 50, axis=0)
    picture = np.ascontiguousarray(wide.transpose(1, 0, 2)) if turned else wide
    cuts = {"cut": [[1, 0, -35000.5], [0, 1, 3]], "beside": [[1, 0, 200], [0, 1, 0]], "far": [[1, 0, 90000], [0, 1, 0]],
            "whole": [[0.01, 0, 0], [0, 1, 0]], "steep": [[0.002, 0, 1], [0.0001, 0.5, 2]]}  # fmt: skip
    for name, rows in cuts.items():
        matrix = np.array(rows, float)
        if turned:
            matrix = np.array([[0, 1, 0], [1, 0, 0]]) @ np.vstack([matrix, [0, 0, 1]]) @ np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
        got = image.warp(picture, matrix, (60, 400), border=border).astype(int)
        want = bilinear(picture, matrix, (60, 400), border == "replicate")
        assert np.abs(got[..., 1:] - want[..., 1:]).max() <= 9, name
    assert image.warp(SCENE, np.eye(2, 3), (2, 40000), border=border)[0, :90].tolist() == SCENE[0].tolist()


def test_resize() -> None:
    assert image.resize(SCENE, (30, 45)).shape == (30, 45, 3)
    assert image.resize(SCENE, (122, 180)).shape == (122, 180, 3)
    assert image.resize(np.zeros((50, 40000, 3), np.uint8), (1, 640)).shape == (1, 640, 3)
    steps = np.repeat(np.array([0, 40, 80, 120], np.uint8)[None, :, None], 3, axis=2).repeat(2, axis=0)
    assert image.resize(steps, (1, 2))[0, :, 0].tolist() == [20, 100]  # area: the mean of what a target pixel covers
    assert image.resize(steps, (2, 8))[0, :, 0].tolist() == [0, 10, 30, 50, 70, 90, 110, 120]  # edges coincide: (x + 0.5) / 2 − 0.5
    assert image.resize(steps, (2, 8), "nearest")[0, :, 0].tolist() == [0, 0, 40, 40, 80, 80, 120, 120]


def test_resampling_errors() -> None:
    for matrix in (np.zeros((2, 3)), np.full((2, 3), np.nan), np.eye(3), [[1, 1, 0], [1, 1, 0]]):
        with pytest.raises(InputError, match="invertible"):
            image.warp(SCENE, matrix, (5, 5))
    with pytest.raises(InputError, match="unknown border 'mirror'; known"):
        image.warp(SCENE, np.eye(2, 3), (5, 5), border="mirror")
    with pytest.raises(InputError, match="unknown interpolation"):
        image.resize(SCENE, (5, 5), "lanczos")
    with pytest.raises(InputError, match=r"at least \(1, 1\)"):
        image.resize(SCENE, (0, 5))
