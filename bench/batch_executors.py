"""Twenty thousand pictures through each executor of `faceworks batch`: how busy the cores are, memory, and kill -9 amid the run. Writes docs/benchmarks-batch.md.

    python bench/batch_executors.py make FOLDER [--count 20000]
    python bench/batch_executors.py run FOLDER serial|threads|processes|ray     (one at a time, on an idle machine)
    python bench/batch_executors.py cost FOLDER PICTURES                        what a core does of real pictures
    python bench/batch_executors.py write FOLDER [docs/benchmarks-batch.md]

Pictures are composites: the faces of the sample pictures, 160 pixels high and wide, at many sizes, places and brightnesses over gradients; every tenth is
without a face. A run is one `faceworks batch detect` that is killed by SIGKILL some seconds after its second shard and then given again. Busy is the processor time
of the run's own processes over that plus the machine's idle time, from start to end, model loading and the last shard included: what other programs or a hypervisor
take is not the run's to use, what lies idle is. Memory is the sum of the processes' proportional set sizes, so that what they share counts once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
EXECUTORS = ("serial", "threads", "processes", "ray")
TICK = os.sysconf("SC_CLK_TCK")
SIDE = 160


def make(folder: Path, count: int) -> None:
    """Write the composites, 1,000 to a folder, the same in every run."""
    sys.path.insert(0, str(ROOT / "src"))
    import cv2

    from faceworks import api, assets, cards, image

    sample = cards.get("samples")
    pictures = [image.load(assets.fetch(sample.file_for(entry.role))) for entry in sample.file if entry.role.startswith("person_")]
    heads = []
    for picture, (face, *_) in zip(pictures, api.get_pipeline().find(pictures), strict=True):
        x1, y1, x2, y2 = (int(v) for v in (*(face.box[:2] - 0.3 * face.width), *(face.box[2:] + 0.3 * face.width)))
        heads.append(np.ascontiguousarray(picture[max(0, y1) : y2, max(0, x1) : x2]))
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 1, SIDE, dtype=np.float32)
    for number in range(count):
        one, other = rng.integers(0, 256, (2, 3))
        canvas = (ramp[:, None, None] * one + (1 - ramp)[None, :, None] * other).astype(np.uint8)
        head = heads[rng.integers(len(heads))]
        high = int(rng.integers(50, SIDE))
        wide = min(SIDE, high * head.shape[1] // head.shape[0])
        top, left = rng.integers(0, SIDE - high + 1), rng.integers(0, SIDE - wide + 1)
        if number % 10:
            canvas[top : top + high, left : left + wide] = cv2.convertScaleAbs(cv2.resize(head, (wide, high)), alpha=float(rng.uniform(0.6, 1.2)))
        path = folder / "in" / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), canvas[:, :, ::-1])


@dataclass(slots=True)
class Watch:
    """What a process and all below it used, looked at while they run."""

    seconds: float = 0.0
    processor: float = 0.0
    idle: float = 0.0
    memory: list[float] | None = None
    shards: int = 0


def descendants(root: int) -> dict[int, float]:
    """Process -> processor seconds (its own, and those of children that it has waited for)."""
    parents, times = {}, {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            fields = Path(f"/proc/{int(entry)}/stat").read_text().rpartition(")")[2].split()
            parents[int(entry)], times[int(entry)] = int(fields[1]), sum(map(int, fields[11:13])) / TICK
    wanted, grown = {root}, True
    while grown:
        found = {process for process, parent in parents.items() if parent in wanted} - wanted
        wanted |= found
        grown = bool(found)
    return {process: times[process] for process in wanted if process in times}


def megabytes(process: int) -> float:
    """Proportional set size."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1e3
    return 0.0


def machine() -> float:
    """Seconds that the processors of the whole machine have been idle, or waiting for a disk, since it started."""
    fields = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (fields[3] + fields[4]) / TICK


def watch(process: subprocess.Popen[bytes], table: Path, kill_after: int | None) -> Watch:
    """Look twice a second (at memory every two seconds) until it ends; kill it three seconds after its shard number `kill_after`."""
    begin, rested, seen = time.monotonic(), machine(), Watch(memory=[])
    used: dict[int, float] = {}
    deadline, looks = None, 0
    while process.poll() is None:
        used |= descendants(process.pid)
        seen.seconds = time.monotonic() - begin
        if looks % 4 == 0 and seen.memory is not None:
            seen.memory.append(sum(map(megabytes, descendants(process.pid))))
        looks += 1
        seen.shards = len(list(table.glob("part-*.parquet")))
        if kill_after is not None and deadline is None and seen.shards >= kill_after:
            deadline = time.monotonic() + 3
        if deadline is not None and time.monotonic() > deadline:
            process.kill()
            break
        time.sleep(0.5)
    process.wait()
    seen.seconds, seen.processor, seen.idle = time.monotonic() - begin, sum(used.values()), machine() - rested
    left = time.monotonic() + 120  # Ray's services find out slowly that their driver is gone
    while (alive := [p for p in used if Path(f"/proc/{p}/cmdline").exists() and Path(f"/proc/{p}/cmdline").read_bytes()]) and time.monotonic() < left:
        time.sleep(0.2)
    if alive:
        raise SystemExit(f"processes outlived the run: {alive}")
    return seen


def run(folder: Path, executor: str) -> None:
    """One executor: killed, given again, its rows compared with the serial run's; figures into FOLDER/EXECUTOR.json."""
    sys.path.insert(0, str(ROOT / "src"))
    table = folder / f"{executor}.parquet"
    for shard in table.glob("part-*") if table.exists() else ():
        shard.unlink()
    command = [
        sys.executable,
        "-m",
        "faceworks",
        "batch",
        "detect",
        str(folder / "in"),
        "--out",
        str(table),
        "--executor",
        executor,
        "--json",
        "--quiet",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_METRICS_COLLECTION": "1"}
    parts: list[dict[str, Any]] = []
    for kill_after in (2, None):
        with (folder / "out.json").open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdout=out)
            try:
                seen = watch(process, table, kill_after)
            finally:
                process.kill()
        parts.append({"seconds": seen.seconds, "processor": seen.processor, "idle": seen.idle, "memory": seen.memory, "code": process.returncode})
        print(
            executor,
            {name: value for name, value in parts[-1].items() if name != "memory"},
            [round(value) for value in seen.memory or ()],
            flush=True,
        )
    if parts[0]["code"] != -signal.SIGKILL or parts[1]["code"] != 0:
        raise SystemExit(f"{executor}: left with {[part['code'] for part in parts]}; was it over before its second shard?")
    summary = json.loads((folder / "out.json").read_text())
    print(summary)
    (folder / f"{executor}.json").write_text(json.dumps({"parts": parts, "summary": summary, "date": date.today().isoformat()}))


def cost(folder: Path, pictures: Path, count: int = 400) -> None:
    """Processor milliseconds a picture of `batch detect` and `batch embed` with one thread, after a run over 20 that is not counted."""
    sys.path.insert(0, str(ROOT / "src"))
    from faceworks import PipelineSpec
    from faceworks.batch.rows import FaceRows
    from faceworks.batch.tables import write_table

    found: dict[str, Any] = {"date": date.today().isoformat()}
    chosen = sorted(pictures.rglob("*.jpg"))[:: max(1, len(list(pictures.rglob("*.jpg"))) // count)][:count]
    for step in ("detect", "embed"):
        task = FaceRows(PipelineSpec(select="all", on_no_face="empty", threads=1), step)
        with tempfile.TemporaryDirectory() as place:
            write_table(task, chosen[:20], Path(place) / "warm.parquet", executor="serial")
            begin = time.process_time()
            done = write_table(task, chosen, Path(place) / "t.parquet", executor="serial")
            found[step] = (time.process_time() - begin) / done.pictures * 1e3
            found |= {
                "pictures": done.pictures,
                "faces": done.faces,
                "bytes": sum(file.stat().st_size for file in (Path(place) / "t.parquet").iterdir()),
            }
    print(found)
    (folder / "cost.json").write_text(json.dumps(found))


def compare(folder: Path) -> tuple[list[str], int, int]:
    """Executors whose table equals the serial run's row for row (all but the shards' borders); pictures; rows."""
    sys.path.insert(0, str(ROOT / "src"))
    from faceworks.batch.tables import read_rows

    names = ["source", "content", "width", "height", "faces", "face", "box", "score", "landmarks", "detector", "error"]
    expected = list(read_rows(folder / "serial.parquet", names))
    sources = [row["source"] for row in expected]
    once = {(row["source"], row["face"]) for row in expected}
    pictures = sorted(str(path) for path in (folder / "in").rglob("*.jpg"))
    assert len(once) == len(expected), "doubled rows"
    assert sorted(set(sources)) == pictures, "lost pictures"
    equal = [name for name in EXECUTORS if (folder / f"{name}.json").exists() and list(read_rows(folder / f"{name}.parquet", names)) == expected]
    return equal, len(pictures), len(expected)


def write(folder: Path, target: Path) -> None:
    """The document."""
    equal, pictures, rows = compare(folder)
    cores = os.cpu_count() or 1
    lines, days = [], set()
    measured = [name for name in EXECUTORS if (folder / f"{name}.json").exists()]
    for name in measured:
        found = json.loads((folder / f"{name}.json").read_text())
        first, second = found["parts"]
        days.add(found["date"])
        memory = second["memory"]
        quarter = max(1, len(memory) // 4)
        early, late = (statistics.mean(part) for part in (memory[-2 * quarter : -quarter], memory[-quarter:]))
        seconds, processor = first["seconds"] + second["seconds"], first["processor"] + second["processor"]
        busy = " / ".join(f"{part['processor'] / (part['processor'] + part['idle']):.0%}" for part in (first, second))
        done = found["summary"]
        lines.append(
            f"| {name} | {seconds:.0f} | {processor / pictures * 1e3:.1f} | {busy} | {processor / seconds / cores:.0%} "
            f"| {done['resumed']:,} + {done['pictures']:,} | {max(first['memory'] + memory):.0f} | {late / early:.2f} | {'yes' if name in equal else '**no**'} |"
        )
    text = f"""# Batch: one run through each executor

Written by `bench/batch_executors.py` (`make`, `run` for each executor, `write`) on {" and ".join(sorted(days))}; {cores} cores, one run each.
`faceworks batch detect` over {pictures:,} composites of 160 x 160 pixels ({rows:,} rows), killed by SIGKILL three seconds after
its second shard, and the same command again.
Busy: processor time of the run's own processes over that plus the time in which a core lay idle, start and end included, of the killed and of the second run. Share:
the same processor time over wall time times cores; the rest was idle, or taken by other programs and by the hypervisor of this shared machine.
Memory: sum of proportional set sizes; its growth compares the last quarter of the second run with
the quarter before (it rises once, by some 60 MB, when the first shard is made an Arrow table).

| executor | seconds | processor ms a picture | busy, killed / second run | share | kept + done after | peak MB | growth | rows as serial, none lost or doubled |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}
{"".join(f"{chr(10)}Not measured to its end: {name}.{chr(10)}" for name in EXECUTORS if name not in measured)}
Ray keeps its own services (an object store, schedulers, a control service) beside the two workers: that is its memory, and part of its processor time. Its
worth is a cluster; on one machine take `processes` (the default) or `threads`. What a kill costs is the shard that was open: at most 4,096 pictures or a minute.
On a Ray cluster of two machines, workers and then a machine were killed amid runs: `tests/unit/test_batch_ray.py`.
"""
    if (folder / "cost.json").exists():
        found = json.loads((folder / "cost.json").read_text())
        text += f"""
## What a core does

`bench/batch_executors.py cost` on {found["date"]}: {found["pictures"]} pictures of LFW (250 x 250 pixels,
{found["faces"]} faces), one thread, decoding and the table included.

| step | processor ms a picture | pictures a core and hour |
|---|---|---|
| `batch detect` | {found["detect"]:.1f} | {3.6e6 / found["detect"]:,.0f} |
| `batch embed` | {found["embed"]:.1f} | {3.6e6 / found["embed"]:,.0f} |

The table of `batch embed` takes {found["bytes"] / found["faces"]:.0f} bytes a face (128 numbers a vector).
"""
    target.write_text(text, encoding="utf-8")
    print(text)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["make", "run", "cost", "write"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("more", nargs="?")
    parser.add_argument("--count", type=int, default=20_000)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if arguments.what == "make":
        make(folder, arguments.count)
    elif arguments.what == "run":
        run(folder, arguments.more)
    elif arguments.what == "cost":
        cost(folder, Path(arguments.more))
    else:
        write(folder, Path(arguments.more or ROOT / "docs/benchmarks-batch.md"))


if __name__ == "__main__":
    main()
