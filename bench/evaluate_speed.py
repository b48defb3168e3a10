"""What evaluation adds to the networks it runs, what its cache saves, and how long metrics take.

    python bench/evaluate_speed.py IMAGES PAIRS.txt [--folds 1,2] [--limit N] [--write]

LFW's pictures are embedded in chunks; after each chunk the recorded tensors go through the bare sessions again, so that both sides see the same load.
The first run is decoding, hashing, detection, alignment, embedding, metrics, intervals and the report; "bare" is the two sessions alone, at the better of
two ways to use the cores: one run after the other on all of them, or one worker for each core with a thread of its own (tried on every fourth chunk). The second run
finds every vector in the cache. Metrics run in one thread and are given in processor time: what they take on a machine that nobody else uses. `--write`
puts the table into docs/benchmarks-evaluate.md.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from faceworks.evaluate import auc as area  # noqa: E402
from faceworks.evaluate import best_threshold, counts, d_prime, det, eer, evaluate_pairs, min_cllr, read_lfw_pairs, tar_at_fmr  # noqa: E402
from faceworks.evaluate.vectors import embed_pictures  # noqa: E402
from faceworks.pipeline import PipelineSpec  # noqa: E402
from faceworks.runtime import Session  # noqa: E402

CHUNK = 128
WORKERS = len(os.sched_getaffinity(0))
SPEC = PipelineSpec(select="central", on_no_face="empty")


def run_lfw(images: Path, list_file: Path, folds: tuple[int, ...], limit: int) -> list[tuple[str, str, str, str]]:
    """Rows of the table for LFW: what, measured, goal, verdict."""
    whole = read_lfw_pairs(list_file, images)
    place = np.arange(len(whole)) % 300  # within the fold's pairs of a kind
    pairs = whole.only(np.isin(whole.folds, folds) & (place < limit), f"folds {folds}")
    pictures = pairs.pictures
    recorded: list[tuple[Session, Any, Any]] = []
    plain = Session.run

    def run(self: Session, blob: Any, outputs: Any = None) -> Any:
        recorded.append((self, blob, outputs))
        return plain(self, blob, outputs)

    def sessions(threads: int, store: Path) -> list[Session]:
        """Those that a picture runs through, in order."""
        Session.run = run  # type: ignore[method-assign]
        embed_pictures(pictures[:8], SPEC.with_options(threads=threads), store, progress=False)
        Session.run = plain  # type: ignore[method-assign]
        found = list(dict.fromkeys(entry[0] for entry in recorded))
        recorded.clear()
        return found

    ours = bare = side_by_side = beside = 0.0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        out = Path(folder)
        single = dict(zip(sessions(0, out / "warm"), sessions(1, out / "warm-single"), strict=True))
        for number, start in enumerate(range(0, len(pictures), CHUNK)):
            Session.run = run  # type: ignore[method-assign]
            begin = time.perf_counter()
            embed_pictures(pictures[start : start + CHUNK], SPEC, out / "vectors", progress=False)
            ours += time.perf_counter() - begin
            Session.run = plain  # type: ignore[method-assign]
            begin = time.perf_counter()
            for session, blob, outputs in recorded:
                session.run(blob, outputs)
            alone = time.perf_counter() - begin
            bare += alone
            if number % 4 == 0:
                begin = time.perf_counter()
                list(pool.map(lambda entry: single[entry[0]].run(entry[1], entry[2]), recorded))
                side_by_side, beside = side_by_side + time.perf_counter() - begin, beside + alone
            recorded.clear()
        begin = time.perf_counter()
        report = evaluate_pairs(pairs, SPEC, out=out, dataset="LFW", progress=False)
        second = time.perf_counter() - begin
        assert report.counts["embedded"] == 0
    first, n = ours + second, len(pictures)
    best = bare * min(1.0, side_by_side / beside)
    what = f"{len(pairs)} pairs, {n} pictures"
    return [
        (f"first run, {what}: {first:.1f} s", f"{first / best:.2f} x the bare sessions ({best:.1f} s)", "≤ 1.3", _verdict(first / best <= 1.3)),
        (
            "bare sessions, a picture",
            f"{1000 * bare / n:.1f} ms on all cores, {1000 * bare / n * side_by_side / beside:.1f} ms by a worker for each",
            "",
            "",
        ),
        ("embedding them, a picture", f"{1000 * ours / n:.1f} ms: {ours / best:.2f} x", "", ""),
        (f"second run, from the cache: {second:.2f} s", f"{first / second:.0f} x faster", "≥ 20", _verdict(first / second >= 20)),
    ]


def run_metrics(n: int) -> list[tuple[str, str, str, str]]:
    """The row for metrics."""
    random = np.random.default_rng(0)
    labels = random.random(n) < 0.1
    scores = random.normal(0, 0.1, n) + 0.6 * labels
    begin = time.process_time()
    c = counts(scores, labels)
    area(c), eer(c), tar_at_fmr(c, fmr=1e-4), best_threshold(c), det(c)
    core = time.process_time() - begin
    begin = time.process_time()
    d_prime(scores, labels), min_cllr(c)
    rest = time.process_time() - begin
    return [
        (f"{n} scores: ROC, AUC, EER, TAR at FMR, best threshold, DET", f"{core:.1f} s", "< 10 s", _verdict(core < 10)),
        ("with d′ and min Cllr", f"{core + rest:.1f} s", "< 10 s", _verdict(core + rest < 10)),
    ]


def _verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--folds", default="1,2,3,4,5,6,7,8,9,10")
    parser.add_argument("--limit", type=int, default=300, help="at most so many pairs of each kind in a fold")
    parser.add_argument("--scores", type=int, default=10_000_000)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    rows = run_lfw(chosen.images, chosen.pairs, tuple(int(k) for k in chosen.folds.split(",")), chosen.limit) + run_metrics(chosen.scores)
    lines = ["| what | measured | goal | |", "|---|---|---|---|", *("| " + " | ".join(row) + " |" for row in rows)]
    print("\n".join(lines))
    if chosen.write:
        load = os.getloadavg()[0]
        command = f"python bench/evaluate_speed.py IMAGES PAIRS.txt --folds {chosen.folds} --limit {chosen.limit} --write"
        head = (
            f"# How fast evaluation is\n\nWritten by `{command}` on {datetime.date.today()}.\n"
            f"{os.cpu_count()} cores, {platform.machine()}, load average {load:.1f} at the end; Python {platform.python_version()}.\n"
            "Default pipeline on LFW (deep-funneled); `serial`, the networks on all cores.\n"
            "The ratios are the result: both sides alternate in one process, in chunks of 128 pictures. Metrics: processor time, one thread.\n\n"
        )
        (ROOT / "docs" / "benchmarks-evaluate.md").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
