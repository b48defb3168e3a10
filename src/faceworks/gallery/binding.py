"""A gallery and its model: what is remembered of a pipeline, and which pipeline may be used with what is remembered."""

from __future__ import annotations

import dataclasses
import warnings

from ..errors import ModelMismatch
from ..pipeline import Pipeline, PipelineSpec
from .backend import Binding

__all__ = ["RecipeWarning", "bind", "bound", "require"]

NO_EFFECT = frozenset({"device", "threads", "threshold", "select", "on_no_face", "calibration", "fmr", "max_faces"})
"""Options of a spec that a gallery does not remember: they leave the vectors as they are."""


class RecipeWarning(UserWarning):
    """A gallery is used with vectors that can be compared with its own, but come from faces that were found in another way."""


def bind(pipeline: Pipeline, dim: int) -> Binding:
    """The binding that vectors of a pipeline have."""
    usual = PipelineSpec()
    decisive = [item.name for item in dataclasses.fields(usual) if item.name not in NO_EFFECT]
    changed = {
        name: value for name in decisive if (value := getattr(pipeline.spec, name)) != getattr(usual, name) or name in ("detector", "embedder")
    }
    return Binding(pipeline.embedding_id, pipeline.recipe_id, dim, changed, "chi2" if pipeline.spec.metric == "chi2" else "cosine")


def bound(pipeline: Pipeline | None, model: str, dim: int) -> Binding:
    """The binding of vectors that were made elsewhere: with the pipeline that the gallery was opened with; without one, the model's name alone.

    Raises:
        ModelMismatch: that pipeline makes others.
    """
    if pipeline is None:
        return Binding(model, "", dim)
    if pipeline.embedding_id != model:
        raise ModelMismatch(
            f"the gallery is opened for vectors of {pipeline.embedding_id}, and these are of {model}: open it with the model that made them"
        )
    return bind(pipeline, dim)


def require(binding: Binding, pipeline: Pipeline, url: str) -> None:
    """Whether a pipeline may be used with a gallery: its vectors must be the gallery's; another detector is worth a warning.

    Raises:
        ModelMismatch: another model, or another way to compare.
    """
    spec = pipeline.spec
    if binding.model != pipeline.embedding_id:
        raise ModelMismatch(
            f"the gallery {url} holds vectors of {binding.model}, not of {pipeline.embedding_id}: leave out the options that choose another "
            f"model, or embed its pictures anew: faceworks gallery reindex --embedder {spec.embedder}"
        )
    if (spec.metric == "chi2") != (binding.metric == "chi2"):
        raise ModelMismatch(f"the gallery {url} compares by {binding.metric}, not by {spec.metric}: leave out --metric, or enroll into a new gallery")
    same = Pipeline(spec.with_options(metric=binding.spec.get("metric", "cosine")))
    if binding.recipe and same.recipe_id != binding.recipe:
        before = binding.spec.get("detector", PipelineSpec().detector)
        how = f"{before}, now {spec.detector} looks" if before != spec.detector else f"another version or setting of {before} than now"
        warnings.warn(
            f"the faces in {url} were found by {how}: similarities are a little lower, and thresholds were measured for one way; "
            "leave out the options that choose another, or embed anew: faceworks gallery reindex",
            RecipeWarning,
            stacklevel=4,
        )
