"""Encryption at rest: AES-256-GCM (NIST SP 800-38D) through `cryptography`.

Each person has a key of 32 random bytes; it seals the person's record and each sample (vector, source, consent, times). The person's key is itself
sealed by the master key. What is written beside the sealed bytes: a random slot instead of the person's id, and sample ids. Associated data are the
kind, the gallery, the slot or sample and the recipe, so that sealed bytes cannot be moved between galleries, people or models. Nonces are 96 random
bits, new for each sealing. Who deletes a person's sealed key (`forget`, then the compaction that rewrites base and log) leaves bytes nobody can open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import secrets
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, GalleryCorrupt, GalleryUnavailable
from ..optional import require
from .backend import NUMBERS, TEXTS, Binding, Change, Person, Samples
from .hdf5.codec import pack, person_of, unpack

__all__ = ["Sealed", "new_key_file", "read_key"]

NONCE = 12
COLUMNS = tuple(name for name in NUMBERS if name not in ("id", "person"))
FIXED = np.dtype([(name, NUMBERS[name][0], (NUMBERS[name][1],)) for name in COLUMNS])
"""The numbers of a sample as they are sealed, before its vector and texts."""


def read_key(key: bytes | str | Path) -> bytes:
    """A master key: 32 bytes, base64 of them, or a file that holds either.

    Raises:
        ConfigError: no such file, or not 32 bytes.
    """
    data = key
    if isinstance(key, (str, Path)):
        try:
            data = Path(key).read_bytes() if Path(key).is_file() else str(key).encode()
        except OSError as error:
            raise ConfigError(f"cannot read the gallery's key: {error.strerror}") from error
    assert isinstance(data, bytes)
    if len(data) == 32:
        return data
    try:
        decoded = base64.b64decode(data.strip(), validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) != 32:
        raise ConfigError(
            "a gallery's key is 32 bytes, base64 of them, or a file that holds them; make one: faceworks gallery create --encrypt --key-file FILE"
        )
    return decoded


def new_key_file(path: Path) -> None:
    """Write a new random key, readable by its owner alone.

    Raises:
        ConfigError: the file exists or cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot write a new key to {path}: {error.strerror}") from error
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(32)) + b"\n")


class Sealed:
    """The codec of an encrypted gallery; it remembers the people's keys, as its gallery remembers the people."""

    sealed = True

    def __init__(self, master: bytes) -> None:
        aead = require("cryptography.hazmat.primitives.ciphers.aead", "crypto", "an encrypted gallery")
        self._cipher = aead.AESGCM
        self._key, self._master, self._identity = master, aead.AESGCM(master), _identity(master)
        self._space = secrets.token_hex(16)
        self._people: dict[str, tuple[str, bytes]] = {}
        self._slots: dict[str, str] = {}
        self._recipe = ""

    @property
    def attributes(self) -> dict[str, Any]:
        """What a new file says about its encryption: which master key, no more."""
        return {"key_id": self._identity}

    def _about(self, kind: str, *what: object) -> bytes:
        return "|".join(["faceworks", kind, self._space, self._recipe, *map(str, what)]).encode()

    @staticmethod
    def _seal(cipher: Any, plain: bytes, about: bytes) -> bytes:
        nonce = os.urandom(NONCE)
        sealed: bytes = nonce + cipher.encrypt(nonce, plain, about)
        return sealed

    def _open(self, cipher: Any, sealed: bytes, about: bytes, what: str) -> bytes:
        try:
            plain: bytes = cipher.decrypt(sealed[:NONCE], sealed[NONCE:], about)
        except Exception as error:
            raise GalleryCorrupt(f"{what} of the encrypted gallery cannot be opened: it was changed, or belongs elsewhere") from error
        return plain

    def begin(self) -> None:
        """See `Codec.begin`."""
        self._people.clear()
        self._slots.clear()

    # --- writing ---

    def rotate(self, master: bytes) -> bytes:
        """Seal the people's keys with another master key from now on, and return the one until now; a compaction must follow (`Hdf5Backend.rotate`)."""
        before, self._key = self._key, master
        self._master, self._identity = self._cipher(master), _identity(master)
        return before

    def encode(self, change: Change) -> list[bytes]:
        """See `Codec.encode`."""
        if change.clear:
            self._people.clear()
            self._slots.clear()
        if change.binding is not None:
            self._recipe = change.binding.model
        header: dict[str, Any] = {
            "key": self._identity, "space": self._space, "clear": change.clear, "binding": change.binding.to_json() if change.binding else None,
            "remove_people": [self._people[id][0] for id in change.remove_people if id in self._people],
            "remove_samples": [int(id) for id in change.remove_samples],
        }  # fmt: skip
        for id in change.remove_people:
            if id in self._people:
                del self._slots[self._people.pop(id)[0]]
        header["people"] = [self._sealed_person(person) for person in change.people]
        pieces: list[bytes] = []
        if (samples := change.samples) is not None and len(samples):
            used = {int(place): self._people[samples.people[place]] for place in np.unique(samples.person)}
            ciphers = {place: self._cipher(key) for place, (_, key) in used.items()}
            pieces = [self._sealed_sample(samples, row, ciphers, used) for row in range(len(samples))]
            slots = {place: number for number, place in enumerate(used)}
            header["samples"] = {
                "n": len(samples), "dim": samples.vectors.shape[1], "slots": [slot for slot, _ in used.values()], "id": samples.id.tolist(),
                "person": [slots[int(place)] for place in samples.person], "bytes": [len(piece) for piece in pieces],
            }  # fmt: skip
        return pack(header, [b"".join(pieces)])

    def _sealed_person(self, person: Person) -> dict[str, str]:
        if person.id not in self._people:
            slot = secrets.token_hex(8)
            self._people[person.id] = slot, secrets.token_bytes(32)
            self._slots[slot] = person.id
        slot, key = self._people[person.id]
        record = json.dumps(person.to_json(), ensure_ascii=False).encode()
        sealed = self._seal(self._cipher(key), record, self._about("person", slot))
        return {"slot": slot, "key": _text(self._seal(self._master, key, self._about("key", slot))), "record": _text(sealed)}

    def _sealed_sample(self, samples: Samples, row: int, ciphers: dict[int, Any], used: dict[int, tuple[str, bytes]]) -> bytes:
        numbers = np.zeros(1, FIXED)
        for name in COLUMNS:
            numbers[name] = getattr(samples, name)[row]
        texts = json.dumps([getattr(samples, name)[row] for name in TEXTS], ensure_ascii=False).encode()
        vector = np.ascontiguousarray(samples.vectors[row], "<f4").tobytes()
        place = int(samples.person[row])
        about = self._about("sample", used[place][0], int(samples.id[row]))
        return self._seal(ciphers[place], numbers.tobytes() + vector + texts, about)

    # --- reading ---

    def decode(self, payload: memoryview) -> Change:
        """See `Codec.decode`."""
        header, rest = unpack(payload)
        if header.get("key") != self._identity:
            raise GalleryUnavailable("the gallery is encrypted with another key than the one given")
        try:
            return self._change(header, rest)
        except (KeyError, TypeError, ValueError, struct.error) as error:
            raise GalleryCorrupt(f"a sealed transaction does not hold what its header says: {error}") from error

    def _change(self, header: dict[str, Any], rest: memoryview) -> Change:
        self._space = header["space"]
        if header["clear"]:
            self._people.clear()
            self._slots.clear()
        binding = Binding.from_json(header["binding"]) if header["binding"] else None
        if binding is not None:
            self._recipe = binding.model
        gone = [self._slots.pop(slot) for slot in header["remove_people"] if slot in self._slots]
        for id in gone:
            del self._people[id]
        people = [self._opened_person(item) for item in header["people"]]
        samples = self._opened_samples(header["samples"], rest) if "samples" in header else None
        return Change(bool(header["clear"]), binding, gone, header["remove_samples"], people, samples)

    def _opened_person(self, item: dict[str, str]) -> Person:
        slot = item["slot"]
        key = self._open(self._master, base64.b64decode(item["key"]), self._about("key", slot), "a person's key")
        person = person_of(
            json.loads(self._open(self._cipher(key), base64.b64decode(item["record"]), self._about("person", slot), "a person's record"))
        )
        self._people[person.id] = slot, key
        self._slots[slot] = person.id
        return person

    def _opened_samples(self, header: dict[str, Any], data: memoryview) -> Samples:
        n, dim = header["n"], header["dim"]
        numbers, vectors, texts, at = np.zeros(n, FIXED), np.zeros((n, dim), np.float32), [], 0
        people = [self._slots[slot] for slot in header["slots"]]
        ciphers = [self._cipher(self._people[id][1]) for id in people]
        for row, (id, person, size) in enumerate(zip(header["id"], header["person"], header["bytes"], strict=True)):
            about = self._about("sample", header["slots"][person], id)
            plain = self._open(ciphers[person], bytes(data[at : at + size]), about, f"sample {id}")
            numbers[row] = np.frombuffer(plain, FIXED, 1)[0]
            vectors[row] = np.frombuffer(plain, "<f4", dim, FIXED.itemsize)
            texts.append(json.loads(plain[FIXED.itemsize + 4 * dim :]))
            at += size
        columns: dict[str, Any] = {name: numbers[name] if NUMBERS[name][1] > 1 else numbers[name][:, 0] for name in COLUMNS}
        columns |= {name: [row[place] for row in texts] for place, name in enumerate(TEXTS)}
        return Samples(tuple(people), np.array(header["id"], np.int64), np.array(header["person"], np.int32), vectors, **columns)


def _identity(master: bytes) -> str:
    """Says which key it is, and nothing of it."""
    return hashlib.sha256(b"faceworks gallery key" + master).hexdigest()[:16]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
