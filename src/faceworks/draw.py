"""Pictures to look at: faces with boxes, points and labels; rows and sheets of pictures.

Line width and letters follow the size of the picture. Letters are drawn by Pillow: its own Latin font where that has all the characters, else the
first system font that has (`font=` names one). A character that no font here has is never drawn as an empty box: Hangul is romanized, accents are
dropped, the rest is written as U+XXXX, and a warning says so once.
"""

from __future__ import annotations

import bisect
import functools
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from . import image as pictures
from .errors import ConfigError, InputError
from .types import Face, ImageArray

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

__all__ = ["Color", "draw", "grid", "side_by_side", "text_tag"]

Color: TypeAlias = tuple[int, int, int]
"""Red, green, blue in 0..255."""

_SMALLEST = 11  # pixels: below this, letters cannot be told apart
_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts",
            "/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts", "C:/Windows/Fonts")  # fmt: skip
_PREFERRED = ("notosanscjk", "notosanskr", "nanumgothic", "nanumbarungothic", "malgun", "applesdgothic", "applegothic", "sourcehansans", "wqy",
              "droidsansfallback", "msyh", "msgothic", "hiragino", "pingfang", "arialunicode", "unifont", "dejavusans", "notosans-")  # fmt: skip


def draw(
    image: ImageArray,
    faces: Sequence[Face],
    labels: Sequence[str | None] | None = None,
    *,
    color: Color | Sequence[Color] = (0, 220, 110),
    landmarks: bool = True,
    font: str | None = None,
) -> ImageArray:
    """A new picture with the faces marked.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        faces: their boxes and, where they have them, landmarks.
        labels: one text (or None) for each face; a newline begins a new line. Labels stay inside the picture and off each other where there is
            room, and a text too wide for the picture is cut with "...".
        color: one for all, or one for each face.
        landmarks: whether to draw the points.
        font: font file (.ttf, .otf, .ttc) for the labels.

    Raises:
        InputError: as many labels or colors as faces were expected.
        ConfigError: `font` cannot be read.
    """
    import cv2

    out = np.array(pictures.load(image))
    height, width = out.shape[:2]
    if labels is not None and len(labels) != len(faces):
        raise InputError(f"draw needs one label for each face, got {len(labels)} labels for {len(faces)} faces; use None for no label")
    colors = [_color(item) for item in color] if len(color) and not isinstance(color[0], (int, np.integer)) else [_color(color)] * len(faces)
    if len(colors) != len(faces):
        raise InputError(f"draw needs one color, or one for each face, got {len(colors)} colors for {len(faces)} faces")
    line = max(1, round((height * width) ** 0.5 / 350))
    for face, ink in zip(faces, colors, strict=True):
        casing = _contrast(ink)  # a thin dark or light line around the colored one: seen on any ground
        if min(height, width) >= 100:
            _frame(out, face, line + 2, casing)
        _frame(out, face, line, ink)
        if landmarks and face.landmarks is not None:
            many = len(face.landmarks.points) > 20
            radius = max(0.8, min(line * 1.4, face.width / (140 if many else 30)))
            for x, y in face.landmarks.points:
                if -width <= x <= 2 * width and -height <= y <= 2 * height:
                    center = (_sixteenths(x, width), _sixteenths(y, height))
                    for grown, shade in ((radius + 1, casing), (radius, ink)) if not many else ((radius, ink),):
                        cv2.circle(out, center, round(grown * 16), shade, -1, cv2.LINE_AA, 4)
    taken: list[tuple[int, int, int, int]] = []
    for face, ink, text in zip(faces, colors, labels or [None] * len(faces), strict=True):
        if text:
            largest = max(_SMALLEST, (height * width) ** 0.5 * 0.026)
            size = round(min(max(face.width / 6, _SMALLEST), largest))
            tag = text_tag(text, size, ink, width, font)[:height]
            x, y = _place(face, tag.shape, (height, width), line + 1, taken)
            taken.append((x, y, x + tag.shape[1], y + tag.shape[0]))
            out[y : y + tag.shape[0], x : x + tag.shape[1]] = tag
    return out


def side_by_side(
    images: Sequence[ImageArray], captions: Sequence[str | None] | None = None, *, height: int | None = None, font: str | None = None
) -> ImageArray:
    """The pictures in one row at one height (default: the tallest's, at most 1080), each with its caption below, on white."""
    loaded = [pictures.load(item) for item in images]
    if not loaded:
        raise InputError("side_by_side needs at least one picture, got none")
    tall = height or min(1080, max(item.shape[0] for item in loaded))
    sizes = [(tall, max(1, round(item.shape[1] * tall / item.shape[0]))) for item in loaded]
    scaled = [item if item.shape[:2] == size else pictures.resize(item, size) for item, size in zip(loaded, sizes, strict=True)]
    return _sheet([scaled], captions, max(_SMALLEST, round(tall / 22)), font)


def grid(
    images: Sequence[ImageArray],
    captions: Sequence[str | None] | None = None,
    *,
    columns: int | None = None,
    cell: tuple[int, int] = (160, 160),
    font: str | None = None,
) -> ImageArray:
    """A contact sheet: every picture fitted into a cell of (height, width) without changing its proportions, with its caption below, on white.

    `columns` defaults to about a square sheet.
    """
    if not images:
        raise InputError("grid needs at least one picture, got none")
    columns = columns or int(np.ceil(len(images) ** 0.5))
    if columns < 1 or min(cell) < 1:
        raise InputError(f"grid needs at least one column and a cell of at least (1, 1), got {columns} and {cell}")
    cells = [_fitted(pictures.load(item), cell) for item in images]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return _sheet(rows, captions, max(_SMALLEST, round(min(cell) / 12)), font)


# --- geometry ------------------------------------------------------------------------------------------------------------------------------------


def _frame(out: ImageArray, face: Face, thickness: int, color: Color) -> None:
    """The box as four bars centered on its edges (sharp, where an antialiased line of OpenCV is a blur)."""
    height, width = out.shape[:2]
    left, top, right, bottom = np.clip(np.round(face.box), -(10**6), 10**6).astype(int) - thickness // 2
    for y1, y2, x1, x2 in (
        (top, top + thickness, left, right + thickness),
        (bottom, bottom + thickness, left, right + thickness),
        (top, bottom + thickness, left, left + thickness),
        (top, bottom + thickness, right, right + thickness),
    ):
        out[max(y1, 0) : min(max(y2, 0), height), max(x1, 0) : min(max(x2, 0), width)] = color


def _sixteenths(value: float, bound: int) -> int:
    """OpenCV's fixed-point coordinate (1/16 pixel, pixel centers). What lies far outside is brought nearer, so that it does not overflow."""
    return round(float(np.clip(value, -bound, 2 * bound)) * 16)


def _color(value: object) -> Color:
    parts = np.asarray(value)
    if parts.shape != (3,) or parts.dtype.kind not in "iu" or parts.min() < 0 or parts.max() > 255:
        raise InputError(f"a color is three integers in 0..255 (red, green, blue), got {value!r}")
    return int(parts[0]), int(parts[1]), int(parts[2])


def _contrast(color: Color) -> Color:
    """Black on light, white on dark (luma of ITU-R BT.601)."""
    return (0, 0, 0) if 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 110 else (255, 255, 255)


def _place(face: Face, shape: tuple[int, ...], size: tuple[int, int], gap: int, taken: Sequence[tuple[int, int, int, int]]) -> tuple[int, int]:
    """Upper left corner of a label: above the box, below it, or inside it, whichever covers least; moved into the picture."""
    tall, wide = shape[:2]
    x1, y1, x2, y2 = np.clip(np.round(face.box), -(10**6), 10**6).astype(int)
    above, below, left, right = y1 - gap - tall, y2 + gap + 1, x1 - gap, x2 + gap - wide
    places = [(left, above), (left, below), (right, above), (right, below), (x1 + gap, y1 + gap)]

    def cost(item: tuple[int, int]) -> float:
        x, y = int(np.clip(item[0], 0, size[1] - wide)), int(np.clip(item[1], 0, size[0] - tall))
        over: list[float] = [max(0, min(x + wide, c) - max(x, a)) * max(0, min(y + tall, d) - max(y, b)) for a, b, c, d in [*taken, (x1, y1, x2, y2)]]
        return float(4 * sum(over[:-1]) + over[-1] + 0.01 * (abs(x - item[0]) + abs(y - item[1])))

    x, y = min(places, key=cost)
    return int(np.clip(x, 0, size[1] - wide)), int(np.clip(y, 0, size[0] - tall))


def _fitted(image: ImageArray, cell: tuple[int, int]) -> ImageArray:
    scale = min(cell[0] / image.shape[0], cell[1] / image.shape[1])
    small = pictures.resize(image, (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))))[: cell[0], : cell[1]]
    out = np.full((*cell, 3), 255, np.uint8)
    y, x = (cell[0] - small.shape[0]) // 2, (cell[1] - small.shape[1]) // 2
    out[y : y + small.shape[0], x : x + small.shape[1]] = small
    return out


def _sheet(rows: Sequence[Sequence[ImageArray]], captions: Sequence[str | None] | None, size: int, font: str | None) -> ImageArray:
    count = sum(len(row) for row in rows)
    if captions is not None and len(captions) != count:
        raise InputError(f"a sheet needs one caption for each picture, got {len(captions)} captions for {count} pictures; use None for no caption")
    texts: Iterator[str | None] = iter(captions if captions is not None else [None] * count)
    gap = max(4, size // 2)
    bands: list[tuple[list[ImageArray], list[ImageArray | None]]] = []
    for row in rows:
        bands.append((list(row), [text_tag(text, size, (255, 255, 255), item.shape[1], font) if (text := next(texts)) else None for item in row]))
    heights = [max(item.shape[0] for item in row) + max([0, *(tag.shape[0] for tag in tags if tag is not None)]) for row, tags in bands]
    width = max(sum(item.shape[1] for item in row) + gap * (len(row) + 1) for row, _ in bands)
    out = np.full((sum(heights) + gap * (len(bands) + 1), width, 3), 255, np.uint8)
    y = gap
    for (row, tags), band in zip(bands, heights, strict=True):
        x, below = gap, y + max(item.shape[0] for item in row)
        for item, tag in zip(row, tags, strict=True):
            out[y : y + item.shape[0], x : x + item.shape[1]] = item
            if tag is not None:
                out[below : below + tag.shape[0], x : x + tag.shape[1]] = tag
            x += item.shape[1] + gap
        y += band + gap
    return out


# --- letters -------------------------------------------------------------------------------------------------------------------------------------


def text_tag(text: str, size: int, ground: Color, limit: int, font: str | None) -> ImageArray:
    """The text on a ground of its own, at most `limit` pixels wide."""
    from PIL import Image, ImageDraw

    written, face = _writable(" \n".join(" ".join(line.split()) for line in text.splitlines()), size, font)
    pad = max(2, size // 5)
    lines = [_cut(line, face, max(1, limit - 2 * pad)) for line in written.split("\n")]
    ascent, descent = face.getmetrics()
    wide = max(1, min(limit, 2 * pad + max(int(np.ceil(face.getlength(line))) for line in lines)))
    tag = Image.new("RGB", (wide, (ascent + descent) * len(lines) + pad), ground)
    pen = ImageDraw.Draw(tag)
    for index, line in enumerate(lines):
        pen.text((pad, pad // 2 + index * (ascent + descent)), line, fill=_contrast(ground), font=face)
    return np.asarray(tag)


def _cut(line: str, font: FreeTypeFont, limit: int) -> str:
    line = line.strip()[:1000]
    if font.getlength(line) <= limit:
        return line
    kept = bisect.bisect_right(range(1, len(line)), limit, key=lambda count: int(np.ceil(font.getlength(line[:count] + "..."))))
    return line[:kept] + "..." if kept else ""


def _writable(text: str, size: int, named: str | None) -> tuple[str, FreeTypeFont]:
    """The text as it can be written, and the font to write it with."""
    text = "".join(c for c in unicodedata.normalize("NFC", text) if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    needed = sorted({c for c in text if not c.isspace() and unicodedata.category(c) != "Mn"})
    candidates = [named] if named else ["", *(_system_fonts() if any(c > "~" for c in needed) else ())]
    best, missing = candidates[0], needed
    for candidate in candidates:
        absent = [c for c in needed if not _has(candidate, c)]
        if len(absent) < len(missing) or not absent:
            best, missing = candidate, absent
        if not absent:
            break
    if missing:
        _warn_once("".join(missing[:20]))
        text = "".join(_plain(c) if c in missing else c for c in text)
    return text, _font(best, size)


@functools.lru_cache(maxsize=64)
def _font(path: str, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    try:
        return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)  # type: ignore[return-value]
    except OSError as error:
        raise ConfigError(f"cannot read the font {path}: {error}; name a .ttf, .otf or .ttc file") from error


@functools.lru_cache(maxsize=20_000)
def _has(path: str, character: str) -> bool:
    """Whether the font has a glyph: one that is not empty and not the one it shows for U+FFFF, which no font has."""
    font = _font(path, 20)
    glyph, tofu = font.getmask(character), font.getmask("\uffff")
    return glyph.size != (0, 0) and bool(np.any(glyph)) and (glyph.size != tofu.size or bytes(glyph) != bytes(tofu))


@functools.lru_cache(maxsize=1)
def _system_fonts() -> tuple[str, ...]:
    """Font files of this machine that are likely to have more than Latin letters, best first."""
    found: list[tuple[int, bool, str]] = []
    for folder in _FOLDERS:
        for path in Path(folder).expanduser().rglob("*.[tToO][tT][fFcC]"):
            name = path.name.lower().replace(" ", "")
            rank = next((rank for rank, start in enumerate(_PREFERRED) if name.startswith(start)), None)
            if rank is not None and not any(style in name for style in ("italic", "oblique", "thin", "black", "mono", "condensed")):
                found.append((rank, "bold" in name, str(path)))
    return tuple(path for *_, path in sorted(found))


_warned: list[str] = []


def _warn_once(sample: str) -> None:
    if _warned:
        return
    _warned.append(sample)
    warnings.warn(
        f"no font here can draw {sample!r}: written in Latin letters or code points; install one that can (fonts-noto-cjk) or pass font=...",
        stacklevel=5,
    )


_INITIALS = ["g", "kk", "n", "d", "tt", "r", "m", "b", "pp", "s", "ss", "", "j", "jj", "ch", "k", "t", "p", "h"]
_VOWELS = ["a", "ae", "ya", "yae", "eo", "e", "yeo", "ye", "o", "wa", "wae", "oe", "yo", "u", "wo", "we", "wi", "yu", "eu", "ui", "i"]
_FINALS = ["", "k", "k", "k", "n", "n", "n", "t", "l", "k", "m", "p", "l", "l", "p", "l", "m", "p", "p", "t", "t", "ng", "t", "t", "k", "t", "p", "t"]


def _plain(character: str) -> str:
    """A character in ASCII: Hangul syllable by syllable (Revised Romanization, without assimilation), accents dropped, else its code point."""
    code = ord(character) - 0xAC00
    if 0 <= code < 11172:
        return _INITIALS[code // 588] + _VOWELS[code // 28 % 21] + _FINALS[code % 28]
    base = "".join(c for c in unicodedata.normalize("NFKD", character) if c.isascii() and c.isprintable())
    return base or f"U+{ord(character):04X}"
