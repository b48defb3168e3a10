"""Crops and the contact sheet of a grouped album. The sheet is one HTML file with its pictures inside; nothing in it comes from the network."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import image
from ..errors import FaceworksError
from ..types import FloatArray, ImageArray
from .albums import Album
from .grouping import Groups

__all__ = ["portrait", "write_folders", "write_sheet"]

PORTRAIT = re.compile(r".+-\d+(-\d+)?\.jpg")
"""Names that `write_folders` gives."""
SHOWN = 24
"""Faces of one person on the sheet."""
STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#888}
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:1200px;padding:1.2rem}
h1{font-size:1.5rem;margin:.2rem 0}
section{border-top:1px solid var(--line);padding:.7rem 0}
h2{font-size:1rem;margin:0 0 .4rem}
p,h2 span,figcaption{color:var(--soft)}
h2 span{font-weight:400}
div.faces{display:grid;grid-template-columns:repeat(auto-fill,minmax(88px,1fr));gap:.4rem}
figure{margin:0;min-width:0}
img{width:100%;aspect-ratio:1;object-fit:cover;border-radius:6px;display:block}
figcaption{font-size:.68rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left}
@media print{section{break-inside:avoid}}
"""


def portrait(pixels: ImageArray, box: FloatArray, side: int = 160) -> ImageArray:
    """A square picture of a face: about the box's center, 1.4 times its longer side, black beyond the picture; (side, side, 3)."""
    half = 0.7 * float(max(box[2] - box[0], box[3] - box[1], 1.0))
    x, y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    scale = side / (2 * half)
    matrix = np.array([[scale, 0, scale * (half - x) - 0.5], [0, scale, scale * (half - y) - 0.5]])
    return image.warp(pixels, matrix, (side, side), interpolation="area" if scale < 1 else "linear")


def _portraits(album: Album, wanted: Sequence[int], side: int, load: Callable[[str], ImageArray]) -> dict[int, ImageArray]:
    """Portraits of faces; each picture is opened once. One that is gone or changed gives none."""
    found: dict[int, ImageArray] = {}
    last: tuple[str, ImageArray | None] = ("", None)
    for face in sorted(wanted, key=lambda index: album.pictures[index]):
        name = album.pictures[face]
        if name != last[0]:
            try:
                last = (name, load(name))
            except (FaceworksError, OSError):
                last = (name, None)
        if last[1] is not None:
            found[face] = portrait(last[1], album.boxes[face], side)
    return found


def _people(groups: Groups, least: int) -> Iterator[tuple[int, list[int]]]:
    for label, members in enumerate(groups.members()):
        if len(members) >= least:
            order = sorted(members.tolist(), key=lambda face: -float(np.nan_to_num(groups.similarity[face], nan=1.0)))
            yield label, order


def write_folders(folder: Path, album: Album, groups: Groups, load: Callable[[str], ImageArray], least: int = 1) -> int:
    """A folder for each person with at least `least` faces, with a portrait of each face; the number of portraits.

    Portraits of an earlier run that are not written again are removed, and with them folders that held nothing else: whoever was taken for somebody else is
    not left in their folder. Other files stay.
    """
    written: set[Path] = set()
    for label, members in _people(groups, least):
        person = folder / f"person-{label:05d}"
        person.mkdir(parents=True, exist_ok=True)
        for face, pixels in _portraits(album, members, 256, load).items():
            name = Path(album.pictures[face]).stem[:120]
            target = _free(person / f"{name}-{album.faces[face].rpartition('#')[2]}.jpg", written)
            image.save(target, pixels)
            written.add(target)
    for old in folder.glob("person-" + "[0-9]" * 5):
        for file in old.glob("*-*.jpg"):
            if file not in written and PORTRAIT.fullmatch(file.name):
                file.unlink()
        if not any(old.iterdir()):
            old.rmdir()
    return len(written)


def _free(path: Path, taken: set[Path]) -> Path:
    """Pictures of one name may lie in two folders."""
    candidate, number = path, 1
    while candidate in taken:
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def write_sheet(path: Path, album: Album, groups: Groups, load: Callable[[str], ImageArray], least: int = 2) -> None:
    """index.html: people by size with their faces, then those who may be one person."""
    people = list(_people(groups, least))
    wanted = [face for _, members in people for face in members[:SHOWN]]
    suggested = list(groups.suggestions[:50])
    groups_of = groups.members()
    heads = {label: int(groups_of[label][0]) for item in suggested for label in (item.first, item.second) if len(groups_of[label])}
    shown = _portraits(album, sorted({*wanted, *heads.values()}), 112, load)
    count = len(np.unique(groups.labels))
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'><title>People</title><style>{STYLE}</style>",
        f"<h1>{count} people, {len(album.faces)} faces</h1><p>Groups of {album.model}, joined at a mean cosine of {groups.threshold:.3f} or more. ",
        f"Shown: people with at least {least} faces, the surest faces first, at most {SHOWN} each. All rows are in people.csv.</p>",
    ]
    for label, members in people:
        figures = "".join(_figure(album, face, shown) for face in members[:SHOWN])
        parts.append(f"<section><h2>Person {label} <span>· {len(members)} faces</span></h2><div class=faces>{figures}</div></section>")
    if suggested:
        rows = "".join(
            f"<tr><td>{item.first}</td><td>{item.second}</td><td>{item.similarity:.3f}</td><td>{'a picture shows both, or you said different' if item.apart else ''}"
            f"<td style='width:76px'>{_image(heads.get(item.first), shown)}<td style='width:76px'>{_image(heads.get(item.second), shown)}</tr>"
            for item in suggested
        )
        parts.append(
            f"<section><h2>May be one person</h2><table><tr><th>Person<th>and<th>mean cosine<th>kept apart because{'<th>' * 2}</tr>{rows}</table></section>"
        )
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _image(face: int | None, shown: dict[int, ImageArray]) -> str:
    if face is None or face not in shown:
        return ""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(shown[face]).save(file, "JPEG", quality=80)
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}'>"


def _figure(album: Album, face: int, shown: dict[int, ImageArray]) -> str:
    name = html.escape(album.faces[face], quote=True)
    return f"<figure>{_image(face, shown)}<figcaption title='{name}'>{html.escape(Path(album.pictures[face]).name)}</figcaption></figure>"
