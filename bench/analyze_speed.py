"""Six attributes on one face against the bare sessions of their networks, and how busy a folder keeps the cores.

    python -m bench.analyze_speed PICTURE [--folder DIR] [--rounds N]

The first number is the processor time of `Analyzer.analyze_faces` for one face that is found already, over the sum of one bare `Session.run` of each network it needs
(each network once, though valence and arousal build on the emotion's); both are the smallest of N rounds taken in turn, at one thread. With --folder the
pictures of a folder go through a worker for each core, threads and processes, and processor seconds by wall seconds are printed (the start of processes
counts in both), with the time that the machine stood idle or was taken from it by its host.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from faceworks import align, cards
from faceworks.analysis import Analyzer
from faceworks.batch import expand, map_images
from faceworks.image import load
from faceworks.pipeline import PipelineSpec
from faceworks.runtime import SessionOptions, open_session, to_blob

CORES = os.cpu_count() or 1
SIX = ("emotion", "valence", "arousal", "age", "gender", "pose")


def clock(work: Callable[[], object]) -> float:
    """Processor seconds of one call: everything runs in this thread, and other programs do not count."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    analyzer = Analyzer(PipelineSpec(select="largest", on_no_face="raise", threads=1), SIX)
    picture = load(arguments.picture)
    faces = analyzer.pipeline.find([picture])
    analyzer.analyze_faces([picture], faces)
    bare: list[Callable[[], object]] = []
    names = dict.fromkeys(member.name for card in analyzer.cards for member in cards.members(card) if member.file)
    for name in names:
        for spec in cards.get(name).input:
            session = open_session(cards.get(name), spec.role, SessionOptions("auto", 1))
            crop = align.crop(picture, faces[0][0], spec.crop, (spec.size[0], spec.size[1]), spec.border, spec.interpolation, spec.margin)
            blob = to_blob([crop.pixels], spec)  # the very tensor: a network can be slower on some numbers than on others
            bare.append(lambda session=session, blob=blob: session.run(blob))
    whole = float("inf")
    single = [float("inf")] * len(bare)
    for _ in range(arguments.rounds):
        whole = min(whole, clock(lambda: analyzer.analyze_faces([picture], faces)))
        single = [min(best, clock(work)) for best, work in zip(single, bare, strict=True)]
    total = sum(single)
    print(f"networks: {', '.join(names)}")
    print(f"six attributes {1000 * whole:.2f} ms, bare sessions {1000 * total:.2f} ms, ratio {whole / total:.2f}")
    if arguments.folder is not None:
        sources = expand([arguments.folder])
        runner = Analyzer(PipelineSpec(select="all", on_no_face="empty", threads=1), SIX)
        list(map_images(runner, sources[:8], "threads"))
        for executor in ("threads", "processes"):
            wall, cpu, machine = time.perf_counter(), _processor_seconds(), _machine()
            faces_found = sum(len(item.result or []) for item in map_images(runner, sources, executor))
            wall, cpu, (idle, stolen) = (
                time.perf_counter() - wall,
                _processor_seconds() - cpu,
                [b - a for a, b in zip(machine, _machine(), strict=True)],
            )
            print(
                f"{executor}: {len(sources)} pictures, {faces_found} faces: {wall:.1f} s, {len(sources) / wall:.1f} pictures a second, "
                f"{cpu / wall:.2f} cores busy with it; of the machine's time {100 * idle / (CORES * wall):.0f} % was idle, "
                f"{100 * stolen / (CORES * wall):.0f} % given to other virtual machines, "
                f"{100 * cpu / (CORES * wall - stolen):.0f} % of what was there was used",
                flush=True,
            )


def _machine() -> tuple[float, float]:
    """Idle and stolen seconds of all cores since the machine started (Linux; elsewhere 0)."""
    try:
        fields = [int(item) for item in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    except OSError:
        return 0.0, 0.0
    return (fields[3] + fields[4]) / os.sysconf("SC_CLK_TCK"), fields[7] / os.sysconf("SC_CLK_TCK")


def _processor_seconds() -> float:
    """Of this process and of its workers that have ended."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
