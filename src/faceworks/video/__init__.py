"""Videos, cameras and streams: faces followed from frame to frame, named, and hidden."""

from __future__ import annotations

from .anonymizing import anonymize
from .faces import FaceTracker, Seen, Track, VideoOptions, follow
from .motion import Tracker, TrackerOptions

__all__ = ["FaceTracker", "Seen", "Track", "Tracker", "TrackerOptions", "VideoOptions", "anonymize", "follow"]
