"""The page on which people rate: one HTML file with pictures, blocks and questions inside. It talks to nobody and stores nothing but the ratings."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import image
from ..errors import InputError
from .blocks import make_blocks
from .config import StudyConfig
from .manifest import Manifest, Picture
from .naming import EMOTIONS, KOREAN, display
from .ratings import OTHER

__all__ = ["page_data", "rating_page"]

TEMPLATE = Path(__file__).parent / "templates" / "rate.html"


def rating_page(
    config: StudyConfig, manifest: Manifest, per_rater: int | None = None, raters: int | None = None, size: int = 512
) -> tuple[str, dict[str, Any]]:
    """The page and what it holds.

    Args:
        per_rater, raters: instead of the configuration's.
        size: pictures are shown with their longer side at most this.

    Raises:
        InputError: numbers that cannot be balanced, see `blocks.make_blocks`; a picture that cannot be read.
    """
    data = page_data(config, manifest, per_rater, raters)
    used = {item["picture"] for item in data["items"]} | {item["source"] for item in data["items"] if item["source"]}
    data["pictures"] = {item.name: _inline(item, size) for item in manifest.pictures if item.name in used}
    # "</" would end the script element that holds the data
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return TEMPLATE.read_text(encoding="utf-8").replace("__DATA__", text, 1), data


def page_data(config: StudyConfig, manifest: Manifest, per_rater: int | None = None, raters: int | None = None) -> dict[str, Any]:
    """Everything but the pixels: items, blocks (practice, ratings, attention checks), questions, labels. The same seed gives the same page."""
    scales = config.ratings
    edits = [item for item in manifest.of_role("edit") if not item.control]
    sources = {item.identity: item for item in reversed(manifest.of_role("source"))}
    owner = {item.name: item.identity for item in edits}
    per = scales.per_rater if per_rater is None else per_rater
    blocks = make_blocks([item.name for item in edits], owner, per, scales.raters if raters is None else raters, config.seed)
    place = {item.name: number for number, item in enumerate(edits)}
    choices = [label for label in EMOTIONS if label in {item.condition for item in edits}] + [OTHER]
    random = np.random.default_rng([config.seed, 1])
    digest = hashlib.sha256(f"{config.digest} {manifest.digest} {per}".encode()).hexdigest()[:16]
    return {
        "id": digest, "language": config.language, "consent": config.ratings.consent, "questions": list(scales.questions), "choices": choices,
        "valence_arousal_points": scales.valence_arousal_points, "naturalness_points": scales.naturalness_points,
        "labels": {language: {label: display(label, language) for label in EMOTIONS} for language in ("en", "ko")} | {"other": KOREAN["other"]},
        "items": [{"picture": item.name, "source": sources[item.identity].name} for item in edits],
        "blocks": [_trials(block, edits, place, choices, config, random) for block in blocks],
    }  # fmt: skip


def _trials(
    block: Sequence[str], edits: Sequence[Picture], place: dict[str, int], choices: Sequence[str], config: StudyConfig, random: np.random.Generator
) -> list[dict[str, Any]]:
    scales = config.ratings
    trials: list[dict[str, Any]] = [{"item": place[name], "kind": "rating"} for name in block]
    if "emotion" in scales.questions and scales.attention_checks:
        if min(len(block), len(edits)) < scales.attention_checks:
            raise InputError(f"{scales.attention_checks} attention checks in a block of {len(block)} pictures; lower ratings.attention_checks")
        spots = np.linspace(0, len(block), scales.attention_checks + 2)[1:-1].round().astype(int)
        used: set[int] = set()
        for spot in sorted(spots.tolist(), reverse=True):
            label = choices[int(random.integers(len(choices) - 1))]
            beside = {edits[trial["item"]].identity for trial in trials[max(0, spot - 1) : spot + 1]}
            free = [n for n, item in enumerate(edits) if item.identity not in beside and n not in used] or [
                n for n in range(len(edits)) if n not in used
            ]
            chosen = free[int(random.integers(len(free)))]
            used.add(chosen)
            trials.insert(spot, {"item": chosen, "kind": "check", "expected": label})
    first = [{"item": int(i), "kind": "practice"} for i in random.permutation(len(edits))[: scales.practice]]
    return first + trials


def _inline(item: Picture, size: int) -> str:
    from PIL import Image

    pixels = image.load(item.path)
    scale = min(1.0, size / max(pixels.shape[:2]))
    if scale < 1:
        pixels = image.resize(pixels, (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
