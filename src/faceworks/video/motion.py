"""Boxes of one face joined over time, after ByteTrack (Zhang et al. 2022, https://arxiv.org/abs/2110.06864): motion by a Kalman filter of constant velocity,
assignment by overlap, sure detections first, doubtful ones only to go on with tracks that exist.

The filter is that of SORT and DeepSORT (Bewley et al. 2016, Wojke et al. 2017): state (center x, center y, aspect, height) and its speed, noise in proportion
to the height (1/20 for places, 1/160 for speeds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..optional import require

__all__ = ["Motion", "Tracker", "TrackerOptions", "iou"]

PLACE, SPEED = 1 / 20, 1 / 160
STEP = np.eye(8) + np.eye(8, k=4)
"""State to state of the next frame: place + speed."""


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """When a box continues a track. The paper's values, but for `grow` and `confirm`.

    Attributes:
        sure: score from which a detection may begin a track and is assigned first.
        overlap, doubtful_overlap: smallest intersection over union with a track's predicted box, for sure and for other detections.
        grow: boxes are grown by this part of their sides, on each side, before their overlap is taken (Yang et al. 2023, "Hard to track objects with
            irregular motions"): faces are small against their motion, the more so where frames are left out.
        keep: frames that a track may go unseen before it ends.
        confirm: frames in which a new track must be seen before it counts (a flicker in one frame is no face).
    """

    sure: float = 0.6
    overlap: float = 0.2
    doubtful_overlap: float = 0.5
    grow: float = 0.3
    keep: int = 30
    confirm: int = 2


@dataclass(slots=True, eq=False)
class Motion:
    """One track's motion.

    Attributes:
        number: of the track, from 1.
        seen: frames in which it was detected. unseen: frames since.
        mean: (8,) state. covariance: (8, 8).
    """

    number: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    seen: int = 1
    unseen: int = 0
    confirmed: bool = False

    @property
    def box(self) -> NDArray[np.float64]:
        """Where it is (now, or predicted): (4,) x1, y1, x2, y2."""
        x, y, aspect, height = self.mean[:4]
        width = aspect * height
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) and (M, 4): (N, M) in [0, 1]."""
    a, b = np.asarray(a, float).reshape(-1, 1, 4), np.asarray(b, float).reshape(1, -1, 4)
    inner = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inner
    return np.asarray(inner / np.maximum(union, 1e-12))


def _grown(boxes: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    margins = part * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - margins, boxes[:, 2:] + margins], axis=1)


def _measured(box: Any) -> NDArray[np.float64]:
    x1, y1, x2, y2 = (float(value) for value in box)
    height = max(y2 - y1, 1e-6)
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / height, height])


def _noise(height: float, place: float, speed: float) -> NDArray[np.float64]:
    deviations = [place * height, place * height, 1e-2, place * height, speed * height, speed * height, 1e-5, speed * height]
    return np.diag(np.square(deviations))


@dataclass(slots=True, eq=False)
class Tracker:
    """Boxes in, frame by frame; numbers of tracks out. Needs SciPy (extra `video`) for the assignment."""

    options: TrackerOptions = field(default_factory=TrackerOptions)
    tracks: list[Motion] = field(default_factory=list)
    ended: list[Motion] = field(default_factory=list)
    next: int = 1

    def update(self, boxes: Any, scores: Sequence[float], skipped: int = 0) -> list[Motion | None]:
        """Take in the detections of the next frame.

        Args:
            boxes: (N, 4) x1, y1, x2, y2. scores: N values in [0, 1].
            skipped: frames left out since the last update: motion goes on meanwhile.

        Returns:
            For each box its track, or None for a doubtful one that continues none. Tracks that ended are in `ended` until it is cleared.
        """
        for track in self.tracks:
            for _ in range(1 + skipped):
                _predict(track)
            track.unseen += 1 + skipped
        boxes = np.asarray(boxes, float).reshape(-1, 4)
        sure = np.asarray(scores, float).reshape(-1) >= self.options.sure
        owners: list[Motion | None] = [None] * len(boxes)
        free = self._assign(list(self.tracks), boxes, np.flatnonzero(sure), self.options.overlap, owners)
        recent = [track for track in free if track.unseen <= 1 + skipped]  # one long lost shall not wake up for a doubtful box
        self._assign(recent, boxes, np.flatnonzero(~sure), self.options.doubtful_overlap, owners)
        for place in np.flatnonzero(sure):
            if owners[place] is None:
                height = float(boxes[place, 3] - boxes[place, 1])
                owners[place] = Motion(self.next, np.concatenate([_measured(boxes[place]), np.zeros(4)]), _noise(height, 2 * PLACE, 10 * SPEED))
                self.tracks.append(owners[place])  # type: ignore[arg-type]
                self.next += 1
        for track in self.tracks:
            track.confirmed = track.confirmed or track.seen >= self.options.confirm
        gone = [track for track in self.tracks if track.unseen > (self.options.keep if track.confirmed else 1 + skipped)]
        self.ended += gone
        self.tracks = [track for track in self.tracks if track not in gone]
        return owners

    def _assign(self, tracks: list[Motion], boxes: NDArray[np.float64], places: Any, least: float, owners: list[Motion | None]) -> list[Motion]:
        """Give boxes at `places` to tracks; the tracks that got none."""
        if not tracks or not len(places):
            return tracks
        overlaps = iou(_grown(np.array([track.box for track in tracks]), self.options.grow), _grown(boxes[places], self.options.grow))
        solve = require("scipy.optimize", "video", "tracking faces").linear_sum_assignment
        taken = set()
        for row, column in zip(*solve(-np.where(overlaps >= least, overlaps, 0)), strict=True):
            if overlaps[row, column] >= least:
                _correct(tracks[row], boxes[places[column]])
                owners[places[column]] = tracks[row]
                taken.add(row)
        return [track for row, track in enumerate(tracks) if row not in taken]


def _predict(track: Motion) -> None:
    track.mean = STEP @ track.mean
    track.mean[3] = max(track.mean[3], 1e-6)
    track.covariance = STEP @ track.covariance @ STEP.T + _noise(float(track.mean[3]), PLACE, SPEED)


def _correct(track: Motion, box: NDArray[np.float64]) -> None:
    height = float(track.mean[3])
    spread = track.covariance[:4, :4] + np.diag(np.square([PLACE * height, PLACE * height, 1e-1, PLACE * height]))
    gain = np.linalg.solve(spread, track.covariance[:4]).T
    track.mean = track.mean + gain @ (_measured(box) - track.mean[:4])
    track.covariance = track.covariance - gain @ spread @ gain.T
    track.seen += 1
    track.unseen = 0
