"""Outputs to distributions and values, and pools of several models."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit
from scipy.special import softmax as scipy_softmax

from faceworks import cards
from faceworks.attributes.affect import Affect
from faceworks.attributes.heads import activated, average, results
from faceworks.attributes.pool import Pool, log_pool, pool_views
from faceworks.cards import OutputSpec
from faceworks.errors import CardError
from faceworks.runtime import SessionOptions
from faceworks.types import Categorical, Scalar


def output(kind: str, **values: object) -> OutputSpec:
    return dataclasses.replace(OutputSpec("x", "value", attribute="a"), kind=kind, **values)  # type: ignore[arg-type]


def test_classes_by_softmax() -> None:
    raw = np.array([[1.0, 2.0, 4.0], [700.0, 0.0, -700.0]], np.float32)
    spec = output("classes", labels=("a", "b", "c"), activation="softmax")
    found = results(activated(raw, spec, "card"), spec, "card")
    for row, item in zip(raw, found, strict=True):
        assert isinstance(item, Categorical)
        np.testing.assert_allclose(list(item.probabilities.values()), scipy_softmax(row.astype(np.float64)), atol=1e-12)
    assert [item.label for item in found if isinstance(item, Categorical)] == ["c", "a"]


def test_equal_labels_are_added() -> None:
    spec = output("classes", labels=("fake", "real", "fake"))
    (item,) = results(activated(np.array([[0.3, 0.4, 0.3]], np.float32), spec, "card"), spec, "card")
    assert isinstance(item, Categorical)
    assert item.probabilities == pytest.approx({"fake": 0.6, "real": 0.4})
    assert item.label == "fake"


def test_one_number_is_the_second_label() -> None:
    spec = output("classes", labels=("female", "male"), activation="sigmoid")
    (item,) = results(activated(np.array([[1.5]], np.float32), spec, "card"), spec, "card")
    assert isinstance(item, Categorical)
    assert item.probabilities["male"] == pytest.approx(expit(1.5))


def test_an_expectation_has_the_spread_of_its_distribution() -> None:
    spec = output("expectation", weights=(10.0, 20.0, 40.0), unit="years", range=(0.0, 80.0))
    (item,) = results(activated(np.array([[0.5, 0.25, 0.25]], np.float32), spec, "card"), spec, "card")
    assert isinstance(item, Scalar)
    assert (item.value, item.unit, item.range) == (pytest.approx(20.0), "years", (0.0, 80.0))
    assert item.spread == pytest.approx(np.sqrt(0.5 * 100 + 0.25 * 0 + 0.25 * 400))


def test_columns_and_range_of_a_value() -> None:
    spec = output("value", columns=(1, 2), scale=100.0, offset=-1.0, range=(0.0, 90.0))
    raw = np.array([[9.0, 0.5, 9.0], [9.0, 2.0, 9.0]], np.float32)
    assert activated(raw, spec, "card").tolist() == [[49.0], [90.0]]
    with pytest.raises(CardError, match="columns"):
        activated(raw, output("value"), "card")
    with pytest.raises(CardError, match="gives 3 numbers, the card has 2"):
        activated(raw, output("classes", labels=("a", "b")), "card")


def test_average_is_the_mean_of_probabilities() -> None:
    assert average([np.array([[0.2, 0.8]]), np.array([[0.6, 0.4]])]).tolist() == [[pytest.approx(0.4), pytest.approx(0.6)]]


def test_log_pool_by_hand() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.1, 0.8])
    want = p**0.7 * q**1.2
    np.testing.assert_allclose(log_pool([p, q], [0.7, 1.2]), want / want.sum(), rtol=1e-12)
    np.testing.assert_allclose(log_pool([p], [1.0]), p, rtol=1e-12)
    assert log_pool([np.array([1.0, 0.0]), np.array([0.0, 1.0])], [1.0, 1.0]).tolist() == [0.5, 0.5]  # nobody can forbid a label alone
    want = p**0.7 * np.exp([0.5, 0.0, -1.0])
    np.testing.assert_allclose(log_pool([p], [0.7], [0.5, 0.0, -1.0]), want / want.sum(), rtol=1e-12)


def test_what_is_said_of_two_views_is_their_geometric_mean_or_mean() -> None:
    one = {"mood": Categorical("a", {"a": 0.8, "b": 0.2}, "m"), "age": Scalar(30.0, "years", (0.0, 100.0), 3.0, "m")}
    other = {"mood": Categorical("b", {"a": 0.2, "b": 0.8}, "m"), "age": Scalar(40.0, "years", (0.0, 100.0), 3.0, "m")}
    said = pool_views([one, other])
    assert isinstance(said["mood"], Categorical)
    assert isinstance(said["age"], Scalar)
    assert said["mood"].probabilities == pytest.approx({"a": 0.5, "b": 0.5})
    assert (said["age"].value, said["age"].unit, said["age"].model) == (35.0, "years", "m")
    same = pool_views([one, one])["mood"]
    assert isinstance(same, Categorical)
    assert same.probabilities == pytest.approx({"a": 0.8, "b": 0.2})


def test_an_offset_has_a_number_for_each_label() -> None:
    card, affect = (cards.get(name, "attribute") for name in ("emotion-pool", "affect-from-emotion"))
    with pytest.raises(CardError, match="2 numbers"):
        Pool(dataclasses.replace(card, decode={"offset": [0.1, 0.2]}), SessionOptions())
    with pytest.raises(CardError, match="1 offsets for 7"):
        Affect(dataclasses.replace(affect, decode={**affect.decode, "offset": [0.1]}), SessionOptions())


def test_valence_reads_the_emotions_of_the_pool() -> None:
    pool, affect = (cards.get(name, "attribute") for name in ("emotion-pool", "affect-from-emotion"))
    assert affect.part == pool.part, "the same networks, each run once"
    mine, theirs = (
        dict(zip(labels, card.decode["offset"], strict=True)) for labels, card in ((pool.output[0].labels, pool), (affect.decode["emotions"], affect))
    )
    assert mine == theirs


def test_affect_is_the_mean_place_under_the_distribution() -> None:
    card = cards.get("affect-from-emotion", "attribute")
    assert card.reliability == "low"
    model = Affect(card, SessionOptions())
    places = dict(zip(card.decode["emotions"], zip(card.decode["valence"], card.decode["arousal"], strict=True), strict=True))
    for name, (valence, arousal) in places.items():
        shares = {label: float(label == name) for label in places}
        said = model.project(Categorical(name, shares))
        assert isinstance(said["valence"], Scalar)
        assert isinstance(said["arousal"], Scalar)
        assert (said["valence"].value, said["arousal"].value) == (pytest.approx(valence, abs=1e-5), pytest.approx(arousal, abs=1e-5))
        assert said["valence"].spread == pytest.approx(0.0, abs=1e-2)
    half = {label: {"happy": 0.5, "sad": 0.5}.get(label, 0.0) for label in places}
    said = model.project(Categorical("happy", half))["valence"]
    assert isinstance(said, Scalar)
    assert said.value == pytest.approx((0.81 - 0.63) / 2)
    assert said.spread == pytest.approx((0.81 + 0.63) / 2)


def test_a_pool_of_numbers_adds_disagreement_to_the_spread() -> None:
    card = cards.get("affect-from-emotion", "attribute")
    two = dataclasses.replace(
        card,
        adapter="pool",
        decode={},
        part=(cards.Part("a", 3.0), cards.Part("b", 1.0)),
        output=(OutputSpec("age", "value", attribute="age", range=(0.0, 80.0)),),
    )
    rows = [[{"age": Scalar(20.0, "years", (0.0, 80.0), 2.0)}], [{"age": Scalar(40.0, "years", (0.0, 80.0), 4.0)}]]
    (said,) = Pool(two, SessionOptions()).combine(rows)
    assert isinstance(said["age"], Scalar)
    assert said["age"].value == pytest.approx(25.0)
    assert said["age"].spread == pytest.approx(np.sqrt(0.75 * (4 + 25) + 0.25 * (16 + 225)))
