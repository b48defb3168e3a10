"""insightface's training sets: `train.rec` (MXNet's RecordIO) with `train.idx`, read without MXNet.

A `.rec` is a row of records, each: magic 0xced7230a, a word whose upper 3 bits say whether the record is whole (0) or the first (1), a middle (2) or
the last (3) part of one that held the magic itself, and whose lower 29 bits are the length; the bytes, padded to a multiple of 4. A record's bytes are
a header (flag, label as float32, two 64-bit numbers; with flag > 0 so many float32 labels follow) and an encoded picture. `.idx` lists, a line each,
key and offset. insightface's record 0 holds two labels, (first key behind the pictures, last key): people lie between, and their labels are the key
ranges of their pictures; pictures are keys 1 to the first − 1. Sets without that record are read whole.

Checked against MXNet's own writer's layout (`python/mxnet/recordio.py`, `dmlc-core/include/dmlc/recordio.h`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from ..errors import ManifestError
from ..evaluate.labeled import LabeledPictures
from ..types import ImageArray

__all__ = ["MAGIC", "RecordPictures", "pack", "read_record", "read_recordio"]

MAGIC = 0xCED7230A
_HEADER = struct.Struct("<IfQQ")
_LENGTH = (1 << 29) - 1


def read_record(data: memoryview, offset: int, where: str) -> tuple[bytes, int]:
    """The bytes of the record at `offset`, its parts joined by the magic, and where the next begins.

    Raises:
        ManifestError: no record begins there, or the file ends within it.
    """
    parts: list[bytes] = []
    while True:
        if offset + 8 > len(data):
            raise ManifestError(f"{where}: ends within a record at byte {offset}")
        magic, word = struct.unpack_from("<II", data, offset)
        kind, length = word >> 29, word & _LENGTH
        if magic != MAGIC or kind not in ((2, 3) if parts else (0, 1)):
            raise ManifestError(f"{where}: no record begins at byte {offset}; the .idx belongs to another .rec, or it is damaged")
        if offset + 8 + length > len(data):
            raise ManifestError(f"{where}: ends within a record at byte {offset}")
        parts.append(bytes(data[offset + 8 : offset + 8 + length]))
        offset += 8 + -(-length // 4) * 4
        if kind in (0, 3):
            return struct.pack("<I", MAGIC).join(parts), offset


def split_header(record: bytes, where: str) -> tuple[tuple[float, ...], bytes]:
    """Labels and the encoded picture of a record."""
    if len(record) < _HEADER.size:
        raise ManifestError(f"{where}: a record of {len(record)} bytes has no header")
    flag, label, _, _ = _HEADER.unpack_from(record)
    end = _HEADER.size + 4 * flag
    if len(record) < end:
        raise ManifestError(f"{where}: a record of {len(record)} bytes cannot hold {flag} labels")
    return (struct.unpack_from(f"<{flag}f", record, _HEADER.size) if flag else (label,)), record[end:]


def pack(labels: Sequence[float], payload: bytes, key: int = 0) -> bytes:
    """One whole record with its header, as the format has it: what `read_record` reads. A payload that holds the magic at a multiple of 4 is split there."""
    flag = len(labels) if len(labels) != 1 else 0
    body = _HEADER.pack(flag, labels[0] if not flag else 0.0, key, 0) + (struct.pack(f"<{flag}f", *labels) if flag else b"") + payload
    magic, parts, start = struct.pack("<I", MAGIC), [], 0
    for place in range(0, len(body) - 3, 4):
        if body[place : place + 4] == magic:
            parts.append(body[start:place])
            start = place + 4
    parts.append(body[start:])
    kinds = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
    return b"".join(
        magic + struct.pack("<I", kind << 29 | len(part)) + part + b"\0" * (-len(part) % 4) for kind, part in zip(kinds, parts, strict=True)
    )


class RecordPictures(Sequence[bytes]):
    """The encoded pictures of a `.rec`, read from the disk when they are asked for."""

    def __init__(self, path: Path, offsets: Sequence[int]) -> None:
        self.path, self._offsets = path, np.asarray(offsets, np.int64)
        self._data = memoryview(np.memmap(path, np.uint8, "r"))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self._offsets)

    def labels(self, place: int) -> tuple[float, ...]:
        """Labels of a record."""
        return split_header(read_record(self._data, int(self._offsets[place]), self.path.name)[0], self.path.name)[0]

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        """The encoded picture (JPEG, as a rule) at a place."""
        if isinstance(place, slice):
            return [self[k] for k in range(*place.indices(len(self)))]
        return split_header(read_record(self._data, int(self._offsets[place]), self.path.name)[0], self.path.name)[1]


def read_recordio(path: str | Path) -> LabeledPictures:
    """A training set of insightface: `path` is `train` (or `train.rec`); `train.idx` lies beside it. The target is `person`.

    Raises:
        ManifestError: a file is not there or damaged; with what.
    """
    base = Path(path)
    base = base.with_suffix("") if base.suffix in (".rec", ".idx") else base
    record, index = base.with_name(base.name + ".rec"), base.with_name(base.name + ".idx")
    for item in (record, index):
        if not item.is_file() or not item.stat().st_size:
            raise ManifestError(f"{item} is not there, or empty; a RecordIO set is NAME.rec and NAME.idx")
    offsets: dict[int, int] = {}
    for line, text in enumerate(index.read_text(encoding="ascii", errors="replace").splitlines(), start=1):
        fields = text.split()
        if len(fields) != 2 or not all(part.isdecimal() for part in fields):
            raise ManifestError(f"{index}: expected 'key offset', got {text[:40]!r}", line)
        offsets[int(fields[0])] = int(fields[1])
    keys = sorted(offsets)
    first = RecordPictures(record, [offsets[keys[0]]])
    if keys[0] == 0 and len(first.labels(0)) == 2 and not first[0]:
        keys = [key for key in keys if 0 < key < int(first.labels(0)[0])]
    pictures = RecordPictures(record, [offsets[key] for key in keys])
    labels = np.array([int(pictures.labels(k)[0]) for k in range(len(keys))], np.int64)
    people, places = np.unique(labels, return_inverse=True)
    names = np.array([f"record-{key}" for key in keys], np.str_)
    sources: Sequence[Path | ImageArray] = pictures  # type: ignore[assignment]  # `image.load` takes encoded bytes as well
    return LabeledPictures(str(record), names, sources, {"person": places.astype(np.int64)}, {"person": tuple(map(str, people))})
