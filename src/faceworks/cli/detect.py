"""faceworks detect PATH…"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from .options import common, detector_options, make_spec, save_option
from .output import box_text, faces_entry, note, print_json, print_table

if TYPE_CHECKING:
    from ..batch import Item
    from ..pipeline import PipelineSpec
    from ..types import Face

__all__ = ["complain", "detect", "picture_targets", "run_over", "save_pictures", "told"]


@click.command(short_help="Find the faces in pictures.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path())
@click.option(
    "--all", "compare", is_flag=True, help="Run every detector that is ready and draw them on one contact sheet (--save, default detectors.png)."
)
@detector_options
@save_option
@common
def detect(paths: tuple[str, ...], compare: bool, save: str | None, as_json: bool, quiet: bool, **options: Any) -> int:
    """Find the faces in pictures; PATH is a picture, a folder, or a quoted glob.

    Boxes are x1,y1 x2,y2 in pixels of the picture, y down. A picture without a face is an answer, not an error. A picture that cannot be read is
    named on stderr, the others are done, and the exit code is 2. With several pictures --save names a folder.
    """
    spec = make_spec(options, select="all", on_no_face="empty")
    if compare:
        return _compare(paths, save, as_json, quiet, spec)
    from ..api import get_pipeline

    items = run_over(get_pipeline(spec).find, paths, quiet)
    if save is not None:
        told(save_pictures(save, items, lambda item: item.result), as_json, quiet)
    if as_json:
        print_json([faces_entry(item.source, item.result or [], item.error) for item in items])
    elif quiet:
        for item in items:
            click.echo(f"{item.source}\t{'error' if item.error else len(item.result)}")
    else:
        print_table(["picture", ">face", ">box x1,y1 x2,y2", ">score"], [row for item in items if not item.error for row in _rows(item)])
        faces = sum(len(item.result or []) for item in items)
        bad = sum(item.error is not None for item in items)
        read, unread = len(items) - bad, f" ({bad} could not be used)" * bool(bad)
        click.echo(f"{faces} face{'s' * (faces != 1)} in {read} picture{'s' * (read != 1)}{unread}; detector {spec.detector}")
    return complain(items)


def _compare(paths: Sequence[str], save: str | None, as_json: bool, quiet: bool, spec: PipelineSpec) -> int:
    """Every detector on every picture: a sheet for each picture, a row or an entry for each detector."""
    from .. import image
    from ..contact import contact_sheet, sightings
    from ..runtime import SessionOptions

    options = SessionOptions(spec.device, spec.threads)
    items = run_over(lambda pictures: [sightings(picture, None, options, spec.min_score) for picture in pictures], paths, quiet)
    done = [item for item in items if item.error is None]
    several = len(done) > 1
    targets = picture_targets(save or ("detectors" if several else "detectors.png"), [item.source for item in done]) if done else []
    for item, target in zip(done, targets, strict=True):
        image.save(target, contact_sheet(image.load(item.source), item.result))
    if as_json:
        print_json(
            [
                {
                    "source": str(item.source),
                    "detectors": [
                        {"detector": one.detector, "milliseconds": one.milliseconds, "faces": faces_entry("", one.faces)["faces"]}
                        | ({"error": one.error} if one.error else {})
                        for one in item.result or ()
                    ],
                }
                | ({"error": str(item.error)} if item.error else {})
                for item in items
            ]
        )
    elif not quiet:
        rows = [
            (
                str(item.source),
                one.detector,
                "-" if one.error else str(len(one.faces)),
                one.error.splitlines()[0] if one.error else f"{one.milliseconds:.0f}",
            )
            for item in done
            for one in item.result
        ]
        print_table(["picture", "detector", ">faces", ">ms"], rows)
        click.echo(f"drawn: {', '.join(map(str, targets))}")
    return complain(items)


def _rows(item: Item) -> list[tuple[str, str, str, str]]:
    faces: Sequence[Face] = item.result
    if not faces:
        return [(str(item.source), "-", "no face found", "-")]
    return [(str(item.source), str(number), box_text(face), f"{face.score:.3f}") for number, face in enumerate(faces, start=1)]


def run_over(function: Callable[[Sequence[Any]], list[Any]], paths: Sequence[str], quiet: bool) -> list[Item]:
    """Expand paths and run a function over the pictures, with a progress bar when a person looks at it."""
    from ..batch import expand, map_images

    sources = expand(paths)
    many = len(sources) > 8  # decoding and preparing one picture beside another's network keeps the cores busy
    executor: Literal["threads", "serial"] = "threads" if many else "serial"
    return list(map_images(function, sources, executor, batch_size=8 if len(sources) > 1 else 1, progress=not quiet and many))


def complain(items: Sequence[Item]) -> int:
    """Name every picture that could not be used, on stderr; the exit code."""
    for item in items:
        if item.error is not None:
            name = str(item.source)
            note(f"error: {item.error}" if name in str(item.error) else f"error: {name}: {item.error}")
    return 2 if any(item.error is not None for item in items) else 0


def picture_targets(save: str, sources: Sequence[Any]) -> list[Path]:
    """Where the drawn pictures go: the file itself for one picture, else one name each in the folder, numbered where two pictures share a name."""
    from ..errors import ConfigError

    target = Path(save)
    if len(sources) == 1 and target.suffix:
        return [target]
    if len(sources) > 1 and target.suffix and not target.is_dir():
        raise ConfigError(f"--save {save}: {len(sources)} pictures need a folder, not one file")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--save {save}: {error.strerror or error}") from error
    names: list[str] = []
    for source in sources:
        stem, number = Path(source).stem, 1
        while f"{stem}{f'-{number}' * (number > 1)}.png" in names:
            number += 1
        names.append(f"{stem}{f'-{number}' * (number > 1)}.png")
    return [target / name for name in names]


def told(written: Sequence[Path], as_json: bool, quiet: bool) -> None:
    """Say which pictures were written."""
    if written and not (as_json or quiet):
        note(f"wrote {written[0]}" if len(written) == 1 else f"wrote {len(written)} pictures to {written[0].parent}")


def save_pictures(save: str, items: Sequence[Item], faces_of: Callable[[Item], Sequence[Face]]) -> list[Path]:
    """Draw the faces of each picture that could be used, and write it; where."""
    from .. import image
    from ..draw import draw

    done = [item for item in items if item.error is None]
    targets = picture_targets(save, [item.source for item in done]) if done else []
    for item, path in zip(done, targets, strict=True):
        faces = faces_of(item)
        labels = [f"{number}: {face.score:.2f}" for number, face in enumerate(faces, start=1)]
        image.save(path, draw(image.load(item.source), faces, labels))
    return targets
