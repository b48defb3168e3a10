"""What `Gallery` promises about people, over the memory store; the stores themselves are compared in `test_conformance`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import faceworks
from faceworks import similarity
from faceworks.errors import ConfigError, DuplicateEntry, GalleryUnavailable, InputError, ModelMismatch, UnknownPerson
from faceworks.gallery import Gallery, names, open_gallery
from faceworks.gallery.identifying import Threshold, threshold_at_fpir
from faceworks.pipeline import PipelineSpec
from faceworks.types import Embedding, Face, FaceResult

MODEL = "toy@000000000000"
HOSTILE = [
    "a/b\\c", "..", ".", "../../etc/passwd", "'; DROP TABLE people; --", "😀👩‍👩‍👧", "김다현", "x" * 10_000, "%s %d {name}", "\N{RIGHT-TO-LEFT OVERRIDE}abc",
    '"quoted", comma', "tab\there", "line\nbreak", "Ａ", "NULL", "-1", "a" + "\u0301" * 50,
]  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gallery(clock: Clock) -> Gallery:
    return open_gallery("memory:", clock=clock)


def plane(*degrees: float) -> np.ndarray:
    """Unit vectors (N, 2) at angles, so that cosines can be checked by hand."""
    angle = np.deg2rad(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def face(vector: Any, model: str = MODEL) -> FaceResult:
    return FaceResult(Face(np.array([0, 0, 10, 10]), 0.9), Embedding(np.asarray(vector), None, model))


def test_people_are_found_by_their_nearest_sample(gallery: Gallery) -> None:
    gallery.enroll_vectors(["Ada", "Ada", "Bob"], plane(0, 40, 90), MODEL)
    found = gallery.identify_results([face(plane(50)[0]), face(plane(180)[0])], threshold=0.2)
    assert [item.person for item in found] == ["Ada", None]
    assert [match.person for match in found[0].candidates] == ["Ada", "Bob"]
    np.testing.assert_allclose([match.similarity for match in found[0].candidates], np.cos(np.deg2rad([10, 40])), atol=1e-6)
    assert found[0].candidates[0].probability is None, "no calibration, no probability"
    assert found[0].threshold == pytest.approx(0.8)


def test_the_slide_contradicts_itself(gallery: Gallery) -> None:
    """Distances .45 .51 .52 .51: the first person at the threshold 0.68, a stranger at 0.40; and equal vectors have distance 0."""
    angles = np.degrees(np.arccos(1 - np.array([0.45, 0.51, 0.52, 0.51])))
    people = ["Abdel_Nasser_Assidi", "Abdoulaye_Wade", "Abdullah", "Adam_Sandler"]
    gallery.enroll_vectors(people, plane(*(angles * [1, -1, 1, -1])), MODEL)
    query = face(plane(0)[0])
    assert gallery.identify_results([query], threshold=0.68)[0].person == people[0]
    assert gallery.identify_results([query], threshold=0.40)[0].person is None
    same = gallery.identify_results([face(plane(angles[0])[0])], threshold=0.0)[0]
    assert (same.person, same.candidates[0].similarity) == (people[0], 1.0)


def test_templates(gallery: Gallery) -> None:
    gallery.enroll_vectors(["Ada", "Ada", "Bob"], plane(0, 60, 100), MODEL, quality=[100, 1, 50])
    query = plane(30)
    assert gallery.look_up(query)[0][0][1] == pytest.approx(np.cos(np.pi / 6), abs=1e-6)
    assert gallery.look_up(query, template="mean")[0][0][1] == pytest.approx(1.0, abs=1e-6)
    mean = 100 * plane(0)[0] + plane(60)[0]
    assert gallery.look_up(query, template="weighted")[0][0][1] == pytest.approx(similarity.similarity(mean, query[0]), abs=1e-6)
    gallery.enroll_vectors(["Bob"], plane(30), MODEL)
    assert gallery.look_up(query, template="mean")[0][0][0] == gallery.person("Ada").id
    with pytest.raises(ConfigError, match="median"):
        gallery.look_up(query, template="median")  # type: ignore[arg-type]


def test_a_person_with_very_many_samples_does_not_hide_others(gallery: Gallery) -> None:
    gallery.enroll_vectors(["Ada"] * 5000 + ["Bob", "Cy"], np.concatenate([plane(*np.linspace(-5, 5, 5000)), plane(60, 90)]), MODEL)
    assert [gallery.backend.entries([id]).people[0].name for id, _, _ in gallery.look_up(plane(0), 3)[0]] == ["Ada", "Bob", "Cy"]


def test_names_may_repeat_and_an_ambiguous_one_lists_the_ids(gallery: Gallery) -> None:
    gallery.enroll_vectors(["Kim", "Bob"], plane(0, 90), MODEL)
    gallery.rename("Bob", "Kim")
    ids = [entry.person.id for entry in gallery.people()]
    for act in (gallery.person, gallery.remove, gallery.get, lambda name: gallery.rename(name, "x"), lambda name: gallery.known(None, name)):
        with pytest.raises(UnknownPerson, match="2 people") as caught:
            act("Kim")
        assert all(id in str(caught.value) for id in ids)
    assert gallery.person(ids[0]).name == "Kim"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(gallery: Gallery, tmp_path: Path, name: str) -> None:
    with open_gallery(tmp_path / "p.h5") as file:
        for store in (gallery, file):
            store.enroll_vectors([name, "other"], plane(0, 90), MODEL)
            assert store.get(name).person.name == names.clean_name(name)
    with open_gallery(tmp_path / "p.h5", "r+") as file:
        file.backend.compact()
        assert file.get(name).person.name == names.clean_name(name)
        assert file.remove(name) == 1
        assert [entry.person.name for entry in file.people()] == ["other"]
    assert {path.name for path in tmp_path.iterdir()} <= {"p.h5", "p.h5.log", "p.h5.lock"}


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "\ud800", "x" * 16_001])
def test_names_that_no_store_can_keep(gallery: Gallery, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        gallery.enroll_vectors([name], plane(0), MODEL)


@pytest.mark.parametrize(
    ("vectors", "why"), [([[0.0, 0.0]], "length zero"), ([[np.nan, 1.0]], "finite"), ([[np.inf, 1.0]], "finite"), ([1.0, 2.0], "N, D")]
)
def test_vectors_without_direction(gallery: Gallery, vectors: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        gallery.enroll_vectors(["Ada"], vectors, MODEL)
    assert len(gallery) == 0


def test_wrong_dimension_and_wrong_model(gallery: Gallery) -> None:
    gallery.enroll_vectors(["Ada"], plane(0), MODEL)
    with pytest.raises(InputError, match="2 numbers, got 3"):
        gallery.enroll_vectors(["Bob"], np.ones((1, 3)), MODEL)
    with pytest.raises(ModelMismatch, match="toy"):
        gallery.enroll_vectors(["Bob"], plane(1), "other@1")
    with pytest.raises(ModelMismatch, match="other@1"):
        gallery.identify_results([face(plane(0)[0], "other@1")], threshold=0.5)
    with pytest.raises(InputError, match="2 numbers, got 3"):
        gallery.look_up(np.ones((1, 3)))


def test_removal_can_be_undone_for_a_quarter_of_an_hour(gallery: Gallery, clock: Clock) -> None:
    gallery.enroll_vectors(["Ada", "Ada", "Bob"], plane(0, 10, 90), MODEL)
    assert gallery.remove("Ada") == 2
    assert [entry.person.name for entry in gallery.people()] == ["Bob"]
    assert gallery.identify_results([face(plane(0)[0])], threshold=0.5)[0].person is None
    with pytest.raises(UnknownPerson):
        gallery.person("Ada")
    clock.now += 14 * 60 * 1_000_000
    gallery.restore("Ada")
    assert gallery.identify_results([face(plane(0)[0])], threshold=0.5)[0].person == "Ada"
    gallery.remove("Ada")
    clock.now += 16 * 60 * 1_000_000
    with pytest.raises(UnknownPerson, match="15 minutes"):
        gallery.restore("Ada")
    assert gallery.purge() == 2
    assert len(gallery.backend) == 1
    assert not gallery.meant("Ada")


def test_one_sample_is_removed(gallery: Gallery) -> None:
    ids = gallery.enroll_vectors(["Ada", "Ada"], plane(0, 90), MODEL)
    assert gallery.remove("Ada", [ids[0]]) == 1
    assert gallery.get("Ada").samples.id.tolist() == [ids[1]]
    gallery.restore("Ada")
    assert len(gallery.get("Ada").samples) == 2
    with pytest.raises(UnknownPerson, match="no sample 5"):
        gallery.remove("Ada", [5])


def test_what_has_expired_is_not_found_and_is_purged(gallery: Gallery, clock: Clock) -> None:
    gallery.enroll_vectors(["Ada", "Bob"], plane(0, 90), MODEL, expires=[clock.now + 10, 0])
    query = [face(plane(0)[0])]
    for template in ("best", "mean"):
        assert gallery.identify_results(query, threshold=0.5, template=template)[0].person == "Ada"
    clock.now += 10
    for template in ("best", "mean"):
        assert gallery.identify_results(query, threshold=0.5, template=template)[0].person is None
    assert gallery.purge() == 1
    assert [entry.person.name for entry in gallery.people()] == ["Bob"]


def test_rename_merge_describe_clear(gallery: Gallery) -> None:
    gallery.enroll_vectors(["Ada", "Augusta", "Bob"], plane(0, 10, 90), MODEL)
    gallery.describe("Ada", {"Department": "engines"})
    gallery.describe("Augusta", {"Department": "sums", "Title": "Countess"})
    merged = gallery.merge("Ada", "Augusta")
    assert dict(merged.metadata) == {"Department": "engines", "Title": "Countess"}
    assert len(gallery.get("Ada").samples) == 2
    assert len(gallery) == 2
    with pytest.raises(InputError, match="same person"):
        gallery.merge("Ada", "Ada")
    with pytest.raises(InputError, match="JSON"):
        gallery.describe("Ada", {"x": {1, 2}})
    assert gallery.clear() == 3
    assert (len(gallery), gallery.binding.model) == (0, MODEL)


def test_verify_person_compares_with_that_person_alone(gallery: Gallery) -> None:
    gallery.enroll_vectors(["Ada", "Bob"], plane(0, 90), MODEL)
    id = gallery.person("Bob").id
    for degrees, said in ((80, "Bob"), (0, None)):
        answer = gallery.identify_results([face(plane(degrees)[0])], threshold=0.5, only=id)[0]
        assert (answer.person, len(answer.candidates)) == (said, 1)


class Known:
    def probability(self, similarity: float) -> float:
        return (1 + similarity) / 2

    def threshold_at(self, fmr: float) -> float:
        return 1 - fmr


def test_a_threshold_at_a_requested_fpir_needs_a_calibration(gallery: Gallery) -> None:
    with pytest.raises(ConfigError, match="calibration"):
        gallery.threshold(fpir=0.01)
    limit = threshold_at_fpir(Known(), 0.1, 100)
    fmr = 1 - limit.similarity
    assert 1 - (1 - fmr) ** 100 == pytest.approx(0.1)
    gallery.enroll_vectors(["Ada"], plane(0), MODEL)
    gallery.calibration = Known()
    answer = gallery.identify_results([face(plane(60)[0])], fpir=0.5)[0]
    assert answer.candidates[0].probability == pytest.approx(0.75)
    assert "FPIR 0.5" in answer.threshold_source
    with pytest.raises(ConfigError, match="between 0 and 1"):
        gallery.threshold(fpir=1.0)


def test_who_cannot_be_found_does_not_count_for_the_fpir(gallery: Gallery, clock: Clock) -> None:
    gallery.calibration = Known()
    gallery.enroll_vectors(["Ada", "Bob", "Cyd"], plane(0, 90, 180), MODEL, expires=[0, 0, clock.now + 10])

    def among() -> int:
        found = gallery.threshold(fpir=0.1)
        count = round(np.log1p(-0.1) / np.log(found.similarity))
        assert f"among {count} people" in found.source
        return count

    assert among() == 3
    gallery.remove("Ada")
    assert among() == 2
    clock.now += 10
    assert among() == 1, "expired without anybody writing"
    gallery.restore("Ada")
    assert among() == 2


def test_thresholds_of_other_metrics_mean_the_same() -> None:
    for metric in ("cosine", "euclidean_l2", "angular"):
        distance = similarity.from_cosine(0.4, metric)
        assert Threshold.from_distance(distance, metric, "").similarity == pytest.approx(0.4)
    with pytest.raises(ConfigError, match="euclidean"):
        Threshold.from_distance(1.0, "euclidean", "")


def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    for mode in ("r", "r+"):
        with pytest.raises(GalleryUnavailable, match="no gallery"):
            open_gallery(path, mode)
    with pytest.raises(ConfigError, match="clear"):
        open_gallery(path, "w")  # type: ignore[arg-type]
    open_gallery(path, "x").close()
    with pytest.raises(DuplicateEntry, match="exists"):
        open_gallery(path, "x")
    with open_gallery(path, "r") as reader, pytest.raises(GalleryUnavailable, match="reading alone"):
        reader.enroll_vectors(["Ada"], plane(0), MODEL)
    for url in ("redis://x", "sqlite:x"):
        with pytest.raises(ConfigError, match="no gallery address"):
            open_gallery(url)
    with pytest.raises(GalleryUnavailable, match="folder"):
        open_gallery(tmp_path / "nowhere" / "p.h5")
    with pytest.raises(GalleryUnavailable, match="folder"):
        open_gallery(tmp_path)


def test_a_gallery_is_opened_with_its_model(tmp_path: Path) -> None:
    spec = PipelineSpec(flip=True, threshold=0.5, select="all")
    with open_gallery(tmp_path / "p.h5", spec=spec) as gallery:
        samples = np.random.default_rng(0).normal(size=(1, 128))
        gallery.store([names.new_person("Ada", "ada")], faceworks.gallery.backend.samples_of(["ada"], [0], samples, [1]))
    with open_gallery(tmp_path / "p.h5", "r") as gallery:
        assert gallery.pipeline.spec == PipelineSpec(flip=True), "what decides a vector is remembered, nothing else"
        assert gallery.binding.model == gallery.pipeline.embedding_id
    with pytest.raises(ModelMismatch, match="reindex"):
        open_gallery(tmp_path / "p.h5", "r", flip=False)
    with pytest.raises(ConfigError, match="unknown option"):
        open_gallery(tmp_path / "p.h5", "r", flop=1)


def test_the_audit_log_is_a_chain_and_names_nobody(tmp_path: Path, clock: Clock) -> None:
    from faceworks.errors import GalleryCorrupt

    path = tmp_path / "p.h5"
    with open_gallery(path, audit=True, actor="kim", clock=clock) as gallery:
        gallery.enroll_vectors(["Ada", "Bob"], plane(0, 90), MODEL)
        gallery.identify_results([face(plane(0)[0])], threshold=0.5)
        token = gallery.person("Ada").token
        gallery.forget("Ada")
    with open_gallery(path, "r+") as gallery:
        assert gallery.audit is not None, "an audited gallery stays audited"
        assert gallery.audit.verify() == 3
        lines = gallery.audit.lines()
        assert [line["action"] for line in lines] == ["enroll", "search", "forget"]
        assert lines[0]["actor"] == "kim"
        assert token in lines[0]["tokens"]
        assert token not in str(gallery.backend.entries().people)
        file = gallery.audit.chain.path
        text = file.read_text()
        assert "Ada" not in text
        file.write_text(text + '{"torn')
        gallery.remove("Bob")
        assert gallery.audit.verify() == 4
        good = file.read_text()
        for broken in (good.replace("kim", "lee"), "\n".join(good.splitlines()[1:]) + "\n", good.replace('"count": 1', '"count": 2')):
            file.write_text(broken)
            with pytest.raises(GalleryCorrupt, match="chain breaks"):
                gallery.audit.verify()
