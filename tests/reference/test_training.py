"""Training on real pictures, to stated figures, in minutes on one core. Slow: `make test MARKS=slow`.

Figures are of the last epoch on people or pictures that were never trained on (RetinaFace's overfit apart, which is one by intent). `-s` shows them.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from faceworks.train import read_config, run_experiment, train  # noqa: E402
from faceworks.train.distributed import Group  # noqa: E402
from faceworks.train.losses import LOSSES  # noqa: E402
from faceworks.train.tasks import build_task  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.shared]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "train"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def example(name: str, source: Path, *changes: str):
    return read_config(EXAMPLES / f"{name}.toml", [f'data.source="{source}"', 'run.keep="last"', *changes])


@pytest.fixture(scope="module")
def att(shared) -> Path:
    return shared / "data" / "att_faces"


@pytest.fixture(scope="module")
def untrained(att, tmp_path_factory) -> float:
    """AUC of the network as it begins."""
    config = example("triplet", att)
    torch.manual_seed(config.seed)
    return build_task(config, tmp_path_factory.mktemp("x"), Group(), torch.device("cpu"), lambda line: None).evaluate()["auc"]


def test_triplets_with_semi_hard_mining_know_unseen_people_and_an_autoencoder_less_so(att, untrained, tmp_path):
    triplet = train(example("triplet", att, "run.evaluate_every=25"), tmp_path / "triplet").history[-1]
    drawn = train(example("autoencoder", att, "run.evaluate_every=40"), tmp_path / "autoencoder").history[-1]
    print(f"untrained {untrained:.4f}, triplet {triplet['auc']:.4f}, autoencoder {drawn['auc']:.4f}, drawing {drawn['drawing']:.4f}")
    assert triplet["auc"] >= 0.95
    assert triplet["auc"] > untrained + 0.05
    assert drawn["drawing"] > -0.1, "it draws: less than half the variance of a picture is left"
    assert drawn["auc"] < triplet["auc"] - 0.02, "drawing well is not knowing people"


@pytest.mark.parametrize("loss", list(LOSSES))
def test_every_loss_beats_chance_and_the_untrained_network(att, untrained, tmp_path, loss):
    """By 0.4 and 0.02 of AUC, after ten epochs of ten batches."""
    arguments = {"sphereface": {"start": 100.0}, "magface": {"scale": 32.0, "least_norm": 4.0, "most_norm": 20.0}, "circle": {"scale": 80.0}}.get(
        loss, {"scale": 32.0} if loss in ("normface", "cosface", "arcface", "combined", "curricularface", "adaface") else {}
    )
    named = ", ".join(f"{key} = {value}" for key, value in arguments.items())
    config = example("triplet", att, f'loss={{name = "{loss}", arguments = {{ {named} }}}}', "run.epochs=10", "run.evaluate_every=10")
    found = train(config, tmp_path / "run").history[-1]["auc"]
    print(f"{loss}: {found:.4f}, untrained {untrained:.4f}")
    assert found > 0.9
    assert found > untrained + 0.02


def test_mobilefacenet_learns_on_the_same_people(att, tmp_path):
    changes = ['network={name="mobilefacenet", arguments={dim=64, size=[48, 48]}}', "input.size=[48, 48]", 'input.color="RGB"']
    changes += [
        "input.mean=[127.5, 127.5, 127.5]",
        "input.std=[127.5, 127.5, 127.5]",
        "run.people=8",
        "run.pictures=3",
        "run.steps=8",
        "run.epochs=4",
        "run.evaluate_every=4",
    ]
    config = example("triplet", att, *changes)
    torch.manual_seed(config.seed)
    before = build_task(config, tmp_path / "x", Group(), torch.device("cpu"), lambda line: None).evaluate()["auc"]
    after = train(config, tmp_path / "run").history[-1]["auc"]
    print(f"MobileFaceNet: {before:.4f} → {after:.4f}")
    assert after > max(0.8, before + 0.05)


def test_the_seeds_emotion_network_learns_from_hes_beginning(shared, tmp_path):
    source = shared / "data" / "emotion" / "fer2013_privatetest"
    result = train(example("emotion", source, "run.evaluate_every=4"), tmp_path / "he")
    last = result.history[-1]
    print([round(row["emotion_accuracy"], 3) for row in result.history if "emotion_accuracy" in row], last)
    assert last["emotion_accuracy"] >= 0.38
    assert last["emotion_accuracy"] > last["emotion_majority"] + 3 * last["emotion_stderr"]


def test_torchs_own_beginning_stays_near_the_majority(shared, tmp_path):
    source = shared / "data" / "emotion" / "fer2013_privatetest"
    accuracy = {}
    for kind in ("he", "default"):
        changes = [f'network.arguments.initialization="{kind}"', "run.epochs=4", "run.evaluate_every=4"]
        found = train(example("emotion", source, *changes), tmp_path / kind).history[-1]
        accuracy[kind] = found["emotion_accuracy"]
    print(accuracy, found["emotion_majority"])
    assert accuracy["he"] > accuracy["default"]
    assert abs(accuracy["default"] - found["emotion_majority"]) < 3 * found["emotion_stderr"]


def test_levi_hassner_beats_the_majority(shared, tmp_path):
    changes = ["input.size=[75, 75]", "network.arguments.size=75", "run.epochs=20", "run.evaluate_every=20"]
    found = train(example("age_gender", shared / "data" / "age_gender" / "utkface", *changes), tmp_path / "run").history[-1]
    print(found)
    for target in ("age_group", "gender"):
        assert found[f"{target}_accuracy"] > found[f"{target}_majority"] + 3 * found[f"{target}_stderr"], target


def test_retinaface_overfits_nine_photos_with_all_four_terms(shared, tmp_path):
    changes = ['data.kind="imglab"', "data.held_out=0.0", "detection.size=320", "detection.crop_shares=[]", "detection.dense=true"]
    changes += ['network.name="retinaface-dense-mobilenet-0.25"', 'optimizer={name="adam", rate=0.004, schedule="cosine", weight_decay=0.0}']
    changes += ["augment={mirror=false}", "run.batch=9", "run.epochs=120", "run.evaluate_every=40", "run.checkpoint_every=0"]
    result = train(example("retinaface", shared / "data" / "detection" / "dlib", *changes), tmp_path / "run", report=print)
    first, last = result.history[0], result.history[-1]
    print(last)
    assert last["recall"] >= 0.95
    assert last["precision"] >= 0.8
    for term in ("cls", "box", "pts", "pixel"):
        assert 0 < last[term] < first[term], term


def test_facenets_experiments_on_spoiled_pictures(att, tmp_path):
    config = example("triplet", att, "run.epochs=8", "run.evaluate_every=8")
    size = {row.value: row.auc for row in run_experiment("size", config, tmp_path, [12, 24, 96])}
    quality = {row.value: row.auc for row in run_experiment("jpeg", config, tmp_path, [5, 20, 90])}
    print(size, quality)
    assert size[12] < size[24] <= size[96] + 0.01
    assert quality[5] < quality[90]
    assert math.isclose(quality[20], quality[90], abs_tol=0.05), "FaceNet: quality 20 is nearly as good"
    for name in ("size", "jpeg"):
        assert (tmp_path / f"{name}.svg").read_text().startswith("<svg")
        assert len((tmp_path / f"{name}.csv").read_text().splitlines()) == 4
    assert np.isfinite(list(size.values())).all()
