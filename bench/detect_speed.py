"""Detectors against their bare sessions, batches against single pictures, MTCNN against the packages whose weights it runs.

    python bench/detect_speed.py [--rounds 9] [--threads 1] [--facenet PYTHON] [--keras PYTHON] [--write]

The parts take turns, so that what else the machine does falls on both sides; ratios are of medians, of the wall clock and of processor time (the
second tells the truth on a machine that others use too). Peers run in interpreters of their own (`bench/peers.sh` makes them) on the same
decoded picture, with the same number of threads. `--write` puts the tables into docs/benchmarks-detect.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from faceworks import assets, cards, image
from faceworks.detect import load_detector
from faceworks.detect.letterbox import batches
from faceworks.errors import FaceworksError
from faceworks.runtime import SessionOptions

ROOT = Path(__file__).resolve().parent.parent
ONE_SHOT = ("yunet-2023mar-int8bq", "yunet-2023mar", "retinaface-mnet025", "scrfd-500m", "scrfd-2.5g", "centerface", "ssd-res10",
            "ultralight-rfb320", "blazeface-short", "blazeface-back", "blazeface-full")  # fmt: skip
BATCH = 32
PEER = """
import sys, time, numpy as np
pictures = [np.load(path) for path in sys.argv[3:]]
threads = int(sys.argv[2])
if sys.argv[1] == "facenet":
    import torch
    from facenet_pytorch import MTCNN
    torch.set_num_threads(threads)
    net = MTCNN(keep_all=True, select_largest=False)
    def run(picture):
        boxes = net.detect(picture)[0]
        return [] if boxes is None else np.asarray(boxes, float).tolist()
else:
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from mtcnn import MTCNN
    net = MTCNN()
    def run(picture):
        return np.asarray(net.detect_faces(picture, output_type="numpy", box_format="xyxy"), float).reshape(-1, 16)[:, 1:5].tolist()
import json
for line in sys.stdin:
    picture = pictures[int(line)]
    wall, busy = time.perf_counter(), time.process_time()
    boxes = run(picture)
    print(json.dumps([1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - busy), boxes]), flush=True)
"""


class Times(NamedTuple):
    """Milliseconds, medians."""

    wall: float
    busy: float


def clock(work: Callable[[], object]) -> Times:
    wall, busy = time.perf_counter(), time.process_time()
    work()
    return Times(1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - busy))


def alternating(rounds: int, works: Mapping[str, Callable[[], Times]]) -> dict[str, Times]:
    found: dict[str, list[Times]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            taken = work()
            if turn:
                found[name].append(taken)
    return {name: Times(*(statistics.median(column) for column in zip(*runs, strict=True))) for name, runs in found.items()}


def against_session(name: str, picture: np.ndarray, rounds: int, threads: int) -> list[str]:
    """One row: the detector, its bare session on the tensor that the detector makes, a picture's share of a batch."""
    detector = load_detector(name, SessionOptions(device="cpu", threads=threads))
    session: Any = detector._session  # type: ignore[attr-defined]
    blob = next(iter(batches([picture], detector.card.input_for(), session.input_shape[2] is None))).blob
    many = np.repeat(blob, 8, axis=0) if session.dynamic_batch else None
    pictures = [picture] * BATCH
    found = alternating(
        rounds,
        {
            "detect": lambda: clock(lambda: detector.detect([picture])),
            "bare": lambda: clock(lambda: session.run(blob)),
        },
    )
    large = alternating(max(1, rounds // 4), {"batch": lambda: clock(lambda: detector.detect(pictures))})["batch"]
    eight = alternating(max(1, rounds // 4), {"eight": lambda: clock(lambda: session.run(many))})["eight"] if many is not None else None
    ours, bare = found["detect"], found["bare"]
    met = ours.wall <= 1.15 * bare.wall or ours.wall <= bare.wall + 1.5
    fair = ours.busy <= 1.15 * bare.busy or ours.busy <= bare.busy + 1.5
    return [
        f"`{name}`", f"{blob.shape[3]}x{blob.shape[2]}", f"{ours.wall:.2f}", f"{bare.wall:.2f}", f"{ours.wall / bare.wall:.2f}", f"{ours.busy / bare.busy:.2f}",
        "met" if met else "met by processor time" if fair else "**missed**", f"{ours.wall / (large.wall / BATCH):.2f}x",
        "" if eight is None else f"{bare.wall / (eight.wall / 8):.2f}x",
    ]  # fmt: skip


def against_peer(kind: str, python: str, card: str, pictures: Mapping[str, np.ndarray], rounds: int, threads: int) -> list[list[str]]:
    """Rows: our MTCNN and the package of the same weights, on the same pictures."""
    detector = load_detector(card, SessionOptions(device="cpu", threads=threads))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for size, picture in pictures.items():
            paths.append(str(Path(folder) / f"{size}.npy"))
            np.save(paths[-1], picture)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.environ.get("PEER_PATH", "")}
        command = [python, "-W", "ignore", "-c", PEER, kind, str(threads), *paths]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as peer:
            assert peer.stdin is not None
            assert peer.stdout is not None
            answers: dict[int, Any] = {}

            def ask(index: int) -> Times:
                peer.stdin.write(f"{index}\n")  # type: ignore[union-attr]
                peer.stdin.flush()  # type: ignore[union-attr]
                wall, busy, answers[index] = json.loads(peer.stdout.readline())  # type: ignore[union-attr]
                return Times(wall, busy)

            for index, (size, picture) in enumerate(pictures.items()):
                found = alternating(
                    rounds,
                    {
                        "ours": lambda picture=picture: clock(lambda: detector.detect([picture])),  # type: ignore[misc]
                        "theirs": lambda index=index: ask(index),  # type: ignore[misc]
                    },
                )
                ours, theirs = found["ours"], found["theirs"]
                boxes, want = (np.array([face.box for face in detector.detect([picture])[0]]).reshape(-1, 4), np.array(answers[index]).reshape(-1, 4))
                off = max((float(np.abs(want - box).max(axis=1).min()) for box in boxes), default=0.0) if len(boxes) == len(want) else float("inf")
                goal = 1.5 if kind == "facenet" else 3.0
                ratio = theirs.wall / ours.wall
                rows.append(
                    [
                        "facenet-pytorch 2.6.0" if kind == "facenet" else "mtcnn 1.0.0 (TensorFlow)", size, f"{len(boxes)}, {off:.3f} px", f"{ours.wall:.1f}",
                        f"{theirs.wall:.1f}", f"{ratio:.2f}x", f"{theirs.busy / ours.busy:.2f}x", f"≥ {goal:g}x", "met" if ratio >= goal else "**missed**",
                    ]
                )  # fmt: skip
            peer.stdin.close()
    return rows


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--facenet", help="interpreter that has facenet-pytorch")
    parser.add_argument("--keras", help="interpreter that has mtcnn and TensorFlow")
    parser.add_argument("--only", choices=["sessions", "peers"])
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    group = image.load(assets.fetch(cards.get("samples").file_for("group")))
    small = image.resize(group, (480, 640))
    rows, peers = [], []
    for name in ONE_SHOT if given.only != "peers" else ():
        try:
            rows.append(against_session(name, small, given.rounds, given.threads))
        except FaceworksError as error:
            print(f"{name}: left out, {str(error).splitlines()[0][:120]}")
            continue
        print(" | ".join(rows[-1]), flush=True)
    sizes = {"640x480": small, "1920x1440": image.resize(group, (1440, 1920))}
    for kind, python, card in (("facenet", given.facenet, "mtcnn-facenet"), ("keras", given.keras, "mtcnn")):
        if python and given.only != "sessions":
            peers += against_peer(kind, python, card, sizes, max(3, given.rounds // 2), given.threads)
            print("\n".join(" | ".join(row) for row in peers[-2:]), flush=True)
    first = ["detector", "tensor", "detect, ms", "bare session, ms", "ratio", "processor ratio", "≤ 1.15x or + 1.5 ms",
             f"batch of {BATCH} against single", "bare session: batch of 8 against single"]  # fmt: skip
    second = ["peer", "picture", "faces, largest difference of a side", "faceworks, ms", "peer, ms", "ratio", "processor ratio", "goal", ""]
    load = f", load average {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    text = f"""# Detectors: speed

Written by `python bench/detect_speed.py --write` on {datetime.date.today().isoformat()}; {given.rounds} rounds, {given.threads} thread(s), {os.cpu_count()}
cores of {platform.machine()}{load}. One picture with 29 people. Medians; both sides take turns. The goals are about the wall clock of a machine that does
nothing else; on a busy one look at the ratio of processor times.

## Against the bare session

{table(first, rows)}

The last two columns say why pictures go through a network one by one on a processor: a batch of eight in the bare session gains nothing (below 1: loses),
since one picture's maps stay in the cache and eight's do not. What a batch does save, opening and calling, is little here. On other devices sixteen
pictures run together.

## MTCNN against the packages of the same weights

{table(second, peers) if peers else "Not measured in this run."}
"""
    if given.write:
        (ROOT / "docs" / "benchmarks-detect.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
