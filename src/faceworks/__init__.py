"""faceworks: face recognition and facial analysis with known error rates.

    >>> import faceworks
    >>> faceworks.verify("a.jpg", "b.jpg").verified        # doctest: +SKIP
    True

Nothing heavy is imported until it is used. `faceworks.detect`, `faceworks.embed` and `faceworks.draw` are the functions; the modules of the same
name are reached by `from faceworks.detect import …` (`docs/decisions/0002-functions-and-packages-of-one-name.md`).
"""

from __future__ import annotations

import importlib
import sys
import types as _types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import align, errors, evaluate, geometry, image, settings, similarity, types
    from .api import analyze, detect, embed, embed_crops, get_pipeline, identify, verify, verify_person
    from .batch import map_images
    from .draw import draw
    from .errors import FaceworksError
    from .gallery import Gallery, open_gallery
    from .image import load as load_image
    from .image import save as save_image
    from .interop import to_dataframe, to_supervision
    from .pipeline import Pipeline, PipelineSpec
    from .types import Categorical, Crop, Embedding, Face, FaceResult, Identification, Landmarks, Match, Scalar, Verification, to_dict

__version__ = "0.1.0"

_NAMES = {
    "Categorical": "types", "Crop": "types", "Embedding": "types", "Face": "types", "FaceResult": "types", "Identification": "types",
    "Landmarks": "types", "Match": "types", "Scalar": "types", "Verification": "types", "to_dict": "types",
    "FaceworksError": "errors", "Pipeline": "pipeline", "PipelineSpec": "pipeline",
    "verify": "api", "detect": "api", "analyze": "api", "embed": "api", "embed_crops": "api", "get_pipeline": "api",
    "identify": "api", "verify_person": "api", "open_gallery": "gallery", "Gallery": "gallery",
    "draw": "draw", "map_images": "batch", "load_image": "image:load", "save_image": "image:save", "to_dataframe": "interop", "to_supervision": "interop",
}  # fmt: skip
_MODULES = ("align", "errors", "evaluate", "geometry", "image", "settings", "similarity", "types")

__all__ = [  # noqa: RUF022 - in the order of the work
    "verify", "detect", "analyze", "embed", "embed_crops", "map_images", "get_pipeline", "identify", "verify_person", "open_gallery", "Gallery",
    "Pipeline", "PipelineSpec",
    "load_image", "save_image", "draw", "align", "similarity", "geometry", "image", "types", "errors", "settings", "evaluate",
    "Face", "Landmarks", "Crop", "Embedding", "FaceResult", "Verification", "Identification", "Match", "Categorical", "Scalar",
    "to_dict", "to_dataframe", "to_supervision",
    "FaceworksError", "__version__",
]  # fmt: skip


class _Package(_types.ModuleType):
    """Keeps `faceworks.detect` the function: importing the package of that name would overwrite the attribute."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _NAMES and isinstance(value, _types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        module, _, attribute = _NAMES[name].partition(":")
        value = getattr(importlib.import_module(f".{module}", __name__), attribute or name)
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
