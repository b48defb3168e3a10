"""Annotations of faces in pictures, in the formats that data sets come in, and finding the pictures of one file in another.

    .json   what `faceworks detect --json` prints; a face may have "ignore": true
    .xml    dlib's imglab: left, top, width, height; ignore='1'
    .txt    WIDER FACE (`wider_face_val_bbx_gt.txt`): name, count, then x y w h and six attributes, of which the eighth number is "invalid"
    .txt    FDDB (`FDDB-fold-NN-ellipseList.txt`): name, count, then long half axis, short half axis, angle of the long one in radians, center x, y

A face is a mapping with `box` [x1, y1, x2, y2] and, where known, `ignore` and `ellipse`.
"""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from ..errors import ManifestError

__all__ = ["Faces", "by_name", "read_faces"]

Faces: TypeAlias = "dict[str, list[dict[str, Any]]]"
"""Picture -> its faces."""


def read_faces(path: str | Path, scored: bool = False) -> Faces:
    """Read true or found faces; the format follows from the name's end and, for .txt, from the numbers in a line. `scored`: each must have a score.

    Raises:
        ManifestError: the file cannot be read, with the line where there is one.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from error
    if scored and path.suffix.lower() in (".xml", ".txt"):
        raise ManifestError(f"{path}: found boxes need scores; give the JSON that `faceworks detect --json` prints")
    if path.suffix.lower() == ".xml":
        return _imglab(path, text)
    if path.suffix.lower() == ".txt":
        return _listed(path, text.splitlines())
    try:
        found = {str(item["source"]): [dict(face) for face in item["faces"]] for item in json.loads(text)}
        for faces in found.values():
            for face in faces:
                face["box"] = [float(value) for value in face["box"]]
                if len(face["box"]) != 4 or not all(map(math.isfinite, face["box"])):
                    raise ValueError(f"a box has four numbers, got {face['box']}")
                if scored and not math.isfinite(float(face["score"])):
                    raise ValueError(f"a score is a number, got {face['score']}")
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f'{path}: expected [{{"source": …, "faces": [{{"box": [x1, y1, x2, y2], "score": …}}]}}], got {error}') from error
    return found


def _imglab(path: Path, text: str) -> Faces:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ManifestError(f"{path}: a document type or an entity has no place in annotations")
    try:
        found: Faces = {}
        for item in ElementTree.fromstring(text.encode("utf-8") if "encoding=" not in text[:100] else text.encode("latin-1")).iter("image"):
            faces = found.setdefault(str(item.attrib["file"]), [])
            for box in item.iter("box"):
                left, top, width, height = (float(box.attrib[key]) for key in ("left", "top", "width", "height"))
                faces.append({"box": [left, top, left + width, top + height], "ignore": box.get("ignore") == "1"})
    except (ElementTree.ParseError, KeyError, ValueError, UnicodeEncodeError) as error:
        raise ManifestError(f"{path}: expected dlib's imglab format: {error}") from error
    return found


def _listed(path: Path, lines: list[str]) -> Faces:
    """WIDER FACE and FDDB: a name, a count, so many lines of numbers. WIDER writes one line of zeros below the count 0."""
    found: Faces = {}
    index = 0
    while index < len(lines):
        name = lines[index].strip()
        index += 1
        if not name:
            continue
        try:
            count = int(lines[index])
        except (ValueError, IndexError):
            raise ManifestError(f"{path}: a number of faces must follow the name {name!r}", index + 1) from None
        faces = found.setdefault(name, [])
        index += 1
        for _ in range(count):
            faces.append(_numbers(path, lines, index))
            index += 1
        if count == 0 and index < len(lines) and len(lines[index].split()) >= 10 and not any(float(word) for word in lines[index].split()):
            index += 1
    return found


def _numbers(path: Path, lines: list[str], index: int) -> dict[str, Any]:
    words = lines[index].split() if index < len(lines) else []
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) in (5, 6) and values[0] > 0 and values[1] > 0:
        half, short, angle, x, y = values[:5]
        reach = math.hypot(half * math.cos(angle), short * math.sin(angle)), math.hypot(half * math.sin(angle), short * math.cos(angle))
        return {"box": [x - reach[0], y - reach[1], x + reach[0], y + reach[1]], "ellipse": [half, short, angle, x, y]}
    if len(values) in (4, 10):
        x, y, width, height = values[:4]
        return {"box": [x, y, x + width, y + height], "ignore": len(values) == 10 and values[7] == 1}
    got = " ".join(words)[:60]
    raise ManifestError(f"{path}: expected x y w h and WIDER FACE's six attributes, or FDDB's five numbers of an ellipse, got {got!r}", index + 1)


def by_name(found: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """`found` under the names of another file: a source is the picture whose name it ends with, with or without the name's suffix.

    `/data/wider/images/0--Parade/x.jpg` is `0--Parade/x.jpg`, `/data/2002/08/11/big/img_591.jpg` is FDDB's `2002/08/11/big/img_591`.

    Raises:
        ManifestError: sources that no picture's name fits (how many, and the first three), or two for one picture.
    """
    known = {PurePosixPath(name).parts: name for name in names}
    lengths = sorted({len(parts) for parts in known}, reverse=True)
    out: dict[str, Any] = {}
    strange = []
    for source, value in found.items():
        path = PurePosixPath(source.replace("\\", "/"))
        ends = [parts[-length:] for length in lengths for parts in (path.parts, path.with_suffix("").parts) if path.name]
        name = next((known[end] for end in ends if end in known), None)
        if name is None:
            strange.append(source)
        elif name in out:
            raise ManifestError(f"two sources stand for the picture {name}: {source} is the second")
        else:
            out[name] = value
    if strange:
        raise ManifestError(f"{len(strange)} pictures have found boxes but no truth: {', '.join(strange[:3])}")
    return out
