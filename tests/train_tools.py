"""Made faces to train on: a pattern for each person, moved and lit a little differently in each picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from faceworks import image

CONFIG = """
name = "made-{task}"
task = "{task}"
seed = 3
[data]
kind = "folders"
source = "faces"
held_out = 0.3
[input]
crop = "box:1"
size = [16, 16]
color = "GRAY"
mean = [127.5]
std = [127.5]
[network]
name = "lenet"
arguments = {{ dim = 8, size = [16, 16] }}
[loss]
name = "{loss}"
[augment]
shift = 1
[optimizer]
name = "adam"
rate = 0.01
[run]
epochs = 3
batch = 16
{run}
[license]
weights = "MIT"
commercial_use = true
{more}
"""


def made_faces(folder: Path, people: int = 10, pictures: int = 6, side: int = 16) -> Path:
    """A folder of person folders."""
    rng = np.random.default_rng(0)
    for person in range(people):
        pattern = rng.uniform(40, 215, (4, 4)).repeat(side // 4, axis=0).repeat(side // 4, axis=1)
        (folder / f"p{person:02d}").mkdir(parents=True, exist_ok=True)
        for k in range(pictures):
            noisy = np.roll(pattern, rng.integers(-1, 2, 2), axis=(0, 1)) + rng.normal(0, 10, (side, side)) + rng.uniform(-15, 15)
            image.save(folder / f"p{person:02d}" / f"{k}.png", np.clip(noisy, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2))
    return folder


def write_config(folder: Path, task: str = "embedding", loss: str = "arcface", run: str = "", more: str = "") -> Path:
    """A configuration beside its faces."""
    if not (folder / "faces").is_dir():
        made_faces(folder / "faces")
    path = folder / "config.toml"
    path.write_text(CONFIG.format(task=task, loss=loss, run=run, more=more))
    return path
