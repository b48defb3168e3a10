"""The pipeline: options as one frozen value, and the object that runs detection, alignment and embedding over batches of pictures."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from . import align, cards, convert, geometry, similarity
from .cards import Card
from .detect import Detector, load_detector
from .detect.retry import STEPS, with_retry
from .embed import Embedder, load_embedder
from .errors import ConfigError, NoFaceFound
from .landmarks import DEFAULTS, Landmarker, ensure, load_landmarker, scheme_of
from .runtime import SessionOptions
from .types import Crop, Embedding, Face, FaceResult, ImageArray, Metric, Select, View
from .verification import Decision, resolve_threshold

__all__ = ["Pipeline", "PipelineSpec"]


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """Everything that decides what a picture becomes. Frozen and picklable: it travels to worker processes, sessions never do.

    Attributes:
        detector, embedder: card names.
        align: "similarity5" (the embedder's own crop), "none" (the whole picture, stretched to the embedder's input), or a crop grammar.
        select: which face of a picture: "largest", "central" (largest area − 2 · squared distance of its center to the picture's), or "all".
        on_no_face: "raise" NoFaceFound, "empty" (no result), or "whole" (the whole picture is taken for a face).
        metric: distance for decisions.
        threshold: largest distance that counts as same; None takes the card's.
        min_score: lowest detection score; None takes the card's.
        landmarker: card asked for the points that the crop needs where the detector gives none; "" takes the default of their scheme.
        retry: what to try, in this order, with a picture in which no face is found: "pad", "rotate90", "rotate180", "rotate270", "tile", "larger".
        flip: embed the mirrored crop too and add the two vectors.
        device, threads: see `runtime.SessionOptions`.
    """

    detector: str = "yunet-2023mar-int8bq"
    embedder: str = "sface-2021dec-int8bq"
    align: str = "similarity5"
    select: Select = "largest"
    on_no_face: Literal["raise", "empty", "whole"] = "raise"
    metric: Metric = "cosine"
    threshold: float | None = None
    min_score: float | None = None
    landmarker: str = ""
    retry: tuple[str, ...] = ()
    flip: bool = False
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("select", ("largest", "central", "all")),
            ("on_no_face", ("raise", "empty", "whole")),
            ("metric", similarity.METRICS),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if isinstance(self.retry, str) or any(step not in STEPS for step in self.retry):
            raise ConfigError(f"retry must be a tuple of {', '.join(STEPS)}, got {self.retry!r}")
        object.__setattr__(self, "retry", tuple(self.retry))

    def with_options(self, **options: Any) -> PipelineSpec:
        """A copy with some options changed; an unknown one is a ConfigError that lists the known."""
        known = [item.name for item in dataclasses.fields(self)]
        for name in options:
            if name not in known:
                raise ConfigError(f"unknown option {name!r}; known: {', '.join(known)}")
        return dataclasses.replace(self, **options)


class Pipeline:
    """Detect, align, embed. Holds networks and no other state; safe to share between threads.

    Networks open when they are first needed and are shared by all pipelines of the process.
    """

    def __init__(self, spec: PipelineSpec | None = None) -> None:
        self.spec = spec or PipelineSpec()
        self._detector_card = cards.get(self.spec.detector, "detect")
        self._embedder_card = cards.get(self.spec.embedder, "embed")
        self._landmarker_card = self._choose_landmarker()
        for card in (self._detector_card, self._embedder_card, *([self._landmarker_card] if self._landmarker_card else [])):
            cards.check_license(card)

    def _choose_landmarker(self) -> Card | None:
        """The landmarker that completes the detector's faces for the embedder's crop; None where the detector's own points do."""
        scheme = align.needs_scheme(self.template)
        if scheme is None or scheme_of(self._detector_card) in align.schemes(self.template):
            return None
        name = self.spec.landmarker or self._embedder_card.input_for().landmarker or DEFAULTS.get(scheme, "")
        if not name:
            raise ConfigError(f"the crop {self.template!r} needs {scheme} points, {self.spec.detector} gives none; name a landmarker for them")
        card = cards.get(name, "landmark")
        if scheme_of(card) not in align.schemes(self.template):
            raise ConfigError(f"the crop {self.template!r} needs {scheme} points, the landmarker {name} gives {scheme_of(card) or 'none'}")
        return card

    @property
    def template(self) -> str:
        """The crop grammar in force for the embedder."""
        if self.spec.align == "none":
            return "whole"
        return self._embedder_card.input_for().crop if self.spec.align == "similarity5" else self.spec.align

    @property
    def session_options(self) -> SessionOptions:
        """Device and threads of every network of this pipeline."""
        return SessionOptions(self.spec.device, self.spec.threads)

    @cached_property
    def detector(self) -> Detector:
        """The detector, opened; with the steps of `spec.retry` where there are any."""
        if self.spec.retry:
            return with_retry(self.spec.detector, self.spec.retry, self.session_options, self.spec.min_score)
        return load_detector(self.spec.detector, self.session_options, self.spec.min_score)

    @cached_property
    def landmarker(self) -> Landmarker | None:
        """The landmarker, opened; None where the detector's own points feed the crop."""
        return load_landmarker(self._landmarker_card.name, self.session_options) if self._landmarker_card else None

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder, opened."""
        return load_embedder(self.spec.embedder, self.session_options)

    @property
    def models(self) -> dict[str, str]:
        """Role -> card name @ first twelve digits of the file's hash."""
        found = {"detector": _identity(self._detector_card), "embedder": _identity(self._embedder_card)}
        return found | ({"landmarker": _identity(self._landmarker_card)} if self._landmarker_card else {})

    @property
    def embedding_id(self) -> str:
        """What makes two vectors comparable: embedder, its converter, landmarker, crop and test-time augmentation."""
        parts = [_identity(self._embedder_card), *(convert.version(item) for item in self._embedder_card.file if item.convert)]
        if self._landmarker_card is not None:
            parts.append(_identity(self._landmarker_card))
        if self.spec.align != "similarity5":
            parts.append(self.spec.align)
        return "+".join([*parts, *(["flip"] if self.spec.flip else [])])

    @property
    def recipe_id(self) -> str:
        """Hash over detector, landmarker, crop, embedder file, converter version, test-time augmentation and metric.

        Thresholds and galleries are bound to it.
        """
        recipe: dict[str, Any] = {
            "detector": [_identity(self._detector_card), *(convert.version(item) for item in self._detector_card.file)],
            "embedding": self.embedding_id,
            "sight": [dataclasses.asdict(item) for item in self._detector_card.input],
            "crops": [dataclasses.asdict(item) for item in self._embedder_card.input],
            "metric": self.spec.metric,
        }
        if self._landmarker_card:
            versions = [convert.version(item) for item in self._landmarker_card.file]
            recipe["landmarker"] = [_identity(self._landmarker_card), *versions]
        if self.spec.retry:
            recipe["retry"] = list(self.spec.retry)
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]

    def decision(self, review: float | None = None) -> Decision:
        """The threshold in force."""
        return resolve_threshold(self._embedder_card, self.spec.metric, self.spec.threshold, review)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Faces of each picture, best score first."""
        return self.detector.detect(images)

    def select(self, faces: Sequence[Face], image_size: tuple[int, int]) -> list[Face]:
        """The faces that `spec.select` takes from those of one picture of `image_size` (height, width)."""
        if self.spec.select == "all" or len(faces) <= 1:
            return list(faces)
        if self.spec.select == "largest":
            return [max(faces, key=lambda face: face.area)]
        return [max(faces, key=lambda face: face.area - 2 * _distance_to_center(face, image_size))]

    def find(self, images: Sequence[ImageArray], names: Sequence[str] | None = None) -> list[list[Face]]:
        """Detect and select; `on_no_face` decides what a picture without a face gives. `names` stand in messages."""
        found: list[list[Face]] = []
        for index, (picture, faces) in enumerate(zip(images, self.detect(images), strict=True)):
            size = picture.shape[:2]
            chosen = self.select(faces, size)
            if not chosen and self.spec.on_no_face == "raise":
                name = names[index] if names else f"picture {index + 1} ({size[1]}x{size[0]})"
                score = self.spec.min_score if self.spec.min_score is not None else self._detector_card.decode.get("min_score")
                raise NoFaceFound(
                    f"no face found in {name} by {self.spec.detector} at score ≥ {score}; "
                    f"try a lower --min-score, another --detector, or --on-no-face whole where the picture is a face already"
                )
            if not chosen and self.spec.on_no_face == "whole":
                chosen = [Face(np.array([0, 0, size[1], size[0]], np.float32), 0.0, None, "whole")]
            found.append(chosen)
        return self.complete(images, found)

    def complete(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[list[Face]]:
        """The faces with the points that the embedder's crop needs: those without them get them from the landmarker.

        What `on_no_face="whole"` took for a face stays without points, and is cropped whole.
        """
        if self._landmarker_card is None:
            return [list(group) for group in faces]
        accepted = align.schemes(self.template)
        lacking = [
            [face for face in group if not _stands_in(face) and (face.landmarks is None or face.landmarks.scheme not in accepted)] for group in faces
        ]
        if not any(lacking):
            return [list(group) for group in faces]
        assert self.landmarker is not None
        located = {
            id(old): new
            for before, after in zip(lacking, ensure(images, lacking, self.landmarker), strict=True)
            for old, new in zip(before, after, strict=True)
        }
        return [[located.get(id(face), face) for face in group] for group in faces]

    def crop(self, picture: ImageArray, face: Face) -> Crop:
        """The embedder's crop of a face; the landmarker is asked where the face lacks the points."""
        spec = self._embedder_card.input_for()
        template = "whole" if _stands_in(face) else self.template
        face = self.complete([picture], [[face]])[0][0]
        return align.crop(picture, face, template, (spec.size[0], spec.size[1]), spec.border, spec.interpolation, spec.margin)

    def embed_faces(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[list[Embedding]]:
        """Embed given faces of given pictures, all in one batch."""
        faces = self.complete(images, faces)
        views = [
            View(face, picture.shape[:2], len(group), (self.crop(picture, face),))
            for picture, group in zip(images, faces, strict=True)
            for face in group
        ]
        embeddings = iter(self.embed_views(views))
        return [[next(embeddings) for _ in group] for group in faces]

    def embed_crops(self, crops: Sequence[Crop]) -> list[Embedding]:
        """Embed crops that were cut by hand."""
        views = []
        for item in crops:
            size = item.pixels.shape[:2]
            views.append(View(Face(np.array([0, 0, size[1], size[0]], np.float32), 1.0, None, "crop"), size, 1, (item,)))
        return self.embed_views(views)

    def embed_views(self, views: Sequence[View]) -> list[Embedding]:
        """Embed views; with `flip` the vector is the sum of the crop's and the mirrored crop's."""
        vectors, norms = self.embedder.embed(views)
        if self.spec.flip and views:
            mirrored = [dataclasses.replace(view, crops=tuple(_mirror(item) for item in view.crops)) for view in views]
            vectors = vectors + self.embedder.embed(mirrored)[0]
        model = self.embedding_id
        return [Embedding(vector, None if norms is None else float(norms[i]), model) for i, vector in enumerate(vectors)]

    def embed(self, images: Sequence[ImageArray], names: Sequence[str] | None = None) -> list[list[FaceResult]]:
        """Detect, select, align, embed."""
        faces = self.find(images, names)
        embeddings = self.embed_faces(images, faces)
        return [
            [FaceResult(face, vector) for face, vector in zip(group, vectors, strict=True)] for group, vectors in zip(faces, embeddings, strict=True)
        ]


def _stands_in(face: Face) -> bool:
    """Whether the face is a whole picture in which none was found (`on_no_face="whole"`)."""
    return face.detector == "whole" and face.score == 0.0 and face.landmarks is None


def _identity(card: Card) -> str:
    digests = [item.sha256 or item.git_blob or item.pin for item in card.file]
    text = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return f"{card.name}@{text[:12]}" if digests else card.name


def _distance_to_center(face: Face, image_size: tuple[int, int]) -> float:
    dx = float(face.box[0] + face.box[2]) / 2 - (image_size[1] - 1) / 2
    dy = float(face.box[1] + face.box[3]) / 2 - (image_size[0] - 1) / 2
    return dx * dx + dy * dy


def _mirror(item: Crop) -> Crop:
    width = item.pixels.shape[1]
    mirror = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])
    return Crop(np.ascontiguousarray(item.pixels[:, ::-1]), geometry.compose(mirror, item.matrix), item.template)
