"""Ratings from other programs: a TOML map says what its columns are; the result is the long form that everything else reads.

form = "wide"                    # one line per rater: Qualtrics, Google Forms
rater = "ResponseId"
skip_lines = 2                   # Qualtrics writes two more lines below the head
columns = "{picture}_{question}" # how a column's name says both; or a table [column] for each, see below
form = "trials"                  # one line per picture: jsPsych; the questions are columns, JSON inside a cell by a dot (response.Q0)
picture = "stimulus"
form = "long"                    # one line per answer; columns rater, picture, question, value under any names

[questions]   emo = "emotion"    # the program's word -> ours
[pictures]    "img/01.png" = "01_happy.png"       # only where the names differ (folders in front are ignored)
[values.emotion]  1 = "happy"    # codes -> labels or numbers
[scales]      valence = [-4, 4]  # their ends -> ours, straight
[columns_of]  "Q7 무슨 감정" = ["01_happy.png", "emotion"]   # columns that no pattern explains
"""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ..cards.schema import build
from ..errors import CardError, ConfigError, ManifestError
from .config import Scales
from .naming import nfc
from .ratings import LEVELS, Rating, checked, limits

__all__ = ["Map", "import_file", "read_map"]


@dataclass(frozen=True, slots=True)
class Map:
    """What the columns of a foreign file are; see the head of this module."""

    form: Literal["wide", "trials", "long"]
    rater: str
    picture: str = "picture"
    question: str = "question"
    value: str = "value"
    seconds: str = ""
    seconds_per: float = 1.0
    skip_lines: int = 0
    columns: str = ""
    questions: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    scales: Mapping[str, Any] = field(default_factory=dict)
    columns_of: Mapping[str, Any] = field(default_factory=dict)


def read_map(path: str | Path) -> Map:
    """Read a map, strictly.

    Raises:
        ConfigError: unreadable, an unknown key or question, or a form without what it needs.
    """
    try:
        found = build(Map, tomllib.loads(Path(path).read_text(encoding="utf-8-sig")), str(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the map {path}: {error}") from error
    except CardError as error:
        raise ConfigError(str(error)) from error
    named = [*found.questions.values(), *found.scales, *(pair[1] for pair in found.columns_of.values())]
    if unknown := sorted({name for name in named if name not in LEVELS}):
        raise ConfigError(f"{path}: unknown questions {', '.join(unknown)}; known: {', '.join(LEVELS)}")
    if found.form == "wide" and not found.columns and not found.columns_of:
        raise ConfigError(f'{path}: the form "wide" needs columns = "{{picture}}_{{question}}" or a table [columns_of]')
    if found.form == "trials" and not found.questions:
        raise ConfigError(f'{path}: the form "trials" needs a table [questions]: column = "emotion" and so on')
    return found


def import_file(path: str | Path, mapping: Map, pictures: Iterable[str], scales: Scales, aliases: Mapping[str, str] | None = None) -> list[Rating]:
    """Answers of a foreign file in the long form. Empty cells are no answers.

    Raises:
        ManifestError: with line and column: a missing column, an unknown picture or question, a value outside its scale.
        ConfigError: the file cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}; save it as UTF-8") from error
    rows = _rows(text, path, mapping)
    known = _names(pictures)
    found: list[Rating] = []
    order: dict[str, int] = {}
    for row, line in rows:
        rater = nfc(str(_cell(row, mapping.rater, line))).strip()
        if not rater:
            continue
        seconds = _seconds(row, mapping, line)
        for picture, question, value in _answers(row, mapping, line, known):
            if str(value).strip() == "":
                continue
            place = order.setdefault(rater, 0) + 1
            order[rater] = place
            found.append(Rating(rater, picture, question, _value(question, value, mapping, scales, line, aliases), place, seconds))
    if not found:
        raise ManifestError(f"{path.name} gave no answer at all; look at form, columns and questions in the map")
    return found


def _rows(text: str, path: Path, mapping: Map) -> list[tuple[dict[str, Any], int]]:
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise ManifestError(f"{path.name} is not JSON: {error}") from error
        if not all(isinstance(row, dict) for row in rows):
            raise ManifestError(f"{path.name}: expected a list of objects")
        return [(row, number) for number, row in enumerate(rows, start=1)]
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if mapping.rater not in (reader.fieldnames or []):
        raise ManifestError(
            f"{path.name} has no column {mapping.rater!r} (the map's rater); it has: {', '.join((reader.fieldnames or [])[:12])}", 1, mapping.rater
        )
    return [(row, reader.line_num) for row in reader][mapping.skip_lines :]


def _names(pictures: Iterable[str]) -> dict[str, str]:
    """Every way a picture may be called -> its name in the manifest: whole, without folders, without suffix; ambiguous short forms are left out."""
    known: dict[str, str] = {}
    twice: set[str] = set()
    names = list(pictures)
    for name in names:
        for form in {PurePosixPath(name).name, PurePosixPath(name).stem, str(PurePosixPath(name).with_suffix(""))}:
            if known.setdefault(form, name) != name:
                twice.add(form)
    return {form: name for form, name in known.items() if form not in twice} | {name: name for name in names}


def _cell(row: Mapping[str, Any], name: str, line: int) -> Any:
    """A cell; `a.b` reaches into JSON inside the cell `a`."""
    if name in row:
        return "" if row[name] is None else row[name]
    head, _, rest = name.partition(".")
    if not rest or head not in row:
        raise ManifestError(f"there is no column {name!r}", line, name)
    inner = row[head]
    if isinstance(inner, str):
        try:
            inner = json.loads(inner) if inner.strip() else {}
        except ValueError as error:
            raise ManifestError(f"the cell is not JSON: {error}", line, head) from error
    for key in rest.split("."):
        inner = inner.get(key, "") if isinstance(inner, dict) else ""
    return "" if inner is None else inner


def _seconds(row: Mapping[str, Any], mapping: Map, line: int) -> float | None:
    if not mapping.seconds or mapping.form == "wide":
        return None
    text = str(_cell(row, mapping.seconds, line)).strip()
    try:
        return float(text) / mapping.seconds_per if text and text != "null" else None
    except ValueError as error:
        raise ManifestError(f"{mapping.seconds} must be a number, got {text!r}", line, mapping.seconds) from error


def _picture(name: Any, mapping: Map, known: Mapping[str, str], line: int, column: str) -> str:
    text = nfc(str(name)).strip()
    text = nfc(mapping.pictures.get(text, text))
    found = known.get(text) or known.get(PurePosixPath(text.replace("\\", "/")).name)
    if found is None:
        raise ManifestError(f"the picture {text!r} is not in the manifest; say which it is under [pictures]", line, column)
    return found


def _answers(row: Mapping[str, Any], mapping: Map, line: int, known: Mapping[str, str]) -> Sequence[tuple[str, str, Any]]:
    if mapping.form == "long":
        word = str(_cell(row, mapping.question, line)).strip()
        question = mapping.questions.get(word, word)
        return [(_picture(_cell(row, mapping.picture, line), mapping, known, line, mapping.picture), question, _cell(row, mapping.value, line))]
    if mapping.form == "trials":
        if str(_cell(row, mapping.picture, line)).strip() == "":
            return []  # jsPsych writes lines for instructions and fixation crosses too
        values = [(question, _cell(row, column, line)) for column, question in mapping.questions.items()]
        if all(str(value).strip() == "" for _, value in values):
            return []
        picture = _picture(_cell(row, mapping.picture, line), mapping, known, line, mapping.picture)
        return [(picture, question, value) for question, value in values]
    found = [(_picture(pair[0], mapping, known, line, column), str(pair[1]), _cell(row, column, line)) for column, pair in mapping.columns_of.items()]
    if mapping.columns:
        words = "|".join(map(re.escape, sorted({*mapping.questions, *LEVELS}, key=len, reverse=True)))
        parts = re.split(r"(\{picture\}|\{question\})", mapping.columns)
        pattern = "".join({"{picture}": "(?P<picture>.+?)", "{question}": f"(?P<question>{words})"}.get(part, re.escape(part)) for part in parts)
        for column, value in row.items():
            match = re.fullmatch(pattern, nfc(str(column)))
            if match and column not in mapping.columns_of:
                word = match.group("question")
                found.append((_picture(match.group("picture"), mapping, known, line, str(column)), mapping.questions.get(word, word), value))
    return found


def _value(question: str, value: Any, mapping: Map, scales: Scales, line: int, aliases: Mapping[str, str] | None) -> str | float:
    coded = mapping.values.get(question, {})
    value = coded.get(str(value).strip(), value) if isinstance(coded, Mapping) else value
    if question in mapping.scales:
        try:
            low, high = (float(end) for end in mapping.scales[question])
            number = float(value)
        except (TypeError, ValueError) as error:
            raise ManifestError(f"{question} must be a number on the scale {mapping.scales[question]}, got {value!r}", line, question) from error
        ours = limits(question, scales)
        value = ours[0] + (number - low) * (ours[1] - ours[0]) / (high - low)
    return checked(question, value, scales, line, aliases)
