"""Cutting all faces out of pictures by a named strategy: the work behind `faceworks align`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from . import align, geometry
from .errors import InputError
from .landmarks import DEFAULTS, ensure, load_landmarker
from .pipeline import Pipeline
from .types import Crop, Face, ImageArray

__all__ = ["cut_faces"]


def cut_faces(
    pipeline: Pipeline, images: Sequence[ImageArray], strategy: str, size: int = 224, landmarker: str | None = None, redetect: bool = False
) -> list[list[Crop]]:
    """Crops of the faces that `pipeline` finds and selects, `size` x `size`.

    Args:
        strategy: crop grammar of `align`, or "similarity5" (the ArcFace template).
        landmarker: card asked for faces that lack the points; default the one that `landmarks.DEFAULTS` has for the strategy's scheme.
        redetect: detect again in the crop and cut its best face square, as the chain crop → align → detect of many tutorials does; a crop in which
            nothing is found stays as it is (its `template` does not end in "+redetect").

    Raises:
        InputError: a face lacks the points, and no landmarker gives them.
        ConfigError: unknown strategy.
    """
    template = "arcface-112x112" if strategy == "similarity5" else strategy
    faces = pipeline.find(images)
    wanted = align.schemes(template)
    lacking = any(face.landmarks is None or face.landmarks.scheme not in wanted for group in faces for face in group)
    name = landmarker or (DEFAULTS.get(wanted[0]) if wanted and lacking else None)
    if name is None and wanted and lacking:
        raise InputError(
            f"the strategy {strategy!r} needs {' or '.join(wanted)} landmarks, which {pipeline.spec.detector} does not give; name a --landmarker"
        )
    if name is not None:
        faces = ensure(images, faces, load_landmarker(name, pipeline.session_options))
    cuts = [[align.crop(picture, face, template, (size, size)) for face in group] for picture, group in zip(images, faces, strict=True)]
    return [[_again(pipeline, crop, size) for crop in group] for group in cuts] if redetect else cuts


def _again(pipeline: Pipeline, crop: Crop, size: int) -> Crop:
    found = pipeline.detect([crop.pixels])[0]
    if not found:
        return crop
    best = max(found, key=lambda face: face.area)
    inner = align.crop(crop.pixels, Face(np.array(best.box), best.score, None, best.detector), "square:1", (size, size))
    return dataclasses.replace(inner, matrix=geometry.compose(inner.matrix, crop.matrix), template=f"{crop.template}+redetect")
