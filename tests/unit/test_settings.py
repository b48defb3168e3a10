"""Settings: precedence, strictness, and no trace left behind."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faceworks import settings
from faceworks.errors import ConfigError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CACHE", "MIRRORS", "OFFLINE", "CONFIG"):
        monkeypatch.delenv(f"FACEWORKS_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def write(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("FACEWORKS_CONFIG", str(path))
    return path


def test_defaults() -> None:
    found = settings.current()
    assert found.cache.name == "faceworks"
    assert (found.mirrors, found.offline, found.threads, found.license) == ((), False, 0, "any")


def test_environment_over_file_over_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 'cache = "/from/file"\nthreads = 3\noffline = true\nmirrors = ["/a", "~/b"]', monkeypatch)
    found = settings.current()
    assert (found.cache, found.threads, found.offline) == (Path("/from/file"), 3, True)
    assert found.mirrors == (Path("/a"), tmp_path / "b")
    monkeypatch.setenv("FACEWORKS_CACHE", "/from/env")
    monkeypatch.setenv("FACEWORKS_MIRRORS", os.pathsep.join(["/x", "", "/y"]))
    monkeypatch.setenv("FACEWORKS_OFFLINE", "0")
    found = settings.current()
    assert (found.cache, found.mirrors, found.offline) == (Path("/from/env"), (Path("/x"), Path("/y")), False)


def test_a_file_in_the_home_folder_is_read(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "faceworks"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("threads = 2")
    assert settings.current().threads == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("thread = 2", "unknown setting 'thread'; allowed: .*threads"),
        ('threads = "2"', "'threads' has the wrong type str"),
        ("threads = true", "'threads' has the wrong type bool"),
        ("offline = 1", "'offline' has the wrong type int"),
        ('mirrors = "/a"', "'mirrors' has the wrong type str"),
        ("cache = 3", "'cache' has the wrong type int"),
        ("threads = -1", "threads must be 0"),
        ("max_image_pixels = 0", "must be positive"),
        ('license = "free"', "'any' or 'commercial'"),
        ("threads = ", "cannot read settings"),
    ],
)
def test_a_wrong_file_is_named(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, text, monkeypatch)
    with pytest.raises(ConfigError, match=message):
        settings.current()


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEWORKS_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="does not exist"):
        settings.current()


def test_a_file_that_is_not_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "", monkeypatch).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read settings"):
        settings.current()


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("YES", True), ("on", True), ("0", False), ("", False), ("off", False)])
def test_switch(text: str, value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEWORKS_OFFLINE", text)
    assert settings.current().offline is value


def test_a_switch_that_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEWORKS_OFFLINE", "maybe")
    with pytest.raises(ConfigError, match="FACEWORKS_OFFLINE must be 1 or 0, got 'maybe'"):
        settings.current()


def test_use_is_scoped_nested_and_undone() -> None:
    before = settings.current()
    with settings.use(threads=1) as outer:
        with settings.use(offline=True) as inner:
            assert (inner.threads, inner.offline) == (1, True)
            assert settings.current() == inner
        assert settings.current() == outer
    assert settings.current() == before


def test_use_is_undone_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="inside"), settings.use(threads=7):
        raise RuntimeError("inside")
    assert settings.current().threads == 0


def test_use_stays_in_its_thread() -> None:
    with settings.use(threads=5), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: settings.current().threads).result() == 0


def test_use_refuses_an_unknown_setting() -> None:
    with pytest.raises(TypeError, match="thread"), settings.use(thread=1):
        pass


def test_a_child_gets_proxies_and_pip_options_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://example.org/simple")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    child = settings.isolated_environment(tmp_path)
    assert child["PIP_INDEX_URL"] == "https://example.org/simple"
    assert child["HTTPS_PROXY"] == "http://proxy:3128"
    assert child["HOME"] == str(tmp_path)
    assert "AWS_SECRET_ACCESS_KEY" not in child
