"""deepface's `analyze`: emotion, age, gender and race of the faces of a picture, under its labels and keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import assets, cards
from ..api import get_analyzer
from ..attributes import provides
from ..attributes.labels import SEVEN, to_space
from ..errors import AssetUnavailable, ConfigError, InputError
from ..types import Categorical, Scalar
from . import deepface_faces as faces
from . import warn_once

__all__ = ["ACTIONS", "analyze"]

ACTIONS = ("emotion", "age", "gender", "race")
GENDERS = {"Woman": "female", "Man": "male"}
RACES = ("asian", "indian", "black", "white", "middle eastern", "latino hispanic")
"""deepface's labels in its order."""


def analyze(
    img_path: Any,
    actions: Sequence[str] = ACTIONS,
    enforce_detection: bool = True,
    detector_backend: str = "opencv",
    align: bool = True,
    expand_percentage: int = 0,
    silent: bool = False,
    anti_spoofing: bool = False,
) -> list[Any]:
    """What the faces of a picture show: emotion and dominant_emotion, region, face_confidence, age, gender and dominant_gender, race and dominant_race.

    Distributions are in percent, age is a whole number. The models are faceworks' own (`faceworks models list --task attribute`), so values differ from
    deepface's; each cuts the crop that it was trained on, whatever `align` and `expand_percentage` say. A list of pictures (or a 4-D array) gives a list
    of lists.

    Raises:
        InputError (a ValueError): an unknown action. NoFaceFound (a ValueError): no face, and `enforce_detection`.
        ConfigError, AssetUnavailable: no model of an action can be had (race has none in the package index that deserves trust).
    """
    del silent, align  # nothing is logged; a model's crop is its card's
    faces.check_options(expand_percentage, "base", anti_spoofing)
    wanted = (actions,) if isinstance(actions, str) else tuple(actions or ())
    if not wanted:
        raise InputError("actions must be a list of strings")
    if unknown := [name for name in wanted if name not in ACTIONS]:
        raise InputError(f"invalid action {unknown[0]!r}; known: {', '.join(ACTIONS)}")
    many = faces.pictures(img_path)
    if many is not None:
        return [analyze(item, wanted, enforce_detection, detector_backend, True, expand_percentage, True) for item in many]
    analyzer = get_analyzer(wanted, {"race": _race_model()} if "race" in wanted else None)
    picture = faces.read(img_path)
    found = faces.faces_of(picture, faces.name_of(img_path), detector_backend, enforce_detection)
    try:
        results = analyzer.analyze_faces([picture], [found])[0]
    except AssetUnavailable as error:
        raise AssetUnavailable(f"{error}; leave out the action whose model it is: actions={list(wanted)}", error.tried) from error
    answers = []
    for face, result in zip(found, results, strict=True):
        area = faces.area(face, picture.shape[:2], expand_percentage, detector_backend)
        entry: dict[str, Any] = {}
        for name in wanted:
            entry |= _WRITERS[name](result.attributes)
            entry |= (
                {} if "region" in entry else {"region": area, "face_confidence": round(face.score, 2)}
            )  # deepface writes them after the first action
        answers.append(entry)
    return answers


def _race_model() -> str:
    """A card that answers race; the ready one if there is one."""
    able = [name for name in cards.names("attribute") if "race" in provides(cards.get(name))]
    if not able:
        raise ConfigError("faceworks has no model of race that can be had; pass actions=['emotion', 'age', 'gender']")
    ready = [name for name in able if all(assets.locate(file) is not None for member in cards.members(cards.get(name)) for file in member.file)]
    chosen = (ready or able)[0]
    warn_once(f"race is answered by {chosen}, reliability {cards.get(chosen).reliability}: read `faceworks models show {chosen}` before you use it")
    return chosen


def _percent(shares: Mapping[str, float], labels: Mapping[str, str]) -> dict[str, float]:
    """deepface's label -> percent, over its labels alone; a label that the model does not have gets 0."""
    total = sum(shares.get(ours, 0.0) for ours in labels.values()) or 1.0
    return {theirs: 100.0 * shares.get(ours, 0.0) / total for theirs, ours in labels.items()}


def _distribution(name: str, shares: Mapping[str, float]) -> dict[str, Any]:
    return {name: dict(shares), f"dominant_{name}": max(shares, key=lambda label: shares[label])}


def _categorical(attributes: Mapping[str, Categorical | Scalar], name: str) -> Categorical:
    item = attributes.get(name)
    if not isinstance(item, Categorical):
        raise ConfigError(f"the model of {name} gives no distribution; choose a card that does")
    return item


def _emotion(attributes: Mapping[str, Categorical | Scalar]) -> dict[str, Any]:
    shares = to_space(_categorical(attributes, "emotion"), SEVEN, "renormalize").probabilities
    return _distribution("emotion", _percent(shares, {label: label for label in SEVEN}))


def _age(attributes: Mapping[str, Categorical | Scalar]) -> dict[str, Any]:
    item = attributes.get("age")
    if not isinstance(item, Scalar):
        raise ConfigError("the model of age gives bands, not years; choose a card that gives years")
    return {"age": int(item.value)}


def _gender(attributes: Mapping[str, Categorical | Scalar]) -> dict[str, Any]:
    return _distribution("gender", _percent(_categorical(attributes, "gender").probabilities, GENDERS))


def _race(attributes: Mapping[str, Categorical | Scalar]) -> dict[str, Any]:
    shares = {label.lower().replace("_", " "): value for label, value in _categorical(attributes, "race").probabilities.items()}
    return _distribution("race", _percent(shares, {label: label for label in RACES}))


_WRITERS = {"emotion": _emotion, "age": _age, "gender": _gender, "race": _race}
