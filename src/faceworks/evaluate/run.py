"""Run a protocol over pairs: embed what it names, compare, and write a report that says how it was made."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import settings, similarity
from ..errors import ConfigError, InputError
from ..types import FloatArray, to_dict
from .calibrate import reliability
from .document import write_document
from .groups import GroupReport, group_of, group_rates
from .pages import pair_report
from .protocols import PairList, k_fold
from .provenance import models_of, software, write_whole
from .rates import cllr
from .report import Accuracy, Calibrated, Failures, Report, StockThreshold, scores_table, short, worst_pairs
from .summary import Summary, accuracy_interval, summarize
from .vectors import Embedded, embed_pictures

if TYPE_CHECKING:
    from ..pipeline import Pipeline, PipelineSpec
    from .tasks import Task

__all__ = ["compare_pairs", "evaluate_pairs", "side_vectors"]


def evaluate_pairs(
    pairs: PairList,
    spec: PipelineSpec | None = None,
    *,
    out: str | Path | None = None,
    dataset: str = "",
    executor: Literal["serial", "threads", "processes"] = "serial",
    workers: int | None = None,
    batch_size: int = 8,
    progress: bool = True,
    task: Task | None = None,
    fallback: Task | None = None,
    fmrs: Sequence[float] | None = None,
    groups: Mapping[str, Mapping[str, str]] | None = None,
    pictures: bool = False,
) -> Report:
    """Verify all pairs of a list.

    Each picture is embedded once. Vectors are kept below `out` (else below the cache folder), so a second run embeds nothing and a killed one
    continues.

    Args:
        pairs: the comparisons, in at least two folds.
        spec: default `PipelineSpec(select="central")`, LFW's rule; a spec that is given is taken as it is.
        out: folder for `report.json`, `report.md`, `report.html`, `scores.csv` and `vectors/`; nothing is reported to disk without it.
        dataset: its name and variant, as it shall stand in the report ("LFW View 2, deep-funneled").
        executor, workers, batch_size, progress: see `batch.map_images`.
        task: what is done to each picture instead of the spec's pipeline; fallback: where that finds no face (`tasks`).
        fmrs: false match rates to report; one that the pairs cannot carry is refused. Default: those that they can.
        groups: column -> (picture or person -> group); error rates are given for each.
        pictures: put the worst pairs' pictures into `report.html`; otherwise they stand by name alone.

    Raises:
        ConfigError: `select="all"`.
        InputError: fewer than two folds; a rate that the pairs cannot carry.
    """
    from ..pipeline import Pipeline, PipelineSpec

    start = time.perf_counter()
    spec = spec or PipelineSpec(select="central")
    if len(np.unique(pairs.folds)) < 2:
        raise InputError("a threshold is chosen on the other folds: the pair list needs at least two folds")
    folder = Path(out) if out is not None else None
    store = (folder or settings.current().cache) / "vectors"
    found = embed_pictures(
        pairs.pictures, spec, store,
        executor=executor, workers=workers, batch_size=batch_size, progress=progress, task=task, fallback=fallback,
    )  # fmt: skip
    scores, undetected = compare_pairs(pairs, side_vectors(pairs, found.vectors), spec)
    labels, judged = pairs.labels, pairs.folds != 0
    folds = k_fold(scores, labels, pairs.folds, undetected)
    people = [pair.people for pair in pairs.pairs]
    summary = summarize(scores[judged], labels[judged], [p for p, keep in zip(people, judged, strict=True) if keep], undetected[judged], fmrs)
    typical = float(np.mean(folds.thresholds))
    pipeline = Pipeline(spec)
    for array in (labels, undetected, scores):
        array.setflags(write=False)
    report = Report(
        dataset=dataset,
        protocol=pairs.protocol,
        pairs_file=pairs.source,
        pairs_sha256=pairs.sha256,
        accuracy=Accuracy(
            folds.mean,
            folds.stderr,
            tuple(folds.accuracies.tolist()),
            tuple(folds.thresholds.tolist()),
            accuracy_interval(folds.correct[judged], [p for p, keep in zip(people, judged, strict=True) if keep]),
        ),
        stock=_stock(pipeline, scores, labels, undetected),
        summary=summary,
        failures_to_detect=_failures(found, folds.failures),
        counts=_counts(pairs, found),
        score=f"-{spec.metric}" if spec.metric in similarity.RAW else "cosine",
        options=to_dict(spec) | ({} if task is None else {"task": task.identity}) | ({} if fallback is None else {"fallback": fallback.identity}),
        recipe=pipeline.recipe_id,
        models=models_of(spec),
        software=software(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - start, 3),
        worst=worst_pairs(pairs, scores, typical),
        groups=_groups(groups or {}, pairs, scores, summary, typical),
        calibrated=_calibrated(pipeline, scores, labels, task),
        scores=scores,
        labels=labels,
        undetected=undetected,
        correct=folds.correct,
    )
    if folder is not None:
        write_whole(folder / "scores.csv", scores_table(pairs, report))
        write_whole(folder / "report.json", json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        write_document(pair_report(report.to_dict(), _faces(pairs, report) if pictures else None), folder)
    return report


def side_vectors(pairs: PairList, vectors: Mapping[Path, FloatArray | None]) -> dict[Path, FloatArray | None]:
    """Vectors of pictures, and of templates: the mean of the unit vectors of the members in which a face was found."""
    found = dict(vectors)
    for name, members in pairs.members.items():
        kept = [similarity.unit(vector) for member in members if (vector := vectors.get(member)) is not None]
        found[name] = np.mean(kept, axis=0, dtype=np.float32) if kept else None
    return found


def compare_pairs(pairs: PairList, vectors: Mapping[Path, FloatArray | None], spec: PipelineSpec) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(scores (N,), undetected (N,)): higher = closer, NaN where a side has no vector."""
    sides = [(vectors[pair.first], vectors[pair.second]) for pair in pairs.pairs]
    undetected = np.array([a is None or b is None for a, b in sides])
    return np.array([np.nan if a is None or b is None else _score(a, b, spec) for a, b in sides]), undetected


def _score(a: FloatArray, b: FloatArray, spec: PipelineSpec) -> float:
    """Higher = closer. Every metric but those of raw vectors is a function of the cosine, so they share its ranking."""
    return -similarity.distance(a, b, spec.metric) if spec.metric in similarity.RAW else similarity.similarity(a, b)


def _counts(pairs: PairList, found: Embedded) -> dict[str, int]:
    labels = pairs.labels
    people = len({person for pair in pairs.pairs for person in pair.people})
    couples = [frozenset((pair.first, pair.second)) for pair in pairs.pairs]
    contents = [(found.contents.get(pair.first), found.contents.get(pair.second)) for pair in pairs.pairs]
    return {
        "pairs": len(pairs),
        "genuine": int(labels.sum()),
        "impostor": int((~labels).sum()),
        "people": people,
        "pictures": len(pairs.pictures),
        "embedded": found.computed,
        "repeated": len(couples) - len(set(couples)),
        "identical": sum(a is not None and a == b for a, b in contents),
    }


def _failures(found: Embedded, spoiled: int) -> Failures:
    missed = tuple(str(picture) for picture, vector in found.vectors.items() if vector is None)
    return Failures(len(missed), spoiled, missed, {str(path): str(error) for path, error in found.errors.items()}, len(found.fallbacks))


def _stock(pipeline: Pipeline, scores: NDArray[np.float64], labels: NDArray[np.bool_], undetected: NDArray[np.bool_]) -> StockThreshold | None:
    """Accuracy of `verify`'s own decision; an undetected pair is wrong."""
    try:
        decision = pipeline.decision()
    except ConfigError:
        return None
    metric = pipeline.spec.metric
    distances = [
        0.0 if np.isnan(score) else -score if metric in similarity.RAW else similarity.from_cosine(score, metric) for score in scores.tolist()
    ]
    accepted = np.array([similarity.accepts(distance, decision.threshold) for distance in distances])
    return StockThreshold(float(((accepted == labels) & ~undetected).mean()), decision.threshold, metric, decision.source)


def _calibrated(pipeline: Pipeline, scores: NDArray[np.float64], labels: NDArray[np.bool_], task: Task | None) -> Calibrated | None:
    """The recipe's calibration on these pairs; only where both kinds are equally frequent is a probability at prior one half to be judged."""
    known = pipeline.calibration if task is None else None
    done = np.isfinite(scores)
    if known is None or not labels[done].any() or labels[done].all():
        return None
    llr = np.array([known.llr(score) for score in scores[done].tolist()])
    share = float(labels[done].mean())
    rows = tuple(reliability(1 / (1 + np.exp(-llr)), labels[done])) if 0.4 <= share <= 0.6 else ()
    return Calibrated(known.dataset, known.date, cllr(llr, labels[done]), rows)


def _groups(
    groups: Mapping[str, Mapping[str, str]], pairs: PairList, scores: NDArray[np.float64], summary: Summary, typical: float
) -> tuple[GroupReport, ...]:  # fmt: skip
    """Groups at the threshold of the smallest FMR that the pairs carry, or the folds' mean threshold."""
    points = [point for point in summary.tar_at_fmr.values() if np.isfinite(point.threshold)]
    threshold = min(points, key=lambda point: point.requested).threshold if points else typical
    done = np.isfinite(scores)
    chosen = [pair for pair, keep in zip(pairs.pairs, done, strict=True) if keep]
    found = []
    for column, of in groups.items():
        sides = [(group_of(of, pair.first, pair.people[0]), group_of(of, pair.second, pair.people[1])) for pair in chosen]
        found.append(group_rates(scores[done], pairs.labels[done], sides, [pair.people for pair in chosen], threshold, column))
    return tuple(found)


def _faces(pairs: PairList, report: Report) -> dict[str, Any]:
    """Name -> path of the pictures of the worst pairs."""
    wanted = {name for kind in report.worst.values() for pair in kind for name in (pair.first, pair.second)}
    return {short(path): path for path in pairs.pictures if short(path) in wanted}
