"""Label spaces: no probability is lost in a map, and Korean words are read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from faceworks.attributes.labels import EIGHT, SEVEN, SIX, SPACES, canonical, expressed, moved, to_space
from faceworks.errors import InputError
from faceworks.types import Categorical


def distribution(labels: tuple[str, ...], values: list[float]) -> Categorical:
    shares = np.array(values[: len(labels)]) / sum(values[: len(labels)])
    return Categorical(labels[int(shares.argmax())], dict(zip(labels, shares, strict=True)), "m")


numbers = st.lists(st.floats(0.01, 1.0), min_size=8, max_size=8)


def test_the_spaces_are_the_published_ones() -> None:
    assert SEVEN == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # FER2013's codes 0..6
    assert EIGHT == ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")  # AffectNet's codes 0..7
    assert set(SEVEN) - set(SIX) == {"fear"}
    assert set(EIGHT) - set(SEVEN) == {"contempt"}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of the law
@given(numbers, st.sampled_from(sorted(SPACES)), st.sampled_from(sorted(SPACES)))
def test_a_map_keeps_every_probability(values: list[float], source: str, target: str) -> None:
    before = distribution(SPACES[source], values)
    after = to_space(before, target)
    for label, value in after.probabilities.items():
        if label != "other":
            assert value == pytest.approx(before.probabilities.get(label, 0.0))
    lost = sum(value for label, value in before.probabilities.items() if label not in SPACES[target])
    assert after.probabilities.get("other", 0.0) == pytest.approx(lost)
    assert ("other" in after.probabilities) == (lost > 0)


def test_fear_is_never_dropped_in_silence() -> None:
    afraid = Categorical("fear", {"fear": 0.9, "happy": 0.1, "neutral": 0.0})
    assert to_space(afraid, "six").label == "other"
    assert to_space(afraid, "six").probabilities["other"] == pytest.approx(0.9)
    assert to_space(afraid, "six", "renormalize").probabilities["happy"] == pytest.approx(1.0)
    assert to_space(afraid, "six", "surprise").label == "surprise"
    with pytest.raises(InputError, match="cannot be renormalized"):
        to_space(Categorical("fear", {"fear": 1.0}), "six", "renormalize")
    with pytest.raises(InputError, match="rest must be"):
        to_space(afraid, "six", "fear")
    with pytest.raises(InputError, match="unknown label space"):
        to_space(afraid, "nine")


@pytest.mark.parametrize(
    ("word", "name"), [("Anger", "angry"), ("화남", "angry"), ("역겨움", "disgust"), ("두려움", "fear"), ("행복함", "happy"), ("슬픔", "sad"),
                       ("놀람", "surprise"), ("평범함", "neutral"), ("Happiness ", "happy"), ("surprised", "surprise"), ("경멸", "contempt")],
)  # fmt: skip
def test_words(word: str, name: str) -> None:
    assert canonical(word) == name


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(InputError, match="unknown emotion 'hungry'"):
        canonical("hungry")


def test_expressed_is_one_minus_neutral() -> None:
    assert expressed(Categorical("happy", {"happy": 0.7, "neutral": 0.3})).value == pytest.approx(0.7)
    with pytest.raises(InputError, match="no label neutral"):
        expressed(Categorical("happy", {"happy": 0.7, "sad": 0.3}))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of the law
@given(numbers, numbers)
def test_moved_is_the_jensen_shannon_distance(a: list[float], b: list[float]) -> None:
    left, right = distribution(SEVEN, a), distribution(SEVEN, b)
    want = jensenshannon(list(left.probabilities.values()), list(right.probabilities.values()), base=2)
    assert moved(left, right).value == pytest.approx(want, abs=1e-7)
    assert moved(left, left).value == pytest.approx(0.0, abs=1e-7)


def test_moved_needs_one_space() -> None:
    with pytest.raises(InputError, match="same labels"):
        moved(distribution(SEVEN, [1.0] * 8), distribution(EIGHT, [1.0] * 8))
    assert moved(Categorical("happy", {"happy": 1.0, "sad": 0.0}), Categorical("sad", {"happiness": 0.0, "슬픔": 1.0})).value == pytest.approx(1.0)
