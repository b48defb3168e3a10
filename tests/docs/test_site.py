"""The documentation as a whole: every block runs or says why not, every command line exists, references are complete, the Korean README keeps pace, the site builds."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import faceworks
from faceworks.cli import app

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import pages as tool  # noqa: E402

WRITTEN = sorted(path for part in ("tutorials", "concepts", "howto", "seeds", ".") for path in (ROOT / "docs" / part).glob("*.md"))
BY_HAND = [
    path
    for path in WRITTEN
    if "    python bench/" not in path.read_text(encoding="utf-8") and "    sh bench/" not in path.read_text(encoding="utf-8")
]
SHOWN = {"text", "toml", "json"}
"""Kinds of blocks that are no code: outputs, drawings, configuration."""


@pytest.mark.parametrize("page", BY_HAND, ids=lambda path: path.relative_to(ROOT / "docs").as_posix())
def test_every_block_runs_or_says_why_not(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^```(.*)$", text, re.MULTILINE)[::2]
    for fence in fences:
        assert tool.FENCE.match(f"```{fence}"), f"a fence that is not understood: {fence}"
        kind = fence.split(" ")[0]
        assert kind in ({"python", "console"} | SHOWN) or 'not-run="' in fence, f"a block of {kind or 'no kind'} neither runs nor says why not"
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"\n\n    (?:\$ |faceworks |python |pip |import )", outside), "an indented block of code: fence it"
    for block in tool.parse(text):
        if block.kind == "console" and block.why is None:
            assert all(line.startswith("$ faceworks ") for line in block.text.splitlines()), "in a block that runs, every line is a command of ours"


def commands() -> list[tuple[str, str]]:
    found = []
    for path in [*WRITTEN, ROOT / "README.md", ROOT / "README.ko.md", ROOT / "docs/protocols/README.md"]:
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:console|bash).*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(path.name, line.removeprefix("$ ")) for line in lines if re.match(r"(?:\$ )?faceworks [a-z]", line)]
    return found


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda text: text[:60])
def test_every_command_line_exists(page: str, line: str) -> None:
    words = shlex.split(re.split(r"\s[|>]\s?", line)[0], comments=True)[1:]
    command: click.Command = app
    context = click.Context(app)
    while isinstance(command, click.Group) and words and (below := command.get_command(context, words[0])) is not None:
        command, context, words = below, click.Context(below, parent=context), words[1:]
    if isinstance(command, click.Group):
        assert not words or words[0].startswith("-") or command.invoke_without_command or command.no_args_is_help is False, f"{page}: {line}"
    known = {name for item in command.get_params(context) for name in (*item.opts, *item.secondary_opts)}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{page}: {line}: {word} is not an option of {command.name}"


def test_the_reference_of_python_names_everything_public() -> None:
    text = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    modules = {"align", "similarity", "geometry", "image", "types", "errors", "settings", "evaluate"}
    for name in set(faceworks.__all__) - modules - {"__version__", "FaceworksError"}:
        assert f"### faceworks.{name}\n" in text, name
    for name in modules - {"types"}:
        assert f"## faceworks.{name}\n" in text, name
    assert " at 0x" not in text


def test_the_reference_of_rest_names_every_route(tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the service is an extra")
    from faceworks.server.app import create_app
    from faceworks.server.options import ServerOptions

    text = (ROOT / "docs" / "reference" / "rest.md").read_text(encoding="utf-8")
    for path, methods in create_app(ServerOptions(data=tmp_path / "data")).openapi()["paths"].items():
        for method in methods:
            assert f"## {method.upper()} {path}\n" in text


def test_the_korean_readme_keeps_pace() -> None:
    """Same blocks of code and output, same headings, same tables: what it says in words is compared by people."""
    english, korean = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))

    def shape(text: str) -> tuple[object, ...]:
        blocks = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        return (
            blocks,
            re.findall(r"^(#+) ", prose, re.MULTILINE),
            [line.count("|") for line in prose.splitlines() if line.startswith("|")],
            sorted(re.findall(r"\]\((docs/[^)]+)\)", prose)),
            sorted(set(re.findall(r"\d+\.\d+(?: ± \d+\.\d+)? %", prose))),
        )

    for name, one, other in zip(("blocks", "headings", "tables", "links", "figures"), shape(english), shape(korean), strict=True):
        assert one == other, f"README.ko.md is behind README.md: {name}"


def test_the_site_builds_strictly_and_asks_nobody_else(tmp_path: Path) -> None:
    """Navigation, links and anchors with outputs left out (the pages' own test runs them); warnings are errors."""
    pytest.importorskip("material", reason="mkdocs-material is an extra")
    script = tmp_path / "build.py"
    script.write_text(
        "import sys\nsys.path.insert(0, 'tools')\nimport pages\n"
        "def bare(page):\n    blocks = pages.parse(page.read_text(encoding='utf-8'))\n"
        "    names = {f['name'] for b in blocks if not b.kind for f in pages.FIGURE.finditer(b.text)}\n"
        "    return blocks, [''] * len(blocks), dict.fromkeys(names, b'x')\n"
        "pages.executed = bare\n"
        "from mkdocs.commands.build import build\nfrom mkdocs.config import load_config\n"
        f"build(load_config('mkdocs.yml', site_dir={str(tmp_path / 'site')!r}, strict=True))\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "src")})  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    built = sorted((tmp_path / "site").rglob("*.html"))
    assert len(built) > 50
    for page in built:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="https?:|<link[^>]+(?:stylesheet|icon)[^>]+href="https?:', text), page.name
        assert ('<html lang="ko"' in text) == page.name.endswith(".ko.html")
    assert len(list((tmp_path / "site" / "tutorials").glob("*.ipynb"))) == 16
