"""Laws of the default pipeline on real pictures: what must not matter does not, and what must, does."""

from __future__ import annotations

import dataclasses
import gc
import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import faceworks
from faceworks import align, cards, geometry, image, similarity
from faceworks.errors import ConfigError, InputError, ModelMismatch, NoFaceFound
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Crop, Face, FaceResult
from synthetic import noise

pytestmark = pytest.mark.assets
PORTRAITS = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")
Pictures = Mapping[str, np.ndarray]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def assert_same_faces(got: list[Face], want: list[Face], pixels: float = 1e-3) -> None:
    assert len(got) == len(want)
    for index, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.landmarks is not None
        assert b.landmarks is not None
        off = max(np.abs(a.box - b.box).max(), np.abs(a.landmarks.points - b.landmarks.points).max())
        assert off <= pixels, f"face {index}: {off:.2e} px"
        assert a.score == pytest.approx(b.score, abs=1e-5)


def assert_same_results(got: list[FaceResult], want: list[FaceResult]) -> None:
    assert_same_faces([item.face for item in got], [item.face for item in want])
    for index, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.embedding is not None
        assert b.embedding is not None
        assert cosine(a.embedding.vector, b.embedding.vector) >= 1 - 1e-6, f"face {index}"


def montage(pictures: Pictures, *places: tuple[str, int, int, int], size: tuple[int, int] = (900, 1400)) -> np.ndarray:
    """Portraits on a gray ground: (name, x, y, height)."""
    canvas = np.full((*size, 3), 110, np.uint8)
    for name, x, y, height in places:
        source = pictures[name]
        small = image.resize(source, (height, round(source.shape[1] * height / source.shape[0])))
        part = canvas[y : y + small.shape[0], x : x + small.shape[1]]
        part[:] = small[: part.shape[0], : part.shape[1]]
    return canvas


@pytest.fixture(scope="module")
def crowd(pictures: Pictures) -> np.ndarray:
    """Four people of several sizes in one picture; the largest stands at the left edge, a smaller one in the middle."""
    return montage(pictures, ("person_a_2", 0, 40, 800), ("person_b_1", 620, 300, 300), ("impostor_1", 900, 100, 250), ("impostor_2", 1150, 500, 200))


@pytest.fixture(scope="module")
def alone(pictures: Pictures, crowd: np.ndarray) -> dict[str, list[FaceResult]]:
    """Every picture by itself."""
    return {name: faceworks.embed(picture) for name, picture in {**pictures, "crowd": crowd}.items()}


# --- the decision ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(PORTRAITS, 2)), ids="-".join)
def test_samples_are_told_apart_at_the_cards_threshold(a: str, b: str, samples: Mapping[str, Path]) -> None:
    answer = faceworks.verify(samples[a], samples[b])
    assert answer.verified is (a[:-1] == b[:-1] != "impostor_"), f"{a}, {b}: distance {answer.distance:.4f}, threshold {answer.threshold}"
    assert answer.threshold == pytest.approx(1 - 0.363)
    assert "OpenCV zoo" in answer.threshold_source
    assert answer.models["detector"].startswith("yunet-2023mar-int8bq@49f000ec501f")
    assert answer.models["embedder"].startswith("sface-2021dec-int8bq@fb143eea0783")
    assert set(answer.timings) == {"load", "detect", "embed"}


def test_verify_is_symmetric(samples: Mapping[str, Path]) -> None:
    forth, back = (faceworks.verify(samples[a], samples[b]) for a, b in (("person_a_1", "person_a_2"), ("person_a_2", "person_a_1")))
    assert forth.distance == pytest.approx(back.distance, abs=1e-6)
    assert np.array_equal(forth.faces[0].box, back.faces[1].box)


@pytest.mark.parametrize("metric", ["cosine", "euclidean_l2", "angular"])
@pytest.mark.parametrize("name", PORTRAITS)
def test_a_picture_equals_itself(name: str, metric: str, samples: Mapping[str, Path]) -> None:
    answer = faceworks.verify(samples[name], samples[name], metric=metric)
    assert 0 <= answer.distance <= 1e-6
    assert answer.verified is True


def test_raw_euclidean_needs_a_threshold_and_takes_one(samples: Mapping[str, Path]) -> None:
    with pytest.raises(ConfigError, match="no threshold for the metric 'euclidean'"):
        faceworks.verify(samples["person_a_1"], samples["person_a_1"], metric="euclidean")
    assert 0 <= faceworks.verify(samples["person_a_1"], samples["person_a_1"], metric="euclidean", threshold=0.0).distance <= 1e-6


def test_metrics_agree(samples: Mapping[str, Path]) -> None:
    for a, b in (("person_a_1", "person_a_2"), ("person_a_2", "impostor_2")):
        answers = [faceworks.verify(samples[a], samples[b], metric=metric) for metric in ("cosine", "euclidean_l2", "angular")]
        assert len({answer.verified for answer in answers}) == 1
        assert len({round(answer.similarity, 6) for answer in answers}) == 1


def test_review_band(samples: Mapping[str, Path]) -> None:
    pair = samples["person_a_1"], samples["person_a_2"]
    distance = faceworks.verify(*pair).distance
    assert faceworks.verify(*pair, threshold=distance + 0.01, review=0.02).verified is None
    assert faceworks.verify(*pair, threshold=distance + 0.03, review=0.02).verified is True
    assert faceworks.verify(*pair, threshold=distance - 0.03, review=0.02).verified is False
    assert faceworks.verify(*pair, threshold=distance).verified is True, "a tie is accepted"


def test_steps_by_hand_equal_verify(pictures: Pictures) -> None:
    answer = faceworks.verify(pictures["person_b_1"], pictures["person_b_2"])
    crops = []
    for name in ("person_b_1", "person_b_2"):
        face = max(faceworks.detect(pictures[name]), key=lambda item: item.area)
        crops.append(align.crop(pictures[name], face, "arcface-112x112"))
    a, b = faceworks.embed_crops(crops)
    a.require_same_model(b)
    assert similarity.distance(a.vector, b.vector, "cosine") == pytest.approx(answer.distance, abs=1e-6)
    assert similarity.similarity(a.vector, b.vector) == pytest.approx(answer.similarity, abs=1e-6)


def test_all_faces_of_two_pictures_give_the_closest_pair(crowd: np.ndarray, pictures: Pictures) -> None:
    largest = faceworks.verify(crowd, pictures["person_b_2"])
    closest = faceworks.verify(crowd, pictures["person_b_2"], select="all")
    assert largest.verified is False
    assert closest.verified is True
    x1, _, x2, _ = closest.faces[0].box
    assert x1 > 620
    assert x2 < 900


# --- what must not matter --------------------------------------------------------------------------------------------------------------------


def test_batch_equals_single(pictures: Pictures, crowd: np.ndarray, alone: dict[str, list[FaceResult]]) -> None:
    names = [*PORTRAITS, "crowd"]
    for name, together in zip(names, faceworks.embed([*(pictures[name] for name in PORTRAITS), crowd]), strict=True):
        assert_same_results(together, alone[name])


@pytest.mark.parametrize("seed", range(3))
def test_order_and_company_of_pictures_do_not_matter(seed: int, pictures: Pictures, crowd: np.ndarray, alone: dict[str, list[FaceResult]]) -> None:
    everything = {**pictures, "crowd": crowd, "noise": noise(300, 200, seed)}
    order = [str(name) for name in np.random.default_rng(seed).permutation([*everything, "person_a_1", "crowd"])]
    for name, found in zip(order, faceworks.embed([everything[name] for name in order]), strict=True):
        assert_same_results(found, alone.get(name, []))


def test_order_of_faces_does_not_matter(crowd: np.ndarray, alone: dict[str, list[FaceResult]]) -> None:
    pipeline = Pipeline()
    faces = [item.face for item in alone["crowd"]]
    order = np.random.default_rng(0).permutation(len(faces))
    (shuffled,) = pipeline.embed_faces([crowd], [[faces[i] for i in order]])
    for index, vector in zip(order, shuffled, strict=True):
        straight = alone["crowd"][index].embedding
        assert straight is not None
        assert cosine(vector.vector, straight.vector) >= 1 - 1e-6


def test_sixteen_threads_equal_one(pictures: Pictures, alone: dict[str, list[FaceResult]]) -> None:
    work = [name for name in PORTRAITS for _ in range(6)]
    with ThreadPoolExecutor(16) as pool:
        for name, found in zip(work, pool.map(lambda name: faceworks.embed(pictures[name]), work), strict=True):
            assert_same_results(found, alone[name])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_inside_a_network_do_not_matter(threads: int, pictures: Pictures, alone: dict[str, list[FaceResult]]) -> None:
    for name in PORTRAITS:
        assert_same_results(faceworks.embed(pictures[name], threads=threads), alone[name])


def test_the_same_call_twice_gives_the_same_bits(pictures: Pictures) -> None:
    first, second = (faceworks.embed(pictures["impostor_1"], threads=1)[0] for _ in range(2))
    assert first.embedding is not None
    assert second.embedding is not None
    assert np.array_equal(first.embedding.vector, second.embedding.vector)
    assert np.array_equal(first.face.box, second.face.box)


def test_path_bytes_and_array_are_one_source(samples: Mapping[str, Path], pictures: Pictures) -> None:
    path = samples["person_b_1"]
    want = faceworks.embed(path)
    for source in (str(path), path.read_bytes(), pictures["person_b_1"], path.open("rb")):
        assert_same_results(faceworks.embed(source), want)


def test_pictures_are_not_touched(pictures: Pictures) -> None:
    mine = pictures["person_a_2"].copy()
    faceworks.embed(mine)
    assert np.array_equal(mine, pictures["person_a_2"])


# --- sizes -----------------------------------------------------------------------------------------------------------------------------------


def test_pictures_of_odd_sizes_travel_together(pictures: Pictures, alone: dict[str, list[FaceResult]]) -> None:
    large = montage(pictures, ("person_a_2", 900, 300, 1600), size=(2000, 3000))
    odd = [noise(1, 1), noise(5000, 20), noise(20, 5000), large, pictures["person_a_1"], noise(1, 640), noise(33, 31)]
    found = faceworks.detect(odd)
    assert [len(faces) for faces in found] == [0, 0, 0, 1, 1, 0, 0]
    assert_same_faces(found[4], [item.face for item in alone["person_a_1"]])
    assert_same_faces(found[3], faceworks.detect(large))
    # the portrait lies at (900, 300) and was scaled to a height of 1600
    want = alone["person_a_2"][0].face.box * 1600 / pictures["person_a_2"].shape[0] + [900, 300, 900, 300]
    assert geometry.iou([found[3][0].box], [want])[0, 0] > 0.85


@pytest.mark.parametrize("count", [0, 1, 17, 40])
def test_any_number_of_pictures(count: int, pictures: Pictures) -> None:
    small = image.resize(pictures["person_b_1"], (200, 150))
    found = faceworks.embed([small] * count)
    assert len(found) == count
    for faces in found:
        assert_same_results(faces, found[0])


def test_faces_at_the_edge_are_cut_with_black(pictures: Pictures) -> None:
    """Half a face outside: the crop is made and embedded, whatever it is worth."""
    half = pictures["person_a_2"][:, : pictures["person_a_2"].shape[1] // 2]
    for item in faceworks.embed(half, min_score=0.3):
        assert item.embedding is not None
        assert np.isfinite(item.embedding.vector).all()


def test_a_quarter_turn_is_not_hidden(pictures: Pictures) -> None:
    """YuNet is trained on upright faces: a lying one is missed or found weaker, and a found one keeps its points in the picture's frame."""
    picture = pictures["person_b_2"]
    (straight,) = faceworks.detect(picture)
    for face in faceworks.detect(np.ascontiguousarray(np.rot90(picture)), min_score=0.3):
        assert face.score < straight.score


def test_a_small_turn_keeps_the_person(pictures: Pictures) -> None:
    picture = pictures["person_b_2"]
    height, width = picture.shape[:2]
    for degrees in (-20, 20):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        matrix = np.array([[c, -s, width / 2 - c * width / 2 + s * height / 2], [s, c, height / 2 - s * width / 2 - c * height / 2]])
        tilted = image.warp(picture, matrix, (height, width))
        assert faceworks.verify(picture, tilted).similarity > 0.9
        (straight,), (turned,) = faceworks.detect(picture), faceworks.detect(tilted)
        assert straight.landmarks is not None
        assert turned.landmarks is not None
        off = np.abs(geometry.apply(matrix, straight.landmarks.points) - turned.landmarks.points).max()
        assert off < 0.1 * straight.width, f"{degrees} degrees: {off:.1f} px"


def test_a_mirror_image_keeps_the_person_and_the_side_of_the_points(pictures: Pictures) -> None:
    picture = pictures["person_b_2"]
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    (straight,), (flipped,) = faceworks.detect(picture), faceworks.detect(mirrored)
    assert straight.landmarks is not None
    assert flipped.landmarks is not None
    want = straight.landmarks.points[[1, 0, 2, 4, 3]] * [-1, 1] + [picture.shape[1] - 1, 0]
    assert np.abs(flipped.landmarks.points - want).max() < 0.05 * straight.width
    for face in (straight, flipped):
        assert face.landmarks is not None
        left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks.points
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert left_eye[1] < nose[1] < left_mouth[1]
    assert faceworks.verify(picture, mirrored).similarity > 0.85


def test_flip_adds_the_mirrored_crop(pictures: Pictures) -> None:
    picture = pictures["person_a_2"]
    (plain,), (both,) = faceworks.embed(picture), faceworks.embed(picture, flip=True)
    assert plain.embedding is not None
    assert both.embedding is not None
    assert both.embedding.model != plain.embedding.model
    with pytest.raises(ModelMismatch):
        plain.embedding.require_same_model(both.embedding)
    pipeline = Pipeline()
    cut = pipeline.crop(picture, plain.face)
    a, b = pipeline.embed_crops([cut, Crop(np.ascontiguousarray(cut.pixels[:, ::-1]), cut.matrix, cut.template)])
    assert cosine(both.embedding.vector, a.vector + b.vector) >= 1 - 1e-6


# --- choosing faces --------------------------------------------------------------------------------------------------------------------------


def test_select(crowd: np.ndarray) -> None:
    everyone = faceworks.embed(crowd)
    assert len(everyone) == 4
    (largest,), (central,) = faceworks.embed(crowd, select="largest"), faceworks.embed(crowd, select="central")
    assert largest.face.area == max(item.face.area for item in everyone)
    height, width = crowd.shape[:2]

    def merit(face: Face) -> float:
        x, y = (face.box[0] + face.box[2]) / 2 - (width - 1) / 2, (face.box[1] + face.box[3]) / 2 - (height - 1) / 2
        return float(face.area - 2 * (x * x + y * y))

    assert merit(central.face) == max(merit(item.face) for item in everyone)
    assert central.face.area < largest.face.area
    scores = [item.face.score for item in everyone]
    assert scores == sorted(scores, reverse=True)


def test_selection_by_hand() -> None:
    pipeline = Pipeline(PipelineSpec(select="central"))
    faces = [Face(np.array(box), 0.9) for box in ((0, 0, 40, 40), (80, 80, 110, 110), (90, 90, 100, 100))]
    assert pipeline.select(faces, (200, 200)) == [faces[1]]
    assert pipeline.select([], (200, 200)) == []
    assert Pipeline(PipelineSpec(select="largest")).select(faces, (200, 200)) == [faces[0]]
    assert Pipeline(PipelineSpec(select="all")).select(faces, (200, 200)) == faces


def test_no_face(pictures: Pictures) -> None:
    empty = noise(200, 300)
    assert faceworks.detect(empty) == []
    assert faceworks.embed(empty) == []
    assert [len(found) for found in faceworks.embed([empty, pictures["person_a_1"]])] == [0, 1]
    with pytest.raises(NoFaceFound, match=r"no face found in picture 2 by yunet-2023mar-int8bq at score ≥ 0\.7"):
        faceworks.verify(pictures["person_a_1"], empty)
    with pytest.raises(NoFaceFound, match="nothing to compare"):
        faceworks.verify(pictures["person_a_1"], empty, on_no_face="empty")
    (whole,) = faceworks.embed(empty, on_no_face="whole")
    assert (whole.face.detector, whole.face.score, whole.face.box.tolist()) == ("whole", 0.0, [0, 0, 300, 200])
    assert whole.embedding is not None
    assert faceworks.verify(empty, empty, on_no_face="whole").verified is True


def test_the_message_names_the_file(samples: Mapping[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "nobody.png"
    image.save(path, noise(64, 64))
    with pytest.raises(NoFaceFound, match=r"nobody\.png"):
        faceworks.verify(samples["person_a_1"], path)


def test_min_score(crowd: np.ndarray) -> None:
    everyone = faceworks.detect(crowd)
    middle = sorted(face.score for face in everyone)[1]
    assert len(faceworks.detect(crowd, min_score=middle + 1e-6)) == len([face for face in everyone if face.score > middle + 1e-6])
    with pytest.raises(ConfigError, match=r"min_score must lie in \[0, 1\]"):
        faceworks.detect(crowd, min_score=1.5)


def test_align_none_and_other_crops_are_other_recipes(pictures: Pictures) -> None:
    picture = pictures["person_b_1"]
    found = {name: faceworks.embed(picture, align=name)[0] for name in ("similarity5", "none", "square:1.3", "box:1")}
    models = {item.embedding.model for item in found.values() if item.embedding}
    assert len(models) == 4
    recipes = {Pipeline(PipelineSpec(align=name)).recipe_id for name in found}
    assert len(recipes) == 4


def test_the_recipe_changes_with_what_changes_the_score() -> None:
    base = PipelineSpec()
    ids = {Pipeline(base.with_options(**change)).recipe_id for change in ({}, {"metric": "angular"}, {"flip": True}, {"align": "box:1"})}
    assert len(ids) == 4
    assert Pipeline(base.with_options(select="all", threads=1, threshold=0.5, on_no_face="empty")).recipe_id == Pipeline(base).recipe_id


@pytest.mark.parametrize(
    "option", [{"detektor": "x"}, {"select": "first"}, {"on_no_face": "skip"}, {"metric": "l3"}, {"device": "tpu"}, {"threads": -1}]
)
def test_options_that_cannot_hold(option: dict[str, object], pictures: Pictures) -> None:
    with pytest.raises(ConfigError):
        faceworks.embed(pictures["person_a_1"], **option)


def test_unknown_models(pictures: Pictures) -> None:
    with pytest.raises(faceworks.FaceworksError, match="did you mean sface-2021dec"):
        faceworks.embed(pictures["person_a_1"], embedder="sface-2021de")


def test_hand_made_crops_of_a_wrong_size_are_refused() -> None:
    small = Crop(np.zeros((64, 64, 3), np.uint8), np.eye(2, 3), "by hand")
    with pytest.raises(InputError, match="112"):
        faceworks.embed_crops([small])


def test_specs_are_shared_and_frozen() -> None:
    assert faceworks.get_pipeline() is faceworks.get_pipeline(PipelineSpec())
    assert faceworks.get_pipeline(select="all") is not faceworks.get_pipeline()
    with pytest.raises(dataclasses.FrozenInstanceError):
        faceworks.get_pipeline().spec.select = "all"  # type: ignore[misc]


def test_thresholds_of_the_cards_are_reachable() -> None:
    assert cards.get("sface-2021dec-int8bq").threshold_for("cosine") is not None


# --- memory ----------------------------------------------------------------------------------------------------------------------------------


def resident() -> float:
    """Megabytes of this process in memory now."""
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow_over_200_verifications(samples: Mapping[str, Path]) -> None:
    pairs = list(itertools.islice(itertools.cycle(itertools.combinations(PORTRAITS, 2)), 230))
    for a, b in pairs[:30]:
        faceworks.verify(samples[a], samples[b])
    gc.collect()
    before = resident()
    for a, b in pairs[30:]:
        faceworks.verify(samples[a], samples[b])
    gc.collect()
    assert resident() - before < 20, f"{before:.0f} MB became {resident():.0f} MB"
