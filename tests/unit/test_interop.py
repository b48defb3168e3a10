"""Results in notebooks, data frames and other packages."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest

import faceworks
from faceworks import Categorical, Embedding, Face, FaceResult, Identification, Landmarks, Match, Scalar, Verification
from faceworks.cli import run
from faceworks.errors import InputError

POINTS = Landmarks(np.arange(10, dtype=np.float32).reshape(5, 2))
FACE = Face([1, 2, 3, 4], 0.5, POINTS, "toy")
RESULT = FaceResult(
    FACE,
    Embedding(np.ones(3, np.float32), 2.0, "m"),
    {"emotion": Categorical("happy", {"happy": 0.75, "sad": 0.25}), "age": Scalar(30.0, "years", (0, 100), 4.0)},
)
ANSWER = Identification(FACE, "<b>Ada</b>", (Match("<b>Ada</b>", 0.7, "s", "p1", 0.9),), "p1", 0.4, "card")
VERIFIED = Verification(True, 0.6, 0.4, "cosine", 0.637, "card", None, 1e-4, (FACE, FACE), {}, {"load": 0.1})


def test_data_frames():
    pytest.importorskip("pandas", reason="data frames need the extra study")
    frame = faceworks.to_dataframe([[RESULT, RESULT], []], ["a.jpg", "b.jpg"])
    assert frame[["picture", "face", "x1", "y2", "score", "emotion", "emotion.sad", "age", "age.spread", "norm"]].values.tolist() == [
        ["a.jpg", face, 1.0, 4.0, 0.5, "happy", 0.25, 30.0, 4.0, 2.0] for face in (0, 1)
    ]
    assert frame["vector"][0].tolist() == [1, 1, 1]
    assert faceworks.to_dataframe([FACE])["detector"].tolist() == ["toy"]
    assert faceworks.to_dataframe([[ANSWER]])[["person", "similarity", "probability"]].values.tolist() == [["<b>Ada</b>", 0.7, 0.9]]
    assert faceworks.to_dataframe(VERIFIED)[["verified", "distance", "fmr"]].values.tolist() == [[True, 0.4, 1e-4]]
    assert len(faceworks.to_dataframe([])) == 0
    with pytest.raises(InputError, match="one for each"):
        faceworks.to_dataframe([[FACE]], ["a", "b"])
    with pytest.raises(InputError, match="no result"):
        faceworks.to_dataframe([3])


def test_supervision():
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    found = faceworks.to_supervision([FACE, ANSWER])
    assert isinstance(found, supervision.Detections)
    assert found.xyxy.tolist() == [[1, 2, 3, 4]] * 2
    assert found.data["class_name"].tolist() == ["face", "<b>Ada</b>"]
    assert found.data["landmarks"].shape == (2, 5, 2)
    assert len(faceworks.to_supervision([])) == 0


@pytest.mark.parametrize(
    "value", [FACE, RESULT, ANSWER, VERIFIED, RESULT.attributes["emotion"], RESULT.attributes["age"]], ids=lambda item: type(item).__name__
)
def test_notebooks_and_terminals(value):
    page = value._repr_html_()
    assert page.startswith("<table>")
    assert type(value).__name__ in page
    assert "<b>" not in page
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(value)
    assert type(value).__name__ in console.export_text()


def test_html_says_what_is_there():
    page = VERIFIED._repr_html_()
    for text in ("verified", "yes", "0.637", "cosine", "probability", "–"):
        assert text in page
    assert "&lt;b&gt;Ada" in ANSWER._repr_html_()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell, capsys):
    assert run(["completion", shell]) == 0
    assert "_FACEWORKS_COMPLETE" in capsys.readouterr().out


def test_completion_completes():
    environment = {
        **os.environ,
        "_FACEWORKS_COMPLETE": "bash_complete",
        "COMP_WORDS": "faceworks ver",
        "COMP_CWORD": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run([sys.executable, "-m", "faceworks"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert "plain,verify" in done.stdout.split()
    environment["COMP_WORDS"], environment["COMP_CWORD"] = "faceworks verify --thr", "2"
    done = subprocess.run([sys.executable, "-m", "faceworks"], env=environment, capture_output=True, text=True)
    assert "--threshold" in done.stdout
    environment["COMP_WORDS"], environment["COMP_CWORD"] = "faceworks detect --detector ssd", "3"
    done = subprocess.run([sys.executable, "-m", "faceworks"], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["plain,ssd-res10"]
