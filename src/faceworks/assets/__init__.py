"""Files that the network holds and a card names: weights, data sets, sample pictures. `fetch` gives a verified local path.

Order: the cache, the mirror folders (setting `mirrors`), then the card's sources. The cache (setting `cache`) is laid out so:

    files/SHA256/NAME        raw files, hashed before they got this name (`files/git-SHA1/NAME` where the publisher states git's hash);
                             the folder serves as a mirror for another machine as it is
    archives/SOURCE/NAME     archives whose members were taken, kept so that one download serves several files; may be deleted
    partial/                 downloads under way (`.part` with `.part.json`: resumed by the next try)
    locks/                   one empty file per lock; the locks themselves are the system's and vanish with their process
    lock.toml                pins: SHA-256 of files whose publishers state none, as they were at first use
    converted/, graphs/, …   what other layers keep there (`cache_folder`)

Nothing half-written ever has a final name: `atomic_write`. Nothing that was fetched is executed: archives are read member by member, bytes
literals are parsed, pickles are read opcode by opcode (`read_tensors`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .obtain import adopt, fetch, fetch_all, locate, remove, status, verify
from .store import atomic_write, cache_folder, lock

if TYPE_CHECKING:
    from .tensors import read_tensors

__all__ = ["adopt", "atomic_write", "cache_folder", "fetch", "fetch_all", "locate", "lock", "read_tensors", "remove", "status", "verify"]


def __getattr__(name: str) -> Any:
    if name == "read_tensors":  # archives and arrays; a cached file needs neither
        return importlib.import_module(f"{__name__}.tensors").read_tensors
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
