"""Settings: the only module that reads the environment.

Order of precedence: an explicit `Settings` (`use`), then environment variables, then the TOML file that `FACEWORKS_CONFIG` names (default
`~/.config/faceworks/config.toml`), then the defaults below.

    FACEWORKS_CACHE      folder of downloaded and converted files
    FACEWORKS_MIRRORS    folders with weight files, joined by os.pathsep; looked into before any network source
    FACEWORKS_OFFLINE    1: never touch the network
    FACEWORKS_GALLERY_KEY  key of encrypted galleries: a key file, or base64
    FACEWORKS_CONFIG     the TOML file
"""

from __future__ import annotations

import contextlib
import os
import sys
import tomllib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from .errors import ConfigError

__all__ = ["Settings", "completion", "current", "isolated_environment", "silence_telemetry", "use"]


def _default_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "faceworks"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faceworks"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, resolved.

    Attributes:
        cache: folder of downloaded and converted files.
        mirrors: folders that hold weight files by SHA-256 or by file name.
        offline: never touch the network.
        max_image_bytes: largest encoded picture that is read.
        max_image_pixels: largest decoded picture, width x height.
        threads: threads of one network session; 0 means one per core.
        license: "any", or "commercial" to refuse weights that forbid commercial use.
        gallery_key: key of encrypted galleries: a file that holds it, or the key itself in base64.
    """

    cache: Path
    mirrors: tuple[Path, ...] = ()
    offline: bool = False
    max_image_bytes: int = 100_000_000
    max_image_pixels: int = 178_956_970
    threads: int = 0
    license: str = "any"
    gallery_key: str | None = None

    def __post_init__(self) -> None:
        if self.max_image_bytes <= 0 or self.max_image_pixels <= 0:
            raise ConfigError("max_image_bytes and max_image_pixels must be positive")
        if self.threads < 0:
            raise ConfigError(f"threads must be 0 (one per core) or more, got {self.threads}")
        if self.license not in ("any", "commercial"):
            raise ConfigError(f"license must be 'any' or 'commercial', got {self.license!r}")


_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


def _flag(name: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ConfigError(f"{name} must be 1 or 0, got {text!r}")


def _from_file(path: Path, required: bool) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"FACEWORKS_CONFIG names {path}, which does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read settings from {path}: {error}") from error
    types = {field.name: field.type for field in fields(Settings)}
    for key, value in data.items():
        if key not in types:
            raise ConfigError(f"{path}: unknown setting {key!r}; allowed: {', '.join(sorted(types))}")
        kinds: dict[str, tuple[type, ...]] = {"tuple[Path, ...]": (list,), "bool": (bool,), "int": (int,)}
        wanted = kinds.get(str(types[key]), (str,))
        if not isinstance(value, wanted) or (wanted == (int,) and isinstance(value, bool)):
            raise ConfigError(f"{path}: setting {key!r} has the wrong type {type(value).__name__}")
    if "cache" in data:
        data["cache"] = Path(data["cache"]).expanduser()
    if "mirrors" in data:
        data["mirrors"] = tuple(Path(str(item)).expanduser() for item in data["mirrors"])
    return data


def _read() -> Settings:
    named = os.environ.get("FACEWORKS_CONFIG")
    values = _from_file(Path(named) if named else Path.home() / ".config" / "faceworks" / "config.toml", required=bool(named))
    values.setdefault("cache", _default_cache())
    if text := os.environ.get("FACEWORKS_CACHE"):
        values["cache"] = Path(text).expanduser()
    if text := os.environ.get("FACEWORKS_MIRRORS"):
        values["mirrors"] = tuple(Path(part).expanduser() for part in text.split(os.pathsep) if part)
    if text := os.environ.get("FACEWORKS_GALLERY_KEY"):
        values["gallery_key"] = text
    if (text := os.environ.get("FACEWORKS_OFFLINE")) is not None:
        values["offline"] = _flag("FACEWORKS_OFFLINE", text)
    return Settings(**values)


_active: ContextVar[Settings | None] = ContextVar("faceworks_settings", default=None)


def current() -> Settings:
    """The settings in force here and now (read afresh, so a changed environment counts)."""
    return _active.get() or _read()


@contextlib.contextmanager
def use(settings: Settings | None = None, **changes: Any) -> Iterator[Settings]:
    """Put settings in force for this context: `with settings.use(offline=True): …`."""
    token = _active.set(replace(settings or current(), **changes))
    try:
        active = _active.get()
        assert active is not None
        yield active
    finally:
        _active.reset(token)


_CLIENT_VARIABLES = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "TMP", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


def isolated_environment(home: Path) -> dict[str, str]:
    """The environment for a throwaway child process: search path, proxies, certificates and pip's own options, a temporary HOME, nothing else.

    Package clients read the user's index from configuration below HOME; where the child must not see HOME, those options travel as PIP_* variables.
    """
    kept = {name: value for name, value in os.environ.items() if name.upper() in _CLIENT_VARIABLES or name.startswith("PIP_")}
    return {**kept, "HOME": str(home), "USERPROFILE": str(home), "TMPDIR": str(home), "PYTHONNOUSERSITE": "1"}


def silence_telemetry() -> None:
    """Ask the libraries that would report their use to their makers not to: onnxruntime (from 1.31 on; it writes a device id and a queue of events into
    the user's cache folder when it is imported) and Ray. To be called before they are imported. What the user has set stays as it is.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def completion() -> str | None:
    """What a shell asks of us while somebody types: "bash_complete", "zsh_source" …; None outside of completion."""
    return os.environ.get("_FACEWORKS_COMPLETE")
