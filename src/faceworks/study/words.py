"""What a report says, in English and Korean. The English text stands where it is used; `templates/korean.toml` has it beside its translation."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from .naming import KOREAN as LABELS

__all__ = ["KOREAN", "Say", "speaker"]

Say: TypeAlias = Callable[..., str]
"""From an English text with `{named}` places, and what stands there, to the text in the report's language."""


def _catalog() -> dict[str, str]:
    sections = tomllib.loads((Path(__file__).parent / "templates" / "korean.toml").read_text(encoding="utf-8"))
    return {english: korean for section in sections.values() for english, korean in section.items()}


KOREAN: Mapping[str, str] = {**LABELS, **_catalog()}
"""English -> Korean, emotions included."""


def speaker(language: str) -> Say:
    """The function that says a text in a language ("en" or "ko"); a name that has no translation (of a model, of a file) stays as it is."""

    def say(text: str, /, **facts: object) -> str:
        chosen = KOREAN.get(text, text) if language == "ko" else text
        return chosen.format(**facts) if facts else chosen

    return say
