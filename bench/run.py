"""Measure faceworks against what it stands on and against its peers: ratios of one run, interleaved, medians. `make bench` runs it.

    python bench/run.py [--rounds N] [--peers DIR] [--write]

Whole processes come first, while this one is still small: a child's peak memory is never less than its parent's at the time of the fork. Then the
networks, in this process. Every ratio compares medians of runs that alternate, so that a busy machine slows both sides. `--write` puts the
table into docs/benchmarks.md. Peers live in environments of their own, outside the repository: `bench/peers.sh`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAIR = ("person_b_1", "person_b_2")


class Times(NamedTuple):
    """Milliseconds."""

    wall: float
    busy: float


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: two medians, each of wall and processor milliseconds, and the largest ratio of wall times that is good enough."""

    what: str
    ours: Times
    against: str
    theirs: Times
    goal: float | None = None
    slack: float = 0.0
    note: str = ""

    @property
    def ratio(self) -> float:
        """Ours in units of theirs, by the wall clock."""
        return self.ours.wall / self.theirs.wall

    @property
    def verdict(self) -> str:
        """Whether the goal is met; `slack` is an absolute allowance in milliseconds."""
        if self.goal is None:
            return ""
        return "met" if self.ratio <= self.goal or (self.slack and self.ours.wall <= self.theirs.wall + self.slack) else "**missed**"

    def cells(self) -> list[str]:
        """The row of a table."""
        goal = "" if self.goal is None else f"≤ {self.goal:g}" + (f" or + {self.slack:g} ms" if self.slack else "")
        busy = f"{self.ours.busy / self.theirs.busy:.2f}" if self.theirs.busy else ""
        return [self.what, f"{self.ours.wall:.2f}", self.against, f"{self.theirs.wall:.2f}", f"{self.ratio:.2f}", busy, goal, self.verdict, self.note]


HEADER = ["what", "ms", "against", "ms", "ratio", "processor ratio", "goal", "", "note"]


# --- whole processes -------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """One child process: wall seconds, processor seconds, peak megabytes, and what it printed."""

    wall: float
    processor: float
    peak: float
    output: str


def child(command: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run a command to its end and ask the system what it used."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=out, stderr=err, cwd=tempfile.gettempdir())
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode not in (0, 1):
            raise RuntimeError(f"{' '.join(command)[:200]} left with {process.returncode}:\n{err.read().decode(errors='replace')[-2000:]}")
        scale = 1e6 if sys.platform == "darwin" else 1e3
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale, out.read().decode(errors="replace"))


def interleaved(rounds: int, commands: Mapping[str, tuple[Sequence[str], Mapping[str, str]]]) -> dict[str, list[Run]]:
    """Each command once a round; a first round warms the disk and is thrown away."""
    found: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, (command, environment) in commands.items():
            run = child(command, environment)
            if turn:
                found[name].append(run)
    return found


def imported(module: str) -> str:
    """A program that prints the milliseconds of an import."""
    clocks = "(time.perf_counter() * 1e3, time.process_time() * 1e3)"
    return f"import time; a = {clocks}; import {module}; b = {clocks}; print(b[0] - a[0], b[1] - a[1])"


FACES = """
import sys, face_recognition as f
a, b = (f.face_encodings(f.load_image_file(path))[0] for path in sys.argv[1:])
print(f.compare_faces([a], b))
"""
DEEP = """
import sys; from deepface import DeepFace
print(DeepFace.verify(*sys.argv[1:], model_name="SFace", detector_backend="yunet", silent=True)["verified"])
"""
COMMAND_LINE = "import sys; from faceworks.__main__ import main; main()"
BARE = """
import sys, cv2, onnxruntime
for path in sys.argv[1:]:
    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
"""
PREPARE = """
import json, faceworks
from faceworks import assets, cards, convert, runtime
files = {name: str(assets.fetch(cards.get("samples").file_for(name))) for name in ("person_b_1", "person_b_2")}
faceworks.verify(*files.values())
spec = faceworks.PipelineSpec()
print(json.dumps({"files": files, "graphs": [str(convert.prepare(cards.get(name))) for name in (spec.detector, spec.embedder)]}))
"""


def ms(runs: Sequence[Run], printed: bool = False) -> Times:
    """Medians: of whole processes, or of what the children themselves printed (wall and processor milliseconds)."""
    pairs = [tuple(map(float, run.output.split())) if printed else (run.wall * 1e3, run.processor * 1e3) for run in runs]
    return Times(statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs))


def processes(rounds: int, peers: Path) -> tuple[list[Row], list[list[str]]]:
    """Imports, the command line, cold verifications; and the memory table."""
    us = {"PYTHONPATH": str(ROOT / "src")}
    python = sys.executable
    known: dict[str, Any] = json.loads(child([python, "-c", PREPARE], us).output)
    pictures = [known["files"][name] for name in PAIR]
    commands: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {
        "import faceworks": ([python, "-c", imported("faceworks")], us),
        "import numpy": ([python, "-c", imported("numpy")], us),
        "faceworks --help": ([python, "-c", COMMAND_LINE, "--help"], us),
        "import click": ([python, "-c", "import click"], us),
        "faceworks verify": ([python, "-c", COMMAND_LINE, "verify", *pictures], us),
        "bare": ([python, "-c", BARE, *known["graphs"]], us),
    }
    if (peers / "face_recognition").is_dir():
        commands["face_recognition"] = ([str(peers / "face_recognition/bin/python"), "-W", "ignore", "-c", FACES, *pictures], {})
    if (peers / "deepface").is_dir():
        commands["deepface"] = ([str(peers / "deepface/bin/python"), "-c", DEEP, *pictures], {"DEEPFACE_HOME": str(peers / "home")})
    runs = interleaved(rounds, commands)
    for name in ("face_recognition", "deepface"):
        if name in runs:
            assert "True" in runs[name][0].output, f"{name} does not verify the pair"
    verify = ms(runs["faceworks verify"])
    rows = [
        Row("`import faceworks`", ms(runs["import faceworks"], True), "`import numpy`", ms(runs["import numpy"], True), 0.5),
        Row("`faceworks --help`, process", ms(runs["faceworks --help"]), "`import click`, process", ms(runs["import click"]), 1.5),
        Row("cold `faceworks verify`, process", verify, "import cv2 and onnxruntime, open the two sessions", ms(runs["bare"]), 1.5),
    ]
    for name, note in (("face_recognition", "dlib's wheel, without BLAS"), ("deepface", "the same two networks, onnxruntime; no TensorFlow in it")):
        if name in runs:
            rows.append(Row("cold `faceworks verify`, process", verify, f"{name}, the same pictures", ms(runs[name]), 0.4, note=note))
    memory = [
        [name, f"{statistics.median(run.peak for run in found):.0f}", f"{statistics.median(run.processor for run in found) * 1e3:.0f}"]
        for name, found in runs.items()
    ]
    return rows, memory


# --- networks, in this process ---------------------------------------------------------------------------------------------------------------


def alternating(rounds: int, works: Mapping[str, Callable[[], object]]) -> dict[str, Times]:
    """Medians of each, run by turns after two rounds of warming."""
    times: dict[str, list[Times]] = {name: [] for name in works}
    for turn in range(rounds + 2):
        for name, work in works.items():
            wall, busy = time.perf_counter(), time.process_time()
            work()
            if turn >= 2:
                times[name].append(Times((time.perf_counter() - wall) * 1e3, (time.process_time() - busy) * 1e3))
    return {name: Times(*(statistics.median(column) for column in zip(*values, strict=True))) for name, values in times.items()}


def networks(rounds: int) -> tuple[list[Row], list[list[str]]]:
    """Our layers against the raw sessions on the same tensors; the rewritten graph against the exported one; batches."""
    import faceworks
    from faceworks import assets, cards, convert, image
    from faceworks.convert import graph
    from faceworks.detect.letterbox import batches
    from faceworks.runtime import to_blob

    spec = faceworks.PipelineSpec()
    sample = cards.get("samples")
    pictures = [image.load(assets.fetch(sample.file_for(name))) for name in PAIR]
    detector_card, embedder_card = cards.get(spec.detector), cards.get(spec.embedder)
    rows: list[Row] = []
    table: list[list[str]] = []

    def bare(path: Path | bytes, threads: int) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(str(path) if isinstance(path, Path) else path, options, providers=["CPUExecutionProvider"])

    for threads in (1, 2):
        pipeline = faceworks.get_pipeline(threads=threads)
        boxes, vectors = bare(convert.prepare(detector_card), threads), bare(convert.prepare(embedder_card), threads)
        boxes_name, vectors_name = boxes.get_inputs()[0].name, vectors.get_inputs()[0].name
        tensors = [batch.blob for batch in batches(pictures, detector_card.input_for(), free=True)]
        single = next(iter(batches(pictures[:1], detector_card.input_for(), free=True))).blob
        faces = [pipeline.select(found, picture.shape[:2])[0] for picture, found in zip(pictures, pipeline.detect(pictures), strict=True)]
        crops = [pipeline.crop(picture, face) for picture, face in zip(pictures, faces, strict=True)]
        blob = to_blob([crop.pixels for crop in crops], embedder_card.input_for())

        def detect_bare(tensors: Sequence[Any], boxes: Any = boxes, name: str = boxes_name) -> None:
            for tensor in tensors:
                boxes.run(None, {name: tensor})

        def embed_bare(tensor: Any, vectors: Any = vectors, name: str = vectors_name) -> None:
            vectors.run(None, {name: tensor})

        works: dict[str, Callable[[], object]] = {
            "detect": lambda pipeline=pipeline: pipeline.detect(pictures[:1]),  # type: ignore[misc]
            "detect bare": lambda single=single, f=detect_bare: f([single]),  # type: ignore[misc]
            "embed": lambda pipeline=pipeline, crops=crops: pipeline.embed_crops(crops[:1]),  # type: ignore[misc]
            "embed bare": lambda blob=blob, f=embed_bare: f(blob[:1]),  # type: ignore[misc]
            "verify": lambda threads=threads: faceworks.verify(*pictures, threads=threads),  # type: ignore[misc]
            "verify bare": lambda tensors=tensors, blob=blob, f=detect_bare, g=embed_bare: (f(tensors), g(blob)),  # type: ignore[misc]
        }
        found = alternating(rounds, works)
        plural = f"{threads} thread" + "s" * (threads > 1)
        for name, note in (("detect", "with resizing, decoding, suppression"), ("embed", "from a crop"), ("verify", "two decoded pictures")):
            slack = 1.5 if found[f"{name} bare"].wall < 10 else 0.0
            rows.append(Row(f"{name}, {plural}", found[name], "raw sessions, same tensors", found[f"{name} bare"], 1.15, slack, note))

        model = graph_of(assets.fetch(embedder_card.file_for()), graph)
        exported = bare(model, threads)
        x = blob[:1]
        two = alternating(
            rounds,
            {
                "rewritten": lambda f=embed_bare, x=x: f(x),  # type: ignore[misc]
                "exported": lambda exported=exported, x=x: exported.run(None, {"data": x}),  # type: ignore[misc]
            },
        )
        rows.append(Row(f"SFace, PReLU rewritten, {plural}", two["rewritten"], "SFace as exported, weights folded", two["exported"], 0.6))

        by_size = {
            str(n): (lambda pipeline=pipeline, many=(crops * 16)[:n]: pipeline.embed_crops(many))  # type: ignore[misc]
            for n in (1, 8, 32)
        }
        sized = alternating(max(5, rounds // 3), by_size)
        table.append([plural, *(f"{sized[str(n)].wall / n:.2f}" for n in (1, 8, 32))])
    return rows, table


def graph_of(path: Path, graph: Any) -> bytes:
    """SFace as its authors export it: weights in fp32, PReLU as it is, one picture a run."""
    import onnx

    model = onnx.load(str(path))
    graph.drop_stale_inputs(model)
    graph.fold_constants(model)
    graph.remove_dropout(model)
    graph.sweep(model)
    data: bytes = model.SerializeToString()
    return data


# --- report ----------------------------------------------------------------------------------------------------------------------------------


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def report(rows: list[Row], memory: list[list[str]], sizes: list[list[str]], arguments: argparse.Namespace) -> str:
    """The text of docs/benchmarks.md."""
    import cv2
    import numpy
    import onnxruntime

    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [
            line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    load = f", load average {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    versions = f"Python {platform.python_version()}, onnxruntime {onnxruntime.__version__}, OpenCV {cv2.__version__}, NumPy {numpy.__version__}"
    missing = "" if any("deepface" in row.against for row in rows) else "\nThe peers were not measured: `bench/peers.sh` makes their environments.\n"
    return f"""# Benchmarks

Written by `python bench --write` (`make bench` prints the same) on {datetime.date.today().isoformat()}; {arguments.rounds} rounds.
{os.cpu_count()} cores of {processor}{load}. {versions}.
Each row compares medians of runs that alternate in one session: the ratio is the result, milliseconds only show the scale. Goals are about the
wall clock; the ratio of processor times says the same on a machine that others use too.
"Cold" is a new process with files in the system's cache. Pictures: two portraits of 0.4 megapixels and more from the card `samples`.
{missing}
## Against what we stand on, and against others

{markdown(HEADER, [row.cells() for row in rows])}

## Embedding, milliseconds a face

{markdown(["", "batch 1", "batch 8", "batch 32"], sizes)}

## Whole processes: peak memory and processor time

{markdown(["process", "peak MB", "processor ms"], memory)}
"""


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of whole processes; networks run twice as many (default 15)")
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "faceworks-peers", help="folder made by bench/peers.sh")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    rows, memory = processes(arguments.rounds, arguments.peers.resolve())
    sys.path.insert(0, str(ROOT / "src"))
    more, sizes = networks(2 * arguments.rounds)
    text = report(more + rows, memory, sizes, arguments)
    print(text)
    if arguments.write:
        target = ROOT / "docs" / "benchmarks.md"
        target.write_text(text, encoding="utf-8")
        print(f"wrote {target}")
    missed = [row.what for row in more + rows if "missed" in row.verdict]
    if missed:
        print(f"goals missed: {'; '.join(missed)}", file=sys.stderr)


if __name__ == "__main__":
    main()
