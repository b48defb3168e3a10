"""A study made of arithmetic: pictures of noise, faces at known places, vectors and emotions that are drawn from a seed. No model runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceworks import image
from faceworks.align.mean_face import MEAN_FACE
from faceworks.study import begin
from faceworks.study import run as run_study
from faceworks.study.measure import Record

pytest.importorskip("statsmodels", reason="the extra study")
pytest.importorskip("matplotlib", reason="the extra study")
pytest.importorskip("docx", reason="the extra study")
EMBEDDERS = ("sface-2021dec-int8bq", "dlib-resnet-v1")
MODEL, AFFECT = "emotion-mini-xception", "emonet-8"
LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CONDITIONS = ("neutral", "happy", "sad", "angry")


def points(emotion: str = "neutral", size: int = 160) -> np.ndarray:
    """68 points of a frontal face in the middle of a picture; an expression moves the mouth."""
    face = MEAN_FACE[:68, :2] * size * 0.22 + [size / 2, size * 0.42]
    if emotion != "neutral":
        face[48:60, 1] += size * (0.02 if emotion == "happy" else -0.02)
    return face


def texture(seed: int, size: int = 160) -> np.ndarray:
    """Smooth noise with corners, so that features are found."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (size // 4, size // 4, 3), dtype=np.uint8)
    return image.resize(small, (size, size), "cubic")


class Fake:
    """Stands where the models stand: a record for each picture, from its line in the manifest."""

    def __init__(self, seed: int = 0, no_face: Sequence[str] = (), swapped: Sequence[str] = ()) -> None:
        self.seed, self.no_face, self.swapped, self.calls = seed, set(no_face), set(swapped), 0

    def __call__(self, config: Any, pictures: Sequence[Any], *_: Any) -> tuple[list[Record], int]:
        self.calls += 1
        return [self.record(config, item) for item in pictures], 0

    def record(self, config: Any, item: Any) -> Record:
        if item.name in self.no_face:
            return Record(size=(160, 160))
        person = int(item.identity) + (1 if item.name in self.swapped else 0)
        random = np.random.default_rng([self.seed, person, len(item.name), CONDITIONS.index(item.condition), item.role == "edit"])
        vectors = {}
        for number, name in enumerate(config.embedders):
            own = np.random.default_rng([self.seed, person, number]).normal(size=64)
            vectors[name] = own + 0.15 * random.normal(size=64)  # close enough for the strictest calibration that ships (dlib: distance 0.074)
        raw = random.dirichlet(np.ones(7)) * 0.5
        raw[LABELS.index(item.condition)] += 0.5
        affect = {
            "valence": float(np.clip(random.normal(0.5 if item.condition == "happy" else -0.2, 0.2), -1, 1)),
            "arousal": float(random.uniform(-0.5, 0.5)),
        }
        return Record(
            "", (160, 160), 1, (40.0, 40.0, 120.0, 130.0), 0.99, points(item.condition), vectors,
            {name: dict(zip(LABELS, raw.tolist(), strict=True)) for name in config.emotion},
            affect if config.affect else {}, 80.0,
        )  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with twelve identities: original, neutral (the no-op baseline), happy, sad, angry; manifest.csv and study.toml beside them."""
    folder = tmp_path / "study"
    for person in range(12):
        ground = texture(person)
        for number, name in enumerate(("original", *CONDITIONS)):
            picture = ground.copy()
            picture[60 + number, 70:90] = 255 - picture[60 + number, 70:90]
            (folder / f"{person:02d}").mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{person:02d}" / f"{name}.png", picture)
    begin(folder)
    write_config(folder)
    return folder


def write_config(folder: Path, extra: str = "", affect: str = AFFECT) -> None:
    (folder / "study.toml").write_text(
        f'embedders = ["{EMBEDDERS[0]}", "{EMBEDDERS[1]}"]\nemotion = ["{MODEL}"]\naffect = "{affect}"\nbootstrap = 200\n{extra}', encoding="utf-8"
    )


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a first run leaves of locality: the others continue from it, as a killed run does."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, kept: Path) -> Callable[..., dict[str, Any]]:
    """`study.run` with a `Fake` for the models."""
    import importlib

    module = importlib.import_module("faceworks.study.run")

    def start(folder: Path, out: Path, fake: Fake | None = None, draw: bool = False, **options: Any) -> dict[str, Any]:
        monkeypatch.setattr(module, "measure_all", fake or Fake())
        if not draw:  # figures are the slow part, and looked at by the tests that ask for them
            monkeypatch.setattr(importlib.import_module("faceworks.study.figures"), "draw_all", lambda document, config: ([], ""))
        monkeypatch.setattr(module, "usable", lambda config, skip: (config, []))
        for name in ("journal", "thumbs"):
            if (kept / name).is_dir() and not (out / name).exists():
                shutil.copytree(kept / name, out / name)
        document = run_study(folder / "manifest.csv", out, progress=False, **options)
        if not (kept / "journal").exists() and len(document["locality"]) == 48:
            for name in ("journal", "thumbs"):
                shutil.copytree(out / name, kept / name)
        return document

    return start
