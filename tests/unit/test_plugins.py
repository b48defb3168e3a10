"""Adapters by name: the built-in table, entry points of other packages, and helpful refusals."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from faceworks import detect as _function  # noqa: F401 - the function of that name must not hide the package below
from faceworks import optional, plugins
from faceworks.detect import ADAPTERS as DETECT
from faceworks.embed import ADAPTERS as EMBED
from faceworks.errors import CardError, MissingDependency


@pytest.mark.parametrize("reference", [*DETECT.values(), *EMBED.values()])
def test_every_built_in_adapter_resolves(reference: str) -> None:
    assert isinstance(plugins.resolve(reference), type)


def test_built_in_wins_over_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [EntryPoint("yunet", "nowhere:Nothing", group)])
    assert plugins.load_adapter("detect", "yunet", DETECT).__name__ == "Yunet"


def test_an_outside_package_adds_an_adapter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "outside_adapter.py").write_text("class Mine: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    asked: list[str] = []

    def points(group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint("mine", "outside_adapter:Mine", group)]

    monkeypatch.setattr("importlib.metadata.entry_points", points)
    assert plugins.load_adapter("detect", "mine", DETECT).__name__ == "Mine"
    assert asked == ["faceworks.detect"]
    sys.modules.pop("outside_adapter")


def test_a_near_miss_is_pointed_out() -> None:
    with pytest.raises(CardError, match="did you mean yunet"):
        plugins.load_adapter("detect", "yunett", DETECT)
    with pytest.raises(CardError, match=r"known: .*onnx"):
        plugins.load_adapter("embed", "zzz", EMBED)


def test_a_missing_extra_names_the_pip_line() -> None:
    with pytest.raises(MissingDependency, match=r"HEIC needs the package 'no_such_package', .*pip install 'faceworks\[heic\]'") as caught:
        optional.require("no_such_package.sub", "heic", "HEIC")
    assert isinstance(caught.value, ImportError)
    assert optional.require("json", "all", "x").dumps([1]) == "[1]"
