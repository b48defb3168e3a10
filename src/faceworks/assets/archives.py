"""Single members out of zip, tar and Debian archives, and bytes literals out of Python files. Nothing is unpacked to a path that an archive names."""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import io
import lzma
import stat
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from .sources import SourceFailure

__all__ = ["extract", "read_literal"]

BLOCK = 1 << 20
_LITERAL_LIMIT = 1 << 28


def _plain(name: str) -> str | None:
    """The member's normalized name, or None for one that leaves its folder."""
    while name.startswith("./"):
        name = name[2:]
    parts = name.split("/")
    return None if name.startswith("/") or "\\" in name or ":" in parts[0] or ".." in parts else name


def _matches(name: str, member: str, top_folder: bool) -> bool:
    plain = _plain(name)
    if plain is None:
        return False
    return plain == member or (top_folder and plain.partition("/")[2] == member)


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], object], limit: int, member: str) -> int:
    """Copy a member block by block; more than `limit` bytes are refused, whatever size the archive declares."""
    total = 0
    while block := read(BLOCK):
        total += len(block)
        if total > limit:
            raise SourceFailure(f"its member {member} is larger than the {limit} bytes that are allowed")
        write(block)
    return total


def _missing(member: str, names: list[str], refused: bool) -> SourceFailure:
    if refused:
        return SourceFailure(f"its member {member} is a link, folder, device or encrypted entry, not a plain file")
    near = difflib.get_close_matches(member, names, n=2, cutoff=0.6)
    return SourceFailure(f"it has no member {member} ({'nearest: ' + ', '.join(near) if near else f'{len(names)} members'})")


def _from_zip(archive: IO[bytes], member: str, top_folder: bool, limit: int, write: Callable[[bytes], object]) -> int:
    with zipfile.ZipFile(archive) as bundle:
        refused = False
        for entry in bundle.infolist():
            if not _matches(entry.filename.rstrip("/"), member, top_folder):
                continue
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.is_dir() or entry.flag_bits & 1 or kind not in (0, stat.S_IFREG):
                refused = True
                continue
            if entry.file_size > limit:
                raise SourceFailure(f"its member {member} has {entry.file_size} bytes, more than the {limit} that are allowed")
            with bundle.open(entry) as file:
                return _copy(file.read, write, limit, member)
        raise _missing(member, [entry.filename for entry in bundle.infolist()], refused)


def _from_tar(archive: IO[bytes], member: str, top_folder: bool, limit: int, write: Callable[[bytes], object]) -> int:
    names: list[str] = []
    refused = False
    with tarfile.open(fileobj=archive, mode="r|*") as bundle:
        for entry in bundle:
            names.append(entry.name)
            if not _matches(entry.name, member, top_folder):
                continue
            if not entry.isreg():
                refused = True
                continue
            if entry.size > limit:
                raise SourceFailure(f"its member {member} has {entry.size} bytes, more than the {limit} that are allowed")
            file = bundle.extractfile(entry)
            assert file is not None
            return _copy(file.read, write, limit, member)
    raise _missing(member, names, refused)


def _debian_data(archive: IO[bytes]) -> IO[bytes]:
    """The `data.tar.*` of a .deb (an ar archive: 60-byte headers, even offsets)."""
    archive.seek(8)
    while len(header := archive.read(60)) == 60:
        if header[58:] != b"`\n":
            break
        name, size = header[:16].decode("latin-1").strip().rstrip("/"), int(header[48:58])
        if not name.startswith("data.tar"):
            archive.seek(size + size % 2, 1)
            continue
        data = archive.read(size)
        if len(data) != size:
            break
        if not name.endswith(".zst"):
            return io.BytesIO(data)
        try:
            zstd = importlib.import_module("compression.zstd")  # Python >= 3.14
        except ImportError:
            raise SourceFailure("it is compressed with zstd, which needs Python 3.14 or later; unpack it by hand into a mirror folder") from None
        return io.BytesIO(zstd.decompress(data))
    raise SourceFailure("it is not a complete Debian package")


@contextlib.contextmanager
def _archive_errors() -> Iterator[None]:
    broken = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, TypeError, IndexError, OSError)
    try:
        yield
    except broken as error:
        raise SourceFailure(f"its archive is broken: {error}") from error


def extract(archive: Path, member: str, write: Callable[[bytes], object], limit: int, top_folder: bool = False) -> int:
    """Hand the bytes of one member to `write`, block by block; returns their number.

    The archive's kind is told from its first bytes (zip, tar plain or compressed, Debian). With `top_folder`, a member is also found below the
    one folder that wraps everything.

    Raises:
        SourceFailure: broken archive; no such member; a member that is not a plain file or larger than `limit`.
    """
    with archive.open("rb") as file, _archive_errors():
        start = file.read(8)
        file.seek(0)
        if start.startswith(b"PK"):
            return _from_zip(file, member, top_folder, limit, write)
        if start == b"!<arch>\n":
            return _from_tar(_debian_data(file), member, top_folder, limit, write)
        return _from_tar(file, member, top_folder, limit, write)


def read_literal(source: bytes, name: str) -> bytes:
    """The value of the top-level `NAME = b"…"` of a Python file, by parsing alone.

    Raises:
        SourceFailure: the text does not parse, or holds no such bytes literal.
    """
    if len(source) > _LITERAL_LIMIT:
        raise SourceFailure(f"the Python file is larger than {_LITERAL_LIMIT} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                value = ast.literal_eval(node.value)  # type: ignore[attr-defined]
                if isinstance(value, bytes):
                    return value
                raise SourceFailure(f"{name} is a {type(value).__name__}, not a bytes literal")
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise SourceFailure(f"its literal {name} cannot be read: {error}") from error
    raise SourceFailure(f"the Python file holds no literal {name}")
