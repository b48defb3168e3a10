"""Unpacking an uploaded zip: only plain files, only inside, and no more than was allowed, whatever its directory says."""

from __future__ import annotations

import errno
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from .options import ServerOptions

__all__ = ["unpack", "unpacked"]

MOST_FILES, RATIO, PIECE = 200_000, 200, 1 << 20
DEEPEST, LONGEST = 24, 1_000
"""Folders above a file, and bytes of its whole name: otherwise one name makes two thousand folders."""
LARGEST_DIRECTORY = 64 << 20
"""Bytes of the archive's list of its files, which is read into memory whole."""
SENDERS = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
"""What an archive's names may cause; anything else (a full disk) is no fault of the archive."""


def _inside(name: str) -> PurePosixPath:
    """A member's place below the folder.

    Raises:
        InputError: absolute, upward, with a drive, too deep or long, or with characters that a path cannot hold.
    """
    text = unicodedata.normalize("NFC", name.replace("\\", "/"))
    parts = PurePosixPath(text).parts
    if (
        not 0 < len(parts) <= DEEPEST
        or len(text.encode("utf-8", "surrogatepass")) > LONGEST
        or text.startswith("/")
        or any(part in ("..", ".") or ":" in part or not part.isprintable() or len(part.encode()) > 255 for part in parts)
    ):
        raise InputError(f"the archive holds the name {name[:120]!r}; names stay inside it")
    return PurePosixPath(*parts)


def _directory_size(archive: Path) -> int:
    """Bytes of the list of files, from the record at the archive's end (APPNOTE.TXT 4.3.14 to 4.3.16); 0 where there is no such record.

    `zipfile` makes an object of every entry before anybody can count them: a gigabyte of entries would take ten of memory.
    """
    with archive.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 65_557 - 20))
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) < at + 22:
            return 0
        if at >= 20 and tail[at - 20 : at - 16] == b"PK\6\7":  # zip64: the size stands in a record of its own
            file.seek(min(struct.unpack("<Q", tail[at - 12 : at - 4])[0], size))
            record = file.read(56)
            if len(record) == 56 and record.startswith(b"PK\6\6"):
                return int(struct.unpack("<Q", record[40:48])[0])
        return int(struct.unpack("<L", tail[at + 12 : at + 16])[0])


def unpack(archive: Path, folder: Path, limit: int) -> int:
    """Unpack a zip into a folder; how many files. At most `limit` bytes, counted while they are written.

    Raises:
        InputError: no zip, too much in it, a name that leads outside, a link, a name twice, an encrypted or damaged member.
        OSError: what is written cannot be kept, say on a full disk.
    """
    written, names = 0, set[str]()
    if (listed := _directory_size(archive)) > LARGEST_DIRECTORY:
        raise InputError(f"the archive's list of files has {listed} bytes, the limit is {LARGEST_DIRECTORY}")
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
    except InputError:
        raise
    except OSError as error:
        if error.errno not in SENDERS:
            raise
        raise InputError(f"the archive holds names that cannot stand side by side, or are too long: {error.strerror}") from error
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise InputError(f"the upload is no zip archive that can be unpacked: {error}") from error
    return len(names)


def unpacked(folder: Path, options: ServerOptions) -> Path:
    """The upload of a job's folder, unpacked below it; once, also where the job is begun again.

    Raises:
        InputError, OSError: see `unpack`.
    """
    inside, ready = folder / "in", folder / "unpacked"
    if not ready.exists():
        shutil.rmtree(inside, ignore_errors=True)
        inside.mkdir()
        unpack(folder / "upload", inside, 4 * options.max_upload)
        ready.touch()
    return inside
