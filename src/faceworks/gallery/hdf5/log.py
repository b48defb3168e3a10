"""The append-only log beside a gallery: what was committed since the base file was written.

    file    = header record*
    header  = "fwLOG\\r\\n\\x01" (8)  uuid (16)  generation u64  CRC-32C of these 32 bytes u32                                  36 bytes
    record  = "fwTX" (4)  number u64  length u64  CRC-32C of the payload u32  CRC-32C of these 24 bytes u32  payload          28 bytes + payload

The header is written with the file, under another name, and synced before the file gets its own: so a log always has a whole one, and a damaged
one is damage. A record counts when all of it is there. After the last whole record may lie a torn one, of a writer that was killed: readers
ignore it, the next writer cuts it off. A whole record *behind* a broken one can only mean that something acknowledged was damaged.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import GalleryCorrupt
from ..crc32c import crc32c
from ..files import Files

__all__ = ["HEADER", "RECORD", "Log", "create"]

MAGIC, MARK = b"fwLOG\r\n\x01", b"fwTX"
HEADER, RECORD = 36, 28


def header_bytes(uuid: bytes, generation: int) -> bytes:
    """The first 36 bytes of a log."""
    text = MAGIC + uuid + struct.pack("<Q", generation)
    return text + struct.pack("<I", crc32c(text))


def create(files: Files, path: Path, uuid: bytes, generation: int) -> None:
    """Put an empty log in the place of the old one, atomically."""
    with files.replacing(path) as file:
        _write(file, [header_bytes(uuid, generation)])


def _write(file: Any, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        rest = memoryview(piece)
        while len(rest):
            rest = rest[file.write(rest[: 1 << 30]) :]


@dataclass
class Log:
    """A log as far as it was read. Header and records come from one opened file: when a compaction puts another in its place, this one stays what it was.

    Attributes:
        path: the file. uuid: of its gallery. generation: of the base that it continues, −1 = there is no log.
        inode: identity of the file. end: behind the last whole record. number: of the next record.
    """

    path: Path
    uuid: bytes = b""
    generation: int = -1
    inode: int = 0
    end: int = HEADER
    number: int = 0
    _file: Any = None
    _last: tuple[int, bytes] = (0, b"")

    @classmethod
    def look(cls, path: Path) -> Log:
        """Open a log and read its header.

        Raises:
            GalleryCorrupt: a damaged header, or another kind of file.
        """
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            return cls(path)
        try:
            head = file.read(HEADER)
            inode = os.fstat(file.fileno()).st_ino
            if len(head) < HEADER and (MAGIC + bytes(HEADER)).startswith(head[: len(MAGIC)]):
                file.close()
                return cls(path, inode=inode)  # cut off inside its header: it holds no transaction
            text, (checksum,) = head[:-4], struct.unpack("<I", head[-4:].ljust(4, b"\0"))
            if not head.startswith(MAGIC) or crc32c(text) != checksum:
                raise GalleryCorrupt(
                    f"{path} is no gallery log, or its header is damaged; restore it from a backup, or move it away to lose what it holds"
                )
        except BaseException:
            file.close()
            raise
        return cls(path, text[8:24], struct.unpack("<Q", text[24:32])[0], inode, _file=file, _last=(0, head[:RECORD]))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def read(self) -> Iterator[memoryview]:
        """Payloads of the whole records behind `end`; moves `end` on.

        Raises:
            GalleryCorrupt: a broken record that has whole ones behind it, or what was read before is not there any more.
        """
        if self._file is None:
            return
        place, head = self._last
        self._file.seek(place)
        if self._file.read(len(head)) != head:
            raise GalleryCorrupt(f"{self.path}: the record at byte {place} was changed after it was read; restore a backup")
        self._file.seek(self.end)
        data, at = memoryview(self._file.read()), 0
        while (size := _whole(data, at, self.number)) is not None:
            payload = data[at + RECORD : at + RECORD + size]
            self._advance(bytes(data[at : at + RECORD]), size)
            at += RECORD + size
            yield payload
        place = at + 1
        while at < len(data) and (place := _find(data, place)) >= 0:
            later = _head(data, place)
            if later is not None and later[0] > self.number and _whole(data, place, later[0]) is not None:
                raise GalleryCorrupt(f"{self.path}: the record at byte {self.end} is damaged and acknowledged ones follow it; restore a backup")
            place += 1

    def _advance(self, head: bytes, size: int) -> None:
        self._last = self.end, head
        self.end += RECORD + size
        self.number += 1

    def append(self, files: Files, pieces: Sequence[bytes]) -> None:
        """Write one record and wait until it is on the disk. What a killed writer left behind `end` is cut off first.

        Raises:
            OSError: nothing was added (or the file is cut back by the next writer).
        """
        length, checksum = sum(map(len, pieces)), 0
        for piece in pieces:
            checksum = crc32c(piece, checksum)
        text = MARK + struct.pack("<QQI", self.number, length, checksum)
        head = text + struct.pack("<I", crc32c(text))
        file = files.open(self.path, "r+b")
        try:
            file.seek(0, os.SEEK_END)
            if file.tell() != self.end:
                file.truncate(self.end)
            file.seek(self.end)
            try:
                _write(file, [head, *pieces])
                files.fsync(file)
            except OSError:
                file.truncate(self.end)
                raise
        finally:
            file.close()
        self._advance(head, length)

    @property
    def torn(self) -> int:
        """Bytes behind the last whole record."""
        return 0 if self._file is None else max(0, os.fstat(self._file.fileno()).st_size - self.end)


def _head(data: memoryview, at: int) -> tuple[int, int, int] | None:
    """Number, length and checksum of the record that begins at `at`."""
    text = bytes(data[at : at + RECORD])
    if len(text) < RECORD or not text.startswith(MARK) or crc32c(text[:-4]) != struct.unpack("<I", text[-4:])[0]:
        return None
    number, length, checksum = struct.unpack_from("<QQI", text, 4)
    return number, length, checksum


def _whole(data: memoryview, at: int, number: int) -> int | None:
    """Length of the payload of record `number` at `at`, None if it is not all there."""
    head = _head(data, at)
    if head is None or head[0] != number or at + RECORD + head[1] > len(data):
        return None
    return head[1] if crc32c(data[at + RECORD : at + RECORD + head[1]]) == head[2] else None


def _find(data: memoryview, start: int) -> int:
    """Next place where a record may begin."""
    step = 1 << 24
    for place in range(start, len(data), step):
        found = bytes(data[place : place + step + len(MARK) - 1]).find(MARK)
        if found >= 0:
            return place + found
    return -1
