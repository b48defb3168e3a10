"""`analyze`: one detection, one crop, one run of each network; every answer a distribution with a source."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import pytest

import faceworks
from faceworks import align, analysis, cards, pipeline
from faceworks.analysis import Analyzer
from faceworks.attributes import ATTRIBUTES, PREFERRED, provides
from faceworks.errors import CardError, ConfigError, InputError, UnknownModel
from faceworks.pipeline import PipelineSpec
from faceworks.runtime import Session
from faceworks.types import Categorical, Face, Scalar

pytestmark = pytest.mark.assets
ALL = ("emotion", "intensity", "valence", "arousal", "age", "gender", "quality")


def test_every_answer_has_its_shape(pictures: Mapping[str, np.ndarray]) -> None:
    found = faceworks.analyze(list(pictures.values()), ALL)
    assert [len(faces) for faces in found] == [1] * 6
    for faces in found:
        said = faces[0].attributes
        assert set(said) == set(ALL)
        for name, item in said.items():
            assert item.model, name
            if isinstance(item, Categorical):
                assert sum(item.probabilities.values()) == pytest.approx(1.0)
                assert item.label == max(item.probabilities, key=lambda label: item.probabilities[label])
                assert 0.0 <= item.entropy <= np.log(len(item.probabilities)) + 1e-9
            else:
                assert item.range[0] <= item.value <= item.range[1]
        assert isinstance(said["age"], Scalar)
        assert 25 < said["age"].value < 65
    genders = {name: faces[0].attributes["gender"] for name, faces in zip(pictures, found, strict=True)}
    assert {name: item.label for name, item in genders.items() if isinstance(item, Categorical)} == {
        name: "female" if name.startswith("person_b") else "male" for name in pictures
    }


def test_a_batch_says_what_single_pictures_say(pictures: Mapping[str, np.ndarray], group: object) -> None:
    images = [*list(pictures.values())[:2], np.zeros((40, 40, 3), np.uint8), faceworks.load_image(str(group))]
    together = faceworks.analyze(images, ALL)
    assert len(together[2]) == 0
    assert len(together[3]) == 29
    for image, faces in zip(images, together, strict=True):
        for one, other in zip(faceworks.analyze(image, ALL), faces, strict=True):
            for name in one.attributes:
                left, right = one.attributes[name], other.attributes[name]
                if isinstance(left, Categorical):
                    assert isinstance(right, Categorical)
                    np.testing.assert_allclose(list(left.probabilities.values()), list(right.probabilities.values()), atol=1e-4)
                else:
                    assert isinstance(left, Scalar)
                    assert isinstance(right, Scalar)
                    assert left.value == pytest.approx(right.value, abs=1e-2)


def test_each_network_and_each_crop_is_run_once(pictures: Mapping[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    analyzer = Analyzer(attributes=("emotion", "valence", "arousal", "intensity", "age"))
    images = list(pictures.values())[:3]
    analyzer.analyze(images)
    runs: list[int] = []
    cuts: list[tuple[str, object]] = []
    run, crop = Session.run, align.crop

    def counted(self: Session, blob: object, outputs: object = None) -> object:
        runs.append(len(blob))  # type: ignore[arg-type]
        return run(self, blob, outputs)  # type: ignore[arg-type]

    def noted(picture: object, face: object, template: str, *rest: object) -> object:
        cuts.append((template, rest[0]))
        return crop(picture, face, template, *rest)  # type: ignore[arg-type]

    faces = analyzer.pipeline.find(images)
    monkeypatch.setattr(Session, "run", counted)
    monkeypatch.setattr(align, "crop", noted)
    analyzer.analyze_faces(images, faces)
    turned = {part.model for part in cards.get("emotion-pool").part if part.flip}
    wanted = [6 if name in turned else 3 for name in analyzer._leaves]
    assert runs == wanted, "one batch a network, though three attributes build on the emotion; the pool asks its parts of mirror images too"
    assert len(cuts) == len(set(cuts)) * 3


def test_points_are_looked_for_only_where_an_answer_needs_them(pictures: Mapping[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    load = analysis.load_landmarker
    monkeypatch.setattr(analysis, "load_landmarker", lambda name, options: asked.append(name) or load(name, options))  # type: ignore[func-returns-value]
    monkeypatch.setattr(pipeline, "load_landmarker", lambda name, options: pytest.fail("the embedder's points are nobody's business here"))
    picture = pictures["person_a_1"]
    whole = PipelineSpec(detector="whole", select="all", on_no_face="empty", threads=1)
    (face,) = Analyzer(whole, ("emotion",)).analyze([picture])[0]
    assert asked == []
    assert face.face.landmarks is None
    (face,) = Analyzer(whole, ("pose",)).analyze([picture])[0]
    assert asked == ["mtcnn-onet"]
    assert "yaw" in face.attributes
    Analyzer(whole.with_options(landmarker="yunet-points"), ("pose",)).analyze([picture])
    assert asked == ["mtcnn-onet", "yunet-points"]


def test_a_pool_that_asks_both_ways_says_the_same_of_a_mirror_image(pictures: Mapping[str, np.ndarray]) -> None:
    picture = pictures["person_b_1"]
    analyzer = Analyzer(attributes=("emotion",), models={"emotion": "emotion-pool-mirrored"})
    (face,) = analyzer.pipeline.find([picture])[0]
    x1, y1, x2, y2 = face.box
    box = np.array([picture.shape[1] - 1 - x2, y1, picture.shape[1] - 1 - x1, y2], np.float32)
    turned = Face(box, face.score, None, face.detector)
    plain = Face(face.box, face.score, None, face.detector)
    one = analyzer.analyze_faces([picture], [[plain]])[0][0].attributes["emotion"]
    other = analyzer.analyze_faces([np.ascontiguousarray(picture[:, ::-1])], [[turned]])[0][0].attributes["emotion"]
    assert isinstance(one, Categorical)
    assert isinstance(other, Categorical)
    np.testing.assert_allclose(list(one.probabilities.values()), list(other.probabilities.values()), atol=0.02)
    alone = (
        Analyzer(attributes=("emotion",), models={"emotion": "emotion-mini-xception"}).analyze_faces([picture], [[plain]])[0][0].attributes["emotion"]
    )
    assert isinstance(alone, Categorical)
    assert alone.model == "emotion-mini-xception"


def test_abstaining(pictures: Mapping[str, np.ndarray]) -> None:
    picture = pictures["person_a_1"]
    sure = faceworks.analyze(picture, "gender")[0].attributes["gender"]
    unsure = faceworks.analyze(picture, "gender", abstain=1.0)[0].attributes["gender"]
    assert isinstance(sure, Categorical)
    assert isinstance(unsure, Categorical)
    assert (sure.label, unsure.label) == ("male", "unsure")
    assert sure.probabilities == unsure.probabilities


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown attribute 'mood'"):
        Analyzer(attributes=("mood",))
    with pytest.raises(ConfigError, match="name at least one attribute"):
        Analyzer(attributes=())
    with pytest.raises(ConfigError, match="a model is named for 'mood'"):
        Analyzer(models={"mood": "emonet-8"})
    with pytest.raises(UnknownModel, match="emonet"):
        Analyzer(attributes=("emotion",), models={"emotion": "emonet8"})
    with pytest.raises(CardError, match="does not answer 'age'"):
        Analyzer(attributes=("age",), models={"age": "gender-cydral"})
    with pytest.raises(ConfigError, match=r"\[0, 1\]"):
        Analyzer(abstain=2.0)


def test_an_analyzer_travels(pictures: Mapping[str, np.ndarray]) -> None:
    analyzer = Analyzer(PipelineSpec(select="largest", on_no_face="empty", threads=1), ("age",), abstain=0.5)
    other = copy.deepcopy(analyzer)
    assert (other.spec, other.attributes, other.models_used, other.abstain) == (analyzer.spec, ("age",), {"age": PREFERRED["age"][0]}, 0.5)


def test_every_preferred_model_answers_its_attribute() -> None:
    for attribute, names in PREFERRED.items():
        for name in names:
            card = cards.get(name, "attribute")
            assert set(ATTRIBUTES[attribute]) & set(provides(card))
        assert cards.commercial(cards.get(names[-1])), "the last resort may be used by everybody"


def test_spaces_and_the_distance_moved(pictures: Mapping[str, np.ndarray]) -> None:
    picture = pictures["person_b_1"]
    six = faceworks.analyze(picture, "emotion", space="six")[0].attributes["emotion"]
    assert isinstance(six, Categorical)
    assert set(six.probabilities) == {"angry", "sad", "happy", "disgust", "surprise", "neutral", "other"}
    same = faceworks.analyze(picture, ("emotion", "intensity"), reference=picture)[0].attributes["intensity"]
    other = faceworks.analyze(picture, ("emotion", "intensity"), reference=pictures["person_a_1"])[0].attributes["intensity"]
    assert isinstance(same, Scalar)
    assert isinstance(other, Scalar)
    assert same.value == pytest.approx(0.0, abs=1e-3)
    assert other.value > 0.3, "one smiles, the other does not"
    with pytest.raises(ConfigError, match="unknown label space"):
        faceworks.analyze(picture, "emotion", space="nine")


def test_verify_can_require_quality(pictures: Mapping[str, np.ndarray]) -> None:
    sharp, small = pictures["person_a_2"], np.ascontiguousarray(pictures["person_a_1"][::5, ::5])
    assert faceworks.verify(sharp, pictures["person_a_1"], min_quality=50).verified
    with pytest.raises(InputError, match=r"picture 2 has the quality \d+, below the 90 that is required: .*small"):
        faceworks.verify(sharp, small, min_quality=90, min_score=0.3)
