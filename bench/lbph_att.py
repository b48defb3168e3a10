"""Rank-1 identification of LBPH on the AT&T pictures by the number of training pictures a person; writes docs/reference/lbph-att.md.

python bench/lbph_att.py --root ../shared/data/att_faces --out docs/reference/lbph-att.md
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from faceworks import similarity
from faceworks.embed.lbph import Decode, describe

VARIANTS = {
    "LBPH (the card `lbph`)": Decode(),
    "uniform patterns": Decode(patterns="uniform"),
    "rotation-invariant uniform patterns": Decode(patterns="rotation_uniform"),
}
DRAWS = 20


def rank1(distances: np.ndarray, people: np.ndarray, chosen: np.ndarray) -> float:
    """Share of the pictures not `chosen` whose nearest chosen picture shows the same person."""
    nearest = people[chosen][distances[np.ix_(~chosen, chosen)].argmin(axis=1)]
    return float((nearest == people[~chosen]).mean())


def table(root: Path) -> list[tuple[str, list[tuple[float, float, float]]]]:
    """For each variant and 1..9 training pictures: the first k of each person, then mean and standard deviation over random choices."""
    folders = sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: int(path.name[1:]))
    pictures = [np.asarray(Image.open(folder / f"{k}.pgm").convert("L")) for folder, k in itertools.product(folders, range(1, 11))]
    people, place = np.divmod(np.arange(len(pictures)), 10)
    rows = []
    for name, decode in VARIANTS.items():
        vectors = np.stack([describe(picture, decode) for picture in pictures])
        distances = similarity.chi2_matrix(vectors, vectors)
        figures = []
        for k in range(1, 10):
            rng = np.random.default_rng(k)
            draws = [np.concatenate([rng.permutation(10) < k for _ in folders]) for _ in range(DRAWS)]
            found = [rank1(distances, people, chosen) for chosen in draws]
            figures.append((rank1(distances, people, place < k), float(np.mean(found)), float(np.std(found, ddof=1))))
        rows.append((name, figures))
    return rows


def page(rows: list[tuple[str, list[tuple[float, float, float]]]]) -> str:
    """The document."""
    out = ["# LBPH on the AT&T faces\n\n"]
    out.append(
        "40 people with ten pictures each (92x112, the ORL database of AT&T Laboratories Cambridge): k pictures of each person are learned, the\n"
        "other 10 − k are asked for their nearest neighbor by the chi-square distance. Rank-1 in percent: with the first k pictures learned, and\n"
        f"mean ± standard deviation over {DRAWS} random choices (seed k). No face detection; the pictures are faces. Histograms and distances are those\n"
        "of OpenCV's `LBPHFaceRecognizer` (tests/reference/test_lbph.py). Made by\n\n"
        "    python bench/lbph_att.py --root ../shared/data/att_faces --out docs/reference/lbph-att.md\n"
    )
    for name, figures in rows:
        out.append(f"\n## {name}\n\n| learned of each person | the first k | random k |\n|---|---|---|\n")
        out += [f"| {k} | {100 * first:.2f} | {100 * mean:.2f} ± {100 * spread:.2f} |\n" for k, (first, mean, spread) in enumerate(figures, 1)]
    return "".join(out)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.write_text(page(table(given.root)), encoding="utf-8")


if __name__ == "__main__":
    main()
