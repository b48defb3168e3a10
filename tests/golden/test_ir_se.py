"""IR-SE-50 against the original implementation (`tools/make_torch_golden.py ir-se`), on rule-made weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from faceworks import settings
from golden import torch_cases

pytest.importorskip("torch", reason="the network is torch's")
GOLDEN = json.loads(Path(__file__).with_name("torch_ir_se.json").read_text(encoding="utf-8"))


def test_loader_gives_the_originals_keys_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = torch_cases._face("arcface-ir-se50")
    monkeypatch.setitem(torch_cases.CASES, "ir_se", case)
    assert {key: list(value.shape) for key, value in case.network().state_dict().items()} == GOLDEN["keys"]
    with settings.use(cache=tmp_path):
        got = torch_cases.run("ir_se", tmp_path)["feature"].reshape(-1)
    entry = GOLDEN["outputs"]["feature"]
    assert got.size == entry["size"]
    assert np.abs(got[entry["places"]] - entry["values"]).max() <= 3e-5 * entry["scale"]
