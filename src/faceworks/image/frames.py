"""Frames of videos, cameras and network streams. The only module that speaks PyAV."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .. import settings
from ..errors import ImageError
from ..optional import require
from ..types import ImageArray

__all__ = ["SUFFIXES", "Frame", "frame_rate", "is_live", "read", "write"]

SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"})
"""File names that are taken for videos."""
STREAMS = ("rtsp://", "rtsps://")
CAMERAS = {"/dev/video": "v4l2"}
PATIENCE = 15.0
"""Seconds without an answer after which a stream is given up."""
PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before a stream is opened again: doubled after each attempt in vain."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        index: number of the frame in the stream, from 0, skipped ones counted.
        time: seconds from the stream's start.
        pixels: (H, W, 3) uint8 RGB, turned upright where the file says how it was held.
    """

    index: int
    time: float
    pixels: ImageArray


def is_live(source: str | Path) -> bool:
    """Whether it is a camera or a stream, which has no end of its own."""
    return str(source).startswith((*STREAMS, *CAMERAS))


def read(source: str | Path, *, every: int = 1, keyframes: bool = False, reconnect: int = 0) -> Iterator[Frame]:
    """Decode a video frame by frame; memory stays flat however long it is.

    Args:
        source: a video file, a camera ("/dev/video0"), or an RTSP address (rtsp:// or rtsps://; nothing else is fetched from the network).
        every: give every n-th frame.
        keyframes: decode keyframes alone (fast; about one in ten seconds of most files); `every` counts them.
        reconnect: a camera or stream that ends or breaks off after its first frame is opened again, up to so many times without a frame in between, after 1 s, 2 s, 4 s
            and so on. Times go on by the clock, numbers by the stream's rate.

    Raises:
        ImageError: no such file, no video in it, frames beyond `settings.max_image_pixels`, or a stream that breaks off undecodable.
        MissingDependency: without the extra `video`.
    """
    if every < 1 or reconnect < 0:
        raise ImageError(f"every must be at least 1 and reconnect at least 0, got {every} and {reconnect}")
    av = require("av", "video", "reading videos")
    attempts, pause, first, start = 0, PAUSE, 0, 0.0
    last: tuple[int, float, float] | None = None  # number, seconds, and when by the clock
    while True:
        rate = 25.0
        try:
            with _open(av, source) as container:
                stream = _video(container, source, keyframes)
                rate = _rate(stream)
                try:
                    for index, frame in enumerate(container.decode(stream)):
                        if index % every == 0:
                            attempts, pause = 0, PAUSE
                            seconds = start + (float(frame.time) if frame.time is not None else index / rate)
                            last = first + index, seconds, time.monotonic()
                            yield Frame(first + index, seconds, _pixels(frame))
                except av.error.FFmpegError as error:
                    raise ImageError(f"{source} breaks off: {_reason(error)}") from error
        except ImageError:
            if last is None or attempts >= reconnect or not is_live(source):
                raise
        if last is None or attempts >= reconnect or not is_live(source):
            return
        time.sleep(pause)
        attempts, pause = attempts + 1, min(2 * pause, LONGEST_PAUSE)
        start = last[1] + time.monotonic() - last[2]
        first = last[0] + every * max(1, math.ceil((start - last[1]) * rate / every))


def _video(container: Any, source: str | Path, keyframes: bool) -> Any:
    """The stream to decode, within the limits."""
    if not container.streams.video:
        raise ImageError(f"{source} holds no video; its streams: {', '.join(item.type for item in container.streams) or 'none'}")
    stream = container.streams.video[0]
    limit = settings.current().max_image_pixels
    if stream.width * stream.height > limit:
        raise ImageError(f"{source} has frames of {stream.width}x{stream.height}; the limit is {limit} pixels (max_image_pixels in the settings)")
    stream.thread_type = "AUTO"
    if keyframes:
        stream.codec_context.skip_frame = "NONKEY"
    return stream


def _pixels(frame: Any) -> ImageArray:
    pixels = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), (getattr(frame, "rotation", 0) or 0) // 90 % 4))
    pixels.setflags(write=False)
    return pixels


def _rate(stream: Any) -> float:
    return float(stream.average_rate or stream.guessed_rate or 25)


def _open(av: Any, source: str | Path) -> Any:
    text = str(source)
    if "://" in text and not text.startswith(STREAMS):
        raise ImageError(f"{text!r} is not read: give a video file, a camera such as /dev/video0, or an rtsp:// address")
    form = next((form for prefix, form in CAMERAS.items() if text.startswith(prefix)), None)
    if not text.startswith(STREAMS) and form is None and not Path(text).is_file():
        raise ImageError(f"{text} does not exist; give a video file, a camera such as /dev/video0, or an rtsp:// address")
    # A media file may name others (playlists, concatenations): only the protocols of the source itself are let in.
    options = {"protocol_whitelist": "rtsp,rtsps,rtp,udp,tcp,tls,crypto" if text.startswith(STREAMS) else "file,crypto"}
    options |= {"rtsp_transport": "tcp"} if text.startswith(STREAMS) else {}
    try:
        return av.open(text, format=form, options=options, timeout=PATIENCE if text.startswith(STREAMS) else None)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise ImageError(f"{text} cannot be read as a video: {_reason(error)}; give a video file, a camera or an rtsp:// address") from error


def _reason(error: Exception) -> str:
    """What happened, without FFmpeg's numbers and the names of its functions."""
    return str(getattr(error, "strerror", None) or error)


def frame_rate(source: str | Path) -> float:
    """Frames in a second as the file states them (25 where it does not)."""
    av = require("av", "video", "reading videos")
    with _open(av, source) as container:
        return _rate(container.streams.video[0]) if container.streams.video else 25.0


class write:  # noqa: N801  used like `open`
    """A video file to write to: `with write("out.mp4") as add: add(pixels, seconds)`. H.264 where PyAV has an encoder for it, else MPEG-4.

    All pictures (H, W, 3) uint8 RGB of one size; an odd last row or column is cut off (4:2:0 color). Each is shown from its `seconds` on, to the millisecond;
    without them at `rate` frames a second. Written beside and renamed: whole or not at all.

    Raises:
        ImageError: the file cannot be written.
    """

    def __init__(self, path: str | Path, rate: float = 25.0) -> None:
        self.path, self.rate = Path(path), rate
        self.temporary = self.path.with_name(f".{self.path.stem}.part{self.path.suffix}")
        self.av = require("av", "video", "writing videos")
        self.stream: Any = None
        self.last = -1

    def __enter__(self) -> Any:
        try:
            self.container = self.av.open(str(self.temporary), "w")
        except (self.av.error.FFmpegError, OSError, ValueError) as error:
            raise ImageError(f"{self.path} cannot be written as a video: {_reason(error)}") from error
        return self.add

    def add(self, pixels: ImageArray, seconds: float | None = None) -> None:
        """Append a frame; `seconds` must grow, and be given always or never."""
        height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
        if self.stream is None:
            rate = Fraction(self.rate).limit_denominator(1001)
            name = "libx264" if "libx264" in self.av.codecs_available else "mpeg4"
            self.stream = self.container.add_stream(name, rate=rate)
            self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
            self.stream.codec_context.time_base = 1 / rate if seconds is None else Fraction(1, 1000)  # MPEG-4 knows no finer clock than 1/65535
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
        self.last = self.last + 1 if seconds is None else max(self.last + 1, round(1000 * seconds))
        frame.pts, frame.time_base = self.last, self.stream.codec_context.time_base
        for packet in self.stream.encode(frame):
            self.container.mux(packet)

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if self.stream is not None and kind is None:
                for packet in self.stream.encode():
                    self.container.mux(packet)
            self.container.close()
        finally:
            if kind is None and self.stream is not None and self.temporary.exists():
                self.temporary.replace(self.path)
            else:
                self.temporary.unlink(missing_ok=True)
