"""Commands that need no picture: scores, compare, pad, attributes, detection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options import common
from ..output import print_json, print_table
from .group import evaluate, interval, percent, present, write_report
from .options import PATH, numbers, out_option

OUT = out_option()


@evaluate.command(short_help="Error rates of scores in a CSV, whoever computed them.")
@click.argument("path", metavar="FILE.csv", type=PATH)
@click.option("--thresholds", metavar="1.0,0.9,…", callback=numbers, help="Rows of the table. Default: 1.0, 0.9, … 0.0.")
@click.option("--rates", metavar="1e-2,1e-3", callback=numbers, help="False match rates to report; refused if the file cannot carry one.")
@click.option("--plot", metavar="FILE.svg", type=PATH, help="Draw the ROC (.svg; .png and .pdf need the extra study).")
@OUT
@common
def scores(path: Path, thresholds: Any, rates: Any, plot: Path | None, out: Path | None, as_json: bool, quiet: bool) -> int:
    """TAR and TRR, or TPIR and TNIR, at thresholds; AUC, EER and more. Higher scores are closer; accepted at score ≥ threshold.

    Columns score,label (1 same, 0 different; with person_a,person_b intervals know who is compared): verification. Columns probe,predicted,score (an
    empty probe is a stranger): identification; a wrong person is no true positive at any threshold.
    """
    from ...evaluate import evaluate_scores, plot_roc, read_columns
    from ...evaluate.file_pages import scores_page

    document = evaluate_scores(path, thresholds or (), rates)
    if plot is not None:
        rows = [row for row in read_columns(path, ["score", "label"]) if row["score"]]
        plot_roc([float(row["score"]) for row in rows], [row["label"] == "1" for row in rows], plot)
    write_report(document, scores_page(document), out)
    auc = document["auc"]
    if as_json:
        print_json(document)
        return 0
    if quiet:
        click.echo("" if auc is None else f"{auc:.6g}")
        return 0
    names = ("tar", "trr") if document["kind"] == "verification" else ("tpir", "tnir")
    title = f"{document['kind']}: AUC {'–' if auc is None else f'{auc:.4f}'}"
    if document["kind"] == "verification":
        title += f", EER {percent(document['eer'])}, {document['counts']['pairs']} comparisons"
    else:
        title += f", rank 1 {percent(document['rank1'])}, {document['counts']['probes']} probes"
    cells = [[f"{row['threshold']:g}", *("–" if row[name] is None else f"{row[name]:.4g}" for name in names)] for row in document["table"]]
    print_table([">threshold", *(f">{name.upper()}" for name in names)], cells, title)
    if document.get("tar_at_fmr"):
        print_table(
            [">FMR", ">TAR", "95 %", ">threshold"],
            [
                (rate, percent(p["tar"]), interval(p["tar_interval"]), "–" if p["threshold"] is None else f"{p['threshold']:.4g}")
                for rate, p in document["tar_at_fmr"].items()
            ],
        )
    return 0


@evaluate.command(short_help="Is one system better than another on the same pairs?")
@click.argument("reports", metavar="A B…", nargs=-1, required=True, type=PATH)
@OUT
@common
def compare(reports: tuple[Path, ...], out: Path | None, as_json: bool, quiet: bool) -> int:
    """Compare the first report with each other one: folders that `faceworks evaluate lfw|fglfw|pairs --out` wrote, over the same pairs.

    McNemar's exact test on right decisions (Holm-corrected over several comparisons), and differences of accuracy, AUC and TAR with intervals by
    resampling people.
    """
    from ...evaluate import compare_reports
    from ...evaluate.file_pages import comparison_page
    from ...types import to_dict

    found = compare_reports(reports)
    write_report({"schema": 2, "kind": "compare", "comparisons": to_dict(found)}, comparison_page(found), out)
    if as_json:
        print_json(found)
        return 0
    if quiet:
        click.echo("\n".join(f"{item.b}\t{item.differences[0].difference:+.6f}\t{item.p_holm:.6g}" for item in found))
        return 0
    for item in found:
        rows = [
            (d.measure, f"{d.a:.5f}", f"{d.b:.5f}", f"{d.difference:+.5f}", f"[{d.interval[0]:+.5f}, {d.interval[1]:+.5f}]") for d in item.differences
        ]
        test = item.mcnemar
        title = (
            f"{item.a} against {item.b}: {item.pairs} pairs; only A right {test.only_a}, only B right {test.only_b}, p = {item.p_holm:.3g} (McNemar)"
        )
        print_table(["measure", ">A", ">B", ">A − B", "95 %"], rows, title)
    return 0


@evaluate.command(short_help="Presentation attack detection (ISO/IEC 30107-3) of scores in a CSV.")
@click.argument("path", metavar="FILE.csv", type=PATH)
@click.option("--threshold", type=float, metavar="T", help="Bona fide at score ≥ T.")
@click.option("--apcer", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="BPCER is given where no species' APCER exceeds this.")
@OUT
@common
def pad(path: Path, threshold: float | None, apcer: float, out: Path | None, as_json: bool, quiet: bool) -> int:
    """APCER of each attack species and the worst, BPCER. Columns score (of being bona fide) and species (empty: bona fide)."""
    from ...evaluate import evaluate_pad

    document = evaluate_pad(path, threshold, apcer)
    rows: list[tuple[str, str]] = []
    for name, found in ((f"BPCER at APCER {apcer:g}", document["bpcer_at_apcer"]), ("at the threshold", document["at_threshold"])):
        if found is not None:
            rows.append((name, f"{percent(found['bpcer'])} {interval(found['bpcer_interval'])}, threshold {found['threshold']:g}"))
            rows += [(f"APCER {kind}", f"{percent(rate)} of {found['attacks'][kind]}") for kind, rate in found["apcer"].items()]
            rows.append(("worst, ACER (legacy)", f"{found['worst']} {percent(found['apcer_max'])}, {percent(found['acer'])}"))
    brief = f"{document['bpcer_at_apcer']['bpcer']:.6f}" if quiet else None
    present(document, out, as_json, "Presentation attack detection", rows, brief)
    return 0


@evaluate.command(short_help="Agreement of two columns of a CSV: labels or numbers.")
@click.argument("path", metavar="FILE.csv", type=PATH)
@click.option("--truth", default="truth", show_default=True, metavar="COLUMN", help="What is right.")
@click.option("--predicted", default="predicted", show_default=True, metavar="COLUMN", help="What was said.")
@click.option("--kind", type=click.Choice(["auto", "labels", "numbers"]), default="auto", show_default=True, help="What the columns hold.")
@click.option("--group-by", "groups", multiple=True, metavar="COLUMN", help="The figures for each value of this column, and the worst; repeatable.")
@OUT
@common
def attributes(path: Path, truth: str, predicted: str, kind: Any, groups: tuple[str, ...], out: Path | None, as_json: bool, quiet: bool) -> int:
    """Labels: accuracy, macro-F1, Cohen's kappa, Wagner's unbiased hit rate, confusion. Numbers: MAE, RMSE, Pearson, CCC, SAGR.

    With 95 % intervals of accuracy, macro-F1, MAE and CCC, over all rows and, with --group-by, over each group of at least five rows.
    """
    from ...evaluate import evaluate_attributes

    document = evaluate_attributes(path, truth, predicted, kind, groups)
    names = ("accuracy", "macro_f1", "kappa") if document["kind"] == "labels" else ("mae", "rmse", "pearson", "ccc", "sagr")
    rows = [(name, _figure(document[name], document["intervals"].get(name))) for name in names]
    for column, found in document["groups"].items():
        for group, item in found["table"].items():
            texts = [f"{name} {_figure(value, item['intervals'][name])}" for name, value in item.get("figures", {}).items()]
            worst = " (worst)" if group == found["worst"] else ""
            rows.append((f"{column} {group or '(empty)'}{worst}", f"{', '.join(texts) or 'too few for figures'}; {item['rows']} rows"))
    rows += [(f"unbiased hit rate {label}", "–" if rate is None else f"{rate:.4f}") for label, rate in document.get("unbiased_hit_rate", {}).items()]
    rows.append(("rows", f"{document['counts']['rows']}, {document['counts']['left_out']} left out (an empty cell)"))
    present(document, out, as_json, f"{predicted} against {truth}", rows, rows[0][1] if quiet else None)
    return 0


def _figure(value: float | None, ends: Any) -> str:
    text = "–" if value is None else f"{value:.4f}"
    return text if ends is None else f"{text} [{ends[0]:.4f}, {ends[1]:.4f}]"


@evaluate.command(short_help="Found boxes against annotations: AP, WIDER FACE's rules, FDDB's curves.")
@click.argument("found", metavar="FOUND.json", type=PATH)
@click.option("--truth", required=True, metavar="FILE", type=PATH, help="Annotations: .json as FOUND, dlib's .xml, WIDER FACE's or FDDB's .txt.")
@click.option("--protocol", type=click.Choice(["ap", "wider", "fddb"]), default="ap", show_default=True, help="Whose rules.")
@click.option("--subset", "subsets", multiple=True, metavar="NAME=FILE", help="For wider, repeatable: easy=wider_easy_val.mat, or a .json list.")
@click.option("--iou", type=click.FloatRange(0, 1, min_open=True), default=0.5, show_default=True, help="Overlap that makes a hit (not for fddb).")
@OUT
@common
def detection(found: Path, truth: Path, protocol: Any, subsets: tuple[str, ...], iou: float, out: Path | None, as_json: bool, quiet: bool) -> int:
    """FOUND.json is what `faceworks detect PICTURES --min-score 0.02 --json` prints: a curve needs weak boxes too. A picture is the one whose path
    ends like the name in the annotations.

    ap: each true box is found once, average precision. wider: WIDER FACE's evaluation code, AP for each --subset. fddb: true positives (discrete) and
    mean overlap (continuous) over the number of false alarms; needs the extra study.
    """
    from ...errors import ConfigError
    from ...evaluate.detection import evaluate_detection

    if wrong := [item for item in subsets if not all(item.partition("="))]:
        raise ConfigError(f"--subset takes NAME=FILE, got {wrong[0]!r}")
    document = evaluate_detection(found, truth, protocol, iou, {item.partition("=")[0]: item.partition("=")[2] for item in subsets})
    if protocol == "wider":
        rows = [(name, f"AP {item['ap']:.4f}, {item['faces']} faces") for name, item in document["settings"].items()]
        headline, brief = f"WIDER FACE's rules at IoU {iou:g}", " ".join(f"{item['ap']:.6f}" for item in document["settings"].values())
    elif protocol == "fddb":
        points = document["at_false_alarms"]
        rows = [(f"{count} false alarms", f"discrete {percent(p['discrete'])}, continuous {percent(p['continuous'])}") for count, p in points.items()]
        headline, brief = f"FDDB, {document['faces']} faces in {document['pictures']} pictures", f"{points['1000']['discrete']:.6f}"
    else:
        rows = [("faces", f"{document['faces']} in {document['pictures']} pictures")]
        rows.append(("found", f"{document['hits']} hits, {document['false_alarms']} false alarms"))
        headline, brief = f"AP {document['ap']:.4f} at IoU {iou:g}", f"{document['ap']:.6f}"
    present(document, out, as_json, headline, rows, brief if quiet else None)
    return 0
