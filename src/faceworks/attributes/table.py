"""Answers as flat rows, for CSV files and data frames, and as short words."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import ConfigError
from ..types import Categorical, FaceResult, Scalar

__all__ = ["flat", "words", "write_csv"]


def flat(result: FaceResult) -> dict[str, str | float]:
    """One face as a row: box, score, then for each attribute its label or value, every probability (`emotion_happy`), entropy or spread, and the model."""
    x1, y1, x2, y2 = (round(float(value), 2) for value in result.face.box)
    row: dict[str, str | float] = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "score": round(result.face.score, 4)}
    for name, item in result.attributes.items():
        if isinstance(item, Categorical):
            row[name] = item.label
            row |= {f"{name}_{label}": round(value, 6) for label, value in item.probabilities.items()}
            row[f"{name}_entropy"] = round(item.entropy, 6)
        else:
            row[name] = round(item.value, 6)
            if item.spread is not None:
                row[f"{name}_spread"] = round(item.spread, 6)
            if item.reasons:
                row[f"{name}_reasons"] = "; ".join(item.reasons)
        row[f"{name}_model"] = item.model
    return row


def words(item: Categorical | Scalar) -> str:
    """ "happy 0.93", or "34 ± 6 years"."""
    if isinstance(item, Categorical):
        return (
            f"{item.label} {max(item.probabilities.values()):.2f}" if item.label != "unsure" else f"unsure ({max(item.probabilities.values()):.2f})"
        )
    digits = 2 if item.range[1] - item.range[0] <= 2 else 0
    unit = "" if item.unit == "1" else "°" if item.unit == "degrees" else f" {item.unit}"
    return f"{item.value:.{digits}f}" + (f" ± {item.spread:.{digits}f}" if item.spread is not None else "") + unit


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows as CSV (UTF-8): whole or not at all. The columns are those of all rows, in the order they first appear; what a row lacks is empty.

    Raises:
        ConfigError: the file cannot be written.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
