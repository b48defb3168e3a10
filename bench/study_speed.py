"""What a whole study adds to the models it runs.

    python bench/study_speed.py make FOLDER [FOLDER …] --out OUT [--people 200]    the material: a portrait and five edits for each person
    python bench/study_speed.py run OUT [--write]

`make` takes one picture of each person (a file of a folder, or the first file of each sub-folder): head and shoulders at most 640 px wide, the demo's
four warped expressions, and a JPEG copy as the no-op edit, so that 200 people give 1,200 pictures.

`run` is `study run --executor threads` into a fresh folder, whole: decoding, hashing, detection, points, three embedders, two emotion models, quality,
locality, statistics, figures, tables, report. While it runs, each tensor that goes into a session is noted by its shape, and each face that goes to the
landmarker. "Models alone" is those runs again, shape by shape on one tensor of each, in as many threads and nothing around them: the sum of what the
networks and the regression trees of the landmarker cost on this machine. A warm-up of one person comes before both.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from faceworks import image  # noqa: E402
from faceworks.landmarks.dlib_ert import DlibErt  # noqa: E402
from faceworks.runtime import Session  # noqa: E402
from faceworks.study import config, manifest, run  # noqa: E402
from faceworks.study.check import suggested  # noqa: E402
from faceworks.study.demo import portrait  # noqa: E402
from faceworks.study.warps import EXPRESSIONS, express  # noqa: E402

GOAL = 1.3
Call = tuple[Any, ...]


def make(folders: list[Path], out: Path, people: int) -> None:
    """Pictures, manifest.csv and study.toml of `people` persons in `out`."""
    chosen: dict[str, Path] = {}
    for folder in folders:
        for entry in sorted(folder.iterdir()):
            file = next(iter(sorted(entry.glob("*.jpg"))), None) if entry.is_dir() else entry if entry.suffix == ".jpg" else None
            if file is not None:
                chosen.setdefault(f"{folder.name}-{entry.stem}", file)
    rows: list[dict[str, str]] = []
    (out / "pictures").mkdir(parents=True)
    done = 0
    for name, file in chosen.items():
        if done == people:
            break
        found = portrait(file)
        if found is None:
            continue
        done += 1
        pixels, points = found
        edits = {emotion: express(pixels, points, emotion) for emotion in EXPRESSIONS}
        for label, picture, suffix in (("source", pixels, "png"), *((e, p, "png") for e, p in edits.items()), ("neutral", pixels, "jpg")):
            place = f"pictures/{name}_{label}.{suffix}"
            image.save(out / place, picture)
            rows.append({"identity": name, "picture": place, "role": "source" if label == "source" else "edit",
                         "condition": "neutral" if label == "source" else label})  # fmt: skip
    manifest.write(out / manifest.FILE, rows)
    (out / config.FILE).write_text(config.default_text("en", *suggested()), encoding="utf-8")
    print(f"{done} people, {len(rows)} pictures in {out}")


class Recorder:
    """Counts what goes into the models while a study runs, and keeps one input of each kind."""

    def __init__(self) -> None:
        self.calls: Counter[Call] = Counter()
        self.again: dict[Call, Callable[[], object]] = {}
        self._lock = threading.Lock()
        self._plain = Session.run, DlibErt.locate

    def _note(self, key: Call, again: Callable[[], object], times: int = 1) -> None:
        with self._lock:
            self.calls[key] += times
            self.again.setdefault(key, again)

    def __enter__(self) -> Recorder:
        plain_run, plain_locate = self._plain

        def run_session(session: Session, blob: Any, outputs: Any = None) -> Any:
            shape = blob.shape if not isinstance(blob, dict) else tuple((name, value.shape) for name, value in blob.items())
            self._note((id(session), shape), lambda: plain_run(session, blob, outputs))
            return plain_run(session, blob, outputs)

        def locate(landmarker: DlibErt, images: Any, faces: Any) -> Any:
            for picture, group in zip(images, faces, strict=True):
                if group:
                    self._note((id(landmarker.trees), picture.shape, len(group)), lambda p=picture, g=group: plain_locate(landmarker, [p], [g]))
            return plain_locate(landmarker, images, faces)

        Session.run, DlibErt.locate = run_session, locate  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Session.run, DlibErt.locate = self._plain  # type: ignore[method-assign]

    def replay(self, workers: int) -> tuple[float, float]:
        """Wall and processor seconds of all calls again, spread over threads in the order of their kinds."""
        jobs = [self.again[key] for key, times in self.calls.items() for _ in range(times)]
        wall, cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(workers) as pool:
            for future in [pool.submit(job) for job in jobs]:
                future.result()
        return time.perf_counter() - wall, time.process_time() - cpu


def measure(folder: Path, workers: int) -> dict[str, float]:
    """Seconds of the whole study and of its models alone."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        lines = (folder / manifest.FILE).read_text(encoding="utf-8-sig").splitlines()
        warm = folder / "warm.csv"
        warm.write_text("\n".join(lines[:7]) + "\n", encoding="utf-8")
        try:
            run(warm, out / "warm", config_path=folder / config.FILE, executor="threads", workers=workers, progress=False, skip_missing=True)
        finally:
            warm.unlink()
        with Recorder() as recorder:
            wall, cpu = time.perf_counter(), time.process_time()
            document = run(folder / manifest.FILE, out / "out", executor="threads", workers=workers, progress=False, skip_missing=True)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        bare_wall, bare_cpu = recorder.replay(workers)
    return {"pictures": len(document["faces"]), "people": document["results"]["sample"]["identities"], "pairs": len(document["pairs"]), "wall": wall, "cpu": cpu,
            "bare_wall": bare_wall, "bare_cpu": bare_cpu, "calls": sum(recorder.calls.values()), **document["seconds"]}  # fmt: skip


def main() -> None:
    """Make the material, or measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("folders", nargs="+", type=Path)
    making.add_argument("--out", type=Path, required=True)
    making.add_argument("--people", type=int, default=200)
    running = commands.add_parser("run")
    running.add_argument("folder", type=Path)
    running.add_argument("--workers", type=int, default=2)
    running.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if chosen.command == "make":
        make(chosen.folders, chosen.out, chosen.people)
        return
    f = measure(chosen.folder, chosen.workers)
    for key, value in f.items():
        print(f"{key}: {value:.2f}" if isinstance(value, float) else f"{key}: {value}")
    ratio = f["wall"] / f["bare_wall"]
    print(f"ratio: wall {ratio:.2f}, processor {f['cpu'] / f['bare_cpu']:.2f}")
    if chosen.write:
        (ROOT / "docs" / "benchmarks-study.md").write_text(page(f, chosen.workers), encoding="utf-8")


def page(f: dict[str, float], workers: int) -> str:
    """The measurement as a page of the documentation."""
    wall, cpu = f["wall"] / f["bare_wall"], f["cpu"] / f["bare_cpu"]
    command = f"python bench/study_speed.py run FOLDER --workers {workers} --write"
    return f"""# How fast a study is

Written by `{command}` on {datetime.date.today()};
the material by `python bench/study_speed.py make london/neutral_front lfw/images --out FOLDER`.
{os.cpu_count()} cores, {platform.machine()}, load average {os.getloadavg()[0]:.1f} at the end; Python {platform.python_version()}.

{f["people"]} people, {f["pictures"]} pictures (a source, four expressions, a no-op edit), {f["pairs"]} pair rows;
`study run --executor threads` with the models of a new study, everything included: decoding, hashing, locality, statistics, figures, report.
"Models alone": the same {f["calls"]} runs of the networks and the landmarker, in as many threads, with nothing around them.

| | whole study | models alone | ratio | goal | |
|---|---|---|---|---|---|
| wall clock | {f["wall"]:.1f} s | {f["bare_wall"]:.1f} s | {wall:.2f} | ≤ {GOAL} | {"met" if wall <= GOAL else "**missed**"} |
| processor | {f["cpu"]:.1f} s | {f["bare_cpu"]:.1f} s | {cpu:.2f} | | |

{1000 * f["wall"] / f["pictures"]:.0f} ms a picture; of the whole, {f["models"]:.1f} s are the pass over the pictures (models and locality).
"""


if __name__ == "__main__":
    main()
