"""Looking after a gallery: is it sound, how large is it, does its index find what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, GalleryCorrupt, GalleryLocked
from .index import recall
from .names import when

if TYPE_CHECKING:
    from .policy import Gallery

__all__ = ["build_index", "check", "stats"]

PROBES = 1000
"""Samples that are searched for to measure the index."""


def check(gallery: Gallery) -> dict[str, Any]:
    """See `Gallery.check`."""
    backend = gallery.backend
    answer: dict[str, Any] = {"gallery": gallery.info.url, "people": gallery.info.people, "samples": gallery.info.samples, "notes": []}
    looks = getattr(backend, "check", None)
    if looks is not None:
        answer["notes"] += looks()
    everything = backend.entries()
    if len(everything.samples) and not np.isfinite(everything.samples.vectors).all():
        raise GalleryCorrupt(f"{gallery.info.url} holds vectors that are not finite")
    if gallery.audit is not None:
        answer["audit_lines"] = gallery.audit.verify()
    index = getattr(backend, "index", None)
    found = None if index is None else index.for_base(backend.base.uuid, backend.base.generation)  # type: ignore[attr-defined]
    if found is not None:
        rows = np.random.default_rng(0).permutation(len(everything.samples))[:PROBES]
        noise = np.random.default_rng(1).normal(size=(len(rows), everything.samples.vectors.shape[1])) * (
            0.5 / np.sqrt(everything.samples.vectors.shape[1])
        )
        probes = everything.samples.vectors[rows] + noise.astype(np.float32)
        probes /= np.linalg.norm(probes, axis=1, keepdims=True)
        answer["index_recall"] = recall(backend.table, found, probes, 5, gallery.clock())  # type: ignore[attr-defined]
    elif index is not None and index.path is not None and index.path.exists():
        answer["notes"].append("the index is older than the gallery and is not used; build it anew: faceworks gallery reindex --index")
    return answer


def stats(gallery: Gallery) -> dict[str, Any]:
    """See `Gallery.stats`."""
    info = gallery.info
    everything = gallery.backend.entries()
    present = np.array([not person.removed for person in everything.people], bool)
    alive = everything.samples.living(gallery.clock())
    counts = np.bincount(everything.samples.person[alive], minlength=len(present))[present].tolist()
    times = everything.samples.time[alive]
    binding = info.binding
    return {
        "gallery": info.url, "kind": info.kind, "encrypted": info.encrypted, "audited": gallery.audit is not None, "people": len(counts),
        "samples": sum(counts), "samples_held": info.samples, "most_samples": max(counts, default=0), "people_without_samples": counts.count(0),
        "model": binding.model if binding else None, "recipe": binding.recipe if binding else None, "dim": binding.dim if binding else None,
        "last_enrolled": when(int(times.max(initial=0))),
    }  # fmt: skip


def rotate_key(gallery: Gallery, key: bytes | str | Path) -> None:
    """See `Gallery.rotate_key`."""
    from .sealing import read_key

    rotate = getattr(gallery.backend, "rotate", None)
    if rotate is None:
        raise ConfigError(f"{gallery.info.url} is not encrypted by faceworks; there is no key to change")
    rotate(read_key(key))
    gallery.note("rotate key", [], 0)


def build_index(gallery: Gallery, progress: Callable[[int], None] | None = None) -> int:
    """See `Gallery.build_index`."""
    backend: Any = gallery.backend
    if getattr(backend, "index", None) is None:
        raise ConfigError(f"{gallery.info.url} keeps no index file: a database has its own, and memory needs none")
    if gallery.binding is not None and gallery.binding.metric != "cosine":
        raise ConfigError(f"an index knows the cosine alone; a {gallery.binding.metric} gallery is scanned")
    backend.compact()
    base, done = backend.table.base, [0]

    def advance(so_far: int, _: int) -> bool:
        if progress is not None:
            progress(so_far - done[0])
        done[0] = so_far
        return True

    uuid, generation = backend.base.uuid, backend.base.generation
    backend.index.build(base, uuid, generation, advance)
    backend.refresh()
    if backend.base.generation != generation:
        backend.index.drop()
        raise GalleryLocked(f"{gallery.info.url} was compacted by another process while it was indexed; build the index again")
    return len(base)
