"""Albums: the faces of many pictures grouped into people."""

from __future__ import annotations

from .grouping import Groups, Suggestion, group_faces
from .measure import BCubed, bcubed, pairwise

__all__ = ["BCubed", "Groups", "Suggestion", "bcubed", "group_faces", "pairwise"]
