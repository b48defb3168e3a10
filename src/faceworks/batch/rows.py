"""What a worker makes of pictures for a table: plain rows, one for each face, one for a picture without any."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..pipeline import PipelineSpec
from ..types import FaceResult, ImageArray, to_dict
from . import sources

__all__ = ["FaceRows", "Loaded", "Step", "load"]

Step = Literal["detect", "embed", "analyze"]


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A decoded picture with the hash of what it was decoded from."""

    pixels: ImageArray
    content: str


def load(source: Any) -> Loaded:
    """Read a reference: pixels and SHA-256 of its content."""
    return Loaded(sources.load(source), sources.content_hash(source))


@dataclass(frozen=True)
class FaceRows:
    """Pictures to rows; picklable, so that it travels to workers.

    Attributes:
        spec: detector, embedder and the rest.
        step: "detect" gives boxes and points, "embed" vectors too, "analyze" attributes too.
        attributes: which attributes "analyze" asks for; empty takes its default.
        models: attribute -> card name, where not the default.
    """

    spec: PipelineSpec
    step: Step = "embed"
    attributes: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, pictures: Sequence[Loaded]) -> list[list[dict[str, Any]]]:
        """Rows of each picture (see `tables.columns`), without its source's name."""
        images = [picture.pixels for picture in pictures]
        return [rows_of(picture, faces) for picture, faces in zip(pictures, self._faces(images), strict=True)]

    def _faces(self, images: list[ImageArray]) -> Sequence[Sequence[FaceResult]]:
        from .. import api

        if self.step == "analyze":
            options: dict[str, Any] = {"attributes": self.attributes} if self.attributes else {}
            results: list[list[FaceResult]] = api.analyze(images, spec=self.spec, models=dict(self.models), **options)
            return results
        pipeline = api.get_pipeline(self.spec)
        if self.step == "embed":
            return pipeline.embed(images)
        return [[FaceResult(face) for face in faces] for faces in pipeline.find(images)]


def rows_of(picture: Loaded, faces: Sequence[FaceResult]) -> list[dict[str, Any]]:
    """The rows of one picture."""
    height, width = picture.pixels.shape[:2]
    shared = {"content": picture.content, "width": width, "height": height, "faces": len(faces)}
    return [{**shared, "face": number, **_row(result)} for number, result in enumerate(faces)] or [shared]


def _row(result: FaceResult) -> dict[str, Any]:
    face, vector = result.face, result.embedding
    row: dict[str, Any] = {"box": [float(value) for value in face.box], "score": float(face.score), "detector": face.detector}
    if face.landmarks is not None:
        row |= {"landmarks": np.asarray(face.landmarks.points, np.float32).ravel(), "scheme": face.landmarks.scheme}
    if vector is not None:
        row |= {"vector": np.asarray(vector.vector, np.float32), "norm": vector.norm, "model": vector.model}
    if result.attributes:
        row["attributes"] = json.dumps(to_dict(result.attributes), ensure_ascii=False, sort_keys=True)
    return row
