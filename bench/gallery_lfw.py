"""The gallery on LFW: open-set identification, and what the quality score is worth (error versus discard).

    python bench/gallery_lfw.py LFW_FOLDER OUT.npz      embeds and measures every picture once (kept in OUT.npz), then prints both tables as Markdown

Open set: people with two or more pictures are enrolled with their first one, their others are searched for (mated); people with one picture are
strangers (non-mated). Of each picture the most central face is taken (area − 2 · squared distance of its center to the picture's). Rates have 95 % intervals by
resampling people (percentile bootstrap, 1,000 rounds). Error versus discard: FNMR at the threshold where 0.1 % of impostor pairs match, over the
genuine pairs that are left when the given share of pictures with the lowest quality is thrown away.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from faceworks import image
from faceworks.attributes.quality import measure
from faceworks.gallery import open_gallery
from faceworks.pipeline import Pipeline, PipelineSpec


def collect(root: Path, out: Path) -> dict[str, np.ndarray]:
    if out.exists():
        with np.load(out, allow_pickle=False) as kept:
            return dict(kept)
    pipeline = Pipeline(PipelineSpec(select="central", threads=1))
    pictures = sorted(root.glob("*/*.jpg"))
    names, vectors, qualities, factors = [], [], [], []
    for start in range(0, len(pictures), 8):
        batch = pictures[start : start + 8]
        loaded = [image.load(path) for path in batch]
        found = pipeline.detect(loaded)
        chosen = [pipeline.select(faces, picture.shape[:2])[:1] for faces, picture in zip(found, loaded, strict=True)]
        made = pipeline.embed_faces(loaded, chosen)
        for path, picture, faces, every, vector in zip(batch, loaded, chosen, found, made, strict=True):
            if faces:
                quality = measure(picture, faces[0], n_faces=len(every))
                names.append(str(path.relative_to(root)))
                vectors.append(vector[0].vector)
                qualities.append(quality.score)
                factors.append(list(quality.factors.values()))
        print(start, len(pictures), file=sys.stderr, end="\r")
    data = {"names": np.array(names), "vectors": np.stack(vectors), "quality": np.array(qualities), "factors": np.array(factors),
            "factor_names": np.array(list(quality.factors)), "pictures": np.array(len(pictures))}  # fmt: skip
    np.savez(out, **data)
    return data


def interval(values: np.ndarray, groups: np.ndarray, rounds: int = 1000) -> tuple[float, float, float]:
    """Mean of 0/1 values with its 95 % interval, resampling groups."""
    ids, inverse = np.unique(groups, return_inverse=True)
    hits, counts = np.bincount(inverse, values), np.bincount(inverse)
    picks = np.random.default_rng(0).integers(0, len(ids), (rounds, len(ids)))
    means = hits[picks].sum(axis=1) / counts[picks].sum(axis=1)
    return float(values.mean()), *(float(value) for value in np.percentile(means, [2.5, 97.5]))


def cell(values: np.ndarray, groups: np.ndarray) -> str:
    mean, low, high = interval(values, groups)
    return f"{100 * mean:.2f} ({100 * low:.2f}–{100 * high:.2f})"


def open_set(data: dict[str, np.ndarray]) -> None:
    person = np.array([name.split("/")[0] for name in data["names"]])
    order = np.argsort(data["names"])
    person, vectors = person[order], data["vectors"][order]
    _, first, counts = np.unique(person, return_index=True, return_counts=True)
    known = {str(person[index]) for index, count in zip(first, counts, strict=True) if count > 1}
    enrolled = np.array([index for index in first if person[index] in known])
    mated = np.array([index for index in range(len(person)) if person[index] in known and index not in set(enrolled.tolist())])
    strangers = np.array([index for index in range(len(person)) if person[index] not in known])
    gallery = open_gallery("memory:")
    gallery.enroll_vectors([str(name) for name in person[enrolled]], vectors[enrolled], "lfw")
    names = {entry.person.id: entry.person.name for entry in gallery.people()}

    def top(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [answer[0] for start in range(0, len(rows), 256) for answer in gallery.look_up(vectors[rows[start : start + 256]], 1)]
        return np.array([names[id] for id, _, _ in found]), np.array([score for _, score, _ in found])

    (mate, mate_score), (_, stranger_score) = top(mated), top(strangers)
    right = mate == person[mated]
    print(f"\n{len(enrolled)} people enrolled with one picture, {len(mated)} mated searches, {len(strangers)} strangers (one picture each)\n")
    print("| similarity ≥ | TPIR % | TNIR % | named wrongly, mated % |\n|---|---|---|---|")
    for limit in (0.25, 0.30, 0.363, 0.40, 0.45, 0.50, 0.55):
        wrong = ~right & (mate_score >= limit)
        print(
            f"| {limit} | {cell(right & (mate_score >= limit), person[mated])} | {cell(stranger_score < limit, person[strangers])} | {cell(wrong, person[mated])} |"
        )
    print(f"\nrank 1 without a threshold: {cell(right, person[mated])}\n\n| FPIR | threshold | DIR (TPIR at rank 1) % |\n|---|---|---|")
    for fpir in (0.10, 0.03, 0.01, 0.001):
        limit = np.sort(stranger_score)[::-1][int(fpir * len(strangers))] + 1e-7
        print(f"| {100 * fpir:g} % | {limit:.3f} | {cell(right & (mate_score >= limit), person[mated])} |")


def discard(data: dict[str, np.ndarray]) -> None:
    person = np.array([name.split("/")[0] for name in data["names"]])
    unit = data["vectors"] / np.linalg.norm(data["vectors"], axis=1, keepdims=True)
    scores = unit @ unit.T
    rows, columns = np.triu_indices(len(person), 1)
    same = person[rows] == person[columns]
    impostor = np.random.default_rng(0).choice(scores[rows[~same], columns[~same]], 2_000_000)
    limit = np.quantile(impostor, 0.999)
    genuine_rows, genuine_columns = rows[same], columns[same]
    genuine = scores[genuine_rows, genuine_columns]
    print(f"\n{same.sum()} genuine pairs, threshold {limit:.3f} at FMR 0.1 % of all impostor pairs\n")
    named = {"score": data["quality"]} | {str(name): data["factors"][:, i] for i, name in enumerate(data["factor_names"])}
    shares = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
    print("| discarded by | " + " | ".join(f"{100 * share:g} %" for share in shares) + " |\n|" + "---|" * (len(shares) + 1))
    chance = np.random.default_rng(1).random(len(person))
    for name, quality in {**named, "chance": chance}.items():
        cells = []
        rank = np.lexsort((chance, quality)).argsort() / len(quality)
        for share in shares:
            kept = (rank[genuine_rows] >= share) & (rank[genuine_columns] >= share)
            cells.append(f"{100 * (genuine[kept] < limit).mean():.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    found = collect(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{len(found['names'])} of {found['pictures']} pictures with a face")
    open_set(found)
    discard(found)
