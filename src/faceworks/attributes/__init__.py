"""What a face shows besides who it is: emotion, valence and arousal, age, gender, race, liveness, pose and quality, as distributions with a source.

A *leaf* model eats views of faces (`onnx.py`, `points.py`, `measures.py`); a *fusion* (a card with `[[part]]`) eats what leaf models said (`pool.py`,
`affect.py`), so that no network runs twice on one face. `faceworks.analysis` cuts the views and puts the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .. import assets, cards, plugins
from ..cards import Card
from ..errors import CardError, ConfigError, LicenseRefused
from ..runtime import SessionOptions
from ..types import Categorical, Scalar, View

__all__ = ["ADAPTERS", "ATTRIBUTES", "PREFERRED", "Answer", "AttributeModel", "Fusion", "choose", "load_attribute_model", "provides"]

Answer = Mapping[str, Categorical | Scalar]
"""Attribute -> what a model says of one face."""

ADAPTERS = {
    "affect": "faceworks.attributes.affect:Affect",
    "measures": "faceworks.attributes.measures:Measures",
    "onnx": "faceworks.attributes.onnx:OnnxAttributes",
    "points": "faceworks.attributes.points:PoseOfPoints",
    "pool": "faceworks.attributes.pool:Pool",
}

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "emotion": ("emotion",),
    "intensity": ("intensity",),
    "valence": ("valence",),
    "arousal": ("arousal",),
    "age": ("age", "age_band"),
    "gender": ("gender",),
    "race": ("race",),
    "liveness": ("liveness",),
    "pose": ("yaw", "pitch", "roll"),
    "quality": ("quality",),
}
"""What can be asked for -> the keys of a `FaceResult` that answer it (those of them that the model has)."""

PREFERRED: Mapping[str, tuple[str, ...]] = {
    "emotion": ("emotion-pool",),
    "valence": ("emonet-8", "emonet-5", "affect-from-emotion"),
    "arousal": ("emonet-8", "emonet-5", "affect-from-emotion"),
    "age": ("age-pool",),
    "gender": ("gender-pool",),
    "liveness": ("minifasnet-v2-v1se",),
    "pose": ("pose-five-points",),
    "quality": ("quality-measures",),
}
"""The models of an attribute that are taken where none is named: the first whose files are here and whose license the policy allows, else the last."""


class AttributeModel(Protocol):
    """A leaf model keeps no mutable state and may be shared by threads."""

    card: Card

    def predict(self, views: Sequence[View]) -> list[Answer]:
        """One answer for each view; the view's crops are those of the card's `[[input]]` entries, in their order."""
        ...


class Fusion(Protocol):
    """A model over what other models said."""

    card: Card

    def combine(self, answers: Sequence[Sequence[Answer]]) -> list[Answer]:
        """`answers[k][i]` is what the card's k-th part said of face i; one answer for each face."""
        ...


def load_attribute_model(name: str, options: SessionOptions | None = None) -> AttributeModel | Fusion:
    """Load the attribute model whose card is called `name`.

    Raises:
        UnknownModel, LicenseRefused, AssetUnavailable, DeviceUnavailable.
    """
    card = cards.get(name, "attribute")
    cards.check_license(card)
    model: AttributeModel | Fusion = plugins.load_adapter("attribute", card.adapter, ADAPTERS)(card, options or SessionOptions())
    return model


def provides(card: Card) -> tuple[str, ...]:
    """The attributes that a card's outputs answer, without repetition."""
    return tuple(dict.fromkeys(item.attribute or item.name for item in card.output))


def _usable(name: str) -> bool:
    """Whether a model's files are on this machine and the license policy allows it."""
    card = cards.get(name, "attribute")
    try:
        cards.check_license(card)
    except LicenseRefused:
        return False
    return all(assets.locate(file) is not None for member in cards.members(card) for file in member.file)


def choose(attribute: str, named: str | None = None) -> Card | None:
    """The card that answers an attribute: the named one, else the first of `PREFERRED` that is ready, else the last of them; None for "intensity", which
    follows from the emotion.

    Raises:
        ConfigError: no such attribute, or no model of it is taken unless it is named.
        UnknownModel: no card of that name.
        CardError: the named model does not answer the attribute.
    """
    if attribute not in ATTRIBUTES:
        raise ConfigError(f"unknown attribute {attribute!r}; known: {', '.join(ATTRIBUTES)}")
    if attribute == "intensity" and named is None:
        return None
    if named is None:
        preferred = PREFERRED.get(attribute, ())
        if not preferred:
            able = [name for name in cards.names("attribute") if set(ATTRIBUTES[attribute]) & set(provides(cards.get(name)))]
            raise ConfigError(
                f"no model of {attribute} is good enough to be taken unasked; name one: {attribute}=NAME among the models, NAME of {', '.join(able)}"
            )
        named = next((name for name in preferred if _usable(name)), preferred[-1])
    card = cards.get(named, "attribute")
    if not set(ATTRIBUTES[attribute]) & set(provides(card)):
        raise CardError(f"{named} does not answer {attribute!r}; it answers {', '.join(provides(card))}")
    return card
