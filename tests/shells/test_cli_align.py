"""`faceworks landmarks` and `faceworks align`: what they write and what they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from conftest import need
from faceworks import image
from faceworks.cli.app import run

pytestmark = pytest.mark.assets


def test_align_writes_one_picture_for_each_face(samples: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("dlib-5")
    for strategy in ("similarity5", "square:1.3", "eyes:1.2", "facealigner", "dlib-chip", "none"):
        out = tmp_path / strategy.replace(":", "-")
        code = run(["align", str(samples["person_b_1"]), "--strategy", strategy, "--size", "96", "--out", str(out), "--json"])
        answer = json.loads(capsys.readouterr().out)
        assert code == 0
        assert [Path(item["crop"]).name for item in answer] == ["person_b_1-1.png"]
        assert image.load(answer[0]["crop"]).shape == (96, 96, 3)


def test_align_can_detect_again(samples: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["align", str(samples["person_b_1"]), "--strategy", "eyes:2", "--out", str(tmp_path), "--redetect", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["strategy"] == "eyes:2+redetect"


def test_align_names_an_unknown_strategy(samples: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["align", str(samples["person_b_1"]), "--strategy", "cubist", "--out", str(tmp_path)]) == 2
    assert "cubist" in capsys.readouterr().err


def test_landmarks_gives_the_scheme_that_was_asked(samples: Mapping[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    need("dlib-5")
    assert run(["landmarks", str(samples["person_b_1"]), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)[0]["faces"][0]
    assert run(["landmarks", str(samples["person_b_1"]), "--landmarker", "dlib-5", "--json"]) == 0
    asked = json.loads(capsys.readouterr().out)[0]["faces"][0]
    assert (len(plain["landmarks"]), plain.get("scheme")) == (5, None)
    assert (len(asked["landmarks"]), asked["scheme"]) == (5, "dlib5")
    assert plain["box"] == asked["box"]
