"""Every tutorial runs from top to bottom; its two languages say the same things in the same order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
RUN = [*PAGES, *sorted((ROOT / "docs" / "howto").glob("*.md")), *sorted((ROOT / "docs" / "concepts").glob("*.md"))]
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


def needs(page):
    """Skip where an extra that the page imports is missing."""
    text = page.read_text(encoding="utf-8")
    for word in ("torch", "matplotlib", "scipy", "pyarrow", "sklearn", "pandas"):
        if re.search(rf"^(?:import|from) {word}\b", text, re.MULTILINE):
            pytest.importorskip(word, reason="the page needs an extra")
    for word, module in (("dlib-hog", "dlib"), ("faceworks study", "statsmodels"), ("faceworks.networks", "torch"), ("to_pandas", "pandas")):
        if word in text:
            pytest.importorskip(module, reason="the page needs an extra")


@pytest.mark.assets
@pytest.mark.parametrize("page", RUN, ids=lambda path: path.stem)
def test_the_code_runs(page):
    needs(page)
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "pages.py"), str(page)], cwd=ROOT, capture_output=True, text=True, timeout=600,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    if page.parent.name == "tutorials":
        assert "```text" in done.stdout
        blocks = tool.parse(page.read_text(encoding="utf-8"))
        assert len(tool.FIGURE.findall("\n".join(block.text for block in blocks if not block.kind))) == done.stdout.count('src="data:image/')


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_it_is_a_notebook_too(page, language):
    nbformat = pytest.importorskip("nbformat", reason="notebooks are checked by nbformat")
    blocks = tool.parse(page.read_text(encoding="utf-8"))
    book = nbformat.from_dict(tool.notebook(blocks, language))
    nbformat.validate(book)
    code = [cell.source for cell in book.cells if cell.cell_type == "code"]
    assert book.cells[0].source.startswith("# ")
    assert "shutil.copyfile" in code[0]
    assert [text for text in code if text in {block.text for block in blocks if block.kind == "python"}] == [
        block.text for block in blocks if block.kind == "python" and block.why is None
    ]


@pytest.mark.assets
def test_a_notebook_runs(tmp_path):
    """One whole notebook through a kernel, as a reader runs it; the code of the others is the pages' own."""
    pytest.importorskip("ipykernel", reason="a kernel is needed")
    nbformat = pytest.importorskip("nbformat", reason="notebooks are checked by nbformat")
    pytest.importorskip("nbclient", reason="a kernel's client is needed")
    binary = tmp_path / "bin"
    binary.mkdir()
    script = binary / "faceworks"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m faceworks "$@"\n')
    script.chmod(0o755)
    book = nbformat.from_dict(tool.notebook(tool.parse((ROOT / "docs/tutorials/gallery.md").read_text(encoding="utf-8")), "ko"))
    driver = tmp_path / "run.py"
    nbformat.write(book, tmp_path / "gallery.ipynb")
    driver.write_text(
        "import nbformat, nbclient\nbook = nbformat.read('gallery.ipynb', 4)\nnbclient.NotebookClient(book, timeout=120, kernel_name='python3').execute()\n"
        "nbformat.write(book, 'done.ipynb')\n"
    )
    path = f"{binary}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run([sys.executable, str(driver)], cwd=tmp_path, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src")})  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    printed = "".join(output.get("text", "") for cell in nbformat.read(tmp_path / "done.ipynb", 4).cells for output in cell.get("outputs", ()))
    assert "person_a_2 -> A" in printed
    assert "impostor_1 -> stranger" in printed
