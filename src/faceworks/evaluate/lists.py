"""Readers (and one writer) of pair lists other than LFW's own: FGLFW, CALFW and CPLFW, any CSV, YouTube Faces, templates.

All of them check every line, name the one that is wrong, and refuse pictures that are not there.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..batch import SUFFIXES
from ..errors import ManifestError
from .protocols import Pair, PairList

__all__ = [
    "deal_folds",
    "person_of",
    "read_fglfw_pairs",
    "read_labeled_pairs",
    "read_pairs_csv",
    "read_template_pairs",
    "read_view1",
    "read_youtube_faces",
    "write_fglfw_pairs",
]  # fmt: skip


def _lines(path: Path) -> tuple[list[str], str]:
    try:
        data = path.read_bytes()
        lines = data.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read as a pairs list: {error}") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ManifestError(f"{path}: is empty")
    return lines, hashlib.sha256(data).hexdigest()


def _inside(root: Path, name: str, path: Path, line: int) -> Path:
    relative = Path(name.replace("\\", "/"))
    if not name or relative.is_absolute() or ".." in relative.parts:
        raise ManifestError(f"{path}: {name!r} is no path below {root}", line)
    return root / relative


def person_of(picture: Path) -> str:
    """The person of a picture: of `Name/Name_0001.jpg` its folder, of a flat `Name_0001.jpg` the name without its number."""
    stem, _, number = picture.stem.rpartition("_")
    if stem and number.isdecimal():
        return picture.parent.name if picture.parent.name == stem else stem
    return picture.parent.name


def _check(found: PairList, root: Path) -> PairList:
    absent = [picture for picture in found.pictures if not picture.is_file()]
    if absent:
        names = ", ".join([str(picture) for picture in absent[:5]] + ["…"] * (len(absent) > 5))
        raise ManifestError(f"{found.source}: {len(absent)} of {len(found.pictures)} pictures are not below {root}: {names}")
    return found


def deal_folds(labels: Sequence[bool], folds: int = 10) -> NDArray[np.int64]:
    """Folds from 1 by position within each class: the first tenth of the same pairs and the first tenth of the different ones, and so on."""
    same = np.asarray(labels, bool)
    found = np.zeros(len(same), np.int64)
    for side in (same, ~same):
        n = int(side.sum())
        found[side] = np.minimum(np.arange(n) * folds // max(n, 1), folds - 1) + 1
    return found


def read_fglfw_pairs(path: str | Path, root: str | Path, folds: int = 10) -> PairList:
    """FGLFW's list (Deng et al. 2017): no head, two lines a pair, a picture each (`Name/Name_0001.jpg`).

    In each fold first the same pairs stand, then as many different ones: 12,000 lines make LFW's ten folds of 300 + 300.

    Raises:
        ManifestError: a number of lines that does not divide so, one person in a different pair or two in a same pair (by the pictures' names).
    """
    path, root = Path(path), Path(root)
    lines, digest = _lines(path)
    if len(lines) % (4 * folds):
        raise ManifestError(
            f"{path}: {folds} folds of as many same as different pairs, two lines each, make a multiple of {4 * folds} lines", len(lines)
        )
    size = len(lines) // (4 * folds)
    pairs = []
    for k in range(len(lines) // 2):
        same = k // size % 2 == 0
        first, second = (_inside(root, lines[2 * k + side].strip(), path, 2 * k + side + 1) for side in (0, 1))
        people = (person_of(first), person_of(second))
        if (people[0] == people[1]) != same or first == second:
            word = "the same person" if same else "two people"
            raise ManifestError(f"{path}: lines {2 * k + 1} and {2 * k + 2} must show {word}, got {first.name} and {second.name}", 2 * k + 1)
        pairs.append(Pair(first, second, same, people))
    numbers = np.arange(len(pairs)) // (2 * size) + 1
    return _check(PairList(tuple(pairs), numbers, str(path), digest, f"FGLFW's list format, {folds} folds of {size} + {size} pairs"), root)


def write_fglfw_pairs(path: str | Path, pairs: Iterable[Pair], root: str | Path) -> None:
    """Write pairs (ordered as FGLFW wants them) as two lines each."""
    root = Path(root)
    rows = [side.relative_to(root).as_posix() for pair in pairs for side in (pair.first, pair.second)]
    Path(path).write_text("\n".join(rows) + "\n", encoding="utf-8")


def read_labeled_pairs(path: str | Path, root: str | Path, folds: int = 10) -> PairList:
    """CALFW's and CPLFW's list: no head, two lines a pair, each `picture.jpg label`; the label stands on both lines, 0 = different people.

    XQLFW's list has LFW's own format (`protocols.read_lfw_pairs`). Folds are dealt in the order of the list (`deal_folds`).
    """
    path, root = Path(path), Path(root)
    lines, digest = _lines(path)
    if len(lines) % 2:
        raise ManifestError(f"{path}: two lines make a pair, got {len(lines)} lines", len(lines))
    pairs = []
    for k in range(0, len(lines), 2):
        sides = []
        for number, text in ((k + 1, lines[k]), (k + 2, lines[k + 1])):
            name, _, label = text.strip().rpartition(" ")
            if not name or not label.isdecimal():
                raise ManifestError(f"{path}: expected 'picture.jpg label', got {text[:80]!r}", number)
            sides.append((_inside(root, name.strip(), path, number), int(label)))
        (first, a), (second, b) = sides
        if a != b:
            raise ManifestError(f"{path}: both lines of a pair have one label, got {a} and {b}", k + 1)
        pairs.append(Pair(first, second, a != 0, (person_of(first), person_of(second))))
    numbers = deal_folds([pair.same for pair in pairs], folds)
    return _check(PairList(tuple(pairs), numbers, str(path), digest, f"pairs with labels on two lines, {folds} folds"), root)


def _truth(text: str) -> bool | None:
    return {"1": True, "true": True, "same": True, "0": False, "false": False, "different": False}.get(text.strip().lower())


def read_pairs_csv(path: str | Path, root: str | Path | None = None, folds: int = 10) -> PairList:
    """Any pairs: CSV with the columns first, second, label (1 same, 0 different) and, if they are there, fold, person_a, person_b.

    Paths are taken from `root` (default: the list's folder). Without `fold`, folds are dealt in the list's order; without people their names are
    taken from the pictures (`person_of`), on which the intervals rest.
    """
    path = Path(path)
    base = Path(root) if root is not None else path.parent
    lines, digest = _lines(path)
    reader = csv.DictReader(lines)
    head = reader.fieldnames or []
    if lacking := [name for name in ("first", "second", "label") if name not in head]:
        raise ManifestError(f"{path}: lacks the column {', '.join(lacking)}; it has: {', '.join(head)}", 1)
    pairs, numbers = [], []
    for row in reader:
        line = reader.line_num
        same = _truth(row["label"] or "")
        if same is None:
            raise ManifestError(f"{path}: a label is 1 (same) or 0 (different), got {row['label']!r}", line, "label")
        first, second = (Path(row[name] or "") if Path(row[name] or "").is_absolute() else base / (row[name] or "") for name in ("first", "second"))
        if first == second:
            raise ManifestError(f"{path}: {first.name} is compared with itself", line)
        people = tuple((row.get(name) or "").strip() or person_of(side) for name, side in (("person_a", first), ("person_b", second)))
        if (people[0] == people[1]) != same and row.get("person_a"):
            raise ManifestError(f"{path}: the label says {'same' if same else 'different'}, the people are {people[0]} and {people[1]}", line)
        if same and people[0] != people[1]:
            people = (people[0], people[0])
        if "fold" in head:
            if not (row["fold"] or "").strip().isdecimal():
                raise ManifestError(f"{path}: a fold is a number, got {row['fold']!r}", line, "fold")
            numbers.append(int(row["fold"]))
        pairs.append(Pair(first, second, same, (people[0], people[1])))
    if not pairs:
        raise ManifestError(f"{path}: has no pair", 2)
    dealt = np.array(numbers) if numbers else deal_folds([pair.same for pair in pairs], min(folds, max(2, len(pairs) // 4)))
    how = "folds of the list" if numbers else "folds dealt in its order, people not kept apart"
    return _check(PairList(tuple(pairs), dealt, str(path), digest, f"pairs of a CSV, {how}"), base)


def read_view1(train: str | Path, test: str | Path, root: str | Path, suffix: str = ".jpg") -> PairList:
    """LFW's View 1 (`pairsDevTrain.txt`, `pairsDevTest.txt`): the head is one number n, then n same and n different pairs.

    The threshold is chosen on the training list (fold 0) and judged on the test list (fold 1).
    """
    from .protocols import parse_lfw_lines

    parts, digests = [], []
    for fold, name in ((0, train), (1, test)):
        lines, digest = _lines(Path(name))
        head = lines[0].split()
        if len(head) != 1 or not head[0].isdecimal() or int(head[0]) < 1:
            raise ManifestError(f"{name}: the head of a View 1 list is one number (1100), got {lines[0][:40]!r}", 1)
        found = parse_lfw_lines(Path(name), lines, 1, int(head[0]), Path(root), suffix)
        parts.append((found, np.full(len(found), fold)))
        digests.append(digest)
    pairs = tuple(pair for found, _ in parts for pair in found)
    numbers = np.concatenate([fold for _, fold in parts])
    return _check(
        PairList(pairs, numbers, f"{train}, {test}", "+".join(digests), "LFW View 1: threshold from DevTrain, judged on DevTest"), Path(root)
    )


def _frames(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)) if folder.is_dir() else ()


def read_youtube_faces(path: str | Path, root: str | Path, frames: int = 0) -> PairList:
    """YouTube Faces (Wolf et al. 2011): `splits.txt` with a head, then `split, first, second, same` (5,000 pairs in ten splits).

    A video is the folder `root/Name/number` of its frames; its vector is the mean over frames.

    Args:
        frames: at most so many frames of a video, evenly spread; 0 takes all.
    """
    path, root = Path(path), Path(root)
    lines, digest = _lines(path)
    pairs, numbers, members = [], [], dict[Path, tuple[Path, ...]]()
    for line, text in enumerate(lines, start=1):
        parts = [part.strip() for part in text.split(",")]
        if line == 1 and parts and not parts[0].isdecimal():
            continue
        if len(parts) < 4 or not parts[0].isdecimal() or parts[-1] not in ("0", "1"):
            raise ManifestError(f"{path}: expected 'split, first video, second video, 1 or 0', got {text[:80]!r}", line)
        videos = tuple(_inside(root, name, path, line) for name in parts[1:3])
        for video in videos:
            if video not in members:
                found = _frames(video)
                if not found:
                    raise ManifestError(f"{path}: the video {video} has no frame", line)
                places = np.linspace(0, len(found) - 1, min(frames or len(found), len(found))).round().astype(int)
                members[video] = tuple(found[k] for k in places)
        people = (Path(parts[1]).parts[0], Path(parts[2]).parts[0])
        if (people[0] == people[1]) != (parts[-1] == "1"):
            raise ManifestError(f"{path}: the last number says {parts[-1]}, the people are {people[0]} and {people[1]}", line)
        pairs.append(Pair(videos[0], videos[1], parts[-1] == "1", people))
        numbers.append(int(parts[0]))
    note = "mean of all frames" if not frames else f"mean of at most {frames} frames"
    return PairList(tuple(pairs), np.array(numbers), str(path), digest, f"YouTube Faces, {note}", members)


def read_template_pairs(templates: str | Path, pairs: str | Path, root: str | Path, folds: int = 10) -> PairList:
    """IJB-style templates: a CSV `template,person,picture` (a template has one or more lines) and a CSV of pairs `first,second` of templates (with
    `fold`, if it is there). A template's vector is the mean over its pictures; two templates are the same if their persons are."""
    base, of, owner = Path(root), dict[str, list[Path]](), dict[str, str]()
    lines, digest = _lines(Path(templates))
    reader = csv.DictReader(lines)
    _columns(templates, reader.fieldnames, ("template", "person", "picture"))
    for row in reader:
        name, person = row["template"].strip(), row["person"].strip()
        if owner.setdefault(name, person) != person:
            raise ManifestError(f"{templates}: the template {name} belongs to {owner[name]} and to {person}", reader.line_num)
        of.setdefault(name, []).append(_inside(base, row["picture"].strip(), Path(templates), reader.line_num))
    lines, second_digest = _lines(Path(pairs))
    reader = csv.DictReader(lines)
    _columns(pairs, reader.fieldnames, ("first", "second"))
    found, numbers = [], []
    for row in reader:
        names = (row["first"].strip(), row["second"].strip())
        if unknown := [name for name in names if name not in of]:
            raise ManifestError(f"{pairs}: there is no template {unknown[0]!r} in {templates}", reader.line_num)
        people = (owner[names[0]], owner[names[1]])
        found.append(Pair(Path(names[0]), Path(names[1]), people[0] == people[1], people))
        numbers.append(int(row["fold"]) if (row.get("fold") or "").strip().isdecimal() else -1)
    dealt = np.array(numbers) if numbers and min(numbers) >= 0 else deal_folds([pair.same for pair in found], folds)
    members: Mapping[Path, tuple[Path, ...]] = {Path(name): tuple(pictures) for name, pictures in of.items()}
    return _check(PairList(tuple(found), dealt, str(pairs), f"{digest}+{second_digest}", "templates, mean of their pictures", members), base)


def _columns(path: str | Path, head: Sequence[str] | None, wanted: Sequence[str]) -> None:
    if lacking := [name for name in wanted if name not in (head or [])]:
        raise ManifestError(f"{path}: lacks the column {', '.join(lacking)}; it has: {', '.join(head or [])}", 1)
