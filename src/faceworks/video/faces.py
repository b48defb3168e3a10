"""Faces of a video as tracks: one person's appearance from first to last frame, with one template, the best shot, and a name where a gallery knows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..attributes.quality import measure
from ..errors import ConfigError
from ..gallery import Gallery
from ..image import frames
from ..image.frames import Frame
from ..pipeline import Pipeline, PipelineSpec
from ..similarity import unit
from ..types import Embedding, Face, FaceResult, FloatArray, Identification, ImageArray
from .motion import Motion, Tracker, TrackerOptions

__all__ = ["FaceTracker", "Seen", "Track", "VideoOptions", "follow"]


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """How a video is read and what is kept of it.

    Attributes:
        every, keyframes, reconnect: which frames are looked at, and how often a stream is opened again: see `image.frames.read`.
        samples: so many of a track's best pictures are embedded into its template; a better one takes the place of the worst.
        doubtful: detections from this score on continue a track (ByteTrack's second round); they never begin one.
        least_quality: faces below this quality (0..100) enter no template unless the track has none better.
        tracker: when a box continues a track; `sure` None takes the detector's own smallest score.
    """

    every: int = 1
    keyframes: bool = False
    reconnect: int = 0
    samples: int = 5
    doubtful: float = 0.3
    least_quality: float = 10.0
    sure: float | None = None
    tracker: TrackerOptions = field(default_factory=TrackerOptions)


@dataclass(slots=True, eq=False)
class Track:
    """One face over time.

    Attributes:
        number: from 1, in the order in which tracks became sure.
        first, last: `(frame, seconds)` of first and last sight. frames: how many show it.
        best: its best face; best_frame: number and seconds of that frame; best_quality: 0..100; best_shot: pixels around it (twice the box), RGB.
        vectors, qualities: unit vectors (n, D) of its best pictures and their qualities, best first.
        model: of the vectors.
        answer: who it is, or None without a gallery or without a usable picture.
    """

    number: int
    first: tuple[int, float]
    last: tuple[int, float]
    frames: int
    best: Face
    best_frame: tuple[int, float]
    best_quality: float
    best_shot: ImageArray
    vectors: list[FloatArray] = field(default_factory=list)
    qualities: list[float] = field(default_factory=list)
    model: str = ""
    answer: Identification | None = None

    @property
    def template(self) -> Embedding | None:
        """Quality-weighted mean of the unit vectors, or None where no picture was embedded."""
        if not self.vectors:
            return None
        weights = np.maximum(np.array(self.qualities), 1e-3)
        return Embedding(np.average(np.stack(self.vectors), axis=0, weights=weights).astype(np.float32), None, self.model)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A tracked face in the present frame."""

    track: Track
    face: Face


class FaceTracker:
    """Frames in, tracked faces out; memory holds the tracks that are alive and nothing of past frames but their best shots.

    Args:
        spec: detector and embedder (the gallery's, where one is given).
        gallery: asked for each track's template whenever it changes. identify: options of `Gallery.identify_results` (`k`, `threshold`, `fpir`).

    Raises:
        ConfigError: a spec beside a gallery that has another model.
    """

    def __init__(
        self, spec: PipelineSpec | None = None, options: VideoOptions | None = None, gallery: Gallery | None = None, **identify: Any
    ) -> None:
        self.options, self.gallery, self.identify = options or VideoOptions(), gallery, identify
        if gallery is not None and spec is None:
            spec = gallery.pipeline.spec
        base = Pipeline((spec or PipelineSpec()).with_options(select="all", on_no_face="empty"))
        if gallery is not None:
            gallery.require(base)
        sure = self.options.sure if self.options.sure is not None else base.least_score
        self.pipeline = Pipeline(base.spec.with_options(min_score=min(self.options.doubtful, sure)))
        self._tracker = Tracker(dataclasses.replace(self.options.tracker, sure=sure))
        self._tracks: dict[int, Track] = {}
        self._last: int | None = None
        self._count = 0

    def update(self, frame: Frame) -> list[Seen]:
        """Look at the next frame: the confirmed tracks that are seen in it."""
        (faces,) = self.pipeline.detect([frame.pixels])
        skipped = 0 if self._last is None else max(0, (frame.index - self._last) // self.step - 1)
        self._last = frame.index
        owners = self._tracker.update([face.box for face in faces], [face.score for face in faces], skipped)
        seen = [(motion, face) for motion, face in zip(owners, faces, strict=True) if motion is not None]
        tracks = [self._note(motion, face, frame, len(faces)) for motion, face in seen]
        self._embed([(track, face) for track, (_, face) in zip(tracks, seen, strict=True)], frame)
        sure = [Seen(track, face) for track, (motion, face) in zip(tracks, seen, strict=True) if motion.confirmed]
        for item in sure:
            if not item.track.number:
                self._count += 1
                item.track.number = self._count
        return sure

    @property
    def step(self) -> int:
        """Numbers from one looked-at frame to the next."""
        return 1 if self.options.keyframes else self.options.every

    def ended(self) -> list[Track]:
        """Tracks that ended since the last call, in the order of appearance; unconfirmed ones are forgotten."""
        return self._gather(self._tracker.ended)

    def close(self) -> list[Track]:
        """End all tracks: the remaining ones."""
        rest = self._gather([*self._tracker.ended, *self._tracker.tracks])
        self._tracker.tracks.clear()
        return rest

    def _gather(self, motions: list[Motion]) -> list[Track]:
        found = [self._tracks.pop(motion.number) for motion in motions if motion.confirmed and motion.number in self._tracks]
        for motion in motions:
            self._tracks.pop(motion.number, None)
        self._tracker.ended.clear()
        return sorted(found, key=lambda track: track.number)

    def _note(self, motion: Motion, face: Face, frame: Frame, n_faces: int) -> Track:
        place, track = (frame.index, frame.time), self._tracks.get(motion.number)
        quality = measure(frame.pixels, face, n_faces=n_faces).score
        if track is None:
            track = Track(0, place, place, 0, face, place, -1.0, _shot(frame.pixels, face))
            self._tracks[motion.number] = track
        if quality > track.best_quality:
            track.best, track.best_frame, track.best_quality, track.best_shot = face, place, quality, _shot(frame.pixels, face)
        track.last, track.frames = place, track.frames + 1
        track.qualities.append(quality)  # at the end until `_embed` decides
        return track

    def _embed(self, seen: list[tuple[Track, Face]], frame: Frame) -> None:
        """Embed the faces that are better than what their track has; ask the gallery about the tracks that changed."""
        wanted = []
        for track, face in seen:
            quality = track.qualities.pop()
            room = len(track.vectors) < self.options.samples
            good = quality >= self.options.least_quality or not track.vectors
            if good and (room or quality > 1.05 * track.qualities[-1]):  # a hair better is not worth an embedding in every frame
                wanted.append((track, face, quality))
        if not wanted:
            return
        (vectors,) = self.pipeline.embed_faces([frame.pixels], [[face for _, face, _ in wanted]])
        for (track, _, quality), vector in zip(wanted, vectors, strict=True):
            track.model = vector.model
            track.vectors.append(unit(vector.vector))
            track.qualities.append(quality)
            order = sorted(range(len(track.vectors)), key=lambda place: -track.qualities[place])[: self.options.samples]
            track.vectors, track.qualities = [track.vectors[place] for place in order], [track.qualities[place] for place in order]
        if self.gallery is not None:
            changed = [track for track, _, _ in wanted]
            results = [FaceResult(track.best, track.template) for track in changed]
            for track, answer in zip(changed, self.gallery.identify_results(results, **self.identify), strict=True):
                track.answer = answer


def _shot(pixels: ImageArray, face: Face) -> ImageArray:
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    half = max(face.width, face.height)
    left, top = max(0, int(x - half)), max(0, int(y - half))
    return np.array(pixels[top : int(np.ceil(y + half)) + 1, left : int(np.ceil(x + half)) + 1])


def follow(source: str | Path, tracker: FaceTracker) -> Iterator[tuple[Frame, list[Seen]]]:
    """Read a video, camera or stream (see `image.frames.read`) through a tracker: each frame that is looked at, with its tracked faces.

        tracker = FaceTracker(gallery=open_gallery("people.h5"))
        for frame, seen in follow("film.mp4", tracker):
            for track in tracker.ended(): ...
        for track in tracker.close(): ...

    Raises:
        ConfigError: the tracker has been used before.
    """
    if tracker._last is not None:
        raise ConfigError("a FaceTracker follows one video; make a new one")
    options = tracker.options
    for frame in frames.read(source, every=options.every, keyframes=options.keyframes, reconnect=options.reconnect):
        yield frame, tracker.update(frame)
