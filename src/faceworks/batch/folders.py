"""Files, folders and globs as a list of files."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NoReturn

from ..errors import InputError

__all__ = ["SUFFIXES", "expand"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif", ".pgm", ".ppm", ".pnm"})
"""What `expand` takes for a picture in a folder."""


def expand(sources: Iterable[str | Path], recursive: bool = True) -> list[Path]:
    """Files, folders and quoted globs as a list of files, in the order given; what one folder or glob holds is sorted.

    A file is taken as it is named. From folders (with `recursive`, theirs too; links to folders are not followed) and globs (`**` included) come
    the files whose suffix is in `SUFFIXES` and whose name starts with no dot.

    Raises:
        InputError: nothing of that name, no picture in it, or a folder that may not be read (a glob passes over such).
    """
    found: list[Path] = []
    for source in sources:
        path, text = Path(source), str(source)
        kind = _kind(path)
        if kind is not None and stat.S_ISDIR(kind):
            folders = os.walk(path, onerror=_closed) if recursive else islice(os.walk(path, onerror=_closed), 1)
            names = [Path(folder, name) for folder, _, files in folders for name in files]
        elif kind is not None:
            found.append(path)
            continue
        elif glob.has_magic(text):
            names = [Path(name) for name in glob.glob(text, recursive=True) if Path(name).is_file()]
        else:
            raise InputError(f"{text} does not exist; give a picture, a folder or a quoted glob")
        pictures = sorted(name for name in names if name.suffix.lower() in SUFFIXES and not name.name.startswith("."))
        if not pictures:
            raise InputError(f"no picture in {text}; looked for {' '.join(sorted(SUFFIXES))}")
        found += pictures
    return found


def _kind(path: Path) -> int | None:
    """The mode of what lies there, or None."""
    try:
        return path.stat().st_mode
    except PermissionError as error:
        _closed(error)
    except (OSError, ValueError):
        return None


def _closed(error: OSError) -> NoReturn:
    """A folder that may not be read is said: what lies in it would be missed without a word."""
    raise InputError(f"cannot look into {error.filename}: {error.strerror or error}; change its rights, or name pictures or a quoted glob") from error
