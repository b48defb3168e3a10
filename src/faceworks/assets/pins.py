"""Pin on first use: `<cache>/lock.toml` remembers what a publisher without checksum gave the first time."""

from __future__ import annotations

import datetime
import json
import sys
import tomllib
from pathlib import Path

from .. import settings
from ..errors import AssetUnavailable
from .store import atomic_write, lock

__all__ = ["pinned", "record"]

_HEAD = """\
# SHA-256 of files whose publishers state none, as they were at first use.
# A file that differs later is refused; delete its entry to accept it.
"""


def _path() -> Path:
    return settings.current().cache / "lock.toml"


def _read() -> list[dict[str, str]]:
    path = _path()
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("pin", [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) and all(isinstance(v, str) for v in e.values()) for e in entries):
            raise ValueError("entries must be [[pin]] tables of strings")
        if not all(len(e.get("sha256", "")) == 64 and e.get("source") for e in entries):
            raise ValueError("every [[pin]] needs source and sha256")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise AssetUnavailable(f"the lock file {path} cannot be read: {error}; mend or delete it") from error
    return entries


def pinned(sources: tuple[str, ...]) -> str:
    """The SHA-256 that is pinned for any of these sources, or ""."""
    return next((entry["sha256"] for entry in _read() if entry["source"] in sources), "")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def record(sources: tuple[str, ...], used: str, sha256: str) -> str:
    """Pin `sha256` for the source that was `used`, unless one of `sources` is pinned already; the hash in force. Says so on stderr, once."""
    with lock("lock.toml"):
        entries = _read()
        if known := next((entry["sha256"] for entry in entries if entry["source"] in sources), ""):
            return known
        entries.append({"source": used, "sha256": sha256, "date": datetime.date.today().isoformat()})
        blocks = ["[[pin]]\n" + "".join(f"{key} = {_quoted(value)}\n" for key, value in entry.items()) for entry in entries]
        text = _HEAD + "\n" + "\n".join(blocks)
        atomic_write(_path(), lambda out: out.write(text.encode()))
    sys.stderr.write(f"faceworks: the publisher of {used} states no checksum; pinned SHA-256 {sha256} in {_path()}\n")
    return sha256
