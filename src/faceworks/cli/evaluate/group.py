"""The group `faceworks evaluate` and what its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import debug
from ..output import note, print_facts, print_json

if TYPE_CHECKING:
    from ...evaluate import PairList, Report
    from ...evaluate.document import Document

__all__ = ["evaluate", "interval", "percent", "present", "run_pairs", "write_report"]


@click.group(short_help="Measure error rates on a data set.")
@debug
def evaluate() -> None:
    """Measure error rates on a data set that you have, or on scores in a file.

    Reports (--out DIR) are report.json, report.md and a self-contained report.html, with 95 % intervals by resampling people. A pair with an
    undetected face counts as wrong, never as absent. What the words mean: docs/concepts/error-rates.md.
    """


def run_pairs(pairs: PairList, spec: Any, options: dict[str, Any]) -> int:
    """Run and print; `options` are those of `run_options`."""
    from ...evaluate import FixedCrop, evaluate_pairs
    from .options import groups_of

    center, fallback, out, name = options["center_crop"], options["fallback"], options["out"], options["dataset"]
    report = evaluate_pairs(
        pairs,
        spec,
        out=out,
        dataset=name,
        executor=options["executor"],
        progress=not options["quiet"],
        task=None if center is None else FixedCrop(spec, center),
        fallback=None if fallback is None else FixedCrop(spec, fallback),
        fmrs=options["rates"],
        groups=groups_of(options),
        pictures=options["pictures"],
    )
    if options["as_json"]:
        print_json(report.to_dict())
    elif options["quiet"]:
        click.echo(f"{report.accuracy.mean:.6f}\t{report.accuracy.stderr:.6f}")
    else:
        title = name or report.protocol
        print_facts(_facts(report), f"{title}: {100 * report.accuracy.mean:.2f} ± {100 * report.accuracy.stderr:.2f} % accuracy")
        if out is not None:
            note(f"wrote {out / 'report.html'}, report.md, report.json and scores.csv")
    return 0


def interval(ends: tuple[float, float], digits: int = 2) -> str:
    """An interval in percent."""
    return f"[{100 * ends[0]:.{digits}f}, {100 * ends[1]:.{digits}f}]"


def percent(value: float | None) -> str:
    """A rate in percent, a dash for none."""
    return "–" if value is None else f"{100 * value:.2f} %"


def _facts(report: Report) -> list[tuple[str, str]]:
    from ...evaluate.pages import doubts

    counts, missed, summary = report.counts, report.failures_to_detect, report.summary
    kinds = f"{counts['pairs']} ({counts['genuine']} same, {counts['impostor']} different)"
    rows = [
        ("pairs", f"{kinds}, {counts['pictures']} pictures, {counts['people']} people"),
        ("accuracy, 95 %", interval(report.accuracy.interval)),
        ("undetected", f"{missed.pictures} pictures; they spoil {missed.pairs} pairs, all counted as wrong"),
    ]
    if odd := doubts(counts):
        rows.append(("beware", odd))
    if missed.fallbacks:
        rows.append(("fall-back crop", f"{missed.fallbacks} pictures without a found face"))
    if report.stock is not None:
        rows.append(
            ("at verify's threshold", f"{percent(report.stock.accuracy)} ({report.stock.metric} {report.stock.threshold:g}: {report.stock.source})")
        )
    if report.auc is not None and report.eer is not None:
        rows.append(("AUC, EER", f"{report.auc:.5f}, {percent(report.eer)} {interval(summary.intervals['eer'])}"))
    for rate, point in report.tar_at_fmr.items():
        rows.append((f"TAR at FMR {rate}", f"{percent(point.tar)} {interval(point.tar_interval)} ({point.false_accepts} false matches)"))
    if summary.refused:
        rows.append(("not carried", f"FMR {', '.join(summary.refused)}: too few impostor pairs"))
    for group in report.groups:
        for item in group.groups:
            rows.append((f"{group.column} {item.group}", f"FNMR {percent(item.fnmr)} of {item.genuine}, FMR {percent(item.fmr)} of {item.impostors}"))
    if report.calibrated is not None:
        rows.append(("calibration", f"Cllr {report.calibrated.cllr:.4f} bits (measured on {report.calibrated.dataset})"))
    rows += [(role, f"{model['name']}, weights: {model['weights_license']}") for role, model in report.models.items()]
    rows.append(("recipe, time", f"{report.recipe}, {report.seconds:.1f} s"))
    return rows


def write_report(document: dict[str, Any], page: Document, out: Path | None) -> None:
    """`report.json`, `report.md` and `report.html` below a folder, if one is given."""
    if out is not None:
        from ...evaluate.document import write_report as write

        write(document, page, out)


def present(document: dict[str, Any], out: Path | None, as_json: bool, headline: str, rows: list[tuple[str, str]], brief: str | None = None) -> None:
    """Write and print a document that is plain already; `brief` is what --quiet prints."""
    from ...evaluate.file_pages import facts_page

    write_report(document, facts_page(headline, rows), out)
    if as_json:
        print_json(document)
    elif brief is not None:
        click.echo(brief)
    else:
        print_facts(rows, headline)
