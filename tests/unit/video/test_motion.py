"""The tracker on made boxes: numbers stay with what moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="tracking needs the extra video")

from faceworks.video.motion import Tracker, TrackerOptions, iou


def brute_iou(a, b):
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


@given(st.lists(st.tuples(*[st.floats(0, 100)] * 2, *[st.floats(1, 50)] * 2), min_size=2, max_size=2))
def test_iou_is_what_the_formula_says(pairs):
    boxes = [(x, y, x + w, y + h) for x, y, w, h in pairs]
    assert iou(boxes[:1], boxes[1:])[0, 0] == pytest.approx(brute_iou(*boxes), abs=1e-9)


def box(x, y, size=40.0):
    return [x, y, x + size, y + size]


def numbers(owners):
    return [None if owner is None else owner.number for owner in owners]


def test_two_faces_that_cross_keep_their_numbers():
    tracker = Tracker()
    for frame in range(41):
        here = [box(10 + 8 * frame, 100), box(330 - 8 * frame, 112, 46)]
        order = [0, 1] if frame % 2 else [1, 0]  # detections come in any order
        found = numbers(tracker.update([here[i] for i in order], [0.9, 0.9]))
        if frame == 0:
            first = dict(zip(order, found, strict=True))
        assert dict(zip(order, found, strict=True)) == first, frame


def test_a_gap_is_bridged_by_the_motion():
    tracker = Tracker()
    for frame in range(10):
        (owner,) = tracker.update([box(10 * frame, 50)], [0.9])
    for _ in range(8):
        assert tracker.update([], []) == []
    (again,) = tracker.update([box(10 * 18, 50)], [0.9])
    assert again is owner
    assert again.seen == 11
    skipped = Tracker()
    for frame in range(0, 60, 3):
        (owner,) = skipped.update([box(10 * frame, 50, 60)], [0.9], skipped=0 if frame == 0 else 2)
        assert owner.number == 1


def test_a_doubtful_box_continues_a_track_but_begins_none():
    tracker = Tracker(TrackerOptions(sure=0.6))
    assert tracker.update([box(0, 0)], [0.4]) == [None]
    tracker.update([box(100, 100)], [0.9])
    (owner,) = tracker.update([box(101, 100)], [0.4])
    assert owner is not None
    assert owner.number == 1
    assert numbers(tracker.update([box(300, 300)], [0.4])) == [None]


def test_flickers_are_forgotten_and_lost_tracks_end():
    tracker = Tracker(TrackerOptions(keep=5))
    tracker.update([box(0, 0)], [0.9])
    tracker.update([], [])
    tracker.update([], [])
    assert [track.confirmed for track in tracker.ended] == [False]
    tracker.ended.clear()
    for _ in range(3):
        tracker.update([box(0, 0)], [0.9])
    for _ in range(6):
        assert not tracker.ended
        tracker.update([], [])
    assert [(track.number, track.confirmed) for track in tracker.ended] == [(2, True)]
    assert tracker.tracks == []


def test_the_filter_is_the_textbook_s():
    """Kalman equations with explicit inverses, re-derived."""
    rng = np.random.default_rng(0)
    tracker = Tracker()
    tracker.update([box(50, 60)], [0.9])
    track = tracker.tracks[0]
    mean, covariance = track.mean.copy(), track.covariance.copy()
    motion = np.eye(8)
    motion[:4, 4:] = np.eye(4)
    look = np.eye(4, 8)
    for step in range(6):
        measured = np.array(box(50 + 3 * step, 60)) + rng.normal(0, 1, 4)
        tracker.update([measured], [0.9])
        h = (motion @ mean)[3]
        q = np.diag([h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160]) ** 2
        mean, covariance = motion @ mean, motion @ covariance @ motion.T + q
        s = look @ covariance @ look.T + np.diag([h / 20, h / 20, 1e-1, h / 20]) ** 2
        k = covariance @ look.T @ np.linalg.inv(s)
        x1, y1, x2, y2 = measured
        z = np.array([(x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / (y2 - y1), y2 - y1])
        mean, covariance = mean + k @ (z - look @ mean), (np.eye(8) - k @ look) @ covariance
        assert np.allclose(track.mean, mean, atol=1e-9)
        assert np.allclose(track.covariance, covariance, atol=1e-9)
