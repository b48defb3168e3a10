"""Running a session over many inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..types import FloatArray
from .ort import Session

__all__ = ["run_batched"]


def run_batched(session: Session, blob: FloatArray, limit: int = 32, outputs: Sequence[str] | None = None) -> list[FloatArray]:
    """Run a blob (N, …) in slices of at most `limit` (1 where the graph's batch axis is fixed) and join the outputs along the first axis."""
    step = limit if session.dynamic_batch else 1
    parts = [session.run(blob[start : start + step], outputs) for start in range(0, max(1, len(blob)), step)]
    if len(parts) == 1:
        return parts[0]
    return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
