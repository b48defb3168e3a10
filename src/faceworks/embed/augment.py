"""Test-time augmentation: one vector of a face from several crops of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .. import align
from ..types import FloatArray, View
from . import Embedder
from .concat import Concat

__all__ = ["embed_variants"]


def embed_variants(embedder: Embedder, variants: Sequence[Sequence[View]], flip: bool = False) -> tuple[FloatArray, FloatArray | None]:
    """The sum of the raw vectors of each face's variants (and, with `flip`, of their mirrored crops); norms are those of the first variant.

    A sum of raw vectors weighs a crop by its norm, which for networks that keep norms is its quality. A fusion does so part by part, so that its
    cosine stays the weighted mean of its parts'.

    Args:
        variants: V lists of N views; list v holds the v-th crop of each face, the first the plain one.
    """
    if isinstance(embedder, Concat):
        blocks = [
            embed_variants(part, [[dataclasses.replace(view, crops=(view.crops[index],)) for view in views] for views in variants], flip or mirrored)[
                0
            ]
            for index, (part, _, mirrored) in enumerate(embedder.parts)
        ]
        return embedder.join(blocks), None
    vectors, norms = embedder.embed(variants[0])
    if not variants[0]:
        return vectors, norms
    for views in [*variants[1:], *([[align.mirror_view(view) for view in views] for views in variants] if flip else [])]:
        vectors = vectors + embedder.embed(views)[0]
    return vectors, norms
