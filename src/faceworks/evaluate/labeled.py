"""Labeled pictures: FER2013, UTKFace, Adience, person folders, any CSV. Read by `train`, and to measure attribute models.

All readers check every line and name the one that is wrong. Pictures are not decoded here: whoever decodes them reports what cannot be.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..batch import SUFFIXES
from ..errors import InputError, ManifestError
from ..types import ImageArray
from .folder import people_of

__all__ = [
    "ADIENCE_AGES",
    "FER2013_EMOTIONS",
    "LabeledPictures",
    "read_adience",
    "read_class_folders",
    "read_fer2013",
    "read_labels_csv",
    "read_person_folders",
    "read_utkface",
]  # fmt: skip

FER2013_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER2013's label k is entry k (Goodfellow et al. 2013, https://arxiv.org/abs/1307.0414)."""
FER2013_SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
FER2013_CSV = {"train": 28_709, "validation": 3_589, "test": 3_589}
FER2013_FOLDERS = {"train": 28_709, "validation": 0, "test": 7_178}
ADIENCE_AGES = ("0-2", "4-6", "8-13", "15-20", "25-32", "38-43", "48-53", "60-")
"""The eight age groups of Levi and Hassner 2015, in years."""
UTKFACE_GENDERS = ("male", "female")
UTKFACE_RACES = ("white", "black", "asian", "indian", "others")
_ADIENCE_LOW = np.array([0, 4, 8, 15, 25, 38, 48, 60])
_ADIENCE_HIGH = np.array([2, 6, 13, 20, 32, 43, 53, 100])
_SIDE = 48


@dataclass(frozen=True, slots=True, eq=False)
class LabeledPictures:
    """N pictures and what is known of each.

    Attributes:
        source: where they came from.
        names: (N,) text, unique: file below the root, or the row of a CSV.
        pictures: (N,) paths, or (H, W) and (H, W, 3) uint8 arrays; `image.load` takes both.
        labels: target → (N,); integers index `classes[target]`, −1 is unknown; floats are values, NaN is unknown.
        classes: target → names of its classes; a target without an entry is a value.
        split: (N,) text ("train", "validation", "test") where the data set says so, else None.
        skipped: (name, reason) of what the labels themselves rule out.
        variant: which of several releases of a data set this is, in words, as far as the counts tell; "" where there is one.
    """

    source: str
    names: NDArray[np.str_]
    pictures: Sequence[Path | ImageArray]
    labels: Mapping[str, NDArray[np.int64] | NDArray[np.float64]]
    classes: Mapping[str, tuple[str, ...]]
    split: NDArray[np.str_] | None = None
    skipped: tuple[tuple[str, str], ...] = field(default=())
    variant: str = ""

    def __post_init__(self) -> None:
        n = len(self.names)
        if not n:
            raise InputError(f"{self.source}: no picture with a label")
        if len(self.pictures) != n or any(len(values) != n for values in self.labels.values()):
            raise InputError(f"{self.source}: {n} names need as many pictures and labels, got {len(self.pictures)} pictures")

    def __len__(self) -> int:
        return len(self.names)

    def take(self, places: NDArray[np.intp] | NDArray[np.bool_]) -> LabeledPictures:
        """The pictures at these places (indices, or a mask)."""
        chosen = np.flatnonzero(places) if places.dtype == bool else places
        return LabeledPictures(
            self.source,
            self.names[chosen],
            [self.pictures[k] for k in chosen],
            {name: values[chosen] for name, values in self.labels.items()},
            self.classes,
            None if self.split is None else self.split[chosen],
            self.skipped,
            self.variant,
        )


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV with a head."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read as CSV: {error}") from error


def _pictures_below(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def read_person_folders(root: str | Path) -> LabeledPictures:
    """A folder of person folders: the target `person`.

    Raises:
        InputError: fewer than two people with a picture.
    """
    people = people_of(root)
    pairs = [(place, path) for place, pictures in enumerate(people.values()) for path in pictures]
    names = np.array([path.relative_to(root).as_posix() for _, path in pairs])
    return LabeledPictures(
        str(root), names, [path for _, path in pairs], {"person": np.array([place for place, _ in pairs], np.int64)}, {"person": tuple(people)}
    )


def read_class_folders(root: str | Path, target: str, classes: Sequence[str] = ()) -> LabeledPictures:
    """Pictures in a folder for each class; `classes` gives their order (default: sorted names). A folder that is no class is an error."""
    base = Path(root)
    folders = sorted(item.name for item in base.iterdir() if item.is_dir() and not item.name.startswith(".")) if base.is_dir() else []
    order = tuple(classes) or tuple(folders)
    if not folders or set(folders) - set(order):
        raise InputError(f"{base}: expected a folder for each class ({', '.join(order) or 'none named'}), got {', '.join(folders) or 'no folder'}")
    pairs = [(order.index(name), path) for name in folders for path in _pictures_below(base / name)]
    names = np.array([path.relative_to(base).as_posix() for _, path in pairs], np.str_)
    return LabeledPictures(str(base), names, [path for _, path in pairs], {target: np.array([k for k, _ in pairs], np.int64)}, {target: order})


def read_fer2013(path: str | Path) -> LabeledPictures:
    """FER2013: its CSV (`emotion,pixels[,Usage]`: 35,887 rows of 48x48 gray values, with the split), or folders: one for each emotion, or `train` and
    `test` (also `validation`) that hold such folders. The target is `emotion` with `FER2013_EMOTIONS`.

    Raises:
        ManifestError: a row without 2,304 values in 0..255, an emotion outside 0..6, an unknown Usage; with its line.
    """
    base = Path(path)
    if base.is_dir():
        return _fer2013_folders(base)
    labels, pixels, splits = [], [], []
    for line, row in _lines(base):
        if row.get("emotion") is None or row.get("pixels") is None:
            raise ManifestError(f"{base}: FER2013's columns are emotion, pixels and Usage, got {', '.join(str(key) for key in row)}", line)
        if row["emotion"] not in tuple("0123456"):
            raise ManifestError(f"{base}: an emotion is 0 to 6, got {row['emotion']!r}", line, "emotion")
        values = row["pixels"].split()
        if len(values) != _SIDE * _SIDE or not all(text.isdecimal() and int(text) <= 255 for text in values):
            raise ManifestError(f"{base}: expected {_SIDE * _SIDE} numbers of 0 to 255, got {len(values)}", line, "pixels")
        usage = row.get("Usage") or "Training"
        if usage not in FER2013_SPLITS:
            raise ManifestError(f"{base}: Usage is one of {', '.join(FER2013_SPLITS)}, got {usage!r}", line, "Usage")
        labels.append(int(row["emotion"]))
        pixels.append(np.array(values, np.uint8).reshape(_SIDE, _SIDE))
        splits.append(FER2013_SPLITS[usage])
    names = np.array([f"row-{k + 1:05d}" for k in range(len(labels))], np.str_)
    split = np.array(splits, np.str_)
    truth = {"emotion": np.array(labels, np.int64)}
    return LabeledPictures(str(base), names, pixels, truth, {"emotion": FER2013_EMOTIONS}, split, variant=_fer2013_variant(split, "CSV"))


def _fer2013_variant(split: NDArray[np.str_] | None, form: str) -> str:
    """Which FER2013: the challenge's CSV, the folder release (whose test holds both of the CSV's, and is never to be called PrivateTest), or neither."""
    if split is None:
        return "FER2013 as folders of emotions, without a split"
    counts = {name: int((split == name).sum()) for name in ("train", "validation", "test")}
    said = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    if form == "CSV":
        names = "PublicTest is validation, PrivateTest is test"
        return (
            f"FER2013, the challenge's CSV ({said}; {names})"
            if counts == FER2013_CSV
            else f"FER2013 as CSV, but not the whole challenge's ({said}; {names})"
        )
    if counts == FER2013_FOLDERS:
        return f"FER2013, the folder release ({said}: PublicTest and PrivateTest together)"
    return f"FER2013 as folders, but not the whole folder release ({said})"


def _fer2013_folders(base: Path) -> LabeledPictures:
    parts = [(name, base / name) for name in ("train", "validation", "test") if (base / name).is_dir()]
    if not parts:
        return dataclasses.replace(read_class_folders(base, "emotion", FER2013_EMOTIONS), variant=_fer2013_variant(None, "folders"))
    found = [read_class_folders(folder, "emotion", FER2013_EMOTIONS) for _, folder in parts]
    names = [f"{name}/{item}" for (name, _), part in zip(parts, found, strict=True) for item in part.names]
    split = np.array([name for (name, _), part in zip(parts, found, strict=True) for _ in range(len(part))])
    return LabeledPictures(
        str(base),
        np.array(names),
        [picture for part in found for picture in part.pictures],
        {"emotion": np.concatenate([part.labels["emotion"] for part in found]).astype(np.int64)},
        {"emotion": FER2013_EMOTIONS},
        split,
        variant=_fer2013_variant(split, "folders"),
    )


def age_group(age: float) -> int:
    """Place in `ADIENCE_AGES` of an age in years. The groups leave gaps: an age in one belongs to the nearest group, to the younger of two as near."""
    return int(np.maximum(np.maximum(_ADIENCE_LOW - age, age - _ADIENCE_HIGH), 0.0).argmin())


def read_utkface(root: str | Path) -> LabeledPictures:
    """UTKFace: names `[age]_[gender]_[race]_[date].jpg` (Zhang et al. 2017, https://arxiv.org/abs/1702.08423): targets `age` (years), `age_group`
    (`ADIENCE_AGES`), `gender`, `race`. Names that do not fit (the set has some) are skipped, with a reason."""
    base = Path(root)
    paths: list[Path] = []
    rows: list[tuple[int, int, int]] = []
    skipped: list[tuple[str, str]] = []
    for path in _pictures_below(base):
        fit = re.match(r"(\d{1,3})_([01])_([0-4])_\d+", path.name)
        if fit is None:
            skipped.append((path.relative_to(base).as_posix(), "its name is not [age]_[gender 0, 1]_[race 0..4]_[date]"))
        else:
            paths.append(path)
            rows.append((int(fit[1]), int(fit[2]), int(fit[3])))
    if not rows:
        raise InputError(f"{base}: no picture with a name of UTKFace, [age]_[gender]_[race]_[date].jpg")
    table = np.array(rows, np.int64)
    groups = np.array([age_group(age) for age in table[:, 0]], np.int64)
    labels: dict[str, NDArray[np.int64] | NDArray[np.float64]] = {
        "age": table[:, 0].astype(np.float64),
        "age_group": groups,
        "gender": table[:, 1],
        "race": table[:, 2],
    }
    classes = {"age_group": ADIENCE_AGES, "gender": UTKFACE_GENDERS, "race": UTKFACE_RACES}
    names = np.array([path.relative_to(base).as_posix() for path in paths])
    return LabeledPictures(str(base), names, paths, labels, classes, None, tuple(skipped))


def _adience_age(text: str) -> int:
    """Group of "(25, 32)" or of a single age; −1 for "None"."""
    numbers = [int(part) for part in re.findall(r"\d+", text)]
    return age_group(numbers[0]) if numbers else -1


def read_adience(root: str | Path, folder: str = "aligned") -> LabeledPictures:
    """Adience (Eidinger et al. 2014): `fold_0_data.txt` … `fold_4_data.txt` beside the folder of pictures (`aligned` or `faces`): targets `age_group`,
    `gender` ("m", "f"; "u" is unknown), `person` (the Flickr user) and `fold`. Pictures that are not there are skipped, with a reason.

    A single age ("35"), and a range that is none of the eight, counts for the group that begins at or below its first number.
    """
    base, prefix = Path(root), {"aligned": "landmark_aligned_face", "faces": "coarse_tilt_aligned_face"}.get(folder)
    if prefix is None:
        raise InputError(f"Adience's folders are aligned and faces, got {folder!r}")
    lists = sorted(base.glob("fold_?_data.txt"))
    if not lists:
        raise InputError(f"{base}: no fold_0_data.txt … fold_4_data.txt")
    paths: list[Path] = []
    rows: list[tuple[int, int, int, int]] = []
    skipped, users = [], dict[str, int]()
    for number, path in enumerate(lists):
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), delimiter="\t")
        for row in reader:
            if any(row.get(key) is None for key in ("user_id", "original_image", "face_id", "age", "gender")):
                raise ManifestError(f"{path}: expected user_id, original_image, face_id, age, gender, separated by tabs", reader.line_num)
            name = f"{row['user_id']}/{prefix}.{row['face_id']}.{row['original_image']}"
            if not (base / folder / name).is_file():
                skipped.append((name, f"is not below {folder}/"))
                continue
            gender = {"m": 0, "f": 1}.get(row["gender"], -1)
            paths.append(base / folder / name)
            rows.append((_adience_age(row["age"]), gender, users.setdefault(row["user_id"], len(users)), number))
    labels = {key: np.array([row[k] for row in rows], np.int64) for k, key in enumerate(("age_group", "gender", "person", "fold"))}
    classes = {"age_group": ADIENCE_AGES, "gender": UTKFACE_GENDERS, "person": tuple(users), "fold": tuple(path.stem for path in lists)}
    names = np.array([path.relative_to(base / folder).as_posix() for path in paths], np.str_)
    return LabeledPictures(str(base), names, paths, labels, classes, None, tuple(skipped))


def read_labels_csv(path: str | Path, root: str | Path | None = None) -> LabeledPictures:
    """Any labels: CSV whose first column is the picture (below `root`; default: the list's folder) and whose others are targets.

    A column in which every entry is a number is a value (empty: NaN), any other is a class (empty: −1), its classes sorted. The column `split`
    is the split.
    """
    path = Path(path)
    base, rows = Path(root) if root is not None else path.parent, list(_lines(path))
    if not rows:
        raise ManifestError(f"{path}: has no picture", 2)
    head = [key for key in rows[0][1] if key is not None]
    for line, row in rows:
        relative = Path((row[head[0]] or "").replace("\\", "/"))
        if not relative.name or relative.is_absolute() or ".." in relative.parts:
            raise ManifestError(f"{path}: {row[head[0]]!r} is no path below {base}", line, head[0])
        if None in row or any(value is None for value in row.values()):
            raise ManifestError(f"{path}: expected {len(head)} entries", line)
    labels: dict[str, NDArray[np.int64] | NDArray[np.float64]] = {}
    classes: dict[str, tuple[str, ...]] = {}
    for target in [key for key in head[1:] if key != "split"]:
        texts = [row[target].strip() for _, row in rows]
        if target != "person" and all(re.fullmatch(r"-?\d+(\.\d*)?", text) for text in texts if text):
            labels[target] = np.array([float(text) if text else np.nan for text in texts])
        else:
            classes[target] = tuple(sorted(set(texts) - {""}))
            labels[target] = np.array([classes[target].index(text) if text else -1 for text in texts], np.int64)
    names = [row[head[0]] for _, row in rows]
    split = np.array([row["split"] for _, row in rows]) if "split" in head else None
    return LabeledPictures(str(path), np.array(names), [base / name for name in names], labels, classes, split)
