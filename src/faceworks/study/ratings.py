"""Ratings by people (and by outside models, who count as raters of their own kind): reading, checking, excluding, reliability."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, ManifestError
from .config import Scales
from .naming import EMOTIONS, canonical, nfc
from .stats import alpha, fleiss, icc
from .words import speaker

__all__ = ["COLUMNS", "LEVELS", "OTHER", "Rating", "Ratings", "checked", "exclude", "load_files", "read_rows", "reliability", "scaled", "to_rows"]

COLUMNS = ("rater", "picture", "question", "value", "order", "seconds", "kind", "expected", "source")
"""Columns of the long form; the last five may be absent."""
OTHER = "other"
"""The forced choice's way out."""
LEVELS: Mapping[str, str] = {
    "emotion": "nominal", "intensity": "interval", "valence": "interval", "arousal": "interval", "naturalness": "ordinal", "identity": "nominal",
    "sureness": "interval",
}  # fmt: skip
"""Question -> level of measurement, for Krippendorff's alpha."""
_YES = {"yes": "yes", "y": "yes", "1": "yes", "true": "yes", "같음": "yes", "예": "yes", "네": "yes", "no": "no", "n": "no", "0": "no", "false": "no",
        "다름": "no", "아니오": "no", "아니요": "no"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rating:
    """One answer.

    Attributes:
        value: a label ("emotion", "identity") or a number in the units of the scale.
        kind: "rating", "check" (attention), or "practice"; the last two enter no figure.
        expected: of a check, the right answer. seconds: from showing the picture to the answer of the whole page.
        source: "human" or "ai".
    """

    rater: str
    picture: str
    question: str
    value: str | float
    order: int = 0
    seconds: float | None = None
    kind: str = "rating"
    expected: str = ""
    source: str = "human"


@dataclass(frozen=True, slots=True)
class Ratings:
    """All answers after exclusion, and what was excluded by which rule (rater -> reason)."""

    rows: tuple[Rating, ...]
    excluded: Mapping[str, str] = field(default_factory=dict)
    raters: int = 0

    def of(self, question: str, source: str | None = None) -> list[Rating]:
        """Answers that count, to one question."""
        return [row for row in self.rows if row.question == question and row.kind == "rating" and source in (None, row.source)]

    def means(self, question: str, source: str = "human") -> dict[str, float]:
        """Picture -> mean of a numeric question."""
        groups: dict[str, list[float]] = defaultdict(list)
        for row in self.of(question, source):
            groups[row.picture].append(float(row.value))
        return {name: float(np.mean(values)) for name, values in groups.items()}

    def majority(self, question: str, source: str = "human") -> dict[str, str]:
        """Picture -> most frequent label; a tie is "unsure"."""
        groups: dict[str, list[str]] = defaultdict(list)
        for row in self.of(question, source):
            groups[row.picture].append(str(row.value))
        found = {}
        for name, labels in groups.items():
            top = sorted(set(labels), key=lambda label: (-labels.count(label), label))
            found[name] = "unsure" if len(top) > 1 and labels.count(top[0]) == labels.count(top[1]) else top[0]
        return found


def scaled(question: str, value: float, scales: Scales) -> float:
    """Valence and arousal in [−1, 1] from the points of their scale; others as they are."""
    if question in ("valence", "arousal"):
        middle = (scales.valence_arousal_points + 1) / 2
        return (value - middle) / (middle - 1)
    return value


def checked(question: str, value: Any, scales: Scales, line: int | None, aliases: Mapping[str, str] | None = None) -> str | float:
    """A value in the form it is kept, or `ManifestError` with the line."""
    text = nfc(str(value)).strip()
    if question not in LEVELS:
        raise ManifestError(f"unknown question {question!r}; known: {', '.join(LEVELS)}", line, "question")
    if question == "emotion":
        label = OTHER if text.casefold() in (OTHER, "other/none", "none", "기타", "해당 없음", "기타/해당 없음") else canonical(text, aliases)
        if label is None or (label not in EMOTIONS and label != OTHER):
            raise ManifestError(f"unknown emotion {text!r}; known: {', '.join(EMOTIONS)}, other", line, "value")
        return label
    if question == "identity":
        if text.casefold() not in _YES:
            raise ManifestError(f"identity is answered by yes or no, got {text!r}", line, "value")
        return _YES[text.casefold()]
    low, high = limits(question, scales)
    try:
        number = float(text)
    except ValueError as error:
        raise ManifestError(f"{question} must be a number from {low:g} to {high:g}, got {text!r}", line, "value") from error
    if not low <= number <= high:
        raise ManifestError(f"{question} must lie from {low:g} to {high:g}, got {text}", line, "value")
    return number


def limits(question: str, scales: Scales) -> tuple[float, float]:
    """Smallest and largest value of a numeric question."""
    if question in ("valence", "arousal"):
        return 1.0, float(scales.valence_arousal_points)
    return (1.0, float(scales.naturalness_points)) if question == "naturalness" else (0.0, 100.0)


def load_files(paths: Iterable[str | Path], pictures: Iterable[str], scales: Scales, aliases: Mapping[str, str] | None = None) -> list[Rating]:
    """Answers of long CSV files and of the rating page's JSON exports, each answer once however many files hold it.

    Raises:
        ManifestError: with the line: an unknown picture, question or value; two different answers of one rater to one question on one picture.
        ConfigError: a file that cannot be read.
    """
    known = set(pictures)
    found: dict[tuple[str, str, str, str], Rating] = {}
    for path in map(Path, paths):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the ratings {path}: {error}") from error
        for row, line in read_rows(text, path.name):
            where = f"{path.name}: "
            try:
                item = _rating(row, line, known, scales, aliases)
            except ManifestError as error:
                raise ManifestError(where + str(error)) from error
            place = (item.rater, item.picture, item.question, item.kind)
            other = found.setdefault(place, item)
            if other.value != item.value:
                raise ManifestError(f"{where}{item.rater} answered {item.question} on {item.picture} twice, {other.value} and {item.value}", line)
    return list(found.values())


def read_rows(text: str, name: str) -> list[tuple[dict[str, Any], int]]:
    """Rows of a long CSV, or of the page's JSON, with their lines."""
    if text.lstrip().startswith(("{", "[")):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise ManifestError(f"{name} is not JSON: {error}") from error
        rows = document.get("rows") if isinstance(document, dict) else document
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ManifestError(f"{name}: expected the rating page's export, an object with a list under rows")
        return [(row, number) for number, row in enumerate(rows, start=1)]
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if lacking := [column for column in COLUMNS[:4] if column not in (reader.fieldnames or [])]:
        raise ManifestError(
            f"{name} is no long table of ratings: the columns {', '.join(lacking)} are missing; for another form: faceworks study ratings import", 1
        )
    return [(row, reader.line_num) for row in reader]


def _rating(row: Mapping[str, Any], line: int, known: set[str], scales: Scales, aliases: Mapping[str, str] | None) -> Rating:
    cells = {name: str(row.get(name) if row.get(name) is not None else "").strip() for name in COLUMNS}
    picture = nfc(cells["picture"])
    if not cells["rater"]:
        raise ManifestError("the rater is empty", line, "rater")
    if picture not in known:
        raise ManifestError(f"the picture {picture!r} is not in the manifest", line, "picture")
    kind, source = cells["kind"] or "rating", cells["source"] or "human"
    if kind not in ("rating", "check", "practice") or source not in ("human", "ai"):
        raise ManifestError(f"kind is rating, check or practice and source human or ai, got {kind!r} and {source!r}", line, "kind")
    value = checked(cells["question"], cells["value"], scales, line, aliases)
    try:
        order, seconds = int(float(cells["order"] or 0)), float(cells["seconds"]) if cells["seconds"] else None
    except ValueError as error:
        raise ManifestError(f"order and seconds must be numbers, got {cells['order']!r} and {cells['seconds']!r}", line, "order") from error
    return Rating(cells["rater"], picture, cells["question"], value, order, seconds, kind, cells["expected"], source)


def to_rows(ratings: Iterable[Rating]) -> list[dict[str, Any]]:
    """Rows of the long form."""
    return [{name: getattr(item, name) for name in COLUMNS} for item in ratings]


def exclude(rows: Sequence[Rating], scales: Scales, withdrawn: Iterable[str] = (), language: str = "en") -> Ratings:
    """Leave out raters who withdrew, failed attention checks, or were too quick. Rules are the config's; each exclusion keeps its reason in
    the report's language, but for "withdrawn".

    Raises:
        ConfigError: a withdrawn code that nobody has: a typing error there would keep somebody's answers.
    """
    say = speaker(language)
    raters = list(dict.fromkeys(row.rater for row in rows))
    gone = list(withdrawn)
    if unknown := [code for code in gone if code not in raters]:
        raise ConfigError(f"no rater has the code {', '.join(unknown)}; codes: {', '.join(raters[:20])}{' …' if len(raters) > 20 else ''}")
    excluded: dict[str, str] = dict.fromkeys(gone, "withdrawn")
    for rater in raters:
        own = [row for row in rows if row.rater == rater and row.source == "human"]
        failed = len(
            {row.picture for row in own if row.kind == "check" and row.question == "emotion" and row.expected and str(row.value) != row.expected}
        )
        times = list({(row.picture, row.order): row.seconds for row in own if row.kind == "rating" and row.seconds is not None}.values())
        if rater in excluded or not own:
            continue
        if failed > scales.max_failed_checks:
            excluded[rater] = say(
                "failed {failed} of the attention checks (at most {allowed} allowed)", failed=failed, allowed=scales.max_failed_checks
            )
        elif times and float(np.median([t for t in times if t is not None])) < scales.min_seconds:
            excluded[rater] = say("median time per picture below {seconds} s", seconds=f"{scales.min_seconds:g}")
    # what a withdrawn rater said is gone for good; who was excluded by a rule stays in the count
    kept = tuple(row for row in rows if row.rater not in excluded)
    return Ratings(kept, excluded, len([rater for rater in raters if excluded.get(rater) != "withdrawn"]))


def reliability(ratings: Ratings, scales: Scales, sources: Sequence[str] = ("human",)) -> list[dict[str, Any]]:
    """T6: by question raters, pictures, answers, ICC(2,1) and ICC(2,k) over the pictures that all raters rated, alpha, and Fleiss' kappa for labels."""
    table = []
    for question, level in LEVELS.items():
        rows = [row for row in ratings.of(question) if row.source in sources]
        if not rows:
            continue
        raters = sorted({row.rater for row in rows})
        by_picture: dict[str, dict[str, Any]] = defaultdict(dict)
        for row in rows:
            by_picture[row.picture][row.rater] = row.value if level == "nominal" else scaled(question, float(row.value), scales)
        units = [list(answers.values()) for answers in by_picture.values()]
        entry: dict[str, Any] = {
            "question": question, "level": level, "raters": len(raters), "pictures": len(by_picture), "answers": len(rows),
            "alpha": alpha(units, level), "fleiss_kappa": fleiss(units) if level == "nominal" else None,  # type: ignore[arg-type]
        }  # fmt: skip
        found = None
        complete = (
            [[float(answers[name]) for name in raters] for answers in by_picture.values() if len(answers) == len(raters)]
            if level != "nominal"
            else []
        )
        if len(complete) > 1 and len(raters) > 1:
            found = icc(complete)
        entry |= {f"icc_{key}": None if found is None else getattr(found, key) for key in
                  ("targets", "single", "single_low", "single_high", "average", "average_low", "average_high")}  # fmt: skip
        table.append({key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in entry.items()})
    return table
