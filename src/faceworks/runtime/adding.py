"""Registering a user's own checkpoint: a card like another, with the user's file."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path

import numpy as np

from .. import assets, cards, convert
from ..assets.store import digest
from ..cards import Card, License
from ..cards.writing import dump
from ..errors import CardError, ConfigError, ConversionError, FaceworksError
from .ort import Session, open_file
from .preprocess import to_blob
from .run import run_batched

__all__ = ["add_model"]


def add_model(path: str | Path, like: str, name: str | None = None) -> Card:
    """Copy a checkpoint into the cache and write a card for it into the user's folder; what the card `like` says of its own file holds for it.

    The file is converted and opened at once: a wrong one is refused here, and leaves nothing behind. The new card has no thresholds and no published
    figures (they were measured with other weights) and an unknown license, which `--license commercial` refuses: its owner knows better, and edits it.

    Args:
        path: the file, in the format of the card's own.
        like: name of the card.
        name: name of the new card, in small letters, digits, dots and hyphens; default the card's name and the file's.

    Raises:
        ConfigError: no such file, or a name that cannot be one.
        CardError: the name is taken, or the card has not exactly one file.
        ConversionError: the file is not what the card's converter or onnxruntime can read.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path} is no file; name the checkpoint that shall be registered")
    model = cards.get(like)
    if len(model.file) != 1:
        roles = ", ".join(item.role for item in model.file) or "none"
        raise CardError(f"{like} has not exactly one file (its files: {roles}); copy its card by hand into {cards.user_folder() / model.task}")
    name = name or re.sub(r"[^a-z0-9.]+", "-", f"{like}-{path.stem}".lower()).strip("-.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", name):
        raise ConfigError(f"{name!r} cannot be a model's name: small letters, digits, dots, hyphens and underscores are expected")
    if name in cards.names():
        raise CardError(f"a model is called {name!r} already ({cards.get(name).path}); give another --name")
    file = dataclasses.replace(
        model.file[0],
        sha256=digest(path),
        bytes=path.stat().st_size,
        name=re.sub(r"[^\w.+@-]+", "_", path.name).lstrip(".") or "file",
        from_=("manual:the file that was registered with `faceworks models add`",),
        git_blob="",
        pin="",
        archive_sha256="",
    )
    if model.file[0].sha256 == file.sha256:
        raise CardError(f"{path.name} is the file of {like} itself; put it into a folder that FACEWORKS_MIRRORS names, and {like} is ready")
    card = dataclasses.replace(
        model,
        name=name,
        summary=f"a checkpoint of your own, run like {like}",
        license=License(
            code=model.license.code, weights="unknown", commercial_use=False, note="registered by a user; say here what holds for the file"
        ),
        file=(file,),
        reliability="low",
        threshold=(),
        published=(),
        attribution="",
        notes=f"Registered with `faceworks models add --like {like}`. Nothing was measured with these weights yet.",
    )
    target = cards.user_folder() / card.task / f"{name}.toml"
    text = dump(card)
    cards.parse(text, str(target))
    known = assets.locate(file) is not None
    assets.adopt(file, path)
    try:
        _try(card, like, path)
        assets.atomic_write(target, lambda out: out.write(text.encode("utf-8")))
    except FaceworksError:
        convert.forget(card)
        if not known:
            with contextlib.suppress(FaceworksError):
                assets.remove(file)
        raise
    return cards.get(name)


def _check_output(card: Card, session: Session) -> None:
    """Run an embedder on a black crop: it must give what the card says."""
    output = next((item for item in card.output if item.kind == "embedding"), None)
    if output is None or len(card.input) != 1 or not card.input[0].size:
        return
    height, width = card.input[0].size
    blob = to_blob([np.zeros((height, width, 3), np.uint8)], card.input[0])
    found = run_batched(session, blob, outputs=[output.tensor] if output.tensor else None)[0].reshape(1, -1)
    if found.shape[1] != output.dim:
        raise ConversionError(f"it gives {found.shape[1]} numbers, that one {output.dim}")


def _try(card: Card, like: str, path: Path) -> None:
    """Convert the file and open it.

    Raises:
        ConversionError: it is not like the card's own.
    """
    try:
        ready = convert.prepare(card, card.file[0].role)
        if ready.suffix == ".onnx":
            _check_output(card, open_file(ready))
    except FaceworksError as error:
        raise ConversionError(f"{path} is not a file like that of {like}: {error}") from error
    except Exception as error:
        raise ConversionError(f"{path} is not a file like that of {like}: {str(error).splitlines()[0]}") from error
