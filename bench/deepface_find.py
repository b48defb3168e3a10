"""Who is this among 10,000 faces: deepface's find() and a faceworks gallery, same network, same 10,000 vectors, one query picture.

    HOME=PEERS/home PEER/python bench/deepface_find.py theirs PICTURE OUT.json     in deepface's environment (bench/peers.sh makes one)
    python bench/deepface_find.py report PICTURE OUT.json                          prints a Markdown table

The vectors are random (searching does not look at them), each of both libraries' stores holds the same ones. deepface reads its store from disk at every
call; for "index loaded" its loader is replaced by one that answers from memory, for "search alone" so are its detection and its network, with what they
gave at the first call. Medians; processor seconds beside them, which other work on the machine disturbs less.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COUNT, DIM, ROUNDS = 10_000, 128, 30


def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(np.float32)


def measured(work: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Median wall and processor seconds, after one call that is not counted."""
    work()
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return [statistics.median(walls), statistics.median(cpus)]


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Answers what `function` answered at the first call."""
    kept: list[Any] = []

    def call(*given: Any, **options: Any) -> Any:
        if not kept:
            kept.append(function(*given, **options))
        return kept[0]

    return call


def theirs(picture: str, out: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import deepface
    from deepface import DeepFace
    from deepface.modules import recognition
    from deepface.modules.filestore import build_file_store

    found: dict[str, Any] = {"version": deepface.__version__}
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            {"identity": f"{folder}/{i}.jpg", "hash": str(i), "embedding": row, "target_x": 0, "target_y": 0, "target_w": 99, "target_h": 99}
            for i, row in enumerate(vectors().astype(np.float64).tolist())
        ]
        store = build_file_store(folder)
        place = store.join("ds_model_sface_detector_yunet_aligned_normalization_base_expand_0.npz")
        vars(recognition)["__save_representations"](store=store, datastore_path=place, representations=rows, datastore_format="npz")
        load, extract, represent = (
            vars(recognition)["__load_representations"],
            recognition.detection.extract_faces,
            recognition.representation.represent,
        )
        for kind in ("dict", "pandas"):
            rounds = ROUNDS if kind == "dict" else 7

            def find(kind: str = kind) -> Any:
                return DeepFace.find(
                    picture, folder, "SFace", detector_backend="yunet", silent=True, refresh_database=False, return_type=kind, threshold=2.0, k=5
                )

            assert len(find()[0]) == 5
            found[f"{kind}: as it is"] = measured(find, rounds)
            held = load(store=store, datastore_path=place, datastore_format="npz")
            vars(recognition)["__load_representations"] = lambda held=held, **_: list(held)
            found[f"{kind}: index loaded"] = measured(find, rounds)
            recognition.detection.extract_faces, recognition.representation.represent = remembered(extract), remembered(represent)
            found[f"{kind}: search alone"] = measured(find, rounds)
            vars(recognition)["__load_representations"] = load
            recognition.detection.extract_faces, recognition.representation.represent = extract, represent
    out.write_text(json.dumps(found))


def report(picture: str, out: Path) -> None:
    from faceworks.gallery import open_gallery
    from faceworks.pipeline import PipelineSpec

    other = json.loads(out.read_text())
    with tempfile.TemporaryDirectory() as folder, open_gallery(Path(folder) / "people.h5", spec=PipelineSpec()) as gallery:
        pipeline = gallery.pipeline
        gallery.enroll_vectors([f"Person {i}" for i in range(COUNT)], vectors(), pipeline.embedding_id)
        gallery.backend.compact()
        query = pipeline.embed_faces(*zip(*[_largest(pipeline, picture)], strict=True))[0][0].vector[None]
        search = measured(lambda: gallery.look_up(query, 5), 200)
        whole = measured(lambda: gallery.identify([picture], threshold=2.0))
        print(f"| deepface {other['version']}, SFace and YuNet | find() | faceworks | ratio (wall) | ratio (processor) |\n|---|---|---|---|---|")
        for name, times in other.items():
            if name != "version":
                mine = search if "alone" in name else whole
                what = f"{1e3 * times[0]:.1f} ms | {1e3 * mine[0]:.2f} ms | {times[0] / mine[0]:.1f} | {times[1] / mine[1]:.1f}"
                print(f"| {name}{'' if 'alone' in name else ', query embedded'} | {what} |")


def _largest(pipeline: Any, picture: str) -> tuple[Any, list[Any]]:
    from faceworks import image

    loaded = image.load(picture)
    return loaded, pipeline.select(pipeline.detect([loaded])[0], loaded.shape[:2])[:1]


if __name__ == "__main__":
    {"theirs": theirs, "report": report}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
