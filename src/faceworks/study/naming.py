"""Words for emotions in English and Korean, and patterns that read identity, condition and replicate from file names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..errors import ConfigError

__all__ = ["EMOTIONS", "KOREAN", "ORIGINAL", "PATTERNS", "Match", "Pattern", "canonical", "display", "nfc"]

EMOTIONS = ("neutral", "happy", "sad", "angry", "disgust", "fear", "surprise", "contempt")
"""The labels that the study speaks of; every model's and every rater's words are carried to them."""
KOREAN: Mapping[str, str] = {
    "neutral": "중립", "happy": "기쁨", "sad": "슬픔", "angry": "분노", "disgust": "혐오", "fear": "두려움", "surprise": "놀람",
    "contempt": "경멸", "other": "기타/해당 없음", "unsure": "불확실", "no face": "얼굴 없음",
}  # fmt: skip
ORIGINAL = "original"
"""Condition of a picture before any edit, where its name says so: a source, whatever else is neutral."""
_ALIASES = {
    "neutral": "neutral neutrality normal 중립 평범함 무표정",
    "happy": "happy happiness joy joyful smile smiling 행복 행복함 기쁨",
    "sad": "sad sadness 슬픔",
    "angry": "angry anger 분노 화남",
    "disgust": "disgust disgusted 혐오 역겨움",
    "fear": "fear fearful afraid scared 두려움 공포",
    "surprise": "surprise surprised 놀람 놀라움",
    "contempt": "contempt contemptuous 경멸",
    ORIGINAL: "original orig source 원본",
}
_KNOWN = {word: label for label, words in _ALIASES.items() for word in words.split()}


def nfc(text: str) -> str:
    """Unicode composed: macOS hands out Korean file names in decomposed letters."""
    return unicodedata.normalize("NFC", text)


def canonical(word: str, extra: Mapping[str, str] | None = None) -> str | None:
    """The label of a word ("Anger", "분노", "화남" -> "angry"), or None; `extra` are a study's own words, asked first."""
    key = nfc(word).strip().casefold()
    own = {nfc(name).strip().casefold(): label for name, label in (extra or {}).items()}
    return own.get(key) or _KNOWN.get(key)


def display(label: str, language: str) -> str:
    """The label as the reader's language has it."""
    return KOREAN.get(label, label) if language == "ko" else label


PATTERNS = ("{identity}_{condition}_{replicate}", "{condition}/{identity}", "{identity}/{condition}")
"""Tried in turn where no pattern is named. `_{replicate}` at the end may be absent."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a file name says."""

    identity: str
    condition: str
    replicate: str


class Pattern:
    """A pattern over a path without its suffix, relative to the study's folder.

    Raises:
        ConfigError: an unknown field, or one of identity and condition missing or doubled.
    """

    def __init__(self, text: str, extra: Mapping[str, str] | None = None) -> None:
        fields = re.findall(r"\{([^}]*)\}", text)
        known = ("identity", "condition", "replicate")
        if any(name not in known for name in fields) or any(fields.count(name) != 1 for name in known[:2]) or fields.count("replicate") > 1:
            raise ConfigError(f"a pattern holds {{identity}} and {{condition}} once each and may hold {{replicate}}, got {text!r}")
        self.text = text
        self.extra = extra
        # the words themselves, longest first: in "kim_b_angry_2" only "angry" can be the condition
        words = sorted({*_KNOWN, *(nfc(word).casefold() for word in extra or {})}, key=len, reverse=True)
        known_word = "(?i:" + "|".join(map(re.escape, words)) + ")"
        expression = "".join(_piece(part, known_word) for part in re.split(r"(_\{replicate\}$|\{[^}]*\})", text) if part)
        self._expression = re.compile(expression)

    def match(self, path: PurePosixPath) -> Match | None:
        """Identity, condition (a label) and replicate of a path relative to the folder, or None where the pattern does not explain it."""
        parts = nfc(path.as_posix())
        stem = parts[: -len(path.suffix)] if path.suffix else parts
        found = self._expression.fullmatch(stem)
        if found is None:
            return None
        groups = found.groupdict()
        label = canonical(groups["condition"], self.extra)
        return None if label is None else Match(groups["identity"], label, groups.get("replicate") or "")


def _piece(part: str, known_word: str) -> str:
    if part == "_{replicate}":
        return r"(?:_(?P<replicate>[^/_]+))?"
    if part == "{identity}":
        return r"(?P<identity>[^/]+?)"
    if part == "{condition}":
        return f"(?P<condition>{known_word})"
    if part == "{replicate}":
        return r"(?P<replicate>[^/_]+)"
    return re.escape(part)
