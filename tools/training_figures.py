"""Train what docs/howto/train.md shows as curves, and draw docs/images/train-*.svg.

    python tools/training_figures.py WORK [--att ATT_FACES] [--fer FER2013] [--seeds 1 2 3]

With --fer: `examples/train/emotion.toml`, held-out accuracy by epoch from He's beginning and from torch's own. With --att: FaceNet's five experiments on
`examples/train/triplet.toml`, ten epochs for each network. One thread. WORK keeps the runs, so that a call goes on where the last one was; the
figures are of processor minutes.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch

from faceworks.evaluate.svg import Axis, Series, line_chart
from faceworks.train import read_config, run_experiment, train
from faceworks.train.experiments import EXPERIMENTS

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
BEGINNINGS = {"he": "He’s beginning", "default": "torch’s own"}


def emotion_curve(fer: Path, work: Path) -> None:
    """Held-out accuracy of the seed's emotion network, with the commonest class and the bound that the test asks for."""
    series, epochs, common = [], 1, 0.0
    for kind, name in BEGINNINGS.items():
        changes = [f'data.source="{fer.resolve()}"', f'network.arguments.initialization="{kind}"', 'run.keep="last"', "run.evaluate_every=1"]
        result = train(read_config(ROOT / "examples/train/emotion.toml", changes), work / f"emotion-{kind}", report=print)
        rows = [row for row in result.history if "emotion_accuracy" in row]
        epochs, common = max(epochs, int(rows[-1]["epoch"])), rows[-1]["emotion_majority"]
        band = [(row["epoch"], row["emotion_accuracy"] - row["emotion_stderr"], row["emotion_accuracy"] + row["emotion_stderr"]) for row in rows]
        series.append(Series(name, [(row["epoch"], row["emotion_accuracy"]) for row in rows], band if kind == "he" else (), dots=True))
        print(f"{name}: {rows[-1]}")
    series.append(Series("commonest class", [(1.0, common), (float(epochs), common)], dashed=True))
    chart = line_chart(
        "the seed’s emotion network on half of FER2013’s test", series, Axis("epoch", 1.0, epochs), Axis("accuracy, held-out quarter", 0.1, 0.6)
    )
    (IMAGES / "train-emotion.svg").write_text(chart, encoding="utf-8")


def experiments(att: Path, work: Path, seeds: list[int]) -> None:
    """FaceNet's experiments, copied from where the command leaves them."""
    for name in EXPERIMENTS:
        every = 1 if name == "mining" else 10
        config = read_config(ROOT / "examples/train/triplet.toml", [f'data.source="{att.resolve()}"', "run.epochs=10", f"run.evaluate_every={every}"])
        run_experiment(name, config, work, seeds=seeds, report=print)
        shutil.copyfile(work / f"{name}.svg", IMAGES / f"train-{name}.svg")


def main() -> None:
    """Train what is missing; draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--att", type=Path)
    parser.add_argument("--fer", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.fer is not None:
        emotion_curve(options.fer, options.work)
    if options.att is not None:
        experiments(options.att, options.work, options.seeds)


if __name__ == "__main__":
    main()
