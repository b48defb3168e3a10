"""The head that cards made in tests share."""

from __future__ import annotations

__all__ = ["card_head"]


def card_head(name: str, task: str = "embed", adapter: str = "onnx") -> str:
    """TOML of a free model's card up to its first `[[file]]`."""
    return f"""
schema = 1
name = "{name}"
task = "{task}"
adapter = "{adapter}"
summary = "made in a test"
paper = "none"
code = "none"
[license]
code = "MIT"
weights = "MIT"
commercial_use = true
"""
