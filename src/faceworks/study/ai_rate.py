"""Ratings by an outside vision-language model: tasks out as JSONL, answers in as JSONL. faceworks sends nothing to anybody.

Every line of the export holds the picture's hash, a fixed prompt in Korean and English, and the JSON schema of the answer. An answer line is
`{"picture_sha256", "model", "date", "answer": {…}}`; the model becomes one more rater, of the source "ai".
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError, ManifestError
from .config import Scales, StudyConfig
from .manifest import Manifest
from .naming import EMOTIONS, display
from .ratings import OTHER, Rating, checked, limits

__all__ = ["PROMPT_VERSION", "export", "read_answers", "schema"]

PROMPT_VERSION = 1
"""Raised when the words of the prompt change: answers to different prompts are not one rater."""
_ENGLISH = (
    "You see a photograph of one face. Judge the picture alone. Choose the emotion that the face shows, one of: {choices}. Give its intensity from 0 (not at all) "
    "to 100 (very strong); valence from 1 (very unpleasant) to {va} (very pleasant) and arousal from 1 (very calm) to {va} (very excited), as the person seems to "
    "feel; and how natural the picture looks, from 1 (very unnatural) to {nat} (very natural). Answer with one JSON object that fits the schema and nothing else."
)
_KOREAN = (
    "한 사람의 얼굴 사진입니다. 사진만 보고 판단하십시오. 얼굴이 보이는 감정을 다음 중에서 고르십시오: {choices}. 그 강도를 0(전혀 없음)에서 "
    "100(매우 강함), 그 사람이 느끼는 것으로 보이는 정서가를 1(매우 불쾌)에서 {va}(매우 유쾌), 각성을 1(매우 차분)에서 {va}(매우 흥분), "
    "사진의 자연스러움을 1(매우 부자연)에서 {nat}(매우 자연)로 답하십시오. "
    "스키마에 맞는 JSON 객체 하나만 답하십시오."
)
QUESTIONS = ("emotion", "intensity", "valence", "arousal", "naturalness")


def schema(scales: Scales, choices: list[str]) -> dict[str, Any]:
    """JSON schema of an answer."""
    numbers = {name: dict(zip(("minimum", "maximum"), limits(name, scales), strict=True)) | {"type": "number"} for name in QUESTIONS[1:]}
    return {"type": "object", "properties": {"emotion": {"enum": choices}, **numbers}, "required": list(QUESTIONS), "additionalProperties": False}


def export(config: StudyConfig, manifest: Manifest) -> str:
    """JSONL, a line for each edit. The condition is not in it, so that nothing gives the answer away: show the model the file, not its name."""
    choices = [label for label in EMOTIONS if label in {item.condition for item in manifest.of_role("edit")}] + [OTHER]
    points = {"va": config.ratings.valence_arousal_points, "nat": config.ratings.naturalness_points}
    prompts = {
        "en": _ENGLISH.format(choices=", ".join(choices), **points),
        "ko": _KOREAN.format(choices=", ".join(f"{label}({display(label, 'ko')})" for label in choices), **points),
    }
    lines = []
    for item in sorted(manifest.of_role("edit"), key=lambda item: item.digest):
        entry = {
            "picture_sha256": item.digest,
            "path": str(item.path),
            "prompt_version": PROMPT_VERSION,
            "prompt": prompts,
            "schema": schema(config.ratings, choices),
        }
        lines.append(json.dumps(entry, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def read_answers(path: str | Path, config: StudyConfig, manifest: Manifest) -> list[Rating]:
    """Answers of outside models as ratings; the rater is "model (date)".

    Raises:
        ManifestError: with the line: no JSON, a missing or unknown key, a picture that is not in the study, a value outside its scale, a second answer.
        ConfigError: the file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    known = {item.digest: item.name for item in manifest.of_role("edit")}
    found: dict[tuple[str, str, str], Rating] = {}
    for line, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        entry = _entry(content, line)
        picture = known.get(entry["picture_sha256"])
        if picture is None:
            raise ManifestError(f"no edit of the study has the hash {entry['picture_sha256'][:12]!r}…", line, "picture_sha256")
        rater = f"{entry['model']} ({entry['date']})"
        answer = entry["answer"]
        if wrong := sorted(set(answer) ^ set(QUESTIONS)):
            raise ManifestError(f"the answer must hold exactly {', '.join(QUESTIONS)}; missing or unknown: {', '.join(wrong)}", line, "answer")
        for question in QUESTIONS:
            value = answer[question]
            if question != "emotion" and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise ManifestError(f"{question} must be a number, got {value!r}", line, question)
            item = Rating(rater, picture, question, checked(question, value, config.ratings, line, config.aliases), source="ai")
            if found.setdefault((rater, picture, question), item) is not item:
                raise ManifestError(f"{rater} answered for {picture} twice", line, "picture_sha256")
    if not found:
        raise ManifestError(f"{path} holds no answer")
    return list(found.values())


def _entry(content: str, line: int) -> Mapping[str, Any]:
    try:
        entry = json.loads(content)
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}", line) from error
    if not isinstance(entry, dict) or not isinstance(entry.get("answer"), dict):
        raise ManifestError("a line is an object with picture_sha256, model, date and answer (an object)", line)
    for key in ("picture_sha256", "model", "date"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise ManifestError(f"{key} is missing or empty: which model answered, and when, must be known", line, key)
    try:
        datetime.date.fromisoformat(entry["date"][:10])
    except ValueError as error:
        raise ManifestError(f"date must be ISO 8601 (2026-01-31), got {entry['date']!r}", line, "date") from error
    return entry
