"""Shared fixtures and the two reasons to skip: `../shared` is absent, or a file cannot be had from the package index.

`FACEWORKS_REQUIRE_ASSETS=1` turns the second kind of skip into a failure: continuous integration sets it, so that nothing hides behind a skip.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from faceworks import assets, cards, settings
from faceworks.errors import FaceworksError

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")
"""Macron twice, Ardern twice, Obama, Sunak: roles in the card `samples`."""
DETECTOR, EMBEDDER = "yunet-2023mar-int8bq", "sface-2021dec-int8bq"

_tried: dict[str, str] = {}


def _shared() -> Path | None:
    """The folder with real pictures, weights and goldens: beside the repository, or beside its worktrees."""
    return next((folder for folder in (ROOT.parent / "shared", ROOT.parent.parent / "shared") if (folder / "weights").is_dir()), None)


def _missing(card_name: str) -> str:
    """Why the files of a card cannot be had, "" when they are here; asked once a run."""
    if card_name not in _tried:
        try:
            for file in cards.get(card_name).file:
                assets.fetch(file, progress=False)
            _tried[card_name] = ""
        except FaceworksError as error:
            _tried[card_name] = f"{card_name}: {error}"
    return _tried[card_name]


def need(*card_names: str) -> None:
    """Skip (or fail, see the module) unless the files of these cards can be had."""
    why = "; ".join(text for text in map(_missing, card_names) if text)
    if why and os.environ.get("FACEWORKS_REQUIRE_ASSETS") == "1":
        pytest.fail(f"needed files cannot be had: {why}", pytrace=False)
    if why:
        pytest.skip(f"needed files cannot be had: {why}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `shared` or `assets` where its files are absent, with the reason; `bench` runs by name only."""
    if item.get_closest_marker("shared") and _shared() is None:
        pytest.skip("../shared (real pictures, weights, goldens) is absent")
    if item.get_closest_marker("assets"):
        need(DETECTOR, EMBEDDER)
    if item.get_closest_marker("bench") and "bench" not in (item.config.option.markexpr or ""):
        pytest.skip("a measurement: run it with -m bench")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `../shared`; skips where it is absent."""
    folder = _shared()
    if folder is None:
        pytest.skip("../shared (real pictures, weights, goldens) is absent")
    return folder


@pytest.fixture(scope="session")
def samples() -> Mapping[str, Path]:
    """The six sample pictures by name (`SAMPLES`); skips where the index cannot give them."""
    need("samples")
    card = cards.get("samples")
    return {name: assets.fetch(card.file_for(name), progress=False) for name in SAMPLES}


@pytest.fixture(scope="session")
def group() -> Path:
    """The Solvay conference of 1927: 29 people."""
    need("samples")
    return assets.fetch(cards.get("samples").file_for("group"), progress=False)


@pytest.fixture(scope="session")
def pictures(samples: Mapping[str, Path]) -> Mapping[str, np.ndarray]:
    """The sample pictures, decoded: (H, W, 3) uint8 RGB."""
    from faceworks import image

    return {name: image.load(path) for name, path in samples.items()}


@pytest.fixture
def empty_cache(tmp_path: Path) -> Iterator[Path]:
    """A cache of its own for one test; no network."""
    with settings.use(cache=tmp_path / "cache", offline=True, mirrors=()) as active:
        yield active.cache
