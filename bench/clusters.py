"""Albums: our grouping against DBSCAN and Chinese whispers on LFW, same vectors. Writes docs/clusters.md.

    python bench/clusters.py ../shared/data/lfw/images VECTORS [docs/clusters.md]

VECTORS is a folder of vectors (made where it is empty; `faceworks evaluate` keeps one under --out). Each method's threshold is chosen on one half of the people
(those whose name's CRC-32 is even) by the best B-cubed F, and reported on the other half and on everybody; ours is also run with its own default.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np

from faceworks import PipelineSpec
from faceworks.calibration import find
from faceworks.cluster import bcubed, group_faces
from faceworks.cluster.albums import STRANGERS, threshold_for
from faceworks.evaluate.vectors import embed_pictures
from faceworks.pipeline import Pipeline
from faceworks.similarity import unit

GRID = np.arange(0.25, 0.62, 0.02)
SEEDS = range(5)


def dbscan(vectors: np.ndarray, threshold: float) -> np.ndarray:
    """scikit-learn's DBSCAN, min_samples 2, on cosine distance; noise is a group of one."""
    from sklearn.cluster import DBSCAN

    labels = DBSCAN(eps=1 - threshold, min_samples=2, metric="precomputed").fit_predict(np.clip(1 - vectors @ vectors.T, 0, 2))
    return np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)


def whispers(vectors: np.ndarray, threshold: float) -> np.ndarray:
    """dlib's Chinese whispers over the pairs at the threshold or closer (its `chinese_whispers_clustering` asks for a Euclidean distance on its own
    vectors; on unit vectors that is the same order)."""
    import dlib

    return np.array(dlib.chinese_whispers_clustering([dlib.vector(row.tolist()) for row in vectors], float(np.sqrt(2 - 2 * threshold))))


def ours(vectors: np.ndarray, threshold: float) -> np.ndarray:
    """`faceworks.cluster.group_faces`."""
    return group_faces(vectors, threshold, suggest=0.0).labels


METHODS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "faceworks": ours,
    "DBSCAN (scikit-learn)": dbscan,
    "Chinese whispers (dlib)": whispers,
}


def main(images: Path, store: Path, out: Path) -> None:
    """Measure and write the page."""
    spec = PipelineSpec(select="central", on_no_face="empty")
    pictures = sorted(images.rglob("*.jpg"))
    found = embed_pictures(pictures, spec, store, executor="processes")
    kept = [(picture, vector) for picture, vector in found.vectors.items() if vector is not None]
    vectors, names = unit(np.stack([vector for _, vector in kept])), np.array([picture.parent.name for picture, _ in kept])
    people, counts = np.unique(names, return_counts=True)
    several = np.isin(names, people[counts >= 5])
    even = np.array([zlib.crc32(name.encode()) % 2 == 0 for name in names])
    sets = {
        "people with >= 5 pictures, other half": several & ~even,
        "people with >= 5 pictures, all": several,
        "all pictures": np.ones(len(names), bool),
    }
    calibration = find(Pipeline(spec).recipe_id)
    assert calibration is not None
    rows = []
    for method, run in METHODS.items():
        dev = vectors[several & even], names[several & even]
        best = max(GRID, key=lambda value: bcubed(run(dev[0], value), dev[1]).f)
        for name, chosen in sets.items():
            rows.append(_row(method, f"{best:.2f}, best on the first half", name, run, vectors[chosen], names[chosen], float(best)))
    for name, chosen in sets.items():
        value, rate = threshold_for(calibration, int(chosen.sum()))
        rows.append(_row("faceworks, default", f"{value:.3f} (FMR {rate:.1e})", name, ours, vectors[chosen], names[chosen], value))
    head = "| method | threshold (cosine) | faces | people | groups | precision | recall | F | s |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    text = [
        "# Albums: how well faces are grouped into people", "",
        f"LFW pictures of View 2 ({len(kept)} faces of {len(people)} people, central face, default pipeline, {date.today():%Y-%m-%d}), B-cubed. "
        "Every method has the same vectors; thresholds were chosen on one half of the people with at least five pictures and are reported on the others. "
        f"The default takes the score at which a face expects {STRANGERS} strangers among the faces at hand (FMR = {STRANGERS} / number of faces; the share was chosen "
        "on that first half too), so it rises with the album; the others' fixed thresholds do not. LFW itself has some mislabeled pictures. Single run, one machine; "
        "Chinese whispers depends on its random order.",
        "",
    ]  # fmt: skip
    for name in sets:
        text += [f"## {name}", "", head, *[line for place, line in rows if place == name], ""]
    text += ["Made by `python bench/clusters.py IMAGES VECTORS`."]
    out.write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))


def _row(
    method: str, said: str, place: str, run: Callable[[np.ndarray, float], np.ndarray], vectors: np.ndarray, names: np.ndarray, threshold: float
) -> tuple[str, str]:
    start = time.perf_counter()
    labels = run(vectors, threshold)
    seconds, score = time.perf_counter() - start, bcubed(labels, names)
    counts = f"{len(names)} | {len(set(names))} | {len(set(labels.tolist()))}"
    return place, f"| {method} | {said} | {counts} | {score.precision:.4f} | {score.recall:.4f} | {score.f:.4f} | {seconds:.1f} |"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3] if len(sys.argv) > 3 else "docs/clusters.md"))
