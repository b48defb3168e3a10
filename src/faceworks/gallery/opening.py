"""`open_gallery`: from an address to a gallery."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from .. import settings
from ..errors import ConfigError, FaceworksError, GalleryCorrupt, GalleryUnavailable
from ..pipeline import PipelineSpec
from . import names
from .audit import AuditLog
from .backend import Backend
from .policy import Gallery

__all__ = ["Mode", "open_backend", "open_gallery"]

Mode = Literal["r", "r+", "a", "x"]
SUFFIXES = (".h5", ".hdf5", ".hdf")


def open_gallery(
    url: str | Path = "people.h5", mode: Mode | Literal["w"] = "a", spec: PipelineSpec | None = None, *, wait: float = 5.0,
    key: bytes | str | Path | None = None, encrypt: bool = False, audit: bool | str | Path | None = None, actor: str = "", index: bool = True, calibration: Any = None,
    clock: Callable[[], int] = names.now, **options: Any,
) -> Gallery:  # fmt: skip
    """Open a gallery, or create one.

    Args:
        url: a file (`people.h5`; .hdf5 and .hdf too; in a layout of the course notes for reading, with the embedder that made it),
            `memory:`, `postgresql://user@host/database[?gallery=NAME]`, `milvus://host:port[/database]`,
            or `milvus:FILE.db` (Milvus Lite).
        mode: "r" read; "r+" write, it must exist; "a" write, created if absent; "x" create, it must not exist. There is no "w": see `clear`.
        spec, options: of the pipeline. A gallery that has a model is opened with the model's; options that contradict it raise.
        wait: seconds to wait for another writer. index: let an index answer where `exact=False` is asked for and the gallery is large.
        key, encrypt: seal at rest; the key is 32 bytes, a key file, or comes from FACEWORKS_GALLERY_KEY.
        audit: keep a log of who did what: True = beside the file or in the database, or the file's name; None = if there is one already. A gallery that
            keeps one keeps it whoever opens it. actor: who is working, for that log.
        calibration: of the recipe: probabilities and thresholds at a requested FPIR.

    Raises:
        ConfigError: mode "w" or an unknown address. GalleryUnavailable: absent, unreadable, of another kind. GalleryCorrupt: damaged.
        DuplicateEntry: mode "x" and it exists. ModelMismatch: options of another model.
    """
    if mode == "w":
        raise ConfigError(
            "mode 'w' would empty the gallery at opening; open it with 'a' and call clear() (faceworks gallery clear), or 'x' for a new one"
        )
    if mode not in ("r", "r+", "a", "x"):
        raise ConfigError(f"a gallery is opened with mode r, r+, a or x, got {mode!r}")
    if mode == "r" and (seed := _course_notes(url)) is not None:
        return _read_course_notes(seed, spec, options, calibration, clock)
    backend = open_backend(url, mode, wait=wait, key=key, encrypt=encrypt, index=index, audited=audit is True)
    try:
        log = _audit_log(backend, audit, actor, wait)
        return Gallery(backend, spec, options, audit=log, calibration=calibration, clock=clock)
    except BaseException:
        backend.close()
        raise


def _course_notes(url: str | Path) -> Path | None:
    """The path of a file in a layout of the course notes; None for whatever else it is."""
    from .hdf5.base_file import is_gallery
    from .hdf5.seed import read_seed

    path = Path(url)
    if path.suffix not in SUFFIXES or not path.is_file():
        return None
    try:
        return None if is_gallery(path) or not read_seed(path) else path
    except FaceworksError:
        return None


def _read_course_notes(path: Path, spec: PipelineSpec | None, options: dict[str, Any], calibration: Any, clock: Callable[[], int]) -> Gallery:
    from .memory import MemoryBackend
    from .transfer import migrate

    if spec is None and "embedder" not in options:
        raise GalleryUnavailable(
            f"{path} is in a layout of the course notes and names no model: say whose vectors it holds (embedder=, --embedder NAME), or bring it over: "
            f"faceworks gallery migrate {path} --embedder NAME --gallery NEW.h5"
        )
    backend = MemoryBackend(url=str(path))
    gallery = Gallery(backend, (spec or PipelineSpec()).with_options(**options), calibration=calibration, clock=clock)
    migrate(path, gallery, gallery.pipeline)
    backend.freeze()
    return gallery


def _audit_log(backend: Any, wanted: bool | str | Path | None, actor: str, wait: float) -> AuditLog | None:
    """The log that a gallery keeps, or is to keep from now on. A gallery that keeps one is not opened without it."""
    info = backend.info
    if info.kind == "postgres":
        if isinstance(wanted, (str, Path)):
            raise ConfigError("a gallery in PostgreSQL keeps its audit log in the database: audit=True")
        if wanted and info.writable:
            backend.keep_audit()
        return AuditLog(backend, info.url, actor) if backend.audited else None
    path = None if isinstance(wanted, bool) or wanted is None else Path(wanted)
    beside = backend.beside if info.kind == "milvus" else Path(info.url) if info.kind == "hdf5" else None
    if path is None and beside is not None:
        path = beside.with_name(beside.name + ".audit")
        wanted = wanted or path.exists()
    if info.kind == "hdf5" and not wanted and backend.attributes.get("audited"):
        raise GalleryCorrupt(f"{info.url} is audited, and its log {path} is not there: put it back, or name the file (audit=FILE, --audit-file FILE)")
    if info.kind == "milvus":
        if wanted and info.writable:
            backend.keep_audit()
        if backend.audited and path is None:
            raise ConfigError(f"{info.url} is audited: name the file of its log (audit=FILE, --audit-file FILE)")
        wanted = wanted or backend.audited
    if wanted and path is None:
        raise ConfigError(f"{info.url} has no place for an audit log: name a file (audit=FILE, --audit-file FILE)")
    return AuditLog.in_file(path, actor, wait, info.writable) if wanted and path is not None else None


def open_backend(url: str | Path, mode: Mode, *, wait: float = 5.0, key: bytes | str | Path | None = None, encrypt: bool = False,
                 index: bool = True, audited: bool = False) -> Backend:  # fmt: skip
    """The store behind an address; see `open_gallery`."""
    text = str(url)
    scheme = re.match(r"([a-z][a-z0-9+]+):", text)
    kind = scheme[1] if scheme and not Path(text).exists() else ""
    if kind and kind not in ("memory", "postgresql", "postgres", "milvus", "file"):
        raise ConfigError(
            f"no gallery address begins with {kind}:; known: a file such as people.h5, memory:, postgresql://, milvus://, milvus:FILE.db"
        )
    key = key if key is not None else settings.current().gallery_key
    if kind in ("memory", "postgresql", "postgres", "milvus") and encrypt:
        raise ConfigError("encryption at rest is for gallery files; a database encrypts its own disks")
    if kind == "memory":
        from .memory import MemoryBackend

        if mode in ("r", "r+"):
            raise GalleryUnavailable("a memory: gallery always begins empty; open it with mode 'a' or 'x'")
        return MemoryBackend()
    if kind in ("postgresql", "postgres"):
        from .postgres import PostgresBackend

        return PostgresBackend(text, mode)
    if kind == "milvus":
        from .milvus import MilvusBackend

        return MilvusBackend(text, mode)
    return _file(Path(text.removeprefix("file://").removeprefix("file:") if kind == "file" else url), mode, wait, key, encrypt, index, audited)


def _file(path: Path, mode: Mode, wait: float, key: bytes | str | Path | None, encrypt: bool, index: bool, audited: bool) -> Backend:
    from .hdf5 import Hdf5Backend, is_sealed

    if not path.name:
        raise ConfigError(f"{str(path)!r} names no gallery; name a file such as people.h5")
    sealed = encrypt if not path.is_file() else is_sealed(path)
    codec: Any = None
    attributes: dict[str, Any] = {"audited": True} if audited else {}
    if encrypt and not sealed:
        raise ConfigError(f"{path} is not encrypted; export it and import it into a new encrypted gallery")
    if sealed:
        from .sealing import Sealed, read_key

        if key is None:
            raise ConfigError(f"{path} is encrypted: give its key (key=, --key-file or FACEWORKS_GALLERY_KEY)")
        codec = Sealed(read_key(key))
        attributes |= codec.attributes
    backend = Hdf5Backend(path, mode, codec=codec, wait=wait, attributes=attributes)
    if index:
        from .index import Index

        backend.index = Index.beside(path, sealed, mode != "r")
    return backend
