"""Who enrolled, searched, removed: a file of lines, each holding the hash of the one before.

A line names people by their token, a random word that is kept with the person: once the person is forgotten, nothing leads from the log to anybody,
and the chain stays valid. A line: {"n", "time", "actor", "action", "tokens", "count", "before", "hash"}; hash = SHA-256 of the line's JSON without it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GalleryCorrupt
from . import names
from .files import explained, locked

__all__ = ["AuditLog"]

START = "0" * 64


def _digest(line: dict[str, Any]) -> str:
    text = json.dumps({key: value for key, value in line.items() if key != "hash"}, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The audit log in a file. actor: who is working."""

    path: Path
    actor: str = ""
    wait: float = 5.0

    @classmethod
    def beside(cls, gallery: Path, wanted: bool | None, actor: str, wait: float) -> AuditLog | None:
        """The log of a gallery file: where there is one it is kept, whatever `wanted` says; with `wanted` it is begun."""
        path = gallery.with_name(gallery.name + ".audit")
        return cls(path, actor, wait) if wanted or path.exists() else None

    def add(self, action: str, tokens: Sequence[str], count: int) -> None:
        """Append a line and wait until it is on the disk.

        Raises:
            GalleryUnavailable: it cannot be written; what is audited does not go on unseen.
        """
        with explained(self.path, "write"), locked(self.path.with_name(self.path.name + ".lock"), self.wait):
            lines = self._tail()
            last: dict[str, Any] = lines[-1] if lines else {"n": 0, "hash": START}
            line: dict[str, Any] = {
                "n": last["n"] + 1, "time": names.now(), "actor": self.actor, "action": action, "tokens": list(tokens), "count": count, "before": last["hash"],
            }  # fmt: skip
            line["hash"] = _digest(line)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(handle, json.dumps(line, ensure_ascii=True).encode() + b"\n")
                os.fsync(handle)
            finally:
                os.close(handle)

    def _tail(self) -> list[dict[str, Any]]:
        """The last line; a torn one, of a writer that was killed, is cut off."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return []
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
        return [json.loads(whole.splitlines()[-1])] if whole.strip() else []

    def lines(self) -> list[dict[str, Any]]:
        """All lines, oldest first.

        Raises:
            GalleryCorrupt: a line that is no JSON.
        """
        out = []
        text = self.path.read_bytes() if self.path.exists() else b""
        for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), start=1):
            try:
                out.append(json.loads(line))
            except ValueError as error:
                raise GalleryCorrupt(f"{self.path}: line {number} was changed: it is no JSON") from error
        return out

    def verify(self) -> int:
        """Check the chain; the number of lines. That the *last* lines were not cut off can be seen only by someone who noted the last hash.

        Raises:
            GalleryCorrupt: a line was changed, removed, or put in.
        """
        before, count = START, 0
        for count, line in enumerate(self.lines(), start=1):
            if line.get("n") != count or line.get("before") != before or line.get("hash") != _digest(line):
                raise GalleryCorrupt(f"{self.path}: the chain breaks at line {count}: it was changed, removed, or put in")
            before = str(line["hash"])
        return count
