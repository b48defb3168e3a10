"""Liveness is data: a distribution, a threshold at a chosen share of living faces refused, and an exit status on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceworks import cards, image, settings
from faceworks.analysis import Analyzer
from faceworks.cli import run
from faceworks.errors import ConfigError
from faceworks.types import Categorical

CARD = "minifasnet-v2-v1se"


def test_the_thresholds_grow_with_the_share_refused() -> None:
    rates = {item.bpcer: item.value for item in cards.get(CARD).threshold}
    assert sorted(rates) == [0.01, 0.05, 0.1]
    assert rates[0.01] < rates[0.05] < rates[0.1]
    assert all(item.label == "real" and item.pairs == 600 for item in cards.get(CARD).threshold)
    with pytest.raises(ConfigError, match=r"no threshold that was measured for the BPCER 0.2; measured: 0.01, 0.05, 0.1"):
        Analyzer(attributes=("liveness",), bpcer=0.2)


@pytest.mark.shared
@pytest.mark.assets
def test_the_authors_pictures_are_told_apart(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A smoke test, not an evaluation: one real face and one recaptured, the authors' own."""
    pytest.importorskip("torch", reason="the checkpoint is converted by torch")
    folder = shared / "data" / "antispoof" / "minivision"
    with settings.use(mirrors=(shared / "weights",)):
        for bpcer in (None, 0.05):
            analyzer = Analyzer(attributes=("liveness",), bpcer=bpcer)
            labels = {}
            for name in ("image_T1", "image_F1"):
                (face,) = analyzer.analyze([image.load(folder / f"{name}.jpg")])[0]
                item = face.attributes["liveness"]
                assert isinstance(item, Categorical)
                assert set(item.probabilities) == {"real", "fake"}
                labels[name] = item.label
            assert labels == {"image_T1": "real", "image_F1": "fake"}
        assert run(["analyze", str(folder / "image_T1.jpg"), "--require-live", "--quiet"]) == 0
        assert run(["analyze", str(folder / "image_F1.jpg"), "--require-live", "--quiet"]) == 2
    assert "not called real" in capfd.readouterr().err
