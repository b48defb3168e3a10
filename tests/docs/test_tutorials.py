"""Every tutorial runs from top to bottom; its two languages say the same things in the same order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
sys.path.insert(0, str(ROOT / "tools"))
import pages as tool  # noqa: E402


def test_a_page_is_parsed_into_blocks():
    blocks = tool.parse('a\n\n<!-- en -->\nb\n<!-- ko -->\nc\n<!-- both -->\n```python\nprint(1)\n```\n```bash not-run="no network"\nx\n```\nd\n')
    assert [(block.kind, block.text.strip(), block.language, block.why) for block in blocks] == [
        ("", "a", "both", None), ("", "b", "en", None), ("", "c", "ko", None), ("python", "print(1)", "both", None),
        ("bash", "x", "both", "no network"), ("", "d", "both", None),
    ]  # fmt: skip
    assert tool.render(blocks, ["", "", "", "1\n", "", ""], {}, "ko").split("\n\n")[1:4] == ["c", "```python\nprint(1)\n```", "```text\n1\n```"]
    with pytest.raises(SystemExit, match="not closed"):
        tool.parse("```python\nx")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_both_languages_are_there(page):
    blocks = tool.parse(page.read_text(encoding="utf-8"))
    spoken = [block.language for block in blocks if not block.kind and block.language != "both"]
    turns = [
        language for place, language in enumerate(spoken) if place == 0 or spoken[place - 1] != language
    ]  # a figure parts the prose of a language
    assert turns.count("en") == turns.count("ko") > 2
    assert any(block.kind == "python" and block.why is None for block in blocks)


@pytest.mark.assets
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_code_runs(page):
    for word in {"torch", "matplotlib", "scipy", "pyarrow"}:
        if f"import {word}" in page.read_text(encoding="utf-8"):
            pytest.importorskip(word, reason="the page needs an extra")
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "pages.py"), str(page)], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "src")})  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "```text" in done.stdout
