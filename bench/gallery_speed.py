"""How fast a gallery is, in one run and as ratios, since absolute figures drift with the machine and its other work.

    OPENBLAS_NUM_THREADS=1 python bench/gallery_speed.py [FOLDER] [--people 100000] [--dim 128] [--index]
    OPENBLAS_NUM_THREADS=1 python bench/gallery_speed.py --scan --people 100000 --dim 512      the scan alone, over a matrix in memory: no file is made

Each figure is the best of several repetitions, taken in turns with what it is compared with. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from faceworks.gallery import open_gallery, scan
from faceworks.gallery.backend import Binding, Change, Person, samples_of

Times = tuple[float, float]
"""Wall and processor seconds."""


def best(rounds: int, *works: Callable[[], object]) -> list[Times]:
    """The fastest of `rounds` runs of each, in turns: wall and processor seconds, each by itself."""
    out = [(float("inf"), float("inf"))] * len(works)
    for _ in range(rounds):
        for place, work in enumerate(works):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            out[place] = min(out[place][0], wall), min(out[place][1], cpu)
    return out


def row(what: str, mine: Times, other: str, theirs: Times) -> None:
    print(
        f"| {what} | {mine[0] * 1e3:.2f} ms | {other}: {theirs[0] * 1e3:.2f} ms | {mine[0] / theirs[0]:.2f} | {mine[1] / theirs[1]:.2f} |", flush=True
    )


def fill(folder: Path, people: int, each: int, dim: int) -> Path:
    """A gallery file of synthetic people: unit centers, noise of length 0.85 (genuine cosines about 0.58, as on LFW)."""
    path = folder / f"speed-{people}x{each}x{dim}.h5"
    if path.exists():
        return path
    random = np.random.default_rng(0)
    with open_gallery(path, "x") as gallery:
        step = 10_000
        for start in range(0, people, step):
            count = min(step, people - start)
            centers = random.normal(size=(count, dim)).astype(np.float32)
            centers /= np.linalg.norm(centers, axis=1, keepdims=True)
            vectors = np.repeat(centers, each, axis=0) + random.normal(size=(count * each, dim)).astype(np.float32) * np.float32(0.85 / np.sqrt(dim))
            fresh = [Person(f"p{start + i:08d}", f"Person {start + i}", {}, 1, 0, "") for i in range(count)]
            ids = np.arange(start * each + 1, (start + count) * each + 1)
            samples = samples_of([p.id for p in fresh], np.repeat(np.arange(count), each), vectors, ids)
            binding = Binding("synthetic", "", dim) if start == 0 else None
            gallery.backend.commit(Change(binding=binding, people=fresh, samples=samples))
        gallery.backend.compact()
    return path


def enroll(folder: Path, dim: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(100_000, dim)).astype(np.float32)
    names = [f"Person {i // 10}" for i in range(100_000)]
    with tempfile.TemporaryDirectory(dir=folder) as name, open_gallery(Path(name) / "p.h5") as gallery:
        wall, cpu = time.perf_counter(), time.process_time()
        gallery.enroll_vectors(names, vectors, "synthetic")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"| enroll 100,000 x {dim}, one transaction, synced | {1e5 / wall:,.0f} a second; {1e5 / cpu:,.0f} a processor second "
            f"| asked for: 20,000 | {wall / 5:.2f} | {cpu / 5:.2f} |"
        )
        start = time.perf_counter()
        for i in range(200):
            gallery.enroll_vectors([f"Single {i}"], vectors[i : i + 1], "synthetic")
        print(f"| enroll one, synced | {(time.perf_counter() - start) / 200 * 1e3:.2f} ms each | | | |")


def scan_alone(n: int, dim: int, rounds: int) -> None:
    """What a gallery's exact search does, without a file."""
    random = np.random.default_rng(0)
    matrix = np.empty((n, dim), np.float32)
    for start in range(0, n, 50_000):
        part = random.standard_normal((min(50_000, n - start), dim), np.float32)
        matrix[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    many = random.standard_normal((256, dim), np.float32)
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    ids, nobody = np.arange(n), np.zeros(0, np.intp)

    def search(queries: np.ndarray) -> None:
        for query, rows in zip(queries, scan.nearest([matrix], queries, 5, nobody), strict=True):
            scan.order(query, rows, ids[rows], lambda wanted: matrix[wanted], 5)

    read, exact = best(rounds, lambda: matrix.view(np.uint64).max(), lambda: search(many[:1]))
    row(f"exact scan, 1 query, {n:,} x {dim}", exact, "reading the matrix once (one thread)", read)
    multiply, batch = best(max(3, rounds // 2), lambda: multiplied(matrix, many), lambda: search(many))
    row("exact scan, 256 queries", batch, "sgemm", multiply)


def multiplied(matrix: np.ndarray, queries: np.ndarray, step: int = 1 << 14) -> None:
    """sgemm in blocks, as it is fastest."""
    out, turned = np.empty((step, len(queries)), np.float32), np.ascontiguousarray(queries.T)
    for start in range(0, len(matrix), step):
        part = matrix[start : start + step]
        np.matmul(part, turned, out=out[: len(part)])


OPEN = """
import resource, sys, time, json, numpy
import faceworks
from faceworks.gallery import open_gallery
from faceworks.gallery.hdf5 import Hdf5Backend
def now(): return int([l for l in open("/proc/self/status") if l.startswith("VmRSS")][0].split()[1]) * 1024
before, start = now(), time.perf_counter()
gallery = open_gallery(sys.argv[1], "r")
seconds = time.perf_counter() - start
q = numpy.random.default_rng(0).normal(size=(1, int(sys.argv[2]))).astype("f4")
for _ in range(3): found = gallery.look_up(q)
print(json.dumps([seconds, now() - before, len(gallery.backend)]))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--index", action="store_true")
    parser.add_argument("--scan", action="store_true", help="the scan alone, over a matrix in memory")
    options = parser.parse_args()
    n, dim = options.people * options.each, options.dim
    print("| what | figure | beside | ratio (wall) | ratio (processor) |\n|---|---|---|---|---|")
    if options.scan:
        scan_alone(n, dim, options.rounds)
        return
    enroll(options.folder, dim)
    path = fill(options.folder, options.people, options.each, dim)
    done = subprocess.run([sys.executable, "-c", OPEN, str(path), str(dim)], capture_output=True, text=True, check=True)
    seconds, grown, held = json.loads(done.stdout)
    print(f"| open {held:,} x {dim}, file in the page cache | {seconds * 1e3:.0f} ms | asked for: 1000 ms | {seconds:.2f} | |")
    print(
        f"| memory after searching, mapped vectors included | {grown / 1e6:.0f} MB | vectors: {4 * n * dim / 1e6:.0f} MB | {grown / (4 * n * dim):.2f} | |"
    )
    gallery = open_gallery(path, "r")
    backend = gallery.backend
    matrix = np.array(backend.table.base)
    random = np.random.default_rng(2)
    people = random.integers(0, options.people, 1000)  # further pictures of people who are here: their mean, and noise as their samples have
    queries = matrix.reshape(options.people, options.each, dim)[people].mean(axis=1)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    queries += random.normal(size=(1000, dim)).astype(np.float32) * np.float32(0.85 / np.sqrt(dim))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    one, many = queries[:1], np.ascontiguousarray(queries[:256])
    read, gemv, exact = best(options.rounds, lambda: matrix.view(np.uint64).max(), lambda: matrix @ one[0], lambda: backend.search(one, 5, 0))
    row(f"exact search, 1 query, {n:,} x {dim}", exact, "reading the matrix once (one thread)", read)
    row("the same", exact, "sgemv", gemv)

    multiply, batch = best(max(3, options.rounds // 2), lambda: multiplied(matrix, many), lambda: backend.search(many, 5, 0))
    row("exact search, 256 queries", batch, "sgemm", multiply)
    if options.index:
        backend.index.path = path.with_name(path.name + ".index")
        if backend.index.for_base(backend.base.uuid, backend.base.generation) is None:
            wall, cpu = time.perf_counter(), time.process_time()
            backend.index.build(backend.table.base, backend.base.uuid, backend.base.generation)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(f"| build the HNSW index | {wall:.0f} s, {cpu:.0f} s of processors | | | |", flush=True)
        truth = [hits.sample[0] for hits in backend.search(queries, 1, 0)]
        found = [hits.sample[:1] for hits in backend.search(queries, 1, 0, exact=False)]
        hit = np.mean([len(a) > 0 and a[0] == b for a, b in zip(found, truth, strict=True)])
        print(f"| HNSW recall@1, 1,000 further pictures | {hit:.4f} | asked for: 0.99 | | |")

        def hundred(exact: bool, count: int = 100) -> None:
            for i in range(count):
                backend.search(queries[i : i + 1], 1, 0, exact=exact)

        (fast,), (slow,) = best(options.rounds, lambda: hundred(False)), best(2, lambda: hundred(True, 5))
        print(
            f"| HNSW, 1 query | {fast[0] * 10:.3f} ms | exact: {slow[0] * 200:.2f} ms "
            f"| {20 * slow[0] / fast[0]:.0f}x faster | {20 * slow[1] / fast[1]:.0f}x faster |"
        )
    print(f"\nlargest memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
