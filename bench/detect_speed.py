"""Detectors against their bare sessions, batches against single pictures, MTCNN and MMOD against the packages whose weights they run.

    python bench/detect_speed.py [--rounds 9] [--threads 1] [--peers DIR] [--only PART] [--write]

The parts take turns, so that what else the machine does falls on both sides; ratios are of medians, of the wall clock and of processor time (the
second tells the truth on a machine that others use too). Peers run in interpreters of their own (`bench/peers.sh` makes them in DIR; those that are
absent are left out, and `--facenet`, `--keras`, `--dlib`, `--dlib-blas` name others) on the same decoded picture, with the same number of threads.
`--write` puts the tables into docs/benchmarks-detect.md; a part that `--only` left out keeps what it said. `make bench` runs this, too.
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

from faceworks import PipelineSpec, assets, batch, cards, image
from faceworks.detect import load_detector
from faceworks.detect.letterbox import batches
from faceworks.errors import FaceworksError
from faceworks.runtime import SessionOptions

ROOT = Path(__file__).resolve().parent.parent
ONE_SHOT = ("yunet-2023mar-int8bq", "yunet-2023mar", "retinaface-mnet025", "scrfd-500m", "scrfd-2.5g", "centerface", "ssd-res10",
            "ultralight-rfb320", "blazeface-short", "blazeface-back", "blazeface-full")  # fmt: skip
OTHERS = {
    "mtcnn-facenet": "the P-Net of one picture already fills a core; crops of all pictures are pooled",
    "mtcnn": "the same",
    "dlib-mmod": "one picture's pyramid is one large tensor",
    "dlib-hog": "dlib looks at one picture, in one thread",
    "haar-frontalface": "OpenCV looks at one picture",
    "lbp-frontalface": "OpenCV looks at one picture",
}
"""Detectors that are no single network, and what a batch can save there."""
BATCH = 32
PEER = """
import sys, time, numpy as np
pictures = [np.load(path) for path in sys.argv[4:]]
threads = int(sys.argv[2])
if sys.argv[1].startswith("dlib"):
    import dlib
    net = dlib.cnn_face_detection_model_v1(sys.argv[3])
    def run(picture):
        found = [item.rect for item in net(picture, 0)]
        return [[r.left(), r.top(), r.right() + 1, r.bottom() + 1] for r in found]
elif sys.argv[1] == "facenet":
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
    """One row: the detector, and its bare session on the tensor that the detector makes."""
    detector = load_detector(name, SessionOptions(device="cpu", threads=threads))
    session: Any = detector._session  # type: ignore[attr-defined]
    blob = next(iter(batches([picture], detector.card.input_for(), session.input_shape[2] is None))).blob
    found = alternating(
        rounds,
        {
            "detect": lambda: clock(lambda: detector.detect([picture])),
            "bare": lambda: clock(lambda: session.run(blob)),
        },
    )
    ours, bare = found["detect"], found["bare"]
    met = ours.wall <= 1.15 * bare.wall or ours.wall <= bare.wall + 1.5
    fair = ours.busy <= 1.15 * bare.busy or ours.busy <= bare.busy + 1.5
    return [
        f"`{name}`", f"{blob.shape[3]}x{blob.shape[2]}", f"{ours.wall:.2f}", f"{bare.wall:.2f}", f"{ours.wall / bare.wall:.2f}", f"{ours.busy / bare.busy:.2f}",
        "met" if met else "met by processor time" if fair else "**missed**",
    ]  # fmt: skip


def batch_gain(name: str, picture: np.ndarray, threads: int) -> list[str]:
    """One row: a picture alone, its share of a batch, and why the batch gains no more; `threads` work in both."""
    detector = load_detector(name, SessionOptions(device="cpu", threads=threads))
    detector.detect([picture] * 8)  # opens what a batch needs
    rounds = 3 if clock(lambda: detector.detect([picture])).wall < 50 else 1
    works: dict[str, Callable[[], Times]] = {
        "one": lambda: Times(*(sum(column) / 8 for column in zip(*(clock(lambda: detector.detect([picture])) for _ in range(8)), strict=True))),
        "batch": lambda: clock(lambda: detector.detect([picture] * BATCH)),
    }
    session: Any = getattr(detector, "_session", None) if name in ONE_SHOT else None
    if session is not None and session.dynamic_batch:
        blob = next(iter(batches([picture], detector.card.input_for(), session.input_shape[2] is None))).blob
        many = np.repeat(blob, 8, axis=0)
        works |= {"bare": lambda: clock(lambda: session.run(blob)), "eight": lambda: clock(lambda: session.run(many))}
    found = {key: Times(*(min(column) for column in zip(*(work() for _ in range(rounds)), strict=True))) for key, work in works.items()}
    gain = found["one"].wall / (found["batch"].wall / BATCH)
    graph = f"{found['bare'].wall / (found['eight'].wall / 8):.2f}x" if "eight" in found else "fixed at 1" if session is not None else ""
    why = (
        ""
        if gain >= 1.3
        else OTHERS.get(name) or f"a picture alone already keeps {found['one'].busy / found['one'].wall:.1f} of {threads} threads busy"
    )
    return [
        f"`{name}`",
        f"{found['one'].wall:.2f}",
        f"{found['batch'].wall / BATCH:.2f}",
        f"{gain:.2f}x",
        graph,
        "met" if gain >= 1.3 else "not met",
        why,
    ]


def against_peer(
    kind: str, python: str, card: str, label: str, goal: float, pictures: Mapping[str, np.ndarray], rounds: int, threads: int
) -> list[list[str]]:
    """Rows: our detector and the package of the same weights, on the same pictures."""
    detector = load_detector(card, SessionOptions(device="cpu", threads=threads))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for size, picture in pictures.items():
            paths.append(str(Path(folder) / f"{size}.npy"))
            np.save(paths[-1], picture)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.environ.get("PEER_PATH", ""),
        }
        weights = str(assets.fetch(cards.get(card).file[0])) if kind.startswith("dlib") else ""
        command = [python, weights, *paths] if kind == "dlib-blas" else [python, "-W", "ignore", "-c", PEER, kind, str(threads), weights, *paths]
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
                ratio = theirs.wall / ours.wall
                rows.append(
                    [
                        label, size, f"{len(boxes)}, {off:.3f} px", f"{ours.wall:.1f}",
                        f"{theirs.wall:.1f}", f"{ratio:.2f}x", f"{theirs.busy / ours.busy:.2f}x", f"≥ {goal:g}x", "met" if ratio >= goal else "**missed**",
                    ]
                )  # fmt: skip
            peer.stdin.close()
    return rows


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)])


def folder(picture: np.ndarray, count: int = 96) -> list[list[str]]:
    """Rows: `faceworks batch detect` over files, decoding included; how many cores it keeps busy."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place) / f"{index}.jpg" for index in range(count)]
        image.save(paths[0], picture)
        for path in paths[1:]:
            path.write_bytes(paths[0].read_bytes())
        spec = PipelineSpec(select="all", on_no_face="empty")
        executors: tuple[batch.Executor, ...] = ("serial", "threads")
        for executor in executors:
            for _ in batch.map_images(spec, paths[:16], executor=executor, step="detect"):
                pass
            taken = clock(lambda executor=executor: sum(1 for _ in batch.map_images(spec, paths, executor=executor, step="detect")))  # type: ignore[misc]
            rows.append([executor, f"{taken.wall / count:.1f}", f"{1e3 * count / taken.wall:.0f}", f"{taken.busy / taken.wall:.2f}"])
    return rows


PEERS = {
    "facenet": ("mtcnn-facenet", "facenet-pytorch 2.6.0", 1.5),
    "keras": ("mtcnn", "mtcnn 1.0.0 (TensorFlow)", 3.0),
    "dlib": ("dlib-mmod", "dlib MMOD (wheel, no BLAS)", 15.0),
    "dlib-blas": ("dlib-mmod", "dlib MMOD (Debian's libdlib, OpenBLAS)", 6.0),
}
"""Environments of `bench/peers.sh`: our card of the same weights, the peer, how many times as fast we mean to be."""
WHERE = {"dlib": "face_recognition/bin/python", "dlib-blas": "dlib-openblas/dlib_mmod"}
"""Where `bench/peers.sh` puts them, if not in KIND/bin/python; the last is a program of its own, bench/dlib_mmod.cpp."""


def part(old: str, name: str, new: str) -> str:
    """What stands between the marks of a part: `new`, or what the page said before."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    kept = new or old.partition(begin)[2].partition(end)[0].strip() or "Not measured."
    return f"{begin}\n\n{kept}\n\n{end}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="of one session, against bare sessions and peers; batches get a thread for each core")
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "faceworks-peers", help="folder made by bench/peers.sh")
    for kind in PEERS:
        parser.add_argument(f"--{kind}", help=f"the peer's interpreter (or program): {PEERS[kind][1]}")
    parser.add_argument("--only", choices=["sessions", "batches", "folder", "peers"])
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks-detect.md")
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    group = image.load(assets.fetch(cards.get("samples").file_for("group")))
    small = image.resize(group, (480, 640))
    portrait = image.load(assets.fetch(cards.get("samples").file_for("person_b_1")))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rows, gains, peers = [], [], []
    sizes = {"640x480": small, "1920x1440": image.resize(group, (1440, 1920))}
    square = {"512x512": image.resize(portrait, (512, 512))}
    for kind, (card, label, goal) in PEERS.items():
        own = given.peers / WHERE.get(kind, f"{kind}/bin/python")
        python = getattr(given, kind.replace("-", "_")) or (str(own) if own.exists() else "")
        if python and given.only in (None, "peers"):
            peers += against_peer(
                kind, python, card, label, goal, square if kind.startswith("dlib") else sizes, max(3, given.rounds // 2), given.threads
            )
            print("\n".join(" | ".join(row) for row in peers[-2:]), flush=True)
    for name in (*ONE_SHOT, *OTHERS):
        try:
            if name in ONE_SHOT and given.only in (None, "sessions"):
                rows.append(against_session(name, small, given.rounds, given.threads))
                print(" | ".join(rows[-1]), flush=True)
            if given.only in (None, "batches"):
                gains.append(batch_gain(name, small, cores))
                print(" | ".join(gains[-1]), flush=True)
        except FaceworksError as error:
            print(f"{name}: left out, {str(error).splitlines()[0][:120]}")
    files = folder(image.resize(group, (960, 1280))) if given.only in (None, "folder") else []
    print("\n".join(" | ".join(row) for row in files), flush=True)
    first = ["detector", "tensor", "detect, ms", "bare session, ms", "ratio", "processor ratio", "≤ 1.15x or + 1.5 ms"]
    second = ["detector", "one picture, ms", f"a picture of {BATCH}, ms", "gain", "bare session, 8 in one tensor", "≥ 1.3x", "why not"]
    third = ["peer", "picture", "faces, largest difference of a side", "faceworks, ms", "peer, ms", "ratio", "processor ratio", "goal", ""]
    fourth = ["executor", "a picture, ms", "pictures a second", "cores busy"]
    load = f", load average {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    turns = max(3, given.rounds // 2) if given.only == "peers" else given.rounds
    stamp = f"{datetime.date.today().isoformat()}; {turns} rounds, {cores} cores of {platform.machine()}{load}."
    target = ROOT / "docs" / "benchmarks-detect.md"
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    text = f"""# Detectors: speed

Written by `python bench/detect_speed.py --write`. One picture with 29 people (a portrait for MMOD). Medians; both sides take turns. The goals are about
the wall clock of a machine that does nothing else; on a busy one look at the ratio of processor times.

## Against the bare session

{given.threads} thread(s).

{part(old, "sessions", f"{table(first, rows)}{chr(10)}{chr(10)}{stamp}" if rows else "")}

## A batch against one picture after another

A thread for each core on both sides. From eight pictures on each thread takes a picture of its own, on a session of one thread: nothing waits between
layers, and fitting and decoding run on every core. Stacking pictures in one tensor, which is what other libraries call a batch, is the column *bare
session*: on a processor it gains little or loses, since one picture's maps stay in the cache and eight's do not; accelerators get stacks of sixteen.

{part(old, "batches", f"{table(second, gains)}{chr(10)}{chr(10)}{stamp}" if gains else "")}

## A folder

`map_images(..., step="detect")`, which `faceworks batch detect` runs, with the default detector over JPEG files of 1280x960 with 29 faces, decoding included;
cores busy = processor time / wall clock.

{part(old, "folder", f"{table(fourth, files)}{chr(10)}{chr(10)}{stamp}" if files else "")}

## Against the packages of the same weights

{part(old, "peers", f"{table(third, peers)}{chr(10)}{chr(10)}{stamp}" if peers else "")}
"""
    if given.write:
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
