"""Emotion label spaces, the maps between them, and how strongly an expression shows.

Three spaces are in use: the six of the study (no fear), the seven of FER2013, the eight of AffectNet. A map never drops a label in silence: what the
smaller space does not have stays as its own probability under "other", unless the caller says what shall become of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import InputError
from ..types import Categorical, Scalar

__all__ = ["EIGHT", "OTHER", "SEVEN", "SIX", "SPACES", "canonical", "expressed", "moved", "to_space"]

SIX = ("angry", "sad", "happy", "disgust", "surprise", "neutral")
"""The study's six targets."""
SEVEN = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER2013, in the order of its codes 0..6."""
EIGHT = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
"""AffectNet, in the order of its codes 0..7."""
SPACES: Mapping[str, tuple[str, ...]] = {"six": SIX, "seven": SEVEN, "eight": EIGHT}
OTHER = "other"
"""The probability of what a space has no label for."""

_WORDS = {
    "angry": "anger mad 화남 분노 화 성남 노여움",
    "disgust": "disgusted 역겨움 혐오 싫음",
    "fear": "afraid fearful scared 두려움 공포 불안 무서움",
    "happy": "happiness joy joyful 행복 행복함 기쁨 즐거움",
    "sad": "sadness unhappy 슬픔 슬픔함 우울",
    "surprise": "surprised astonished 놀람 놀라움 당황",
    "neutral": "calm none 평범 평범함 무표정 중립 보통",
    "contempt": "contemptuous scorn 경멸 멸시",
    OTHER: "others unknown 기타",
}
_CANONICAL = {word: name for name, words in _WORDS.items() for word in (name, *words.split())}


def canonical(label: str) -> str:
    """The name used here for an emotion written in English or Korean ("Anger", "분노" -> "angry").

    Raises:
        InputError: an unknown word.
    """
    name = _CANONICAL.get(str(label).strip().lower())
    if name is None:
        raise InputError(f"unknown emotion {label!r}; known: {', '.join(_CANONICAL)}")
    return name


def to_space(emotion: Categorical, space: str | Sequence[str], rest: str = OTHER) -> Categorical:
    """The distribution over another label space.

    A label that the model has and the space lacks goes to `rest`: "other" (default) keeps its probability under that name; "renormalize" conditions on
    the labels of the space (the answer to: which of these, if it is one of these); a label of the space takes it ("disgust" for contempt, say). A label
    that the space has and the model lacks gets probability 0: the model cannot say it.

    Args:
        space: "six", "seven", "eight", or labels.

    Raises:
        InputError: unknown label or space, or nothing is left to renormalize.
    """
    if isinstance(space, str) and space not in SPACES:
        raise InputError(f"unknown label space {space!r}; known: {', '.join(SPACES)}")
    labels = tuple(canonical(item) for item in (SPACES[space] if isinstance(space, str) else space))
    if rest not in (OTHER, "renormalize", *labels):
        raise InputError(f"rest must be 'other', 'renormalize' or a label of the space ({', '.join(labels)}), got {rest!r}")
    shares = dict.fromkeys(labels, 0.0)
    outside = 0.0
    for word, value in emotion.probabilities.items():
        name = canonical(word)
        if name in shares:
            shares[name] += value
        else:
            outside += value
    if rest == "renormalize":
        total = sum(shares.values())
        if total <= 0:
            raise InputError(f"no probability lies in the space {', '.join(labels)}: it cannot be renormalized")
        shares = {name: value / total for name, value in shares.items()}
    elif outside > 0 or (rest == OTHER and OTHER in shares):
        shares[rest] = shares.get(rest, 0.0) + outside
    return Categorical(max(shares, key=lambda name: shares[name]), shares, emotion.model)


def expressed(emotion: Categorical) -> Scalar:
    """How surely anything but a neutral face is shown: 1 − P(neutral), in [0, 1].

    It is the model's belief that there is an expression, not the strength of a muscle: a network that is sure of a faint smile says 1.

    Raises:
        InputError: the model has no label "neutral".
    """
    shares = {canonical(word): value for word, value in emotion.probabilities.items()}
    if "neutral" not in shares:
        raise InputError(f"{emotion.model or 'this model'} has no label neutral, so that 1 − P(neutral) has no meaning")
    return Scalar(float(np.clip(1.0 - shares["neutral"], 0.0, 1.0)), "1", (0.0, 1.0), None, emotion.model)


def moved(emotion: Categorical, reference: Categorical) -> Scalar:
    """How far a face moved from a reference face of the same person: the Jensen–Shannon distance (base 2) of the two distributions, 0 same to 1 disjoint.

    It takes out what the model reads into the resting face. Endres and Schindelin, IEEE Trans. Information Theory 49 (2003): the root is a metric.

    Raises:
        InputError: the two have different labels.
    """
    p, q = ({canonical(word): value for word, value in item.probabilities.items()} for item in (emotion, reference))
    if set(p) != set(q):
        raise InputError(
            f"two distributions over the same labels are needed, got {', '.join(p)} and {', '.join(q)}; bring them to one space (to_space)"
        )
    a, b = (np.array([item[name] for name in p]) for item in (p, q))
    middle = (a + b) / 2

    def divergence(x: np.ndarray) -> float:
        inside = x > 0
        return float((x[inside] * np.log2(x[inside] / middle[inside])).sum())

    squared = (divergence(a) + divergence(b)) / 2
    return Scalar(float(np.sqrt(np.clip(squared, 0.0, 1.0))), "1", (0.0, 1.0), None, emotion.model)
