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

from . import align, cards, convert, similarity
from .calibration import Calibration
from .calibration import find as find_calibration
from .cards import Card
from .detect import Detector, load_detector
from .detect.retry import STEPS, with_retry
from .embed import Embedder, load_embedder
from .embed.augment import embed_variants
from .errors import ConfigError, InputError, NoFaceFound
from .landmarks import DEFAULTS, Landmarker, ensure, load_landmarker, scheme_of
from .runtime import SessionOptions
from .types import Crop, Embedding, Face, FaceResult, ImageArray, Metric, Select, View
from .verification import Decision, resolve_threshold, threshold_for_fmr

__all__ = ["SHIFT", "Pipeline", "PipelineSpec"]

SHIFT = 0.03
"""How far the crops of `PipelineSpec.crops = 5` are shifted, as a part of the box's longer side: about a detector's own error."""


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """Everything that decides what a picture becomes. Frozen and picklable: it travels to worker processes, sessions never do.

    Attributes:
        detector, embedder: card names.
        align: "similarity5" (the embedder's own crop), "none" (the whole picture, stretched to the embedder's input), or a crop grammar.
        select: which face of a picture: "largest", "central" (largest area − 2 · squared distance of its center to the picture's), or "all".
        on_no_face: "raise" NoFaceFound, "empty" (no result), or "whole" (the whole picture is taken for a face).
        metric: distance for decisions.
        threshold: largest distance that counts as same; None takes the card's (or that of `fmr`).
        fmr: false match rate whose measured threshold decides, in (0, 1]; instead of `threshold`.
        calibration: file with a calibration of this recipe; None looks in the user's folder and in the package.
        max_faces: a picture in which more faces are found is refused (a service's guard against crowds); 0 = no limit.
        min_score: lowest detection score; None takes the card's.
        landmarker: card asked for the points that the crop needs where the detector gives none; "" takes the default of their scheme.
        retry: what to try, in this order, with a picture in which no face is found: "pad", "rotate90", "rotate180", "rotate270", "tile", "larger"; the
            rotations are tried with every picture (`detect.retry`).
        flip: embed the mirrored crop too and add the two vectors (of each part, in a fusion).
        crops: 1, or 5: embed four more crops too, shifted left, right, up and down by `SHIFT` of the box's longer side, and add their vectors.
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
    crops: int = 1
    device: str = "auto"
    threads: int = 0
    fmr: float | None = None
    calibration: str | None = None
    max_faces: int = 0

    def __post_init__(self) -> None:
        if self.fmr is not None and (self.threshold is not None or not 0 < self.fmr <= 1):
            raise ConfigError(
                f"fmr is a false match rate in (0, 1] and stands instead of a threshold; got {self.fmr:g}"
                + ("" if self.threshold is None else f" and the threshold {self.threshold:g}: give one of the two")
            )
        for name, allowed in (
            ("select", ("largest", "central", "all")),
            ("on_no_face", ("raise", "empty", "whole")),
            ("metric", similarity.METRICS),
            ("crops", (1, 5)),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} must be one of {', '.join(map(str, allowed))}, got {getattr(self, name)!r}")
        if self.max_faces < 0:
            raise ConfigError(f"max_faces must be 0 (no limit) or more, got {self.max_faces}")
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


class _Member:
    """An embedder that eats one crop of a face: the only one, or a part of a fusion."""

    def __init__(self, card: Card, spec: PipelineSpec, given: str) -> None:
        self.card = card
        self._session_options = SessionOptions(spec.device, spec.threads)
        self._input = card.input_for()
        self._strategy = spec.align
        self._grammar = self._input.crop if spec.align == "similarity5" else spec.align
        self._accepted = align.schemes(self._grammar)
        self.served = not self._accepted or given in self._accepted
        """Whether the crop needs no points, or the detector gives them (`given` is its scheme)."""
        self.landmarker = None if self.served else self._choose(spec)
        """Card of the landmarker that gives the points: the caller's, else the one that the embedder's card names, else the scheme's default."""

    def _choose(self, spec: PipelineSpec) -> Card:
        named = self._input.landmarker if spec.align == "similarity5" else ""
        for name in (spec.landmarker, named, *(DEFAULTS.get(scheme, "") for scheme in self._accepted)):
            if name and scheme_of(cards.get(name, "landmark")) in self._accepted:
                return cards.get(name, "landmark")
        raise ConfigError(f"the crop {self._grammar!r} needs {self._accepted[0]} points, {spec.detector} gives none; name a landmarker for them")

    @cached_property
    def opened(self) -> Landmarker | None:
        """The landmarker, opened; None where the crop needs none, or only points that every detector gives."""
        return None if self.landmarker is None else load_landmarker(self.landmarker.name, self._session_options)

    @property
    def identity(self) -> str:
        """Files, converters and landmarker."""
        parts = [_identity(self.card), *(convert.version(item) for item in self.card.file if item.convert)]
        return "+".join([*parts, *([_identity(self.landmarker)] if self.landmarker is not None else [])])

    def _template(self, face: Face) -> str:
        """The crop's grammar; a whole picture that is taken for a face is stretched."""
        if self._strategy == "none" or _stands_in(face):
            return "whole"
        return self._grammar

    def lacks(self, face: Face) -> bool:
        """Whether the face lacks the points that its crop needs."""
        return self._template(face) == self._grammar and (face.landmarks is None or face.landmarks.scheme not in self._accepted)

    def crop(self, picture: ImageArray, face: Face) -> Crop:
        """The crop of a face that has the points."""
        spec = self._input
        return align.crop(picture, face, self._template(face), (spec.size[0], spec.size[1]), spec.border, spec.interpolation, spec.margin)


class Pipeline:
    """Detect, align, embed. Holds networks and no other state; safe to share between threads.

    Networks open when they are first needed and are shared by all pipelines of the process.
    """

    def __init__(self, spec: PipelineSpec | None = None) -> None:
        self.spec = spec or PipelineSpec()
        self._detector_card = cards.get(self.spec.detector, "detect")
        self._embedder_card = cards.get(self.spec.embedder, "embed")
        for card in (self._detector_card, self._embedder_card):
            cards.check_license(card)
        self._members = tuple(_Member(card, self.spec, scheme_of(self._detector_card)) for card in cards.members(self._embedder_card))
        self._landmarker_cards = tuple(dict.fromkeys(item.landmarker.name for item in self._members if item.landmarker is not None))
        if self.spec.landmarker and self.spec.landmarker not in self._landmarker_cards and not all(item.served for item in self._members):
            raise ConfigError(f"the landmarker {self.spec.landmarker} gives none of the points that the crops of {self.spec.embedder} need")
        for name in self._landmarker_cards:
            cards.check_license(cards.get(name))

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

    @property
    def least_score(self) -> float:
        """The lowest detection score that counts as a face: the spec's, else the detector card's, else 0."""
        return float(self.spec.min_score if self.spec.min_score is not None else self._detector_card.decode.get("min_score", 0.0))

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder, opened."""
        return load_embedder(self.spec.embedder, self.session_options)

    @property
    def models(self) -> dict[str, str]:
        """Role -> card name @ first twelve digits of the file's hash; several landmarkers are joined by a comma."""
        landmarkers = ", ".join(_identity(cards.get(name)) for name in self._landmarker_cards)
        middle = {"landmarker": landmarkers} if landmarkers else {}
        return {"detector": _identity(self._detector_card), **middle, "embedder": _identity(self._embedder_card)}

    @property
    def embedding_id(self) -> str:
        """What makes two vectors comparable: embedder, its converter, landmarker, crop and test-time augmentation; of a fusion, those of its parts."""
        parts = [item.identity for item in self._members]
        if self._embedder_card.part:
            shares = [f"{part.weight:g}*{text}" + "+flip" * part.flip for part, text in zip(self._embedder_card.part, parts, strict=True)]
            parts = [f"{self._embedder_card.name}[{', '.join(shares)}]"]
        if self.spec.align != "similarity5":
            parts.append(self.spec.align)
        return "+".join([*parts, *(["flip"] if self.spec.flip else []), *([f"crops{self.spec.crops}"] if self.spec.crops > 1 else [])])

    @property
    def recipe_id(self) -> str:
        """Hash over detector, landmarker, crop, embedder file, converter version, test-time augmentation and metric.

        Thresholds and galleries are bound to it.
        """
        return self._recipe(self.spec.metric)

    def _recipe(self, metric: Metric) -> str:
        recipe: dict[str, Any] = {
            "detector": [_identity(self._detector_card), *(convert.version(item) for item in self._detector_card.file)],
            "embedding": self.embedding_id,
            "sight": [dataclasses.asdict(item) for item in self._detector_card.input],
            "crops": [dataclasses.asdict(item) for member in self._members for item in member.card.input],
            "metric": metric,
        }
        if self._landmarker_cards:
            chosen = [cards.get(name) for name in self._landmarker_cards]
            recipe["landmarker"] = [[_identity(card), *(convert.version(item) for item in card.file)] for card in chosen]
        if self.spec.retry:
            recipe["retry"] = list(self.spec.retry)
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def calibration(self) -> Calibration | None:
        """What was measured for this recipe, or None. Cosine, euclidean_l2 and angular share it: their distances are functions of the cosine."""
        if self.spec.metric in similarity.RAW:
            return None
        return find_calibration(self._recipe("cosine"), self.spec.calibration)

    def decision(self, review: float | None = None, prior: float = 0.5) -> Decision:
        """The threshold in force, with the recipe's calibration where there is one."""
        known = self.calibration
        if self.spec.fmr is not None:
            found = threshold_for_fmr(known, self.spec.fmr, self.spec.metric, self.recipe_id, review)
        else:
            found = resolve_threshold(self._embedder_card, self.spec.metric, self.spec.threshold, review)
        return dataclasses.replace(found, calibration=known, prior=prior)

    def detect(self, images: Sequence[ImageArray], names: Sequence[str] | None = None) -> list[list[Face]]:
        """Faces of each picture, best score first. `names` stand in messages.

        Raises:
            InputError: more faces than `spec.max_faces`.
        """
        found = self.detector.detect(images)
        for index, faces in enumerate(found):
            if 0 < self.spec.max_faces < len(faces):
                name = names[index] if names else f"picture {index + 1}" if len(found) > 1 else "the picture"
                raise InputError(
                    f"{name} shows {len(faces)} faces, the limit (max_faces) is {self.spec.max_faces}; cut it into parts, or raise the limit"
                )
        return found

    def select(self, faces: Sequence[Face], image_size: tuple[int, int]) -> list[Face]:
        """The faces that `spec.select` takes from those of one picture of `image_size` (height, width)."""
        if self.spec.select == "all" or len(faces) <= 1:
            return list(faces)
        if self.spec.select == "largest":
            return [max(faces, key=lambda face: face.area)]
        return [max(faces, key=lambda face: face.area - 2 * _distance_to_center(face, image_size))]

    def find(self, images: Sequence[ImageArray], names: Sequence[str] | None = None, *, points: bool = True) -> list[list[Face]]:
        """Detect and select; `on_no_face` decides what a picture without a face gives. `names` stand in messages. Without `points` no landmarker is
        asked: the faces have what the detector gives."""
        return self.choose(images, self.detect(images, names), names, points=points)

    def choose(
        self, images: Sequence[ImageArray], detected: Sequence[Sequence[Face]], names: Sequence[str] | None = None, *, points: bool = True
    ) -> list[list[Face]]:
        """`find` with the detected faces of each picture at hand."""
        found: list[list[Face]] = []
        for index, (picture, faces) in enumerate(zip(images, detected, strict=True)):
            size = picture.shape[:2]
            chosen = self.select(faces, size)
            if not chosen and self.spec.on_no_face == "raise":
                name = names[index] if names else f"picture {index + 1} ({size[1]}x{size[0]})"
                score = self.spec.min_score if self.spec.min_score is not None else self._detector_card.decode.get("min_score")
                raise NoFaceFound(
                    f"no face found in {name} by {self.spec.detector} at score ≥ {score}; "
                    f"try a lower min_score, another detector, or on_no_face whole where the picture is a face already"
                )
            if not chosen and self.spec.on_no_face == "whole":
                chosen = [Face(np.array([0, 0, size[1], size[0]], np.float32), 0.0, None, "whole")]
            found.append(chosen)
        return self.complete(images, found) if points else found

    def complete(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[list[Face]]:
        """Faces without any points get those that the embedder's (first) crop needs; others, and whole pictures taken for a face, stay."""
        return self._with_landmarks(images, faces, self._members[0], bare=True)

    def _with_landmarks(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]], member: _Member, bare: bool = False) -> list[list[Face]]:
        """The faces with the points that a member's crop needs; nothing is asked where they have them. `bare`: only faces without any points."""
        if member.landmarker is None:
            return [list(group) for group in faces]
        lacking = [[face for face in group if member.lacks(face) and not (bare and face.landmarks is not None)] for group in faces]
        if not any(lacking) or member.opened is None:
            return [list(group) for group in faces]
        located = {
            id(old): new
            for before, after in zip(lacking, ensure(images, lacking, member.opened), strict=True)
            for old, new in zip(before, after, strict=True)
        }
        return [[located.get(id(face), face) for face in group] for group in faces]

    def crop(self, picture: ImageArray, face: Face) -> Crop:
        """The embedder's crop of a face (of a fusion, its first part's); the landmarker is asked where the face lacks the points."""
        member = self._members[0]
        return member.crop(picture, self._with_landmarks([picture], [[face]], member)[0][0])

    def embed_faces(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[list[Embedding]]:
        """Embed given faces of given pictures, all in one batch."""
        pointed = [self._with_landmarks(images, faces, member) for member in self._members]
        shifts = ((0.0, 0.0), (-SHIFT, 0.0), (SHIFT, 0.0), (0.0, -SHIFT), (0.0, SHIFT))[: self.spec.crops]
        variants = [
            [
                View(face, picture.shape[:2], len(group), tuple(self._cut(picture, member_faces, x, y)))
                for picture, group, *by_member in zip(images, faces, *pointed, strict=True)
                for face, *member_faces in zip(group, *by_member, strict=True)
            ]
            for x, y in shifts
        ]
        embeddings = iter(self.embed_views(*variants))
        return [[next(embeddings) for _ in group] for group in faces]

    def _cut(self, picture: ImageArray, faces: Sequence[Face], x: float, y: float) -> list[Crop]:
        """One crop for each member of the embedder; `faces` are one face with the points that each member needs."""
        pairs = zip(self._members, faces, strict=True)
        return [member.crop(picture, align.shifted(face, x, y) if x or y else face) for member, face in pairs]

    @property
    def one_crop(self) -> bool:
        """Whether one crop of a face is all that its vector needs: no fusion, and `spec.crops` is 1."""
        return len(self._members) == 1 and self.spec.crops == 1

    def embed_crops(self, crops: Sequence[Crop]) -> list[Embedding]:
        """Embed crops that were cut by hand.

        Raises:
            ConfigError: the embedder, or `spec.crops`, needs several crops of a face.
        """
        if not self.one_crop:
            why = f"the parts of {self._embedder_card.name} need" if len(self._members) > 1 else f"crops={self.spec.crops} needs"
            raise ConfigError(f"{why} several crops of each face: give embed_faces the pictures and the faces")
        views = []
        for item in crops:
            size = item.pixels.shape[:2]
            views.append(View(Face(np.array([0, 0, size[1], size[0]], np.float32), 1.0, None, "crop"), size, 1, (item,)))
        return self.embed_views(views)

    def embed_views(self, views: Sequence[View], *others: Sequence[View]) -> list[Embedding]:
        """Embed views; the vectors of other views of the same faces, and with `flip` of all their mirrored crops, are added."""
        vectors, norms = embed_variants(self.embedder, [views, *others], self.spec.flip)
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
    digests = [item.sha256 or item.git_blob or item.pin for member in cards.members(card) for item in member.file]
    text = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return f"{card.name}@{text[:12]}" if digests else card.name


def _distance_to_center(face: Face, image_size: tuple[int, int]) -> float:
    dx = float(face.box[0] + face.box[2]) / 2 - (image_size[1] - 1) / 2
    dy = float(face.box[1] + face.box[3]) / 2 - (image_size[0] - 1) / 2
    return dx * dx + dy * dy
