"""Drop-in names for those who come from elsewhere: change one import, keep the script.

    from faceworks.compat import deepface as DeepFace              # instead of: from deepface import DeepFace
    from faceworks.compat import face_recognition                  # instead of: import face_recognition

Signatures, result keys, their order and types are the originals' (recorded in `tests/golden/compat_*.json`); detection, alignment and networks are
faceworks'. What differs is listed in `docs/howto/migrate-from-deepface.md` and `docs/howto/migrate-from-face_recognition.md`.
"""

from __future__ import annotations

import warnings

__all__ = ["CompatWarning", "warn_once"]

_said: set[str] = set()


class CompatWarning(UserWarning):
    """Something that the original does and that faceworks does otherwise, or reproduces against better knowledge."""


def warn_once(message: str) -> None:
    """Warn with `CompatWarning`, each message once a process."""
    if message not in _said:
        _said.add(message)
        warnings.warn(message, CompatWarning, stacklevel=3)
