"""Unpacking an uploaded zip: only plain files, only inside, and no more than was allowed, whatever its directory says."""

from __future__ import annotations

import stat
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath

from ..errors import InputError

__all__ = ["unpack"]

MOST_FILES, RATIO, PIECE = 200_000, 200, 1 << 20


def _inside(name: str) -> PurePosixPath:
    """A member's place below the folder.

    Raises:
        InputError: absolute, upward, with a drive, or with characters that a path cannot hold.
    """
    text = unicodedata.normalize("NFC", name.replace("\\", "/"))
    parts = PurePosixPath(text).parts
    if (
        not parts
        or text.startswith("/")
        or any(part in ("..", ".") or ":" in part or not part.isprintable() or len(part.encode()) > 255 for part in parts)
    ):
        raise InputError(f"the archive holds the name {name[:120]!r}; names stay inside it")
    return PurePosixPath(*parts)


def unpack(archive: Path, folder: Path, limit: int) -> int:
    """Unpack a zip into a folder; how many files. At most `limit` bytes, counted while they are written.

    Raises:
        InputError: no zip, too much in it, a name that leads outside, a link, a name twice, an encrypted or damaged member.
    """
    written, names = 0, set[str]()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [item for item in opened.infolist() if not item.is_dir() and "__MACOSX/" not in item.filename]
            if len(members) > MOST_FILES:
                raise InputError(f"the archive holds {len(members)} files, the limit is {MOST_FILES}")
            allowed = min(limit, RATIO * archive.stat().st_size + PIECE)
            for item in members:
                place = _inside(item.filename)
                if stat.S_ISLNK(item.external_attr >> 16) or item.flag_bits & 1:
                    raise InputError(f"the archive holds a link or an encrypted file, {item.filename[:120]!r}")
                if str(place).casefold() in names:
                    raise InputError(f"the archive holds {item.filename[:120]!r} twice")
                names.add(str(place).casefold())
                target = folder.joinpath(*place.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(item) as source, target.open("xb") as file:
                    while piece := source.read(PIECE):
                        written += len(piece)
                        if written > allowed:
                            raise InputError(f"the archive unpacks to more than {allowed} bytes")
                        file.write(piece)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the upload is no zip archive that can be unpacked: {error}") from error
    return len(names)
