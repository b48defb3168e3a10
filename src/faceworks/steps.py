"""A verification step by step, as a teacher shows it: detect, crop, rotate, network input, vectors, decision.

Each step is one public function (`Pipeline.detect` and `choose`, `align.square`, `image.warp`, `Pipeline.crop`, `embed_crops`, `similarity.distance`,
`draw`), called by hand; the distance that comes out is `verify`'s to 1e-6 (tested). Only "input" feeds the network: "crop" and "rotate" show to the
eye what its one similarity transform does at once.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import align, geometry, image, similarity
from .api import get_pipeline
from .draw import draw
from .errors import ConfigError, NoFaceFound
from .pipeline import Pipeline, PipelineSpec
from .types import Crop, Embedding, Face, FaceResult, ImageArray, Verification, to_dict
from .verification import compare

__all__ = ["Side", "Steps", "explain", "level", "write"]

CROP_FACTOR, CROP_SIZE = 1.3, 320
"""The square crop for the eye: 1.3 times the longer side of the box, 320 x 320 pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two pictures, through the steps.

    Attributes:
        name: what it is called.
        picture: (H, W, 3) uint8 RGB.
        faces: all faces found, best score first.
        face: the one that is compared.
        square: the square about its box; nothing is flattened, outside the picture is black.
        rotated: `square` turned about its middle until the eyes are level; outside it is black.
        angle: degrees it was turned by (positive = counterclockwise as seen), or None without eye points.
        input: what the network eats.
        embedding: its vector.
    """

    name: str
    picture: ImageArray
    faces: Sequence[Face]
    face: Face
    square: Crop
    rotated: Crop
    angle: float | None
    input: Crop
    embedding: Embedding


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Both sides and the decision."""

    a: Side
    b: Side
    decision: Verification


def level(square: Crop, face: Face) -> tuple[Crop, float | None]:
    """Turn a crop about its middle until the line between the eyes is level; what the turned crop does not cover is black.

    Returns the turned crop and the angle in degrees (counterclockwise as seen), or the crop as it is and None for a face without `arcface5` points.
    """
    if face.landmarks is None or face.landmarks.scheme != "arcface5":
        return square, None
    left, right = geometry.apply(square.matrix, face.landmarks.points[:2])
    angle = math.atan2(right[1] - left[1], right[0] - left[0])
    height, width = square.pixels.shape[:2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    matrix = np.column_stack([turn, middle - turn @ middle])
    pixels = image.warp(square.pixels, matrix, (height, width), border="black")
    return Crop(pixels, geometry.compose(matrix, square.matrix), f"{square.template}+level"), math.degrees(angle)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A face that may be compared, before it is embedded."""

    name: str
    picture: ImageArray
    faces: Sequence[Face]
    face: Face
    input: Crop

    def side(self, embedding: Embedding) -> Side:
        square = align.square(self.picture, self.face, CROP_FACTOR, CROP_SIZE)
        rotated, angle = level(square, self.face)
        return Side(self.name, self.picture, self.faces, self.face, square, rotated, angle, self.input, embedding)


def _find(pipeline: Pipeline, source: Any, name: str) -> list[_Found]:
    picture = image.load(source)
    faces = pipeline.detect([picture])[0]
    chosen = pipeline.choose([picture], [faces], [name])[0]
    if not chosen:
        raise NoFaceFound(f"no face found in {name}: nothing to compare")
    return [_Found(name, picture, faces, face, pipeline.crop(picture, face)) for face in chosen]


def _embed(pipeline: Pipeline, found: Sequence[_Found]) -> list[Embedding]:
    """One vector for each; from the crops that are cut already, where one is all that the embedder wants."""
    if pipeline.one_crop:
        return pipeline.embed_crops([item.input for item in found])
    return [vector for group in pipeline.embed_faces([item.picture for item in found], [[item.face] for item in found]) for vector in group]


def explain(a: Any, b: Any, spec: PipelineSpec | None = None, *, review: float | None = None, **options: Any) -> Steps:
    """Do a verification by hand and keep every step. Arguments and errors as `faceworks.verify`."""
    pipeline = get_pipeline(spec, **options)
    decision = pipeline.decision(review)
    left, right = (_find(pipeline, source, image.describe(source)) for source in (a, b))
    vectors = _embed(pipeline, [*left, *right])
    models = {**pipeline.models, "recipe": pipeline.recipe_id}
    results = []
    for (x, f1), (y, f2) in itertools.product(zip(left, vectors[: len(left)], strict=True), zip(right, vectors[len(left) :], strict=True)):
        results.append((compare(FaceResult(x.face, f1), FaceResult(y.face, f2), decision, models), (x, f1), (y, f2)))
    answer, (x, f1), (y, f2) = min(results, key=lambda item: item[0].distance)
    return Steps(x.side(f1), y.side(f2), answer)


def vectors_table(steps: Steps) -> dict[str, Any]:
    """Both vectors and the cosine worked out with them, as plain JSON types."""
    f1, f2 = (np.asarray(side.embedding.vector, dtype=np.float64) for side in (steps.a, steps.b))
    dot, n1, n2 = float(f1 @ f2), float(np.linalg.norm(f1)), float(np.linalg.norm(f2))
    cosine = similarity.similarity(f1, f2)
    return {
        "model": steps.a.embedding.model,
        "dimensions": len(f1),
        "F1": {"source": steps.a.name, "vector": to_dict(steps.a.embedding.vector)},
        "F2": {"source": steps.b.name, "vector": to_dict(steps.b.embedding.vector)},
        "F1·F2": dot,
        "|F1|": n1,
        "|F2|": n2,
        "cosine": cosine,
        "worked_out": f"cos = F1·F2 / (|F1| |F2|) = {dot:.6f} / ({n1:.6f} x {n2:.6f}) = {cosine:.6f}",
        "distance": similarity.distance(f1, f2, steps.decision.metric),
        "metric": steps.decision.metric,
    }


def decision_text(answer: Verification) -> str:
    """The decision in words, three lines."""
    word = {True: "same person", False: "different people", None: "needs review"}[answer.verified]
    sign = "≤" if similarity.accepts(answer.distance, answer.threshold) else ">"
    sure = "no error rate is attached: no calibration exists for this recipe"
    if answer.fmr is not None:
        sure = f"false match rate {answer.fmr:.2g} at this score, probability of the same person {answer.probability:.4f} at prior 0.5"
    return (
        f"{word}: the {answer.metric} distance {answer.distance:.6f} {sign} the threshold {answer.threshold:.6f} (same means distance ≤ threshold)\n"
        f"the threshold comes from: {answer.threshold_source}\n"
        f"how sure: {sure}\n"
    )


def write(steps: Steps, folder: str | Path) -> list[Path]:
    """Write the steps into a folder (made when missing) and return the paths.

    Files: 1-detect-{a,b}.png, 2-crop-{a,b}.png, 3-rotate-{a,b}.png, 4-input-{a,b}.png, 5-vectors.json, 6-decision.json, 6-decision.txt.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write the steps into {folder}: {error.strerror or error}; name a folder that can be made") from error
    written = []
    for letter, side in (("a", steps.a), ("b", steps.b)):
        faces = list(side.faces) or [side.face]
        labels = [f"{face.score:.2f}" + ", compared" * np.array_equal(face.box, side.face.box) for face in faces]
        for name, picture in (
            ("1-detect", draw(side.picture, faces, labels)),
            ("2-crop", side.square.pixels),
            ("3-rotate", side.rotated.pixels),
            ("4-input", side.input.pixels),
        ):
            written.append(folder / f"{name}-{letter}.png")
            image.save(written[-1], picture)
    turned = {letter: side.angle for letter, side in (("a", steps.a), ("b", steps.b))}
    texts = {
        "5-vectors.json": json.dumps(vectors_table(steps), indent=2, ensure_ascii=False),
        "6-decision.json": json.dumps({**to_dict(steps.decision), "turned_degrees": turned}, indent=2, ensure_ascii=False),
        "6-decision.txt": decision_text(steps.decision),
    }
    for name, text in texts.items():
        written.append(folder / name)
        written[-1].write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    return written
