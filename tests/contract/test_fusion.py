"""Fusion: one embedding whose cosine is the weighted mean of its parts' cosines; and test-time augmentation, of one network and of a fusion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

import faceworks
from conftest import need
from faceworks import align, cards, settings
from faceworks.errors import CardError, ConfigError, LicenseRefused
from faceworks.pipeline import SHIFT, Pipeline, PipelineSpec
from made_cards import card_head

FUSION, PARTS = "fusion-sface-dlib", (("sface-2021dec-int8bq", 0.3, False), ("dlib-resnet-v1", 0.7, True))
NAMES = ("person_a_1", "person_a_2", "person_b_1", "impostor_1")
Pictures = Mapping[str, np.ndarray]

CARD = (
    card_head("mine", adapter="concat")
    + """{parts}
[[output]]
name = "embedding"
kind = "embedding"
dim = 256
"""
)
PART = '[[part]]\nmodel = "{}"\nweight = {}\n'


def write(name: str, text: str) -> None:
    folder = cards.user_folder() / "embed"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(text)


@pytest.fixture(scope="module")
def _files() -> None:
    need(*(name for name, _, _ in PARTS), "dlib-5")


def vectors(pictures: Pictures, **options: object) -> np.ndarray:
    found = [faceworks.embed(pictures[name], select="largest", **options)[0].embedding for name in NAMES]
    return np.stack([item.vector for item in found if item is not None]).astype(np.float64)


def cosines(rows: np.ndarray) -> np.ndarray:
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units @ units.T


@pytest.mark.assets
@pytest.mark.usefixtures("_files")
@pytest.mark.parametrize("options", [{}, {"flip": True}, {"crops": 5}], ids=str)
def test_cosine_is_the_weighted_mean_of_the_parts(pictures: Pictures, options: dict[str, object]) -> None:
    want = sum(share * cosines(vectors(pictures, embedder=name, **{"flip": flip, **options})) for name, share, flip in PARTS)
    got = cosines(vectors(pictures, embedder=FUSION, **options))
    assert np.abs(got - want).max() <= 1e-6


@pytest.mark.assets
@pytest.mark.usefixtures("_files")
def test_batch_equals_single(pictures: Pictures) -> None:
    together = faceworks.embed([pictures[name] for name in NAMES], embedder=FUSION, select="largest")
    for row, results, name in zip(vectors(pictures, embedder=FUSION), together, NAMES, strict=True):
        assert results[0].embedding is not None
        assert results[0].embedding.norm is None
        assert results[0].face.landmarks is not None
        assert results[0].face.landmarks.scheme == "arcface5", "the face is the detector's, whatever its parts asked for"
        assert np.abs(results[0].embedding.vector - row).max() <= 1e-6, name
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-6)


@pytest.mark.assets
@pytest.mark.usefixtures("_files")
def test_pictures_without_faces_and_decisions(pictures: Pictures, samples: Mapping[str, Path]) -> None:
    assert faceworks.embed(np.zeros((60, 60, 3), np.uint8), embedder=FUSION) == []
    same = faceworks.verify(samples["person_a_1"], samples["person_a_2"], embedder=FUSION, threshold=0.5)
    other = faceworks.verify(samples["person_a_1"], samples["impostor_1"], embedder=FUSION, threshold=0.5)
    assert same.distance < other.distance
    assert same.models["landmarker"].startswith("dlib-5@")


def test_recipe_covers_the_parts(empty_cache: Path) -> None:
    sface, dlib, fusion = (Pipeline(PipelineSpec(embedder=name)) for name in ("sface-2021dec-int8bq", "dlib-resnet-v1", FUSION))
    assert sface.embedding_id in fusion.embedding_id
    assert dlib.embedding_id in fusion.embedding_id
    seen = {fusion.recipe_id}
    for weights in ((0.3, 0.7), (0.5, 0.5)):
        for flip in ("", "flip = true\n"):
            write("mine", CARD.format(parts=PART.format("sface-2021dec-int8bq", weights[0]) + PART.format("dlib-resnet-v1", weights[1]) + flip))
            seen.add(Pipeline(PipelineSpec(embedder="mine")).recipe_id)
    assert len(seen) == 5
    assert empty_cache.exists()


def test_a_part_refuses_by_its_license(empty_cache: Path) -> None:
    write("mine", CARD.format(parts=PART.format("sface-2021dec-int8bq", 1) + PART.format("arcface-w600k-r50", 1)))
    Pipeline(PipelineSpec(embedder="mine"))
    with settings.use(license="commercial"):
        with pytest.raises(LicenseRefused, match=r"mine cannot be used, because of its part arcface-w600k-r50.*non-commercial"):
            Pipeline(PipelineSpec(embedder="mine"))
        Pipeline(PipelineSpec(embedder=FUSION))
    assert not cards.commercial(cards.get("mine"))
    assert cards.commercial(cards.get(FUSION))
    assert empty_cache.exists()


@pytest.fixture
def _isolated(empty_cache: Path) -> Iterator[None]:
    return


@pytest.mark.usefixtures("_isolated")
def test_what_a_fusion_must_not_be() -> None:
    write("mine", CARD.format(parts=PART.format("sface-2021dec-int8bq", 1) + PART.format(FUSION, 1)))
    with pytest.raises(CardError, match="is a fusion itself"):
        Pipeline(PipelineSpec(embedder="mine"))
    write("mine", CARD.format(parts=PART.format("sface-2021dec-int8bq", 0)))
    with pytest.raises(CardError, match="must be positive"):
        cards.get("mine")
    with pytest.raises(ConfigError, match="several crops of each face"):
        Pipeline(PipelineSpec(embedder=FUSION)).embed_crops([])
    with pytest.raises(ConfigError, match="several crops of each face"):
        Pipeline(PipelineSpec(crops=5)).embed_crops([])
    with pytest.raises(ConfigError, match="crops must be one of 1, 5"):
        PipelineSpec(crops=3)


@pytest.mark.assets
def test_five_crops_add_the_vectors_of_shifted_faces(pictures: Pictures) -> None:
    picture = pictures["person_a_1"]
    (result,) = faceworks.embed(picture, crops=5, flip=True, select="largest")
    side = max(result.face.width, result.face.height)
    moved = align.shifted(result.face, 0, SHIFT)
    assert np.allclose(moved.box - result.face.box, [0, SHIFT * side, 0, SHIFT * side], atol=1e-3)
    crops = [align.crop(picture, align.shifted(result.face, x, y)) for x, y in ((0, 0), (SHIFT, 0), (-SHIFT, 0), (0, SHIFT), (0, -SHIFT))]
    want = sum(item.vector for item in faceworks.embed_crops(crops, flip=True))
    assert result.embedding is not None
    assert np.abs(result.embedding.vector - want).max() <= 1e-4 * np.abs(want).max()
    plain = faceworks.embed_crops(crops[:1])[0]
    assert result.embedding.norm == pytest.approx(plain.norm, rel=1e-5)
    assert result.embedding.model == f"{plain.model}+flip+crops5"
