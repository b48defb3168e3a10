"""Who enrolled, searched, removed: a chain of lines, each holding the hash of the one before. In a file, or in a table of the gallery's database.

A line names people by their token, a random word that is kept with the person: once the person is forgotten, nothing leads from the log to anybody,
and the chain stays valid. A line: {"n", "time", "actor", "action", "tokens", "count", "before", "hash"}; hash = SHA-256 of the line's JSON without it.
It is written when the change is on the disk: a process killed between the two leaves a change without its line, never a line without its change.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import GalleryCorrupt
from . import names
from .files import explained, locked

__all__ = ["AuditLog", "Chain", "FileChain"]

START = "0" * 64


def _digest(line: dict[str, Any]) -> str:
    text = json.dumps({key: value for key, value in line.items() if key != "hash"}, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Chain(Protocol):
    """Where lines are kept."""

    def extend(self, make: Callable[[dict[str, Any] | None], dict[str, Any]]) -> None:
        """Append `make(last line, or None)`, with no other writer between, and wait until it is on the disk."""

    def lines(self) -> list[dict[str, Any]]:
        """All lines, oldest first."""


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The audit log of a gallery. chain: where it is kept. name: that, in words. actor: who is working."""

    chain: Chain
    name: str
    actor: str = ""

    @classmethod
    def in_file(cls, path: Path, actor: str = "", wait: float = 5.0, begin: bool = True) -> AuditLog:
        """A log in a file, which is made if it is not there, unless not `begin`."""
        chain = FileChain(path, wait)
        if begin:
            chain.begin()
        return cls(chain, str(path), actor)

    def add(self, action: str, tokens: Sequence[str], count: int) -> None:
        """Append a line and wait until it is on the disk.

        Raises:
            GalleryUnavailable: it cannot be written; what is audited does not go on unseen.
        """

        def make(last: dict[str, Any] | None) -> dict[str, Any]:
            number, before = (last["n"], last["hash"]) if last else (0, START)
            line: dict[str, Any] = {
                "n": number + 1, "time": names.now(), "actor": self.actor, "action": action, "tokens": list(tokens), "count": count, "before": before,
            }  # fmt: skip
            return line | {"hash": _digest(line)}

        self.chain.extend(make)

    def lines(self) -> list[dict[str, Any]]:
        """All lines, oldest first.

        Raises:
            GalleryCorrupt: a line that is no JSON.
        """
        return self.chain.lines()

    def verify(self) -> int:
        """Check the chain; the number of lines. That the *last* lines were not cut off can be seen only by someone who noted the last hash.

        Raises:
            GalleryCorrupt: a line was changed, removed, or put in.
        """
        before, count = START, 0
        for count, line in enumerate(self.lines(), start=1):
            if line.get("n") != count or line.get("before") != before or line.get("hash") != _digest(line):
                raise GalleryCorrupt(f"{self.name}: the chain breaks at line {count}: it was changed, removed, or put in")
            before = str(line["hash"])
        return count


@dataclass(frozen=True, slots=True)
class FileChain:
    """Lines in a file, one JSON object each."""

    path: Path
    wait: float = 5.0

    def begin(self) -> None:
        """Make the file, so that who opens the gallery next sees that it is audited."""
        with explained(self.path, "write"):
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))

    def extend(self, make: Callable[[dict[str, Any] | None], dict[str, Any]]) -> None:
        """See `Chain.extend`."""
        with explained(self.path, "write"), locked(self.path.with_name(self.path.name + ".lock"), self.wait):
            line = make(self._last())
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                rest = memoryview(json.dumps(line, ensure_ascii=True).encode() + b"\n")
                while rest:
                    rest = rest[os.write(handle, rest) :]
                os.fsync(handle)
            finally:
                os.close(handle)

    def _last(self) -> dict[str, Any] | None:
        """The last line; a torn one, of a writer that was killed, is cut off."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return None
        with self.path.open("r+b") as file:
            step = 4096
            while True:
                file.seek(max(0, size - step))
                data = file.read()
                whole = data[: data.rfind(b"\n") + 1]
                if whole.count(b"\n") >= 2 or step >= size:
                    break
                step *= 4
            if len(whole) < len(data):
                file.truncate(size - (len(data) - len(whole)))
        if not whole.strip():
            return None
        return self._read(whole.splitlines()[-1], "the last line")

    def _read(self, text: bytes, which: str) -> dict[str, Any]:
        try:
            line = json.loads(text)
            if isinstance(line, dict) and isinstance(line.get("n"), int) and isinstance(line.get("hash"), str):
                return line
        except ValueError:
            pass
        raise GalleryCorrupt(f"{self.path}: {which} was changed: it is no line of an audit log")

    def lines(self) -> list[dict[str, Any]]:
        """See `Chain.lines`."""
        with explained(self.path, "read"):
            text = self.path.read_bytes() if self.path.exists() else b""
        return [self._read(line, f"line {number}") for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), start=1)]
