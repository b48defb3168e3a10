"""Identification on a folder as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .document import Document, Section, Table
from .pages import percent, span
from .svg import Axis, Series, line_chart

if TYPE_CHECKING:
    from .folder import FolderReport
    from .folder_groups import FolderGroups

__all__ = ["folder_page"]

WORDS = (
    "Rank k: the right person was among the k most similar enrolled people (CMC: for every k). TPIR: share of the probes that are answered with the right "
    "person at the threshold, FNIR = 1 − TPIR. FPIR: share of the strangers' pictures that are answered with anybody, TNIR = 1 − FPIR "
    "(ISO/IEC 19795-1). Accept means similarity ≥ threshold; commands that take a distance take 1 − similarity."
)


def folder_page(report: FolderReport) -> Document:
    """The page of `evaluate folder`."""
    c = report.counts
    lead = f"Rank 1: {percent(report.rank1)}{span(report.rank1_interval)}, rank 5: {percent(report.rank5)}; {c['probes']} probes, "
    lead += f"{c['enrolled_people']} people enrolled with {c['enrolled']} pictures, {c['strangers']} pictures of strangers, "
    lead += f"{c['undetected']} without a face."
    if report.split == "independent":
        lead += f" These are the test part; the other {c['development_people']} of {c['people']} people served to choose thresholds."
    head = ("FPIR asked for (development)", "threshold (similarity)", "distance", "TPIR = 1 − FNIR", "FPIR = 1 − TNIR")
    rows = [
        (
            f"{p.fpir_requested:g}",
            f"{p.threshold:.4f}",
            f"{1 - p.threshold:.4f}",
            percent(p.tpir) + span(p.tpir_interval),
            percent(p.fpir) + span(p.fpir_interval),
        )
        for p in report.points
    ]
    table = [(f"{row['threshold']:g}", percent(row["tpir"]), percent(row["tnir"])) for row in report.table]
    ranks = list(enumerate(report.cmc, start=1))
    chart = line_chart(
        "CMC (closed set)",
        [Series("identified", [(float(k), v) for k, v in ranks], dots=True)],
        Axis("rank", 1, max(len(ranks), 2), ticks=tuple(k for k in (1, 5, 10, 15, 20) if k <= max(len(ranks), 2))),
        Axis("identification rate", max(0.0, report.cmc[0] - 0.05), 1.0),
    )
    open_text = f"AUC of (FPIR, TPIR): {report.auc:.4f}; TPIR ends at rank 1: a wrong person is never right." if report.auc is not None else ""
    if not rows:
        open_text += " The development part has too few pictures of strangers to choose a threshold for a false positive rate."
    if len({p.threshold for p in report.points}) < len(report.points):
        open_text += " Rates that share a threshold: the development part has too few strangers to tell them apart."
    words = "people of the test part appear nowhere in it" if report.split == "independent" else "the same people, by other pictures"
    sections = [
        Section("Closed set", charts=[chart]),
        Section("Open set", open_text.strip(), [*([Table(head, rows)] if rows else []), Table(("threshold", "TPIR", "TNIR"), table)]),
        *[_group_section(found) for found in report.groups],
        Section("Methods", f"{WORDS}\n\nThresholds were chosen on the development part ({words}); seed {report.seed}. Intervals 95 %, by resampling people. "
                f"Recipe {report.recipe}, {', '.join(m['name'] for m in report.models.values())}. {report.date}."),
    ]  # fmt: skip
    return Document(f"{report.dataset}: identification, subject-{report.split}", lead, sections)


def _group_section(found: FolderGroups) -> Section:
    rows = [
        (
            item.group,
            str(item.probes),
            percent(item.rank1) + span(item.rank1_interval),
            percent(item.fnir) + span(item.fnir_interval),
            str(item.strangers),
            percent(item.fpir) + span(item.fpir_interval),
        )
        for item in found.groups
    ]
    values = {"FNIR ratio": found.fnir_ratio, "FPIR ratio": found.fpir_ratio, "FNIR Gini": found.fnir_gini, "FPIR Gini": found.fpir_gini}
    spread = ", ".join(f"{name} {value:.3g}" for name, value in values.items() if value is not None)
    at = f"FNIR and FPIR at one threshold for all: score {found.threshold:.4f}." if found.threshold is not None else "No threshold could be chosen."
    text = (
        f"{at} A picture counts in the group of the person asked about. {found.unknown} pictures had no known group. "
        f"{spread or 'Ratio and Gini are not defined here'}."
    )
    return Section(f"By {found.column}", text, [Table((found.column, "probes", "rank 1", "FNIR", "strangers", "FPIR"), rows)])
