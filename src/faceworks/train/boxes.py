"""Pictures with face boxes and five points: WIDER's label lists, RetinaFace's with landmarks, dlib's imglab XML.

RetinaFace (Deng et al. 2020, table 1) sorts WIDER's faces into five levels by how well points could be annotated: 1 and 2, sixty-eight points,
indisputable and annotatable; 3 and 4, five points likewise; 5, a face by its context alone, without points. Its label file writes −1 for points that
were not annotated: they are masked out of the point loss, while their boxes count.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ManifestError

__all__ = ["BoxedPicture", "FaceLabels", "read_imglab", "read_wider"]

Floats = NDArray[np.float32]
_EYES, _NOSE, _MOUTH = ((36, 42), (42, 48)), 30, (48, 54)
"""Of the 68 points: eyes (left as the viewer sees it first), tip of the nose, corners of the mouth."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceLabels:
    """The N faces of a picture.

    Attributes:
        boxes: (N, 4) float32 x1 y1 x2 y2.
        points: (N, 5, 2) float32, `arcface5`; NaN where they were not annotated.
        levels: (N,) int64, 1 to 5; 0 where unknown.
        ignore: (N,) bool: neither to be found nor to be taken for background.
    """

    boxes: Floats
    points: Floats
    levels: NDArray[np.int64]
    ignore: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, places: NDArray[np.bool_] | NDArray[np.intp]) -> FaceLabels:
        """The faces at these places."""
        return FaceLabels(self.boxes[places], self.points[places], self.levels[places], self.ignore[places])


@dataclass(frozen=True, slots=True, eq=False)
class BoxedPicture:
    """A picture's name, file and faces."""

    name: str
    path: Path
    faces: FaceLabels


def make_faces(rows: Sequence[tuple[Sequence[float], Floats | None, int, bool]]) -> FaceLabels:
    """Faces from (box, points or None, level, ignore) each."""
    nothing = np.full((5, 2), np.nan, np.float32)
    return FaceLabels(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([nothing if row[1] is None else row[1] for row in rows], np.float32).reshape(-1, 5, 2),
        np.array([row[2] for row in rows], np.int64),
        np.array([row[3] for row in rows], bool),
    )


def _numbers(text: str, path: Path, line: int) -> list[float]:
    try:
        return [float(part) for part in text.split()]
    except ValueError as error:
        raise ManifestError(f"{path}: expected numbers, got {text[:60]!r}", line) from error


def _landmark_row(values: list[float], path: Path, line: int) -> tuple[list[float], Floats | None, int, bool]:
    """`x y w h` and, if they are there, five times `x y flag`, a score of quality, a level 1 to 5.

    A flag is 0 where the point is plain, 1 where it was hard to place, −1 where it was not annotated. Where the level does not stand, it is 5 for a face
    without points, 4 with a hard one, else 3: the file cannot tell the faces with 68 points from those.
    """
    if len(values) not in (4, 19, 20, 21):
        raise ManifestError(
            f"{path}: a face is x y w h, then five times x y flag, a score, and a level at most: 4, 19, 20 or 21 numbers, got {len(values)}", line
        )
    x, y, w, h = values[:4]
    box = [x, y, x + w, y + h]
    if len(values) == 4:
        return box, None, 0, w <= 0 or h <= 0
    triples = np.array(values[4:19], np.float32).reshape(5, 3)
    bare = bool((triples == -1).all(axis=1).any())
    level = int(values[20]) if len(values) == 21 else 5 if bare else 4 if (triples[:, 2] > 0).any() else 3
    if not 1 <= level <= 5 or (len(values) == 21 and values[20] != level):
        raise ManifestError(f"{path}: a level is 1 to 5, got {values[20]:g}", line)
    return box, None if bare else triples[:, :2], level, w <= 0 or h <= 0


def _with_landmarks(lines: list[str], path: Path) -> Iterator[tuple[str, FaceLabels]]:
    name = ""
    rows: list[tuple[Sequence[float], Floats | None, int, bool]] = []
    for line, text in enumerate(lines, start=1):
        if text.startswith("#"):
            if name:
                yield name, make_faces(rows)
            name, rows = text[1:].strip(), []
        elif text.strip():
            if not name:
                raise ManifestError(f"{path}: a face before the first picture ('# path')", line)
            rows.append(_landmark_row(_numbers(text, path, line), path, line))
    if name:
        yield name, make_faces(rows)


def _wider_list(lines: list[str], path: Path) -> Iterator[tuple[str, FaceLabels]]:
    """WIDER's own list: name, count, then `x y w h blur expression illumination invalid occlusion pose` for each face (one row of zeros for count 0)."""
    place = 0
    while place < len(lines):
        name = lines[place].strip()
        if not name:
            place += 1
            continue
        if place + 1 >= len(lines) or not lines[place + 1].strip().isdecimal():
            raise ManifestError(f"{path}: expected the number of faces of {name}", place + 2)
        count = int(lines[place + 1])
        place += 2
        if count == 0 and place < len(lines) and lines[place].split() == ["0"] * 10:  # some lists have this row, some do not
            place += 1
        rows: list[tuple[Sequence[float], Floats | None, int, bool]] = []
        for _ in range(count):
            values = _numbers(lines[place], path, place + 1) if place < len(lines) else []
            place += 1
            if len(values) != 10:
                raise ManifestError(f"{path}: {name} has {count} faces of 10 numbers each, got {len(values)} numbers", place)
            x, y, w, h = values[:4]
            rows.append(([x, y, x + w, y + h], None, 0, values[7] == 1 or w <= 0 or h <= 0))
        yield name, make_faces(rows)


def read_wider(path: str | Path, root: str | Path, ignore_levels: Sequence[int] = ()) -> list[BoxedPicture]:
    """WIDER FACE's labels: its own list (`wider_face_train_bbx_gt.txt`) or RetinaFace's with points (`label.txt`), told apart by the first line.

    Faces are ignored where WIDER calls them invalid, where a side is 0, and where their level is in `ignore_levels`.

    Raises:
        ManifestError: a wrong line, or pictures that are not below `root`.
    """
    path, base = Path(path), Path(root)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read as a label list: {error}") from error
    found = []
    for name, faces in (_with_landmarks if lines and lines[0].startswith("#") else _wider_list)(lines, path):
        relative = Path(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise ManifestError(f"{path}: {name!r} is no path below {base}")
        ignore = faces.ignore | np.isin(faces.levels, list(ignore_levels))
        found.append(BoxedPicture(name, base / name, FaceLabels(faces.boxes, faces.points, faces.levels, ignore)))
    if not found:
        raise ManifestError(f"{path}: has no picture")
    absent = [item.name for item in found if not item.path.is_file()]
    if absent:
        raise ManifestError(f"{path}: {len(absent)} of {len(found)} pictures are not below {base}: {', '.join(absent[:3])}")
    return found


def five_of_68(points: NDArray[np.float64]) -> Floats:
    """The five `arcface5` points of sixty-eight (68, 2): centers of the eyes, tip of the nose, corners of the mouth."""
    eyes = [points[start:end].mean(axis=0) for start, end in _EYES]
    return np.array([*eyes, points[_NOSE], *(points[place] for place in _MOUTH)], np.float32)


def _xml_faces(image: ElementTree.Element, path: Path) -> FaceLabels:
    rows: list[tuple[Sequence[float], Floats | None, int, bool]] = []
    for box in image.iter("box"):
        left, top, width, height = (float(box.get(key, "nan")) for key in ("left", "top", "width", "height"))
        if not np.isfinite([left, top, width, height]).all():
            raise ManifestError(f"{path}: a box of {image.get('file')} lacks left, top, width or height")
        parts = {part.get("name", ""): (float(part.get("x", "nan")), float(part.get("y", "nan"))) for part in box.iter("part")}
        points = None
        if len(parts) == 68 and all(name.isdecimal() for name in parts):
            points = five_of_68(np.array([parts[name] for name in sorted(parts, key=int)], np.float64))
        rows.append(([left, top, left + width, top + height], points, 1 if points is not None else 0, box.get("ignore") == "1"))
    return make_faces(rows)


def read_imglab(path: str | Path, ignore_levels: Sequence[int] = ()) -> list[BoxedPicture]:
    """dlib's imglab XML: a file, or a folder whose `.xml` files are read together (of a picture that two of them name, the one with points counts).

    Raises:
        ManifestError: not such a file, or pictures that are not there.
    """
    base = Path(path)
    files = sorted(base.glob("*.xml")) if base.is_dir() else [base]
    found: dict[Path, BoxedPicture] = {}
    for file in files:
        try:
            tree = ElementTree.parse(file)  # expat resolves no external entity, and refuses bombs
        except (OSError, ElementTree.ParseError) as error:
            raise ManifestError(f"{file}: cannot be read as imglab XML: {error}") from error
        for image in tree.iter("image"):
            target = file.parent / image.get("file", "")
            faces = _xml_faces(image, file)
            faces = FaceLabels(faces.boxes, faces.points, faces.levels, faces.ignore | np.isin(faces.levels, list(ignore_levels)))
            if not target.is_file():
                raise ManifestError(f"{file}: the picture {target} is not there")
            if target not in found or not np.isnan(faces.points).all():
                found[target] = BoxedPicture(image.get("file", ""), target, faces)
    if not any(len(item.faces) for item in found.values()):
        raise ManifestError(f"{base}: no picture with a box in {', '.join(file.name for file in files) or 'any .xml file'}")
    return list(found.values())
