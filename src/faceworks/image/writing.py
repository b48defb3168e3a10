"""`save`: a picture to a file."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from pathlib import Path

from ..errors import ImageError
from ..types import ImageArray
from .reading import describe, load, reason_of

__all__ = ["save"]


def save(path: str | os.PathLike[str], image: ImageArray, quality: int = 95) -> None:
    """Write a picture (anything that `load` takes as an array) as .png, .jpg/.jpeg or .webp, by the suffix of `path`.

    The file appears complete or not at all (temporary file in the same folder, then rename). `quality` (1..100) is for JPEG and WebP; JPEG keeps full
    color resolution (4:4:4), so that saved crops embed like unsaved ones.

    Raises:
        ImageError: unknown suffix, a folder that is missing or may not be written, a picture too large for the format.
    """
    target, name = Path(os.fsdecode(path)), describe(path)
    kind = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(target.suffix.lower())
    if kind is None:
        raise ImageError(f"cannot write {name}: unknown suffix {target.suffix!r}; use .png, .jpg or .webp")
    from PIL import Image

    encoded = io.BytesIO()
    temporary = target.parent / f".faceworks-{secrets.token_hex(8)}.tmp"
    try:
        Image.fromarray(load(image)).save(encoded, kind, **({"compress_level": 3} if kind == "PNG" else {"quality": quality, "subsampling": 0}))
        temporary.write_bytes(encoded.getvalue())
        os.replace(temporary, target)
    except ImageError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise ImageError(f"cannot write {name}: {reason}; check that its folder exists and may be written") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
