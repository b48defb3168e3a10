"""Detection once, each crop once, each network once: what `analyze` does with a batch of pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import cast

import numpy as np

from . import align, cards
from .attributes import ATTRIBUTES, Answer, AttributeModel, Fusion, choose, load_attribute_model
from .attributes.labels import SPACES, expressed, moved, to_space
from .attributes.pool import pool_views
from .cards import Card, InputSpec
from .errors import ConfigError
from .landmarks import DEFAULTS, Landmarker, ensure, load_landmarker, scheme_of
from .pipeline import Pipeline, PipelineSpec
from .runtime import SessionOptions
from .types import Categorical, Crop, Face, FaceResult, ImageArray, Scalar, View

__all__ = ["DEFAULT_ATTRIBUTES", "UNSURE", "Analyzer", "abstain"]

DEFAULT_ATTRIBUTES = ("emotion", "age", "gender")
"""What is asked where nothing is said: attributes whose default models come from the package index."""
UNSURE = "unsure"
"""The label of a distribution whose largest probability is below what the caller asks for."""

Key = tuple[str, tuple[int, ...], str, str, float]


def abstain(item: Categorical, least: float) -> Categorical:
    """The same distribution, labeled "unsure" where no label reaches the probability `least`."""
    return dataclasses.replace(item, label=UNSURE) if max(item.probabilities.values()) < least else item


class Analyzer:
    """Attributes of the faces of pictures. Holds names and networks, no other state; safe to share between threads, and picklable (networks open where
    they are used).

    Args:
        spec: how faces are found; default: all faces of a picture, and no face is an empty answer.
        attributes: names of `attributes.ATTRIBUTES`.
        models: attribute -> card name, where another than the default shall answer.
        abstain: a label whose probability is below this becomes "unsure" (0 = never).
        space: label space of the emotion ("six", "seven", "eight"); None = the model's own. What the space lacks is "other" (`labels.to_space`).
        reference: a picture of the same person at rest, (H, W, 3) uint8 RGB: the intensity is then how far the emotion moved from it (`labels.moved`).
        bpcer: liveness: the share of living faces that may be called fake; the card's threshold measured for it decides. None takes the likelier label.

    Raises:
        ConfigError: an unknown attribute, or an option that cannot hold.
        UnknownModel, CardError, LicenseRefused: a named model that is none, or not of the attribute, or not allowed.
    """

    def __init__(
        self,
        spec: PipelineSpec | None = None,
        attributes: Sequence[str] = DEFAULT_ATTRIBUTES,
        models: Mapping[str, str] | None = None,
        abstain: float = 0.0,
        bpcer: float | None = None,
        space: str | None = None,
        reference: ImageArray | None = None,
    ) -> None:
        if isinstance(attributes, str):
            attributes = [item.strip() for item in attributes.split(",") if item.strip()]
        if not attributes:
            raise ConfigError(f"name at least one attribute of {', '.join(ATTRIBUTES)}")
        if not 0.0 <= abstain <= 1.0:
            raise ConfigError(f"abstain is a probability in [0, 1], got {abstain}")
        self.spec = spec or PipelineSpec(select="all", on_no_face="empty")
        self.attributes = tuple(dict.fromkeys(attributes))
        self.models = dict(models or {})
        if space is not None and space not in SPACES:
            raise ConfigError(f"unknown label space {space!r}; known: {', '.join(SPACES)}")
        self.abstain, self.bpcer, self.space, self.reference = float(abstain), bpcer, space, reference
        for name in self.models:
            if name not in ATTRIBUTES:
                raise ConfigError(f"a model is named for {name!r}, which is no attribute; known: {', '.join(ATTRIBUTES)}")
        self._chosen = {name: choose(name, self.models.get(name)) for name in self._needed()}
        for card in self.cards:
            cards.check_license(card)
        self._limit = self._liveness_limit()

    def _needed(self) -> tuple[str, ...]:
        extra = ("emotion",) if "intensity" in self.attributes and "intensity" not in self.models else ()
        return tuple(dict.fromkeys([*self.attributes, *extra]))

    def __reduce__(self) -> tuple[type[Analyzer], tuple[object, ...]]:
        return Analyzer, (self.spec, self.attributes, self.models, self.abstain, self.bpcer, self.space, self.reference)

    @property
    def cards(self) -> tuple[Card, ...]:
        """The models that answer, without repetition."""
        return tuple({card.name: card for card in self._chosen.values() if card is not None}.values())

    @property
    def models_used(self) -> dict[str, str]:
        """Attribute -> card name."""
        return {name: card.name for name, card in self._chosen.items() if card is not None}

    def _liveness_limit(self) -> float | None:
        card = self._chosen.get("liveness")
        if self.bpcer is None or card is None:
            return None
        known = {item.bpcer: item.value for item in card.threshold if item.metric == "probability" and item.bpcer is not None}
        if self.bpcer not in known:
            have = ", ".join(f"{rate:g}" for rate in sorted(known)) or "none"
            raise ConfigError(f"{card.name} has no threshold that was measured for the BPCER {self.bpcer:g}; measured: {have}")
        return known[self.bpcer]

    @cached_property
    def pipeline(self) -> Pipeline:
        """Who finds the faces."""
        return Pipeline(self.spec)

    @cached_property
    def _leaves(self) -> dict[str, AttributeModel]:
        """Leaf models by card name, opened."""
        names = dict.fromkeys(member.name for card in self.cards for member in cards.members(card))
        return {name: cast(AttributeModel, load_attribute_model(name, self.pipeline.session_options)) for name in names}

    @cached_property
    def _fusions(self) -> dict[str, Fusion]:
        options: SessionOptions = self.pipeline.session_options
        return {card.name: cast(Fusion, load_attribute_model(card.name, options)) for card in self.cards if card.part}

    @cached_property
    def _landmarkers(self) -> dict[str, Landmarker]:
        return {}

    def _landmarker(self, name: str) -> Landmarker:
        """The landmarker of that name, opened once."""
        if name not in self._landmarkers:
            self._landmarkers[name] = load_landmarker(name, self.pipeline.session_options)
        return self._landmarkers[name]

    def __call__(self, images: Sequence[ImageArray]) -> list[list[FaceResult]]:
        """As `analyze`: a function from pictures to results, for `map_images`."""
        return self.analyze(images)

    def analyze(self, images: Sequence[ImageArray], names: Sequence[str] | None = None) -> list[list[FaceResult]]:
        """Find the faces of pictures ((H, W, 3) uint8 RGB) and say what is asked of each. Points that the detector does not give are looked for only
        where an attribute's crop needs them."""
        return self.analyze_faces(images, self.pipeline.find(images, names, points=False))

    def analyze_faces(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[list[FaceResult]]:
        """Say what is asked of given faces of given pictures, all in one batch."""
        flat = [(picture, face, len(group)) for picture, group in zip(images, faces, strict=True) for face in group]
        said = self._predict(images, faces, flat) if flat else {}
        results = iter([FaceResult(face, None, self._select({name: rows[i] for name, rows in said.items()})) for i, (_, face, _) in enumerate(flat)])
        return [[next(results) for _ in group] for group in faces]

    def _predict(
        self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]], flat: Sequence[tuple[ImageArray, Face, int]]
    ) -> dict[str, list[Answer]]:
        """Card name -> an answer for each face."""
        cutter = _Cutter(images, faces, flat, self._landmarker, self.spec.landmarker)
        said: dict[str, list[Answer]] = {}
        both: dict[str, list[Answer]] = {}
        turned = {part.model for fusion in self._fusions.values() for part in fusion.card.part if part.flip}
        for name, model in self._leaves.items():
            views = cutter.views(model.card)
            answers = model.predict([*views, *map(align.mirror_view, views)] if name in turned else views)
            said[name] = answers[: len(views)]
            if name in turned:
                both[name] = [pool_views(pair) for pair in zip(said[name], answers[len(views) :], strict=True)]
        for name, fusion in self._fusions.items():
            said[name] = fusion.combine([both[part.model] if part.flip else said[part.model] for part in fusion.card.part])
        return said

    def _select(self, said: Mapping[str, Answer]) -> Answer:
        """Of what the models say of a face, what was asked."""
        out: dict[str, Categorical | Scalar] = {}
        for name in self.attributes:
            card = self._chosen.get(name)
            if card is None:
                emotion = self._chosen["emotion"]
                assert emotion is not None
                found: Answer = {"intensity": self._intensity(cast(Categorical, said[emotion.name]["emotion"]))}
            else:
                found = said[card.name]
            out |= {key: self._decided(key, found[key]) for key in ATTRIBUTES[name] if key in found}
        return out

    @cached_property
    def _rest(self) -> Categorical | None:
        """The emotion of the reference picture."""
        if self.reference is None:
            return None
        other = Analyzer(
            self.spec.with_options(select="largest", on_no_face="raise"), ("emotion",), {k: v for k, v in self.models.items() if k == "emotion"}
        )
        return cast(Categorical, other.analyze([self.reference], ["the reference picture"])[0][0].attributes["emotion"])

    def _intensity(self, emotion: Categorical) -> Scalar:
        return expressed(emotion) if self._rest is None else moved(emotion, self._rest)

    def _decided(self, key: str, item: Categorical | Scalar) -> Categorical | Scalar:
        if not isinstance(item, Categorical):
            return item
        if key == "liveness" and self._limit is not None:
            item = dataclasses.replace(item, label="real" if item.probabilities["real"] >= self._limit else "fake")
        if key == "emotion" and self.space is not None:
            item = to_space(item, self.space)
        return abstain(item, self.abstain) if self.abstain else item


class _Cutter:
    """Crops and landmarks of a batch of faces, each made once however many models ask for it."""

    def __init__(
        self,
        images: Sequence[ImageArray],
        faces: Sequence[Sequence[Face]],
        flat: Sequence[tuple[ImageArray, Face, int]],
        landmarker: Callable[[str], Landmarker],
        named: str = "",
    ) -> None:
        self._images, self._faces, self._flat, self._landmarker = images, faces, flat, landmarker
        self._named, self._named_scheme = named, scheme_of(cards.get(named, "landmark")) if named else ""
        self._crops: dict[tuple[int, str, Key], Crop] = {}
        self._pointed: dict[str, list[Face]] = {"": [face for _, face, _ in flat]}

    def _with_points(self, spec: InputSpec) -> tuple[str, list[Face]]:
        """The faces with the landmarks that an input needs, and the name of who gave them ("": the detector)."""
        accepted = (spec.scheme,) if spec.scheme else align.schemes(spec.crop)
        if all(not accepted or (face.landmarks is not None and face.landmarks.scheme in accepted) for _, face, _ in self._flat):
            return "", self._pointed[""]
        name = self._named if self._named_scheme in accepted else spec.landmarker or DEFAULTS.get(accepted[0], "")
        if not name:
            raise ConfigError(f"the crop {spec.crop!r} needs {accepted[0]} points, and no landmarker gives them")
        if name not in self._pointed:
            groups = ensure(self._images, self._faces, self._landmarker(name))
            self._pointed[name] = [face for group in groups for face in group]
        return name, self._pointed[name]

    def views(self, card: Card) -> list[View]:
        """One view for each face, with the crops that the card asks for."""
        columns: list[list[Crop]] = []
        faces = self._pointed[""]
        for position, spec in enumerate(card.input):
            source, pointed = self._with_points(spec)
            faces = pointed if position == 0 else faces
            if spec.crop != "points":
                columns.append([self._cut(index, source, face, spec) for index, face in enumerate(pointed)])
        crops = list(zip(*columns, strict=True)) if columns else [()] * len(self._flat)
        return [
            View(face, (picture.shape[0], picture.shape[1]), count, tuple(cut))
            for face, (picture, _, count), cut in zip(faces, self._flat, crops, strict=True)
        ]

    def _cut(self, index: int, source: str, face: Face, spec: InputSpec) -> Crop:
        picture = self._flat[index][0]
        if spec.crop == "image":
            return Crop(picture, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "image")
        key = (index, source, (spec.crop, spec.size, spec.border, spec.interpolation, spec.margin))
        if key not in self._crops:
            size = (spec.size[0], spec.size[1]) if spec.size else None
            self._crops[key] = align.crop(picture, face, spec.crop, size, spec.border, spec.interpolation, spec.margin)
        return self._crops[key]
