"""faceworks video SRC and faceworks anonymize PATH…"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import common, detector_options, embedder_options, make_spec
from .output import note, print_json, print_table

if TYPE_CHECKING:
    from ..video import Track

__all__ = ["anonymize", "video"]

COLUMNS = ("track", "first_frame", "last_frame", "first_seconds", "last_seconds", "frames", "person", "person_id", "similarity", "probability",
           "quality", "best_frame", "best_seconds", "x1", "y1", "x2", "y2")  # fmt: skip
MODES = ("blur", "pixelate", "fill")  # equal to hiding.MODES (tested); here so that --help imports no NumPy


@click.command(short_help="Follow and name the faces of a video, camera or stream.")
@click.argument("source", metavar="SRC", type=str)
@click.option("--gallery", metavar="URL", help="Who the faces may be: people.h5, postgresql://… (see `faceworks gallery`).")
@click.option("--out", metavar="TRACKS.csv", type=click.Path(dir_okay=False, path_type=Path), help="One row for each track, written as it ends.")
@click.option("--save", metavar="FILE.mp4", type=click.Path(dir_okay=False, path_type=Path), help="Write the video with boxes, numbers and names.")
@click.option("--best-shots", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write the best picture of each track.")
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Look at every n-th frame.")
@click.option("--keyframes", is_flag=True, help="Look at keyframes alone: fast, for finding who is in a long film.")
@click.option("--frames", "limit", type=click.IntRange(min=1), metavar="N", help="Stop after N frames (for cameras and streams).")
@click.option("--reconnect", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Open a camera or stream again when it breaks off, up to N times in a row.")  # fmt: skip
@click.option("--fpir", type=float, metavar="RATE", help="Share of strangers that may be taken for somebody (needs a calibration).")
@click.option("--threshold", type=float, metavar="T", help="Largest distance that names somebody. Default: the model card's.")
@embedder_options
@detector_options
@common
def video(
    source: str, gallery: str | None, out: Path | None, save: Path | None, best_shots: Path | None, every: int, keyframes: bool, limit: int | None,
    reconnect: int, fpir: float | None, threshold: float | None, as_json: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Follow the faces of SRC: a video file, a camera (/dev/video0) or an rtsp:// stream (which goes on until it ends or you press Ctrl-C).

    A track is one face from its first frame to its last; its template is the quality-weighted mean of its best pictures, and the gallery is asked
    about that. Without --gallery tracks have no names.
    """
    import numpy as np

    from .. import image
    from ..errors import ImageError
    from ..gallery import open_gallery
    from ..image import frames
    from ..video import FaceTracker, VideoOptions, follow

    given = make_spec(options, select="all", on_no_face="empty")
    asked = {name: value for name, value in (("fpir", fpir), ("threshold", threshold)) if value is not None}
    done: list[Track] = []
    nothing = np.zeros((0, 0, 3), np.uint8)
    with contextlib.ExitStack() as stack:
        opened = None if gallery is None else stack.enter_context(open_gallery(gallery, "r"))
        spec = given if opened is None else None
        tracker = FaceTracker(spec, VideoOptions(every=every, keyframes=keyframes, reconnect=reconnect), opened, **asked)
        write_row = stack.enter_context(_table(out)) if out is not None else lambda track: None
        add = stack.enter_context(frames.write(save)) if save is not None else None
        advance = stack.enter_context(_bar(not quiet, "frames"))

        def finish(tracks: list[Track]) -> None:
            for track in tracks:
                write_row(track)
                done.append(track)
                if best_shots is not None:
                    image.save(_made(best_shots) / f"{track.number:04d}-{_name(track) or 'unknown'}.png", track.best_shot)
                track.best_shot = nothing  # memory: only the figures are kept

        number, broken = 0, None
        try:
            for number, (frame, seen) in enumerate(follow(source, tracker), start=1):
                if add is not None:
                    add(_drawn(frame.pixels, seen), frame.time)
                finish(tracker.ended())
                advance()
                if number == limit:
                    break
        except KeyboardInterrupt:
            if not frames.is_live(source):
                raise
        except ImageError as error:
            if not number:
                raise
            broken = error  # what was seen until then is kept, and the error said
        finish(tracker.close())
    if broken is not None:
        note(f"error: {broken}; what stands in the results was seen before")
    if as_json:
        print_json([dict(zip(COLUMNS, _row(track), strict=True)) for track in done])
    elif not quiet:
        rows = [
            (str(t.number), f"{t.first[1]:.2f}", f"{t.last[1]:.2f}", str(t.frames), _name(t) or "-", _similarity(t), f"{t.best_quality:.0f}")
            for t in done
        ]
        print_table([">track", ">from s", ">to s", ">frames", "person", ">similarity", ">best quality"], rows)
        for path in (out, save, best_shots if done else None):
            if path is not None:
                note(f"wrote {path}")
    return 0 if broken is None else 2


def _name(track: Track) -> str:
    return "" if track.answer is None or track.answer.person is None else track.answer.person


def _similarity(track: Track) -> str:
    """To the nearest person, named or not."""
    return "-" if track.answer is None or not track.answer.candidates else f"{track.answer.candidates[0].similarity:.3f}"


def _row(track: Track) -> list[Any]:
    answer = track.answer
    best = answer.candidates[0] if answer is not None and answer.candidates else None
    return [
        track.number, track.first[0], track.last[0], round(track.first[1], 3), round(track.last[1], 3), track.frames,
        None if answer is None else answer.person, None if answer is None else answer.person_id,
        None if best is None else round(best.similarity, 4), None if best is None else best.probability,
        round(track.best_quality, 1), track.best_frame[0], round(track.best_frame[1], 3), *(round(float(value), 1) for value in track.best.box),
    ]  # fmt: skip


@contextlib.contextmanager
def _table(path: Path) -> Iterator[Callable[[Any], None]]:
    from ..errors import ConfigError

    try:
        file = path.open("w", newline="", encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"--out {path}: {error.strerror or error}") from error
    with file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)

        def write(track: Any) -> None:
            writer.writerow(["" if value is None else value for value in _row(track)])
            file.flush()

        yield write


def _drawn(pixels: Any, seen: Any) -> Any:
    from ..draw import draw

    named = [_name(item.track) for item in seen]
    labels = [f"{item.track.number} {name}".strip() for item, name in zip(seen, named, strict=True)]
    colors = [(0, 220, 110) if name else (255, 190, 0) for name in named]
    return draw(pixels, [item.face for item in seen], labels, color=colors, landmarks=False) if seen else pixels


@contextlib.contextmanager
def _bar(shown: bool, what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    from ..batch.progress import bar

    with bar(shown, total, what=what) as advance:
        yield advance


def _made(folder: Path) -> Path:
    from ..errors import ConfigError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror or error}") from error
    return folder


@click.command(short_help="Hide the faces in pictures and videos.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path())
@click.option(
    "--out",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the results; names are kept, JPEG becomes PNG.",
)
@click.option("--mode", type=click.Choice(MODES), default="blur", show_default=True, help="How faces are hidden.")
@click.option("--margin", type=click.FloatRange(min=0), default=0.2, show_default=True, help="Part of the box's sides that is hidden around it.")
@click.option("--shape", type=click.Choice(["ellipse", "box"]), default="ellipse", show_default=True, help="What is hidden of the region.")
@detector_options
@common
def anonymize(paths: tuple[str, ...], out: Path, mode: Any, margin: float, shape: Any, as_json: bool, quiet: bool, **options: Any) -> int:
    """Hide the faces in pictures and videos; PATH is a picture, a folder, a quoted glob, or a video.

    Only what the detector finds is hidden: look at the results before you give them away. A lower --min-score hides more. Videos lose their sound;
    faces stay hidden in frames in which they were missed for a moment.
    """
    from .. import image
    from ..batch import expand, map_images
    from ..hiding import hide
    from ..image import frames
    from ..pipeline import Pipeline
    from ..video import anonymize as anonymize_video

    spec = make_spec({"min_score": 0.3, **{name: value for name, value in options.items() if value is not None}}, select="all", on_no_face="empty")
    videos = [path for path in paths if Path(path).suffix.lower() in frames.SUFFIXES]
    pictures = [path for path in paths if path not in videos]
    _made(out)
    entries: list[dict[str, Any]] = []
    failed = False
    sources = expand(pictures) if pictures else []
    taken: set[Path] = set()
    for item in map_images(Pipeline(spec).detect, sources, progress=not quiet and len(sources) > 8):
        target = _free(out / f"{Path(item.source).stem}.png", taken)
        if item.error is None:
            image.save(target, hide(image.load(item.source), item.result, mode, margin=margin, shape=shape))
            entries.append({"source": str(item.source), "out": str(target), "faces": len(item.result)})
        else:
            failed = True
            note(f"error: {item.error}")
            entries.append({"source": str(item.source), "error": str(item.error)})
    for path in videos:
        target = _free(out / f"{Path(path).stem}.mp4", taken)
        with _bar(not quiet, "frames") as advance:
            count = anonymize_video(path, target, mode, spec, doubtful=spec.min_score or 0.3, advance=advance, margin=margin, shape=shape)
        entries.append({"source": path, "out": str(target), "frames": count})
    if as_json:
        print_json(entries)
    elif not quiet:
        good = [entry for entry in entries if "error" not in entry]
        print_table(["source", "out", ">faces or frames"], [(e["source"], e["out"], str(e.get("faces", e.get("frames")))) for e in good])
    return 2 if failed else 0


def _free(path: Path, taken: set[Path]) -> Path:
    """The path, numbered where this run has written one of that name."""
    candidate, number = path, 1
    while candidate in taken:
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    taken.add(candidate)
    return candidate
