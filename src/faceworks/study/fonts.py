"""A font that has the letters of a text: Korean titles must not become boxes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable
from pathlib import Path

__all__ = ["CANDIDATES", "covering", "missing"]

CANDIDATES = (
    "NanumGothic", "NanumSquare", "NanumBarunGothic", "Noto Sans CJK KR", "Noto Sans KR", "Source Han Sans KR", "Apple SD Gothic Neo", "AppleGothic", "Malgun Gothic",
    "UnDotum", "Baekmuk Dotum", "Noto Sans CJK JP", "Noto Sans CJK SC", "DejaVu Sans",
)  # fmt: skip
"""Families that are asked in turn."""


@functools.lru_cache(maxsize=64)
def _letters(path: str) -> frozenset[int]:
    from matplotlib import ft2font

    return frozenset(ft2font.FT2Font(path).get_charmap())


def missing(text: Iterable[str], path: str) -> str:
    """The letters of a text that a font file lacks."""
    known = _letters(path)
    return "".join(sorted({letter for piece in text for letter in piece if ord(letter) not in known and not letter.isspace()}))


def _paths() -> dict[str, str]:
    """Family -> file of every upright font that matplotlib knows."""
    from matplotlib import font_manager

    return {entry.name: entry.fname for entry in reversed(font_manager.fontManager.ttflist) if entry.style == "normal"}


def _learn() -> None:
    """Show matplotlib the candidates among the system's fonts: its own list is made once, and lacks what was installed later."""
    from matplotlib import font_manager

    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    starts = tuple(name.replace(" ", "").lower() for name in CANDIDATES)
    for path in sorted(font_manager.findSystemFonts()):
        if path not in known and Path(path).stem.replace("-", "").lower().startswith(starts):
            with contextlib.suppress(OSError, RuntimeError, ValueError):  # a damaged font is no font
                font_manager.fontManager.addfont(path)


def covering(texts: Iterable[str]) -> tuple[list[str], str]:
    """Families to set, best first, and the letters that none of them has ("" where all is well)."""
    wanted = {letter for text in texts for letter in text if not letter.isspace()}
    paths = _paths()
    default = "DejaVu Sans"
    lacking = {letter for letter in wanted if ord(letter) not in _letters(paths[default])} if default in paths else wanted
    if not lacking:
        return [default], ""
    if not any(name in paths and not missing(["".join(lacking)], paths[name]) for name in CANDIDATES):
        _learn()
        paths = _paths()
    for name in CANDIDATES:
        if name in paths and not missing(["".join(lacking)], paths[name]):
            return [default, name], ""
    chosen = [name for name in CANDIDATES if name in paths]
    left = lacking
    for name in chosen:
        left = {letter for letter in left if ord(letter) not in _letters(paths[name])}
    return [default, *[name for name in chosen if name != default]], "".join(sorted(left))
