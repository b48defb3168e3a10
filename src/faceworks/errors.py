"""Every error that faceworks raises on purpose.

    FaceworksError
    ├── InputError (ValueError)      what the caller handed in
    │   ├── ImageError               a picture that cannot be read, or is too large
    │   ├── NoFaceFound              a picture without a face, where one was asked for
    │   └── ManifestError            a list (CSV, pairs file, manifest) with a wrong line
    ├── ModelError                   models and their files
    │   ├── UnknownModel
    │   ├── CardError                a model card that breaks the schema
    │   ├── AssetUnavailable         no source could give the file
    │   ├── ChecksumMismatch         a source gave another file than the card names
    │   ├── ConversionError          a weight file that its converter does not understand
    │   ├── ModelMismatch            vectors of two different models were compared
    │   ├── LicenseRefused           the license policy in force excludes the model
    │   └── DeviceUnavailable        the requested device did not load
    ├── GalleryError
    │   ├── GalleryUnavailable
    │   ├── GalleryLocked
    │   │   └── Outdated             the change was computed from a state that another writer has changed
    │   ├── GalleryCorrupt
    │   ├── DuplicateEntry
    │   └── UnknownPerson
    ├── ServiceError                 a service of faceworks refused, failed, or cannot be reached (raised by `faceworks.client`)
    ├── MissingDependency (ImportError)   an extra is not installed
    └── ConfigError                  settings or options that cannot hold

A message says what failed, what was got, what was expected, and what to do, in one line. The command line maps every class to exit code 2
(`tests/test_architecture.py` walks the tree), the server to an HTTP status.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "AssetUnavailable",
    "CardError",
    "ChecksumMismatch",
    "ConfigError",
    "ConversionError",
    "DeviceUnavailable",
    "DuplicateEntry",
    "FaceworksError",
    "GalleryCorrupt",
    "GalleryError",
    "GalleryLocked",
    "GalleryUnavailable",
    "ImageError",
    "InputError",
    "LicenseRefused",
    "ManifestError",
    "MissingDependency",
    "ModelError",
    "ModelMismatch",
    "NoFaceFound",
    "Outdated",
    "ServiceError",
    "UnknownModel",
    "UnknownPerson",
]


class FaceworksError(Exception):
    """Base of all errors that faceworks raises on purpose."""


class InputError(FaceworksError, ValueError):
    """What the caller handed in cannot be used."""


class ImageError(InputError):
    """A picture that cannot be read, is truncated, or exceeds a limit."""


class NoFaceFound(InputError):
    """No face was found where one was asked for."""


class ManifestError(InputError):
    """A line of a list (CSV, pairs file, manifest) that cannot be used.

    `line` and `column` count from 1; either may be None where it has no meaning.
    """

    def __init__(self, message: str, line: int | None = None, column: int | str | None = None) -> None:
        place = "".join([f"line {line}, " if line is not None else "", f"column {column}: " if column is not None else ""])
        super().__init__(f"{place.rstrip(', ')}: {message}" if place and not place.endswith(": ") else f"{place}{message}")
        self.line = line
        self.column = column


class ModelError(FaceworksError):
    """A model or one of its files cannot be used."""


class UnknownModel(ModelError):
    """No card has that name."""


class CardError(ModelError):
    """A model card breaks the schema."""


class AssetUnavailable(ModelError):
    """No source could give the file; `tried` says why for each of them."""

    def __init__(self, message: str, tried: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.tried = tried


class ChecksumMismatch(ModelError):
    """A source gave another file than the card names."""


class ConversionError(ModelError):
    """A weight file holds something that its converter does not understand: the message names it."""


class ModelMismatch(ModelError):
    """Vectors of two different models (or recipes) were brought together."""


class LicenseRefused(ModelError):
    """The license policy in force excludes the model."""


class DeviceUnavailable(ModelError):
    """The requested device did not load."""


class GalleryError(FaceworksError):
    """A gallery cannot do what was asked."""


class GalleryUnavailable(GalleryError):
    """The gallery cannot be opened."""


class GalleryLocked(GalleryError):
    """Another writer holds the gallery."""


class Outdated(GalleryLocked):
    """Another writer was faster: what the change was computed from is no longer so. `Gallery` computes it anew, and gives up after many rounds."""


class GalleryCorrupt(GalleryError):
    """The stored bytes do not make sense."""


class DuplicateEntry(GalleryError):
    """The entry exists."""


class UnknownPerson(GalleryError):
    """No such person. `reference` is what nobody is called, where that is the reason."""

    def __init__(self, message: str, reference: str = "") -> None:
        super().__init__(message)
        self.reference = reference


class ServiceError(FaceworksError):
    """A service of faceworks refused, failed, or cannot be reached.

    `status` is that of HTTP (0: not reached), `kind` the last part of the problem's type, `problem` the document.
    """

    def __init__(self, message: str, status: int = 0, kind: str = "", problem: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.problem = status, kind, dict(problem or {})


class MissingDependency(FaceworksError, ImportError):
    """An optional package is not installed; the message holds the pip line."""


class ConfigError(FaceworksError):
    """Settings or options that cannot hold."""
