"""The tables of docs/embedders.md, from the vectors of `bench/lfw_embedders.py` (or of `faceworks evaluate lfw --out WORK`): see there.

    python bench/lfw_table.py LFW PAIRS WORK [--detector NAME]… [--out docs/embedders.md]

Each line is `faceworks evaluate lfw` of one recipe; fusions are `faceworks evaluate fuse`, comparisons `faceworks evaluate compare`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceworks import image, similarity
from faceworks.evaluate import (
    FusedReport,
    PairList,
    Report,
    compare_reports,
    evaluate_pairs,
    fuse_reports,
    fuse_scores,
    k_fold,
    mcnemar,
    read_lfw_pairs,
    summarize,
)
from faceworks.evaluate.comparison import read_scores
from faceworks.evaluate.score_fusion import write_report
from faceworks.evaluate.summary import accuracy_interval
from faceworks.pipeline import PipelineSpec
from lfw_embedders import DLIB, FUSION, MOBILE, SFACE, recipes, spec_of, store_of


def derive(work: Path, pairs: PairList, detector: str) -> None:
    """Fill the stores of recipes whose vectors follow from those of others: another metric has the same, and a fusion holds dlib's of crop and mirror."""
    keys = [image.content_hash(picture) for picture in pairs.pictures]

    def copy(target: PipelineSpec, source: PipelineSpec, change: Any = lambda vector: vector) -> None:
        have, into = store_of(work, source).vectors, store_of(work, target)
        if all(key in have for key in keys):
            for key in keys:
                if key not in into.vectors:
                    into.add(key, None if have[key] is None else change(have[key]))
            into.flush()

    copy(spec_of(DLIB, detector=detector, flip=True), spec_of(FUSION, detector=detector), lambda vector: np.ascontiguousarray(vector[128:]))
    for name in (SFACE, DLIB, MOBILE, FUSION):
        copy(spec_of(name, detector=detector, metric="euclidean"), spec_of(name, detector=detector))


def fill(work: Path) -> None:
    """Put the shards into the vector stores of their recipes."""
    shards = [dict(np.load(path, allow_pickle=False)) for path in sorted(work.glob("shard-*.npz"))]
    for spec, make in recipes().values():
        store = store_of(work, spec)
        for data in shards:
            if all(key in store.vectors for key in data["keys"]):
                continue
            vectors = np.zeros((0, 0)) if not data["found"].any() else make({k: v[data["found"][:, 0] > 0] for k, v in data.items()})
            rows = iter(np.asarray(vectors, np.float32))
            for key, there in zip(data["keys"], data["found"][:, 0] > 0, strict=True):
                store.add(str(key), next(rows) if there else None)
        store.flush()


def run(pairs: PairList, work: Path, label: str, spec: PipelineSpec) -> Report:
    """`faceworks evaluate lfw --out WORK/runs/DETECTOR/LABEL`; all runs share one folder of vectors."""
    folder = folder_of(work, spec.detector, label)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "vectors").exists():
        (folder / "vectors").symlink_to(work.resolve() / "vectors")
    report = evaluate_pairs(pairs, spec, out=folder, dataset="LFW View 2, deep-funneled", progress=False)
    print(
        f"{label}: {100 * report.accuracy.mean:.2f} ± {100 * report.accuracy.stderr:.2f}, {report.counts['embedded']} embedded",
        file=sys.stderr,
        flush=True,
    )
    return report


def folder_of(work: Path, detector: str, label: str) -> Path:
    return work / "runs" / detector / label.replace(", ", "-").replace("/", "").replace(" ", "-")


def complete(pairs: PairList, work: Path, spec: PipelineSpec) -> bool:
    """Whether every picture's vector is kept."""
    kept = store_of(work, spec).vectors
    return all(image.content_hash(picture) in kept for picture in pairs.pictures)


def percent(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"


def tar(points: Any, rate: str = "0.001") -> str:
    return (
        "–"
        if rate not in points
        else f"{percent(points[rate].tar, 1)} [{percent(points[rate].tar_interval[0], 1)}, {percent(points[rate].tar_interval[1], 1)}]"
    )


def row(label: str, report: Report) -> str:
    """A line of the table."""
    found, threshold = report.accuracy, float(np.mean(report.accuracy.thresholds))
    stock = "–" if report.stock is None else f"{percent(report.stock.accuracy)} ({report.stock.metric} {report.stock.threshold:.3g})"
    cells = (label, f"{percent(found.mean)} ± {percent(found.stderr)}", f"[{percent(found.interval[0])}, {percent(found.interval[1])}]",
             f"{report.auc:.5f}", percent(report.eer), tar(report.tar_at_fmr), f"{threshold:.3f}", stock, str(report.failures_to_detect.pictures))  # fmt: skip
    return f"| {' | '.join(cells)} |"


HEAD = [
    "embedder, metric",
    "accuracy, %",
    "95 %",
    "AUC",
    "EER, %",
    "TAR % at FMR 1e-3",
    "mean threshold (score)",
    "at verify's threshold, %",
    "no face",
]


def reference_rows(pairs: PairList, work: Path, ours: dict[str, NDArray[np.bool_]]) -> list[str]:
    """The same protocol on crops that OpenCV and dlib cut, and McNemar's test against ours."""
    shards = [dict(np.load(path, allow_pickle=False)) for path in sorted(work.glob("reference-*.npz"))]
    place = {str(key): (k, n) for k, data in enumerate(shards) for n, key in enumerate(data["keys"])}
    keys = {picture: image.content_hash(picture) for picture in pairs.pictures}
    kept = np.array([keys[pair.first] in place and keys[pair.second] in place for pair in pairs.pairs])
    if not kept.any():
        return []
    whole = np.isin(pairs.folds, [fold for fold in np.unique(pairs.folds) if kept[pairs.folds == fold].all()])
    chosen = [pair for pair, take in zip(pairs.pairs, whole, strict=True) if take]
    labels, folds = pairs.labels[whole], pairs.folds[whole]

    def scores(make: Any) -> NDArray[np.float64]:
        vectors = [make(data) for data in shards]
        sides = [[vectors[place[keys[side]][0]][place[keys[side]][1]] for side in (pair.first, pair.second)] for pair in chosen]
        return np.array([similarity.similarity(a, b) for a, b in sides])

    dlib = f"reference {DLIB}"
    table = {
        f"{SFACE}, cosine": scores(lambda data: data[f"reference {SFACE}"]),
        f"{DLIB}, cosine": scores(lambda data: data[dlib]),
        f"{DLIB}, flip, cosine": scores(lambda data: data[dlib] + data[f"{dlib} mirrored"]),
    }
    table[f"{FUSION}, cosine"] = 0.3 * table[f"{SFACE}, cosine"] + 0.7 * table[f"{DLIB}, flip, cosine"]
    results = {label: k_fold(values, labels, folds) for label, values in table.items()}
    results[LOGISTIC] = fuse_scores(np.stack([table[f"{SFACE}, cosine"], table[f"{DLIB}, flip, cosine"]]), labels, folds).result
    lines = []
    for label, result in results.items():
        test = mcnemar(ours[label][whole], result.correct)
        mine = ours[label][whole].mean()
        lines.append(
            f"| {label} | {percent(float(mine))} | {percent(result.mean)} ± {percent(result.stderr)} | {test.only_a} | {test.only_b} | {test.p_value:.2g} |"
        )
    note = f"Folds {', '.join(map(str, np.unique(folds)))}, {len(labels)} pairs."
    return [
        "| what | ours, % | reference, % | only ours right | only the reference right | p |",
        "| --- | --- | --- | --- | --- | --- |",
        *lines,
        "",
        note,
    ]


LOGISTIC = "logistic fusion of SFace and dlib (flip)"


FUSIONS = {
    LOGISTIC: ("logistic", (f"{SFACE}, cosine", f"{DLIB}, flip, cosine")),
    "1/σ fusion of SFace and dlib (flip)": ("sigma", (f"{SFACE}, cosine", f"{DLIB}, flip, cosine")),
    "logistic fusion, MobileFaceNet as a third": ("logistic", (f"{SFACE}, cosine", f"{DLIB}, flip, cosine", f"{MOBILE}, cosine")),
    "1/σ fusion, MobileFaceNet as a third": ("sigma", (f"{SFACE}, cosine", f"{DLIB}, flip, cosine", f"{MOBILE}, cosine")),
}


QUALITY = "logistic fusion of SFace, dlib (flip) and the smaller of SFace's two norms"


def with_norms(pairs: PairList, work: Path, detector: str, plain: FusedReport) -> FusedReport:
    """Quality as a third "score": a short SFace vector is a poor picture."""
    kept = store_of(work, spec_of(SFACE, detector=detector)).vectors
    norms = {picture: float(np.linalg.norm(kept[image.content_hash(picture)])) for picture in pairs.pictures}
    scores = [read_scores(folder_of(work, detector, member)).scores for member in FUSIONS[LOGISTIC][1]]
    least = np.array([min(norms[pair.first], norms[pair.second]) for pair in pairs.pairs])
    people = [pair.people for pair in pairs.pairs]
    fusion = fuse_scores(np.stack([*scores, least]), pairs.labels, pairs.folds, people)
    interval = accuracy_interval(fusion.result.correct, people)
    return FusedReport(
        (*plain.systems, "norm"), fusion, interval, summarize(fusion.scores, pairs.labels, people, ~np.isfinite(fusion.scores)), plain.first
    )


def blocks(pairs: PairList, work: Path, detector: str) -> dict[str, list[str]]:
    """The tables of one detector, as lines."""
    derive(work, pairs, detector)
    done = {label: run(pairs, work, label, spec) for label, (spec, _) in recipes(detector).items() if complete(pairs, work, spec)}
    lines = [f"| {' | '.join(HEAD)} |", "| --- " * len(HEAD) + "|", *(row(label, item) for label, item in done.items())]
    correct = {label: item.correct for label, item in done.items()}
    fused: dict[str, FusedReport] = {}
    for label, (method, members) in FUSIONS.items():
        if all(member in done for member in members):
            fused[label] = fuse_reports([folder_of(work, detector, member) for member in members], method)
            write_report(fused[label], folder_of(work, detector, label))
    quality = QUALITY if LOGISTIC in fused else ""
    if quality:
        fused[quality] = with_norms(pairs, work, detector, fused[LOGISTIC])
        write_report(fused[quality], folder_of(work, detector, quality))
    extra = ["| fusion of scores | accuracy, % | 95 % | AUC | EER, % | TAR % at FMR 1e-3 | weights, mean of the folds |", "| --- " * 7 + "|"]
    for label, item in fused.items():
        result, summary, weights = item.fusion.result, item.summary, item.fusion.weights
        correct[label] = result.correct
        cells = (label, f"{percent(result.mean)} ± {percent(result.stderr)}", f"[{percent(item.interval[0])}, {percent(item.interval[1])}]",
                 f"{summary.auc:.5f}", percent(summary.eer), tar(summary.tar_at_fmr), ", ".join(f"{w:.3g}" for w in weights.mean(axis=0)))  # fmt: skip
        extra.append(f"| {' | '.join(cells)} |")
    found = {"table": lines, "fusion": extra}
    best = f"{FUSION}, cosine"
    if best in done:
        others = [
            label for label in (f"{SFACE}, cosine", f"{DLIB}, flip, cosine", f"{DLIB}, cosine", f"{MOBILE}, cosine", *fused) if label in correct
        ]
        compared = compare_reports([folder_of(work, detector, label) for label in (best, *others)])
        found["mcnemar"] = [f"| {best} against | only it right | only the other right | p (Holm) |", "| --- | --- | --- | --- |"] + [
            f"| {label} | {item.mcnemar.only_a} | {item.mcnemar.only_b} | {item.p_holm:.2g} |" for label, item in zip(others, compared, strict=True)
        ]
    if detector == PipelineSpec().detector and set(correct) >= {LOGISTIC, best}:
        found["reference"] = reference_rows(pairs, work, correct)
    return {f"{name} {detector}": block for name, block in found.items()}


def report(root: Path, pairs_file: Path, work: Path, page: Path | None, detectors: list[str]) -> None:
    pairs = read_lfw_pairs(pairs_file, root)
    fill(work)
    for detector in detectors:
        for name, block in blocks(pairs, work, detector).items():
            print(f"\n{name}\n" + "\n".join(block))
            if page is not None and block:
                whole = page.read_text(encoding="utf-8")
                before, mark, rest = whole.partition(f"<!-- {name} -->\n")
                if not mark:
                    sys.exit(f"{page} has no place for {name}")
                after = rest.partition(f"<!-- /{name} -->")[2]
                page.write_text(f"{before}{mark}" + "\n".join(block) + f"\n<!-- /{name} -->{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--detector", action="append", help="whose vectors WORK holds; the default detector")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report(arguments.root, arguments.pairs, arguments.work, arguments.out, arguments.detector or [PipelineSpec().detector])


if __name__ == "__main__":
    main()
