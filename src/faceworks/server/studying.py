"""A study as a job: unpack, keep names inside, run, write the report and the page on which people rate."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .archive import unpacked

if TYPE_CHECKING:
    from .options import ServerOptions

__all__ = ["confine", "rated", "study"]

OUTSIDE = re.compile(r"(?:^|[\\/])\.\.(?:[\\/]|$)|^[\\/]|^[A-Za-z]:[\\/]")


def confine(manifest: Path, root: Path) -> None:
    """Refuse a manifest with a cell that leads out of the archive, before anything opens the pictures that it names.

    Every cell is looked at, under each delimiter that a manifest may have: what counts as a name is then not for this check to guess.

    Raises:
        InputError: with the line.
    """
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return  # the study says what is wrong with it
    for delimiter in ",;\t":
        try:
            for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), start=1):
                for cell in (part.strip() for part in row):
                    if OUTSIDE.search(cell):
                        raise InputError(f"line {number} of the manifest names {cell[:120]!r}: names stay inside the archive")
        except csv.Error:
            continue


def study(folder: Path, parameters: Mapping[str, Any], options: ServerOptions) -> None:
    """Run a study. The archive holds pictures and manifest.csv (with study.toml, if it has one), or pictures alone whose names say what they show.

    Raises:
        InputError, ManifestError, ConfigError: see `faceworks.study.run`.
    """
    from .. import study as studies
    from ..study import config, manifest, rating_page

    inside = unpacked(folder, options)
    found = sorted(inside.rglob(manifest.FILE))
    if len(found) > 1:
        raise InputError(f"the archive holds {len(found)} files {manifest.FILE}; one study has one")
    if found:
        confine(found[0], inside)
        if not (found[0].parent / config.FILE).exists():
            from ..study.check import suggested

            (found[0].parent / config.FILE).write_text(config.default_text(parameters["language"], *suggested()), encoding="utf-8")
        place = found[0]
    else:
        inner = [path for path in inside.iterdir() if path.is_dir()]
        root = inner[0] if len(inner) == 1 and not any(path.is_file() for path in inside.iterdir()) else inside
        if not (root / manifest.FILE).exists():
            (root / config.FILE).unlink(missing_ok=True)
            studies.begin(root, language=parameters["language"])
        place = root / manifest.FILE
    out = folder / "out"
    out.mkdir(exist_ok=True)
    settled = config.load(place.parent / config.FILE)
    page, _ = rating_page.rating_page(settled, manifest.read(place, settled.aliases))
    (out / "rating.html").write_text(page, encoding="utf-8")
    studies.run(place, out, skip_missing=True, progress=False)


def rated(folder: Path, parameters: Mapping[str, Any], options: ServerOptions) -> None:
    """Make a study's report again with an uploaded file of ratings, besides those that were uploaded before.

    Raises:
        ManifestError: ratings that cannot be used; they are not kept.
    """
    from .. import study as studies

    kept = options.jobs / parameters["study"] / "ratings"
    kept.mkdir(exist_ok=True)
    fresh = kept / f"{folder.name}{parameters['suffix']}"
    shutil.copyfile(folder / "upload", fresh)
    try:
        studies.report(kept.parent / "out", ratings=sorted(kept.iterdir()))
    except BaseException:
        fresh.unlink()
        raise
