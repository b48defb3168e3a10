"""Reports as pages: from the plain content of `report.json` to sections with tables and charts. Rates stand in ISO's words and the seeds'."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .document import Document, Section, Table
from .svg import Axis, Series, bar_chart, line_chart

__all__ = ["WORDS", "curves", "doubts", "pair_report", "percent", "reliability_chart", "span", "summary_sections", "threshold_chart"]

WORDS = (
    "FMR: false match rate, share of comparisons of different people that are accepted; FNMR: false non-match rate, share of comparisons of one "
    "person that are refused (ISO/IEC 19795-1, completed comparisons). FAR and FRR count whole transactions, failures to detect a face included: "
    "FRR = FTA + (1 − FTA) · FNMR, FAR = (1 − FTA) · FMR. In other words TAR = 1 − FRR (1 − FNMR where no face was missed), TRR = 1 − FAR. "
    "Accept means score ≥ threshold. In square brackets: 95 % interval by resampling people, never narrower than the exact binomial one where fewer "
    "than ten errors were seen."
)


def percent(value: float | None, digits: int = 2) -> str:
    """A rate in percent."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def span(interval: Sequence[float | None] | None, digits: int = 2) -> str:
    """An interval in percent, in square brackets."""
    if not interval or interval[0] is None or interval[1] is None:
        return ""
    return f" [{100 * interval[0]:.{digits}f}, {100 * interval[1]:.{digits}f}]"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.2e}"


def curves(doc: Mapping[str, Any]) -> list[str]:
    """ROC and DET with bands, and the histogram of scores."""
    roc = [row for row in doc.get("roc", []) if None not in row]
    if not roc:
        return []
    low = roc[0][0]
    lowest = min(row[2] for row in roc)
    floor = max(0.0, lowest - 0.15 * (1 - lowest))
    x = Axis("FMR (false match rate)", low, 1.0, "log")
    charts = [
        line_chart(
            "ROC with 95 % band",
            [Series("TAR", [(f, t) for f, t, _, _ in roc], [(f, a, b) for f, _, a, b in roc])],
            x,
            Axis("TAR = 1 − FNMR", floor, 1.0),
        )
    ]
    ticks = tuple(t for t in (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5) if t >= low * 0.99)
    cut = 1e-4
    points = [(f, max(1 - t, cut)) for f, t, _, _ in roc if f < 0.5]
    band = [(f, max(1 - b, cut), max(1 - a, cut)) for f, _, a, b in roc if f < 0.5]
    if points:
        charts.append(
            line_chart(
                "DET with 95 % band",
                [Series("FNMR", points, band)],
                Axis("FMR", low, 0.5, "probit", ticks),
                Axis("FNMR", cut, 0.5, "probit", (1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5)),
            )
        )
    histogram = doc.get("histogram")
    if histogram:
        groups = [("same person", histogram["genuine"]), ("different people", histogram["impostor"])]
        name = f"score ({doc.get('score', 'higher = closer')})"
        charts += [bar_chart("Scores", histogram["edges"], groups, name), threshold_chart(_accepted(histogram), name)]
    return charts


def _accepted(histogram: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    """(threshold, VAL, FAR) at the edges of the bins."""
    shares = []
    for kind in ("genuine", "impostor"):
        total = max(sum(histogram[kind]), 1)
        shares.append([sum(histogram[kind][k:]) / total for k in range(len(histogram["edges"]))])
    return list(zip(histogram["edges"], *shares, strict=True))


def threshold_chart(rows: Sequence[tuple[float, float, float]], name: str = "threshold") -> str:
    """VAL (TAR) and FAR (FMR) against the threshold, as FaceNet draws them."""
    rows = sorted(rows)
    lines = [Series("TAR (VAL)", [(t, val) for t, val, _ in rows]), Series("FMR (FAR)", [(t, far) for t, _, far in rows])]
    return line_chart("Accepted at a threshold", lines, Axis(name, rows[0][0], rows[-1][0]), Axis("share accepted", 0.0, 1.0))


def reliability_chart(rows: Sequence[Mapping[str, Any]], title: str = "Reliability of stated probabilities") -> str:
    """Stated probability against the share that was true."""
    points = [(row["stated"], row["true"]) for row in rows]
    band = [(row["stated"], row["interval"][0], row["interval"][1]) for row in rows]
    diagonal = Series("perfect", [(0.0, 0.0), (1.0, 1.0)], dashed=True)
    unit = Axis("stated probability (prior 0.5)", 0.0, 1.0)
    return line_chart(title, [Series("true", points, band, dots=True), diagonal], unit, Axis("share that was the same person", 0.0, 1.0))


def summary_sections(doc: Mapping[str, Any]) -> list[Section]:
    """Error rates and curves of a summary."""
    intervals = doc.get("intervals", {})
    facts = [
        ("AUC", "–" if doc["auc"] is None else f"{doc['auc']:.5f}" + _five(intervals.get("auc"))),
        ("EER", percent(doc["eer"]) + span(intervals.get("eer"))),
        ("d′", "–" if doc["d_prime"] is None else f"{doc['d_prime']:.3f}"),
        ("min Cllr (bits)", "–" if doc["min_cllr"] is None else f"{doc['min_cllr']:.4f}"),
        ("FTA (genuine, impostor comparisons)", f"{percent(doc['fta_genuine'])}, {percent(doc['fta_impostor'])}"),
        ("completed comparisons", f"{doc['genuine']} genuine, {doc['impostors']} impostor, {doc['people']} people"),
    ]
    rows = []
    for rate, point in doc["tar_at_fmr"].items():
        rows.append(
            (
                rate,
                percent(1 - point["tar"]) + span([1 - point["tar_interval"][1], 1 - point["tar_interval"][0]]),
                percent(point["tar"]) + span(point["tar_interval"]),
                f"{_rate(point['fmr'])} [{_rate(point['fmr_interval'][0])}, {_rate(point['fmr_interval'][1])}], {point['false_accepts']} errors",
                "none accepted" if point["threshold"] is None else f"{point['threshold']:.4f}",
                f"{percent(point['frr'])}, {_rate(point['far'])}",
            )
        )
    head = ("FMR asked for", "FNMR", "TAR at that FMR (VAL@FAR)", "FMR reached", "threshold (score)", "FRR, FAR")
    tables = [Table(("measure", "value"), facts), *([Table(head, rows)] if rows else [])]
    text = WORDS
    if doc.get("refused"):
        text += f"\n\nNot given: FMR {', '.join(doc['refused'])}. {doc['impostors']} impostor comparisons do not carry them (rule of three: 3 / FMR)."
    if doc.get("independent"):
        text += "\n\nNo people were named: comparisons were taken as independent. If they share people, the intervals are too narrow."
    return [Section("Error rates", text, tables), Section("Curves", charts=curves(doc))]


def _five(interval: Sequence[float | None] | None) -> str:
    return f" [{interval[0]:.5f}, {interval[1]:.5f}]" if interval and None not in interval else ""


def _group_section(group: Mapping[str, Any]) -> Section:
    rows = [
        (
            item["group"],
            f"{item['genuine']}",
            percent(item["fnmr"]) + span(item["fnmr_interval"]),
            f"{item['impostors']}",
            percent(item["fmr"], 3) + span(item["fmr_interval"], 3),
        )
        for item in group["groups"]
    ]
    across = [(name, str(n), str(errors)) for name, (n, errors) in group["across"].items()]
    names = {"fnmr_ratio": "FNMR ratio", "fmr_ratio": "FMR ratio", "fnmr_gini": "FNMR Gini", "fmr_gini": "FMR Gini"}
    word = [f"{words} {group[name]:.3g}" for name, words in names.items() if group[name] is not None]
    text = (
        f"One threshold for all: score {group['threshold']:.4f}. A genuine pair counts in its person's group, an impostor pair if both people are in "
        f"it. {group['unknown']} pairs had no known group on both sides. {', '.join(word) or 'Ratio and Gini are not defined here'}."
    )
    tables = [Table((group["column"], "genuine pairs", "FNMR", "impostor pairs within", "FMR within"), rows)]
    if across:
        tables.append(Table(("across groups", "impostor pairs", "false matches"), across))
    return Section(f"By {group['column']}", text, tables)


def doubts(counts: Mapping[str, int]) -> str:
    """What is odd about a list of pairs; "" where nothing is."""
    found = []
    if counts.get("repeated"):
        found.append(f"{counts['repeated']} pairs stand in the list more than once")
    if counts.get("identical"):
        found.append(f"{counts['identical']} pairs compare a file with a copy of itself")
    return "; ".join(found)


def _methods(doc: Mapping[str, Any]) -> Section:
    models = "; ".join(
        f"{role} {item['name']} (SHA-256 {', '.join(h[:12] for h in item['files'].values())}; weights: {item['weights_license']})"
        for role, item in doc["models"].items()
    )
    shown = {key: value for key, value in doc["options"].items() if value not in (None, "", [], False) and key not in ("detector", "embedder")}
    options = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())
    software = ", ".join(f"{name} {version}" for name, version in doc["software"].items())
    return Section(
        "Methods",
        f"{doc['counts']['pairs']} pairs ({doc['counts']['genuine']} of the same person, {doc['counts']['impostor']} of different people; "
        f"{doc['counts']['pictures']} pictures, {doc['counts']['people']} people) of {doc['dataset'] or 'the data set'} were "
        f"compared by {doc['protocol']}"
        f"{' (list ' + Path(doc['pairs_file']).name + ', SHA-256 ' + doc['pairs_sha256'][:12] + ')' if doc['pairs_file'] else ''}. "
        f"Models: {models}. Options: {options}. Recipe {doc['recipe']}. The score is the {doc['score']}. For each fold the "
        f"threshold with the best accuracy on the other folds was taken; accuracy is the mean over folds ± its standard "
        f"error. A pair with an undetected face counts as wrong. "
        f"Intervals: 95 %, vertex bootstrap over people (a genuine pair weighs w_i, an impostor pair w_i · w_j). "
        f"Software: {software}. Date: {doc['date']}.",
    )


def pair_report(doc: Mapping[str, Any], pictures: Mapping[str, Path] | None = None) -> Document:
    """The pages of a run over pairs. `pictures`: name -> file, where the worst pairs may be shown."""
    accuracy, missed = doc["accuracy"], doc["failures_to_detect"]
    lead = (
        f"Accuracy {100 * accuracy['mean']:.2f} ± {100 * accuracy['stderr']:.2f} %{span(accuracy['interval'])}, "
        f"{missed['pictures']} pictures without a found face ({missed['pairs']} pairs, counted as wrong)"
        + (f", {missed['fallbacks']} pictures cut by the fall-back" if missed["fallbacks"] else "")
        + "."
        + (f" Beware: {odd}." if (odd := doubts(doc["counts"])) else "")
    )
    folds = [(str(k + 1), percent(a), f"{t:.4f}") for k, (a, t) in enumerate(zip(accuracy["folds"], accuracy["thresholds"], strict=True))]
    sections = [*summary_sections(doc)]
    stock = doc["stock"]
    text = (
        f"At the threshold that verify uses ({stock['metric']} {stock['threshold']:.4f}, {stock['source']}): {percent(stock['accuracy'])}."
        if stock
        else ""
    )
    sections.append(Section("Folds", text, [Table(("fold", "accuracy", "threshold (score)"), folds)]))
    if doc["calibrated"]:
        known = doc["calibrated"]
        note = f"Measured on {known['dataset']} ({known['date'][:10]}). Cllr on these pairs {known['cllr']:.4f} bits, min Cllr {doc['min_cllr']:.4f}."
        sections.append(Section("Calibration", note, charts=[reliability_chart(known["reliability"])] if known["reliability"] else []))
    sections += [_group_section(group) for group in doc["groups"]]
    for key, title in (("false_matches", "Worst false matches"), ("false_non_matches", "Worst false non-matches")):
        rows = [(f"{pair['score']:.4f}", pair["first"], pair["second"]) for pair in doc["worst"][key]]
        shown = [
            ([_thumbnail(pictures[name]) for name in (first, second)], f"{score}\n{first}\n{second}")
            for score, first, second in rows
            if pictures and first in pictures and second in pictures
        ]
        sections.append(Section(title, "" if rows else "None.", [Table(("score", "first", "second"), rows)] if rows else [], pictures=shown))
    return Document(f"{doc['dataset'] or 'Verification'}: {doc['protocol']}", lead, [*sections, _methods(doc)])


def _thumbnail(path: Path) -> str:
    """A small JPEG as a data URL."""
    from PIL import Image

    from ..image import load, resize

    picture = load(path)
    height = min(160, picture.shape[0])
    small = resize(picture, (height, max(1, round(picture.shape[1] * height / picture.shape[0]))))
    encoded = io.BytesIO()
    Image.fromarray(small).save(encoded, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
