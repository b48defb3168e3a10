"""A transaction as bytes: the length of a JSON header (u32), the header, then the columns one after another, little-endian, as `NUMBERS` says."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ...errors import GalleryCorrupt
from ..backend import NUMBERS, TEXTS, Binding, Change, Person, Samples

__all__ = ["Codec", "Plain", "pack", "person_of", "unpack"]


class Codec(Protocol):
    """How a gallery writes its transactions: plain, or sealed (`faceworks.gallery.sealing`)."""

    sealed: bool

    def begin(self) -> None:
        """Forget what earlier transactions taught: the gallery is read from its beginning."""

    def encode(self, change: Change) -> list[bytes]:
        """Pieces to be written one after another."""

    def decode(self, payload: memoryview) -> Change:
        """The contrary of `encode`.

        Raises:
            GalleryCorrupt: bytes that no encoder wrote.
        """


def pack(header: dict[str, Any], arrays: Sequence[bytes]) -> list[bytes]:
    """Header and arrays as pieces."""
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    return [struct.pack("<I", len(text)), text, *arrays]


def unpack(payload: memoryview) -> tuple[dict[str, Any], memoryview]:
    """Header and the bytes after it."""
    try:
        (size,) = struct.unpack_from("<I", payload)
        header = json.loads(bytes(payload[4 : 4 + size]))
    except (struct.error, ValueError) as error:
        raise GalleryCorrupt(f"a transaction has no readable header: {error}") from error
    if not isinstance(header, dict):
        raise GalleryCorrupt("a transaction's header is no JSON object")
    return header, payload[4 + size :]


def person_of(plain: dict[str, Any]) -> Person:
    """A person from its JSON."""
    return Person(
        str(plain["id"]), str(plain["name"]), dict(plain["metadata"]), int(plain["created"]), int(plain["removed"]), str(plain.get("token", ""))
    )


class Plain:
    """Transactions as they are."""

    sealed = False

    def begin(self) -> None:
        """There is nothing to forget."""

    def encode(self, change: Change) -> list[bytes]:
        """See `Codec.encode`."""
        gone = np.asarray(change.remove_samples, "<i8")
        header: dict[str, Any] = {
            "clear": change.clear,
            "binding": change.binding.to_json() if change.binding else None,
            "remove_people": list(change.remove_people),
            "remove_samples": len(gone),
            "people": [person.to_json() for person in change.people],
        }
        arrays = [gone.tobytes()]
        if (samples := change.samples) is not None and len(samples):
            header["samples"] = {"n": len(samples), "dim": samples.vectors.shape[1], "people": list(samples.people)}
            header["samples"] |= {name: list(getattr(samples, name)) for name in TEXTS if any(getattr(samples, name))}
            arrays += [np.ascontiguousarray(getattr(samples, name), np.dtype(kind)).tobytes() for name, (kind, _) in NUMBERS.items()]
            arrays.append(np.ascontiguousarray(samples.vectors, "<f4").tobytes())
        return pack(header, arrays)

    def decode(self, payload: memoryview) -> Change:
        """See `Codec.decode`."""
        header, rest = unpack(payload)
        try:
            count = header["remove_samples"]
            gone, at = np.frombuffer(rest, "<i8", count), 8 * count
            samples = None
            if "samples" in header:
                samples = _samples(header["samples"], rest[at:])
            binding = Binding.from_json(header["binding"]) if header["binding"] else None
            return Change(bool(header["clear"]), binding, header["remove_people"], gone, [person_of(item) for item in header["people"]], samples)
        except (KeyError, TypeError, ValueError) as error:
            raise GalleryCorrupt(f"a transaction does not hold what its header says: {error}") from error


def _samples(header: dict[str, Any], data: memoryview) -> Samples:
    n, dim, at = header["n"], header["dim"], 0
    columns: dict[str, Any] = {}
    for name, (kind, width) in {**NUMBERS, "vectors": ("<f4", dim)}.items():
        values = np.frombuffer(data, kind, n * width, at)
        columns[name] = values.reshape(n, width) if width > 1 or name == "vectors" else values
        at += values.nbytes
    columns |= {name: header.get(name) or [""] * n for name in TEXTS}
    return Samples(people=tuple(header["people"]), **columns)
