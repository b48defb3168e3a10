"""A video with its faces hidden, also in the frames in which a face was missed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..hiding import Mode, hide
from ..image import frames
from ..image.frames import Frame
from ..pipeline import Pipeline, PipelineSpec
from ..types import Face
from .motion import Tracker, TrackerOptions

__all__ = ["anonymize"]

AHEAD = 8
"""Frames that are held back: a face found in the last of them is hidden in those before, where it may have been missed."""
SURE = 3
"""Sights after which a face's speed is known: then it is also hidden where it must have been before the first."""
LINGER = 8
"""Frames in which a face that is lost stays hidden where it was last expected."""


def anonymize(
    source: str | Path,
    target: str | Path,
    mode: Mode = "blur",
    spec: PipelineSpec | None = None,
    *,
    doubtful: float = 0.3,
    advance: Callable[[], None] = lambda: None,
    **options: Any,
) -> int:
    """Write `target`, the pictures of `source` with every face hidden; sound is left out. Returns the number of frames.

    A face is hidden wherever it is detected at the score `doubtful` or more, `LINGER` frames after it was last seen, and `AHEAD` frames before it was first seen.
    `options` are those of `hiding.hide`; `advance` is called after each frame.

    Raises:
        ImageError: the source cannot be read, or the target cannot be written.
    """
    spec = (spec or PipelineSpec()).with_options(select="all", on_no_face="empty", min_score=doubtful)
    pipeline, tracker = Pipeline(spec), Tracker(TrackerOptions(sure=doubtful, keep=LINGER, confirm=1))
    held: deque[tuple[Frame, list[Face]]] = deque()
    begun: dict[int, tuple[int, Face]] = {}
    count = 0
    with frames.write(target) as add:
        for frame in frames.read(source):
            (faces,) = pipeline.detect([frame.pixels])
            owners = tracker.update([face.box for face in faces], [face.score for face in faces])
            hidden = [*faces, *(_at(track.box) for track in tracker.tracks if track.unseen)]
            for owner, face in zip(owners, faces, strict=True):
                if owner is not None:
                    first = begun.setdefault(owner.number, (frame.index, face))
                    if owner.seen in (1, SURE):
                        _hide_before(held, first, frame.index, face)
            held.append((frame, hidden))
            if len(held) > AHEAD:
                shown, faces = held.popleft()
                add(hide(shown.pixels, faces, mode, **options), shown.time)
            count += 1
            advance()
        for shown, faces in held:
            add(hide(shown.pixels, faces, mode, **options), shown.time)
    return count


def _hide_before(held: deque[tuple[Frame, list[Face]]], first: tuple[int, Face], now: int, face: Face) -> None:
    """Add the face to the held frames before its first sight: where it was then, or, once it has moved, where its speed says."""
    began, start = first
    speed = (face.box - start.box) / max(1, now - began)
    for frame, hidden in held:
        if frame.index < began:
            hidden.append(_at(start.box - speed * (began - frame.index)))


def _at(box: Any) -> Face:
    return Face(np.asarray(box, np.float32), 0.0, None, "tracked")
