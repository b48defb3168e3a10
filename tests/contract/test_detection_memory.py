"""Detection over a folder of any length holds no more memory at its end than after its beginning.

The default test looks at some hundred pictures of four shapes; the slow one at 5,000, by `map_images` with threads on all cores, as
`faceworks batch detect` does.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import need
from faceworks import batch, image
from faceworks.detect import load_detector
from faceworks.pipeline import PipelineSpec
from faceworks.runtime import preprocess

pytestmark = pytest.mark.assets
SHAPES = ((96, 128), (128, 96), (64, 64), (100, 140))


def resident() -> float:
    """Megabytes of this process that lie in memory."""
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("the resident size is read from /proc, which this system has not")
    return int(status.read_text().split()[1]) * 4096 / 1e6


def scenes(count: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(5)
    for index in range(count):
        yield random.integers(0, 256, (*SHAPES[index % len(SHAPES)], 3), np.uint8)


@pytest.mark.parametrize("name", ["yunet-2023mar-int8bq", "mtcnn-facenet"])
def test_nothing_grows_with_the_number_of_pictures(name: str) -> None:
    need(name)
    detector = load_detector(name)
    for picture in scenes(24):
        detector.detect([picture])
    gc.collect()
    tracemalloc.start()
    try:
        first, _ = tracemalloc.get_traced_memory()
        before = resident()
        for picture in scenes(300 if name.startswith("yunet") else 60):
            detector.detect([picture])
        gc.collect()
        last, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last - first < 2e6, f"{(last - first) / 1e6:.1f} MB of Python objects more"
    assert resident() - before < 40, f"{resident() - before:.0f} MB more"


def test_a_thread_keeps_one_tensor_and_none_that_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spare tensor is replaced, never collected; beyond the bound nothing is kept."""
    spec = load_detector("yunet-2023mar-int8bq").card.input_for()
    for shape in SHAPES:
        blob = preprocess.to_blob([np.zeros((*shape, 3), np.uint8)], spec, shape, reuse=True)
        assert preprocess._spare.blob is blob
        assert preprocess.to_blob([np.ones((*shape, 3), np.uint8)], spec, shape, reuse=True) is blob
        assert preprocess.to_blob([np.ones((*shape, 3), np.uint8)], spec, shape) is not blob
    monkeypatch.setattr(preprocess, "_KEPT", 1000)
    preprocess.to_blob([np.zeros((99, 99, 3), np.uint8)], spec, (99, 99), reuse=True)
    assert preprocess._spare.blob is None


@pytest.mark.slow
def test_five_thousand_pictures(tmp_path: Path) -> None:
    """5,000 files of four shapes on all cores: resident memory after the last is at most 60 MB above that after the first 500."""
    kinds = []
    for index, picture in enumerate(scenes(8)):
        kinds.append(tmp_path / f"{index}.png")
        image.save(kinds[-1], picture)
    sources = [kinds[index % len(kinds)] for index in range(5000)]
    spec = PipelineSpec(select="all", on_no_face="empty", threads=1)
    sizes: list[float] = []
    for count, item in enumerate(batch.map_images(_find(spec), sources, executor="threads", batch_size=16, progress=False), start=1):
        assert item.error is None
        if count % 500 == 0:
            gc.collect()
            sizes.append(resident())
    assert len(sizes) == 10
    assert max(sizes) - sizes[0] <= 60, [round(size) for size in sizes]


def _find(spec: PipelineSpec) -> object:
    from faceworks.api import get_pipeline

    return get_pipeline(spec).find
