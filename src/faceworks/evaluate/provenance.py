"""What a number was made with: models, versions, writing files whole or not at all."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__, cards
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec

__all__ = ["models_of", "software", "write_whole"]


def models_of(spec: PipelineSpec) -> dict[str, Any]:
    """Role -> name, file hashes and weight license of every model of a spec."""
    found = {}
    for role in ("detector", "embedder"):
        card = cards.get(getattr(spec, role))
        members = cards.members(card)
        files = {
            item.role if len(members) == 1 else f"{member.name} {item.role}": item.sha256 or item.git_blob or item.pin
            for member in members
            for item in member.file
        }
        found[role] = {"name": card.name, "files": files, "weights_license": card.license.weights}
    return found


def software() -> dict[str, str]:
    """Versions of what computes."""
    versions = {"python": platform.python_version(), "platform": platform.platform(), "faceworks": __version__}
    for name in ("numpy", "onnxruntime", "opencv-contrib-python-headless"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "unknown"
    return versions


def write_whole(path: Path, text: str) -> None:
    """All or nothing: a reader never sees half a file.

    Raises:
        ConfigError: the folder cannot be made or written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}; name another folder (--out)") from error
