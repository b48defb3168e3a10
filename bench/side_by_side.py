"""faceworks beside other packages: each in an environment of its own, on the same pictures, by turns, medians and ratios. Writes a part of docs/benchmarks.md.

    python bench/side_by_side.py install DIR [PACKAGE…]    environments under DIR, timed
    python bench/side_by_side.py measure DIR [--folder PICTURES] [--rounds N] [--only TASK,…]    a part of them is added to what was measured
    python bench/side_by_side.py write DIR

Where weights can be had they are the same: YuNet and SFace in faceworks and deepface; SCRFD 2.5g and SFace in faceworks, insightface and uniface (the second row of
faceworks). dlib's and MTCNN's packages bring their own. Every task takes a path and includes decoding. Each round runs every package once, so that a busy machine
slows all; the ratio is the median of a package's times over the median of faceworks' in the same rounds. Workers stay open between rounds; one runs at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from run import child, graph_of, markdown

ROOT = Path(__file__).resolve().parent.parent
PEERS: dict[str, list[list[str]]] = {
    "faceworks": [[str(ROOT)]],
    "uniface": [["uniface", "onnxruntime", "faiss-cpu"]],
    "insightface": [["insightface", "onnxruntime"]],
    "face_recognition": [
        ["dlib-bin", "numpy", "pillow", "click", "setuptools<81"],
        ["--no-deps", "face_recognition==1.3.0", "face_recognition_models==0.3.0"],
    ],
    "deepface": [["deepface==0.0.103", "werkzeug"]],
    "facenet-pytorch": [["torch", "torchvision", "pillow", "requests", "tqdm", "numpy"], ["--no-deps", "facenet-pytorch==2.6.0"]],
    "mtcnn": [["tensorflow-cpu", "mtcnn==1.0.0", "joblib", "lz4"]],
}
"""What pip is asked for. dlib as a wheel (no BLAS); facenet-pytorch without its pins of an old torch."""
SCRFD = "faceworks, SCRFD 2.5g"
ORDER = ["faceworks", SCRFD, "deepface", "face_recognition", "facenet-pytorch", "mtcnn", "insightface", "uniface"]
TASKS = {
    "detect": "detect, group of 29",
    "embed": "embed a portrait",
    "verify": "verify a pair",
    "folder": "embed a folder",
    "find 10000": "find in 10^4",
    "find 1000000": "find in 10^6",
}
ROUNDS = {"folder": 3, "find 1000000": 5}
"""Rounds of the tasks that take long."""


def measured_folder(folder: Path) -> float:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def install(base: Path, names: list[str]) -> None:
    """Environments that are not there yet; what each took into DIR/install.json."""
    base.mkdir(parents=True, exist_ok=True)
    notes = base / "install.json"
    done: dict[str, Any] = json.loads(notes.read_text()) if notes.exists() else {}
    for name in names or PEERS:
        if name in done:
            continue
        place = base / name
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        empty, before, begin = measured_folder(place), resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        for step in PEERS[name]:
            subprocess.run([place / "bin/pip", "install", "-q", "--no-cache-dir", *step], check=True)
        wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        freeze = subprocess.run([place / "bin/pip", "list", "--format=freeze"], capture_output=True, text=True, check=True).stdout
        done[name] = {
            "wall": wall, "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "megabytes": measured_folder(place) - empty, "packages": len(freeze.split()) - 2, "freeze": freeze,
        }  # fmt: skip
        notes.write_text(json.dumps(done))
        print(name, {key: value for key, value in done[name].items() if key != "freeze"}, flush=True)


@dataclass(slots=True)
class Measured:
    """One package's figures: task -> rounds of (wall ms, processor ms), its answers, and cold runs (wall ms, processor ms, peak MB)."""

    times: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    cold: list[tuple[float, float, float]] = field(default_factory=list)


class Worker:
    """A package's process."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*command, "serve"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.tasks: list[str] = self.answer()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, task: str) -> tuple[float, float, Any]:
        assert self.process.stdin is not None
        print(task, file=self.process.stdin, flush=True)
        wall, busy, result = self.answer()
        return wall, busy, result


def unbatched(path: Path) -> bytes:
    """The same network with outputs (N, C) instead of (1, N, C), as uniface reads them."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    for output in model.graph.output:
        columns = output.type.tensor_type.shape.dim[-1].dim_value
        model.graph.initializer.append(numpy_helper.from_array(np.array([-1, columns], np.int64), f"{output.name}_shape"))
        model.graph.node.append(helper.make_node("Reshape", [output.name, f"{output.name}_shape"], [f"{output.name}_flat"]))
        output.name = f"{output.name}_flat"
        del output.type.tensor_type.shape.dim[0]
    data: bytes = model.SerializeToString()
    return data


def plan(base: Path, folder: Path | None) -> dict[str, Any]:
    """Pictures and weights, as paths. Without a folder the portraits of the samples are taken."""
    sys.path.insert(0, str(ROOT / "src"))
    from faceworks import api, assets, cards
    from faceworks.convert import graph

    sample = cards.get("samples")
    files = {entry.role: str(assets.fetch(entry)) for entry in sample.file}
    portraits = [path for name, path in files.items() if name.startswith("person_")]
    many = sorted(str(path) for path in folder.rglob("*.jpg"))[:60] if folder is not None else portraits
    api.verify(files["person_b_1"], files["person_b_2"])  # so that every cache is filled
    api.detect(files["group"], detector="scrfd-2.5g")
    weights = base / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    (weights / "sface.onnx").write_bytes(graph_of(assets.fetch(cards.get("sface-2021dec-int8bq").file_for()), graph))  # as its authors export it
    deep = base / "home/.deepface/weights"
    deep.mkdir(parents=True, exist_ok=True)
    shutil.copy(weights / "sface.onnx", deep / "face_recognition_sface_2021dec.onnx")
    shutil.copy(assets.fetch(cards.get("yunet-2023mar-int8bq").file_for()), deep / "face_detection_yunet_2023mar.onnx")
    shutil.copy(assets.fetch(cards.get("scrfd-2.5g").file_for()), weights / "scrfd.onnx")
    (weights / "scrfd-flat.onnx").write_bytes(unbatched(weights / "scrfd.onnx"))
    return {
        "pair": [files["person_b_1"], files["person_b_2"]], "group": files["group"], "folder": many, "threads": os.cpu_count() or 1,
        "scrfd": str(weights / "scrfd.onnx"), "scrfd flat": str(weights / "scrfd-flat.onnx"), "sface": str(weights / "sface.onnx"), "scratch": tempfile.gettempdir(),
    }  # fmt: skip


def measure(base: Path, folder: Path | None, rounds: int, cold_rounds: int, only: list[str]) -> None:
    """Cold runs by turns, then open workers by turns; into DIR/measured.json."""
    # In a process of its own: a child's peak memory is never less than its parent's at the fork, so this one stays small.
    subprocess.run([sys.executable, __file__, "plan", str(base), *(["--folder", str(folder)] if folder is not None else [])], check=True)
    work = json.loads((base / "plan.json").read_text())
    environment = {**os.environ, "DEEPFACE_HOME": str(base / "home"), "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    environment.pop("PYTHONPATH", None)
    names = [name for name in ORDER if (base / name.partition(",")[0] / "bin/python").exists()]
    commands = {
        name: [str(base / name.partition(",")[0] / "bin/python"), str(Path(__file__).with_name("side_worker.py")), name, str(base / "plan.json")]
        for name in names
    }
    found = {name: Measured() for name in names}
    if "cold" in only:
        for turn in range(cold_rounds + 1):
            for name in [name for name in names if name in found]:
                try:
                    run = child([*commands[name], "cold"], environment)
                    found[name].answers["cold"] = json.loads(run.output)["result"]
                except (RuntimeError, ValueError) as error:  # one package that does not run here shall not cost the others their figures
                    print(f"left out: {name}: {error}", file=sys.stderr)
                    del found[name]
                    continue
                if turn:
                    found[name].cold.append((run.wall * 1e3, run.processor * 1e3, run.peak))
        _note(base, found, len(work["folder"]))
    if set(only) & set(TASKS):
        _measure_open(base, found, commands, environment, rounds, [task for task in TASKS if task in only], len(work["folder"]))
    print(json.dumps({name: one.answers for name, one in found.items()}, indent=1))


def _note(base: Path, found: dict[str, Measured], pictures: int) -> None:
    """Add what was measured so far to DIR/measured.json: a run that is stopped keeps what it has."""
    notes = base / "measured.json"
    data = json.loads(notes.read_text()) if notes.exists() else {"found": {}}
    for name, one in found.items():
        held = data["found"].setdefault(name, {"times": {}, "answers": {}, "cold": []})
        held["times"] |= one.times
        held["answers"] |= one.answers
        held["cold"] = one.cold or held["cold"]
    data |= {"pictures": pictures, "date": date.today().isoformat(), "load": max(os.getloadavg()[0], data.get("load", 0))}
    notes.write_text(json.dumps(data))


def _measure_open(
    base: Path, found: dict[str, Measured], commands: dict[str, list[str]], environment: dict[str, str], rounds: int, tasks: list[str], pictures: int
) -> None:
    workers: dict[str, Worker] = {}
    try:
        for name in list(found):
            try:
                workers[name] = Worker(commands[name], environment)
            except RuntimeError as error:
                print(f"left out: {name}: {error}", file=sys.stderr)
                del found[name]
        for task in tasks:
            able = [name for name, worker in workers.items() if task in worker.tasks]
            for turn in range(min(ROUNDS.get(task, rounds), rounds) + 1):
                for name in able:
                    wall, busy, found[name].answers[task] = workers[name].ask(task)
                    if turn:
                        found[name].times.setdefault(task, []).append((wall, busy))
            _note(base, found, pictures)
    finally:
        for worker in workers.values():
            worker.process.kill()
            worker.process.wait()


def middle(values: list[list[float]], column: int) -> float:
    return statistics.median(value[column] for value in values)


def write(base: Path) -> None:
    """The part of docs/benchmarks.md between its marks."""
    notes = json.loads((base / "install.json").read_text()) if (base / "install.json").exists() else {}
    data = json.loads((base / "measured.json").read_text())
    found, pictures = data["found"], data["pictures"]
    names = [name for name in ORDER if name in found]
    table = []
    for name in names:
        one, row = found[name], [name]
        for task in ("cold", *TASKS):
            series, base_series = (
                (one["cold"], found["faceworks"]["cold"]) if task == "cold" else (one["times"].get(task), found["faceworks"]["times"].get(task))
            )
            if not series or not base_series:
                row.append("-")
                continue
            value, ratio, busy = middle(series, 0), middle(series, 0) / middle(base_series, 0), middle(series, 1) / middle(base_series, 1)
            text = f"{value / pictures:.1f} ms a picture" if task == "folder" else f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"
            row.append(text if name == "faceworks" else f"{text} ({ratio:.2g}x, {busy:.2g}x)")
        table.append([*row, f"{middle(one['cold'], 2):.0f} MB" if one["cold"] and one["cold"][0][2] is not None else "-"])
    seen = [[name, *(_said(found[name]["answers"].get(task)) for task in ("verify", "detect", "folder"))] for name in names]
    sizes = [
        [name, f"{one['megabytes']:.0f} MB", str(one["packages"]), f"{one['processor']:.0f} s", f"{one['wall']:.0f} s", _version(one["freeze"], name)]
        for name, one in notes.items()
    ]
    installed = (
        f"""Installing into an empty environment, nothing cached, other work on the machine (so the processor time is the figure to compare; the clock includes
downloading and waiting):

{markdown(["", "size", "packages", "processor time", "clock", "version"], sizes)}

torch and TensorFlow are their builds for processors without CUDA; what PyPI gives for Linux by default brings CUDA and is several times larger.
"""
        if sizes
        else "Install size and time were not measured in this run.\n"
    )
    text = f"""{MARK}

Written by `bench/side_by_side.py` (`install`, `measure`, `write`) on {data["date"]}; {os.cpu_count()} cores, load average {data["load"]:.1f} at the end.
Each package in an environment of its own (some borrowed NumPy, OpenCV or torch from another),
the same pictures, by turns, medians; in brackets the ratios to faceworks, by the clock and of
processor time (above 1: slower than faceworks); the second is disturbed less by other work on the machine.
"Cold" is a process that verifies one pair and ends (mtcnn: finds both faces), with files in the system's cache; the memory is that process's peak
("-": not measured). Every task starts from a path.
The folder holds {pictures} pictures; faceworks maps it with threads, for the others it is a loop over their functions, as their documentation shows.
Same weights: YuNet and SFace in faceworks and deepface; SCRFD 2.5g and SFace in faceworks' second row, in
insightface and in uniface; the others run SFace as its authors export it, faceworks its own rewriting of the graph.
insightface's and uniface's own weights were not used: their classes run over these files (uniface's function that fetches weights is replaced, as it takes
no path).
facenet-pytorch embeds with random weights (its own are downloaded elsewhere): the time is that of the network, the answer means nothing. mtcnn only detects.
"Find" is one query among random vectors of 128 numbers that lie in memory: faceworks' exact gallery search for the five nearest, `face_distance` of face_recognition and
the FAISS store of uniface for the nearest; deepface's `find()` is measured by `bench/deepface_find.py`, and the others have no search.

{markdown(["", "cold verify", *TASKS.values(), "peak"], table)}

What they answered (same person; faces in the group picture, where 29 are; faces in the folder):

{markdown(["", "pair is one person", "group", "folder"], seen)}

{installed}{END}"""
    target = ROOT / "docs" / "benchmarks.md"
    whole = target.read_text(encoding="utf-8")
    if MARK in whole:
        head, _, rest = whole.partition(MARK)
        whole = head.rstrip() + "\n" + rest.partition(END)[2]
    target.write_text(whole.rstrip() + "\n\n" + text + "\n", encoding="utf-8")
    print(text)


MARK, END = "## Side by side with other packages", "<!-- end of side by side -->"


def _said(value: Any) -> str:
    return {True: "yes", False: "no", None: "-"}.get(value, str(value)) if isinstance(value, (bool, type(None))) else str(value)


def _version(freeze: str, name: str) -> str:
    wanted = name.lower().replace("-", "_")
    return next((line.partition("==")[2] for line in freeze.split() if line.partition("==")[0].lower().replace("-", "_") == wanted), "")


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["install", "plan", "measure", "write"])
    parser.add_argument("base", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path, help="pictures of faces, of which 60 are taken")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", help=f"of cold, {', '.join(TASKS)}; comma between")
    parser.add_argument("--cold-rounds", type=int, default=5)
    arguments = parser.parse_args()
    base = arguments.base.resolve()
    if arguments.what == "install":
        install(base, arguments.names)
    elif arguments.what == "plan":
        (base / "plan.json").write_text(json.dumps(plan(base, arguments.folder)))
    elif arguments.what == "measure":
        measure(base, arguments.folder, arguments.rounds, arguments.cold_rounds, arguments.only.split(",") if arguments.only else ["cold", *TASKS])
    else:
        write(base)


if __name__ == "__main__":
    main()
