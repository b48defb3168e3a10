"""Options that commands share, and how they become a `PipelineSpec`. What is not given stays the library's default."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .app import note_debug

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec

__all__ = [
    "as_json",
    "common",
    "decision_options",
    "detector_options",
    "device_options",
    "embedder_options",
    "make_spec",
    "model_options",
    "save_option",
]

F = TypeVar("F", bound=Callable[..., Any])
METRICS = ("cosine", "euclidean", "euclidean_l2", "angular", "chi2")  # equal to similarity.METRICS (tested); here so that --help imports no NumPy
SPEC_OPTIONS = ("detector", "embedder", "align", "select", "on_no_face", "metric", "threshold", "min_score", "flip", "crops", "device", "threads", "fmr",
                "calibration", "landmarker", "retry", "max_faces")  # fmt: skip


def _apply(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    def wrap(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return wrap


def _apply_license(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        from .. import settings

        ctx.with_resource(settings.use(license=value))


def _names(task: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What the shell completes: models of a task."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        from .. import cards

        return [name for name in cards.names(task) if name.startswith(incomplete)]

    return complete


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of a table.")
quiet = click.option("--quiet", is_flag=True, help="No progress and no table, only the bare answer.")
debug = click.option("--debug", is_flag=True, is_eager=True, expose_value=False, callback=lambda ctx, _, value: note_debug(ctx, value),
                     help="Show the traceback of an error.")  # fmt: skip
common = _apply(as_json, quiet, debug)
license_option = click.option(
    "--license", type=click.Choice(["any", "commercial"]), expose_value=False, callback=_apply_license,
    help='"commercial" refuses weights that forbid commercial use.',
)  # fmt: skip
save_option = click.option("--save", metavar="PICTURE", type=click.Path(), help="Write the picture with the faces drawn in (.png, .jpg, .webp).")

model_options = _apply(
    click.option("--detector", metavar="NAME", shell_complete=_names("detect"), help="Detector (see `faceworks models list --task detect`)."),
    click.option("--embedder", metavar="NAME", shell_complete=_names("embed"), help="Embedder (see `faceworks models list --task embed`)."),
)
device_options = _apply(
    click.option("--device", metavar="NAME", help="cpu, cuda, tensorrt, rocm, coreml, directml, openvino; auto: an accelerator, or else the CPU."),
    click.option("--threads", type=click.IntRange(min=0), metavar="N", help="Threads of one network; 0 = one per core."),
    license_option,
)
detector_options = _apply(
    click.option("--detector", metavar="NAME", shell_complete=_names("detect"), help="Detector (see `faceworks models list --task detect`)."),
    click.option("--min-score", type=click.FloatRange(0, 1), metavar="S", help="Lowest detection score that counts as a face."),
    click.option("--select", type=click.Choice(["largest", "central", "all"]), help="Which face of a picture."),
    click.option("--max-faces", type=click.IntRange(min=0), metavar="N", help="Refuse a picture in which more faces are found; 0 = no limit."),
    click.option(
        "--on-no-face",
        type=click.Choice(["raise", "empty", "whole"]),
        help="A picture without a face: an error, no result, or the whole picture taken for a face.",
    ),
    click.option(
        "--retry",
        metavar="STEPS",
        callback=lambda ctx, _, value: tuple(step.strip() for step in value.split(",")) if value else None,
        help="Where no face is found, try in this order: pad, rotate90, rotate180, rotate270, tile, larger.",
    ),
    device_options,
)
embedder_options = _apply(
    click.option("--embedder", metavar="NAME", shell_complete=_names("embed"), help="Embedder (see `faceworks models list --task embed`)."),
    click.option("--align", metavar="HOW", help="similarity5 (the embedder's own crop), none (whole picture), or a crop such as square:1.3."),
    click.option(
        "--landmarker",
        metavar="NAME",
        shell_complete=_names("landmark"),
        help="Who gives the points that the crop needs, where the detector does not.",
    ),
    click.option("--flip", is_flag=True, default=None, help="Embed the mirrored crop too and add both vectors."),
    click.option("--crops", type=click.IntRange(1, 5), help="1, or 5: embed four slightly shifted crops too and add the vectors."),
)
decision_options = _apply(
    click.option("--metric", type=click.Choice(METRICS), help="Distance that is compared with the threshold."),
    click.option("--threshold", type=float, metavar="T", help="Largest distance that counts as same, in the metric. Default: the model card's."),
    click.option(
        "--fmr", type=float, metavar="RATE", help="Take the threshold that was measured for this false match rate (1e-4), instead of --threshold."
    ),
    click.option("--calibration", metavar="FILE", help="A calibration of this recipe. Default: the user's folder, then the packaged ones."),
)


def make_spec(options: dict[str, Any], **defaults: Any) -> PipelineSpec:
    """The spec of the options that were given; `defaults` are a command's own."""
    from ..pipeline import PipelineSpec

    given = {name: options[name] for name in SPEC_OPTIONS if options.get(name) is not None}
    return PipelineSpec(**{**defaults, **given})
