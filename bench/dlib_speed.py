"""Our dlib ResNet and MMOD detector against the dlib wheel, in one run on one machine.

    python bench/dlib_speed.py [--threads 2] [--rounds 15] [--out docs/benchmarks-dlib.md]

Both sides take turns, so that what else the machine does falls on both; medians are compared, the lowest times stand beside them. Processor time
(of all threads together) hardly changes with what else runs: on a busy machine its ratio is the one to trust, and with two threads the wall-clock
ratio is up to twice as large. Each side does all of its work: ours includes making tensors, the pyramid and suppression. The wheel on PyPI is built
without BLAS and runs in one thread; a dlib built with OpenBLAS was 6.5 times faster (ResNet) and 2.4 times faster (MMOD) in an earlier measurement: say
both when you quote the ratio.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import dlib
import numpy as np

from faceworks import assets, cards, image
from faceworks.detect import load_detector
from faceworks.embed import load_embedder
from faceworks.runtime import SessionOptions
from faceworks.types import Crop, Face, View


def clock(function: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds: by the clock, and of processor time."""
    start, used = time.perf_counter(), time.process_time()
    function()
    return 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - used)


def race(ours: Callable[[], object], theirs: Callable[[], object], rounds: int, repeats: int) -> tuple[float, ...]:
    """Median and lowest milliseconds of ours and of theirs, then median processor time of each; ours is run `repeats` times a turn."""
    ours(), theirs()
    a, b = [], []
    for _ in range(rounds):
        b.append(clock(theirs))
        a.extend(clock(ours) for _ in range(repeats))
    wall_a, cpu_a = zip(*a, strict=True)
    wall_b, cpu_b = zip(*b, strict=True)
    return statistics.median(wall_a), min(wall_a), statistics.median(wall_b), min(wall_b), statistics.median(cpu_a), statistics.median(cpu_b)


def view(pixels: np.ndarray) -> View:
    return View(Face(np.array([0, 0, 150, 150], np.float32), 1.0, None, "bench"), (150, 150), 1, (Crop(pixels, np.eye(2, 3), "dlib-150:0.25"),))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="run only work whose name begins so")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    def path(name: str) -> str:
        return str(assets.fetch(cards.get(name).file[0]))

    portrait = next(item for item in cards.get("samples").file if item.role == "person_b_1")
    picture = image.load(assets.fetch(portrait))
    chips = [image.resize(np.ascontiguousarray(picture[shift:, shift:]), (150, 150)) for shift in range(32)]
    square = image.resize(picture, (512, 512))
    recognizer = dlib.face_recognition_model_v1(path("dlib-resnet-v1"))
    detector = dlib.cnn_face_detection_model_v1(path("dlib-mmod"))
    rows = []
    for threads in (1, arguments.threads):
        options = SessionOptions(device="cpu", threads=threads)
        embedder, mmod = load_embedder("dlib-resnet-v1", options), load_detector("dlib-mmod", options)
        views = [view(chip) for chip in chips]
        one = np.abs(embedder.embed(views[:1])[0][0] - np.array(recognizer.compute_face_descriptor(chips[0]))).max()
        tasks = {
            "ResNet, one chip": (lambda e=embedder, v=views: e.embed(v[:1]), lambda: recognizer.compute_face_descriptor(chips[0]), 1, 5),
            "ResNet, 32 chips, a chip": (lambda e=embedder, v=views: e.embed(v), lambda: recognizer.compute_face_descriptor(chips), 32, 3),
            "MMOD, 512x512": (lambda d=mmod: d.detect([square]), lambda: detector(square, 0), 1, 3),
        }
        for name, (ours, theirs, size, repeats) in tasks.items():
            if not name.startswith(arguments.only):
                continue
            rounds = arguments.rounds if size == 1 and "MMOD" not in name else max(3, arguments.rounds // 3)
            a, low_a, b, low_b, cpu_a, cpu_b = (value / size for value in race(ours, theirs, rounds, repeats))
            ratios = f"{b / a:.1f}x ({low_b / low_a:.1f}x) | {cpu_a:.1f} | {cpu_b:.1f} | {cpu_b / cpu_a:.1f}x"
            rows.append(f"| {name} | {threads} | {a:.1f} ({low_a:.1f}) | {b:.1f} ({low_b:.1f}) | {ratios} |")
            print(rows[-1], flush=True)
        print(f"largest difference of a vector's number: {one:.1e}", flush=True)
    load = os.getloadavg()[0]
    head = [
        f"Python {platform.python_version()}, dlib {dlib.__version__} (wheel dlib-bin, no BLAS, one thread), {os.cpu_count()} cores,",
        f"load average {load:.1f} at the end of the run.",
        "Milliseconds, median (lowest).",
        "",
        "| work | our threads | faceworks | dlib wheel | ratio of medians (of lowest) | processor time: faceworks | dlib wheel | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    if arguments.out:
        text = arguments.out.read_text(encoding="utf-8") if arguments.out.exists() else "<!-- bench -->\n<!-- /bench -->\n"
        before, _, rest = text.partition("<!-- bench -->")
        after = rest.partition("<!-- /bench -->")[2]
        arguments.out.write_text(f"{before}<!-- bench -->\n" + "\n".join([*head, *rows]) + f"\n<!-- /bench -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
