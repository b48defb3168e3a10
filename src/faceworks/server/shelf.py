"""The galleries of the service: one folder for each below `galleries/`, opened once in a process and shared by its threads."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from .. import settings
from ..errors import ConfigError, DuplicateEntry, GalleryLocked, GalleryUnavailable
from ..gallery import Gallery, open_gallery
from ..gallery.files import locked
from .options import ServerOptions
from .problems import Problem

__all__ = ["NAME", "Shelf"]

NAME = r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?"
"""What a gallery may be called. Dots, slashes and capitals are out: a name is a folder on every file system."""


class Shelf:
    """Galleries by name. Safe to use from several threads."""

    def __init__(self, options: ServerOptions) -> None:
        self._root, self._wait, self._faces = options.galleries, options.gallery_wait, options.max_faces
        self._open: dict[str, tuple[int, Gallery]] = {}
        self._lock = threading.Lock()

    def _folder(self, name: str) -> Path:
        if not re.fullmatch(NAME, name):
            raise Problem(422, "a gallery's name has 1 to 64 of a-z, 0-9, - and _, and begins and ends with a letter or digit", "gallery-name")
        return self._root / name

    def names(self) -> list[str]:
        """All galleries, sorted."""
        return sorted(path.name for path in self._root.iterdir() if re.fullmatch(NAME, path.name) and (path / "people.h5").is_file())

    def create(self, name: str, actor: str) -> Gallery:
        """Make a gallery with an audit log, sealed where the operator has set a gallery key. The first enrollment binds its model.

        Raises:
            DuplicateEntry: there is one.
        """
        folder = self._folder(name)
        with locked(self._root / ".lock", self._wait):
            if (folder / "people.h5").exists():
                raise DuplicateEntry(f"there is a gallery {name!r} already")
            for left in self._root.glob(".making-*"):  # of a process that was killed: whoever makes one holds the lock
                shutil.rmtree(left)
            sealed = settings.current().gallery_key is not None
            making = self._root / f".making-{secrets.token_hex(6)}"
            making.mkdir(mode=0o700)
            with open_gallery(making / "people.h5", "x", audit=True, actor=actor, wait=self._wait, encrypt=sealed) as made:
                made.note("create", [], 0)  # the log exists from its first line on, and is kept by everybody who opens the gallery
            if folder.exists():
                shutil.rmtree(folder)  # without people.h5 it is what a killed process left
            making.rename(folder)  # readers see it with its log, or not at all
        return self.get(name, actor)

    def delete(self, name: str) -> None:
        """Delete a gallery and everybody in it for good.

        Raises:
            Problem: 404. GalleryLocked: somebody is writing in it.
        """
        folder = self._folder(name)
        self.get(name, "")
        with locked(self._root / ".lock", self._wait):
            self.get(name, "")  # whoever waited for the lock may come second
            with locked(folder / "service.lock", self._wait), self._lock:
                kept = self._open.pop(name, None)
                if kept is not None:
                    kept[1].close()
            away = self._root / f".deleted-{secrets.token_hex(6)}"
            folder.rename(away)
        shutil.rmtree(away)

    def get(self, name: str, actor: str) -> Gallery:
        """A gallery, with `actor` in the lines of its audit log.

        Raises:
            Problem: 404.
        """
        folder = self._folder(name)
        with self._lock:
            try:
                birth = folder.stat().st_ino
            except OSError:
                birth = -1
            kept = self._open.get(name)
            if kept is not None and kept[0] != birth:
                self._open.pop(name)[1].close()
                kept = None
            if kept is None:
                if birth < 0 or not (folder / "people.h5").is_file():
                    raise Problem(404, f"there is no gallery {name!r}", "unknown-gallery")
                try:
                    kept = (birth, open_gallery(folder / "people.h5", "r+", wait=self._wait, threads=1, max_faces=self._faces))
                except ConfigError as error:  # the operator's matter: its message names files
                    raise GalleryUnavailable(str(error)) from error
                self._open[name] = kept
        own = copy.copy(kept[1])
        if own.audit is not None:
            own.audit = dataclasses.replace(own.audit, actor=actor)
        return own

    @contextlib.contextmanager
    def writing(self, name: str, actor: str) -> Iterator[Gallery]:
        """A gallery for one change: nobody else changes it meanwhile, in no worker (two enrollments of one new name must not make two people).

        Raises:
            GalleryLocked: another change took longer than the service waits.
        """
        found = self.get(name, actor)
        with locked(self._folder(name) / "service.lock", self._wait):
            if not (self._folder(name) / "people.h5").is_file():
                raise GalleryLocked(f"the gallery {name!r} is being deleted")
            yield found

    def close(self) -> None:
        """Close all."""
        with self._lock:
            for _, found in self._open.values():
                found.close()
            self._open.clear()
