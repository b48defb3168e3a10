"""Networks and the checkpoint loader against the original implementations; see `torch_cases`.

Bound: rtol 1e-3 and atol 1e-4 of the output's scale. Achieved on x86: at most 6e-6 of the scale (EmoNet's valence), 3e-6 for the embedders,
2e-6 for RetinaFace, 1.2e-6 for MiniFASNet; `LIMIT` holds them a factor of some below the bound.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from faceworks import settings
from golden import torch_cases

pytest.importorskip("torch")

CASES = torch_cases.CASES
FIGURES = Path(__file__).with_name("torch_networks.json")
LIMIT = 3e-5
PARAMETERS = [pytest.param(name, marks=[pytest.mark.slow] if case.slow else []) for name, case in CASES.items()]


@functools.cache
def _outputs(name: str, folder: Path) -> dict[str, np.ndarray]:
    with settings.use(cache=folder):
        return torch_cases.run(name, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torch")


@pytest.mark.parametrize("name", PARAMETERS)
def test_loader_gives_the_committed_figures(name, folder):
    outputs = _outputs(name, folder)
    figures = json.loads(FIGURES.read_text())[name]
    assert list(figures) == list(outputs)
    for output, entry in figures.items():
        got = outputs[output].reshape(-1)
        assert got.size == entry["size"]
        values = np.array(entry["values"])
        np.testing.assert_allclose(got[entry["places"]], values, rtol=1e-3, atol=1e-4 * entry["scale"], err_msg=output)
        assert np.abs(got[entry["places"]] - values).max() <= LIMIT * entry["scale"], output


@pytest.mark.shared
@pytest.mark.parametrize("name", PARAMETERS)
def test_loader_gives_the_original_outputs_whole(name, folder, shared):
    meta = json.loads((shared / "golden" / f"{name}.json").read_text())
    case = CASES[name]
    assert meta["seed"] == torch_cases.SEED
    assert (tuple(meta["input"]), meta["range"], meta["outputs"]) == (case.shape, [case.low, case.high], list(case.outputs))
    own = {key: list(value.shape) for key, value in case.network().state_dict().items()}
    assert own == meta["keys"]
    outputs = _outputs(name, folder)
    for output, expected in np.load(shared / "golden" / f"{name}.npz").items():
        got = outputs[output].reshape(expected.shape)
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max(), err_msg=output)
        assert torch_cases.error(got, expected) <= LIMIT, output


@pytest.mark.shared
def test_every_original_case_is_covered(shared):
    assert {path.stem for path in (shared / "golden").glob("*.json")} == set(CASES)
