"""What the first bytes of a picture file say, read without decoding: format, size, completeness, orientation."""

from __future__ import annotations

import re
import zlib
from typing import Any

from ..errors import ImageError

__all__ = ["READABLE", "check_size", "damaged", "format_of", "orientation_of", "require_full_png", "scan_jpeg", "scan_png", "scan_webp", "unreadable"]

READABLE = "JPEG, PNG, WebP, GIF, TIFF, BMP, PGM/PPM, AVIF or HEIC"
_OTHERS = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"%!PS": "PostScript",
    b"<svg": "an SVG drawing",
    b"<?xml": "XML (an SVG drawing?)",
    b"<!doc": "an HTML page",
    b"<html": "an HTML page",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x93NUMPY": "a NumPy file (pass numpy.load(...) instead)",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer (run: git lfs pull)",
}
_SIGNATURES = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")


def format_of(data: bytes) -> str:
    """Format by signature, "" if none is known."""
    if data[4:8] == b"ftyp":
        brands = data[8 : 8 + min(int.from_bytes(data[:4], "big"), 256)]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        return "HEIC" if any(brand in brands for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")) else ""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if re.match(rb"P[56]\s", data):
        return "PNM"
    return next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), "")


def unreadable(data: bytes, name: str) -> ImageError:
    """The error for bytes of no picture format: it says what they are."""
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    found = next((what for mark, what in _OTHERS.items() if start.startswith(mark.lower())), f"unknown (it begins with {data[:8].hex(' ')})")
    return ImageError(f"{name} is not a picture that can be read: the content is {found}; expected {READABLE}")


def damaged(name: str, kind: str, what: str) -> ImageError:
    """The error for a picture of a known format whose bytes end early or contradict themselves."""
    return ImageError(f"{name} is a truncated or damaged {kind} picture: {what}; get a complete copy")


def check_size(width: int, height: int, name: str, max_pixels: int, capacity: float | None = None) -> None:
    """Refuse what is empty, above the limit, or larger than `capacity`, the most pixels that the bytes at hand can hold."""
    if width <= 0 or height <= 0:
        raise ImageError(f"{name} has no pixels ({width}x{height}); expected at least 1x1")
    if width * height > max_pixels:
        raise ImageError(f"{name} has {width}x{height} pixels, the limit is {max_pixels}; shrink it, or raise max_image_pixels in the settings")
    if capacity is not None and width * height > capacity:
        raise ImageError(f"{name} declares {width}x{height} pixels, which its few bytes cannot hold; get a complete copy")


def scan_jpeg(data: bytes, name: str, max_pixels: int) -> tuple[bool, int]:
    """Walk the markers of a JPEG: (whether OpenCV may decode it, EXIF orientation).

    OpenCV 4 decodes truncated files without a word, so completeness is proved here.
    """
    position, frame, orientation, scans = 2, None, 1, 0
    for _ in range(20_000):
        if (match := _JPEG_MARKER.search(data, position)) is None:
            raise damaged(name, "JPEG", "it ends before its end marker")
        code, position = match[1][0], match.end()
        if code == 0xD9:
            break
        if code in (0x01, 0xD8):  # without a body
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            raise damaged(name, "JPEG", "a segment is longer than the file")
        body = data[position + 2 : position + length] if code != 0xDA else b""
        position += length
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            if frame is not None or len(body) < 6:
                raise damaged(name, "JPEG", "its frame header is wrong")
            frame = (code, body[0], body[5])
            # Huffman coding spends at least one bit on every 8x8 block, two where direct and alternating values share a scan
            capacity = len(data) * 8 * 64 / (1 if code == 0xC2 else 2) if code <= 0xC2 else None
            check_size(int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big"), name, max_pixels, capacity)
        elif code == 0xE1 and orientation == 1 and body.startswith(b"Exif\0"):
            orientation = orientation_of(body)
        scans += code == 0xDA
    else:
        raise damaged(name, "JPEG", "it has more than 20000 segments")
    if frame is None or not scans:
        raise damaged(name, "JPEG", "it holds no picture")
    if scans > 64:  # real progressive files have about ten; each costs a pass over all coefficients
        raise damaged(name, "JPEG", f"it has {scans} scans")
    return frame[0] <= 0xC2 and frame[1] == 8 and frame[2] in (1, 3), orientation


def scan_png(data: bytes, name: str, max_pixels: int) -> None:
    """Walk the chunks of a PNG: complete, critical checksums right, and IDAT large enough (deflate gains at most 1032:1)."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise damaged(name, "PNG", "it has no header")
    width, height, bits = _png_frame(data)
    check_size(width, height, name, max_pixels, len(data) * 1032 * 8 / max(bits, 1))
    position, whole = 8, memoryview(data)
    for _ in range(200_000):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        end = position + 8 + length
        if end + 4 > len(data):
            raise damaged(name, "PNG", "it ends before its end marker")
        if not kind[0] & 0x20 and zlib.crc32(whole[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise damaged(name, "PNG", f"the checksum of chunk {kind.decode('latin-1')!r} is wrong")
        if kind == b"IEND":
            return
        position = end + 4
    raise damaged(name, "PNG", "it has more than 200000 chunks")


def require_full_png(data: bytes, name: str) -> None:
    """Refuse a PNG (that `scan_png` accepted) whose compressed pixels are fewer than its header declares."""
    width, height, bits = _png_frame(data)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)] if data[28] else [(0, 0, 1, 1)]
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]  # ISO/IEC 15948, 8.2: the seven passes of Adam7
    missing = sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)
    inflate, position = zlib.decompressobj(), 8
    while missing > 0 and not inflate.eof and position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        waiting = data[position + 8 : position + 8 + length] if data[position + 4 : position + 8] == b"IDAT" else b""
        while waiting and missing > 0:
            missing -= len(inflate.decompress(waiting, 1 << 20))
            waiting = inflate.unconsumed_tail
        position += 12 + length
    if missing > 0:
        raise damaged(name, "PNG", "its pixels end before its last row")


def _png_frame(data: bytes) -> tuple[int, int, int]:
    """Width, height and bits per pixel."""
    bits = data[24] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(data[25], 1)
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"), bits


def scan_webp(data: bytes, name: str, max_pixels: int) -> None:
    """Canvas size and declared length of a WebP: its decoder allocates when it is made."""
    number, kind = int.from_bytes, data[12:16]
    if number(data[4:8], "little") + 8 > len(data) or len(data) < 30:
        raise damaged(name, "WebP", "it is shorter than it says")
    if kind == b"VP8X":
        size = number(data[24:27], "little") + 1, number(data[27:30], "little") + 1
    elif kind == b"VP8L":
        packed = number(data[21:25], "little")
        size = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        size = number(data[26:28], "little") & 0x3FFF, number(data[28:30], "little") & 0x3FFF
    check_size(*size, name, max_pixels)


def orientation_of(exif: Any) -> int:
    """Tag 274 of an EXIF block, 1 where it is missing, broken or out of range."""
    block = exif[6:] if isinstance(exif, bytes) and exif.startswith(b"Exif\0") else exif
    order: Any = {b"II*\0": "little", b"MM\0*": "big"}.get(block[:4]) if isinstance(block, bytes) else None
    if order is None:
        return 1
    start = int.from_bytes(block[4:8], order)
    for index in range(int.from_bytes(block[start : start + 2], order)):
        entry = block[start + 2 + 12 * index : start + 14 + 12 * index]
        if len(entry) < 12:
            break
        if int.from_bytes(entry[:2], order) == 0x0112:
            width = {1: 1, 3: 2, 4: 4}.get(int.from_bytes(entry[2:4], order), 0)  # BYTE, SHORT, LONG
            value = int.from_bytes(entry[8 : 8 + width], order)
            return value if 1 <= value <= 8 else 1
    return 1
