"""Everything that models say of one picture, with the detector fixed: face, 68 points, one vector for each embedder, emotions, valence and arousal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import api, cards, convert, landmarks
from ..attributes.quality import measure as quality
from ..pipeline import Pipeline
from ..types import Categorical, Face, ImageArray, Scalar
from .naming import canonical

__all__ = ["Measure", "Record", "pipeline_for", "record_of"]

Floats: TypeAlias = NDArray[np.float64]
VERSION = 1
"""Part of the journal's name: raised when what a record holds changes."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What the models said of one picture.

    Attributes:
        error: why the picture could not be read, or "".
        size: (height, width). faces: number found. box, score: of the largest face.
        points: (68, 2) in pixels, or None without a face.
        vectors: embedder -> (D,) raw.
        emotions: model -> label of the study -> probability. affect: "valence" and "arousal" in [-1, 1].
        quality: 0 to 100.
    """

    error: str = ""
    size: tuple[int, int] = (0, 0)
    faces: int = 0
    box: tuple[float, ...] = ()
    score: float = 0.0
    points: Floats | None = None
    vectors: Mapping[str, Floats] = field(default_factory=dict)
    emotions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    affect: Mapping[str, float] = field(default_factory=dict)
    quality: float | None = None

    @property
    def found(self) -> bool:
        """Whether there is a face."""
        return self.points is not None


def pipeline_for(detector: str, embedder: str) -> Pipeline:
    """The pipeline of one embedder; the detector's networks are shared by all."""
    return api.get_pipeline(detector=detector, embedder=embedder, select="largest", on_no_face="empty")


@dataclass(frozen=True, slots=True)
class Measure:
    """The task: pictures in, dictionaries out; picklable, and what it gives becomes plain JSON types."""

    detector: str
    landmarker: str
    embedders: tuple[str, ...]
    emotion: tuple[str, ...]
    affect: str

    def __call__(self, pictures: Sequence[ImageArray]) -> list[dict[str, Any]]:
        """One dictionary for each picture (H, W, 3) uint8 RGB."""
        pipelines = [pipeline_for(self.detector, name) for name in self.embedders]
        found = pipelines[0].detect(pictures)
        largest = [[max(group, key=lambda face: face.area)] if group else [] for group in found]
        pointed = landmarks.ensure(pictures, largest, landmarks.load_landmarker(self.landmarker, pipelines[0].session_options))
        vectors = [pipeline.embed_faces(pictures, largest) for pipeline in pipelines]
        said = self._said(pictures, largest)
        answers = []
        for index, picture in enumerate(pictures):
            answer: dict[str, Any] = {"size": list(picture.shape[:2]), "faces": len(found[index])}
            for face, with_points in zip(largest[index], pointed[index], strict=True):
                assert with_points.landmarks is not None
                answer |= {
                    "box": [float(v) for v in face.box],
                    "score": float(face.score),
                    "points": np.asarray(with_points.landmarks.points, np.float64).round(3).tolist(),
                    "vectors": {name: group[index][0].vector for name, group in zip(self.embedders, vectors, strict=True)},
                    "quality": round(quality(picture, face, n_faces=len(found[index])).score, 4),
                    **said[index],
                }
            answers.append(answer)
        return answers

    def _said(self, pictures: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = [{"emotions": {}, "affect": {}} for _ in pictures]
        wanted = [(name, ("emotion",)) for name in self.emotion] + [(self.affect, ("valence", "arousal"))] * bool(self.affect)
        for name, keys in wanted:
            analyzer = api.get_analyzer(keys, dict.fromkeys(keys, name), detector=self.detector)
            for answer, group in zip(answers, analyzer.analyze_faces(pictures, faces), strict=True):
                for key, value in ((key, result.attributes[key]) for result in group for key in keys):
                    if isinstance(value, Categorical):
                        answer["emotions"][name] = {canonical(label) or label: p for label, p in value.probabilities.items()}
                    elif isinstance(value, Scalar):
                        answer["affect"][key] = value.value
        return answers

    @property
    def digest(self) -> str:
        """Hash over every model file, converter and crop that decides a record: the journal of another study of the same models is used again."""
        names = (self.detector, self.landmarker, *self.embedders, *self.emotion, *([self.affect] if self.affect else []))
        files = [
            (
                member.name,
                item.sha256 or item.git_blob or item.pin,
                convert.version(item) if item.convert else "",
                repr(member.input),
                repr(member.output),
            )
            for name in names
            for member in cards.members(cards.get(name))
            for item in member.file
        ]
        return hashlib.sha256(json.dumps([VERSION, names, files]).encode()).hexdigest()[:16]


def record_of(found: Mapping[str, Any]) -> Record:
    """The record that an entry of the journal holds."""
    if "points" not in found:
        return Record(size=tuple(found["size"]), faces=found["faces"])
    return Record(
        size=tuple(found["size"]),
        faces=found["faces"],
        box=tuple(found["box"]),
        score=found["score"],
        points=np.asarray(found["points"], np.float64),
        vectors={name: np.asarray(vector, np.float64) for name, vector in found["vectors"].items()},
        emotions=found["emotions"],
        affect=found["affect"],
        quality=found["quality"],
    )
