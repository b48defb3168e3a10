"""The journal that lets a killed run of `map_images` continue."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ..errors import FaceworksError, ManifestError
from ..types import to_dict

__all__ = ["Journal"]

_START = b'{"key": "'
_DIGITS = 32


class Journal:
    """Append-only JSONL, a line `{"key": …, "result": …}` for each finished item; the key is a hash of the picture's content and the task.

    Only the places of the lines are held in memory. A last line without its end (the run was killed while writing) is cut off.

    Raises:
        ManifestError: the file holds something else; nothing in it is touched.
    """

    def __init__(self, path: Path, identity: str) -> None:
        from .sources import content_hash

        self.content_hash, self.identity, self.places = content_hash, identity, dict[str, int]()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a+b")
        self.file.seek(0)
        place, torn = 0, False
        for number, line in enumerate(self.file, start=1):
            torn = not line.endswith(b"\n")
            if not line.startswith(_START[: len(line)] if torn else _START) or not (torn or line.endswith(b"}\n")):
                self.file.close()
                raise ManifestError(f"{path} is not a journal of map_images; name another file to resume from", number)
            if not torn:
                self.places[line[len(_START) : len(_START) + _DIGITS].decode("ascii", "replace")] = place
                place += len(line)
        if torn:
            self.file.truncate(place)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def key(self, source: Any) -> str | None:
        """Key of a source, None if it cannot be read (the worker will say why)."""
        try:
            return self.key_of(self.content_hash(source))
        except (FaceworksError, OSError, TypeError):
            return None

    def key_of(self, content: str) -> str:
        """Key of a picture whose content hash (`image.content_hash`) is known."""
        return hashlib.sha256(f"{content} {self.identity}".encode()).hexdigest()[:_DIGITS]

    def read(self, key: str) -> Any:
        """The result under a key."""
        self.file.seek(self.places[key])
        return json.loads(self.file.readline())["result"]

    def write(self, key: str | None, result: Any) -> Any:
        """Keep a result and return it as it will be read: plain JSON types."""
        text = json.dumps(to_dict(result), ensure_ascii=False)
        if key is not None:
            self.places[key] = self.file.seek(0, os.SEEK_END)
            self.file.write(f'{{"key": "{key}", "result": {text}}}\n'.encode())
            self.file.flush()
        return json.loads(text)
