"""Tables on disk: long CSV with a codebook, which R, SPSS, JASP and Excel open; and the same tables T1 to T6 as rows for HTML, LaTeX and DOCX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import StudyConfig
from .identity import rate_key
from .words import Say, speaker

__all__ = ["Table", "codebook", "csv_text", "measure_name", "number", "numbered", "summary_rows", "write_csv"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is printed: all cells are text; `left` columns are words, the others numbers."""

    key: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    left: int = 1


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits; a dash for none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def between(entry: Row, digits: int = 3) -> str:
    """A 95 % interval; a dash for none."""
    return "–" if entry["low"] is None else f"[{number(entry['low'], digits)}, {number(entry['high'], digits)}]"


def counted(entry: Row) -> str:
    """k of n with its interval in percent."""
    if entry["share"] is None:
        return "–"
    return f"{entry['k']}/{entry['n']}, {100 * entry['share']:.1f} % [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    # a spreadsheet would run a cell that begins like a formula
    return f"'{text}" if text and text[0] in "=+-@\t\r" and not text[1:2].isdigit() else text


def csv_text(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """CSV with the union of all keys as columns, in order of first appearance; numbers with all digits."""
    names = list(columns) if columns is not None else list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return out.getvalue()


def write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str] | None = None) -> None:
    """Write a table, UTF-8 with BOM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_text(rows, columns), encoding="utf-8-sig", newline="")


def summary_rows(found: Row) -> list[dict[str, Any]]:
    """Every number of the results as (table, row, column, value), depth first; lists of numbers for figures are left to run.json."""
    rows: list[dict[str, Any]] = []

    def walk(table: str, place: list[str], value: Any) -> None:
        if isinstance(value, Mapping):
            name = [
                str(value[key]) for key in ("embedder", "who", "measure", "question", "role", "what", "a", "b", "term", "condition") if key in value
            ]
            for key, inner in value.items():
                if key not in ("roc", "histogram", "points", "clouds", "rows", "edges"):
                    walk(table, [*place[:-1], " / ".join(name), str(key)] if name and place and place[-1].isdigit() else [*place, str(key)], inner)
        elif isinstance(value, (list, tuple)):
            for index, inner in enumerate(value):
                walk(table, [*place, str(index)], inner)
        elif isinstance(value, (bool, int, float)):
            rows.append({"table": table, "row": " | ".join(place[:-1]), "column": place[-1] if place else "", "value": value})

    for name, section in found.items():
        if name != "warnings":
            walk(name, [], section)
    return rows


_WORDS = {
    "identity": ("text", "key of the person"), "condition": ("text", "emotion shown or aimed at"), "replicate": ("text", "number of the repetition"),
    "generator": ("text", "what made the picture"), "edit": ("text", "edited picture, as the manifest names it"), "source": ("text", "what it is compared with; "
    "in ratings: human or ai"), "embedder": ("text", "model card"), "status": ("text", "ok, or why there is no comparison"),
    "baseline": ("0/1", "1 = the edit aims at neutral (no-op baseline)"), "similarity": ("−1 to 1", "cosine of the two vectors; never compared between embedders"),
    "z": ("SD", "similarity in SD of this set's impostors above their mean"), "z_real": ("SD", "similarity in SD of real people changing expression"),
    "rank": ("count", "1 = no other identity's source is closer to the edit than its own"), "probability": ("0 to 1", "of the same person at prior 0.5, calibrated"),
    "fmr": ("0 to 1", "share of impostor comparisons at least as close"), "fmr_upper": ("0 to 1", "upper 95 % bound of fmr, where it comes from the set"),
    "deepface_confidence": ("percent", "deepface's formula; NOT A PROBABILITY, it jumps at the threshold; kept for comparison with older work, used nowhere"),
    "threshold_source": ("text", "where the threshold of the first metric at the first rate comes from"), "picture": ("text", "as the manifest names it"),
    "role": ("text", "source, edit or reference"), "sha256": ("text", "hash of the file"), "faces": ("count", "faces found"), "height": ("px", "of the picture"),
    "width": ("px", "of the picture"), "face_width": ("px", "of the largest face's box"), "score": ("0 to 1", "of the detector"),
    "quality": ("0 to 100", "quality of the face for recognition; not naturalness"), "displacement": ("eye distances", "mean way of brows, lids and mouth from "
    "source to edit"), "valence": ("−1 to 1", "of the affect model"), "arousal": ("−1 to 1", "of the affect model"), "rater": ("text", "code of the rater"),
    "question": ("text", "emotion, intensity (0 to 100), valence, arousal, naturalness, identity, sureness"), "value": ("as the scale", "the answer"),
    "scaled": ("−1 to 1", "valence and arousal on the models' scale"), "order": ("count", "place in the rater's sequence"), "seconds": ("s", "on this picture"),
    "kind": ("text", "rating, check or practice"), "expected": ("text", "right answer of a check"), "table": ("text", "section"), "row": ("text", "place in it"),
    "column": ("text", "statistic"),
    "control": ("text", "what was done on purpose; such rows enter no figure"), "thumb": ("text", "name of the small picture in thumbs/"),
    "source_thumb": ("text", "the same of the source"), "resized": ("0/1", "edit and source differ in size"), "residual": ("px", "median distance of all "
    "matches outside the face after the fit, at 640 px"), "matches": ("count", "features outside the face that could agree"), "inliers": ("0 to 1", "share of matches "
    "within 2 px of the fit"), "scale": ("ratio", "of the fit, relative to the nominal one"), "sharpness_outside": ("0 to 1", "fine detail outside the face that "
    "the edit keeps"), "verdict": ("text", "local, global or unregistered: evidence, not proof"),
    "prompt": ("text", "from the manifest"), "seed": ("text", "from the manifest"),
}  # fmt: skip
_BEGINS = {
    "distance_": ("distance", "in this metric; smaller = closer"), "threshold_": ("distance", "largest distance that counts as same, metric and rate in the name"),
    "verified_": ("0/1", "distance ≤ threshold; failures to detect are 0"), "emotion_": ("text", "most probable emotion of this model, unsure, or no face"),
    "intensity_": ("0 to 1", "1 − P(neutral) of this model"), "change_": ("0 to 1", "total variation distance of the emotions of source and edit"),
    "delta_e_": ("ΔE2000", "mean color difference in this region"), "ssim_": ("−1 to 1", "mean structural similarity in this region"),
    "same_": ("0 to 1", "share of pixels that differ by at most 2 of 255 in every channel"),
    "p_": ("0 to 1", "probability of this emotion under this model"), "free_": ("text", "free column of the manifest"),
}  # fmt: skip


def codebook(files: Mapping[str, Iterable[str]]) -> list[dict[str, str]]:
    """What each column of each file is: file, column, unit, meaning."""
    rows = []
    for file, columns in files.items():
        for name in columns:
            unit, meaning = _WORDS.get(name) or next((text for start, text in _BEGINS.items() if name.startswith(start)), ("", ""))
            rows.append({"file": file, "column": name, "unit": unit, "meaning": meaning})
    return rows


def numbered(config: StudyConfig, found: Row) -> list[Table]:
    """T1 to T6, in the report's language."""
    say = speaker(config.language)
    return [*_t1(say, found), *_t2(config, say, found), *_t3(say, found), *_t4(say, found), *_t5(say, found), *_t6(say, found)]


def _heads(say: Say, *names: str) -> tuple[str, ...]:
    return tuple(map(say, names))


def _t1(say: Say, found: Row) -> list[Table]:
    rows = [
        (say(r["role"]), say(r["condition"]), str(r["identities"]), str(r["pictures"]), str(r["no_face"]), str(r["unreadable"]), str(r["several_faces"]),
         number(r["face_width"], 0)) for r in found["sample"]["table"]
    ]  # fmt: skip
    head = _heads(say, "Role", "Emotion", "Identities", "Pictures", "No face", "Unreadable", "Several faces", "Median face width, px")
    return [Table("T1", say("Sample"), head, tuple(rows), left=2)]


def _t2(config: StudyConfig, say: Say, found: Row) -> list[Table]:
    rates = [rate_key(f) for f in config.fmrs]
    rows = []
    for r in found["identity"]["t2"]:
        s, z = r["similarity"], r["z"]
        rows.append((r["embedder"], say(r["condition"]), str(s["n"]), number(s["mean"]), number(s["sd"]), between(s), number(z["mean"], 2),
                     between(z, 2), *(counted(r["verified"][rate]) for rate in rates), str(r["failures"])))  # fmt: skip
    head = (*_heads(say, "Embedder", "Emotion", "n", "Mean cosine", "SD", "95 % CI", "Mean z", "95 % CI of z"),
            *(say("Verified at FMR {rate}", rate=rate) for rate in rates), say("Failures"))  # fmt: skip
    note = say("Intervals of means: t over identities. Verified: exact binomial interval; a failure to detect counts as not verified. Cosines are not comparable "
               "between embedders; z is. “all” leaves the no-op baseline out.")  # fmt: skip
    return [Table("T2", say("Identity by emotion and embedder"), head, tuple(rows), note, left=2)]


def confusion_table(say: Say, title: str, matrix: Row) -> Table:
    """Counts and row percentages, with recall and H_u."""
    rows = []
    for name, counts in zip(matrix["rows"], matrix["counts"], strict=True):
        total = sum(counts)
        cells = [f"{count} ({100 * count / total:.0f} %)" if count else "0" for count in counts]
        recall = matrix["recall"].get(name)
        rate = matrix["unbiased_hit_rate"].get(name)
        rows.append((say(name), *cells, counted(recall) if recall else "–", number(rate, 2)))
    head = (say("Target"), *map(say, matrix["columns"]), say("Recall [95 % CI]"), "H_u")
    parts = [say("accuracy {value}", value=counted(matrix["accuracy"])) if matrix["accuracy"] else "",
             say("macro-F1 {value}", value=number(matrix["macro_f1"], 3)), say("κ {value}", value=number(matrix["kappa"], 3)),
             say("top-2 {value}", value=counted(matrix["top2"])) if matrix["top2"] else ""]  # fmt: skip
    note = "; ".join(part for part in parts if part) + ". " + say("The row “source” (pictures before editing) enters no figure.")
    return Table("T3", title, head, tuple(rows), note)


def _t3(say: Say, found: Row) -> list[Table]:
    tables = []
    for model, entry in found["expression"]["models"].items():
        tables.append(confusion_table(say, say("Target × {model}, open set", model=model), entry["open"]))
        tables.append(confusion_table(say, say("Target × {model}, renormalized to the targets and neutral", model=model), entry["renormalized"]))
    titles = {
        "human": ("Target × people (every answer)", "People (most frequent answer) × {model}"),
        "ai": ("Target × outside model (every answer)", "Outside model (most frequent answer) × {model}"),
    }
    for kind, entry in found["expression"]["raters"].items():
        tables.append(confusion_table(say, say(titles[kind][0]), entry["target"]))
        tables += [confusion_table(say, say(titles[kind][1], model=model), matrix) for model, matrix in entry["models"].items()]
        if entry["other"]:
            tables.append(confusion_table(say, say("People × outside model (most frequent answers)"), entry["other"]))
    return tables


def _t4(say: Say, found: Row) -> list[Table]:
    t4 = found["affect"]
    words = {"model": t4["model"] + (f" ({say('stand-in')})" if t4["stand_in"] else ""), "human": say("people"), "ai": say("outside model")}
    rows = [
        (words[r["who"]], say(r["condition"]), str(r["valence"]["n"]), number(r["valence"]["mean"], 2), number(r["valence"]["sd"], 2),
         between(r["valence"], 2), number(r["arousal"]["mean"], 2), number(r["arousal"]["sd"], 2), between(r["arousal"], 2)) for r in t4["table"]
    ]  # fmt: skip
    head = _heads(say, "Who", "Emotion", "n", "Valence", "SD", "95 % CI", "Arousal", "SD", "95 % CI")
    tables = [Table("T4", say("Valence and arousal, −1 to 1"), head, tuple(rows), left=2)]
    if t4["agreement"]:
        between_two = [
            (f"{words[r['a']]} – {words[r['b']]}", say(r["what"]), str(r["n"]), *(number(r[k], 3) for k in ("ccc", "pearson", "rmse", "sagr")))
            for r in t4["agreement"]
        ]  # fmt: skip
        head = _heads(say, "Between", "What", "n", "CCC", "Pearson", "RMSE", "SAGR")
        tables.append(Table("T4", say("Agreement over pictures"), head, tuple(between_two), left=2))
    return tables if t4["table"] else []


def measure_name(say: Say, name: str) -> str:
    """A measure of T5 in the report's language."""
    start = "1 − P(neutral), "
    return say(start + "{model}", model=name.removeprefix(start)) if name.startswith(start) else say(name)


def _t5(say: Say, found: Row) -> list[Table]:
    rows = [
        (measure_name(say, r["measure"]), say(r["condition"]), str(r["n"]), number(r["mean"]), number(r["sd"]), between(r))
        for r in found["intensity"]["table"]
    ]
    note = "Naturalness is empty: nobody has rated it. A quality score for recognition is not naturalness."
    head = _heads(say, "Measure", "Emotion", "n", "Mean", "SD", "95 % CI")
    return [Table("T5", say("Intensity and naturalness"), head, tuple(rows), "" if found["intensity"]["naturalness_rated"] else say(note), left=2)]


def _t6(say: Say, found: Row) -> list[Table]:
    tables = []
    for key, title in (("table", "Rater reliability (people)"), ("with_ai", "Agreement with the outside model as one more rater")):
        rows = []
        for r in found["reliability"][key]:
            single, average = ({"low": r[f"icc_{k}_low"], "high": r[f"icc_{k}_high"]} for k in ("single", "average"))
            rows.append((say(r["question"]), str(r["raters"]), str(r["pictures"]), str(r["answers"]), number(r["icc_single"], 3) + " " + between(single, 2),
                         number(r["icc_average"], 3) + " " + between(average, 2), number(r["alpha"], 3), number(r["fleiss_kappa"], 3)))  # fmt: skip
        if rows:
            head = _heads(say, "Question", "Raters", "Pictures", "Answers", "ICC(2,1)", "ICC(2,k)", "Krippendorff’s α", "Fleiss’ κ")
            note = "ICC over pictures that all raters rated (a dash where blocks are incomplete: then α speaks). α: nominal, ordinal or interval as the question is."
            tables.append(Table("T6", say(title), head, tuple(rows), say(note)))
    return tables
