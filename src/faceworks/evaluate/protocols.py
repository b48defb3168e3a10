"""Which pictures are compared, and how decisions are scored: pair lists, folds, the ten-fold accuracy of LFW.

LFW ("Labeled Faces in the Wild", Huang et al., UMass TR 07-49) View 2: ten folds of 300 same and 300 different pairs; the threshold of each
fold is chosen on the other nine; mean accuracy ± standard error of the ten is reported. On raw LFW the person meant is the central one: run it with
`select="central"` (largest area − 2 · squared distance of the box center to the picture's center), which is harmless on aligned versions.

**A pair with an undetected face counts as wrong, never as absent**; how many there are is reported next to the accuracy.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, ManifestError
from ..types import frozen
from . import metrics

__all__ = ["FoldResult", "Pair", "PairList", "k_fold", "parse_lfw_lines", "read_lfw_pairs"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures. `people` names who they show, which later resampling needs (two pairs with one person in common are not independent)."""

    first: Path
    second: Path
    same: bool
    people: tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class PairList:
    """The comparisons of a protocol.

    Attributes:
        pairs: N pairs.
        folds: (N,) int64, the fold of each pair, counted from 1.
        source: the file that lists them.
        sha256: hash of that file.
        protocol: what it is called in reports.
        members: template -> its pictures. A pair may compare templates (a video's frames, a person's enrolled pictures) instead of pictures: its
            path is then a key in here, and its vector the mean of the unit vectors of those members in which a face was found.
    """

    pairs: tuple[Pair, ...]
    folds: NDArray[np.int64]
    source: str = ""
    sha256: str = ""
    protocol: str = "pairs"
    members: Mapping[Path, Sequence[Path]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", tuple(self.pairs))
        object.__setattr__(self, "folds", frozen(self.folds, np.int64, (len(self.pairs),), "folds"))
        if not self.pairs:
            raise InputError("a pair list needs at least one pair")

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def labels(self) -> NDArray[np.bool_]:
        """(N,) True where both pictures show one person."""
        return np.array([pair.same for pair in self.pairs], dtype=np.bool_)

    @property
    def pictures(self) -> tuple[Path, ...]:
        """Each picture once, in order of first appearance; of templates their members."""
        sides = dict.fromkeys(path for pair in self.pairs for path in (pair.first, pair.second))
        return tuple(dict.fromkeys(picture for side in sides for picture in self.members.get(side, (side,))))

    def only(self, kept: ArrayLike, note: str) -> PairList:
        """The pairs where `kept` (N,) is True; `note` is added to the protocol's name."""
        mask = np.asarray(kept, dtype=np.bool_)
        pairs = tuple(pair for pair, keep in zip(self.pairs, mask, strict=True) if keep)
        return PairList(pairs, self.folds[mask], self.source, self.sha256, f"{self.protocol}, {note}", self.members)


@dataclass(frozen=True, slots=True, eq=False)
class FoldResult:
    """Accuracy over folds.

    Attributes:
        folds: (F,) int64, their numbers.
        thresholds: (F,) float64, chosen on the other folds.
        accuracies: (F,) float64, over all pairs of the fold.
        mean: mean of the accuracies.
        stderr: their standard deviation (ddof = 1) / √F.
        correct: (N,) bool, for each pair; what a paired test needs.
        failures: number of pairs with an undetected face, all of them counted as wrong.
    """

    folds: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    mean: float
    stderr: float
    correct: NDArray[np.bool_]
    failures: int


def parse_lfw_lines(path: Path, lines: Sequence[str], n_folds: int, size: int, root: Path, suffix: str) -> list[Pair]:
    """The pairs below the head of a list in LFW's format: `n_folds` times `size` same and `size` different ones.

    Raises:
        ManifestError: see `read_lfw_pairs`.
    """
    wanted = 1 + 2 * n_folds * size
    if len(lines) != wanted:
        place = min(len(lines), wanted) + 1
        raise ManifestError(f"{path}: the header promises {n_folds} folds of 2 x {size} pairs, {wanted} lines in all; got {len(lines)}", place)

    def picture(name: str, number: str, line: int) -> Path:
        if not number.isdecimal() or int(number) < 1:
            raise ManifestError(f"{path}: a picture number must count from 1, got {number!r}", line)
        if name in (".", "..") or "/" in name or "\\" in name:
            raise ManifestError(f"{path}: {name!r} is not a person's name", line)
        return root / name / f"{name}_{int(number):04d}{suffix}"

    pairs: list[Pair] = []
    for line, text in enumerate(lines[1:], start=2):
        parts = text.split()
        same = (line - 2) // size % 2 == 0
        if len(parts) != (3 if same else 4):
            form = "'Name i j' (same person)" if same else "'Name i Other j' (two people)"
            raise ManifestError(f"{path}: expected {form}, got {len(parts)} fields: {text[:80]!r}", line)
        first, second = (parts[0], parts[1]), (parts[0], parts[2]) if same else (parts[2], parts[3])
        pair = Pair(picture(*first, line), picture(*second, line), same, (first[0], second[0]))
        if pair.first == pair.second:
            raise ManifestError(f"{path}: {pair.first.name} is compared with itself", line)
        if not same and first[0] == second[0]:
            raise ManifestError(f"{path}: {first[0]} stands in a line for two people as both of them", line)
        pairs.append(pair)
    return pairs


def read_lfw_pairs(path: str | Path, root: str | Path, suffix: str = ".jpg") -> PairList:
    """Read LFW's `pairs.txt` (View 2).

    The first line holds two numbers, F folds and S pairs (`10 300`). Then, F times, S lines `Name i j` (two pictures of one person) and S lines
    `Name i Other j` (of two). Fields are split at white space; picture i of Name is `root/Name/Name_000i.jpg`. Trailing empty lines are allowed.

    Args:
        path: the list.
        root: folder of person folders.
        suffix: of the pictures.

    Raises:
        ManifestError: with the line: a wrong number of fields or lines, a number that is none, a person compared with himself as two people, a
            picture with itself; and, after all lines were read, pictures that are not there (how many, and the first five).
    """
    path, root = Path(path), Path(root)
    try:
        data = path.read_bytes()
        lines = data.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read as a pairs list: {error}") from error
    while lines and not lines[-1].strip():
        lines.pop()
    header = lines[0].split() if lines else []
    if len(header) != 2 or not all(part.isdecimal() and int(part) > 0 for part in header):
        raise ManifestError(f"{path}: the header must be two numbers, folds and pairs of each kind (10 300), got {' '.join(header)[:60]!r}", 1)
    n_folds, size = int(header[0]), int(header[1])
    pairs = parse_lfw_lines(path, lines, n_folds, size, root, suffix)
    folds = np.arange(len(pairs)) // (2 * size) + 1
    found = PairList(tuple(pairs), folds, str(path), hashlib.sha256(data).hexdigest(), f"LFW pairs, {n_folds} folds")
    absent = [picture for picture in found.pictures if not picture.is_file()]
    if absent:
        names = ", ".join([str(picture.relative_to(root)) for picture in absent[:5]] + ["…"] * (len(absent) > 5))
        raise ManifestError(f"{path}: {len(absent)} of {len(found.pictures)} pictures are not below {root}: {names}")
    return found


def k_fold(scores: ArrayLike, labels: ArrayLike, folds: ArrayLike, undetected: ArrayLike | None = None) -> FoldResult:
    """Accuracy with the threshold of each fold chosen on all other folds (`metrics.best_threshold`).

    Fold 0, where there is one, is for development (LFW's View 1): thresholds of all other folds are chosen on it alone, and it is not judged. With
    one judged fold the standard error is the binomial √(p (1 − p) / n).

    Args:
        scores: (N,) higher = closer; what stands where `undetected` is set does not matter (NaN is usual).
        labels: (N,) True for the same person.
        folds: (N,) integers.
        undetected: (N,) True where a face was missed in either picture: counts as wrong, and takes no part in choosing thresholds.

    Raises:
        InputError: fewer than two folds, unequal lengths, a NaN score of a completed pair, or no completed pair to choose a threshold on.
    """
    values, same, fold = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.bool_), np.asarray(folds)
    missed = np.zeros(values.shape, dtype=np.bool_) if undetected is None else np.asarray(undetected, dtype=np.bool_)
    if values.ndim != 1 or not values.shape == same.shape == fold.shape == missed.shape:
        raise InputError(f"scores, labels, folds and undetected must have one shape (N,), got {[a.shape for a in (values, same, fold, missed)]}")
    if not np.isfinite(values[~missed]).all():
        raise InputError("a completed pair has a score that is NaN or infinite; mark it as undetected if it has none")
    numbers = np.unique(fold)
    if len(numbers) < 2:
        raise InputError(f"a threshold is chosen on the other folds: at least two are needed, got {len(numbers)}")
    develop = numbers[0] == 0
    numbers = numbers[1:] if develop else numbers
    thresholds, accuracies = np.empty(len(numbers)), np.empty(len(numbers))
    correct = np.zeros(values.shape, dtype=np.bool_)
    for k, number in enumerate(numbers):
        chosen = (fold == 0 if develop else fold != number) & ~missed
        if not chosen.any():
            raise InputError(f"no threshold can be chosen for fold {number}: every pair outside it has an undetected face")
        thresholds[k] = metrics.best_threshold(values[chosen], same[chosen])
        inside = fold == number
        correct[inside] = ((values[inside] >= thresholds[k]) == same[inside]) & ~missed[inside]
        accuracies[k] = correct[inside].mean()
    mean = float(accuracies.mean())
    alone = len(numbers) == 1
    stderr = math.sqrt(mean * (1 - mean) / int((fold != 0).sum())) if alone else float(accuracies.std(ddof=1)) / math.sqrt(len(numbers))
    for array in (numbers, thresholds, accuracies, correct):
        array.setflags(write=False)
    return FoldResult(numbers.astype(np.int64), thresholds, accuracies, mean, stderr, correct, int(missed.sum()))
