"""What is done to a picture before it is a vector, where that is not the plain pipeline: fixed crops, and pictures made worse.

A task is a picklable function from pictures to results with an `identity`, which stands in the vector store's folder name.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .. import batch
from ..errors import ConfigError
from ..image import load, resize
from ..types import Face, FaceResult, ImageArray

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec

__all__ = ["Degraded", "Embedders", "FixedCrop", "Task"]


class Task(Protocol):
    """A function from pictures to the faces found in each, with what decides its result."""

    @property
    def identity(self) -> str:
        """Equal for tasks with equal results."""

    def __call__(self, pictures: Sequence[ImageArray]) -> list[list[FaceResult]]:
        """Faces of each picture."""


@dataclass(frozen=True, slots=True)
class FixedCrop:
    """No detector: the square in the middle of the picture is the face (FaceNet's first LFW protocol; crops that a data set brings).

    Attributes:
        spec: its embedder embeds the square, stretched to the network's input.
        side: side of the square as a share of the picture's shorter side, in (0, 1]; 1 on a square picture takes all of it.
    """

    spec: PipelineSpec
    side: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.side <= 1:
            raise ConfigError(f"the side of a center crop is a share of the picture in (0, 1], got {self.side}")

    @property
    def identity(self) -> str:
        """The recipe of the embedder and the square."""
        return f"center crop {self.side:g} of {batch.task_id(self.spec)}"

    def __call__(self, pictures: Sequence[ImageArray]) -> list[list[FaceResult]]:
        """One face for each picture."""
        from ..pipeline import Pipeline

        squares = [self.cut(picture) for picture in pictures]
        faces = [[Face(np.array([0, 0, square.shape[1], square.shape[0]], np.float32), 0.0, None, "whole")] for square in squares]
        vectors = Pipeline(self.spec).embed_faces(squares, faces)
        return [[FaceResult(face[0], vector[0])] for face, vector in zip(faces, vectors, strict=True)]

    def cut(self, picture: ImageArray) -> ImageArray:
        """The square, rounded to whole pixels."""
        height, width = picture.shape[:2]
        side = max(1, round(self.side * min(height, width)))
        top, left = (height - side) // 2, (width - side) // 2
        return np.ascontiguousarray(picture[top : top + side, left : left + side])


@dataclass(frozen=True, slots=True)
class Embedders:
    """Several embedders after one detection: for each picture one result per spec, with the same face; none where no face is found.

    Attributes:
        specs: pipelines that find the same faces: those options are equal that come before alignment.
    """

    specs: tuple[PipelineSpec, ...]

    def __post_init__(self) -> None:
        finding = {(spec.detector, spec.select, spec.on_no_face, spec.min_score, spec.retry) for spec in self.specs}
        if len(finding) != 1:
            raise ConfigError(f"specs share a detection when detector, select, on_no_face, min_score and retry are equal, got {len(finding)} kinds")

    def __call__(self, pictures: Sequence[ImageArray]) -> list[list[FaceResult]]:
        """The selected face of each picture, embedded by each spec."""
        from ..pipeline import Pipeline

        pipelines = [Pipeline(spec) for spec in self.specs]
        faces = pipelines[0].find(pictures)
        vectors = [pipeline.embed_faces(pictures, faces) for pipeline in pipelines]
        return [[FaceResult(face[0], of[k][0]) for of in vectors] if face else [] for k, face in enumerate(faces)]


@dataclass(frozen=True, slots=True)
class Degraded:
    """The pipeline on pictures made worse (FaceNet's table 4): JPEG at a quality, or shrunk to a number of pixels.

    Attributes:
        jpeg: quality 1 to 100 at which the picture is encoded and decoded again (4:2:0, as files of that quality usually are), or None.
        pixels: number of pixels that the picture is shrunk to (never enlarged), shape kept, or None.
    """

    spec: PipelineSpec
    jpeg: int | None = None
    pixels: int | None = None

    def __post_init__(self) -> None:
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise ConfigError(f"a JPEG quality lies in 1..100, got {self.jpeg}")
        if self.pixels is not None and self.pixels < 64:
            raise ConfigError(f"a picture needs 64 pixels at least, got {self.pixels}")

    @property
    def identity(self) -> str:
        """The recipe and what was done before."""
        return f"jpeg {self.jpeg} pixels {self.pixels} before {batch.task_id(self.spec)}"

    def __call__(self, pictures: Sequence[ImageArray]) -> list[list[FaceResult]]:
        """What the pipeline finds in the worse pictures."""
        from ..pipeline import Pipeline

        spec = dataclasses.replace(self.spec, on_no_face="empty") if self.spec.on_no_face == "raise" else self.spec
        return Pipeline(spec).embed([self.worsen(picture) for picture in pictures])

    def worsen(self, picture: ImageArray) -> ImageArray:
        """The picture as the pipeline gets it."""
        height, width = picture.shape[:2]
        if self.pixels is not None and self.pixels < height * width:
            scale = (self.pixels / (height * width)) ** 0.5
            picture = resize(picture, (max(1, round(height * scale)), max(1, round(width * scale))), "area")
        if self.jpeg is not None:
            from PIL import Image

            encoded = io.BytesIO()
            Image.fromarray(picture).save(encoded, "JPEG", quality=self.jpeg)
            picture = load(encoded.getvalue())
        return picture
