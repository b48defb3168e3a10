"""What alignment is worth: deepface and faceworks with the same two networks on LFW, folds 9 and 10 of View 2.

    PEER/python bench/deepface_alignment.py theirs LFW PAIRS THEIRS.npz    in deepface's environment (bench/peers.sh makes one); imports nothing of ours
    python bench/deepface_alignment.py report LFW PAIRS THEIRS.npz [--detector yunet-2023mar] [--vectors DIR] [--unaligned] --out docs/benchmarks-alignment.md

LFW is the folder of person folders, PAIRS its pairs.txt. `theirs` can be stopped and goes on where it was. Of each picture's faces both sides take the
same one by one rule: the largest area − 2 · squared distance of the box's center to the picture's (LFW's person is in the middle). Where deepface finds no
face it takes the whole picture (`enforce_detection=False`). Accuracy: the threshold of a fold is chosen on the other one, cosine.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

FOLDS = (9, 10)
WAYS = {"yunet, align=True": ("yunet", True), "yunet, align=False": ("yunet", False), "opencv, align=True": ("opencv", True),
        "opencv, align=False": ("opencv", False)}  # fmt: skip


def pairs_of(path: Path, root: Path) -> list[tuple[int, Path, Path, bool]]:
    """(fold, first, second, same) of the folds in question, in the file's order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    _, size = map(int, lines[0].split())

    def picture(name: str, number: str) -> Path:
        return root / name / f"{name}_{int(number):04d}.jpg"

    found = []
    for index, line in enumerate(lines[1:]):
        fold, parts = index // (2 * size) + 1, line.split()
        if fold in FOLDS:
            same = len(parts) == 3
            second = picture(parts[0], parts[2]) if same else picture(parts[2], parts[3])
            found.append((fold, picture(parts[0], parts[1]), second, same))
    return found


def central(area: dict[str, int], width: int, height: int) -> float:
    """The larger, the more central and large the box is."""
    dx = area["x"] + area["w"] / 2 - (width - 1) / 2
    dy = area["y"] + area["h"] / 2 - (height - 1) / 2
    return area["w"] * area["h"] - 2 * (dx * dx + dy * dy)


def theirs(root: Path, pairs: Path, out: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import cv2
    from deepface import DeepFace

    kept = dict(np.load(out, allow_pickle=False)) if out.exists() else {}
    pictures = sorted({path for _, a, b, _ in pairs_of(pairs, root) for path in (a, b)})
    names = np.array([str(path.relative_to(root)) for path in pictures])
    if "names" in kept and list(kept["names"]) != list(names):
        sys.exit(f"{out} holds other pictures")
    kept["names"] = names

    def save() -> None:
        temporary = out.with_suffix(".tmp.npz")
        np.savez(temporary, **kept)
        temporary.replace(out)

    for way, (detector, align) in WAYS.items():
        vectors = kept.setdefault(f"{way} vectors", np.zeros((len(pictures), 128), np.float32))
        found = kept.setdefault(f"{way} faces", np.full(len(pictures), -1))
        for index, path in enumerate(pictures):
            if found[index] >= 0:
                continue
            height, width = cv2.imread(str(path)).shape[:2]
            faces = DeepFace.represent(str(path), model_name="SFace", detector_backend=detector, align=align, enforce_detection=False)
            best = max(faces, key=lambda face: central(face["facial_area"], width, height))
            vectors[index] = best["embedding"]
            found[index] = 0 if best["face_confidence"] == 0 else len(faces)
            if index % 200 == 199:
                save()
                print(way, index + 1, len(pictures), file=sys.stderr, flush=True)
        save()


def report(root: Path, pairs: Path, out_of_theirs: Path, page: Path | None, detector: str, vectors: Path | None, unaligned: bool) -> None:
    from faceworks.evaluate import metrics, protocols
    from faceworks.evaluate.vectors import embed_pictures
    from faceworks.pipeline import PipelineSpec
    from faceworks.settings import current

    data = np.load(out_of_theirs, allow_pickle=False)
    chosen = pairs_of(pairs, root)
    folds, same = np.array([fold for fold, *_ in chosen]), np.array([label for *_, label in chosen])
    names = {root / str(name): k for k, name in enumerate(data["names"])}
    sides = np.array([[names[a], names[b]] for _, a, b, _ in chosen])

    def judge(vectors: np.ndarray) -> protocols.FoldResult:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return protocols.k_fold((unit[sides[:, 0]] * unit[sides[:, 1]]).sum(axis=1), same, folds)

    def binomial(result: protocols.FoldResult) -> float:
        return float(np.sqrt(result.mean * (1 - result.mean) / len(same)))

    store = (vectors or current().cache) / "vectors"
    rows, ours = [], None
    ways = {"five points, similarity (the network's own crop)": PipelineSpec(detector=detector, select="central")}
    if unaligned:
        ways["no alignment: the square about the box"] = PipelineSpec(detector=detector, select="central", align="square:1.0")
    for label, spec in ways.items():
        found = embed_pictures(list(names), spec, store, batch_size=8)
        missed = sum(vector is None for vector in found.vectors.values())
        result = judge(np.stack([found.vectors[path] if found.vectors[path] is not None else np.ones(128) for path in names]))
        ours = ours or result
        rows.append((f"faceworks, {detector}: {label}", result, missed, None if result is ours else metrics.mcnemar(ours.correct, result.correct)))
    for way in WAYS:
        result = judge(data[f"{way} vectors"])
        rows.append(
            (f"deepface, `detector_backend` {way}", result, int((data[f"{way} faces"] == 0).sum()), metrics.mcnemar(ours.correct, result.correct))
        )
    table = ["| what | accuracy, % | pictures without a found face | McNemar p against the first line (only it right / only the other right) |",
             "| --- | --- | --- | --- |"]  # fmt: skip
    for label, result, missed, test in rows:
        against = "" if test is None else f"{test.p_value:.1e} ({test.only_a} / {test.only_b})"
        table.append(f"| {label} | {100 * result.mean:.2f} ± {100 * binomial(result):.2f} | {missed} of {len(names)} | {against} |")
    text = "\n".join(table) + "\n"
    print(text)
    if page is not None:
        before, _, rest = page.read_text(encoding="utf-8").partition("<!-- bench -->\n")
        page.write_text(f"{before}<!-- bench -->\n{text}<!-- /bench -->{rest.partition('<!-- /bench -->')[2]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("step", choices=["theirs", "report"])
    parser.add_argument("root", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--detector", default="yunet-2023mar", help="report: the card")
    parser.add_argument("--vectors", type=Path, help="report: an evaluation's folder, whose vectors are taken")
    parser.add_argument("--unaligned", action="store_true", help="report: ours without alignment, too")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.step == "theirs":
        theirs(arguments.root, arguments.pairs, arguments.file)
    else:
        report(arguments.root, arguments.pairs, arguments.file, arguments.out, arguments.detector, arguments.vectors, arguments.unaligned)


if __name__ == "__main__":
    main()
