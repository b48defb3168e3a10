"""An HNSW graph (usearch) over the base of a gallery: a cache beside the file that can always be built anew.

Its stamp names the base it was built from; it covers the base's rows alone, those that were committed since are scanned exactly. It only proposes:
similarities are computed from the vectors, so its answers are a subset of the exact ones. An encrypted gallery's index stays in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..optional import require
from ..types import FloatArray

if TYPE_CHECKING:
    from .table import Table

__all__ = ["INDEX_FILES", "Index"]

CONNECTIVITY, BUILD_WIDTH, SEARCH_WIDTH = 16, 64, 64
"""On synthetic people: narrower loses recall, wider loses time (`docs/howto/scale.md`)."""
STEP, WIDEST = 60_000, 1024
"""For each so many rows the search is `SEARCH_WIDTH` wider, up to this: at a million rows 64 finds 59 % of the nearest, 1024 96 %."""
FEW = 16
INDEX_FILES = (".index", ".index.json", ".index.new")
"""What is kept beside a gallery file, by what its name ends with."""
KIND = "hnsw-cosine-bf16"
"""bfloat16: half the memory of float32 and the fastest to build; what it rounds away is mended by computing the proposals' cosines from the vectors."""


class Index:
    """The index of a gallery file, or none yet.

    Args:
        path: where it is kept, or None to stay in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self._graph, self._stamp = path, None, ""

    @classmethod
    def beside(cls, gallery: Path, sealed: bool, writable: bool) -> Index:
        """The index that belongs to a gallery file."""
        return cls(None if sealed else gallery.with_name(gallery.name + ".index"))

    @staticmethod
    def _usearch() -> Any:
        return require("usearch.index", "index", "an approximate index")

    def build(self, vectors: FloatArray, uuid: bytes, generation: int, progress: Callable[[int, int], bool] | None = None) -> None:
        """Index the base's rows (N, D) and keep the graph beside the file.

        Raises:
            MissingDependency: usearch is not installed. ConfigError: nothing to index.
        """
        if not len(vectors):
            raise ConfigError("the gallery's base is empty; there is nothing to index (compact it first)")
        graph = self._usearch().Index(
            ndim=vectors.shape[1], metric="ip", dtype="bf16", connectivity=CONNECTIVITY, expansion_add=BUILD_WIDTH, expansion_search=SEARCH_WIDTH
        )
        for start in range(0, len(vectors), 1 << 15):
            part = vectors[start : start + (1 << 15)]
            graph.add(np.arange(start, start + len(part), dtype=np.uint64), np.array(part, np.float32))
            if progress is not None:
                progress(start + len(part), len(vectors))
        self._graph, self._stamp = graph, _stamp(uuid, generation)
        if self.path is not None:
            temporary = self.path.with_name(self.path.name + ".new")
            graph.save(str(temporary))
            os.chmod(temporary, 0o600)
            temporary.replace(self.path)
            note = self.path.with_name(self.path.name + ".json")
            note.write_text(json.dumps({"stamp": self._stamp, "bytes": self.path.stat().st_size}), encoding="utf-8")

    def drop(self) -> None:
        """Delete it, from memory and disk."""
        self._graph, self._stamp = None, ""
        if self.path is not None:
            for suffix in INDEX_FILES:
                self.path.with_name(self.path.name.removesuffix(INDEX_FILES[0]) + suffix).unlink(missing_ok=True)

    def for_base(self, uuid: bytes, generation: int) -> Index | None:
        """Itself if it was built from this base, else None. Opens the kept graph, mapped, at the first call."""
        wanted = _stamp(uuid, generation)
        if self._stamp == wanted:
            return self
        if self.path is None or not self.path.exists():
            return None
        try:
            note = json.loads(self.path.with_name(self.path.name + ".json").read_text(encoding="utf-8"))
            if note != {"stamp": wanted, "bytes": self.path.stat().st_size}:
                return None
            self._graph = self._usearch().Index.restore(str(self.path), view=True)
        except (OSError, ValueError, RuntimeError):
            return None  # a cache that cannot be read is no cache
        self._stamp = wanted
        return self if self._graph is not None else None

    def propose(self, queries: FloatArray, k: int) -> list[NDArray[np.intp]]:
        """Rows among which the k nearest probably are."""
        assert self._graph is not None
        self._graph.expansion_search = max(min(SEARCH_WIDTH * -(-len(self._graph) // STEP), WIDEST), 2 * k)
        threads = 1 if len(queries) < FEW else 0  # waking the others costs more than a few searches
        found = self._graph.search(np.ascontiguousarray(queries), min(max(2 * k, k + 16), len(self._graph)), threads=threads)
        keys = np.atleast_2d(found.keys)
        counts = np.atleast_1d(found.counts) if hasattr(found, "counts") else np.full(len(keys), keys.shape[1])
        return [row[:count].astype(np.intp) for row, count in zip(keys, counts, strict=True)]


def _stamp(uuid: bytes, generation: int) -> str:
    return f"{KIND}/{CONNECTIVITY}/{BUILD_WIDTH}/{uuid.hex()}/{generation}"


def recall(table: Table, index: Index, queries: FloatArray, k: int, now: int) -> float:
    """Share of queries whose best sample the index finds."""
    exact = table.search(queries, 1, now)
    fast = table.search(queries, 1, now, lambda asked: index.propose(asked, k))
    return float(np.mean([len(b.sample) > 0 and a.sample[0] == b.sample[0] for a, b in zip(exact, fast, strict=True) if len(a.sample)] or [1.0]))
