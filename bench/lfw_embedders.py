"""Every embedder whose bytes can be had, on LFW View 2: the table of docs/embedders.md.

    python bench/lfw_embedders.py LFW PAIRS WORK                   each picture once, detection shared; can be stopped and goes on where it was
    python bench/lfw_embedders.py LFW PAIRS WORK --reference       the same networks behind other people's detection and crops (needs dlib)
    python bench/lfw_table.py LFW PAIRS WORK --out docs/embedders.md

LFW is the folder of person folders (deep-funneled), PAIRS its pairs.txt, WORK a folder for vectors: it holds those of real people. It writes into
WORK/vectors what `faceworks evaluate lfw` would have embedded (the first pictures are embedded by the plain pipeline too, and must agree), so that
the table is that command's own code on each recipe. The reference is OpenCV's YuNet and five-point crop, dlib's points and chips, and the same network
files: on it the same protocol is run, and decisions on each pair are compared (McNemar).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from faceworks import align, assets, batch, cards, image
from faceworks.attributes.quality import measure
from faceworks.embed import load_embedder
from faceworks.evaluate import read_lfw_pairs
from faceworks.evaluate.vectors import VectorStore
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Crop, Face, View

SFACE, DLIB, MOBILE, FUSION, LBPH = "sface-2021dec-int8bq", "dlib-resnet-v1", "mobilefacenet-068", "fusion-sface-dlib", "lbph"
PLAIN = (SFACE, DLIB, MOBILE, LBPH)
MIRRORED = (DLIB, MOBILE)
"""Also with the mirrored crop. SFace gains nothing by it."""
SHARD = 512


def spec_of(name: str, **options: Any) -> PipelineSpec:
    """The recipe as `faceworks evaluate lfw --embedder NAME` runs it."""
    return PipelineSpec(embedder=name, select="central", on_no_face="empty", threads=1, **options)


def store_of(work: Path, spec: PipelineSpec) -> VectorStore:
    """Where `faceworks evaluate` keeps a recipe's vectors."""
    return VectorStore(work / "vectors" / hashlib.sha256(batch.task_id(spec).encode()).hexdigest()[:16])


def vectors_of(pipeline: Pipeline, pictures: list[Any], faces: list[Face], mirror: bool) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (N, D) of the faces' crops and of their mirrored crops."""
    crops = [pipeline.crop(picture, face) for picture, face in zip(pictures, faces, strict=True)]
    plain = np.stack([item.vector for item in pipeline.embed_crops(crops)])
    if not mirror:
        return plain, plain[:0]
    return plain, np.stack([item.vector for item in pipeline.embed_crops([align.mirror(item) for item in crops])])


class Reference:
    """The same networks behind other people's detection and cropping: OpenCV's and dlib's own code."""

    def __init__(self) -> None:
        import cv2
        import dlib

        self.cv2, self.dlib = cv2, dlib
        self.yunet = cv2.FaceDetectorYN_create(str(assets.fetch(cards.get("yunet-2023mar").file[0])), "", (0, 0), 0.7)
        self.aligner = cv2.FaceRecognizerSF_create(str(assets.fetch(cards.get(SFACE).file[0])), "")
        self.points = dlib.shape_predictor(str(assets.fetch(cards.get("dlib-5").file[0])))

    def crops(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The 112x112 crop and dlib's 150x150 chip of the central face, RGB."""
        height, width = picture.shape[:2]
        self.yunet.setInputSize((width, height))
        rows = self.yunet.detect(np.ascontiguousarray(picture[:, :, ::-1]))[1]
        if rows is None:
            return None
        offsets = rows[:, :2] + rows[:, 2:4] / 2 - [(width - 1) / 2, (height - 1) / 2]
        row = rows[np.argmax(rows[:, 2] * rows[:, 3] - 2 * (offsets**2).sum(axis=1))]
        crop = np.ascontiguousarray(self.aligner.alignCrop(np.ascontiguousarray(picture[:, :, ::-1]), row)[:, :, ::-1])
        x, y, w, h = (round(float(value)) for value in row[:4])
        points = self.points(picture, self.dlib.rectangle(x, y, x + w - 1, y + h - 1))
        return crop, self.dlib.get_face_chip(picture, points, 150, 0.25)


def by_hand(name: str, pixels: list[np.ndarray]) -> np.ndarray:
    """Vectors of crops that others cut."""
    face = Face(np.array([0, 0, 1, 1], np.float32), 1.0, None, "reference")
    views = [View(face, (250, 250), 1, (Crop(item, np.eye(2, 3), "reference"),)) for item in pixels]
    return load_embedder(name).embed(views)[0]


def collect(pictures: list[Path], pipelines: dict[str, Pipeline], known: dict[str, Any]) -> dict[str, np.ndarray]:
    """Everything about one shard of pictures; rows of pictures without a face are zero. `known`: SFace's vectors from an earlier evaluation."""
    rows: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(pictures), 8):
        loaded = [image.load(path) for path in pictures[start : start + 8]]
        every = pipelines[SFACE].detect(loaded)
        found = [pipelines[SFACE].select(faces, picture.shape[:2]) for faces, picture in zip(every, loaded, strict=True)]
        here = [k for k, faces in enumerate(found) if faces]
        chosen, faces = [loaded[k] for k in here], [found[k][0] for k in here]

        def keep(key: str, values: np.ndarray, places: list[int], count: int = len(loaded)) -> None:
            full = np.zeros((count, *values.shape[1:]), np.float32)
            full[places] = values
            rows.setdefault(key, []).append(full)

        keep("found", np.ones((len(here), 1)), here)
        keep("quality", np.array([[measure(p, f, n_faces=1).score] for p, f in zip(chosen, faces, strict=True)]), here)
        before = [known.get(image.content_hash(pictures[start + k])) for k in here]
        for name in PLAIN:
            if name == SFACE and all(vector is not None for vector in before):
                keep(name, np.stack(before), here)
                continue
            plain, mirrored = vectors_of(pipelines[name], chosen, faces, name in MIRRORED)
            keep(name, plain, here)
            if name in MIRRORED:
                keep(f"{name} mirrored", mirrored, here)
    return {key: np.concatenate(values) for key, values in rows.items()}


def refer(pictures: list[Path], reference: Reference) -> dict[str, np.ndarray]:
    """The reference's vectors of one shard; rows of pictures without a face are zero."""
    rows: dict[str, np.ndarray] = {}
    cut = [(k, pair) for k, path in enumerate(pictures) if (pair := reference.crops(image.load(path))) is not None]
    places, chips = [k for k, _ in cut], [pair[1] for _, pair in cut]
    for key, values in {
        f"reference {SFACE}": by_hand(SFACE, [pair[0] for _, pair in cut]),
        f"reference {DLIB}": by_hand(DLIB, chips),
        f"reference {DLIB} mirrored": by_hand(DLIB, [np.ascontiguousarray(chip[:, ::-1]) for chip in chips]),
    }.items():
        rows[key] = np.zeros((len(pictures), values.shape[1]), np.float32)
        rows[key][places] = values
    return rows


def embed(root: Path, pairs: Path, work: Path, limit: int, other: bool) -> None:
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    pictures = list(read_lfw_pairs(pairs, root).pictures)[: limit or None]
    pipelines = {name: Pipeline(spec_of(name)) for name in PLAIN}
    reference, known = Reference() if other else None, store_of(work, spec_of(SFACE)).vectors
    if reference is None:
        check(pictures[:4], pipelines)
    for start in range(0, len(pictures), SHARD):
        shard = work / f"{'reference' if other else 'shard'}-{start:05d}.npz"
        if not shard.exists():
            part = pictures[start : start + SHARD]
            data = collect(part, pipelines, known) if reference is None else refer(part, reference)
            keys = np.array([image.content_hash(path) for path in part])
            temporary = shard.with_suffix(".tmp")
            with temporary.open("wb") as file:
                np.savez(file, keys=keys, **data)
            temporary.replace(shard)
            print(f"{start + len(keys)} of {len(pictures)}", file=sys.stderr, flush=True)


def recipes(detector: str = PipelineSpec().detector) -> dict[str, tuple[PipelineSpec, Any]]:
    """What is judged: label -> (recipe, function from a shard to its vectors)."""

    def spec_of(name: str, **options: Any) -> PipelineSpec:
        return globals()["spec_of"](name, detector=detector, **options)

    def flipped(name: str) -> Any:
        return lambda data: data[name] + data[f"{name} mirrored"]

    table: dict[str, tuple[PipelineSpec, Any]] = {}
    for name in (SFACE, DLIB, MOBILE):
        for metric in ("cosine", "euclidean"):
            table[f"{name}, {metric}"] = spec_of(name, metric=metric), lambda data, name=name: data[name]
            if name in MIRRORED:
                table[f"{name}, flip, {metric}"] = spec_of(name, metric=metric, flip=True), flipped(name)
    for metric in ("cosine", "euclidean"):
        table[f"{FUSION}, {metric}"] = spec_of(FUSION, metric=metric), lambda data: load_embedder(FUSION).join([data[SFACE], flipped(DLIB)(data)])
    for metric in ("chi2", "cosine", "euclidean"):
        table[f"{LBPH}, {metric}"] = spec_of(LBPH, metric=metric), lambda data: data[LBPH]
    return table


def check(pictures: list[Path], pipelines: dict[str, Pipeline]) -> None:
    """What is shared here must be what the plain pipeline gives."""
    data = {}
    loaded = [image.load(path) for path in pictures]
    faces = [Pipeline(spec_of(SFACE)).find([picture])[0][0] for picture in loaded]
    for name in PLAIN:
        data[name], data[f"{name} mirrored"] = vectors_of(pipelines[name], loaded, faces, name in MIRRORED)
    for label, (spec, make) in recipes().items():
        if spec.metric in ("cosine", "chi2"):
            plain = np.stack([Pipeline(spec).embed([picture])[0][0].embedding.vector for picture in loaded])
            worst = float(np.abs(plain - make(data)).max() / np.abs(plain).max())
            print(f"{label}: {worst:.1e} from the plain pipeline", file=sys.stderr)
            if worst > 1e-5:
                sys.exit(f"{label}: the shared pass is not the pipeline")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="pictures; 0 takes all")
    parser.add_argument("--reference", action="store_true", help="the reference's vectors instead of ours")
    arguments = parser.parse_args()
    embed(arguments.root, arguments.pairs, arguments.work, arguments.limit, arguments.reference)


if __name__ == "__main__":
    main()
