"""The labeled pictures that `bench.attributes` measures on, read where they lie; nothing of them is written."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceworks.attributes.labels import SEVEN


@dataclass(frozen=True)
class Sample:
    """A picture and what is true of it."""

    path: Path
    truth: Mapping[str, str]


def fer2013(data: Path) -> list[Sample]:
    """Half of FER2013's PrivateTest, 48 x 48; the whole picture is the face, as the networks were trained."""
    root = data / "emotion" / "fer2013_privatetest"
    return [Sample(path, {"emotion": label}) for label in SEVEN for path in sorted((root / label).glob("*.jpg"))]


def utkface(data: Path) -> list[Sample]:
    """A stratified sample of UTKFace."""
    folder = data / "age_gender"
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        return [Sample(folder / "utkface" / row["image"], {key: row[key] for key in ("age", "gender", "race")}) for row in csv.DictReader(file)]


def london(data: Path) -> list[Sample]:
    """51 adults, neutral and smiling; ages are their own words."""
    with (data / "london" / "london_info.csv").open(encoding="utf-8") as file:
        people = {row["face_id"]: row for row in csv.DictReader(file)}
    found = []
    for folder, emotion in (("neutral_front", "neutral"), ("smiling_front", "happy")):
        for path in sorted((data / "london" / folder).glob("*.jpg")):
            row = people.get(path.stem.split("_")[0])
            if row is not None:
                truth = {"gender": row["face_gender"], "emotion": emotion, "group": row["face_eth"]}
                found.append(Sample(path, truth | ({"age": row["face_age"]} if row["face_age"] not in ("", "NA") else {})))
    return found


def lfw(data: Path) -> list[Sample]:
    """LFW (deep-funneled): one picture of each of 250 men and 250 women, drawn at random (seed 0)."""
    root = data / "lfw"
    names = [{line.strip().removesuffix(".jpg") for line in (root / f"{kind}_names.txt").open(encoding="utf-8")} for kind in ("male", "female")]
    both = names[0] & names[1]
    people: dict[str, list[Sample]] = {"male": [], "female": []}
    seen: set[str] = set()
    for path in sorted((root / "images").glob("*/*.jpg")):
        kind = next((kind for kind, listed in zip(people, names, strict=True) if path.stem in listed - both), None)
        if kind and path.parent.name not in seen:
            seen.add(path.parent.name)
            people[kind].append(Sample(path, {"gender": kind}))
    rng = np.random.default_rng(0)
    drawn = {kind: sorted(rng.permutation(len(rows))[:750]) for kind, rows in people.items()}
    return [people[kind][index] for kind in people for index in drawn[kind]][::3]


SETS: Mapping[str, tuple[Callable[[Path], list[Sample]], tuple[str, ...]]] = {
    "fer2013": (fer2013, ("emotion",)),
    "utkface": (utkface, ("age", "gender", "race")),
    "london": (london, ("age", "gender", "emotion", "liveness")),
    "lfw": (lfw, ("gender", "liveness")),
}
"""Data set -> (its reader, the attributes it measures)."""


def part_of(path: Path) -> int:
    """0 (weights are chosen on it) or 1 (they are tested on it), by the picture's content."""
    return hashlib.sha256(path.read_bytes()).digest()[-1] % 2
