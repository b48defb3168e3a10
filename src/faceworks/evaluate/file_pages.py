"""Pages of what is not a run over pairs: scores from a file, experiments, comparisons of systems, lists of facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .comparison import PairedComparison
from .document import Document, Section, Table
from .experiments import Level
from .pages import percent, span, summary_sections, threshold_chart
from .svg import Axis, Series, line_chart

__all__ = ["comparison_page", "facts_page", "levels_page", "scores_page", "val_page"]

IDENTIFICATION = (
    "TPIR: share of enrolled people's probes answered with the right person (1 − FNIR); TNIR: share of strangers answered 'nobody' (1 − FPIR). A wrong "
    "person is no true positive at any threshold, so the curve ends at the rank-1 rate."
)


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def scores_page(document: Mapping[str, Any]) -> Document:
    """What `evaluate_scores` returned."""
    verification = document["kind"] == "verification"
    names = ("tar", "trr") if verification else ("tpir", "tnir")
    rows = [(f"{row['threshold']:g}", *(_short(row[name]) for name in names)) for row in document["table"]]
    table = Section("Thresholds", "Accepted at score ≥ threshold.", [Table(("threshold", *(name.upper() for name in names)), rows)])
    counts = ", ".join(f"{n} {name}" for name, n in document["counts"].items())
    if verification:
        lead = f"AUC {_short(document['auc'])}, EER {percent(document['eer'])}; {counts}."
        return Document(f"Verification: {document['source']}", lead, [*summary_sections(document), table])
    lead = f"AUC {_short(document['auc'])}, rank 1 {percent(document['rank1'])}; {counts}."
    points = [
        (rate, percent(p["tpir"]), percent(p["fpir"]), "none accepted" if p["threshold"] is None else f"{p['threshold']:.4f}")
        for rate, p in document["tpir_at_fpir"].items()
    ]
    curve = [(row[0], row[1]) for row in document["curve"]]
    charts = []
    if curve:
        x, y = Axis("FPIR = 1 − TNIR", 0.0, 1.0), Axis("TPIR", 0.0, 1.0)
        charts = [line_chart("Open set: ends at the rank-1 rate", [Series("TPIR", curve)], x, y)]
    tables = [Table(("FPIR asked for", "TPIR", "FPIR reached", "threshold"), points)] if points else []
    return Document(f"Identification: {document['source']}", lead, [Section("Error rates", IDENTIFICATION, tables, charts), table])


def levels_page(title: str, levels: Sequence[Level]) -> Document:
    """An experiment: accuracy and VAL at each setting, a chart for each quantity that was varied."""
    far = levels[0].far if levels else 1e-3
    rows = [
        (
            item.setting,
            f"{percent(item.accuracy)}{span(item.accuracy_interval)}",
            f"{percent(item.val)}{span(item.val_interval)}",
            str(item.undetected),
        )
        for item in levels
    ]
    charts, units = [], dict[str, list[tuple[float, Level]]]()
    for item in levels:
        words = item.setting.split()
        number = next((float(word) for word in words if word.isdecimal()), None)
        if number is not None:
            units.setdefault(" ".join(word for word in words if not word.isdecimal()), []).append((number, item))
    for unit, found in units.items():
        if len(found) > 1:
            found.sort(key=lambda pair: pair[0])
            lows = [item.accuracy_interval[0] for _, item in found] + [item.val for _, item in found if item.val is not None]
            accuracy = Series("accuracy", [(x, item.accuracy) for x, item in found], [(x, *item.accuracy_interval) for x, item in found], dots=True)
            val = Series(f"VAL at FAR {far:g}", [(x, item.val) for x, item in found if item.val is not None], dots=True)
            wide = found[-1][0] / found[0][0] > 10
            x_axis = Axis(unit, found[0][0], found[-1][0], "log" if wide else "linear", tuple(x for x, _ in found))
            charts.append(line_chart(f"Accuracy and VAL over {unit}", [accuracy, val], x_axis, Axis("share", max(0.0, min(lows) - 0.02), 1.0)))
    head = ("setting", "accuracy", f"VAL at FAR {far:g}", "pictures without a face")
    text = "In square brackets: 95 % interval by resampling people. VAL is TAR at the named false match rate; a dash: the pairs cannot carry it."
    return Document(title, f"{len(levels)} settings on the same pairs.", [Section("Settings", text, [Table(head, rows)], charts)])


def comparison_page(found: Sequence[PairedComparison]) -> Document:
    """Paired tests."""
    sections = []
    for item in found:
        rows = [
            (d.measure, f"{d.a:.5f}", f"{d.b:.5f}", f"{d.difference:+.5f} [{d.interval[0]:+.5f}, {d.interval[1]:+.5f}]") for d in item.differences
        ]
        test = item.mcnemar
        text = (
            f"A is {item.a}, B is {item.b}. {item.pairs} pairs, {item.completed} with a score from both. McNemar's exact test on right decisions: only A "
            f"right {test.only_a}, only B right {test.only_b}, p = {test.p_value:.3g} ({item.p_holm:.3g} after Holm's correction)."
        )
        sections.append(Section(f"{item.a} against {item.b}", text, [Table(("measure", "A", "B", "A − B, 95 %"), rows)]))
    lead = "The same pairs, judged by each system. Intervals of differences by resampling people; a difference whose interval holds 0 is not shown."
    return Document("Comparison of systems", lead, sections)


def val_page(source: str, rows: Sequence[Mapping[str, float]]) -> Document:
    """VAL and FAR against the threshold."""
    chart = threshold_chart([(row["threshold"], row["val"], row["far"]) for row in rows])
    cells = [(f"{row['threshold']:.4g}", f"{row['val']:.5f}", f"{row['far']:.3e}") for row in rows]
    text = "VAL: share of same pairs that are accepted (TAR); FAR: share of different pairs that are accepted (FMR). Accepted at score ≥ threshold."
    return Document(
        f"VAL against threshold: {source}", f"{len(rows)} thresholds.", [Section("Curve", text, [Table(("threshold", "VAL", "FAR"), cells)], [chart])]
    )


def facts_page(title: str, rows: Sequence[tuple[str, str]]) -> Document:
    """Names and values."""
    return Document(title, "", [Section("Results", "", [Table(("measure", "value"), list(rows))])])
