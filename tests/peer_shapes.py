"""What a peer's function returned, as `tools/record_peers.py` writes it down: types and the order of keys, no values."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

__all__ = ["same_in_order", "shape"]


def shape(value: Any) -> Any:
    """Type names, recursively; key order is kept."""
    if isinstance(value, dict):
        return {str(key): shape(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, shape(value[0])] if value else [type(value).__name__]
    if isinstance(value, np.ndarray):
        return f"ndarray {value.ndim} {value.dtype}"
    return type(value).__name__


def same_in_order(mine: Any, theirs: Any) -> None:
    """Equal, the order of keys included."""
    assert json.dumps(mine) == json.dumps(theirs)
