"""What enrolling says of a new picture, beside what is in the gallery already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceworks import image
from faceworks.gallery import Gallery, open_gallery
from faceworks.pipeline import Pipeline
from faceworks.types import Embedding, Face


class Grays(Pipeline):
    """Every picture is one face; who it shows is its gray in tens, the units are another picture of the same person."""

    def detect(self, images: Sequence[Any]) -> list[list[Face]]:
        return [[Face(np.array([0, 0, 40, 40]), 0.9)] for _ in images]

    def embed_faces(self, images: Sequence[Any], faces: Sequence[Sequence[Face]]) -> list[list[Embedding]]:
        vectors = []
        for picture in images:
            gray = int(picture[0, 0, 0])
            who, shot = np.random.default_rng(gray // 10).normal(size=128), np.random.default_rng(1000 + gray).normal(size=128)
            vectors.append((who + 0.5 * shot).astype(np.float32))
        return [[Embedding(vector, None, self.embedding_id) for _ in group] for vector, group in zip(vectors, faces, strict=True)]


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with open_gallery(tmp_path / "p.h5") as opened:
        opened.enroll("Ada", pictured(tmp_path, 10), pictured(tmp_path, 11))
        opened.enroll("Bob", pictured(tmp_path, 20))
        yield opened


@pytest.fixture(autouse=True)
def grays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gallery makes its pipeline of this class whenever its model changes."""
    monkeypatch.setattr("faceworks.gallery.model.Pipeline", Grays)


def pictured(folder: Path, gray: int) -> Path:
    path = folder / f"{gray}.png"
    image.save(path, np.full((40, 40, 3), gray, np.uint8))
    return path


def warnings(gallery: Gallery, name: str, path: Path, **options: Any) -> list[str]:
    (found,) = gallery.enroll(name, path, **options)
    return [text for text in found.warnings if any(word in text for word in ("look", "expires", "nearly"))]


def test_another_picture_of_the_same_person_is_nothing_to_say(gallery: Gallery, tmp_path: Path) -> None:
    assert warnings(gallery, "Ada", pictured(tmp_path, 12)) == []
    assert warnings(gallery, "Cyd", pictured(tmp_path, 30)) == [], "somebody new looks like nobody"


def test_somebody_else_under_a_known_name_is_said(gallery: Gallery, tmp_path: Path) -> None:
    (stranger,) = warnings(gallery, "Ada", pictured(tmp_path, 30))
    assert "does not look like Ada's other samples" in stranger
    other, own = warnings(gallery, "Ada", pictured(tmp_path, 21))
    assert "looks like Bob" in other
    assert "does not look like Ada's" in own


def test_who_has_expired_already_is_said(gallery: Gallery, tmp_path: Path) -> None:
    (past,) = warnings(gallery, "Cyd", pictured(tmp_path, 30), expires="2020-01-31")
    assert "expires 2020-01-31, which is past" in past
    assert warnings(gallery, "Dov", pictured(tmp_path, 40), expires="2999-01-31") == []
