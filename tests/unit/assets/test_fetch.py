"""Order of sources, mirrors, offline, pins, locks, archives kept, and what happens when the disk says no."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from faceworks import assets
from faceworks.assets import clients, supply
from faceworks.assets.sources import Source, SourceFailure
from faceworks.cards import FileSpec
from faceworks.errors import AssetUnavailable, CardError, ChecksumMismatch

from .conftest import Server

DATA = b"weights" * 1000
Spec = Callable[..., FileSpec]


def zipped(**members: bytes) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in members.items():
            bundle.writestr(name.replace("__", "/"), data)
    return raw.getvalue()


def test_mirrors(tmp_path: Path, spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    wrong.mkdir()
    right.mkdir()
    (wrong / "weights.onnx").write_bytes(b"another file of that name")
    file = spec(DATA, "manual:ask the authors")
    monkeypatch.setenv("FACEWORKS_MIRRORS", str(wrong))
    assert (assets.locate(file), assets.status(file)) == (None, "manual")
    with pytest.raises(AssetUnavailable, match=r"get it by hand, .*mirror .*weights.onnx: sha256 is .*by hand: ask the authors"):
        assets.fetch(file)
    monkeypatch.setenv("FACEWORKS_MIRRORS", os.pathsep.join((str(wrong), str(right), str(tmp_path / "absent"))))
    for name in ("weights.onnx", hashlib.sha256(DATA).hexdigest()):
        (right / name).write_bytes(DATA)
        assert assets.locate(file) == right / name
        assert assets.status(file) == "ready"
        path = assets.fetch(file)
        assert path.read_bytes() == DATA
        assert "cache" in path.parts, "copied, so that later runs need not hash it"
        assert assets.remove(file)
        assert not assets.remove(file)
        (right / name).unlink()


def test_another_machines_cache_is_a_mirror(tmp_path: Path, spec: Spec, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    file = spec(DATA, server.put("/a", DATA))
    assets.fetch(file)
    monkeypatch.setenv("FACEWORKS_MIRRORS", str(tmp_path / "cache" / "files"))
    monkeypatch.setenv("FACEWORKS_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv("FACEWORKS_OFFLINE", "1")
    assert assets.fetch(file).read_bytes() == DATA


def test_offline(server: Server, spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.put("/a.zip", zipped(one=DATA, two=DATA[:10]))
    plain = server.put("/b", DATA)
    assets.fetch(spec(DATA, f"{url}!one"))
    monkeypatch.setenv("FACEWORKS_OFFLINE", "1")
    asked = len(server.pages["/a.zip"].asked)
    assert assets.fetch(spec(DATA[:10], f"{url}!two")).read_bytes() == DATA[:10], "the archive is here already"
    with pytest.raises(AssetUnavailable, match=r"while offline: unset FACEWORKS_OFFLINE, or put .*not asked"):
        assets.fetch(spec(b"other", plain, f"{server.url}/c.zip!x", "pypi:faceworks-none==1!x"))
    assert (len(server.pages["/a.zip"].asked), server.pages["/b"].asked) == (asked, [])


def test_status_verify_remove(server: Server, spec: Spec) -> None:
    file = spec(DATA, server.put("/a", DATA), "manual:or by hand")
    assert (assets.status(file), assets.verify(file), assets.locate(file)) == ("pull", False, None)
    path = assets.fetch(file)
    assert (assets.status(file), assets.verify(file), assets.locate(file)) == ("ready", True, path)
    path.write_bytes(DATA[:-1] + b"x")
    assert not assets.verify(file)
    assert assets.remove(file)
    assert assets.status(file) == "pull"
    assert assets.status(spec(DATA, "gdrive:1AbC")) == "manual"
    with pytest.raises(CardError):
        assets.status(spec(DATA, "nonsense"))


def test_truncated_cache_entry_is_fetched_again(server: Server, spec: Spec) -> None:
    file = spec(DATA, server.put("/a", DATA), bytes=len(DATA))
    assets.fetch(file).write_bytes(DATA[:5])
    assert assets.locate(file) is None
    assert assets.fetch(file).read_bytes() == DATA


def test_one_archive_for_several_files(server: Server, spec: Spec, cache: Path) -> None:
    archive = zipped(a__one=DATA, a__two=DATA[::-1])
    url = server.put("/x.zip?token=1", archive)
    files = [
        spec(DATA, f"{url}!a/one", name="one"),
        spec(DATA[::-1], f"{url}!a/two", name="two", archive_sha256=hashlib.sha256(archive).hexdigest()),
    ]
    assert [path.read_bytes() for path in assets.fetch_all(files, progress=False)] == [DATA, DATA[::-1]]
    assert len(server.pages["/x.zip?token=1"].asked) == 1
    assert len(list((cache / "archives").rglob("x.zip"))) == 1


def test_wrong_or_rotten_archive(server: Server, spec: Spec, cache: Path) -> None:
    url = server.put("/x.zip", zipped(one=DATA, two=DATA[:9]))
    with pytest.raises(AssetUnavailable, match="the archive's sha256 is"):
        assets.fetch(spec(DATA, f"{url}!one", archive_sha256="0" * 64))
    assert not list((cache / "archives").rglob("*.zip"))
    assets.fetch(spec(DATA, f"{url}!one"))
    (kept,) = (cache / "archives").rglob("x.zip")
    kept.write_bytes(b"PK rotten")
    assert assets.fetch(spec(DATA[:9], f"{url}!two")).read_bytes() == DATA[:9], "fetched afresh, once"
    with pytest.raises(AssetUnavailable, match=r"no member tow \(nearest: two\)"):
        assets.fetch(spec(DATA, f"{url}!tow", name="y", sha256="1" * 64))
    with pytest.raises(ChecksumMismatch):
        assets.fetch(spec(DATA, f"{url}!one", sha256="1" * 64))


def test_literal(server: Server, spec: Spec) -> None:
    url = server.put("/x.zip", zipped(**{"m.py": b"raise SystemExit\nWEIGHTS = " + repr(DATA).encode()}))
    assert assets.fetch(spec(DATA, f"{url}!m.py#WEIGHTS")).read_bytes() == DATA
    with pytest.raises(AssetUnavailable, match="no literal OTHER"):
        assets.fetch(spec(b"1", f"{url}!m.py#OTHER"))


def test_git_blob(server: Server) -> None:
    blob = hashlib.sha1(b"blob %d\0" % len(DATA) + DATA).hexdigest()
    file = FileSpec("model", (server.put("/a.pth", DATA),), git_blob=blob)
    path = assets.fetch(file)
    assert path.parent.name == f"git-{blob}"
    assert assets.verify(file)
    with pytest.raises(ChecksumMismatch, match="git blob hash"):
        assets.fetch(FileSpec("model", (server.put("/b.pth", DATA + b"x"),), git_blob=blob, name="b"))


def test_pin_on_first_use(server: Server, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = FileSpec("model", (server.put('/a"b.pth', DATA),), pin="first-use")
    with pytest.raises(CardError):
        assets.fetch(FileSpec("model", (f"{server.url}/a b",), pin="first-use"))
    path = assets.fetch(file)
    said = capsys.readouterr().err
    assert said.count("pinned SHA") == 1
    assert hashlib.sha256(DATA).hexdigest() in said
    assert assets.fetch(file) == path
    assert (assets.verify(file), assets.status(file)) == (True, "ready")
    assert assets.remove(file)
    assert assets.fetch(file) == path
    assert "pinned" not in capsys.readouterr().err, "the user is told once"
    assets.remove(file)
    server.put('/a"b.pth', DATA + b"changed")
    with pytest.raises(ChecksumMismatch, match=f"expected {hashlib.sha256(DATA).hexdigest()}"):
        assets.fetch(file)
    (cache / "lock.toml").write_text("pin = 3")
    with pytest.raises(AssetUnavailable, match=r"lock file .* cannot be read"):
        assets.fetch(file)


def test_pin_that_another_source_breaks(server: Server) -> None:
    first, second = server.put("/a", DATA), server.put("/b", b"other")
    assets.fetch(FileSpec("model", (first,), pin="first-use", name="x"))
    assets.remove(FileSpec("model", (first,), pin="first-use", name="x"))
    with pytest.raises(ChecksumMismatch):
        assets.fetch(FileSpec("model", (second, first), pin="first-use", name="x", bytes=5))


def test_fetch_all_tries_all(server: Server, spec: Spec) -> None:
    good = spec(DATA, server.put("/a", DATA))
    with pytest.raises(AssetUnavailable, match="by hand: one") as caught:
        assets.fetch_all([spec(b"1", "manual:one"), good, spec(b"2", "manual:two")])
    assert "by hand: two" in caught.value.__notes__[0]
    assert assets.status(good) == "ready"


def test_threads_download_once(server: Server, spec: Spec) -> None:
    file = spec(DATA, server.put("/a", DATA, "slow"))
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(assets.fetch(file, progress=False))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert len(server.pages["/a"].asked) == 1


HOLD = "from faceworks import assets\nwith assets.lock('key'):\n    print('held', flush=True)\n    input()\n"


def test_lock_waits_no_longer_than_told_and_dies_with_its_process(cache: Path) -> None:
    source = str(Path(assets.__file__).parents[2])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r})\n{HOLD}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline().strip() == b"held"
    with pytest.raises(AssetUnavailable, match=r"held the lock on key for 0 s"), assets.lock("key", wait=0.05):
        pass
    with assets.lock("another key", wait=0):
        pass
    process.kill()
    process.communicate()
    with assets.lock("key", wait=5):
        pass


def test_atomic_write(tmp_path: Path) -> None:
    path = tmp_path / "new" / "얼굴.onnx"
    assert assets.atomic_write(path, lambda out: out.write(b"one")) == 3
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()

    def fails(out: IO[bytes]) -> None:
        out.write(b"half")
        raise RuntimeError("converter")

    with pytest.raises(RuntimeError, match="converter"):
        assets.atomic_write(path, fails)
    assert path.read_bytes() == b"one"
    assert [item.name for item in path.parent.iterdir()] == [path.name]

    def full(out: IO[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(AssetUnavailable, match=r"the disk is full; free some space, or let FACEWORKS_CACHE"):
        assets.atomic_write(path, full)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_cache_that_cannot_be_written(tmp_path: Path, spec: Spec, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "occupied").write_text("a file where a folder should be")
    monkeypatch.setenv("FACEWORKS_CACHE", str(tmp_path / "occupied"))
    file = spec(DATA, server.put("/a", DATA))
    with pytest.raises(AssetUnavailable, match=r"cannot write to the cache at .*FACEWORKS_CACHE"):
        assets.fetch(file)
    (tmp_path / "weights.onnx").write_bytes(DATA)
    monkeypatch.setenv("FACEWORKS_MIRRORS", str(tmp_path))
    assert assets.fetch(file) == tmp_path / "weights.onnx", "a mirror's file is used where it is"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_in_mid_download(spec: Spec, server: Server, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    url = server.put("/a", DATA)
    part = assets.cache_folder("partial") / f"{supply._short(url)}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(AssetUnavailable, match="the disk is full"):
        module_download(url, part)


def module_download(url: str, part: Path) -> None:
    from faceworks.assets.download import _attempt, _Part

    _attempt(url, _Part(part), 1 << 20, None)


def test_bundled(spec: Spec) -> None:
    import faceworks

    path = Path(faceworks.__file__).with_name("py.typed")
    file = spec(path.read_bytes(), "bundled:py.typed")
    assert assets.fetch(file) == assets.locate(file) == path
    with pytest.raises(AssetUnavailable, match="not in this installation"):
        assets.fetch(spec(b"x", "bundled:absent.npz"))


def test_cache_folder_is_one_plain_name(cache: Path) -> None:
    assert assets.cache_folder("converted") == cache / "converted"
    for name in ("", "..", "a/b", ".x"):
        with pytest.raises(ValueError, match="plain folder name"):
            assets.cache_folder(name)


@contextmanager
def _client(source: Source) -> Iterator[Path]:
    raise SourceFailure("pip: ERROR: No matching distribution")
    yield Path()


def test_a_clients_reason_is_passed_on(spec: Spec, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supply, "fetch_archive", _client)
    with pytest.raises(AssetUnavailable, match=r"pypi:a==1!b: pip: ERROR: No matching distribution; .*answered 404") as caught:
        assets.fetch(spec(DATA, "pypi:a==1!b", server.put("/a", b"", "404")))
    assert len(caught.value.tried) == 2


def test_client_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = [sys.executable, "-c", "import sys; sys.exit('WARNING: x\\nERROR: no index https://me:secret@host/simple\\n[notice] y')"]
    with pytest.raises(SourceFailure, match=r"ERROR: no index https://\*\*\*@host/simple"):
        clients._run(program, tmp_path)
    monkeypatch.setattr(clients, "TIME_LIMIT", 0.3)
    with pytest.raises(SourceFailure, match="was ended after"):
        clients._run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)
    monkeypatch.setattr(clients.shutil, "which", lambda _: None)
    for kind, why in (("deb", "apt-get is not there"), ("npm", "npm is not installed")):
        with pytest.raises(SourceFailure, match=why), clients.fetch_archive(Source(kind, f"{kind}:a", "a", "1")):  # type: ignore[arg-type]
            pass


def test_without_a_terminal_one_line_says_what_is_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    file = FileSpec("model", ("manual:by hand",), bytes=3_400_000, name="net.onnx")
    with supply.bar(supply._label(file, "example==1"), True) as progress:
        assert progress is None
    assert capsys.readouterr().err == "faceworks: fetching net.onnx (3.4 MB) in example==1\n"
    with supply.bar("quiet", False):
        pass
    assert capsys.readouterr().err == ""
