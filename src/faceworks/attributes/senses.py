"""The files of `analyze fuse`: one CSV a sense with a distribution in each row, one CSV of labels, and what becomes of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, ManifestError
from ..types import Categorical
from .fuse import Fused, Weights, fit, fuse
from .labels import canonical, to_space

__all__ = ["Judgment", "fuse_files", "read_labels", "read_sense", "to_rows"]

KEYS = ("id", "source")
LABELS = ("label", "emotion", "truth")


@dataclass(frozen=True, slots=True, eq=False)
class Judgment:
    """The moments of several files, judged.

    Attributes:
        rows: id -> what was found; in the order in which the ids first appear.
        weights: what was applied, or None (equal shares over those present).
        scores: with labels: source (and "fused") -> rows, accuracy and log loss. The fused ones by cross-validation: each row is judged by weights that
            were fitted on the other folds.
    """

    rows: Mapping[str, Fused]
    weights: Weights | None
    scores: Mapping[str, Mapping[str, float]]


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            head = [name.strip() for name in reader.fieldnames or [] if name]
            rows = [{(key or "").strip(): (value or "").strip() for key, value in row.items() if isinstance(value, str)} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from error
    if not rows:
        raise ManifestError(f"{path}: has no row", 2)
    return head, rows


def _key(path: Path, head: Sequence[str], rows: Sequence[Mapping[str, str]]) -> list[str]:
    column = next((name for name in KEYS if name in head), None)
    if column is None:
        raise ManifestError(f"{path}: a column {' or '.join(KEYS)} is needed to know what belongs together; it has: {', '.join(head)}", 1)
    faces = "face" in head and column == "source"
    keys = [row[column] + (f"#{row['face']}" if faces and row.get("face", "1") not in ("", "1") else "") for row in rows]
    seen: dict[str, int] = {}
    for line, key in enumerate(keys, start=2):
        if not key:
            raise ManifestError(f"{path}: the {column} is empty", line, column)
        if key in seen:
            raise ManifestError(f"{path}: {key!r} stands in line {seen[key]} already", line, column)
        seen[key] = line
    return keys


def read_sense(path: str | Path) -> dict[str, Categorical | None]:
    """One sense: id -> distribution, None where the row has no number.

    The file has a column `id` (or `source`, as `faceworks analyze --csv` writes it) and one column for each emotion, in English or Korean, with or
    without the prefix `emotion_`. The numbers of a row are brought to the sum 1.

    Raises:
        ManifestError: unreadable, no emotion column, a number that is none, or an id that stands twice.
    """
    path = Path(path)
    head, rows = _table(path)
    columns: dict[str, str] = {}
    for name in head:
        word = name.removeprefix("emotion_")
        try:
            label = canonical(word)
        except InputError:
            continue
        if name in KEYS or name in LABELS:
            continue
        if label in columns:
            raise ManifestError(f"{path}: the columns {columns[label]} and {name} are both {label}", 1)
        columns[label] = name
    if len(columns) < 2:
        raise ManifestError(f"{path}: at least two columns with the names of emotions are needed; it has: {', '.join(head)}", 1)
    found: dict[str, Categorical | None] = {}
    for line, (key, row) in enumerate(zip(_key(path, head, rows), rows, strict=True), start=2):
        cells = {label: row.get(name, "") for label, name in columns.items()}
        found[key] = _distribution(path, line, cells) if any(cells.values()) else None
    return found


def _distribution(path: Path, line: int, cells: Mapping[str, str]) -> Categorical:
    try:
        values = {label: float(cell or 0) for label, cell in cells.items()}
    except ValueError as error:
        raise ManifestError(f"{path}: probabilities must be numbers: {error}", line) from error
    total = sum(values.values())
    if not np.isfinite(total) or total <= 0 or min(values.values()) < 0:
        raise ManifestError(f"{path}: probabilities must be 0 or more and not all 0, got {', '.join(cells.values())}", line)
    shares = {label: value / total for label, value in values.items()}
    return Categorical(max(shares, key=lambda label: shares[label]), shares, path.name)


def read_labels(path: str | Path) -> dict[str, str]:
    """id -> emotion, from the columns `id` and `label` (or `emotion`, `truth`).

    Raises:
        ManifestError: unreadable, a missing column, an unknown emotion, or an id that stands twice.
    """
    path = Path(path)
    head, rows = _table(path)
    column = next((name for name in LABELS if name in head), None)
    if column is None:
        raise ManifestError(f"{path}: a column {', '.join(LABELS)} is needed; it has: {', '.join(head)}", 1)
    found: dict[str, str] = {}
    for line, (key, row) in enumerate(zip(_key(path, head, rows), rows, strict=True), start=2):
        try:
            found[key] = canonical(row[column])
        except InputError as error:
            raise ManifestError(f"{path}: {error}", line, column) from error
    return found


def fuse_files(
    sources: Mapping[str, str | Path],
    labels: str | Path | None = None,
    weights: Mapping[str, float] | None = None,
    space: str = "seven",
    folds: int = 5,
) -> Judgment:
    """Join the files by id and judge every id that at least one of them has.

    Args:
        sources: sense -> CSV (see `read_sense`).
        labels: CSV of labels; the weights are then fitted on its rows, and all sources measured.
        weights: of each sense, instead of fitting.

    Raises:
        ManifestError: a file that cannot be used.
        InputError: both labels and weights, or fewer than ten labeled rows.
    """
    if labels is not None and weights is not None:
        raise InputError("give labels to fit the weights, or the weights, not both")
    senses = {name: read_sense(path) for name, path in sources.items()}
    ids = list(dict.fromkeys(key for rows in senses.values() for key in rows))
    table = {key: {name: rows.get(key) for name, rows in senses.items()} for key in ids}
    table = {key: row for key, row in table.items() if any(item is not None for item in row.values())}
    applied = Weights(dict(weights)) if weights is not None else None
    scores: dict[str, Mapping[str, float]] = {}
    if labels is not None:
        truth = {key: label for key, label in read_labels(labels).items() if key in table}
        applied = fit([table[key] for key in truth], list(truth.values()), space, tuple(senses))
        scores = _measure(table, truth, tuple(senses), space, folds)
    return Judgment({key: fuse(row, applied, space) for key, row in table.items()}, applied, scores)


def _measure(
    table: Mapping[str, Mapping[str, Categorical | None]], truth: Mapping[str, str], senses: tuple[str, ...], space: str, folds: int
) -> dict[str, Mapping[str, float]]:
    """Accuracy and log loss of each source where it is there, and of the pool on rows that its weights have not seen."""
    found: dict[str, Mapping[str, float]] = {}
    for name in senses:
        there = [(key, to_space(item, space, "renormalize")) for key in truth if (item := table[key][name]) is not None]
        if there:
            found[name] = _score([item for _, item in there], [truth[key] for key, _ in there])
    keys = np.array(list(truth), dtype=object)
    part = np.random.default_rng(0).permutation(len(keys)) % folds
    judged: dict[str, Categorical] = {}
    for fold in range(folds):
        train, test = keys[part != fold], keys[part == fold]
        if len(train) < 10:
            return found
        weights = fit([table[key] for key in train], [truth[key] for key in train], space, senses)
        judged |= {key: fuse(table[key], weights, space).emotion for key in test}
    found["fused"] = _score([judged[key] for key in truth], list(truth.values()))
    return found


def _score(said: Sequence[Categorical], truth: Sequence[str]) -> dict[str, float]:
    right = [item.label == label for item, label in zip(said, truth, strict=True)]
    loss = [-np.log(max(item.probabilities.get(label, 0.0), 1e-6)) for item, label in zip(said, truth, strict=True)]
    return {"rows": len(right), "accuracy": float(np.mean(right)), "log_loss": float(np.mean(loss))}


def to_rows(judgment: Judgment) -> list[dict[str, Any]]:
    """One flat row for each id: label, probabilities, and how far each sense moved the answer."""
    rows = []
    for key, item in judgment.rows.items():
        row: dict[str, Any] = {"id": key, "emotion": item.emotion.label}
        row |= {f"emotion_{label}": round(value, 6) for label, value in item.emotion.probabilities.items()}
        row |= {f"moved_{name}": round(value, 6) for name, value in item.moved.items()}
        rows.append(row | {"decisive": " ".join(item.decisive)})
    return rows
