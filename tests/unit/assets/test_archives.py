"""Members out of hostile and honest archives, literals out of Python files."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from faceworks.assets.archives import extract, read_literal
from faceworks.assets.sources import SourceFailure


def taken(path: Path, member: str, limit: int = 1 << 20, top_folder: bool = False) -> bytes:
    out = bytearray()
    extract(path, member, out.extend, limit, top_folder)
    return bytes(out)


def tar_bytes(mode: str, *entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode) as bundle:  # type: ignore[call-overload]
        for entry, data in entries:
            entry.size = len(data)
            bundle.addfile(entry, io.BytesIO(data))
    return raw.getvalue()


def deb_bytes(data: bytes, name: bytes = b"data.tar.xz") -> bytes:
    def part(title: bytes, content: bytes) -> bytes:
        head = title.ljust(16) + b"0           0     0     100644  " + str(len(content)).encode().ljust(10) + b"`\n"
        return head + content + b"\n" * (len(content) % 2)

    return b"!<arch>\n" + part(b"debian-binary", b"2.0\n") + part(b"control.tar.gz", b"abc") + part(name, data)


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
def test_tar(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(tar_bytes(mode, (tarfile.TarInfo("top-1.0/x"), b"no"), (tarfile.TarInfo("top-1.0/in/b.dat"), b"yes")))
    assert taken(path, "top-1.0/in/b.dat") == b"yes"
    assert taken(path, "in/b.dat", top_folder=True) == b"yes"
    with pytest.raises(SourceFailure, match=r"no member in/b.da \(nearest|no member"):
        taken(path, "in/b.dat")


@pytest.mark.parametrize("name", [b"data.tar.xz", b"data.tar.gz/"])
def test_deb(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "a.deb"
    path.write_bytes(deb_bytes(tar_bytes("w:xz", (tarfile.TarInfo("./usr/share/a.xml"), b"<x/>")), name))
    assert taken(path, "usr/share/a.xml", top_folder=True) == b"<x/>"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SourceFailure, match="not a complete Debian package"):
        taken(path, "usr/share/a.xml")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_tar_member_that_is_no_file(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("a/b")
    entry.type, entry.linkname = kind, "/etc/passwd"
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes("w:", (entry, b"")))
    with pytest.raises(SourceFailure, match="not a plain file"):
        taken(path, "a/b")


@pytest.mark.parametrize("name", ["/a/b", "../a/b", "x/../../a/b", "x/../a/b", "..\\a\\b"])
def test_escaping_names_never_match(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes("w:", (tarfile.TarInfo(name), b"evil")))
    with pytest.raises(SourceFailure, match="no member"):
        taken(path, "a/b", top_folder=True)
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr(name, b"evil")
    with pytest.raises(SourceFailure, match="no member"):
        taken(path, "a/b", top_folder=True)


def test_zip_link_folder_and_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as bundle:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        bundle.writestr(link, "/etc/passwd")
        bundle.writestr("folder/", b"")
        bundle.writestr("plain", b"data")
    for name in ("link", "folder"):
        with pytest.raises(SourceFailure, match="not a plain file"):
            taken(path, name)
    assert taken(path, "plain") == b"data"
    raw = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.rindex(magic) + at] |= 1
    path.write_bytes(raw)
    with pytest.raises(SourceFailure, match="encrypted"):
        taken(path, "plain")


def test_bombs(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("zeros", bytes(5_000_000))
    with pytest.raises(SourceFailure, match="5000000 bytes, more than the 1000"):
        taken(path, "zeros", limit=1000)
    raw = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (900).to_bytes(4, "little"))  # the headers lie
    path.write_bytes(raw)
    with pytest.raises(SourceFailure):
        taken(path, "zeros", limit=1000)
    path.write_bytes(tar_bytes("w:gz", (tarfile.TarInfo("zeros"), bytes(5_000_000))))
    with pytest.raises(SourceFailure, match="more than the 1000"):
        taken(path, "zeros", limit=1000)


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"<html>not here</html>", b"!<arch>\n", b"BZh9", b"\xfd7zXZ\0"])
def test_broken(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(junk)
    with pytest.raises(SourceFailure):
        taken(path, "a")


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a"
    whole = tar_bytes("w:gz", (tarfile.TarInfo("a"), bytes(range(256)) * 40))
    for part in (len(whole) // 3, len(whole) - 9):
        path.write_bytes(whole[:part])
        with pytest.raises(SourceFailure):
            taken(path, "b")


def test_literal() -> None:
    text = b"import os\nos.abort()\nX = 1\nWEIGHTS = b'\\x00\\x01' b'ab'\nTYPED: bytes = b't'\nEMPTY: bytes\n"
    assert read_literal(text, "WEIGHTS") == b"\0\1ab"
    assert read_literal(text, "TYPED") == b"t"
    for name, why in (("X", "is a int"), ("NONE", "holds no literal"), ("EMPTY", "cannot be read|holds no")):
        with pytest.raises(SourceFailure, match=why):
            read_literal(text, name)
    for hostile in (
        b"WEIGHTS = bytes(10**10)",
        b"WEIGHTS = __import__('os').abort()",
        b"WEIGHTS = (",
        b"(" * 100_000,
        b"\0",
        b"WEIGHTS = b'a' * 10**9",
    ):
        with pytest.raises(SourceFailure):
            read_literal(hostile, "WEIGHTS")
