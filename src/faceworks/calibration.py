"""What a similarity means: likelihood ratio, probability, false match rate; and the threshold for a rate that was asked for.

A calibration is measured (`faceworks evaluate calibrate`), stored as numbers in a JSON file, and bound to a recipe: detector, crop, embedder,
converter, test-time augmentation. `find` looks for it in three places: the caller's argument, the user's folder (`calibrations` in the cache
folder), the package. Where there is none, there is none: nothing is invented.

All scores here are cosines, higher = closer, accept at score ≥ threshold. Rates hold for the people and pictures of `dataset`; on others they differ.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import settings
from .errors import ConfigError, InputError, ModelMismatch

__all__ = ["Calibration", "Row", "find", "load", "save", "user_folder"]

PACKAGED = Path(__file__).parent / "calibrations"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Row:
    """The threshold for one false match rate. Intervals are 95 %, by resampling people.

    Attributes:
        fmr: the rate asked for.
        threshold, threshold_low, threshold_high: score; its interval follows from that of the rate.
        reached, low, high: share of impostor comparisons at or above the threshold (≤ fmr), with its interval.
        false_matches: their number.
        fnmr, fnmr_low, fnmr_high: share of genuine comparisons below it; each picture counts once (weight 1 / (pictures of its person − 1)).
        held_out: rates reached by the threshold of one half of the people on the other half, both ways.
    """

    fmr: float
    threshold: float
    threshold_low: float
    threshold_high: float
    reached: float
    low: float
    high: float
    false_matches: int
    fnmr: float
    fnmr_low: float
    fnmr_high: float
    held_out: tuple[float, ...] = ()

    def promised(self, people: int, other: int) -> tuple[float, float]:
        """95 % interval of the rate that the threshold, measured on `people`, shows on `other` different people of the same kind.

        `low` to `high` bounds the rate itself; a finite set of other people adds its own chance: √(1 + people / other) times wider (as logarithms).
        """
        factor = math.sqrt(1 + people / other)
        return self.reached * (max(self.low, 1e-300) / self.reached) ** factor, min(1.0, self.reached * (self.high / self.reached) ** factor)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Numbers measured for one recipe.

    Attributes:
        recipe: `Pipeline.recipe_id` with the metric cosine. models: role -> name @ hash.
        dataset: name and variant. date: ISO 8601. people, pictures, failures (pictures without a face): counts.
        genuine, impostors: comparisons, *all* of them (not a list).
        method: what `llr` uses, "logistic" or "isotonic": the one with the lower cost on people not used for fitting.
        slope, intercept: logistic: llr = slope · score + intercept (natural logarithm).
        knots: isotonic: (score, llr) ascending; straight lines between.
        llr_range: what the data can carry; beyond it llr is cut (rule of three on both tails).
        cllr: cost in bits of each method on people not used for fitting, and "min", that of the best monotone map fitted on the same people.
        rows: thresholds at FMR 1e-1 to the smallest rate that the data carry.
        tail: (score, fmr) with the score ascending: share of impostor comparisons at or above the score, ten times per decade; the last is the floor.
        software: versions that it was measured with.
    """

    recipe: str
    dataset: str
    date: str
    people: int
    pictures: int
    failures: int
    genuine: int
    impostors: int
    method: Literal["logistic", "isotonic"]
    slope: float
    intercept: float
    knots: tuple[tuple[float, float], ...]
    llr_range: tuple[float, float]
    cllr: Mapping[str, float]
    rows: tuple[Row, ...]
    tail: tuple[tuple[float, float], ...]
    models: Mapping[str, str]
    software: Mapping[str, str]
    schema: int = SCHEMA

    def llr(self, score: float) -> float:
        """Natural logarithm of the likelihood ratio, same person over different people."""
        value = self.slope * score + self.intercept if self.method == "logistic" else _between(self.knots, score)
        return max(self.llr_range[0], min(self.llr_range[1], value))

    def probability(self, score: float, prior: float = 0.5) -> float:
        """Probability of the same person at a prior probability in (0, 1)."""
        if not 0.0 < prior < 1.0:
            raise InputError(f"a prior probability lies in (0, 1), got {prior}")
        return 1.0 / (1.0 + math.exp(-(self.llr(score) + math.log(prior / (1 - prior)))))

    @property
    def floor(self) -> float:
        """The smallest false match rate that `fmr_at` gives; scores above those of all counted impostors have it as an upper bound."""
        return self.tail[-1][1]

    def fmr_at(self, score: float) -> float:
        """Share of impostor comparisons at or above a score, not below `floor`; the logarithm is interpolated between the points of `tail`."""
        points = tuple((place, math.log(rate)) for place, rate in self.tail)
        return math.exp(_between(points, score))

    def threshold_at(self, fmr: float) -> float:
        """The score at which impostors are accepted at most at the rate `fmr`; a row of the table where there is one, else from `tail`.

        Raises:
            InputError: the rate is outside (0, 1], or below what the data carry; the message names what it would take.
        """
        if not 0.0 < fmr <= 1.0:
            raise InputError(f"a false match rate lies in (0, 1], got {fmr}")
        for row in self.rows:
            if math.isclose(row.fmr, fmr, rel_tol=1e-9):
                return row.threshold
        if fmr < self.floor:
            raise InputError(
                f"FMR {fmr:g} is below what this calibration carries ({self.floor:.2g}, {self.impostors} impostor comparisons of {self.dataset}); "
                f"it takes {math.ceil(10 / fmr)} comparisons of different people: calibrate on more people, or ask for a larger rate"
            )
        points = tuple((-math.log(rate), place) for place, rate in self.tail)
        return _between(points, -math.log(fmr))

    def row(self, fmr: float) -> Row | None:
        """The table's row for a rate, or None."""
        return next((row for row in self.rows if math.isclose(row.fmr, fmr, rel_tol=1e-9)), None)

    def source(self, fmr: float) -> str:
        """One line for `Verification.threshold_source`."""
        row = self.row(fmr)
        doubt = f" (95 % interval {row.low:.2g} to {row.high:.2g})" if row else ""
        return f"measured for FMR {fmr:g}{doubt} on {self.dataset}: {self.impostors} impostor comparisons of {self.people} people, {self.date[:10]}"


def _between(points: tuple[tuple[float, float], ...], x: float) -> float:
    """Straight lines between ascending points; constant outside."""
    low, high = 0, len(points) - 1
    if x <= points[low][0]:
        return points[low][1]
    if x >= points[high][0]:
        return points[high][1]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if points[middle][0] <= x else (low, middle)
    (x0, y0), (x1, y1) = points[low], points[high]
    return y1 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def user_folder() -> Path:
    """Where calibrations of the user's own lie: `<recipe>.json`."""
    return settings.current().cache / "calibrations"


def save(calibration: Calibration, path: str | Path) -> None:
    """Write as JSON, whole or not at all."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(json.dumps(dataclasses.asdict(calibration), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write the calibration {path}: {error.strerror or error}") from error


def load(path: str | Path) -> Calibration:
    """Read a calibration.

    Raises:
        ConfigError: not there, not JSON, or not of this form; the message names the file and the key.
    """
    path = Path(path)
    try:
        return _load(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise ConfigError(f"cannot read the calibration {path}: {error.strerror or error}") from error


@functools.lru_cache(maxsize=32)
def _load(path: Path, _: int) -> Calibration:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"cannot read the calibration {path}: not JSON: {error}") from error
    where = f"calibration {path}"
    found: Calibration = _build(Calibration, table, where)
    if found.schema != SCHEMA:
        raise ConfigError(f"{where}: schema {found.schema} is not known; this version reads schema {SCHEMA}")
    if found.method not in ("logistic", "isotonic") or len(found.tail) < 2 or (found.method == "isotonic" and len(found.knots) < 2):
        raise ConfigError(f"{where}: method must be logistic or isotonic, with at least two points in tail (and in knots for isotonic)")
    if any(b[0] < a[0] or b[1] > a[1] for a, b in zip(found.tail, found.tail[1:], strict=False)) or not 0 < found.tail[-1][1] <= 1:
        raise ConfigError(f"{where}: tail must ascend in the score and descend in the rate, within (0, 1]")
    return found


def _build(kind: Any, table: Any, where: str) -> Any:
    """A dataclass from JSON, strictly: keys and number types are checked."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: must be an object, got {type(table).__name__}")
    hints = typing.get_type_hints(kind)
    if unknown := sorted(set(table) ^ {item.name for item in dataclasses.fields(kind)}):
        raise ConfigError(f"{where}: unknown or missing keys: {', '.join(unknown)}")
    values = {}
    for name, value in table.items():
        wanted = hints[name]
        if name == "rows":
            values[name] = tuple(_build(Row, item, f"{where}: rows[{index}]") for index, item in enumerate(value))
        elif isinstance(value, list):
            values[name] = tuple(tuple(item) if isinstance(item, list) else item for item in value)
        elif type(value) not in {float: (int, float), int: (int,), str: (str,)}.get(wanted, (type(value),)):
            raise ConfigError(f"{where}: {name} must be {wanted.__name__}, got {value!r}")
        else:
            values[name] = value
    return kind(**values)


def find(recipe: str, given: Calibration | str | Path | None = None) -> Calibration | None:
    """The calibration for a recipe: the given one, else the user's, else the packaged one, else None.

    Raises:
        ModelMismatch: the given one was measured for another recipe.
        ConfigError: a file that cannot be read.
    """
    if given is not None:
        chosen = given if isinstance(given, Calibration) else load(given)
        if chosen.recipe != recipe:
            raise ModelMismatch(
                f"the calibration given was measured for the recipe {chosen.recipe} ({', '.join(chosen.models.values())}), this is {recipe}; "
                "measure one for it: faceworks evaluate calibrate"
            )
        return chosen
    for folder in (user_folder(), PACKAGED):
        path = folder / f"{recipe}.json"
        if path.is_file():
            return load(path)
    return None
