"""The functions everybody guesses: `verify`, `detect`, `analyze`, `embed`, `identify`. One source or a list of them; every option of `PipelineSpec` by name."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, overload

from . import image, settings
from .analysis import DEFAULT_ATTRIBUTES, Analyzer
from .attributes.quality import measure as measure_quality
from .errors import InputError, NoFaceFound
from .gallery import Gallery, open_gallery
from .pipeline import Pipeline, PipelineSpec
from .types import Crop, Embedding, Face, FaceResult, Identification, ImageArray, Verification
from .verification import compare

__all__ = ["analyze", "detect", "embed", "embed_crops", "get_analyzer", "get_pipeline", "identify", "verify", "verify_person"]

Source = Any
"""What `image.load` takes: a path, bytes, a file object, an array (H, W, 3) uint8 RGB, or a PIL image."""


@lru_cache(maxsize=16)
def _cached(spec: PipelineSpec, active: settings.Settings) -> Pipeline:
    return Pipeline(spec)


def get_pipeline(spec: PipelineSpec | None = None, **options: Any) -> Pipeline:
    """The pipeline for a spec (default `PipelineSpec()`) with some options changed; kept for the next call.

    Raises:
        ConfigError: an unknown option, or one that cannot hold.
        UnknownModel: no card of that name.
    """
    return _cached((spec or PipelineSpec()).with_options(**options), settings.current())


def _name(source: Source, position: int) -> str:
    return str(source) if isinstance(source, (str, os.PathLike)) else f"picture {position}"


def _load(sources: Sequence[Source]) -> tuple[list[ImageArray], list[str]]:
    return [image.load(source) for source in sources], [_name(source, index + 1) for index, source in enumerate(sources)]


def verify(
    a: Source,
    b: Source,
    spec: PipelineSpec | None = None,
    *,
    review: float | None = None,
    prior: float = 0.5,
    min_quality: float | None = None,
    **options: Any,
) -> Verification:
    """Decide whether two pictures show the same person.

    With `select="all"` the closest pair of faces is compared. `review` is the half-width of a band about the threshold, in units of the
    metric, that is answered `verified=None`. `fmr=1e-4` takes the threshold that was measured for one false match in ten thousand comparisons of
    different people. Where the recipe has a calibration the answer also holds `fmr` at the score and `probability` at `prior`; else both are None.

    `min_quality` (0 to 100) refuses to decide on a face whose measured quality (`attributes.quality`) is lower.

    Raises:
        ImageError: a picture cannot be read.
        NoFaceFound: no face in a picture (unless `on_no_face="whole"`).
        InputError: a face below `min_quality`; the message says what is wrong with it.
        ConfigError: an unknown option, no threshold for the metric, or `fmr` without a calibration.
        InputError: a false match rate that the calibration cannot carry.
    """
    pipeline = get_pipeline(spec, **options)
    decision = pipeline.decision(review, prior)
    clock: dict[str, float] = {}
    images, names = timed(clock, "load", lambda: _load([a, b]))
    faces = timed(clock, "detect", lambda: pipeline.find(images, names))
    for name, found in zip(names, faces, strict=True):
        if not found:
            raise NoFaceFound(f"no face found in {name}: nothing to compare")
    if min_quality is not None:
        timed(clock, "quality", lambda: _require_quality(images, faces, names, min_quality))
    vectors = timed(clock, "embed", lambda: pipeline.embed_faces(images, faces))
    left, right = ([FaceResult(face, vector) for face, vector in zip(*pair, strict=True)] for pair in zip(faces, vectors, strict=True))
    models = {**pipeline.models, "recipe": pipeline.recipe_id}
    answers = [compare(x, y, decision, models, clock) for x, y in product(left, right)]
    return min(answers, key=lambda answer: answer.distance)


def _require_quality(images: Sequence[ImageArray], faces: Sequence[Sequence[Face]], names: Sequence[str], least: float) -> None:
    """Raise InputError for the first face whose quality is below `least`."""
    if not 0 <= least <= 100:
        raise InputError(f"min_quality lies between 0 and 100, got {least}")
    for picture, group, name in zip(images, faces, names, strict=True):
        for face in group:
            found = measure_quality(picture, face)
            if found.score < least:
                why = "; ".join(found.reasons) or "no single measure is bad, together they are"
                raise InputError(f"the face in {name} has the quality {found.score:.0f}, below the {least:g} that is required: {why}")


def timed(clock: dict[str, float], step: str, work: Any) -> Any:
    """Run `work` and note its seconds under `step`."""
    start = time.perf_counter()
    result = work()
    clock[step] = round(time.perf_counter() - start, 6)
    return result


@overload
def detect(sources: Sequence[Source], spec: PipelineSpec | None = None, **options: Any) -> list[list[Face]]: ...
@overload
def detect(sources: Source, spec: PipelineSpec | None = None, **options: Any) -> list[Face]: ...
def detect(sources: Any, spec: PipelineSpec | None = None, **options: Any) -> Any:
    """Find all faces: one picture gives a list of faces (best score first), a list of pictures gives a list of lists. None found: empty."""
    many = isinstance(sources, (list, tuple))
    images, names = _load(sources if many else [sources])
    found = get_pipeline(spec, **options).detect(images, names)
    return found if many else found[0]


@overload
def embed(sources: Sequence[Source], spec: PipelineSpec | None = None, **options: Any) -> list[list[FaceResult]]: ...
@overload
def embed(sources: Source, spec: PipelineSpec | None = None, **options: Any) -> list[FaceResult]: ...
def embed(sources: Any, spec: PipelineSpec | None = None, **options: Any) -> Any:
    """Detect, align and embed: one picture gives a list of `FaceResult`, a list of pictures gives a list of lists.

    All faces by default; `select="largest"` or `"central"` takes one. A picture without a face gives an empty list unless `on_no_face` says
    otherwise.
    """
    many = isinstance(sources, (list, tuple))
    images, names = _load(sources if many else [sources])
    chosen: Mapping[str, Any] = {"select": "all", "on_no_face": "empty", **options} if spec is None else options
    results = get_pipeline(spec, **chosen).embed(images, names)
    return results if many else results[0]


def embed_crops(crops: Sequence[Crop], spec: PipelineSpec | None = None, **options: Any) -> list[Embedding]:
    """Embed crops that were cut by hand with `align.crop`, in their order."""
    return get_pipeline(spec, **options).embed_crops(crops)


@lru_cache(maxsize=16)
def _cached_analyzer(
    spec: PipelineSpec,
    attributes: tuple[str, ...],
    models: tuple[tuple[str, str], ...],
    abstain: float,
    bpcer: float | None,
    space: str | None,
    active: settings.Settings,
) -> Analyzer:
    return Analyzer(spec, attributes, dict(models), abstain, bpcer, space)


def get_analyzer(
    attributes: Sequence[str] = DEFAULT_ATTRIBUTES,
    models: Mapping[str, str] | None = None,
    spec: PipelineSpec | None = None,
    *,
    abstain: float = 0.0,
    bpcer: float | None = None,
    space: str | None = None,
    reference: Source | None = None,
    **options: Any,
) -> Analyzer:
    """The analyzer for these attributes and models, kept for the next call (but for one with a `reference`); arguments and errors as `analyze`."""
    if isinstance(attributes, str):
        attributes = [item.strip() for item in attributes.split(",") if item.strip()]
    chosen = spec or PipelineSpec(select="all", on_no_face="empty")
    named = tuple(sorted((models or {}).items()))
    if reference is not None:
        return Analyzer(chosen.with_options(**options), attributes, models, abstain, bpcer, space, image.load(reference))
    return _cached_analyzer(chosen.with_options(**options), tuple(attributes), named, abstain, bpcer, space, settings.current())


@overload
def analyze(
    sources: Sequence[Source],
    attributes: Sequence[str] = ...,
    models: Mapping[str, str] | None = ...,
    spec: PipelineSpec | None = ...,
    **options: Any,
) -> list[list[FaceResult]]: ...
@overload
def analyze(
    sources: Source, attributes: Sequence[str] = ..., models: Mapping[str, str] | None = ..., spec: PipelineSpec | None = ..., **options: Any
) -> list[FaceResult]: ...
def analyze(
    sources: Any,
    attributes: Sequence[str] = DEFAULT_ATTRIBUTES,
    models: Mapping[str, str] | None = None,
    spec: PipelineSpec | None = None,
    *,
    abstain: float = 0.0,
    bpcer: float | None = None,
    space: str | None = None,
    reference: Source | None = None,
    **options: Any,
) -> Any:
    """What the faces of pictures show: one picture gives a list of `FaceResult`, a list of pictures gives a list of lists.

    Args:
        attributes: emotion, intensity, valence, arousal, age, gender, race, liveness, pose, quality (see `attributes.ATTRIBUTES`).
        models: attribute -> card name, where another than the default shall answer.
        spec, options: how faces are found; by default all of a picture, and a picture without a face gives an empty list.
        abstain: a label less probable than this becomes "unsure".
        bpcer: share of living faces that may be called fake; takes the liveness threshold that was measured for it.
        space: "six", "seven" or "eight": labels of the emotion; what the space lacks is "other".
        reference: a picture of the person at rest: the intensity is then the distance moved from it.

    Raises:
        ConfigError, UnknownModel, CardError, LicenseRefused: see `analysis.Analyzer`.
        ImageError: a picture cannot be read.
        AssetUnavailable, MissingDependency: a model's file, or the package that converts it, is not here.
    """
    many = isinstance(sources, (list, tuple))
    images, names = _load(sources if many else [sources])
    found = get_analyzer(attributes, models, spec, abstain=abstain, bpcer=bpcer, space=space, reference=reference, **options).analyze(images, names)
    return found if many else found[0]


def _opened(gallery: Gallery | str | os.PathLike[str]) -> Any:
    return contextlib.nullcontext(gallery) if isinstance(gallery, Gallery) else open_gallery(os.fspath(gallery), "r")


@overload
def identify(sources: Sequence[Source], gallery: Gallery | str | os.PathLike[str] = ..., **options: Any) -> list[list[Identification]]: ...
@overload
def identify(sources: Source, gallery: Gallery | str | os.PathLike[str] = ..., **options: Any) -> list[Identification]: ...
def identify(sources: Any, gallery: Gallery | str | os.PathLike[str] = "people.h5", **options: Any) -> Any:
    """Who is in a picture: one `Identification` for each face (`person` is None for a stranger); a list of pictures gives a list of lists.

    `gallery` is an open one or its address; it knows its model. Options: `k`, `threshold`, `fpir`, `template`, `exact` (see `Gallery.identify`).
    """
    many = isinstance(sources, (list, tuple))
    with _opened(gallery) as opened:
        answers = opened.identify(sources if many else [sources], **options)
    return answers if many else answers[0]


def verify_person(source: Source, person: str, gallery: Gallery | str | os.PathLike[str] = "people.h5", **options: Any) -> Identification:
    """Whether the largest face of a picture is this person (id or name) of a gallery: `person` of the answer is the name, or None."""
    with _opened(gallery) as opened:
        answer: Identification = opened.verify_person(source, person, **options)
    return answer
