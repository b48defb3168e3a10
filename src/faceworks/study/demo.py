"""`study demo`: a study whose conclusions are known beforehand. Sample portraits under our own warps, with controls."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import assets, cards, geometry, image, landmarks
from ..errors import ConfigError, FaceworksError
from ..types import ImageArray
from . import config, manifest
from .check import suggested
from .measure import pipeline_for
from .run import run
from .warps import EXPRESSIONS, express

__all__ = ["CONTROLS", "make", "portrait", "run_demo", "verdicts"]

PEOPLE = ("person_a_1", "person_b_1", "impostor_1", "impostor_2")
CONTROLS = ("re-encode", "no change", "identity swap")
"""What must come out: re-encoded pictures stay verified and local; unchanged ones lie in the lazy corner; swapped ones are not verified."""
SIZE = 640


def make(folder: Path) -> Path:
    """Fetch the sample portraits, edit them, write pictures, manifest.csv, study.toml and CREDITS.md into `folder`; returns the manifest.

    Raises:
        ConfigError: the folder cannot be written, or holds something.
        AssetUnavailable: the package index cannot give the pictures or the models.
    """
    card = cards.get("samples", "data")
    paths = {file.role: path for file, path in zip(card.file, assets.fetch_all(card.file), strict=True)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty; name another folder with --out")
        (folder / "pictures").mkdir()
        shutil.copyfile(paths["credits"], folder / "CREDITS.md")
    except OSError as error:
        raise ConfigError(f"cannot write into {folder}: {error.strerror or error}; name another folder with --out") from error
    sources = {name: _sample(paths[name]) for name in PEOPLE}
    rows: list[Mapping[str, str]] = []

    def keep(identity: str, name: str, pixels: ImageArray, role: str, condition: str, generator: str, control: str = "", suffix: str = "png") -> None:
        file = f"pictures/{identity}_{name}.{suffix}"
        image.save(folder / file, pixels)
        rows.append({"identity": identity, "picture": file, "role": role, "condition": condition, "generator": generator, "control": control})

    for position, (name, (pixels, points)) in enumerate(sources.items()):
        keep(name, "source", pixels, "source", "neutral", "photograph")
        for emotion in EXPRESSIONS:
            keep(name, emotion, express(pixels, points, emotion), "edit", emotion, "landmark warp")
        keep(name, "re-encode", pixels, "edit", "neutral", "JPEG", "re-encode", "jpg")
        flat = pixels.copy()
        flat[0, 0] ^= 1  # one bit: no change to see, but a file of its own
        keep(name, "no-change", flat, "edit", "happy", "copy", "no change")
        other, other_points = sources[PEOPLE[(position + 1) % len(PEOPLE)]]
        keep(name, "swap", express(other, other_points, "happy", 0.5), "edit", "happy", "other person", "identity swap")
    manifest.write(folder / manifest.FILE, rows)
    (folder / config.FILE).write_text(config.default_text("en", *suggested()), encoding="utf-8")
    return folder / manifest.FILE


def _sample(path: Path) -> tuple[ImageArray, Any]:
    found = portrait(path)
    if found is None:
        raise FaceworksError(f"no face was found in the sample {path.name}: the fetched models do not work here")
    return found


def portrait(path: Path) -> tuple[ImageArray, Any] | None:
    """Head and shoulders of the largest face, at most `SIZE` wide and enlarged at most threefold, with its 68 points (68, 2); None without a face."""
    pixels = image.load(path)
    pipeline = pipeline_for(config.StudyConfig().detector, config.StudyConfig().embedders[0])
    faces = pipeline.find([pixels])
    if not faces[0]:
        return None
    face = landmarks.ensure([pixels], faces, landmarks.load_landmarker(config.StudyConfig().landmarker))[0][0]
    assert face.landmarks is not None
    points = np.asarray(face.landmarks.points, np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    side = 2.6 * float((high - low).max())
    corner = np.maximum((low + high) / 2 - [side / 2, 0.55 * side], 0)
    width, height = (min(side, pixels.shape[1] - corner[0]), min(side, pixels.shape[0] - corner[1]))
    scale = min(SIZE / max(width, height), 3.0)
    matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    return image.warp(pixels, matrix, (round(height * scale), round(width * scale)), border="replicate", interpolation="cubic"), geometry.apply(
        matrix, points
    )


def run_demo(out: Path, executor: str = "serial", progress: bool = True) -> dict[str, Any]:
    """Make the material in `out`/study and run the study into `out`."""
    if (out / "study").exists():
        shutil.rmtree(out / "study")  # ours, made by an earlier demo
    path = make(out / "study")
    return run(path, out, executor=executor, progress=progress, skip_missing=True)  # type: ignore[arg-type]


def verdicts(document: Mapping[str, Any]) -> list[tuple[str, bool, str]]:
    """What the demo promises, whether it holds, and the numbers: (sentence, held, figures)."""
    controls = {row["control"]: row for row in document["results"]["controls"]}
    first = document["results"]["identity"]["verified"]
    swap, same, again = (controls[name] for name in ("identity swap", "no change", "re-encode"))
    warped = [row for row in document["locality"] if not row["control"]]
    local = sum(row["verdict"] == "local" for row in warped)
    kept = {name: next(iter(rates.values())) for name, rates in first.items()}
    return [
        (
            "identity swaps are caught by every embedder",
            swap["verified"] == 0,
            f"{swap['pairs'] - swap['verified']} of {swap['pairs']} pairs refused",
        ),
        ("unchanged pictures lie in the lazy corner", same["lazy"] == same["edits"], f"{same['lazy']} of {same['edits']}"),
        ("re-encoded pictures stay the same person", again["verified"] == again["pairs"], f"{again['verified']} of {again['pairs']} pairs verified"),
        ("re-encoding is called local", again["local"] == again["edits"], f"{again['local']} of {again['edits']}"),
        ("warps of the face alone are called local", local == len(warped), f"{local} of {len(warped)}"),
        (
            "warped expressions keep the identity",
            all(v["k"] == v["n"] for v in kept.values()),
            ", ".join(f"{n} {v['k']}/{v['n']}" for n, v in kept.items()),
        ),
    ]
