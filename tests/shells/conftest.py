"""A command line run in this process, and a pipeline made of fakes that needs no weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceworks import api, cards, image, settings
from faceworks.cli import run
from faceworks.types import Face, ImageArray, Landmarks

pipeline_module = importlib.import_module("faceworks.pipeline")


@dataclass(frozen=True)
class Result:
    """What a command line left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command line: `command("verify", a, b)`."""

    def invoke(*arguments: object) -> Result:
        capfd.readouterr()
        code = run([str(item) for item in arguments])
        return Result(code, *capfd.readouterr())

    return invoke


class FakeDetector:
    """Finds one face in every picture that is not black: its box is the middle half."""

    def __init__(self) -> None:
        self.card = cards.get("yunet-2023mar-int8bq")

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        found = []
        for picture in images:
            height, width = picture.shape[:2]
            x, y = width / 4, height / 4
            points = np.array([[x * 1.5, y * 1.6], [x * 2.5, y * 1.4], [x * 2, y * 2], [x * 1.6, y * 2.5], [x * 2.4, y * 2.5]])
            face = Face(np.array([x, y, 3 * x, 3 * y]), 0.9, Landmarks(points), "fake")
            found.append([face] if picture.any() else [])
        return found


class FakeEmbedder:
    """The direction of a vector is the mean color of the crop, so one color is one person."""

    def __init__(self) -> None:
        self.card = cards.get("sface-2021dec-int8bq")

    def embed(self, views: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        vectors = np.array([view.crops[0].pixels.reshape(-1, 3).mean(axis=0) + 1e-3 for view in views], np.float32).reshape(-1, 3)
        return vectors, np.linalg.norm(vectors, axis=1)


@pytest.fixture
def fake_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Detector and embedder without weights; everything else is real."""
    api._cached.cache_clear()
    monkeypatch.setattr(pipeline_module, "load_detector", lambda *_: FakeDetector())
    monkeypatch.setattr(pipeline_module, "load_embedder", lambda *_: FakeEmbedder())
    with settings.use(cache=tmp_path / "cache", offline=True, mirrors=()):
        yield
    api._cached.cache_clear()


@pytest.fixture
def colors(tmp_path: Path) -> dict[str, Path]:
    """Pictures of one color: two reds (the same person), one blue (another), one black (no face)."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    made = {}
    for name, color in {"red": (200, 20, 20), "crimson": (180, 20, 20), "blue": (20, 20, 200), "black": (0, 0, 0)}.items():
        made[name] = folder / f"{name}.png"
        image.save(made[name], np.full((80, 64, 3), color, np.uint8))
    return made
