"""`load`: any source to (H, W, 3) uint8 RGB."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import re
import stat
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import settings
from ..errors import ImageError
from ..optional import require
from ..types import ImageArray
from . import headers

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Source", "content_hash", "describe", "load", "reason_of"]

Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | NDArray[Any] | PIL.Image.Image"
"""What `load` takes."""

_PLUGINS = {"JPEG": "Jpeg", "PNG": "Png", "GIF": "Gif", "WebP": "WebP", "TIFF": "Tiff", "BMP": "Bmp", "PNM": "Ppm", "AVIF": "Avif"}
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+:/{1,2}[^/\\]|file:/|data:)", re.IGNORECASE)
_NO_FILE = "give the path of a picture file"


def describe(source: object) -> str:
    """How error messages name a source: one line, at most some 200 characters."""
    if isinstance(source, (str, os.PathLike)):
        try:
            name = os.fsdecode(source)
        except Exception:  # noqa: BLE001  a broken __fspath__: the name must not fail, reading will
            return f"a {type(source).__name__}"
        name = name if name.isprintable() and name else repr(name)
        return name if len(name) <= 200 else f"{name[:120]}…{name[-60:]}"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"a picture of {memoryview(source).nbytes} bytes"
    if isinstance(source, np.ndarray):
        return f"an array {source.shape} {source.dtype}"
    if hasattr(source, "read"):
        label = getattr(source, "name", "") if isinstance(source, io.IOBase) else getattr(source, "__dict__", {}).get("name")
        return f"file object {describe(label)}" if isinstance(label, str) and label else f"a file object ({type(source).__name__})"
    if _is_pil(source):
        return f"a PIL image {source.size} {source.mode}"  # type: ignore[attr-defined]
    return f"a {type(source).__name__}"


def _is_pil(source: object) -> bool:
    module = sys.modules.get("PIL.Image")  # a PIL image can exist only where Pillow is imported (another thread may be importing it just now)
    kind = getattr(module, "Image", None)
    return kind is not None and isinstance(source, kind)


def load(source: Source, *, max_bytes: int | None = None, max_pixels: int | None = None) -> ImageArray:
    """Read a picture.

    Args:
        source: path (Unicode-equivalent names are tried too), encoded bytes, binary file object (read from where it stands), PIL image, or NumPy
            array: (H, W, 3) uint8 **RGB** is returned as is, without a copy; (H, W), (H, W, 1) gray and (H, W, 4) RGBA, uint16 over its whole
            range, float in [0, 1] and bool are converted. OpenCV's BGR cannot be told apart: pass `bgr[..., ::-1]`.
        max_bytes: largest encoded size, default `settings.max_image_bytes`.
        max_pixels: largest width x height, default `settings.max_image_pixels`.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous, read-only.

    Raises:
        ImageError: what cannot be read, is truncated, contradicts itself or exceeds a limit.
        MissingDependency: a HEIC picture without the extra `heic`.
    """
    active = settings.current()
    max_bytes = active.max_image_bytes if max_bytes is None else max_bytes
    max_pixels = active.max_image_pixels if max_pixels is None else max_pixels
    name = describe(source)
    if isinstance(source, np.ndarray):
        pixels = _from_array(source, name, max_pixels)
    elif _is_pil(source):
        pixels = _from_pil(source, name, max_pixels)
    else:
        pixels = _decode(_encoded(source, name, max_bytes), name, max_pixels)
    view = np.ascontiguousarray(pixels).view()
    view.setflags(write=False)
    return view


def content_hash(source: Source, *, max_bytes: int | None = None) -> str:
    """SHA-256 of a picture: of the encoded bytes, or of shape and RGB pixels for arrays and PIL images. A seekable file object is put back."""
    if isinstance(source, np.ndarray) or _is_pil(source):
        pixels = load(source)
        return hashlib.sha256(f"RGB {pixels.shape[0]}x{pixels.shape[1]}:".encode() + pixels.tobytes()).hexdigest()
    start = None
    with contextlib.suppress(Exception):
        start = source.tell()  # type: ignore[union-attr]
    data = _encoded(source, describe(source), max_bytes or settings.current().max_image_bytes)
    if start is not None:
        with contextlib.suppress(Exception):
            source.seek(start)  # type: ignore[union-attr]
    return hashlib.sha256(data).hexdigest()


def _encoded(source: Any, name: str, max_bytes: int) -> bytes:
    if isinstance(source, (str, os.PathLike)):
        data = _read_file(source, name, max_bytes)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = source if memoryview(source).nbytes > max_bytes else bytes(source)  # type: ignore[assignment]
    elif callable(getattr(source, "read", None)):
        data = _read_object(source, name, max_bytes)
    else:
        raise ImageError(f"cannot read {name} as a picture; expected a path, bytes, a binary file object, a NumPy array or a PIL image")
    size = memoryview(data).nbytes
    if size > max_bytes:
        raise ImageError(f"{name} exceeds the limit of {max_bytes} bytes; shrink it, or raise max_image_bytes in the settings")
    if size == 0:
        raise ImageError(f"{name} is empty (0 bytes); expected {headers.READABLE}")
    return data


def _read_file(source: str | os.PathLike[str], name: str, max_bytes: int) -> bytes:
    try:
        path = os.fsdecode(source)
    except Exception as error:
        raise ImageError(f"{name} gives no path: {reason_of(error)}; {_NO_FILE}") from error
    if _URL.match(path):
        raise ImageError(f"{name} looks like a URL; faceworks never fetches pictures from the network: download it first, then {_NO_FILE}")
    if not path or "\0" in path:
        raise ImageError(f"{name} is no valid path; {_NO_FILE}")
    try:
        path = _existing(path)
        _require_regular(os.stat(path), name)  # before opening: opening a device can already act on it
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            _require_regular(status, name)
            if status.st_size > max_bytes:
                raise ImageError(f"{name} has {status.st_size} bytes, the limit is {max_bytes}; shrink it, or raise max_image_bytes in the settings")
            return file.read(max_bytes + 1)
    except FileNotFoundError as error:
        dangling = os.path.islink(path)
        raise ImageError(f"{name} " + ("is a link to a file that does not exist" if dangling else "does not exist") + "; check the path") from error
    except PermissionError as error:
        raise ImageError(f"no permission to read {name}; change its rights or run as a user who may") from error
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise (error if isinstance(error, ImageError) else ImageError(f"cannot read {name}: {reason}; {_NO_FILE}")) from error


def _existing(path: str) -> str:
    """`path`, or the name on disk that is equal under Unicode normalization (macOS writes 얼굴.jpg decomposed, a list made on Windows does not)."""
    if path.isascii() or os.path.lexists(path):
        return path
    built = Path(path).parts[0]
    for part in Path(path).parts[1:] if os.path.isabs(path) else Path(path).parts:
        base = "" if built == part and not os.path.isabs(path) else built
        forms = (part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part))
        built = next((os.path.join(base, form) for form in forms if os.path.lexists(os.path.join(base, form))), os.path.join(base, part))
    return built


def _require_regular(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
        kind = kinds.get(stat.S_IFMT(status.st_mode), "no regular file")
        raise ImageError(f"{name} is {kind}, not a picture file; {_NO_FILE}")


def _read_object(source: Any, name: str, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    try:
        while total <= max_bytes and (part := source.read(max_bytes + 1 - total)):
            parts.append(memoryview(part).tobytes())  # a text file object gives str: TypeError
            total += len(parts[-1])
    except Exception as error:
        hint = "open it in binary mode ('rb')" if isinstance(error, TypeError) else "pass a readable binary file, or its bytes"
        raise ImageError(f"reading from {name} failed: {reason_of(error)}; {hint}") from error
    return b"".join(parts)


def reason_of(error: BaseException) -> str:
    """What an exception says, in one line."""
    return " ".join(f"{error or type(error).__name__}".split())[:200]


def _decode(data: bytes, name: str, max_pixels: int) -> ImageArray:
    kind = headers.format_of(data)
    if not kind:
        raise headers.unreadable(data, name)
    if kind == "JPEG":
        simple, orientation = headers.scan_jpeg(data, name, max_pixels)
        if simple and (pixels := _decode_cv2(data)) is not None:
            return _upright(pixels, orientation)
    elif kind == "PNG":
        headers.scan_png(data, name, max_pixels)
    elif kind == "WebP":
        headers.scan_webp(data, name, max_pixels)
    elif kind == "PNM" and not re.match(rb"P5\s(?:\s*#.*\n)*\s*\d+\s+\d+\s+(?:255|65535)\s|P6\s(?:\s*#.*\n)*\s*\d+\s+\d+\s+255\s", data[:4096]):
        raise ImageError(f"{name} is a PNM picture of another depth than 255 (PGM also: 65535); save it as PNG")
    image = _open_pil(data, kind, name)
    try:
        return _from_pil(image, name, max_pixels, kind, data)
    finally:
        image.close()


def _decode_cv2(data: bytes) -> ImageArray | None:
    import cv2

    flags = getattr(cv2, "IMREAD_COLOR_RGB", cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels: ImageArray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    if pixels is not None and not hasattr(cv2, "IMREAD_COLOR_RGB"):
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
    return pixels


def _open_pil(data: bytes, kind: str, name: str) -> PIL.Image.Image:
    if kind == "HEIC":
        opener = require("pillow_heif", "heic", f"{name} is a HEIC picture; reading it").HeifImageFile
    else:
        try:
            opener = getattr(importlib.import_module(f"PIL.{_PLUGINS[kind]}ImagePlugin"), f"{_PLUGINS[kind]}ImageFile")
        except ImportError as error:
            raise ImageError(f"{name} is {kind}, which the installed Pillow cannot read; run: pip install -U pillow, or save it as PNG") from error
    try:
        image: PIL.Image.Image = opener(io.BytesIO(data), "")
    except Exception as error:
        raise headers.damaged(name, kind, reason_of(error)) from error
    return image


def _from_pil(image: Any, name: str, max_pixels: int, kind: str = "PIL", data: bytes = b"") -> ImageArray:
    width, height = image.size
    headers.check_size(width, height, name, max_pixels)
    try:
        image.load()
        if kind == "PNG" and not np.asarray(image)[-2:].any(axis=1 if image.mode in ("1", "L", "P", "I", "I;16") else (1, 2)).all():
            headers.require_full_png(data, name)  # Pillow leaves missing rows zero without a word (the last pass of an interlaced one: every second)
        pixels = _rgb(image, name)
        orientation = headers.orientation_of(image.info.get("exif"))
    except ImageError:
        raise
    except Exception as error:
        raise headers.damaged(name, kind, reason_of(error)) from error
    return _upright(pixels, orientation if kind != "TIFF" and getattr(image, "format", "") != "TIFF" else 1)  # Pillow turns TIFF itself


def _rgb(image: PIL.Image.Image, name: str) -> ImageArray:
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if image.mode == "I":  # 32 bit holder of 16 bit gray
            if values.min() < 0 or values.max() > 65535:
                raise ImageError(f"{name} holds 32-bit integers beyond 0..65535; scale it to 8 or 16 bit")
            values = values.astype(np.uint16)
        return _from_array(values, name, image.width * image.height)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        straight = image.convert("LA") if image.mode == "La" else image
        return _over_white(np.asarray(straight.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _over_white(rgba: ImageArray) -> ImageArray:
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    opacity = alpha.astype(np.uint16)
    return ((rgba[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def _upright(pixels: ImageArray, orientation: int) -> ImageArray:
    """Undo EXIF orientation 1 to 8 (TIFF 6.0, tag 274): where row 0 and column 0 are stored."""
    if orientation == 1:
        return pixels
    import cv2  # a strided copy by NumPy costs more than the decoding

    if orientation in (5, 7):
        turned = cv2.transpose(pixels)
        return np.asarray(turned if orientation == 5 else cv2.rotate(turned, cv2.ROTATE_180), dtype=np.uint8)
    if orientation in (2, 4):
        return np.asarray(cv2.flip(pixels, 1 if orientation == 2 else 0), dtype=np.uint8)
    turn = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}[orientation]
    return np.asarray(cv2.rotate(pixels, turn), dtype=np.uint8)


def _from_array(array: NDArray[Any], name: str, max_pixels: int) -> ImageArray:
    array = np.asarray(array)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(f"{name} is no picture; expected (H, W, 3) RGB, (H, W) or (H, W, 1) gray, or (H, W, 4) RGBA; transpose it, or pick one")
    headers.check_size(array.shape[1], array.shape[0], name, max_pixels)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # NaN fails too
            raise ImageError(f"{name} has values from {low} to {high}; float pictures lie in [0, 1]: divide by 255, or use .astype('uint8')")
        array = (array * 255 + 0.5).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(f"{name} is no picture; expected uint8 (or uint16, float in [0, 1], bool): convert it with .astype('uint8')")
    if array.ndim == 3 and array.shape[2] == 4:
        return _over_white(array)
    if array.ndim == 2 or array.shape[2] == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return array
