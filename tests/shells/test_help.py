"""Help: light, complete, and equal to what is documented."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import faceworks
from faceworks import similarity
from faceworks.cli import app, options
from faceworks.cli.app import COMMANDS
from faceworks.pipeline import PipelineSpec

from .conftest import Command

ROOT = Path(__file__).resolve().parents[2]


def names(command: click.Command = app, prefix: str = "faceworks") -> list[str]:
    context = click.Context(command)
    below = [(word, command.get_command(context, word)) for word in command.list_commands(context)] if isinstance(command, click.Group) else []
    return [prefix] + [name for word, item in below if item is not None for name in names(item, f"{prefix} {word}")]


@pytest.mark.parametrize("words", [["--help"], ["--version"], *[[*name.split()[1:], "--help"] for name in names()[1:]]], ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom faceworks.cli import run\ncode = run(sys.argv[1:])\n"
        "sys.stderr.write(' '.join(name for name in sys.modules if '.' not in name or name.startswith('faceworks.cli.')))\nsys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split())
    assert not loaded & {"numpy", "cv2", "onnxruntime", "onnx", "rich", "PIL", "h5py", "asyncio"}
    if words[0].startswith("--"):
        assert {name for name in loaded if name.startswith("faceworks.cli.")} == {"faceworks.cli.app"}


def test_the_table_of_commands_says_what_the_commands_say(command: Command) -> None:
    text = command("--help").out
    for name, (place, short) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        item = getattr(importlib.import_module(module), attribute)
        assert (item.name, item.get_short_help_str(200)) == (name, short)
        assert short in text
    assert command("--version").out == f"faceworks {faceworks.__version__}\n"


def test_choices_are_those_of_the_library() -> None:
    assert options.METRICS == similarity.METRICS
    assert set(options.SPEC_OPTIONS) == set(PipelineSpec.__dataclass_fields__)


def test_every_command_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == names()


def test_generated_documents_are_fresh() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "docs.py"), "--check"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.assets
@pytest.mark.slow
def test_the_commands_of_the_readme_run_as_it_says(command: Command, tmp_path: Path, samples: object) -> None:
    assert command("demo", "--out", tmp_path / "demo", "--quiet").out == "as expected\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    words = [sys.executable, str(ROOT / "tools" / "readme.py"), "--folder", str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.assets
def test_the_demo_finds_everybody_and_decides_rightly(command: Command, tmp_path: Path, samples: object) -> None:
    import json

    result = command("demo", "--out", tmp_path / "demo", "--json")
    document = json.loads(result.out)
    assert result.code == 0
    assert len(document["group"]["faces"]) == 29
    assert len(document["pairs"]) == 15
    assert document["unexpected"] == []
    assert [pair["verified"] for pair in document["pairs"]] == [pair["same_person"] for pair in document["pairs"]]
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    assert written == {"same.jpg", "different.jpg", "group.jpg", "pictures", "CREDITS.md"}
    assert "CC BY-SA" in (tmp_path / "demo" / "CREDITS.md").read_text(encoding="utf-8")
