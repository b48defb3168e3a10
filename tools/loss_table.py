"""Train a LeNet-size network with each loss on AT&T and write docs/reference/training-losses.md.

    python tools/loss_table.py ATT_FACES WORK [--seeds 1 2 3] [--write]

Each row trains `examples/train/triplet.toml` with another loss, 30 people, 10 epochs, and judges the *last* epoch on the 10 people held out (4,950 pairs);
a seed draws weights, batches and which people are held out. WORK keeps the figures (`losses.csv`), so that a run goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from faceworks.train import read_config, train
from faceworks.train.config import NamedConfig, TrainConfig
from faceworks.train.distributed import Group
from faceworks.train.tasks import build_task
from faceworks.train.verification import all_pairs, figures

ROOT = Path(__file__).resolve().parent.parent
SCALED = {"scale": 32.0}
LOSSES: dict[str, tuple[str, dict[str, object]]] = {
    "contrastive": ("contrastive", {"margin": 1.0}),
    "triplet, semi-hard": ("triplet", {"margin": 0.2, "miner": "semi-hard"}),
    "triplet, batch-hard": ("triplet", {"margin": 0.2, "miner": "batch-hard"}),
    "triplet, all": ("triplet", {"margin": 0.2, "miner": "all"}),
    "triplet, offline": ("triplet", {"margin": 0.2, "miner": "offline"}),
    "circle": ("circle", {"margin": 0.25, "scale": 80.0}),
    "softmax": ("softmax", {}),
    "center (with softmax)": ("center", {"weight": 0.01}),
    "NormFace": ("normface", SCALED),
    "SphereFace": ("sphereface", {"start": 100.0}),
    "CosFace": ("cosface", SCALED),
    "ArcFace": ("arcface", SCALED),
    "ArcFace, partial FC 0.5": ("arcface", {**SCALED, "partial": 0.5}),
    "combined margin": ("combined", SCALED),
    "CurricularFace": ("curricularface", SCALED),
    "MagFace": ("magface", {**SCALED, "least_norm": 4.0, "most_norm": 20.0}),
    "AdaFace": ("adaface", SCALED),
}


def configuration(data: Path, seed: int, loss: str = "triplet", arguments: dict[str, object] | None = None) -> TrainConfig:
    """The example with this loss: ten epochs of ten batches, the last one counts. Mined offline there is one triplet for each of the 300 pictures: 30 a batch."""
    base = read_config(
        ROOT / "examples/train/triplet.toml",
        [f'data.source="{data.resolve()}"', f"seed={seed}", "run.epochs=10", 'run.keep="last"', "run.evaluate_every=10"],
    )
    named = NamedConfig(loss, arguments or {})
    offline = (arguments or {}).get("miner") == "offline"
    return dataclasses.replace(base, loss=named, run=dataclasses.replace(base.run, batch=90 if offline else base.run.batch))


def baselines(data: Path, seed: int, work: Path) -> dict[str, dict[str, float]]:
    """The same network untrained, and the pixels themselves as vectors (mean brightness taken off)."""
    config = configuration(data, seed)
    torch.manual_seed(config.seed)
    task = build_task(config, work / "x", Group(), torch.device("cpu"), lambda line: None)
    people = np.asarray(task._held.pictures.labels["person"], np.int64)  # type: ignore[attr-defined]
    pixels = task._held.pixels.astype(np.float32).reshape(len(people), -1)  # type: ignore[attr-defined]
    return {"untrained network": task.evaluate(), "pixels": figures(*all_pairs(pixels - pixels.mean(axis=1, keepdims=True), people))}


def main() -> None:
    """Train what is missing; write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3], help="none: write what is there")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    table = options.work / "losses.csv"
    rows = list(csv.DictReader(table.open())) if table.is_file() else []
    done = {(row["name"], int(row["seed"])) for row in rows}

    def keep(name: str, seed: int, found: dict[str, float], seconds: float) -> None:
        rows.append({"name": name, "seed": str(seed), "auc": str(found["auc"]), "tar": str(found["tar_at_fmr_1%"]), "seconds": f"{seconds:.1f}"})
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        print(rows[-1], flush=True)

    for seed in options.seeds:
        if ("pixels", seed) not in done:
            for name, found in baselines(options.data, seed, options.work).items():
                keep(name, seed, found, 0)
        for name, (loss, arguments) in LOSSES.items():
            if (name, seed) not in done:
                began = time.process_time()
                folder = options.work / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
                result = train(configuration(options.data, seed, loss, arguments), folder, resume=False)
                keep(name, seed, result.history[-1], time.process_time() - began)
    if options.write and rows:
        write(rows)


def _spread(values: list[float], digits: int) -> str:
    mean = statistics.mean(values)
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else f"{mean:.{digits}f}"


def _seeds(rows: list[dict[str, str]]) -> str:
    count = len({row["seed"] for row in rows})
    if count == 1:
        return f"One run (seed {rows[0]['seed']}), so differences of some hundredths mean nothing."
    return f"Mean ± standard deviation over {count} seeds, which draw weights, batches and the people held out."


def write(rows: list[dict[str, str]]) -> None:
    """The page, best first."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    by = {name: [row for row in rows if row["name"] == name] for name in names}
    order = sorted(names, key=lambda name: -statistics.mean(float(row["auc"]) for row in by[name]))
    lines = [
        "<!-- Written by tools/loss_table.py. -->",
        "",
        "# Losses on AT&T",
        "",
        "A LeNet-size network (`lenet`, 64 numbers, 56x48 gray) trained with each loss on 30 of AT&T's 40 people: 10 epochs of 10 batches of 15 people x 4",
        "pictures (`examples/train/triplet.toml`), Adam, one thread. Judged after the last epoch on the 10 people who were never seen: 450 genuine and 4,500",
        f"impostor pairs. {_seeds(rows)} Thirty people rank nothing: the",
        "table shows that each loss learns, and about how well on a toy's budget; losses with margins were made for thousands of people.",
        "",
        "| loss | arguments | AUC | TAR at FMR 1 % | processor seconds |",
        "|---|---|---|---|---|",
    ]
    for name in order:
        arguments = ", ".join(f"{key} {value}" for key, value in LOSSES.get(name, ("", {}))[1].items() if key != "miner")
        seconds = statistics.mean(float(row["seconds"]) for row in by[name])
        auc, tar = _spread([float(row["auc"]) for row in by[name]], 4), _spread([float(row["tar"]) for row in by[name]], 3)
        lines.append(f"| {name} | {arguments} | {auc} | {tar} | {f'{seconds:.0f}' if seconds else ''} |")
    worst = min((name for name in names if name in LOSSES), key=lambda name: statistics.mean(float(row["auc"]) for row in by[name]))
    margin = statistics.mean(float(row["auc"]) for row in by[worst]) - statistics.mean(float(row["auc"]) for row in by["untrained network"])
    if margin <= 0:
        raise SystemExit(f"{worst} is not above the untrained network ({margin:.3f}): train it better before the page is written")
    lines += ["", f"Every loss is above chance (0.5) and above the untrained network; the least of them, {worst}, by {margin:.3f} of AUC."]
    if "triplet, offline" in by:
        lines += [
            "",
            "Offline mining takes the hardest triplets of half the set, afresh each epoch: what FaceNet warns of (section 3.2). It learns least in so few steps.",
        ]
    if missing := [name for name in LOSSES if name not in by]:
        lines += ["", f"Not run yet: {', '.join(missing)}. The script goes on where it was and writes the page anew."]
    (ROOT / "docs/reference/training-losses.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
