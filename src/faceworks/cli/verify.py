"""faceworks verify A B"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import common, decision_options, detector_options, embedder_options, make_spec, save_option
from .output import box_text, note, print_facts, print_json

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec
    from ..types import Verification

__all__ = ["facts", "verify", "word"]

STYLES = {True: "green", False: "red", None: "yellow"}
COLORS = {True: (0, 220, 110), False: (235, 60, 50), None: (250, 190, 0)}


@click.command(short_help="Do two pictures show the same person?")
@click.argument("a", metavar="A", type=click.Path())
@click.argument("b", metavar="B", type=click.Path())
@click.option("--steps", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write every step between picture and decision.")
@click.option("--review", type=float, metavar="MARGIN", help="Answer “needs review” (exit code 3) within MARGIN of the threshold.")
@click.option(
    "--min-quality", type=click.FloatRange(0, 100), metavar="Q", help="Refuse to decide (exit code 2) on a face of lower quality, 0 to 100."
)
@decision_options
@embedder_options
@detector_options
@save_option
@common
def verify(
    a: str, b: str, steps: Path | None, review: float | None, min_quality: float | None, save: str | None, as_json: bool, quiet: bool, **options: Any
) -> int:
    """Do the pictures A and B show the same person?

    Of each picture the largest face is compared (see --select). Same means: distance ≤ threshold. Exit code 0 same, 1 different, 3 needs review,
    2 any error.
    """
    spec = make_spec(options)
    from ..api import verify as decide

    answer = decide(a, b, spec, review=review, min_quality=min_quality)
    if steps is not None:
        from .. import steps as step_by_step

        written = step_by_step.write(step_by_step.explain(a, b, spec, review=review), steps)
        if not quiet:
            note(f"wrote {len(written)} files to {steps}")
    if save is not None:
        save_pair(save, a, b, answer)
    if as_json:
        print_json(answer)
    elif quiet:
        click.echo({True: "same", False: "different", None: "review"}[answer.verified])
    else:
        print_facts(facts(a, b, answer, spec), word(answer), STYLES[answer.verified])
    return {True: 0, False: 1, None: 3}[answer.verified]


def word(answer: Verification) -> str:
    """The decision in words."""
    return {True: "same person", False: "different people", None: "needs review"}[answer.verified]


def save_pair(path: str, a: str, b: str, answer: Verification) -> None:
    """Both pictures in a row, the compared faces drawn in."""
    from .. import image
    from ..draw import draw, side_by_side

    color = COLORS[answer.verified]
    drawn = [draw(image.load(source), [face], color=color) for source, face in zip((a, b), answer.faces, strict=True)]
    image.save(path, side_by_side(drawn, [word(answer), f"distance {answer.distance:.3f}, threshold {answer.threshold:.3f}"]))


def facts(a: str, b: str, answer: Verification, spec: PipelineSpec) -> list[tuple[str, str]]:
    """What a person needs to judge the decision, line by line."""
    from .. import cards

    sign = "≤" if answer.distance <= answer.threshold else ">"
    lines = [
        ("distance", f"{answer.distance:.4f} {sign} {answer.threshold:.4f}   ({answer.metric}; same means distance ≤ threshold)"),
        ("similarity", f"{answer.similarity:.4f}   (cosine of the two vectors; higher is closer)"),
        ("threshold", f"{answer.threshold:.4f}   from: {answer.threshold_source}"),
    ]
    for role in ("detector", "embedder"):
        card = cards.get(getattr(spec, role))
        commercial = "commercial use allowed" if card.license.commercial_use else "no commercial use"
        lines.append((role, f"{card.name}   weights: {card.license.weights}, {commercial}"))
    if answer.fmr is None or answer.probability is None:
        lines.append(("how sure", "no error rate is attached: no calibration exists for this recipe, only the threshold above"))
    else:
        from ..api import get_pipeline

        known = get_pipeline(spec).calibration
        on = f" ({known.dataset}, {known.date[:10]}; other people and cameras differ)" if known else ""
        lines.append(("how sure", f"probability of the same person {answer.probability:.4f} if both answers were equally likely before"))
        lines.append(("", f"{answer.fmr:.1e} of comparisons of different people score this high{on}"))
    which = {"largest": "largest face", "central": "most central face", "all": "face of the closest pair"}[spec.select]
    for letter, source, face in zip("AB", (a, b), answer.faces, strict=True):
        lines.append((f"picture {letter}", f"{source}   {which} at {box_text(face)}, score {face.score:.2f}"))
    return lines
